//! Parquet files.

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::metadata::{ColumnChunkMetaDataBuilder, ParquetMetaDataWriter};
use ::parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;

#[test]
fn the_columns_of_a_parquet_file_are_those_of_a_table() {
    let spec = DatasetSpec { sample_weight: Some("weight".into()), ..table("species") };
    let dataset = load(&spec).unwrap();
    assert_eq!(
        (dataset.schema.shape.as_slice(), dataset.schema.dtype.as_str(), dataset.schema.rows),
        (&[9][..], "float32", 4)
    );
    assert_eq!(
        (&dataset.labels, &*dataset.class_names),
        (&Labels::Classes(vec![1, 0, 1, 0]), &["a".into(), "b".into()][..])
    );
    assert_eq!(dataset.weights, Some(vec![1.0, 0.5, 0.0, 2.0]));
    // int8, uint32, int64, float, double, bool, colour: blue, green, red.
    let rows = [
        [1.0, 1.0, 1.0, 0.5, 0.1, 1.0, 0.0, 0.0, 1.0],
        [-2.0, 4294967295.0, 2.0, 1.5, 0.2, 0.0, 1.0, 0.0, 0.0],
        [3.0, 3.0, 3.0, 2.5, 0.3, 1.0, 0.0, 0.0, 1.0],
        [4.0, 4.0, 4.0, 3.5, 0.4, 0.0, 0.0, 1.0, 0.0],
    ];
    assert_eq!(dataset.features, Features::F32(rows.concat()));
    for path in ["table-gzip.parquet", "table-zstd.parquet", "table-lz4.parquet"] {
        let other = DatasetSpec { source: parquet(path, "species").source, ..spec.clone() };
        assert_eq!(
            load(&other).unwrap().schema,
            dataset.schema,
            "{path}: codec, pages and row groups do not matter"
        );
    }
    let half = load(&parquet("half.parquet", "y")).unwrap();
    assert_eq!(half.features, Features::F32(vec![0.5, -2.0, 65504.0, 2f32.powi(-24)]));
    assert_eq!(load(&parquet("half.parquet", "half")).unwrap().schema.classes, None);
}

#[test]
fn the_type_of_a_label_column_tells_classes_from_values() {
    let labels = |label| load(&table(label)).unwrap().labels.clone();
    assert_eq!(labels("bool"), Labels::Classes(vec![1, 0, 1, 0]));
    assert_eq!(labels("int64"), Labels::Values(vec![1.0, 2.0, 3.0, 4.0]));
    assert_eq!(labels("double"), Labels::Values(vec![0.1, 0.2, 0.3, 0.4]));
    assert_eq!(labels("colour"), Labels::Classes(vec![2, 0, 2, 1]));
}

#[test]
fn a_column_that_cannot_be_used_is_named_with_the_reason() {
    check(
        &parquet("table.parquet", "none"),
        "label",
        "has no column \"none\"; its columns are int8, uint32,",
    );
    let cure = "table.parquet, row 0 (from 0), column \"colour\": \"red\" is not a number; name the column in one_hot";
    check(&parquet("table.parquet", "species"), "source", cure);
    let floats = DatasetSpec {
        one_hot: vec!["colour".into(), "species".into(), "double".into()],
        ..parquet("table.parquet", "bool")
    };
    check(&floats, "one_hot", "column \"double\": 0.1 is not a category; one_hot takes texts and integers");
    check(
        &parquet("refused-null.parquet", "y"),
        "source",
        "row 1 (from 0), column \"null\": the value is missing",
    );
    check(&parquet("refused-null.parquet", "null"), "label", "the value is missing");
    check(
        &parquet("refused-nan.parquet", "y"),
        "source",
        "row 1 (from 0), column \"nan\": NaN is not a finite",
    );
    check(&parquet("refused-nested.parquet", "y"), "source", "is nested; only flat columns are read");
    check(
        &parquet("refused-timestamp.parquet", "y"),
        "source",
        "column \"timestamp\" has the type Timestamp",
    );
    check(&parquet("refused-decimal.parquet", "y"), "source", "column \"decimal\" has the type Decimal");
    check(
        &parquet("refused-__index_level_0__.parquet", "y"),
        "source",
        "write it with to_parquet(…, index=False)",
    );
    let codec = "refused-brotli.parquet: column \"int8\" is compressed with brotli, which is not read; write it with snappy, zstd or gzip";
    check(&parquet("refused-brotli.parquet", "species"), "source", codec);
    check(&parquet("mnist.npz", "y"), "source", "is not a Parquet file, or is truncated");
}

/// A Parquet file of the golden one, whose first column chunk is another, with these bytes of pages
/// behind the others.
fn with_chunk(
    pages: &[u8],
    chunk: impl FnOnce(ColumnChunkMetaDataBuilder, i64) -> ColumnChunkMetaDataBuilder,
) -> (tempfile::TempDir, Catalog) {
    let mut bytes = fs::read(golden().join("table.parquet")).unwrap();
    let file = fs::File::open(golden().join("table.parquet")).unwrap();
    let metadata = SerializedFileReader::new(file).unwrap().metadata().clone();
    // The footer, its length and four letters.
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
    bytes.truncate(bytes.len() - 8 - length);
    let place = bytes.len() as i64;
    bytes.extend(pages);
    let mut groups = metadata.row_groups().to_vec();
    let mut columns = groups[0].columns().to_vec();
    columns[0] = chunk(columns[0].clone().into_builder(), place).build().unwrap();
    groups[0] = groups[0].clone().into_builder().set_column_metadata(columns).build().unwrap();
    let metadata = metadata.into_builder().set_row_groups(groups).build();
    ParquetMetaDataWriter::new(&mut bytes, &metadata).finish().unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("table.parquet"), bytes).unwrap();
    let catalog = Catalog::new(folder.path());
    (folder, catalog)
}

#[test]
fn a_parquet_file_that_inflates_to_too_much_is_refused_before_it_is_inflated() {
    let message = |(_folder, catalog): (tempfile::TempDir, Catalog)| {
        catalog.loaded(&table("species")).map(drop).map_err(|error| error.to_string())
    };
    let too_large =
        Err("table.parquet: the size in bytes of its columns, inflated, exceeds the bound of 1073741824"
            .to_owned());
    assert_eq!(message(with_chunk(&[], |chunk, _| chunk)), Ok(()));
    // The footer says so; it is below 0; it says nothing of a page whose header says so.
    let said = |bytes: i64| message(with_chunk(&[], |chunk, _| chunk.set_total_uncompressed_size(bytes)));
    assert_eq!([said(1 << 30), said(-1)], [too_large.clone(), too_large.clone()]);
    let page = [0x15, 0x04, 0x15, 0x82, 0x80, 0x80, 0x80, 0x08, 0x15, 0x00, 0x00];
    let hidden = |chunk: ColumnChunkMetaDataBuilder, place| {
        chunk
            .set_dictionary_page_offset(None)
            .set_data_page_offset(place)
            .set_total_compressed_size(page.len() as i64)
    };
    assert_eq!(message(with_chunk(&page, hidden)), too_large);
    let damaged = message(with_chunk(&[0xff; 11], hidden)).unwrap_err();
    assert!(
        damaged.contains("column \"int8\": the header of a page cannot be read; copy the file again"),
        "{damaged}"
    );
}

/// The pages are not inflated before the crate reads them, as gzipped ones are: it makes room for
/// what the header says, and no more is written.
#[test]
fn zstd_and_lz4_inflate_to_no_more_than_the_header_of_a_page_says() {
    // 10,000 zeros, as PyArrow compresses them, in a page that says 12 bytes: three plain values.
    let zstd: &[u8] = &[
        0x28, 0xb5, 0x2f, 0xfd, 0x60, 0x10, 0x26, 0x4d, 0x0, 0x0, 0x10, 0x0, 0x0, 0x1, 0x0, 0xb, 0x87, 0x7,
        0x58,
    ];
    let lz4: &[u8] = &[
        0x1f, 0x0, 0x1, 0x0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1e, 0x50, 0x0, 0x0, 0x0, 0x0, 0x0,
    ];
    for (body, codec, why) in [
        (zstd, Compression::ZSTD(ZstdLevel::default()), "Destination buffer is too small"),
        (lz4, Compression::LZ4_RAW, "provided output is too small"),
    ] {
        let sizes = [0x15, 0x00, 0x15, 12 << 1, 0x15, (body.len() as u8) << 1];
        let data_page = [0x2c, 0x15, 0x06, 0x15, 0x00, 0x15, 0x06, 0x15, 0x06, 0x00, 0x00];
        let page = [&sizes[..], &data_page, body].concat();
        let (_folder, catalog) = with_chunk(&page, |chunk, place| {
            let chunk =
                chunk.set_compression(codec).set_dictionary_page_offset(None).set_data_page_offset(place);
            chunk.set_total_compressed_size(page.len() as i64)
        });
        let message = catalog.loaded(&table("species")).unwrap_err().to_string();
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn a_page_that_is_not_what_its_checksum_says_is_refused() {
    let whole = fs::read(golden().join("checksums.parquet")).unwrap();
    let read = |bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.parquet"), bytes).unwrap();
        Catalog::new(folder.path())
            .loaded(&parquet("t.parquet", "y"))
            .map(|data| (data.features.clone(), data.labels.clone()))
    };
    let expect = read(&whole).unwrap();
    assert_eq!(expect.0, Features::F32((0..20u8).map(f32::from).collect()));
    // The footer has none; it lies behind both pages of 80 bytes and what says of them.
    let mut refused = 0;
    for at in 4..4 + 2 * 80 {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        match read(&damaged) {
            Ok(found) => assert!(found == expect, "byte {at}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 2 * 60, "{refused}");
}

#[test]
fn a_parquet_footer_is_bounded_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let length = limits::PARQUET_FOOTER_BYTES_MAX as u32 + 1;
    fs::write(
        folder.path().join("t.parquet"),
        [&b"PAR1"[..], &vec![0; length as usize], &length.to_le_bytes(), b"PAR1"].concat(),
    )
    .unwrap();
    let error =
        Catalog::new(folder.path()).loaded(&parquet("t.parquet", "y")).map(drop).unwrap_err().to_string();
    assert!(error.contains("the size in bytes of the footer exceeds"), "{error}");
}

#[test]
fn parquet_columns_of_large_numbers_are_kept_in_64_bits() {
    use ::parquet::data_type::{DoubleType, Int64Type};
    let folder = tempfile::tempdir().unwrap();
    let schema = "message m { required int64 t; required double u; required int64 y; }";
    let schema = Arc::new(::parquet::schema::parser::parse_message_type(schema).unwrap());
    let file = fs::File::create(folder.path().join("t.parquet")).unwrap();
    let mut writer =
        ::parquet::file::writer::SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let times: Vec<i64> = (0..50).map(|row| 1_700_000_000_000 + row).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&times, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<DoubleType>()
        .write_batch(&times.iter().map(|time| *time as f64 / 1e3).collect::<Vec<_>>(), None, None)
        .unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<Int64Type>()
        .write_batch(&(0..50).map(|row| row % 2).collect::<Vec<_>>(), None, None)
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let dataset = Catalog::new(folder.path()).loaded(&parquet("t.parquet", "y")).unwrap();
    assert_eq!(
        dataset.features,
        Features::F64(times.iter().flat_map(|time| [*time as f64, *time as f64 / 1e3]).collect())
    );
    assert_eq!(dataset.labels, Labels::Classes((0..50).map(|row| row % 2).collect()));
}

//! Tests of every format with files that NumPy, PyArrow and Pillow wrote: `data/tests/golden`, made
//! by the `make.py` there.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::limits;
use flate2::write::GzEncoder;
use hpo::dataset::{DatasetSpec, Files, Source};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{ColumnChunkMetaDataBuilder, ParquetMetaDataWriter};
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::{Catalog, Dataset, Error, Features, Labels};

fn golden() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

fn files(features: &str, labels: &str) -> Files {
    Files { features: features.into(), labels: labels.into() }
}

fn npz(path: &str, features: &str, labels: &str) -> DatasetSpec {
    DatasetSpec::new(Source::Npz { path: path.into(), arrays: files(features, labels) })
}

fn safetensors(features: &str, labels: &str) -> DatasetSpec {
    DatasetSpec::new(Source::Safetensors {
        path: "mnist.safetensors".into(),
        arrays: files(features, labels),
    })
}

fn parquet(path: &str, label: &str) -> DatasetSpec {
    DatasetSpec::new(Source::Parquet { path: path.into(), label: label.into() })
}

fn table(label: &str) -> DatasetSpec {
    let one_hot =
        ["colour", "species"].into_iter().filter(|name| *name != label).map(str::to_owned).collect();
    DatasetSpec { one_hot, ..parquet("table.parquet", label) }
}

fn images(path: &str) -> DatasetSpec {
    DatasetSpec::new(Source::Images(path.into()))
}

fn load(spec: &DatasetSpec) -> Result<Arc<Dataset>, Error> {
    Catalog::new(golden()).loaded(spec)
}

/// Why the dataset can't be had, and at which field.
#[track_caller]
fn refused(spec: &DatasetSpec) -> (&'static str, String) {
    let error = load(spec).expect_err("must be refused");
    (error.field(spec), error.to_string())
}

#[track_caller]
fn check(spec: &DatasetSpec, field: &str, detail: &str) {
    let (at, message) = refused(spec);
    assert!(at == field && message.contains(detail), "{at}: {message:?} should say {detail:?} at {field}");
}

#[test]
fn keras_mnist_is_read_from_its_npz() {
    let validation = Some(files("x_test", "y_test"));
    let dataset =
        load(&DatasetSpec { validation: validation.clone(), ..npz("mnist.npz", "x_train", "y_train") })
            .unwrap();
    let schema = &dataset.schema;
    assert_eq!(
        (&schema.shape[..], schema.dtype.as_str(), schema.rows, schema.classes, schema.scale_max),
        (&[2, 3][..], "uint8", 6, Some(3), Some(255.0))
    );
    let train: Vec<u8> = (0..36).map(|at| 10 * (at / 6) + at % 6).collect();
    let test: Vec<u8> = train[..18].iter().map(|value| value + 1).collect();
    assert_eq!(dataset.features, Features::U8([train, test].concat()));
    assert_eq!(dataset.labels, Labels::Classes(vec![0, 1, 2, 0, 1, 2, 0, 1, 2]));
    let stored = load(&DatasetSpec { validation, ..npz("stored.npz", "x_train", "y_train") }).unwrap();
    assert_eq!(stored.schema, dataset.schema, "deflated or stored, it is the same dataset");
}

#[test]
fn an_npz_whose_arrays_are_too_large_together_is_refused_before_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(golden().join("mnist.npz")).unwrap();
    // The uncompressed size of each entry of the ZIP's directory.
    for at in (0..bytes.len() - 28).filter(|at| bytes[*at..].starts_with(b"PK\x01\x02")).collect::<Vec<_>>() {
        bytes[at + 24..at + 28].copy_from_slice(&(600u32 << 20).to_le_bytes());
    }
    fs::write(folder.path().join("mnist.npz"), bytes).unwrap();
    let error = Catalog::new(folder.path()).schema(&npz("mnist.npz", "x_train", "y_train")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "mnist.npz: the size in bytes of its arrays together exceeds the bound of 1073741824"
    );
}

#[test]
fn a_dataset_larger_than_memory_is_refused_before_it_is_read() {
    let gzipped = tempfile::tempdir().unwrap();
    let mut file = GzEncoder::new(
        fs::File::create(gzipped.path().join("long.csv")).unwrap(),
        flate2::Compression::best(),
    );
    file.write_all(format!("x,y\n{}", "1,0\n2,1\n".repeat(10_000)).as_bytes()).unwrap();
    file.finish().unwrap();
    let long = DatasetSpec::new(Source::Csv { path: "long.csv".into(), label: "y".into() });
    let refused = |folder: &Path, spec: &DatasetSpec, free: fn() -> u64, what: &str| {
        let message =
            Catalog::with_memory(folder, free).loaded(spec).expect_err("there is no room").to_string();
        assert!(message.contains(what) && message.contains("that this machine has room for"), "{message}");
        assert!(Catalog::with_memory(folder, || 1 << 20).loaded(spec).is_ok(), "{spec:?}");
    };
    let sizes = "mnist.npz: the size in bytes of its arrays together exceeds the 30 bytes";
    refused(golden(), &npz("mnist.npz", "x_train", "y_train"), || 60, sizes);
    refused(
        golden(),
        &safetensors("images", "labels"),
        || 60,
        "mnist.safetensors: the size in bytes of [6, 2, 3] of the array",
    );
    refused(golden(), &table("species"), || 60, "table.parquet: the size in bytes");
    refused(golden(), &images("colour"), || 20, "the size in bytes of ");
    // It is small as long as it is not inflated.
    refused(gzipped.path(), &long, || 4_000, "long.csv: the size in bytes exceeds the 2000 bytes");
}

#[test]
fn a_dataset_that_nobody_uses_makes_room_for_another() {
    static FULL: AtomicBool = AtomicBool::new(false);
    // As if the first took all there is, until it has been asked for.
    let catalog =
        Catalog::with_memory(golden(), || if FULL.swap(false, Ordering::Relaxed) { 60 } else { 1 << 20 });
    let first = catalog.loaded(&npz("mnist.npz", "x_train", "y_train")).unwrap();
    FULL.store(true, Ordering::Relaxed);
    assert!(
        matches!(catalog.loaded(&safetensors("images", "labels")), Err(Error::Memory { .. })),
        "the first is in use"
    );
    drop(first);
    FULL.store(true, Ordering::Relaxed);
    catalog.loaded(&safetensors("images", "labels")).unwrap();
}

#[test]
fn every_type_of_array_is_read() {
    let types = ["i1", "i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8"].map(|name| format!("le_{name}"));
    for name in types.into_iter().chain(["be_i2", "be_i4", "be_f4", "fortran"].map(str::to_owned)) {
        let dataset =
            load(&npz("types.npz", &name, "labels")).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (&dataset.features, dataset.schema.scale_max),
            (&Features::F32(vec![0.0, 1.0, 2.0, 3.0]), None),
            "{name}"
        );
    }
    let bools = load(&npz("types.npz", "bool", "column")).unwrap();
    assert_eq!(
        (&bools.features, &bools.labels),
        (&Features::F32(vec![0.0, 1.0, 1.0, 1.0]), &Labels::Classes(vec![1, 0]))
    );
    assert_eq!(load(&npz("types.npz", "labels", "values")).unwrap().labels, Labels::Values(vec![0.5, -1.5]));
}

#[test]
fn an_array_that_cannot_be_used_is_named_with_the_reason() {
    let types = |features, labels| npz("types.npz", features, labels);
    check(
        &types("nan", "labels"),
        "features",
        "array \"nan\": row 1, value 0 (from 0) is NaN, not a finite 32-bit float",
    );
    check(&types("text", "labels"), "features", "array \"text\": has the type \"<U1\"");
    check(&types("complex", "labels"), "features", "has the type \"<c16\"");
    check(&types("structured", "labels"), "features", "has the type \"structured\"");
    check(&types("scalar", "labels"), "features", "holds a single number");
    check(&types("empty", "labels"), "features", "so no values");
    check(&types("none", "labels"), "features", "the file has no such array; its arrays are be_f4, be_i2,");
    check(&types("le_f4", "negative"), "labels", "array \"negative\": row 1 (from 0) has the label -1");
    let beyond = "types.npz, array \"huge\": row 1 (from 0) has the label 1099511627776, beyond the 65536 classes allowed; store the values of a";
    check(&types("le_f4", "huge"), "labels", beyond);
    check(
        &types("le_f4", "one_hot"),
        "labels",
        "labels need one dimension, these have [2, 2]; store class numbers (argmax)",
    );
    check(
        &types("le_f4", "le_f8"),
        "labels",
        "labels need one dimension, these have [2, 2]; labels are one number a row",
    );
    check(&types("le_f4", "three"), "labels", "3 labels for the 2 rows of le_f4; they must agree");
    let held_out = DatasetSpec { validation: Some(files("le_f4", "three")), ..types("le_f8", "labels") };
    check(&held_out, "validation/labels", "3 labels for the 2 rows of le_f4");
    check(&npz("table.parquet", "a", "b"), "source", "is no NPZ file, or is cut off");
    check(&npz("none.npz", "a", "b"), "source", "there is no file \"none.npz\"");
}

#[test]
fn weights_come_with_the_arrays() {
    let weighted =
        |name: &str| DatasetSpec { sample_weight: Some(name.into()), ..npz("types.npz", "le_f4", "labels") };
    let plain = load(&npz("types.npz", "le_f4", "labels")).unwrap();
    let dataset = load(&weighted("weights")).unwrap();
    assert_eq!((&dataset.weights, &plain.weights), (&Some(vec![0.5, 2.0]), &None));
    assert_ne!(dataset.schema.hash, plain.schema.hash);
    check(&weighted("three"), "sample_weight", "3 weights for the 2 rows of le_f4");
    check(&weighted("negative"), "sample_weight", "row 1 (from 0) has a weight below 0");
    check(&weighted("zero_weights"), "sample_weight", "all weights are 0");
    check(&weighted("none"), "sample_weight", "the file has no such array");
}

#[test]
fn safetensors_hold_the_same_dataset_as_npz() {
    let validation = Some(files("test_images", "test_labels"));
    let dataset = load(&DatasetSpec { validation, ..safetensors("images", "labels") }).unwrap();
    let same = load(&DatasetSpec {
        validation: Some(files("x_test", "y_test")),
        ..npz("mnist.npz", "x_train", "y_train")
    })
    .unwrap();
    assert_eq!(dataset.schema, same.schema);
    let weighted =
        load(&DatasetSpec { sample_weight: Some("weights".into()), ..safetensors("images", "labels") })
            .unwrap();
    assert_eq!(weighted.weights, Some(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
    check(
        &safetensors("nan", "labels"),
        "features",
        "mnist.safetensors, array \"nan\": row 0, value 0 (from 0) is NaN",
    );
    check(
        &safetensors("none", "labels"),
        "features",
        "the file has no such tensor; its tensors are images, labels, nan, test_images,",
    );
}

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
    let Source::Parquet { label, .. } = spec.source.clone() else { unreachable!() };
    for path in ["table-gzip.parquet", "table-zstd.parquet", "table-lz4.parquet"] {
        let other = DatasetSpec {
            source: Source::Parquet { path: path.into(), label: label.clone() },
            ..spec.clone()
        };
        assert_eq!(
            load(&other).unwrap().schema,
            dataset.schema,
            "{path}: codec, pages and row groups don't matter"
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
    check(&floats, "one_hot", "column \"double\": 0.1 is no category; one_hot takes texts and integers");
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
    check(&parquet("mnist.npz", "y"), "source", "is no Parquet file, or is cut off");
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
        damaged.contains("column \"int8\": the header of a page can't be read; copy the file again"),
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
fn folders_of_images_are_classes_in_the_order_of_their_names() {
    let grey = load(&images("grey")).unwrap();
    assert_eq!(
        (grey.schema.shape.as_slice(), grey.schema.rows, grey.schema.scale_max),
        (&[2, 3, 1][..], 3, Some(255.0))
    );
    assert_eq!(
        (&grey.labels, &*grey.class_names),
        (&Labels::Classes(vec![0, 0, 1]), &["ant".into(), "bee".into()][..])
    );
    assert_eq!(
        grey.features,
        Features::U8((0..3).flat_map(|image| (0..6).map(move |at| 10 * image + at)).collect())
    );
    let colour = load(&images("colour")).unwrap();
    assert_eq!(colour.schema.shape, [2, 3, 3]);
    assert_eq!(
        colour.features,
        Features::U8((0..3).flat_map(|image| (0..18).map(move |at| 10 * image + at)).collect())
    );
    let jpeg = load(&images("jpeg")).unwrap();
    let Features::U8(values) = &jpeg.features else { panic!("images are bytes") };
    let near = |pixel: &[u8], expect: [u8; 3]| {
        pixel.iter().zip(expect).all(|(value, expect)| value.abs_diff(expect) <= 2)
    };
    assert!(
        values[..2 * 192].chunks(3).all(|pixel| near(pixel, [254, 0, 0]))
            && values[2 * 192..].iter().all(|value| *value == 255)
    );
}

#[test]
fn a_jpeg_file_is_whole_or_refused() {
    let read = |bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        for class in ["a", "b"] {
            fs::create_dir_all(folder.path().join("x").join(class)).unwrap();
            fs::write(folder.path().join("x").join(class).join("1.jpg"), bytes).unwrap();
        }
        Catalog::new(folder.path()).loaded(&images("x")).map(|data| data.features.clone())
    };
    let form = |name: &str| fs::read(golden().join("jpeg-forms").join(name)).unwrap();
    let Ok(Features::U8(values)) = read(&form("baseline.jpg")) else { panic!("images are bytes") };
    let peer = form("baseline.raw");
    // Decoders round in their own ways, and spread the colours of two pixels differently.
    let far = values.iter().zip(&peer).map(|(value, peer)| value.abs_diff(*peer)).max();
    assert!(values.len() == 2 * peer.len() && far <= Some(4), "{far:?} away from libjpeg's");
    for name in ["baseline.jpg", "progressive.jpg", "restarts.jpg", "grey.jpg"] {
        let whole = form(name);
        let features = read(&whole).unwrap();
        // Some cameras write more behind the end, a film even, in which anything may stand.
        for behind in [&[0; 40][..], b"ftypmp42\xff\xda\x00\x0c\xff\xc0"] {
            assert_eq!(read(&[&whole[..], behind].concat()).unwrap(), features, "{name}");
        }
        for length in 0..whole.len() {
            let error = read(&whole[..length])
                .map(drop)
                .expect_err(&format!("{name} of {length} bytes must be refused"))
                .to_string();
            assert!(
                error.starts_with("x/a/1.jpg: ") && error.ends_with("remove it or copy it again"),
                "{error}"
            );
        }
    }
    assert_eq!(read(&form("flat.jpg")).unwrap(), Features::U8(vec![137; 2 * 28 * 28]));
    // A comment, and a segment of a program's own, between the scan and the end.
    for name in ["baseline.jpg", "restarts.jpg", "grey.jpg", "flat.jpg"] {
        let whole = form(name);
        let (image, end) = whole.split_at(whole.len() - 2);
        for segment in [b"\xff\xfe\x00\x07hello", b"\xff\xec\x00\x07hello"] {
            assert_eq!(read(&[image, segment, end].concat()).unwrap(), read(&whole).unwrap(), "{name}");
        }
    }
    // A byte of the scan that is none: what follows would be grey.
    let whole = form("baseline.jpg");
    let (begin, rest) = whole.split_at(whole.len() - 60);
    assert!(!begin.ends_with(b"\xff") && read(&[begin, b"\xff\x3c\x00\x02", rest].concat()).is_err());
    // The decoder makes other pixels of these than libjpeg does.
    for name in ["scans.jpg", "even-scans.jpg", "fine-colours.jpg"] {
        let error = read(&form(name)).map(drop).unwrap_err().to_string();
        assert!(
            error.ends_with("stored in an unusual order; save it again as an ordinary or a progressive JPEG"),
            "{name}: {error}"
        );
    }
}

#[test]
fn an_image_is_what_it_is_and_not_what_it_is_called() {
    let file = |name: &str| fs::read(golden().join(name)).unwrap();
    let read = |name: &str, bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        for class in ["a", "b"] {
            fs::create_dir_all(folder.path().join("x").join(class)).unwrap();
            fs::write(folder.path().join("x").join(class).join(name), bytes).unwrap();
        }
        Catalog::new(folder.path())
            .loaded(&images("x"))
            .map(|data| data.features.clone())
            .map_err(|error| error.to_string())
    };
    let jpeg = file("jpeg-forms/baseline.jpg");
    let features = read("1.jpg", &jpeg).unwrap();
    for name in ["1.png", "1.JFIF", "1.jpe"] {
        assert_eq!(read(name, &jpeg).unwrap(), features, "{name}");
    }
    let error = read("1.jpg", b"GIF89a\x01\0\x01\0\0\0\0").unwrap_err();
    assert_eq!(error, "x/a/1.jpg: is Gif, not PNG or JPEG; convert it");
    assert!(read("1.png", b"<html>").unwrap_err().contains("is no PNG or JPEG file inside"));
}

/// A copy of the grey images, with one file of the golden folder added as `ant/3.png`.
fn with_image(name: &str, base: &str) -> (tempfile::TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    for image in ["ant/1.png", "ant/2.PNG", "bee/1.png"] {
        fs::create_dir_all(folder.path().join("x").join(image).parent().unwrap()).unwrap();
        fs::copy(golden().join(base).join(image), folder.path().join("x").join(image)).unwrap();
    }
    fs::copy(golden().join(name), folder.path().join("x/ant/3.png")).unwrap();
    let catalog = Catalog::new(folder.path());
    (folder, catalog)
}

#[test]
fn an_image_that_does_not_fit_is_named_with_the_reason() {
    let message = |name: &str, base: &str| {
        with_image(name, base).1.loaded(&images("x")).expect_err("must be refused").to_string()
    };
    assert_eq!(
        message("other-size.png", "grey"),
        "x/ant/3.png: the image is 4 × 4 pixels, x/ant/1.png is 3 × 2; all images of a dataset must have one size"
    );
    assert!(
        message("colour/ant/1.png", "grey")
            .contains("x/ant/3.png: the image is in colours, x/ant/1.png is grey")
    );
    assert!(message("transparent.png", "colour").contains("has transparent pixels"));
    assert!(message("deep.png", "grey").contains("has 16 bits a channel"));
    assert!(message("mnist.npz", "grey").contains("x/ant/3.png: is no PNG or JPEG file inside"));
    let (_folder, catalog) = with_image("opaque.png", "colour");
    let Features::U8(values) = &catalog.loaded(&images("x")).unwrap().features else {
        panic!("images are bytes")
    };
    assert_eq!(values[36..42], [1, 2, 3, 1, 2, 3], "an alpha channel that says nothing is left out");
}

#[test]
fn a_bomb_among_images_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    for class in ["a", "b"] {
        fs::create_dir_all(folder.path().join("x").join(class)).unwrap();
        fs::copy(golden().join("bomb.png"), folder.path().join("x").join(class).join("1.png")).unwrap();
    }
    let message = Catalog::new(folder.path()).loaded(&images("x")).unwrap_err().to_string();
    assert!(
        message.contains("12000 × 12000 pixels exceeds the bound") || message.contains("can't be decoded"),
        "{message}"
    );
    let huge = fs::File::create(folder.path().join("x/a/0.png")).unwrap();
    huge.set_len(limits::IMAGE_FILE_BYTES_MAX + 1).unwrap();
    assert!(
        Catalog::new(folder.path())
            .loaded(&images("x"))
            .unwrap_err()
            .to_string()
            .contains("the file's size in bytes exceeds")
    );
}

#[test]
fn a_folder_that_is_none_of_images_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::new(folder.path());
    let message = |path: &str| catalog.loaded(&images(path)).expect_err("must be refused").to_string();
    let image = |path: &str| {
        fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
        fs::copy(golden().join("grey/ant/1.png"), folder.path().join(path)).unwrap();
    };
    assert_eq!(
        message("x"),
        "there is no file \"x\" in the datasets folder; put it there, or correct the path"
    );
    fs::write(folder.path().join("file"), "").unwrap();
    assert!(message("file").contains("file/: is no folder"));
    image("x/ant/1.png");
    assert!(message("x").contains("has 1 folders with images"));
    fs::create_dir(folder.path().join("x/bee")).unwrap();
    assert!(message("x").contains("the folder \"bee\" has no image"));
    image("x/bee/1.png");
    for passed_over in ["x/.DS_Store", "x/bee/.hidden", "x/README.md"] {
        fs::write(folder.path().join(passed_over), "").unwrap();
    }
    assert_eq!(catalog.loaded(&images("x")).unwrap().schema.rows, 2);
    image("x/1.png");
    assert!(message("x").contains("the image \"1.png\" lies beside the folders of the classes"));
    fs::remove_file(folder.path().join("x/1.png")).unwrap();
    fs::write(folder.path().join("x/bee/notes.txt"), "").unwrap();
    assert!(message("x").contains("bee/notes.txt is no PNG or JPEG file"));
    fs::remove_file(folder.path().join("x/bee/notes.txt")).unwrap();
    std::os::unix::fs::symlink(golden().join("grey/bee/1.png"), folder.path().join("x/bee/2.png")).unwrap();
    assert!(message("x").contains("leaves the datasets folder through a link"));
}

#[test]
fn a_changed_image_is_read_again() {
    let (folder, catalog) = with_image("grey/ant/1.png", "grey");
    let before = catalog.schema(&images("x")).unwrap();
    assert_eq!(catalog.schema(&images("x")).unwrap(), before);
    fs::remove_file(folder.path().join("x/ant/3.png")).unwrap();
    fs::copy(golden().join("grey/bee/1.png"), folder.path().join("x/ant/3.png")).unwrap();
    assert_ne!(catalog.schema(&images("x")).unwrap().hash, before.hash);
}

#[test]
fn the_schema_is_refused_where_the_split_would_be() {
    let catalog = Catalog::new(golden());
    let spec = npz("mnist.npz", "x_train", "y_train");
    let folds = |folds| catalog.schema(&DatasetSpec { folds: Some(folds), ..spec.clone() });
    assert_eq!(folds(2).unwrap(), catalog.schema(&spec).unwrap());
    let error = folds(3).unwrap_err();
    assert!(
        error.field(&spec) == "folds"
            && error
                .to_string()
                .starts_with("mnist.npz, array \"y_train\": class 2 would not be judged: of its 2 rows"),
        "{error}"
    );
}

/// Flips bits of each byte in turn and cuts the file at each length; `same` where a checksum guards
/// the data.
fn damage(name: &str, spec: &DatasetSpec, same: bool) {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(golden().join(name)).unwrap();
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let other = golden().join(Path::new(name).parent().unwrap()).join("../white/a.jpg");
    if name.contains('/') {
        let beside = path.parent().unwrap().join("../white");
        fs::create_dir_all(&beside).unwrap();
        fs::copy(other, beside.join("a.jpg")).unwrap();
    }
    let load = |bytes: &[u8]| {
        // A new file: ext4 writes one that was cut to nothing and filled anew to the disk at once.
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).unwrap();
        // A catalog of its own: times are too coarse to tell the versions of the file apart.
        Catalog::new(folder.path())
            .loaded(spec)
            .map(|dataset| dataset.schema.hash.clone())
            .map_err(|error| error.to_string())
    };
    let whole = load(&bytes).unwrap();
    for length in 0..bytes.len() {
        let outcome = load(&bytes[..length]);
        assert!(outcome.is_err() || !same, "{name} cut after {length} bytes is read");
    }
    for at in 0..bytes.len() {
        for flip in [0x01, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            if let Ok(hash) = load(&damaged) {
                assert!(hash == whole || !same, "{name} with byte {at} changed by {flip:#x} is other data");
            }
        }
    }
}

#[test]
fn a_damaged_npz_is_refused_or_the_same() {
    damage("mnist.npz", &npz("mnist.npz", "x_train", "y_train"), true);
    damage("stored.npz", &npz("stored.npz", "x_train", "y_train"), true);
}

#[test]
fn a_damaged_safetensors_file_does_not_panic() {
    damage("mnist.safetensors", &safetensors("images", "labels"), false);
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
fn a_damaged_parquet_file_does_not_panic() {
    damage("table.parquet", &table("species"), false);
    for path in ["table-gzip.parquet", "table-zstd.parquet", "table-lz4.parquet"] {
        damage(path, &DatasetSpec { one_hot: table("species").one_hot, ..parquet(path, "species") }, false);
    }
    damage("half.parquet", &parquet("half.parquet", "y"), false);
}

#[test]
fn a_damaged_image_does_not_panic() {
    damage("jpeg/red/a.jpg", &images("jpeg"), false);
}

/// An NPY file of `dims` in this type, whose values are these bytes.
fn npy(descr: &str, dims: &str, values: &[u8]) -> Vec<u8> {
    let fields = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {dims}, }}\n");
    [b"\x93NUMPY\x01\x00", &(fields.len() as u16).to_le_bytes()[..], fields.as_bytes(), values].concat()
}

#[test]
fn times_in_milliseconds_are_kept_in_64_bits_whatever_the_format() {
    let folder = tempfile::tempdir().unwrap();
    // 400 times of one minute; in 32 bits they are one number or two.
    let times: Vec<i64> = (0..400).map(|row| 1_700_000_000_000 + row * 7_919 % 60_000).collect();
    let labels: Vec<u8> = (0..400).map(|row| (row % 2) as u8).collect();
    let rows = times.iter().zip(&labels).map(|(time, label)| format!("{time},{label}\n"));
    fs::write(folder.path().join("times.csv"), format!("t,y\n{}", rows.collect::<String>())).unwrap();
    let mut zip = zip::ZipWriter::new(fs::File::create(folder.path().join("times.npz")).unwrap());
    let floats: Vec<u8> = times.iter().flat_map(|time| (*time as f64).to_le_bytes()).collect();
    let integers: Vec<u8> = times.iter().flat_map(|time| time.to_be_bytes()).collect();
    for (name, file) in [
        ("f", npy("<f8", "(400, 1)", &floats)),
        ("i", npy(">i8", "(400, 1)", &integers)),
        ("y", npy("|u1", "(400,)", &labels)),
    ] {
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&file).unwrap();
    }
    zip.finish().unwrap();
    let catalog = Catalog::new(folder.path());
    let csv = catalog
        .loaded(&DatasetSpec::new(Source::Csv { path: "times.csv".into(), label: "y".into() }))
        .unwrap();
    assert_eq!(csv.features, Features::F64(times.iter().map(|time| *time as f64).collect()));
    assert_eq!((csv.schema.dtype.as_str(), csv.bytes()), ("float64", 400 * 12));
    assert!(
        csv.collapse.as_ref().is_some_and(|collapse| collapse.feature == "column \"t\""),
        "{:?}",
        csv.collapse
    );
    for array in ["f", "i"] {
        let dataset = catalog.loaded(&npz("times.npz", array, "y")).unwrap();
        assert_eq!(dataset.schema.hash, csv.schema.hash, "{array}: one dataset, in whatever format");
        // The rows that validate are kept as those that train, by whose spread they are scaled.
        let spec = DatasetSpec { validation: Some(files("i", "y")), ..npz("times.npz", array, "y") };
        assert!(
            matches!(&catalog.loaded(&spec).unwrap().features, Features::F64(values) if values.len() == 800)
        );
    }
}

#[test]
fn parquet_columns_of_large_numbers_are_kept_in_64_bits() {
    use parquet::data_type::{DoubleType, Int64Type};
    let folder = tempfile::tempdir().unwrap();
    let schema = "message m { required int64 t; required double u; required int64 y; }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let file = fs::File::create(folder.path().join("t.parquet")).unwrap();
    let mut writer = parquet::file::writer::SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
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

#[test]
fn datasets_that_32_bits_hold_stay_in_them() {
    for name in ["iris", "wine", "breast_cancer", "diabetes"] {
        let folder = tempfile::tempdir().unwrap();
        // As a file, where it is told from the values.
        let packed =
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/builtin")).join(format!("{name}.csv.gz"));
        fs::copy(packed, folder.path().join("a.csv.gz")).unwrap();
        let catalog = Catalog::new(folder.path());
        let file = catalog
            .loaded(&DatasetSpec::new(Source::Csv { path: "a.csv.gz".into(), label: "label".into() }))
            .unwrap();
        let builtin = catalog.loaded(&DatasetSpec::new(Source::Builtin(name.into()))).unwrap();
        assert_eq!(
            (file.schema.dtype.as_str(), &file.schema.hash),
            ("float32", &builtin.schema.hash),
            "{name}"
        );
    }
}

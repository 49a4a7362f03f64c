//! Checks the sizes of the pages of a Parquet file before one is inflated.
//!
//! The crate does not show the header of a page: it allocates the size that a header announces, up
//! to 2 GiB, and inflates gzip to its end whatever the header says (zstd and LZ4 no further than
//! that size): github.com/apache/arrow-rs/issues/10734. So headers are read here first. A header is a struct of Thrift's compact protocol
//! (github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md), the `PageHeader` of
//! github.com/apache/parquet-format. It is read more strictly than in the crate, so that both see
//! the same pages: the numbers of fields rise, and each field has its own type.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;
use parquet::file::metadata::ColumnChunkMetaData;

use crate::limits;

/// Why the pages of a column are not read.
#[derive(Debug)]
pub(crate) enum Refused {
    /// They would inflate to more than is left.
    TooLarge,
    /// A header cannot be read, or a page is not what its header says.
    Damaged(String),
}

/// Checks the headers of all pages of `chunk`, and the size of gzipped pages; subtracts all sizes
/// from the bytes that are `left`.
pub(crate) fn check(file: &File, chunk: &ColumnChunkMetaData, left: &mut u64) -> Result<(), Refused> {
    let damaged = |detail: &str| Refused::Damaged(detail.to_owned());
    let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
    let (Ok(start), Ok(length)) = (u64::try_from(start), u64::try_from(chunk.compressed_size())) else {
        return Err(damaged("its place in the file is below 0"));
    };
    let mut input = BufReader::new(file);
    input.seek(SeekFrom::Start(start))?;
    let mut remaining = length;
    while remaining > 0 {
        let mut thrift = Thrift { input: (&mut input).take(remaining.min(limits::PARQUET_HEADER_BYTES_MAX)) };
        let budget = thrift.input.limit();
        let header = thrift.header()?;
        remaining -= budget - thrift.input.limit();
        if header.compressed > remaining {
            return Err(damaged("a page ends after its column"));
        }
        *left = left.checked_sub(header.inflated).ok_or(Refused::TooLarge)?;
        remaining -= header.compressed;
        match chunk.compression() {
            // The crate does not inflate a page that announces nothing.
            Compression::GZIP(_) if header.is_compressed && header.inflated != header.plain => {
                let mut body = (&mut input).take(header.compressed);
                io::copy(&mut (&mut body).take(header.plain), &mut io::sink())?;
                let most = header.inflated.saturating_sub(header.plain);
                let inflated = io::copy(&mut MultiGzDecoder::new(&mut body).take(most + 1), &mut io::sink())?;
                if inflated > most {
                    return Err(damaged("a page inflates to more than its header says"));
                }
                io::copy(&mut body, &mut io::sink())?;
            }
            _ => input.seek_relative(header.compressed as i64)?,
        }
    }
    Ok(())
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Refused {
        Refused::Damaged(error.to_string())
    }
}

/// The sizes that the header of a page announces, in bytes.
#[derive(Debug, Default)]
struct Header {
    /// After inflating, including the part that is not compressed.
    inflated: u64,
    /// In the file.
    compressed: u64,
    /// The part at the start that is never compressed: the levels of a page of version 2.
    plain: u64,
    is_compressed: bool,
}

const BOOL: u8 = 1;
const I32: u8 = 5;
const STRUCT: u8 = 12;
/// The types of the fields of `PageHeader`, from field 1. A later field may have any type.
const PAGE: &[u8] = &[I32, I32, I32, I32, STRUCT, STRUCT, STRUCT, STRUCT];
const DATA_PAGE: &[u8] = &[I32, I32, I32, I32, STRUCT];
const DICTIONARY_PAGE: &[u8] = &[I32, I32, BOOL];
const DATA_PAGE_V2: &[u8] = &[I32, I32, I32, I32, I32, I32, BOOL, STRUCT];

/// A reader of Thrift's compact protocol.
struct Thrift<R> {
    input: R,
}

impl<R: Read> Thrift<R> {
    fn header(&mut self) -> Result<Header, Refused> {
        let mut header = Header { is_compressed: true, ..Header::default() };
        let mut sizes = [None; 2];
        self.fields(PAGE, |thrift, id, kind| {
            match id {
                2 => sizes[0] = Some(thrift.size()?),
                3 => sizes[1] = Some(thrift.size()?),
                5 => thrift.fields(DATA_PAGE, |thrift, _, kind| thrift.skip(kind, 0))?,
                7 => thrift.fields(DICTIONARY_PAGE, |thrift, _, kind| thrift.skip(kind, 0))?,
                8 => thrift.fields(DATA_PAGE_V2, |thrift, id, kind| {
                    match id {
                        5 | 6 => header.plain += thrift.size()?,
                        7 => header.is_compressed = kind == BOOL,
                        _ => thrift.skip(kind, 0)?,
                    }
                    Ok(())
                })?,
                _ => thrift.skip(kind, 0)?,
            }
            Ok(())
        })?;
        let [Some(inflated), Some(compressed)] = sizes else { return Err(wrong()) };
        Ok(Header { inflated, compressed, ..header })
    }

    /// Calls `read` with the number and the type of each field of a struct; it reads the value. True
    /// and false are types of their own.
    fn fields(
        &mut self,
        kinds: &[u8],
        mut read: impl FnMut(&mut Self, u32, u8) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let mut id = 0u32;
        loop {
            let byte = self.byte()?;
            let (delta, kind) = (byte >> 4, byte & 15);
            if kind == 0 {
                return Ok(());
            }
            id += u32::from(delta);
            let known = kinds
                .get(id.wrapping_sub(1) as usize)
                .is_none_or(|known| *known == kind || (*known == BOOL && kind == 2));
            if delta == 0 || !known {
                return Err(wrong());
            }
            read(self, id, kind)?;
        }
    }

    /// Skips a value. Statistics nest deepest in a header: twice.
    fn skip(&mut self, kind: u8, depth: u32) -> Result<(), Refused> {
        match kind {
            1 | 2 => Ok(()),
            3 => self.byte().map(drop),
            4..=6 => self.number().map(drop),
            7 => self.skip_bytes(8),
            8 => {
                let length = self.number()?;
                self.skip_bytes(length)
            }
            STRUCT if depth < 2 => self.fields(&[], |thrift, _, kind| thrift.skip(kind, depth + 1)),
            _ => Err(wrong()),
        }
    }

    /// A 32-bit integer that is at least 0.
    fn size(&mut self) -> Result<u64, Refused> {
        let zigzag = self.number()?;
        if zigzag & 1 == 1 || zigzag / 2 > i32::MAX as u64 { Err(wrong()) } else { Ok(zigzag / 2) }
    }

    /// An integer in bytes of seven bits, the lowest first.
    fn number(&mut self) -> Result<u64, Refused> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(wrong())
    }

    fn skip_bytes(&mut self, count: u64) -> Result<(), Refused> {
        let skipped = io::copy(&mut (&mut self.input).take(count), &mut io::sink())?;
        if skipped < count { Err(wrong()) } else { Ok(()) }
    }

    fn byte(&mut self) -> Result<u8, Refused> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

fn wrong() -> Refused {
    Refused::Damaged("the header of a page cannot be read".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use flate2::write::GzEncoder;
    use parquet::basic::GzipLevel;
    use parquet::schema::parser::parse_message_type;
    use parquet::schema::types::SchemaDescriptor;

    use super::*;

    /// Field `id` of Thrift's 32-bit integers, right after `before`.
    fn int(id: u8, before: u8, value: i64) -> Vec<u8> {
        let (mut zigzag, mut bytes) = (((value << 1) ^ (value >> 63)) as u64, vec![(id - before) << 4 | I32]);
        while zigzag > 127 {
            bytes.push(zigzag as u8 | 128);
            zigzag >>= 7;
        }
        bytes.push(zigzag as u8);
        bytes
    }

    /// The header of a dictionary page of these sizes.
    fn header(inflated: i64, compressed: i64) -> Vec<u8> {
        [
            int(1, 0, 2),
            int(2, 1, inflated),
            int(3, 2, compressed),
            vec![4 << 4 | STRUCT],
            int(1, 0, 1),
            int(2, 1, 0),
            vec![0, 0],
        ]
        .concat()
    }

    /// The header of a page of the second version, `plain` bytes of which are levels.
    fn header_v2(inflated: i64, compressed: i64, plain: [i64; 2], is_compressed: bool) -> Vec<u8> {
        let sizes = [int(1, 0, 3), int(2, 1, inflated), int(3, 2, compressed), vec![5 << 4 | STRUCT]];
        let counts = (1..5).map(|id| int(id, id - 1, 1));
        let levels =
            [int(5, 4, plain[0]), int(6, 5, plain[1]), vec![1 << 4 | if is_compressed { 1 } else { 2 }]];
        // Statistics: a text and whether it is the largest.
        let statistics = vec![1 << 4 | STRUCT, 5 << 4 | 8, 3, b'a', b'b', b'c', 2 << 4 | 1, 0];
        sizes.into_iter().chain(counts).chain(levels).chain([statistics, vec![0, 0]]).flatten().collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    /// What is left of `left` after the pages of a column, or why they are refused.
    fn checked(pages: &[u8], compression: Compression, left: u64) -> Result<u64, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[b"PAR1", pages].concat()).unwrap();
        let schema = parse_message_type("message m { required int32 a; }").unwrap();
        let builder = ColumnChunkMetaData::builder(SchemaDescriptor::new(Arc::new(schema)).column(0))
            .set_compression(compression);
        let chunk =
            builder.set_data_page_offset(4).set_total_compressed_size(pages.len() as i64).build().unwrap();
        let mut left = left;
        match check(&file, &chunk, &mut left) {
            Ok(()) => Ok(left),
            Err(Refused::TooLarge) => Err("too large".to_owned()),
            Err(Refused::Damaged(detail)) => Err(detail),
        }
    }

    #[test]
    fn pages_take_together_what_their_headers_say() {
        let page = |inflated: i64, body: &[u8]| [&header(inflated, body.len() as i64), body].concat();
        let pages = [page(60, b"abc"), page(40, &[1; 100_000])].concat();
        for codec in [Compression::UNCOMPRESSED, Compression::SNAPPY] {
            assert_eq!(checked(&pages, codec, 100), Ok(0));
            assert_eq!(checked(&pages, codec, 99), Err("too large".to_owned()));
        }
        let two_gib = page(i64::from(i32::MAX), b"");
        assert_eq!(
            checked(&two_gib, Compression::SNAPPY, limits::DATASET_BYTES_MAX),
            Err("too large".to_owned())
        );
    }

    #[test]
    fn gzip_inflates_to_no_more_than_its_header_says() {
        let zeros = gzip(&[0; 10_000]);
        let page = |inflated: i64| [header(inflated, zeros.len() as i64), zeros.clone()].concat();
        let codec = Compression::GZIP(GzipLevel::default());
        let more = Err("a page inflates to more than its header says".to_owned());
        assert_eq!(checked(&[page(10_000), page(10_000)].concat(), codec, 20_000), Ok(0));
        assert_eq!(checked(&[page(10_000), page(9_999)].concat(), codec, 20_000), more);
        // Two members, as the crate inflates them.
        let members = [zeros.clone(), gzip(b"a")].concat();
        assert_eq!(checked(&[header(10_000, members.len() as i64), members].concat(), codec, 20_000), more);
        let levels = [&[9; 7], &zeros[..]].concat();
        let page = |inflated, plain, is_compressed| {
            [header_v2(inflated, levels.len() as i64, plain, is_compressed), levels.clone()].concat()
        };
        assert_eq!(checked(&page(10_007, [3, 4], true), codec, 10_007), Ok(0));
        assert_eq!(checked(&page(10_006, [3, 4], true), codec, 20_000), more);
        assert_eq!(
            checked(&page(levels.len() as i64, [3, 4], false), codec, 20_000),
            Ok(20_000 - levels.len() as u64)
        );
        assert_eq!(checked(&page(7, [3, 4], true), codec, 7), Ok(0), "nothing is inflated");
    }

    #[test]
    fn a_header_that_the_crate_may_read_otherwise_is_refused() {
        let wrong = Err("the header of a page cannot be read".to_owned());
        let check = |header: &[&[u8]], expect: &Result<u64, String>| {
            assert_eq!(&checked(&header.concat(), Compression::SNAPPY, 100), expect)
        };
        let begin = [int(1, 0, 2), int(2, 1, 5), int(3, 2, 0)].concat();
        check(&[&begin, &[0]], &Ok(95));
        // Field 2 again, in the long form; field 3 as 64 bits; sizes below 0 or past 32 bits; a
        // list; no size; fields that nest.
        check(&[&begin, &[I32, 4, 0, 0]], &wrong);
        check(&[&begin[..4], &[1 << 4 | 6, 0, 0]], &wrong);
        check(&[&int(1, 0, 2), &int(2, 1, -1), &int(3, 2, 0), &[0]], &wrong);
        check(&[&int(1, 0, 2), &int(2, 1, 1 << 31), &int(3, 2, 0), &[0]], &wrong);
        check(&[&begin, &[9 << 4 | 9, 0, 0]], &wrong);
        check(&[&begin[..4], &[0]], &wrong);
        check(&[&begin, &[9 << 4 | STRUCT], &[1 << 4 | STRUCT; 9]], &wrong);
        check(
            &[&int(1, 0, 2), &int(2, 1, 5), &int(3, 2, 1), &[0]],
            &Err("a page ends after its column".to_owned()),
        );
        assert!(checked(&begin, Compression::SNAPPY, 100).is_err(), "it is cut off");
        check(
            &[&begin, &[9 << 4 | STRUCT, 1 << 4 | 7, 1, 2, 3, 4, 5, 6, 7, 8, 1 << 4 | 3, 1, 0, 0]],
            &Ok(95),
        );
    }
}

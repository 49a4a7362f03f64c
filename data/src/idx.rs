//! IDX, the format of MNIST: two zero bytes, a type, the number of dimensions, the dimensions (big-endian u32), the values (big-endian).
//!
//! Format: yann.lecun.com/exdb/mnist. Rows are the first dimension. Unsigned bytes stay bytes and declare the range 255; the other types become
//! float32 (an i32 or f64 is rounded to it). Labels of an integer type are classes, those of a float type the values of a regression.

use std::io::Read;

use hpo::limits;

use crate::Error;
use crate::dataset::{Features, Labels, Rows};
use crate::folder::io_error;

/// The rows of a pair of IDX files, given as path and content.
pub(crate) fn read(features: (&str, impl Read), labels: (&str, impl Read)) -> Result<Rows, Error> {
    let (features_path, labels_path) = (features.0, labels.0);
    let (dims, _, features) = read_array(features_path, features.1)?;
    let (label_dims, kind, values) = read_array(labels_path, labels.1)?;
    let wrong = |path: &str, detail: String| Error::Format { path: path.to_owned(), detail };
    if label_dims.len() != 1 {
        return Err(wrong(labels_path, format!("labels need one dimension, these have {label_dims:?}")));
    }
    if dims[0] != label_dims[0] {
        return Err(wrong(labels_path, format!("{} labels for the {} rows of {features_path}; they must agree", label_dims[0], dims[0])));
    }
    let shape = if dims.len() == 1 { vec![1] } else { dims[1..].to_vec() };
    let scale_max = matches!(features, Features::U8(_)).then_some(255.0);
    Ok(Rows { shape, features, labels: as_labels(labels_path, kind, values)?, scale_max })
}

/// The type of an IDX file's values.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    U8,
    I8,
    I16,
    I32,
    F32,
    F64,
}

impl Kind {
    fn from_code(code: u8) -> Option<Kind> {
        Some(match code {
            0x08 => Kind::U8,
            0x09 => Kind::I8,
            0x0b => Kind::I16,
            0x0c => Kind::I32,
            0x0d => Kind::F32,
            0x0e => Kind::F64,
            _ => return None,
        })
    }

    fn bytes(self) -> u64 {
        match self {
            Kind::U8 | Kind::I8 => 1,
            Kind::I16 => 2,
            Kind::I32 | Kind::F32 => 4,
            Kind::F64 => 8,
        }
    }
}

fn read_array(path: &str, mut input: impl Read) -> Result<(Vec<usize>, Kind, Features), Error> {
    let wrong = |detail: String| Error::Format { path: path.to_owned(), detail };
    let head = read_bytes(path, &mut input, 4)?;
    let &[0, 0, code, rank] = head.as_slice() else {
        return Err(wrong("is no IDX file: it must start with two zero bytes, a type and the number of dimensions".into()));
    };
    let kind = Kind::from_code(code).ok_or_else(|| wrong(format!("IDX has no type 0x{code:02x}")))?;
    if rank == 0 || usize::from(rank) > limits::IDX_DIMENSIONS_MAX {
        return Err(wrong(format!("has {rank} dimensions; 1 to {} are allowed", limits::IDX_DIMENSIONS_MAX)));
    }
    let dims: Vec<u64> = read_bytes(path, &mut input, 4 * u64::from(rank))?
        .chunks_exact(4)
        .map(|dim| u64::from(u32::from_be_bytes([dim[0], dim[1], dim[2], dim[3]])))
        .collect();
    if dims.contains(&0) {
        return Err(wrong(format!("has the dimensions {dims:?}, so no values")));
    }
    let too_large = |what: &str, max: u64| Error::TooLarge { path: path.to_owned(), what: format!("{what} of {dims:?}"), max };
    // In memory, all types but bytes take four bytes a value. The products can't overflow in 128 bits: at most five dimensions of 32.
    let count: u128 = dims.iter().fold(1u128, |product, dim| product.saturating_mul(u128::from(*dim)));
    let size = kind.bytes().max(if kind == Kind::U8 { 1 } else { 4 });
    if count.saturating_mul(u128::from(size)) > u128::from(limits::DATASET_BYTES_MAX) {
        return Err(too_large("the size in bytes", limits::DATASET_BYTES_MAX));
    }
    if dims[0] > limits::DATASET_ROWS_MAX {
        return Err(too_large("the number of rows", limits::DATASET_ROWS_MAX));
    }
    if count / u128::from(dims[0]) > limits::DATASET_ROW_VALUES_MAX as u128 {
        return Err(too_large("the number of values in a row", limits::DATASET_ROW_VALUES_MAX as u64));
    }
    let bytes = read_bytes(path, &mut input, count as u64 * kind.bytes())?;
    let mut after = [0u8];
    if input.read(&mut after).map_err(|source| io_error(path, source))? != 0 {
        return Err(wrong(format!("goes on after the {count} values that its dimensions {dims:?} announce; is it complete and unmixed?")));
    }
    Ok((dims.into_iter().map(|dim| dim as usize).collect(), kind, decode(path, kind, bytes)?))
}

/// Exactly `count` bytes. Memory grows with what is there, not with what a header claims.
fn read_bytes(path: &str, input: &mut impl Read, count: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    input.take(count).read_to_end(&mut bytes).map_err(|source| io_error(path, source))?;
    if (bytes.len() as u64) < count {
        let detail = format!("ends too early: {count} bytes were to follow, {} did; copy it again", bytes.len());
        return Err(Error::Format { path: path.to_owned(), detail });
    }
    Ok(bytes)
}

fn decode(path: &str, kind: Kind, bytes: Vec<u8>) -> Result<Features, Error> {
    fn words<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|word| value(*word)).collect()
    }
    let values = match kind {
        Kind::U8 => return Ok(Features::U8(bytes)),
        Kind::I8 => words(&bytes, |word| f32::from(i8::from_be_bytes(word))),
        Kind::I16 => words(&bytes, |word| f32::from(i16::from_be_bytes(word))),
        Kind::I32 => words(&bytes, |word| i32::from_be_bytes(word) as f32),
        Kind::F32 => words(&bytes, f32::from_be_bytes),
        Kind::F64 => words(&bytes, |word| f64::from_be_bytes(word) as f32),
    };
    if let Some(position) = values.iter().position(|value| !value.is_finite()) {
        let detail = format!("value {position} (from 0) is {}, not a finite 32-bit float; clean the file", values[position]);
        return Err(Error::Format { path: path.to_owned(), detail });
    }
    Ok(Features::F32(values))
}

fn as_labels(path: &str, kind: Kind, values: Features) -> Result<Labels, Error> {
    match values {
        Features::U8(values) => Ok(Labels::Classes(values.into_iter().map(u32::from).collect())),
        Features::F32(values) if matches!(kind, Kind::F32 | Kind::F64) => Ok(Labels::Values(values)),
        Features::F32(values) => match values.iter().position(|value| *value < 0.0) {
            Some(row) => {
                let detail = format!(
                    "row {row} (from 0) has the label {}; classes count from 0, the values of a regression are floats",
                    values[row]
                );
                Err(Error::Format { path: path.to_owned(), detail })
            }
            None => Ok(Labels::Classes(values.into_iter().map(|value| value as u32).collect())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idx(code: u8, dims: &[u32], values: &[u8]) -> Vec<u8> {
        let dims = dims.iter().flat_map(|dim| dim.to_be_bytes());
        [0, 0, code, (dims.clone().count() / 4) as u8].into_iter().chain(dims).chain(values.iter().copied()).collect()
    }

    fn pair(features: &[u8], labels: &[u8]) -> Result<Rows, Error> {
        read(("images", features), ("labels", labels))
    }

    fn message(features: &[u8], labels: &[u8]) -> String {
        pair(features, labels).expect_err("must be refused").to_string()
    }

    #[test]
    fn images_stay_bytes_and_labels_become_classes() {
        let rows = pair(&idx(8, &[2, 1, 3], &[1, 2, 3, 4, 5, 255]), &idx(8, &[2], &[7, 0])).unwrap();
        assert_eq!((rows.shape, rows.scale_max), (vec![1, 3], Some(255.0)));
        assert_eq!(rows.features, Features::U8(vec![1, 2, 3, 4, 5, 255]));
        assert_eq!(rows.labels, Labels::Classes(vec![7, 0]));
    }

    #[test]
    fn every_type_is_read() {
        let labels = idx(8, &[2], &[0, 1]);
        let check = |code: u8, bytes: Vec<u8>, expect: [f32; 2]| {
            let rows = pair(&idx(code, &[2], &bytes), &labels).unwrap();
            assert_eq!((rows.shape, rows.scale_max, rows.features), (vec![1], None, Features::F32(expect.to_vec())));
        };
        check(0x09, vec![0xff, 2], [-1.0, 2.0]);
        check(0x0b, [(-300i16).to_be_bytes(), 2i16.to_be_bytes()].concat(), [-300.0, 2.0]);
        check(0x0c, [(-70_000i32).to_be_bytes(), 2i32.to_be_bytes()].concat(), [-70_000.0, 2.0]);
        check(0x0d, [0.5f32.to_be_bytes(), 2f32.to_be_bytes()].concat(), [0.5, 2.0]);
        check(0x0e, [0.1f64.to_be_bytes(), 2f64.to_be_bytes()].concat(), [0.1, 2.0]);
    }

    #[test]
    fn integer_labels_are_classes_and_float_labels_are_values() {
        let images = idx(8, &[2], &[1, 2]);
        let wide = pair(&images, &idx(0x0c, &[2], &[0, 0, 1, 0, 0, 0, 0, 3])).unwrap();
        assert_eq!(wide.labels, Labels::Classes(vec![256, 3]));
        let floats = pair(&images, &idx(0x0d, &[2], &[1.0f32.to_be_bytes(), (-2.5f32).to_be_bytes()].concat())).unwrap();
        assert_eq!(floats.labels, Labels::Values(vec![1.0, -2.5]));
        assert_eq!(
            message(&images, &idx(0x09, &[2], &[0, 0xff])),
            "labels: row 1 (from 0) has the label -1; classes count from 0, the values of a regression are floats"
        );
    }

    #[test]
    fn a_damaged_file_is_refused_with_its_name_and_the_reason() {
        let (images, labels) = (idx(8, &[2, 2], &[1, 2, 3, 4]), idx(8, &[2], &[0, 1]));
        let check = |images: &[u8], labels: &[u8], expect: &str| {
            let message = message(images, labels);
            assert!(message.contains(expect), "{message:?} should say {expect:?}");
        };
        for length in 0..images.len() {
            check(&images[..length], &labels, "images: ends too early");
        }
        check(&images, &labels[..9], "labels: ends too early: 2 bytes were to follow, 1 did");
        check(&[&images[..], &[9]].concat(), &labels, "goes on after the 4 values");
        check(b"PK\x03\x04....", &labels, "is no IDX file");
        check(&idx(0x0a, &[1], &[1]), &labels, "no type 0x0a");
        check(&idx(8, &[], &[]), &labels, "has 0 dimensions");
        check(&idx(8, &[1; 6], &[1]), &labels, "has 6 dimensions");
        check(&idx(8, &[2, 0], &[]), &labels, "so no values");
        check(&images, &idx(8, &[3], &[0, 1, 2]), "labels: 3 labels for the 2 rows of images");
        check(&images, &images, "labels need one dimension, these have [2, 2]");
        check(&idx(0x0d, &[2], &[0, 0, 0, 0, 0x7f, 0xc0, 0, 0]), &labels, "value 1 (from 0) is NaN");
        check(&idx(0x0e, &[1], &1e300f64.to_be_bytes()), &labels, "is inf");
    }

    #[test]
    fn a_header_that_claims_too_much_takes_no_memory() {
        let labels = idx(8, &[2], &[0, 1]);
        let check = |dims: &[u32], expect: &str| assert!(message(&idx(8, dims, &[]), &labels).contains(expect), "{dims:?}");
        check(&[u32::MAX; 5], "the size in bytes");
        check(&[1 << 30, 2], "the size in bytes");
        check(&[60_000_000], "the number of rows");
        check(&[1, 1 << 21], "the number of values in a row");
        check(&[1 << 10, 1 << 20], "ends too early");
        // A bomb: the header announces four values, an endless stream of zeros follows.
        let header = idx(8, &[2, 2], &[]);
        let error = read(("images", header.chain(std::io::repeat(0))), ("labels", &labels[..])).unwrap_err();
        assert!(error.to_string().contains("goes on after the 4 values"));
    }
}

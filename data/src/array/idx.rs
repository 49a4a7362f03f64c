//! IDX, the format of MNIST: two zero bytes, a type, the number of dimensions, the dimensions
//! (big-endian u32), the values (big-endian).
//!
//! Format: yann.lecun.com/exdb/mnist. [`array`](crate::array) says what the values become.

use std::io::Read;

use super::{Array, At, Header, Kind, Order};
use crate::Error;
use crate::bits::Bits;
use crate::limits;
use crate::reading::Reading;
use crate::rows::Rows;

/// The rows of a pair of IDX files, given as path and content; features are kept in `bits`.
pub(crate) fn read(
    features: (&str, impl Read),
    bits: Bits,
    labels: (&str, impl Read),
    reading: &Reading,
) -> Result<Rows, Error> {
    super::rows(
        read_array(features.0, features.1, bits, reading)?,
        read_array(labels.0, labels.1, Bits::Narrow, reading)?,
    )
}

fn read_array<'a>(
    path: &'a str,
    mut input: impl Read,
    bits: Bits,
    reading: &Reading,
) -> Result<Array<'a>, Error> {
    let at = At { path, array: None };
    let head = super::read_bytes(at, &mut input, 4, reading)?;
    let &[0, 0, code, rank] = head.as_slice() else {
        return Err(at.wrong(
            "is not an IDX file: it must start with two zero bytes, a type and the number of dimensions"
                .into(),
        ));
    };
    let kind = kind(code).ok_or_else(|| at.wrong(format!("IDX has no type 0x{code:02x}")))?;
    if rank == 0 || usize::from(rank) > limits::IDX_DIMENSIONS_MAX {
        return Err(
            at.wrong(format!("has {rank} dimensions; 1 to {} are allowed", limits::IDX_DIMENSIONS_MAX))
        );
    }
    let dims = super::read_bytes(at, &mut input, 4 * u64::from(rank), reading)?
        .chunks_exact(4)
        .map(|dim| u64::from(u32::from_be_bytes([dim[0], dim[1], dim[2], dim[3]])))
        .collect();
    super::read(at, Header { dims, kind, order: Order::Big, first_is_fastest: false }, bits, input, reading)
}

fn kind(code: u8) -> Option<Kind> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Features, Labels};
    use crate::room::Room;

    fn idx(code: u8, dims: &[u32], values: &[u8]) -> Vec<u8> {
        let dims = dims.iter().flat_map(|dim| dim.to_be_bytes());
        [0, 0, code, (dims.clone().count() / 4) as u8]
            .into_iter()
            .chain(dims)
            .chain(values.iter().copied())
            .collect()
    }

    fn pair(features: &[u8], labels: &[u8]) -> Result<Rows, Error> {
        read(
            ("images", features),
            Bits::AsNeeded,
            ("labels", labels),
            &Reading::brief("images", Room::of(limits::DATASET_BYTES_MAX)),
        )
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
            assert_eq!(
                (rows.shape, rows.scale_max, rows.features),
                (vec![1], None, Features::F32(expect.to_vec()))
            );
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
        let floats =
            pair(&images, &idx(0x0d, &[2], &[1.0f32.to_be_bytes(), (-2.5f32).to_be_bytes()].concat()))
                .unwrap();
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
        check(b"PK\x03\x04....", &labels, "is not an IDX file");
        check(&idx(0x0a, &[1], &[1]), &labels, "no type 0x0a");
        check(&idx(8, &[], &[]), &labels, "has 0 dimensions");
        check(&idx(8, &[1; 6], &[1]), &labels, "has 6 dimensions");
        check(&idx(8, &[2, 0], &[]), &labels, "so no values");
        check(&images, &idx(8, &[3], &[0, 1, 2]), "labels: 3 labels for the 2 rows of images");
        check(&images, &images, "labels need one dimension, these have [2, 2]");
        check(&idx(0x0d, &[2], &[0, 0, 0, 0, 0x7f, 0xc0, 0, 0]), &labels, "row 1, value 0 (from 0) is NaN");
        check(&idx(0x0e, &[1], &1e300f64.to_be_bytes()), &labels, "is inf");
    }

    #[test]
    fn a_header_that_claims_too_much_takes_no_memory() {
        let labels = idx(8, &[2], &[0, 1]);
        let check = |dims: &[u32], expect: &str| {
            assert!(message(&idx(8, dims, &[]), &labels).contains(expect), "{dims:?}")
        };
        check(&[u32::MAX; 5], "the size in bytes");
        check(&[1 << 30, 2], "the size in bytes");
        check(&[60_000_000], "the number of rows");
        check(&[1, 1 << 21], "the number of values in a row");
        check(&[1 << 10, 1 << 20], "ends too early");
        // A bomb: the header announces four values, an endless stream of zeros follows.
        let header = idx(8, &[2, 2], &[]);
        let bomb = ("images", header.chain(std::io::repeat(0)));
        let error =
            read(bomb, Bits::AsNeeded, ("labels", &labels[..]), &Reading::brief("images", Room::of(100)))
                .unwrap_err();
        assert!(error.to_string().contains("goes on after the 4 values"));
    }
}

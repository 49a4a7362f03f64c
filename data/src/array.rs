//! Arrays of numbers: dimensions, a type, the values one after another.
//!
//! Rows are the first dimension. Unsigned bytes stay bytes and declare the range 255. Other types
//! become float32, to which a wider number is rounded, or float64 if [`bits`](crate::bits) says that
//! a feature needs it. Labels of an integer type are classes, those of a float type the values of a
//! regression.
//!
//! `file` opens files with several arrays, `npz` and `safetensors` take these formats apart, and
//! `idx` reads pairs of files with one array each. `decode` makes numbers of bytes, `rows` makes
//! features and labels of arrays.

mod decode;
mod file;
pub(crate) mod idx;
mod npz;
mod rows;
mod safetensors;

use std::io::Read;

use crate::Error;
use crate::bits::Bits;
use crate::dataset::Features;
use crate::folder::io_error;
use crate::limits;
use crate::reading::Reading;
use crate::room::Room;

pub(crate) use file::ArrayFile;
pub(crate) use rows::{rows, weights};

/// An array, and its place in a file.
#[derive(Debug)]
pub(crate) struct Array<'a> {
    at: At<'a>,
    dims: Vec<usize>,
    kind: Kind,
    values: Features,
}

/// The place of an array, for errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    /// The file.
    pub(crate) path: &'a str,
    /// The name of the array, if the file holds several.
    pub(crate) array: Option<&'a str>,
}

impl At<'_> {
    /// The error that says `detail` of this array.
    pub(crate) fn wrong(self, detail: String) -> Error {
        let path = self.path.to_owned();
        match self.array {
            Some(array) => Error::Array { path, array: array.to_owned(), detail },
            None => Error::Format { path, detail },
        }
    }

    /// `what`, of this array.
    fn named(self, what: String) -> String {
        self.array.map_or_else(|| what.clone(), |array| format!("{what} of the array {array:?}"))
    }

    fn too_large(self, what: String, max: u64) -> Error {
        Error::TooLarge { path: self.path.to_owned(), what: self.named(what), max }
    }
}

/// The type of an array's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    Bf16,
    F32,
    F64,
}

impl Kind {
    /// The bytes of one value in a file.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Kind::Bool | Kind::U8 | Kind::I8 => 1,
            Kind::U16 | Kind::I16 | Kind::F16 | Kind::Bf16 => 2,
            Kind::U32 | Kind::I32 | Kind::F32 => 4,
            Kind::U64 | Kind::I64 | Kind::F64 => 8,
        }
    }

    /// Whether a float of 32 bits does not hold all values of this type.
    fn is_wider_than_f32(self) -> bool {
        matches!(self, Kind::I32 | Kind::U32 | Kind::I64 | Kind::U64 | Kind::F64)
    }

    fn is_float(self) -> bool {
        matches!(self, Kind::F16 | Kind::Bf16 | Kind::F32 | Kind::F64)
    }
}

/// The order of a value's bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Order {
    Little,
    Big,
}

/// What a header says of an array.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Header {
    pub(crate) dims: Vec<u64>,
    pub(crate) kind: Kind,
    pub(crate) order: Order,
    /// Whether the first dimension runs fastest: NumPy's Fortran order, in which it stores a
    /// transposed array.
    pub(crate) first_is_fastest: bool,
}

/// Reads the values that `header` announces, to the end of `input`. A header that exceeds a bound,
/// or the room that is left by the arrays before it, is an error before anything is read; memory
/// grows with the bytes that are there, not with what a header claims.
fn read<'a>(
    at: At<'a>,
    header: Header,
    bits: Bits,
    mut input: impl Read,
    reading: &Reading,
) -> Result<Array<'a>, Error> {
    let Header { dims, kind, order, first_is_fastest } = header;
    if dims.is_empty() {
        return Err(at.wrong("holds a single number; its first dimension must be the rows".into()));
    }
    let count = count(at, &dims, kind, &reading.room)?;
    let bytes = read_bytes(at, &mut input, count * kind.bytes(), reading)?;
    let mut after = [0u8];
    if input.read(&mut after).map_err(|source| io_error(at.path, source))? != 0 {
        return Err(
            at.wrong(format!("goes on after the {count} values that its dimensions {dims:?} announce; is the file complete, and of the right dataset?"))
        );
    }
    let dims: Vec<usize> = dims.into_iter().map(|dim| dim as usize).collect();
    let width = count as usize / dims[0];
    let is_wide = match bits {
        Bits::Narrow => false,
        Bits::Wide => kind != Kind::U8,
        Bits::AsNeeded => {
            kind.is_wider_than_f32()
                && decode::needs_64(
                    kind,
                    order,
                    &bytes,
                    |at| if first_is_fastest { at / dims[0] } else { at % width },
                    width,
                )
        }
    };
    reading.check()?;
    // Numbers of 64 bits take as much memory in the file.
    if is_wide
        && kind.bytes() < 8
        && !reading.room.take(u128::from(count) * (8 - u128::from(kind.bytes().max(4))))
    {
        return Err(reading
            .room
            .exceeded(at.path, at.named(format!("the size in bytes of {dims:?} in 64 bits"))));
    }
    let values = match decode::values(kind, order, bytes, is_wide) {
        Features::U8(values) if first_is_fastest => Features::U8(decode::by_rows(&values, &dims)),
        Features::F32(values) if first_is_fastest => Features::F32(decode::by_rows(&values, &dims)),
        Features::F64(values) if first_is_fastest => Features::F64(decode::by_rows(&values, &dims)),
        values => values,
    };
    let infinite = match &values {
        Features::U8(_) => None,
        Features::F32(floats) => floats.iter().position(|value| !value.is_finite()),
        Features::F64(floats) => floats.iter().position(|value| !(*value as f32).is_finite()),
    };
    if let Some(position) = infinite {
        let (row, within, value) = (position / width, position % width, values.at(position) as f32);
        return Err(at.wrong(format!(
            "row {row}, value {within} (from 0) is {value}, not a finite 32-bit float; clean the file"
        )));
    }
    Ok(Array { at, dims, kind, values })
}

/// The number of values, within all bounds. Their bytes, in the file or in memory, whichever are
/// more, are taken from the `room`.
fn count(at: At, dims: &[u64], kind: Kind, room: &Room) -> Result<u64, Error> {
    if dims.contains(&0) {
        return Err(at.wrong(format!("has the dimensions {dims:?}, so no values")));
    }
    // In memory, all types but bytes take four bytes a value.
    let count: u128 = dims.iter().fold(1u128, |product, dim| product.saturating_mul(u128::from(*dim)));
    let size = kind.bytes().max(if kind == Kind::U8 { 1 } else { 4 });
    let bytes = count.saturating_mul(u128::from(size));
    if !room.take(bytes) {
        let before = if room.is_used() { " and of the arrays before it," } else { "" };
        return Err(room.exceeded(at.path, at.named(format!("the size in bytes of {dims:?}{before}"))));
    }
    if dims[0] > limits::DATASET_ROWS_MAX {
        return Err(at.too_large(format!("the number of rows of {dims:?}"), limits::DATASET_ROWS_MAX));
    }
    if count / u128::from(dims[0]) > limits::DATASET_ROW_VALUES_MAX as u128 {
        return Err(at.too_large(
            format!("the number of values in a row of {dims:?}"),
            limits::DATASET_ROW_VALUES_MAX as u64,
        ));
    }
    Ok(count as u64)
}

/// Exactly `count` bytes. Their memory is reserved at once, since growing would copy them a few
/// times, but the system hands it out as they come.
fn read_bytes(at: At, input: &mut impl Read, count: u64, reading: &Reading) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(usize::try_from(count).unwrap_or(usize::MAX)).is_err() {
        return Err(at.wrong(format!("has {count} bytes, more than this machine has memory for")));
    }
    while (bytes.len() as u64) < count {
        let (before, piece) = (bytes.len(), (count - bytes.len() as u64).min(limits::ARRAY_PIECE_BYTES));
        input.take(piece).read_to_end(&mut bytes).map_err(|source| io_error(at.path, source))?;
        if bytes.len() == before {
            break;
        }
        reading.check()?;
    }
    if (bytes.len() as u64) < count {
        return Err(at.wrong(format!(
            "ends too early: {count} bytes were to follow, {} did; copy it again",
            bytes.len()
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;

//! Arrays as NPZ, safetensors and IDX files hold them: dimensions, a type, the values one after
//! another.
//!
//! Rows are the first dimension. Unsigned bytes stay bytes and declare the range 255; the other
//! types become float32, to which a wider number is rounded, or float64 where [`bits`](crate::bits)
//! says that a feature needs it. Labels of an integer type are classes, those of a float type the
//! values of a regression.

use std::io::Read;

use crate::limits;
use half::{bf16, f16};

use crate::Error;
use crate::bits::{Bits, Number, Rounding};
use crate::dataset::{Features, Labels, Rows};
use crate::folder::io_error;
use crate::reading::Reading;
use crate::room::Room;

/// An array and where it stands.
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
    /// The name of the array, where the file holds several.
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
    /// Whether the first dimension runs fastest: NumPy's Fortran order, which a transposed array is
    /// kept in.
    pub(crate) first_is_fastest: bool,
}

/// Reads the values that `header` announces, to the end of `input`. A bound that the header exceeds
/// is an error before anything is read, and so is more than the room that the arrays read before it
/// have left; memory grows with what is there, not with what a header claims.
pub(crate) fn read<'a>(
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
            at.wrong(format!("goes on after the {count} values that its dimensions {dims:?} announce; is it complete and unmixed?"))
        );
    }
    let dims: Vec<usize> = dims.into_iter().map(|dim| dim as usize).collect();
    let width = count as usize / dims[0];
    let is_wide = match bits {
        Bits::Narrow => false,
        Bits::Wide => kind != Kind::U8,
        Bits::AsNeeded => {
            kind.is_wider_than_f32()
                && needs_64(
                    kind,
                    order,
                    &bytes,
                    |at| if first_is_fastest { at / dims[0] } else { at % width },
                    width,
                )
        }
    };
    reading.check()?;
    // Of numbers in 64 bits, those in the file are as large.
    if is_wide
        && kind.bytes() < 8
        && !reading.room.take(u128::from(count) * (8 - u128::from(kind.bytes().max(4))))
    {
        return Err(reading
            .room
            .exceeded(at.path, at.named(format!("the size in bytes of {dims:?} in 64 bits"))));
    }
    let values = match decode(kind, order, bytes, is_wide) {
        Features::U8(values) if first_is_fastest => Features::U8(by_rows(&values, &dims)),
        Features::F32(values) if first_is_fastest => Features::F32(by_rows(&values, &dims)),
        Features::F64(values) if first_is_fastest => Features::F64(by_rows(&values, &dims)),
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

/// Whether a feature needs 64 bits; `feature` says which one of the `width` the number at a place
/// is of.
fn needs_64(kind: Kind, order: Order, bytes: &[u8], feature: impl Fn(usize) -> usize, width: usize) -> bool {
    let mut roundings = vec![Rounding::NONE; width];
    let mut add = |at: usize, number: Number| roundings[feature(at)].add(number);
    match kind {
        Kind::F64 => each(bytes, order, |at, word| add(at, f64::from_le_bytes(word).into())),
        Kind::I64 => each(bytes, order, |at, word| add(at, i64::from_le_bytes(word).into())),
        Kind::U64 => each(bytes, order, |at, word| add(at, u64::from_le_bytes(word).into())),
        Kind::I32 => each(bytes, order, |at, word| add(at, i64::from(i32::from_le_bytes(word)).into())),
        Kind::U32 => each(bytes, order, |at, word| add(at, i64::from(u32::from_le_bytes(word)).into())),
        _ => {}
    }
    roundings.iter().any(Rounding::needs_64)
}

/// Calls `see` with the place and the bytes of each number, the lowest byte first.
fn each<const N: usize>(bytes: &[u8], order: Order, mut see: impl FnMut(usize, [u8; N])) {
    for (at, word) in bytes.as_chunks::<N>().0.iter().enumerate() {
        see(
            at,
            match order {
                Order::Little => *word,
                Order::Big => std::array::from_fn(|byte| word[N - 1 - byte]),
            },
        );
    }
}

/// The values, of which those of the first dimension lay side by side, with those of the last side
/// by side.
fn by_rows<T: Copy>(values: &[T], dims: &[usize]) -> Vec<T> {
    let mut steps = Vec::with_capacity(dims.len());
    dims.iter().fold(1, |step, dim| {
        steps.push(step);
        step * dim
    });
    let (mut index, mut at) = (vec![0; dims.len()], 0);
    let mut by_rows = Vec::with_capacity(values.len());
    while by_rows.len() < values.len() {
        by_rows.push(values[at]);
        for (nth, dim) in dims.iter().enumerate().rev() {
            (index[nth], at) = (index[nth] + 1, at + steps[nth]);
            if index[nth] < *dim {
                break;
            }
            at -= steps[nth] * dim;
            index[nth] = 0;
        }
    }
    by_rows
}

/// The number of values, within all bounds. What they take, in the file or in memory, is taken of
/// the `room`.
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

/// Exactly `count` bytes. They are asked for at once, since growing would copy them a few times
/// over; memory is taken as they come.
pub(crate) fn read_bytes(
    at: At,
    input: &mut impl Read,
    count: u64,
    reading: &Reading,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(usize::try_from(count).unwrap_or(usize::MAX)).is_err() {
        return Err(at.wrong(format!("has {count} bytes to read, and this machine has no memory for them")));
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

/// The rows of two arrays.
pub(crate) fn rows(features: Array, labels: Array) -> Result<Rows, Error> {
    let mut shape = features.dims[1..].to_vec();
    if shape.len() > limits::RANK_MAX {
        return Err(features.at.wrong(format!(
            "has {} dimensions; at most {} are allowed",
            features.dims.len(),
            limits::RANK_MAX + 1
        )));
    }
    if shape.is_empty() {
        shape.push(1);
    }
    labels.holds_one_number_a_row("labels", features.dims[0], features.at)?;
    let scale_max = matches!(features.values, Features::U8(_)).then_some(255.0);
    let labels = as_labels(labels)?;
    Ok(Rows { shape, features: features.values, scale_max, ..Rows::of(labels) })
}

/// The weights of `rows`.
pub(crate) fn weights(weights: Array, rows: &Rows, features: At) -> Result<Vec<f32>, Error> {
    weights.holds_one_number_a_row("weights", rows.labels.len(), features)?;
    Ok(match weights.values {
        Features::U8(values) => values.into_iter().map(f32::from).collect(),
        Features::F32(values) => values,
        Features::F64(values) => values.into_iter().map(|value| value as f32).collect(),
    })
}

impl Array<'_> {
    /// Keras keeps the labels of CIFAR in a column, `(rows, 1)`.
    fn holds_one_number_a_row(&self, what: &str, rows: usize, features: At) -> Result<(), Error> {
        if !matches!(self.dims.as_slice(), [_] | [_, 1]) {
            let cure = match what {
                "labels" if self.is_one_hot() => "store class numbers (argmax), not one-hot rows".to_owned(),
                _ => format!("{what} are one number a row"),
            };
            return Err(self
                .at
                .wrong(format!("{what} need one dimension, these have {:?}; {cure}", self.dims)));
        }
        if self.dims[0] != rows {
            let of = features.array.unwrap_or(features.path);
            return Err(self
                .at
                .wrong(format!("{} {what} for the {rows} rows of {of}; they must agree", self.dims[0])));
        }
        Ok(())
    }

    /// Whether each of its rows has a 1 and else zeros.
    fn is_one_hot(&self) -> bool {
        fn are<T: Copy + Into<f64>>(values: &[T], width: usize) -> bool {
            let is = |number: f64| move |value: &&T| (**value).into() == number;
            values.chunks(width).all(|row| {
                row.iter().filter(is(1.0)).count() == 1 && row.iter().filter(is(0.0)).count() == width - 1
            })
        }
        match (self.dims.as_slice(), &self.values) {
            ([_, width], Features::U8(values)) => are(values, *width),
            ([_, width], Features::F32(values)) => are(values, *width),
            ([_, width], Features::F64(values)) => are(values, *width),
            _ => false,
        }
    }
}

fn as_labels(Array { at, kind, values, .. }: Array) -> Result<Labels, Error> {
    let values = match values {
        Features::U8(values) => return Ok(Labels::Classes(values.into_iter().map(u32::from).collect())),
        Features::F32(values) => values,
        Features::F64(values) => values.into_iter().map(|value| value as f32).collect(),
    };
    match kind.is_float() {
        true => Ok(Labels::Values(values)),
        // An integer that float32 rounds is beyond the classes allowed, and stays so.
        false => match values.iter().position(|value| !(0.0..limits::DATASET_CLASSES_MAX as f32).contains(value)) {
            Some(row) if values[row] < 0.0 => Err(at.wrong(format!(
                "row {row} (from 0) has the label {}; classes count from 0, the values of a regression are floats",
                values[row]
            ))),
            Some(row) => Err(at.wrong(format!(
                "row {row} (from 0) has the label {}, beyond the {} classes allowed; store the values of a regression as floats",
                f64::from(values[row]),
                limits::DATASET_CLASSES_MAX
            ))),
            None => Ok(Labels::Classes(values.into_iter().map(|value| value as u32).collect())),
        },
    }
}

/// The values: bytes, or floats of 32 bits, or of 64 where they are to be `wide`.
fn decode(kind: Kind, order: Order, bytes: Vec<u8>, wide: bool) -> Features {
    fn words<const N: usize>(
        bytes: &[u8],
        order: Order,
        wide: bool,
        number: impl Fn([u8; N]) -> Number,
    ) -> Features {
        fn collected<const N: usize, T>(bytes: &[u8], order: Order, value: impl Fn([u8; N]) -> T) -> Vec<T> {
            let words = bytes.as_chunks::<N>().0.iter();
            match order {
                Order::Little => words.map(|word| value(*word)).collect(),
                Order::Big => words.map(|word| value(std::array::from_fn(|at| word[N - 1 - at]))).collect(),
            }
        }
        match wide {
            true => Features::F64(collected(bytes, order, |word| number(word).wide)),
            false => Features::F32(collected(bytes, order, |word| number(word).narrow)),
        }
    }
    fn exact(narrow: f32) -> Number {
        Number { wide: f64::from(narrow), narrow }
    }
    match kind {
        Kind::U8 => Features::U8(bytes),
        Kind::Bool => words(&bytes, order, wide, |[byte]| exact(f32::from(u8::from(byte != 0)))),
        Kind::I8 => words(&bytes, order, wide, |[byte]| exact(f32::from(byte as i8))),
        Kind::U16 => words(&bytes, order, wide, |word| exact(f32::from(u16::from_le_bytes(word)))),
        Kind::I16 => words(&bytes, order, wide, |word| exact(f32::from(i16::from_le_bytes(word)))),
        Kind::U32 => words(&bytes, order, wide, |word| i64::from(u32::from_le_bytes(word)).into()),
        Kind::I32 => words(&bytes, order, wide, |word| i64::from(i32::from_le_bytes(word)).into()),
        Kind::U64 => words(&bytes, order, wide, |word| u64::from_le_bytes(word).into()),
        Kind::I64 => words(&bytes, order, wide, |word| i64::from_le_bytes(word).into()),
        Kind::F16 => words(&bytes, order, wide, |word| exact(f16::from_le_bytes(word).to_f32())),
        Kind::Bf16 => words(&bytes, order, wide, |word| exact(bf16::from_le_bytes(word).to_f32())),
        Kind::F32 => words(&bytes, order, wide, |word| exact(f32::from_le_bytes(word))),
        Kind::F64 => words(&bytes, order, wide, |word| f64::from_le_bytes(word).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_array_is_read_by_rows() {
        // numpy.arange(24).reshape(2, 3, 4).ravel(order="F")
        let kept: Vec<u8> = (0..24).map(|at| (at % 2) * 12 + (at / 2 % 3) * 4 + at / 6).collect();
        let header =
            Header { dims: vec![2, 3, 4], kind: Kind::U8, order: Order::Little, first_is_fastest: true };
        let array = read(
            At { path: "f", array: None },
            header,
            Bits::AsNeeded,
            &kept[..],
            &Reading::brief("f", Room::of(24)),
        )
        .unwrap();
        assert_eq!(array.values, Features::U8((0..24).collect()));
    }

    #[test]
    fn arrays_share_one_bound_of_what_they_take_in_the_file_or_in_memory() {
        let at = At { path: "f", array: Some("a") };
        let reading = Reading::brief("f", Room::of(100));
        let read = |kind: Kind, values: u64| {
            let header = Header { dims: vec![values], kind, order: Order::Little, first_is_fastest: false };
            // Nothing follows: what is within the bound ends too early, and only after it was
            // counted.
            read(at, header, Bits::AsNeeded, std::io::empty(), &reading).unwrap_err().to_string()
        };
        for (kind, values, after) in [(Kind::U8, 40, 60), (Kind::Bool, 5, 40), (Kind::F64, 3, 16)] {
            assert!(read(kind, values).contains("ends too early"));
            assert_eq!(reading.room.left(), after, "{kind:?}");
        }
        let refused = "f: the size in bytes of [5] and of the arrays before it, of the array \"a\" exceeds the 100 bytes that this machine has room for";
        assert!(read(Kind::I16, 5).starts_with(refused));
        assert_eq!(reading.room.left(), 16);
        assert!(read(Kind::F16, 4).contains("ends too early"));
    }

    #[test]
    fn features_that_need_64_bits_keep_them_whatever_their_type_and_order() {
        let times: Vec<i64> = (0..6).map(|at| 1_600_000_000 + at).collect();
        let array = |kind, order, first_is_fastest, bits, bytes: Vec<u8>, room| {
            let header = Header { dims: vec![3, 2], kind, order, first_is_fastest };
            let reading = Reading::brief("f", Room::of(room));
            read(At { path: "f", array: None }, header, bits, &bytes[..], &reading).map(|array| array.values)
        };
        let wide = || Features::F64(times.iter().map(|time| *time as f64).collect());
        let bytes =
            |value: &dyn Fn(i64) -> Vec<u8>| times.iter().flat_map(|time| value(*time)).collect::<Vec<u8>>();
        let little = [
            (Kind::I64, bytes(&|time| time.to_le_bytes().into())),
            (Kind::U64, bytes(&|time| (time as u64).to_le_bytes().into())),
            (Kind::F64, bytes(&|time| (time as f64).to_le_bytes().into())),
            (Kind::I32, bytes(&|time| (time as i32).to_le_bytes().into())),
            (Kind::U32, bytes(&|time| (time as u32).to_le_bytes().into())),
        ];
        for (kind, bytes) in little {
            assert_eq!(
                array(kind, Order::Little, false, Bits::AsNeeded, bytes.clone(), 48).unwrap(),
                wide(),
                "{kind:?}"
            );
            assert!(
                array(kind, Order::Little, false, Bits::AsNeeded, bytes.clone(), 47).is_err(),
                "{kind:?} takes eight bytes a value"
            );
            assert!(matches!(
                array(kind, Order::Little, false, Bits::Narrow, bytes, 48),
                Ok(Features::F32(_))
            ));
        }
        let big = bytes(&|time| time.to_be_bytes().into());
        assert_eq!(array(Kind::I64, Order::Big, false, Bits::AsNeeded, big, 48).unwrap(), wide());
        // By rows 0, 1 | 10^12, 1 | 2 * 10^12, 1: the second feature is constant, the first spreads
        // far. The other way round, both are of both.
        let spread = [0i64, 1_000_000_000_000, 2_000_000_000_001, 1, 1, 1]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect::<Vec<u8>>();
        assert!(matches!(
            array(Kind::I64, Order::Little, true, Bits::AsNeeded, spread, 48),
            Ok(Features::F32(_))
        ));
        let apart = [1_600_000_000i64, 0, 1_600_000_001, 1 << 40, 1_600_000_002, 5]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect::<Vec<u8>>();
        assert!(matches!(
            array(Kind::I64, Order::Little, false, Bits::AsNeeded, apart.clone(), 48),
            Ok(Features::F64(_))
        ));
        assert!(matches!(
            array(Kind::I64, Order::Little, true, Bits::AsNeeded, apart, 48),
            Ok(Features::F32(_))
        ));
        assert!(matches!(
            array(Kind::U8, Order::Little, false, Bits::Wide, vec![0; 6], 48),
            Ok(Features::U8(_))
        ));
    }
}

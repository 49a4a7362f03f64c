//! The numbers in the bytes of an array.

use half::{bf16, f16};

use super::{Kind, Order};
use crate::bits::{Number, Rounding};
use crate::dataset::Features;

/// The values: bytes, or floats of 32 bits, or of 64 if `wide`.
pub(super) fn values(kind: Kind, order: Order, bytes: Vec<u8>, wide: bool) -> Features {
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

/// Whether a feature needs 64 bits; `feature` is the number of the feature, of `width`, to which the
/// value at a position belongs.
pub(super) fn needs_64(
    kind: Kind,
    order: Order,
    bytes: &[u8],
    feature: impl Fn(usize) -> usize,
    width: usize,
) -> bool {
    let mut roundings = vec![Rounding::NONE; width];
    let mut add = |at: usize, number: Number| roundings[feature(at)].add(number);
    match kind {
        Kind::F64 => each(bytes, order, |at, word| add(at, f64::from_le_bytes(word).into())),
        Kind::I64 => each(bytes, order, |at, word| add(at, i64::from_le_bytes(word).into())),
        Kind::U64 => each(bytes, order, |at, word| add(at, u64::from_le_bytes(word).into())),
        Kind::I32 => each(bytes, order, |at, word| add(at, i64::from(i32::from_le_bytes(word)).into())),
        Kind::U32 => each(bytes, order, |at, word| add(at, i64::from(u32::from_le_bytes(word)).into())),
        Kind::Bool | Kind::U8 | Kind::I8 | Kind::U16 | Kind::I16 | Kind::F16 | Kind::Bf16 | Kind::F32 => {}
    }
    roundings.iter().any(Rounding::needs_64)
}

/// Calls `see` with the position and the bytes of each number, the lowest byte first.
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

/// The values in the order in which the last dimension runs fastest, of values in which the first
/// does.
pub(super) fn by_rows<T: Copy>(values: &[T], dims: &[usize]) -> Vec<T> {
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

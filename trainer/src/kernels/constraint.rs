//! Constraints on weights after each step, in place, as in Keras
//! (<https://keras.io/api/layers/constraints/>).

use candle_core::{CpuStorage, InplaceOp1, Layout, Result};
use hpo::network::Constraint;

use super::real::Real;
use super::{slice_mut, vectorised, with_real};

/// Keras's `backend.epsilon()`, added to a norm so that nothing is divided by 0.
pub(crate) const EPSILON: f64 = 1e-7;

/// Makes a constraint hold for a weight on the CPU. Its axes are dimensions of the weight.
pub(crate) struct Constrain<'a>(pub(crate) &'a Constraint);

impl InplaceOp1 for Constrain<'_> {
    fn name(&self) -> &'static str {
        "constrain"
    }

    fn cpu_fwd(&self, weight: &mut CpuStorage, layout: &Layout) -> Result<()> {
        with_real!(weight, T => {
            let weight = slice_mut::<T>(weight, layout)?;
            match self.0 {
                // NaN is none: it stays, as everywhere.
                Constraint::MaxNorm { max_value, axis } => {
                    scale(weight, layout.dims(), axis, |norm| if norm > *max_value { *max_value } else { norm } / (EPSILON + norm));
                }
                Constraint::UnitNorm { axis } => scale(weight, layout.dims(), axis, |norm| 1.0 / (EPSILON + norm)),
                Constraint::NonNeg => non_negative(weight),
            }
            Ok(())
        })
    }
}

vectorised! {
    fn non_negative<T: Real>(weight: &mut [T]) {
        weight.iter_mut().for_each(|w| *w = if *w < T::ZERO { T::ZERO } else { *w });
    }
}

/// Multiplies the numbers that share a norm, which is taken over the dimensions `axis`, with the
/// factor of that norm. A sum goes through its numbers as they lie, in `f64`; a product is rounded
/// once.
fn scale<T: Real>(weight: &mut [T], dims: &[usize], axis: &[usize], factor: impl Fn(f64) -> f64) {
    let (row, outer) = dims.split_last().map_or((1, dims), |(row, outer)| (*row, outer));
    // How far apart the norms of neighbours along a dimension are.
    let mut strides = vec![0; dims.len()];
    let mut norms = 1;
    for (dimension, size) in dims.iter().enumerate().rev().filter(|(dimension, _)| !axis.contains(dimension))
    {
        strides[dimension] = norms;
        norms *= size;
    }
    // The norms of a row: one for all its numbers, or one for each.
    let of_row = if strides.last().is_some_and(|stride| *stride == 1) { row } else { 1 };
    let norms_of = |mut at: usize| {
        let first = outer.iter().zip(&strides).rev().fold(0, |first, (size, stride)| {
            let here = at % size * stride;
            at /= size;
            first + here
        });
        first..first + of_row
    };

    let mut factors = vec![0.0; norms];
    weight
        .chunks_exact(row)
        .enumerate()
        .for_each(|(at, numbers)| add_squares(&mut factors[norms_of(at)], numbers));
    factors.iter_mut().for_each(|sum| *sum = factor(sum.sqrt()));
    weight
        .chunks_exact_mut(row)
        .enumerate()
        .for_each(|(at, numbers)| multiply(numbers, &factors[norms_of(at)]));
}

vectorised! {
    /// Adds the squares of a row to one sum, or each to its own.
    fn add_squares<T: Real>(sums: &mut [f64], row: &[T]) {
        match sums {
            [sum] => row.iter().for_each(|w| *sum += w.to_f64() * w.to_f64()),
            sums => sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += w.to_f64() * w.to_f64()),
        }
    }
}

vectorised! {
    fn multiply<T: Real>(row: &mut [T], factors: &[f64]) {
        match factors {
            [factor] => row.iter_mut().for_each(|w| *w = T::of(w.to_f64() * *factor)),
            factors => row.iter_mut().zip(factors).for_each(|(w, factor)| *w = T::of(w.to_f64() * factor)),
        }
    }
}

//! Sums over a weight and its gradient: norms to clip by, and what regularisers add to the loss.

use candle_core::{Result, Tensor};

use super::real::Real;
use super::update::{Before, abs};
use super::{values, vectorised, with_real};

/// The sum of squares of a gradient with its regulariser's, on the CPU.
pub(crate) fn squares(weight: &Tensor, gradient: &Tensor, before: Before<f64>) -> Result<f64> {
    let (w, g) = (weight.storage_and_layout(), gradient.storage_and_layout());
    let mut sum = 0.0;
    with_real!(weight, T => add_squares::<T>(values(&w)?, values(&g)?, before.cast(), &mut sum));
    Ok(sum)
}

/// `l1 · sum(|w|) + l2 · sum(w²)` of a weight on the CPU.
pub(crate) fn penalty(weight: &Tensor, l1: f64, l2: f64) -> Result<f64> {
    let w = weight.storage_and_layout();
    let (mut absolutes, mut squares) = (0.0, 0.0);
    with_real!(weight, T => add_penalties::<T>(values(&w)?, &mut absolutes, &mut squares));
    // A sum with the factor 0 may be infinite.
    Ok(if l1 == 0.0 { 0.0 } else { l1 * absolutes } + if l2 == 0.0 { 0.0 } else { l2 * squares })
}

vectorised! {
    fn add_squares<T: Real>(w: &[T], g: &[T], before: Before<T>, sum: &mut f64) {
        let mut lanes = [0.0; LANES];
        let mut regularized = [T::ZERO; BLOCK];
        for (w, g) in w.chunks(BLOCK).zip(g.chunks(BLOCK)) {
            regularized.iter_mut().zip(w.iter().zip(g)).for_each(|(to, (w, g))| *to = before.regularized(*w, *g));
            add(&mut lanes, &regularized[..w.len()], |g| g.to_f64() * g.to_f64());
        }
        *sum += total(&lanes);
    }
}

vectorised! {
    fn add_penalties<T: Real>(w: &[T], absolutes: &mut f64, squares: &mut f64) {
        let mut lanes = [[0.0; LANES]; 2];
        add(&mut lanes[0], w, |w| abs(w).to_f64());
        add(&mut lanes[1], w, |w| w.to_f64() * w.to_f64());
        *absolutes += total(&lanes[0]);
        *squares += total(&lanes[1]);
    }
}

/// Sums side by side, each of every sixteenth number: the same on vectors of any width.
const LANES: usize = 16;

/// Numbers between two loops, a multiple of the lanes: what chooses and what adds up are vectorised
/// apart.
const BLOCK: usize = 16 * LANES;

/// Adds the terms of numbers to the lanes. But for the last time, their number is a multiple of the
/// lanes.
#[inline(always)]
fn add<T: Real>(lanes: &mut [f64; LANES], numbers: &[T], term: impl Fn(T) -> f64) {
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += term(chunk[lane]);
        }
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, number)| *lane += term(*number));
}

#[inline(always)]
fn total(lanes: &[f64; LANES]) -> f64 {
    lanes.iter().fold(0.0, |sum, lane| sum + lane)
}

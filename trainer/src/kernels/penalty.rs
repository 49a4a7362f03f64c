//! The penalty of a regulariser for the output of a layer.

use candle_core::{Result, Tensor};

use super::operation::{Custom, Operation};
use super::real::Real;

/// `l1 · sum(|x|) + l2 · sum(x²)` on the CPU, a scalar.
pub(crate) fn penalty(x: &Tensor, l1: f64, l2: f64) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Custom(Penalty { l1, l2 }))
}

struct Penalty {
    l1: f64,
    l2: f64,
}

impl Operation<1> for Penalty {
    fn dims(&self, _: [&[usize]; 1]) -> Vec<usize> {
        Vec::new()
    }

    fn forward<T: Real>(&self, [x]: [&[T]; 1]) -> Vec<T> {
        // Summed in f64: an output may have a million numbers.
        let (absolutes, squares) = x.iter().fold((0.0, 0.0), |(absolutes, squares), x| {
            let x = x.to_f64();
            (absolutes + x.abs(), squares + x * x)
        });
        vec![T::of(self.l1 * absolutes + self.l2 * squares)]
    }

    fn backward<T: Real>(
        &self,
        [x]: [&[T]; 1],
        _penalty: &[T],
        gradient: &[T],
        _: [bool; 1],
    ) -> [Option<Vec<T>>; 1] {
        let (l1, l2) = (gradient[0] * T::of(self.l1), gradient[0] * T::of(2.0 * self.l2));
        // At 0 the absolute value has no slope, as in Keras.
        let sign = |x: T| {
            if x > T::ZERO {
                l1
            } else if x < T::ZERO {
                -l1
            } else {
                T::ZERO
            }
        };
        [Some(x.iter().map(|x| sign(*x) + l2 * *x).collect())]
    }
}

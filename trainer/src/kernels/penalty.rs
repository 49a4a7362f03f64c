//! What a regulariser adds to the loss for the output of a layer.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};

use super::real::Real;
use super::{slice, tensor_like, values, with_real};

/// `l1 · sum(|x|) + l2 · sum(x²)` on the CPU, a scalar.
pub(crate) fn penalty(x: &Tensor, l1: f64, l2: f64) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Penalty { l1, l2 })
}

struct Penalty {
    l1: f64,
    l2: f64,
}

impl CustomOp1 for Penalty {
    fn name(&self) -> &'static str {
        "penalty"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        with_real!(x, T => {
            // Summed in f64: an output may have a million numbers.
            let (absolutes, squares) = slice::<T>(x, layout)?.iter().fold((0.0, 0.0), |(absolutes, squares), x| {
                let x = x.to_f64();
                (absolutes + x.abs(), squares + x * x)
            });
            Ok((T::to_cpu_storage_owned(vec![T::of(self.l1 * absolutes + self.l2 * squares)]), Shape::from(())))
        })
    }

    fn bwd(&self, x: &Tensor, _penalty: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let xs = x.storage_and_layout();
        with_real!(x, T => {
            let outer = gradient.to_scalar::<T>()?;
            let (l1, l2) = (outer * T::of(self.l1), outer * T::of(2.0 * self.l2));
            // At 0 the absolute value has no slope, as in Keras.
            let sign = |x: T| if x > T::ZERO { l1 } else if x < T::ZERO { -l1 } else { T::ZERO };
            let of_x: Vec<T> = values::<T>(&xs)?.iter().map(|x| sign(*x) + l2 * *x).collect();
            tensor_like(of_x, x).map(Some)
        })
    }
}

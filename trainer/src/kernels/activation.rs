//! Activation functions, in place, and their gradients from their results.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use hpo::network::Activation;

use super::real::Real;
use super::{slice, tensor_like, values, vectorised, with_real};

/// The slope of Keras's `leaky_relu` below 0.
pub(crate) const LEAKY_SLOPE: f64 = 0.2;

/// The activation of a tensor on the CPU; softmax goes over the last dimension.
pub(crate) fn activation(x: &Tensor, activation: Activation) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Op(activation))
}

vectorised! {
    /// Applies the activation to rows of `width` numbers.
    pub(crate) fn activate<T: Real>(activation: Activation, y: &mut [T], width: usize) {
        let (zero, one) = (T::ZERO, T::ONE);
        match activation {
            Activation::Linear => {}
            // NaN stays NaN: a divergence must not vanish here.
            Activation::Relu => y.iter_mut().for_each(|y| *y = if *y < zero { zero } else { *y }),
            Activation::LeakyRelu => y.iter_mut().for_each(|y| *y = if *y < zero { *y * T::of(LEAKY_SLOPE) } else { *y }),
            Activation::Sigmoid => y.iter_mut().for_each(|y| *y = one / (one + Real::exp(-*y))),
            Activation::Tanh => y.iter_mut().for_each(|y| *y = Real::tanh(*y)),
            Activation::Softmax => y.chunks_exact_mut(width).for_each(softmax),
        }
    }
}

vectorised! {
    /// Turns the gradient of the result `y` into that of the input, in rows of `width` numbers.
    pub(crate) fn activation_gradient<T: Real>(activation: Activation, y: &[T], gradient: &mut [T], width: usize) {
        let both = gradient.iter_mut().zip(y);
        match activation {
            Activation::Linear => {}
            Activation::Relu => both.for_each(|(g, y)| *g = if *y > T::ZERO { *g } else { T::ZERO }),
            Activation::LeakyRelu => both.for_each(|(g, y)| *g = if *y > T::ZERO { *g } else { *g * T::of(LEAKY_SLOPE) }),
            Activation::Sigmoid => both.for_each(|(g, y)| *g *= *y * (T::ONE - *y)),
            Activation::Tanh => both.for_each(|(g, y)| *g *= T::ONE - *y * *y),
            Activation::Softmax => {
                for (g, y) in gradient.chunks_exact_mut(width).zip(y.chunks_exact(width)) {
                    let dot = y.iter().zip(g.iter()).fold(T::ZERO, |sum, (y, g)| sum + *y * *g);
                    g.iter_mut().zip(y).for_each(|(g, y)| *g = *y * (*g - dot));
                }
            }
        }
    }
}

/// Makes a row of logits probabilities. The largest is subtracted first, so that nothing overflows.
#[inline(always)]
pub(crate) fn softmax<T: Real>(row: &mut [T]) {
    let largest = row.iter().fold(row[0], |a, b| if *b > a { *b } else { a });
    row.iter_mut().for_each(|y| *y = Real::exp(*y - largest));
    let sum = row.iter().fold(T::ZERO, |sum, y| sum + *y);
    row.iter_mut().for_each(|y| *y /= sum);
}

struct Op(Activation);

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        self.0.as_str()
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let shape = layout.shape();
        let width = shape.dims().last().copied().unwrap_or(1);
        with_real!(storage, T => {
            let mut y = slice::<T>(storage, layout)?.to_vec();
            activate(self.0, &mut y, width);
            Ok((<T as candle_core::WithDType>::to_cpu_storage_owned(y), shape.clone()))
        })
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let width = x.dims().last().copied().unwrap_or(1);
        let (y, g) = (y.storage_and_layout(), gradient.storage_and_layout());
        with_real!(x, T => {
            let mut of_x = values::<T>(&g)?.to_vec();
            activation_gradient(self.0, values(&y)?, &mut of_x, width);
            tensor_like(of_x, x).map(Some)
        })
    }
}

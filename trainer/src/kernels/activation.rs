//! Activation functions, in place, and their gradients from their results.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use hpo::network::Activation;

use super::real::Real;
use super::{slice, tensor_like, values, with_real};

/// The slope of Keras's `leaky_relu` below 0.
pub(crate) const LEAKY_SLOPE: f64 = 0.2;

/// The activation of a tensor on the CPU; softmax goes over the last dimension.
pub(crate) fn activation(x: &Tensor, activation: Activation) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Op(activation))
}

/// Applies the activation to rows of `width` numbers.
pub(crate) fn activate<T: Real>(activation: Activation, y: &mut [T], width: usize) {
    let (zero, one) = (T::ZERO, T::ONE);
    pulp::Arch::new().dispatch(|| match activation {
        Activation::Linear => {}
        // NaN stays NaN: a divergence must not vanish here.
        Activation::Relu => y.iter_mut().for_each(|y| *y = if *y < zero { zero } else { *y }),
        Activation::LeakyRelu => y.iter_mut().for_each(|y| *y = if *y < zero { *y * T::of(LEAKY_SLOPE) } else { *y }),
        Activation::Sigmoid => y.iter_mut().for_each(|y| *y = one / (one + Real::exp(-*y))),
        Activation::Tanh => y.iter_mut().for_each(|y| *y = Real::tanh(*y)),
        Activation::Softmax => y.chunks_exact_mut(width).for_each(softmax),
    });
}

/// The gradient of the input, from the result `y` and its gradient, in rows of `width` numbers.
pub(crate) fn activation_gradient<T: Real>(activation: Activation, y: &[T], gradient: &[T], width: usize) -> Vec<T> {
    let (zero, one) = (T::ZERO, T::ONE);
    let each = |slope: &dyn Fn(T) -> T| -> Vec<T> { y.iter().zip(gradient).map(|(y, g)| *g * slope(*y)).collect() };
    pulp::Arch::new().dispatch(|| match activation {
        Activation::Linear => gradient.to_vec(),
        Activation::Relu => y.iter().zip(gradient).map(|(y, g)| if *y > zero { *g } else { zero }).collect(),
        Activation::LeakyRelu => each(&|y| if y > zero { one } else { T::of(LEAKY_SLOPE) }),
        Activation::Sigmoid => each(&|y| y * (one - y)),
        Activation::Tanh => each(&|y| one - y * y),
        Activation::Softmax => {
            let row = |(y, g): (&[T], &[T])| {
                let dot = y.iter().zip(g).fold(zero, |sum, (y, g)| sum + *y * *g);
                y.iter().zip(g).map(|(y, g)| *y * (*g - dot)).collect::<Vec<T>>()
            };
            y.chunks_exact(width).zip(gradient.chunks_exact(width)).flat_map(row).collect()
        }
    })
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
        with_real!(x, T => Some(tensor_like(activation_gradient(self.0, values::<T>(&y)?, values::<T>(&g)?, width), x)).transpose())
    }
}

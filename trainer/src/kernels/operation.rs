//! The code around each operation: candle's tensors become slices of numbers, forward and backward,
//! and gradients become tensors.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, WithDType};

use super::gradients::hand_over;
use super::real::Real;
use super::{slice, values, with_real};

/// An operation on the numbers of `N` contiguous tensors on the CPU. [`Custom`] makes it one of
/// candle's.
pub(crate) trait Operation<const N: usize>: Send + Sync + 'static {
    /// The dimensions of the result, from those of the arguments; by default those of the first.
    fn dims(&self, arguments: [&[usize]; N]) -> Vec<usize> {
        arguments[0].to_vec()
    }

    /// The numbers of the result.
    fn forward<T: Real>(&self, arguments: [&[T]; N]) -> Vec<T>;

    /// The gradient of each argument, from that of the result `y`; one that isn't `wanted` may be
    /// left out.
    fn backward<T: Real>(
        &self,
        arguments: [&[T]; N],
        y: &[T],
        gradient: &[T],
        wanted: [bool; N],
    ) -> [Option<Vec<T>>; N];
}

/// An [`Operation`] as one of candle's custom operations.
pub(crate) struct Custom<O>(pub(crate) O);

impl<O: Operation<1>> CustomOp1 for Custom<O> {
    fn name(&self) -> &'static str {
        std::any::type_name::<O>()
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        forward(&self.0, [(x, lx)])
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        backward(&self.0, [x], y, gradient).map(|[of_x]| of_x)
    }
}

impl<O: Operation<2>> CustomOp2 for Custom<O> {
    fn name(&self) -> &'static str {
        std::any::type_name::<O>()
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        a: &CpuStorage,
        la: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        forward(&self.0, [(x, lx), (a, la)])
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        backward(&self.0, [x, a], y, gradient).map(<(_, _)>::from)
    }
}

impl<O: Operation<3>> CustomOp3 for Custom<O> {
    fn name(&self) -> &'static str {
        std::any::type_name::<O>()
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        a: &CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        forward(&self.0, [(x, lx), (a, la), (b, lb)])
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        backward(&self.0, [x, a, b], y, gradient).map(<(_, _, _)>::from)
    }
}

fn forward<const N: usize>(
    operation: &impl Operation<N>,
    arguments: [(&CpuStorage, &Layout); N],
) -> Result<(CpuStorage, Shape)> {
    let dims = operation.dims(arguments.map(|(_, layout)| layout.dims()));
    with_real!(arguments[0].0, T => {
        let mut numbers: [&[T]; N] = [&[]; N];
        for (numbers, (storage, layout)) in numbers.iter_mut().zip(arguments) {
            *numbers = slice(storage, layout)?;
        }
        Ok((T::to_cpu_storage_owned(operation.forward(numbers)), dims.into()))
    })
}

/// The gradients of the arguments that something flows back to; those of weights are [handed
/// over](hand_over).
fn backward<const N: usize>(
    operation: &impl Operation<N>,
    arguments: [&Tensor; N],
    y: &Tensor,
    gradient: &Tensor,
) -> Result<[Option<Tensor>; N]> {
    let gradient = gradient.contiguous()?;
    let held = arguments.map(Tensor::storage_and_layout);
    let (ys, gs) = (y.storage_and_layout(), gradient.storage_and_layout());
    let wanted = arguments.map(Tensor::track_op);
    with_real!(y, T => {
        let mut numbers: [&[T]; N] = [&[]; N];
        for (numbers, held) in numbers.iter_mut().zip(&held) {
            *numbers = values(held)?;
        }
        let found = operation.backward(numbers, values(&ys)?, values(&gs)?, wanted);
        let mut gradients = [const { None }; N];
        for ((gradient, found), argument) in gradients.iter_mut().zip(found).zip(arguments) {
            if let Some(found) = found.filter(|_| argument.track_op()) {
                *gradient = hand_over(argument, Tensor::from_vec(found, argument.shape(), argument.device())?);
            }
        }
        Ok(gradients)
    })
}

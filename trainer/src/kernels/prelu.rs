//! PReLU: `x` above 0, `alpha x` below, with alpha learned (He et al. 2015, arXiv 1502.01852).

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType};

use super::real::Real;
use super::{slice, tensor_like, values, with_real};

/// `x` above 0, `alpha x` below, on the CPU: `x (rows, …)`, `alpha (…)` with a size of 1 where it is shared.
pub(crate) fn prelu(x: &Tensor, alpha: &Tensor) -> Result<Tensor> {
    let row = &x.dims()[1..];
    let shared = row.iter().zip(alpha.dims()).any(|(x, alpha)| x != alpha);
    x.contiguous()?.apply_op2(alpha, Prelu { slopes: shared.then(|| slopes(row, alpha.dims())) })
}

/// For each number of a row, which alpha is its.
fn slopes(row: &[usize], alpha: &[usize]) -> Vec<u32> {
    let count = row.iter().product();
    let slope = |at: usize| {
        let (mut rest, mut slope, mut stride) = (at, 0, 1);
        for (size, shared) in row.iter().zip(alpha).rev() {
            let position = rest % size;
            rest /= size;
            if *shared != 1 {
                slope += position * stride;
            }
            stride *= shared;
        }
        slope as u32
    };
    (0..count).map(slope).collect()
}

struct Prelu {
    /// Which alpha a number of a row has; none where each has its own.
    slopes: Option<Vec<u32>>,
}

impl Prelu {
    #[inline(always)]
    fn slope(&self, at: usize) -> usize {
        self.slopes.as_ref().map_or(at, |slopes| slopes[at] as usize)
    }
}

impl CustomOp2 for Prelu {
    fn name(&self) -> &'static str {
        "prelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, alpha: &CpuStorage, la: &Layout) -> Result<(CpuStorage, Shape)> {
        with_real!(x, T => {
            let (x, alpha) = (slice::<T>(x, lx)?, slice::<T>(alpha, la)?);
            let width = lx.shape().elem_count() / lx.dims()[0];
            let each = |(at, x): (usize, &T)| if *x < T::ZERO { *x * alpha[self.slope(at % width)] } else { *x };
            Ok((T::to_cpu_storage_owned(x.iter().enumerate().map(each).collect()), lx.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, alpha: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (xs, alphas, gs) = (x.storage_and_layout(), alpha.storage_and_layout(), gradient.storage_and_layout());
        with_real!(x, T => {
            let (xs, alphas, gs) = (values::<T>(&xs)?, values::<T>(&alphas)?, values::<T>(&gs)?);
            let width = x.elem_count() / x.dims()[0];
            let mut of_alpha = vec![T::ZERO; alphas.len()];
            let mut of_x = gs.to_vec();
            for (at, (of_x, x)) in of_x.iter_mut().zip(xs).enumerate().filter(|(_, (_, x))| **x < T::ZERO) {
                let slope = self.slope(at % width);
                of_alpha[slope] += *of_x * *x;
                *of_x *= alphas[slope];
            }
            Ok((Some(tensor_like(of_x, x)?), Some(tensor_like(of_alpha, alpha)?)))
        })
    }
}

//! PReLU: `x` above 0, `alpha x` below, with alpha learned (He et al. 2015, arXiv 1502.01852).

use candle_core::{Result, Tensor};

use super::operation::{Custom, Operation};
use super::real::Real;

/// `x` above 0, `alpha x` below, on the CPU: `x (rows, …)`, `alpha (…)` with a size of 1 for each
/// dimension over which it is shared.
pub(crate) fn prelu(x: &Tensor, alpha: &Tensor) -> Result<Tensor> {
    let row = &x.dims()[1..];
    let shared = row.iter().zip(alpha.dims()).any(|(x, alpha)| x != alpha);
    let slopes = shared.then(|| slopes(row, alpha.dims()));
    x.contiguous()?.apply_op2(alpha, Custom(Prelu { width: row.iter().product(), slopes }))
}

/// The alpha that belongs to each number of a row.
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
    /// Numbers of a row.
    width: usize,
    /// The alpha of each number of a row; none if each has its own.
    slopes: Option<Vec<u32>>,
}

impl Prelu {
    #[inline(always)]
    fn slope(&self, at: usize) -> usize {
        let at = at % self.width;
        self.slopes.as_ref().map_or(at, |slopes| slopes[at] as usize)
    }
}

impl Operation<2> for Prelu {
    fn forward<T: Real>(&self, [x, alpha]: [&[T]; 2]) -> Vec<T> {
        let each = |(at, x): (usize, &T)| if *x < T::ZERO { *x * alpha[self.slope(at)] } else { *x };
        x.iter().enumerate().map(each).collect()
    }

    fn backward<T: Real>(
        &self,
        [x, alpha]: [&[T]; 2],
        _y: &[T],
        gradient: &[T],
        _: [bool; 2],
    ) -> [Option<Vec<T>>; 2] {
        let mut of_alpha = vec![T::ZERO; alpha.len()];
        let mut of_x = gradient.to_vec();
        for (at, (of_x, x)) in of_x.iter_mut().zip(x).enumerate() {
            if *x < T::ZERO {
                let slope = self.slope(at);
                of_alpha[slope] += *of_x * *x;
                *of_x *= alpha[slope];
            } else if *x == T::ZERO {
                // Keras's `relu(x) - alpha relu(-x)` has no slope there.
                *of_x = T::ZERO;
            }
        }
        [Some(of_x), Some(of_alpha)]
    }
}

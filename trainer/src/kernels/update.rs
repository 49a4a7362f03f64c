//! The optimisers' updates: one pass over weights, gradient and moments, in place. Formulas of Keras's optimisers, in their order of operations.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, bail};

use super::real::Real;
use super::{slice, vectorised};

/// One step of an optimiser for one weight.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Update {
    /// `m += (g - m)(1 - beta_1)`, `v += (g² - v)(1 - beta_2)`, `w -= alpha m / (sqrt(v) + epsilon)`; the bias correction is in `alpha`.
    Adam {
        /// `learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t)`.
        alpha: f64,
        /// Decay of `m`.
        beta_1: f64,
        /// Decay of `v`.
        beta_2: f64,
        /// Keeps the quotient finite.
        epsilon: f64,
    },
    /// `m = momentum m - learning_rate g`, `w += m`.
    Sgd {
        /// Step size.
        learning_rate: f64,
        /// How much of the last step is kept; without any, there are no moments.
        momentum: f64,
    },
}

/// An update of a weight on the CPU, with its moments: candle mutates only the weight, so they live in the operation.
pub(crate) struct InPlace<'a> {
    /// What to do.
    pub(crate) update: Update,
    /// `m` and `v`, as long as the weight; `v`, or both, are empty where the update has none.
    pub(crate) moments: &'a RefCell<[CpuStorage; 2]>,
}

impl InplaceOp2 for InPlace<'_> {
    fn name(&self) -> &'static str {
        "update"
    }

    fn cpu_fwd(&self, weight: &mut CpuStorage, layout: &Layout, gradient: &CpuStorage, of_gradient: &Layout) -> Result<()> {
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("a weight is contiguous") };
        let [m, v] = &mut *self.moments.borrow_mut();
        match (weight, m, v) {
            (CpuStorage::F32(weight), CpuStorage::F32(m), CpuStorage::F32(v)) => {
                apply(self.update, &mut weight[start..end], slice(gradient, of_gradient)?, m, v)
            }
            (CpuStorage::F64(weight), CpuStorage::F64(m), CpuStorage::F64(v)) => {
                apply(self.update, &mut weight[start..end], slice(gradient, of_gradient)?, m, v)
            }
            _ => bail!("weight and moments have one type"),
        }
        Ok(())
    }
}

fn apply<T: Real>(update: Update, weight: &mut [T], gradient: &[T], m: &mut [T], v: &mut [T]) {
    match update {
        Update::Adam { alpha, beta_1, beta_2, epsilon } => {
            adam(weight, gradient, m, v, [alpha, 1.0 - beta_1, 1.0 - beta_2, epsilon].map(T::of))
        }
        Update::Sgd { learning_rate, momentum: 0.0 } => sgd(weight, gradient, T::of(learning_rate)),
        Update::Sgd { learning_rate, momentum } => sgd_with_momentum(weight, gradient, m, T::of(learning_rate), T::of(momentum)),
    }
}

vectorised! {
    fn adam<T: Real>(weight: &mut [T], gradient: &[T], m: &mut [T], v: &mut [T], constants: [T; 4]) {
        let [alpha, rest_1, rest_2, epsilon] = constants;
        for (((w, g), m), v) in weight.iter_mut().zip(gradient).zip(m).zip(v) {
            *m += (*g - *m) * rest_1;
            *v += (*g * *g - *v) * rest_2;
            *w -= *m * alpha / (Real::sqrt(*v) + epsilon);
        }
    }
}

vectorised! {
    fn sgd<T: Real>(weight: &mut [T], gradient: &[T], rate: T) {
        for (w, g) in weight.iter_mut().zip(gradient) {
            *w -= rate * *g;
        }
    }
}

vectorised! {
    fn sgd_with_momentum<T: Real>(weight: &mut [T], gradient: &[T], m: &mut [T], rate: T, momentum: T) {
        for ((w, g), m) in weight.iter_mut().zip(gradient).zip(m) {
            *m = *m * momentum - rate * *g;
            *w += *m;
        }
    }
}

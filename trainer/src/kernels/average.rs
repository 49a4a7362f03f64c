//! Moving averages of weights, in place.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, bail};

use super::real::Real;
use super::{numbers_mut, slice_mut, vectorised, with_real};

/// An operation on a weight and its moving average, which is the last of its slots.
pub(crate) enum Average<'a> {
    /// `average = momentum average + (1 - momentum) w`.
    Take(f64, &'a RefCell<Vec<CpuStorage>>),
    /// `w = average`.
    Put(&'a RefCell<Vec<CpuStorage>>),
    /// One becomes the other.
    Swap(&'a RefCell<Vec<CpuStorage>>),
}

impl InplaceOp1 for Average<'_> {
    fn name(&self) -> &'static str {
        "average"
    }

    fn cpu_fwd(&self, weight: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (Average::Take(_, slots) | Average::Put(slots) | Average::Swap(slots)) = self;
        let mut slots = slots.borrow_mut();
        let Some(slot) = slots.last_mut() else { bail!("a weight has no moving average") };
        with_real!(weight, T => {
            let (weight, average) = (slice_mut::<T>(weight, layout)?, numbers_mut::<T>(slot)?);
            match self {
                Average::Take(momentum, _) => take_average(weight, average, T::of(*momentum), T::of(1.0 - momentum)),
                Average::Put(_) => weight.copy_from_slice(average),
                Average::Swap(_) => weight.swap_with_slice(average),
            }
            Ok(())
        })
    }
}

vectorised! {
    fn take_average<T: Real>(w: &[T], average: &mut [T], momentum: T, rest: T) {
        average.iter_mut().zip(w).for_each(|(average, w)| *average = momentum * *average + rest * *w);
    }
}

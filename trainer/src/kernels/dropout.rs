//! Dropout: a product with a mask of zeros and `1 / (1 - rate)`.

use candle_core::{Result, Tensor};
use hpo::rng::Rng;

use super::operation::{Custom, Operation};
use super::real::Real;

/// The mask of `elements` numbers: 0 with probability `rate`, otherwise `1 / (1 - rate)`.
pub(crate) fn mask(rng: &mut Rng, rate: f64, elements: usize) -> Vec<f32> {
    let (dropped_below, kept) = ((rate * 4_294_967_296.0) as u64, (1.0 / (1.0 - rate)) as f32);
    (0..elements).map(|_| if u64::from(rng.next_u32()) < dropped_below { 0.0 } else { kept }).collect()
}

/// `x · mask` on the CPU, number by number.
pub(crate) fn masked(x: &Tensor, mask: Vec<f32>) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Custom(Masked(mask)))
}

/// candle's own product would also work out the gradient of the mask.
struct Masked(Vec<f32>);

impl Masked {
    fn times<T: Real>(&self, numbers: &[T]) -> Vec<T> {
        numbers.iter().zip(&self.0).map(|(x, mask)| *x * T::from(*mask)).collect()
    }
}

impl Operation<1> for Masked {
    fn forward<T: Real>(&self, [x]: [&[T]; 1]) -> Vec<T> {
        self.times(x)
    }

    fn backward<T: Real>(&self, _: [&[T]; 1], _y: &[T], gradient: &[T], _: [bool; 1]) -> [Option<Vec<T>>; 1] {
        [Some(self.times(gradient))]
    }
}

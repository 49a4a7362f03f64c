//! Dropout: a product with a mask of zeros and `1 / (1 - rate)`.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
use hpo::rng::Rng;

use super::{slice, tensor_like, values, with_real};

/// The mask of `elements` numbers: 0 with probability `rate`, else `1 / (1 - rate)`.
pub(crate) fn mask(rng: &mut Rng, rate: f64, elements: usize) -> Vec<f32> {
    let (dropped_below, kept) = ((rate * 4_294_967_296.0) as u64, (1.0 / (1.0 - rate)) as f32);
    (0..elements).map(|_| if u64::from(rng.next_u32()) < dropped_below { 0.0 } else { kept }).collect()
}

/// `x · mask` on the CPU, number by number.
pub(crate) fn masked(x: &Tensor, mask: Vec<f32>) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Masked(mask))
}

/// candle's own product would also work out the gradient of the mask.
struct Masked(Vec<f32>);

impl CustomOp1 for Masked {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        with_real!(x, T => {
            let y = slice::<T>(x, layout)?.iter().zip(&self.0).map(|(x, mask)| *x * T::from(*mask)).collect();
            Ok((T::to_cpu_storage_owned(y), layout.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let g = gradient.storage_and_layout();
        with_real!(x, T => {
            let of_x: Vec<T> = values::<T>(&g)?.iter().zip(&self.0).map(|(g, mask)| *g * T::from(*mask)).collect();
            tensor_like(of_x, x).map(Some)
        })
    }
}

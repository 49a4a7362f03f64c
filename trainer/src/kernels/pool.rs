//! Max pooling over (batch, height, width, channels). The whole gradient of a window goes to its first maximum, as in Keras; candle's own
//! `max_pool2d` divides it by the window's size.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};

use super::real::Real;
use super::{slice, tensor_like, values, with_real};
use crate::engine::Window;

/// The largest value of each window on the CPU: `(batch, height, width, channels)` → `(batch, rows, columns, channels)`. NaN is larger than all.
pub(crate) fn max_pool(x: &Tensor, window: Window) -> Result<Tensor> {
    x.contiguous()?.apply_op1(MaxPool(window))
}

struct MaxPool(Window);

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let window = &self.0;
        let batch = layout.dims()[0];
        let shape = Shape::from([&[batch], window.output.as_slice(), &[window.channels]].concat());
        with_real!(x, T => {
            let y = pulp::Arch::new().dispatch(|| forward::<T>(window, slice(x, layout)?));
            Ok((T::to_cpu_storage_owned(y?), shape))
        })
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let gradient = gradient.contiguous()?;
        let (xs, ys, gs) = (x.storage_and_layout(), y.storage_and_layout(), gradient.storage_and_layout());
        with_real!(x, T => {
            let of_x = pulp::Arch::new().dispatch(|| backward::<T>(&self.0, values(&xs)?, values(&ys)?, values(&gs)?));
            tensor_like(of_x?, x).map(Some)
        })
    }
}

#[inline(always)]
fn forward<T: Real>(window: &Window, x: &[T]) -> Result<Vec<T>> {
    let channels = window.channels;
    let mut y = Vec::with_capacity(x.len() / window.image() * window.places() * channels);
    for image in x.chunks_exact(window.image()) {
        for place in 0..window.places() {
            let start = y.len();
            for at in window.inside(place) {
                let candidates = &image[at * channels..][..channels];
                if y.len() == start {
                    y.extend_from_slice(candidates);
                    continue;
                }
                for (y, x) in y[start..].iter_mut().zip(candidates) {
                    *y = if *x > *y || *x != *x { *x } else { *y };
                }
            }
        }
    }
    Ok(y)
}

#[inline(always)]
fn backward<T: Real>(window: &Window, x: &[T], y: &[T], gradient: &[T]) -> Result<Vec<T>> {
    let channels = window.channels;
    let mut of_x = vec![T::ZERO; x.len()];
    let mut left = vec![T::ZERO; channels];
    let mut places = y.chunks_exact(channels).zip(gradient.chunks_exact(channels));
    for (image, of_image) in x.chunks_exact(window.image()).zip(of_x.chunks_exact_mut(window.image())) {
        for (place, (y, gradient)) in (0..window.places()).zip(&mut places) {
            // What of the gradient has found no maximum yet.
            left.copy_from_slice(gradient);
            for at in window.inside(place) {
                let (x, of_x) = (&image[at * channels..][..channels], &mut of_image[at * channels..][..channels]);
                for (((of_x, x), y), left) in of_x.iter_mut().zip(x).zip(y).zip(&mut left) {
                    let share = if *x == *y { *left } else { T::ZERO };
                    *of_x += share;
                    *left -= share;
                }
            }
        }
    }
    Ok(of_x)
}

//! Max pooling over (batch, height, width, channels). The whole gradient of a window goes to its first maximum, as in Keras; candle's own
//! `max_pool2d` divides it by the window's size.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};

use super::real::Real;
use super::{slice, tensor_like, values, vectorised, with_real};
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
            let mut y = vec![T::ZERO; shape.elem_count()];
            forward::<T>(window, slice(x, layout)?, &mut y);
            Ok((T::to_cpu_storage_owned(y), shape))
        })
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let gradient = gradient.contiguous()?;
        let (xs, ys, gs) = (x.storage_and_layout(), y.storage_and_layout(), gradient.storage_and_layout());
        with_real!(x, T => {
            let mut of_x = vec![T::ZERO; x.elem_count()];
            backward::<T>(&self.0, values(&xs)?, values(&ys)?, values(&gs)?, &mut of_x);
            tensor_like(of_x, x).map(Some)
        })
    }
}

vectorised! {
    /// The maxima of all windows, `y`.
    fn forward<T: Real>(window: &Window, x: &[T], y: &mut [T]) {
        let channels = window.channels;
        let mut places = y.chunks_exact_mut(channels);
        for image in x.chunks_exact(window.image()) {
            for (place, y) in (0..window.places()).zip(&mut places) {
                for (nth, at) in window.inside(place).enumerate() {
                    let candidates = &image[at * channels..][..channels];
                    if nth == 0 {
                        y.copy_from_slice(candidates);
                        continue;
                    }
                    for (y, x) in y.iter_mut().zip(candidates) {
                        *y = larger(*y, *x);
                    }
                }
            }
        }
    }
}

vectorised! {
    /// Adds the gradient of the maxima `y` to `of_x`.
    fn backward<T: Real>(window: &Window, x: &[T], y: &[T], gradient: &[T], of_x: &mut [T]) {
        let channels = window.channels;
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
    }
}

/// The larger of two numbers, the first of equals, NaN where there is one.
#[inline(always)]
#[allow(clippy::eq_op, reason = "only NaN differs from itself")]
fn larger<T: Real>(a: T, b: T) -> T {
    if b > a || b != b { b } else { a }
}

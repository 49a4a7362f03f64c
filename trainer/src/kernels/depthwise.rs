//! A convolution of each channel on its own, over (batch, height, width, channels): no product of matrices, but sums along the channels.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType};
use hpo::network::Activation;

use super::activation::{self, activate, activation_gradient, needs_input};
use super::dense::bias_gradient;
use super::gradients::hand_over;
use super::real::Real;
use super::{slice, tensor_like, values, vectorised, with_real};
use crate::engine::Window;

/// `activation(conv(x, kernel) + bias)`, each channel on its own, on the CPU: `x (batch, height, width, channels)`, `kernel (height, width, channels, multiplier)`,
/// `bias (channels · multiplier)` → `(batch, rows, columns, channels · multiplier)`; those of a channel lie side by side.
pub(crate) fn depthwise(x: &Tensor, kernel: &Tensor, bias: &Tensor, window: Window, activation: Activation) -> Result<Tensor> {
    if needs_input(activation) {
        return activation::activation(&depthwise(x, kernel, bias, window, Activation::Linear)?, activation);
    }
    x.contiguous()?.apply_op3(kernel, bias, Depthwise { window, activation })
}

struct Depthwise {
    window: Window,
    activation: Activation,
}

impl CustomOp3 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        k: &CpuStorage,
        lk: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let filters = lb.shape().elem_count();
        let shape = Shape::from([&[lx.dims()[0]], self.window.output.as_slice(), &[filters]].concat());
        with_real!(x, T => {
            let mut y = slice::<T>(b, lb)?.repeat(shape.elem_count() / filters);
            forward(&self.window, slice(x, lx)?, slice(k, lk)?, &mut y);
            activate(self.activation, &mut y, filters);
            Ok((T::to_cpu_storage_owned(y), shape))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        kernel: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        with_real!(x, T => {
            let (xs, ks) = (x.storage_and_layout(), kernel.storage_and_layout());
            let (ys, gs) = (y.storage_and_layout(), gradient.storage_and_layout());
            let mut before = values::<T>(&gs)?.to_vec();
            activation_gradient(self.activation, &[], values(&ys)?, &mut before, bias.elem_count());
            let mut of_kernel = vec![T::ZERO; kernel.elem_count()];
            kernel_gradient::<T>(&self.window, values(&xs)?, &before, &mut of_kernel);
            let of_x = if x.track_op() {
                let mut of_x = vec![T::ZERO; x.elem_count()];
                input_gradient::<T>(&self.window, values(&ks)?, &before, &mut of_x);
                Some(tensor_like(of_x, x)?)
            } else {
                None
            };
            Ok((of_x, hand_over(kernel, tensor_like(of_kernel, kernel)?), bias_gradient(bias, &before)?))
        })
    }
}

/// Calls `each(place of the output, pixel of the image, place in the window)` for every pixel of every window that lies on the image.
#[inline(always)]
fn taps(window: &Window, mut each: impl FnMut(usize, usize, usize)) {
    let ([rows, columns], [_, width]) = (window.output, window.input);
    for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
        for (i, j) in (0..window.size[0]).flat_map(|i| (0..window.size[1]).map(move |j| (i, j))) {
            if let Some((row, column)) = window.pixel(0, y, i).zip(window.pixel(1, x, j)) {
                each(y * columns + x, row * width + column, i * window.size[1] + j);
            }
        }
    }
}

vectorised! {
    /// Adds the convolution to `y`.
    fn forward<T: Real>(window: &Window, x: &[T], kernel: &[T], y: &mut [T]) {
        let channels = window.channels;
        let filters = kernel.len() / (window.size[0] * window.size[1]);
        let multiplier = filters / channels;
        for (x, y) in x.chunks_exact(window.image()).zip(y.chunks_exact_mut(window.places() * filters)) {
            taps(window, |place, pixel, tap| {
                let (x, y, k) = (&x[pixel * channels..][..channels], &mut y[place * filters..][..filters], &kernel[tap * filters..][..filters]);
                if multiplier == 1 {
                    y.iter_mut().zip(x).zip(k).for_each(|((y, x), k)| *y += *x * *k);
                } else {
                    let of_channels = y.chunks_exact_mut(multiplier).zip(x).zip(k.chunks_exact(multiplier));
                    of_channels.for_each(|((y, x), k)| y.iter_mut().zip(k).for_each(|(y, k)| *y += *x * *k));
                }
            });
        }
    }
}

vectorised! {
    /// Adds the gradient of the kernel to `of_kernel`.
    fn kernel_gradient<T: Real>(window: &Window, x: &[T], gradient: &[T], of_kernel: &mut [T]) {
        let channels = window.channels;
        let filters = of_kernel.len() / (window.size[0] * window.size[1]);
        let multiplier = filters / channels;
        for (x, g) in x.chunks_exact(window.image()).zip(gradient.chunks_exact(window.places() * filters)) {
            taps(window, |place, pixel, tap| {
                let (x, g, k) = (&x[pixel * channels..][..channels], &g[place * filters..][..filters], &mut of_kernel[tap * filters..][..filters]);
                if multiplier == 1 {
                    k.iter_mut().zip(x).zip(g).for_each(|((k, x), g)| *k += *x * *g);
                } else {
                    let of_channels = k.chunks_exact_mut(multiplier).zip(x).zip(g.chunks_exact(multiplier));
                    of_channels.for_each(|((k, x), g)| k.iter_mut().zip(g).for_each(|(k, g)| *k += *x * *g));
                }
            });
        }
    }
}

vectorised! {
    /// Adds the gradient of the input to `of_x`.
    fn input_gradient<T: Real>(window: &Window, kernel: &[T], gradient: &[T], of_x: &mut [T]) {
        let channels = window.channels;
        let filters = kernel.len() / (window.size[0] * window.size[1]);
        let multiplier = filters / channels;
        for (x, g) in of_x.chunks_exact_mut(window.image()).zip(gradient.chunks_exact(window.places() * filters)) {
            taps(window, |place, pixel, tap| {
                let (x, g, k) = (&mut x[pixel * channels..][..channels], &g[place * filters..][..filters], &kernel[tap * filters..][..filters]);
                if multiplier == 1 {
                    x.iter_mut().zip(k).zip(g).for_each(|((x, k), g)| *x += *k * *g);
                } else {
                    let of_channels = x.iter_mut().zip(k.chunks_exact(multiplier)).zip(g.chunks_exact(multiplier));
                    of_channels.for_each(|((x, k), g)| k.iter().zip(g).for_each(|(k, g)| *x += *k * *g));
                }
            });
        }
    }
}

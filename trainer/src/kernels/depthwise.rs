//! A convolution of each channel on its own, over (batch, height, width, channels): no product of
//! matrices, but sums along the channels.

use candle_core::{Result, Tensor};
use hpo::network::Activation;

use super::activation::{self, activate, activation_gradient};
use super::dense::sums_of_columns;
use super::operation::{Custom, Operation};
use super::real::Real;
use super::vectorised;
use super::window::Window;

/// `activation(conv(x, kernel) + bias)`, each channel on its own, on the CPU: `x (batch, height,
/// width, channels)`, `kernel (height, width, channels, multiplier)`, `bias (channels ·
/// multiplier)` → `(batch, rows, columns, channels · multiplier)`, the multiples of a channel side
/// by side.
pub(crate) fn depthwise(
    x: &Tensor,
    kernel: &Tensor,
    bias: &Tensor,
    window: Window,
    activation: Activation,
) -> Result<Tensor> {
    if activation.needs_input() {
        return activation::activation(&depthwise(x, kernel, bias, window, Activation::Linear)?, activation);
    }
    x.contiguous()?.apply_op3(kernel, bias, Custom(Depthwise { window, activation }))
}

struct Depthwise {
    window: Window,
    activation: Activation,
}

impl Operation<3> for Depthwise {
    fn dims(&self, [x, _, bias]: [&[usize]; 3]) -> Vec<usize> {
        [&x[..1], &self.window.output, bias].concat()
    }

    fn forward<T: Real>(&self, [x, kernel, bias]: [&[T]; 3]) -> Vec<T> {
        let mut y = bias.repeat(x.len() / self.window.image() * self.window.places());
        add_convolution(&self.window, x, kernel, &mut y);
        activate(self.activation, &mut y, bias.len());
        y
    }

    fn backward<T: Real>(
        &self,
        [x, kernel, bias]: [&[T]; 3],
        y: &[T],
        gradient: &[T],
        wanted: [bool; 3],
    ) -> [Option<Vec<T>>; 3] {
        let mut before = gradient.to_vec();
        activation_gradient(self.activation, &[], y, &mut before, bias.len());
        let mut of_kernel = vec![T::ZERO; kernel.len()];
        kernel_gradient(&self.window, x, &before, &mut of_kernel);
        let of_x = wanted[0].then(|| {
            let mut of_x = vec![T::ZERO; x.len()];
            input_gradient(&self.window, kernel, &before, &mut of_x);
            of_x
        });
        [of_x, Some(of_kernel), wanted[2].then(|| sums_of_columns(&before, bias.len()))]
    }
}

/// Calls `each(place of the output, pixel of the image, place in the window)` for every pixel of
/// every window that lies on the image.
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
    fn add_convolution<T: Real>(window: &Window, x: &[T], kernel: &[T], y: &mut [T]) {
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

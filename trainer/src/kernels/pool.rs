//! Pooling over (batch, height, width, channels), as in Keras. The whole gradient of a window goes to
//! its first maximum; candle's own `max_pool2d` divides it by the window's size. Equal maxima of a
//! whole image, which is a reduction in Keras, share the gradient. A mean is taken over the pixels on
//! the image: padding does not count.

use candle_core::{Result, Tensor};

use super::operation::{Custom, Operation};
use super::real::Real;
use super::vectorised;
use super::window::Window;

/// The largest value of each window on the CPU: `(batch, height, width, channels)` → `(batch, rows,
/// columns, channels)`. NaN is larger than all.
pub(crate) fn max_pool(x: &Tensor, window: Window) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Custom(Pool { window, kind: Kind::Max }))
}

/// The largest value of each image, which is the window, on the CPU: `(batch, height, width,
/// channels)` → `(batch, 1, 1, channels)`. NaN is larger than all.
pub(crate) fn global_max(x: &Tensor, window: Window) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Custom(Pool { window, kind: Kind::GlobalMax }))
}

/// The mean of each window on the CPU: `(batch, height, width, channels)` → `(batch, rows, columns,
/// channels)`.
pub(crate) fn average_pool(x: &Tensor, window: Window) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Custom(Pool { window, kind: Kind::Mean }))
}

struct Pool {
    window: Window,
    kind: Kind,
}

enum Kind {
    Max,
    GlobalMax,
    Mean,
}

impl Operation<1> for Pool {
    fn dims(&self, [x]: [&[usize]; 1]) -> Vec<usize> {
        [&x[..1], &self.window.output, &x[3..]].concat()
    }

    fn forward<T: Real>(&self, [x]: [&[T]; 1]) -> Vec<T> {
        let window = &self.window;
        let mut y = vec![T::ZERO; x.len() / window.image() * window.places() * window.channels];
        match self.kind {
            Kind::Max | Kind::GlobalMax => maxima(window, x, &mut y),
            Kind::Mean => means(window, x, &mut y),
        }
        y
    }

    fn backward<T: Real>(
        &self,
        [x]: [&[T]; 1],
        y: &[T],
        gradient: &[T],
        _: [bool; 1],
    ) -> [Option<Vec<T>>; 1] {
        let mut of_x = vec![T::ZERO; x.len()];
        match self.kind {
            Kind::Max if self.window.is_quartered() => {
                quarters_gradient(&self.window, x, y, gradient, &mut of_x)
            }
            Kind::Max => maxima_gradient(&self.window, x, y, gradient, &mut of_x),
            Kind::GlobalMax => equals_gradient(&self.window, x, y, gradient, &mut of_x),
            Kind::Mean => means_gradient(&self.window, gradient, &mut of_x),
        }
        [Some(of_x)]
    }
}

vectorised! {
    /// The maxima of all windows, `y`.
    fn maxima<T: Real>(window: &Window, x: &[T], y: &mut [T]) {
        let channels = window.channels;
        let mut places = y.chunks_exact_mut(channels);
        for image in x.chunks_exact(window.image()) {
            for (place, y) in (0..window.places()).zip(&mut places) {
                if window.is_quartered() {
                    let [a, b, c, d] = window.quarter(place).map(|at| &image[at * channels..][..channels]);
                    for ((((y, a), b), c), d) in y.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                        *y = larger(larger(larger(*a, *b), *c), *d);
                    }
                    continue;
                }
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
    fn maxima_gradient<T: Real>(window: &Window, x: &[T], y: &[T], gradient: &[T], of_x: &mut [T]) {
        let channels = window.channels;
        let mut left = vec![T::ZERO; channels];
        let mut places = y.chunks_exact(channels).zip(gradient.chunks_exact(channels));
        for (image, of_image) in x.chunks_exact(window.image()).zip(of_x.chunks_exact_mut(window.image())) {
            for (place, (y, gradient)) in (0..window.places()).zip(&mut places) {
                // The part of the gradient that has found no maximum yet.
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

vectorised! {
    /// As [`maxima_gradient`], for windows of two by two that do not overlap: each pixel is written
    /// once.
    fn quarters_gradient<T: Real>(window: &Window, x: &[T], y: &[T], gradient: &[T], of_x: &mut [T]) {
        let (channels, width) = (window.channels, window.input[1]);
        let mut places = y.chunks_exact(channels).zip(gradient.chunks_exact(channels));
        for (image, of_image) in x.chunks_exact(window.image()).zip(of_x.chunks_exact_mut(window.image())) {
            for (place, (y, gradient)) in (0..window.places()).zip(&mut places) {
                let [at, _, below, _] = window.quarter(place).map(|at| at * channels);
                let (above, rest) = of_image[at..].split_at_mut(width * channels);
                let (of_a, of_b) = above[..2 * channels].split_at_mut(channels);
                let (of_c, of_d) = rest[..2 * channels].split_at_mut(channels);
                let (a, b) = image[at..][..2 * channels].split_at(channels);
                let (c, _) = image[below..][..2 * channels].split_at(channels);
                for i in 0..channels {
                    let (y, g) = (y[i], gradient[i]);
                    let is = [a[i] == y, b[i] == y, c[i] == y];
                    of_a[i] = if is[0] { g } else { T::ZERO };
                    of_b[i] = if is[1] & !is[0] { g } else { T::ZERO };
                    of_c[i] = if is[2] & !is[1] & !is[0] { g } else { T::ZERO };
                    of_d[i] = if is[0] | is[1] | is[2] { T::ZERO } else { g };
                }
            }
        }
    }
}

vectorised! {
    /// Adds the gradient of the images' maxima `y` to `of_x`, in equal shares.
    fn equals_gradient<T: Real>(window: &Window, x: &[T], y: &[T], gradient: &[T], of_x: &mut [T]) {
        let channels = window.channels;
        let mut shares = vec![T::ZERO; channels];
        let images = x.chunks_exact(window.image()).zip(of_x.chunks_exact_mut(window.image()));
        for ((image, of_image), (y, gradient)) in images.zip(y.chunks_exact(channels).zip(gradient.chunks_exact(channels))) {
            shares.fill(T::ZERO);
            for pixel in image.chunks_exact(channels) {
                shares.iter_mut().zip(pixel).zip(y).for_each(|((count, x), y)| *count += if *x == *y { T::ONE } else { T::ZERO });
            }
            shares.iter_mut().zip(gradient).for_each(|(share, g)| *share = *g / *share);
            for (pixel, of_pixel) in image.chunks_exact(channels).zip(of_image.chunks_exact_mut(channels)) {
                for (((of_x, x), y), share) in of_pixel.iter_mut().zip(pixel).zip(y).zip(&shares) {
                    *of_x += if *x == *y { *share } else { T::ZERO };
                }
            }
        }
    }
}

vectorised! {
    /// The means of all windows, `y`, which are 0 before.
    fn means<T: Real>(window: &Window, x: &[T], y: &mut [T]) {
        let channels = window.channels;
        let mut places = y.chunks_exact_mut(channels);
        for image in x.chunks_exact(window.image()) {
            for (place, y) in (0..window.places()).zip(&mut places) {
                let mut count = 0u32;
                for at in window.inside(place) {
                    y.iter_mut().zip(&image[at * channels..][..channels]).for_each(|(y, x)| *y += *x);
                    count += 1;
                }
                let count = T::of(f64::from(count));
                y.iter_mut().for_each(|y| *y /= count);
            }
        }
    }
}

vectorised! {
    /// Adds the gradient of the means to `of_x`.
    fn means_gradient<T: Real>(window: &Window, gradient: &[T], of_x: &mut [T]) {
        let channels = window.channels;
        let mut places = gradient.chunks_exact(channels);
        for of_image in of_x.chunks_exact_mut(window.image()) {
            for (place, gradient) in (0..window.places()).zip(&mut places) {
                let count = T::of(window.inside(place).count() as f64);
                for at in window.inside(place) {
                    of_image[at * channels..][..channels].iter_mut().zip(gradient).for_each(|(of_x, g)| *of_x += *g / count);
                }
            }
        }
    }
}

/// The larger of two numbers, the first of equals, NaN if either is NaN.
#[inline(always)]
#[allow(clippy::eq_op, reason = "only NaN differs from itself")]
fn larger<T: Real>(a: T, b: T) -> T {
    if b > a || b != b { b } else { a }
}

//! A convolution and the max pooling after it in one operation, where windows of the pooling are
//! two by two and lie side by side.
//!
//! The convolution's output is four times as large as the pooled one, and nothing but the largest
//! of each four ever matters: here it lives in the cache, a few images at a time, and so does its
//! gradient. That saves most of what a small network reads and writes in a step.

use std::sync::OnceLock;

use candle_core::{Result, Tensor};
use hpo::network::Activation;

use super::activation::{activate, activation_gradient};
use super::conv::{BLOCK, add_back, lay_out};
use super::dense::sums_of_columns;
use super::operation::{Custom, Operation};
use super::product::{Matrix, Packed, Right, add_product, add_product_with, product_onto};
use super::real::Real;
use super::vectorised;
use super::window::Window;

/// Whether [`conv_pool`] takes this pair: the gradient of the activation must follow from each
/// number of its result alone.
pub(crate) fn takes(activation: Activation, pool: &Window) -> bool {
    pool.is_quartered()
        && !activation.needs_input()
        && !matches!(activation, Activation::Softmax | Activation::LogSoftmax)
}

/// `max_pool(activation(conv(x, kernel) + bias))` on the CPU: as [`super::conv::conv`] with
/// [`super::pool::max_pool`] after it, to the bit but for the order in which the bias's gradient is
/// summed.
pub(crate) fn conv_pool(
    x: &Tensor,
    kernel: &Tensor,
    bias: &Tensor,
    window: Window,
    activation: Activation,
    pool: Window,
) -> Result<Tensor> {
    x.contiguous()?.apply_op3(
        kernel,
        bias,
        Custom(ConvPool { window, activation, pool, largest: OnceLock::new() }),
    )
}

struct ConvPool {
    window: Window,
    activation: Activation,
    pool: Window,
    /// For each number of the result, which of the four it was: 0 to 3, row by row. As wide as a
    /// number, so that loops over both vectorise.
    largest: OnceLock<Vec<u32>>,
}

impl Operation<3> for ConvPool {
    fn dims(&self, [x, _, bias]: [&[usize]; 3]) -> Vec<usize> {
        [&x[..1], &self.pool.output, bias].concat()
    }

    fn forward<T: Real>(&self, [x, kernel, bias]: [&[T]; 3]) -> Vec<T> {
        let (window, pool, filters) = (&self.window, &self.pool, bias.len());
        let (patch, places) = (window.patch(), window.places());
        let images = x.len() / window.image();
        let kernel = Matrix::new(kernel, patch, filters);
        let packed = Packed::unless_narrow(kernel);
        let kernel = Right::of(kernel, packed.as_ref());
        let together = self.images_of_a_block(filters).min(images);
        let mut patches = vec![T::ZERO; together * places * patch];
        let mut block = vec![T::ZERO; together * places * filters];
        let (mut y, mut largest) =
            (vec![T::ZERO; images * pool.places() * filters], vec![0; images * pool.places() * filters]);
        let pooled = together * pool.places() * filters;
        for ((at, y), largest) in y.chunks_mut(pooled).enumerate().zip(largest.chunks_mut(pooled)) {
            let count = y.len() / (pool.places() * filters) * places;
            let (patches, block) = (&mut patches[..count * patch], &mut block[..count * filters]);
            lay_out(window, x, at * together * places, patches);
            product_onto(block, bias, Matrix::new(patches, count, patch), kernel);
            activate(self.activation, block, filters);
            maxima(pool, block, y, largest);
        }
        let _ = self.largest.set(largest); // it is the first: an operation runs once
        y
    }

    fn backward<T: Real>(
        &self,
        [x, kernel, bias]: [&[T]; 3],
        y: &[T],
        gradient: &[T],
        wanted: [bool; 3],
    ) -> [Option<Vec<T>>; 3] {
        let (window, pool, filters) = (&self.window, &self.pool, bias.len());
        let (patch, places) = (window.patch(), window.places());
        let largest = self.largest.get().expect("an operation runs there before it runs back");
        // Through the activation while it is still small.
        let mut pooled = gradient.to_vec();
        activation_gradient(self.activation, &[], y, &mut pooled, filters);
        let mut of_x = wanted[0].then(|| vec![T::ZERO; x.len()]);
        let images = x.len() / window.image();
        let together = self.images_of_a_block(filters).min(images);
        let mut of_kernel = vec![T::ZERO; kernel.len()];
        let kernel = of_x.is_some().then(|| Packed::new(Matrix::new(kernel, patch, filters).t()));
        let mut patches = vec![T::ZERO; together * places * patch];
        // Numbers that no window of the pooling reaches stay 0.
        let mut block = vec![T::ZERO; together * places * filters];
        let size = together * pool.places() * filters;
        for ((at, pooled), largest) in pooled.chunks(size).enumerate().zip(largest.chunks(size)) {
            let count = pooled.len() / (pool.places() * filters) * places;
            let (patches, block) = (&mut patches[..count * patch], &mut block[..count * filters]);
            spread(pool, pooled, largest, block);
            let gradient = Matrix::new(block, count, filters);
            lay_out(window, x, at * together * places, patches);
            add_product(&mut of_kernel, Matrix::new(patches, count, patch).t(), gradient);
            if let (Some(of_x), Some(kernel)) = (of_x.as_deref_mut(), &kernel) {
                patches.fill(T::ZERO);
                add_product_with(patches, gradient, kernel);
                add_back(window, patches, at * together * places, of_x);
            }
        }
        [of_x, Some(of_kernel), wanted[2].then(|| sums_of_columns(&pooled, filters))]
    }
}

impl ConvPool {
    /// Whole images, since a window of the pooling has rows of two.
    fn images_of_a_block(&self, filters: usize) -> usize {
        (BLOCK / (self.window.patch().max(filters) * self.window.places())).max(1)
    }
}

vectorised! {
    /// Of each four numbers of the images `x` the largest, the first of equals, NaN where there is
    /// one, and which it is.
    fn maxima<T: Real>(pool: &Window, x: &[T], y: &mut [T], largest: &mut [u32]) {
        let channels = pool.channels;
        let mut places = y.chunks_exact_mut(channels).zip(largest.chunks_exact_mut(channels));
        for image in x.chunks_exact(pool.image()) {
            for (place, (y, largest)) in (0..pool.places()).zip(&mut places) {
                let [a, b, c, d] = pool.quarter(place).map(|at| &image[at * channels..][..channels]);
                for i in 0..channels {
                    let (mut most, mut which) = (a[i], 0);
                    for (nth, x) in [(1, b[i]), (2, c[i]), (3, d[i])] {
                        #[allow(clippy::eq_op, reason = "only NaN differs from itself")]
                        let more = x > most || x != x;
                        most = if more { x } else { most };
                        which = if more { nth } else { which };
                    }
                    (y[i], largest[i]) = (most, which);
                }
            }
        }
    }
}

vectorised! {
    /// Writes each gradient to the one of its four places that was the largest, and 0 to the
    /// others.
    fn spread<T: Real>(pool: &Window, pooled: &[T], largest: &[u32], block: &mut [T]) {
        let (channels, width) = (pool.channels, pool.input[1]);
        let mut places = pooled.chunks_exact(channels).zip(largest.chunks_exact(channels));
        for image in block.chunks_exact_mut(pool.image()) {
            for (place, (g, largest)) in (0..pool.places()).zip(&mut places) {
                let at = pool.quarter(place)[0] * channels;
                let (above, below) = image[at..].split_at_mut(width * channels);
                let (a, b) = above[..2 * channels].split_at_mut(channels);
                let (c, d) = below[..2 * channels].split_at_mut(channels);
                let of_four = a.iter_mut().zip(b).zip(&mut c[..channels]).zip(&mut d[..channels]);
                // Read where only some of four want it, the gradient would be read under masks: a
                // third of the speed.
                for ((((a, b), c), d), (&g, which)) in of_four.zip(g.iter().zip(largest)) {
                    *a = if *which == 0 { g } else { T::ZERO };
                    *b = if *which == 1 { g } else { T::ZERO };
                    *c = if *which == 2 { g } else { T::ZERO };
                    *d = if *which == 3 { g } else { T::ZERO };
                }
            }
        }
    }
}

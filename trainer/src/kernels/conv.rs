//! A convolution over (batch, height, width, channels) in one operation: windows laid out as rows,
//! a product, bias and activation, and their gradients.
//!
//! candle's own gradient confuses the batch with channels and is several times slower.

use candle_core::{Result, Tensor};
use hpo::network::Activation;

use super::activation::{self, activate, activation_gradient};
use super::dense::add_columns;
use super::operation::{Custom, Operation};
use super::product::{Matrix, Packed, Right, add_product, add_product_with, product_onto};
use super::real::Real;
use super::vectorised;
use super::window::Window;

/// Numbers in a block of laid-out windows: 256 KiB of `f32` stay in the second-level cache between
/// layout and product. The gradient of the kernel is summed block by block, so that another size
/// would change its bits.
pub(super) const BLOCK: usize = 1 << 16;

/// `activation(conv(x, kernel) + bias)` on the CPU: `x (batch, height, width, channels)`, `kernel
/// (height, width, channels, filters)`, `bias (filters)` → `(batch, rows, columns, filters)`.
pub(crate) fn conv(
    x: &Tensor,
    kernel: &Tensor,
    bias: &Tensor,
    window: Window,
    activation: Activation,
) -> Result<Tensor> {
    if activation.needs_input() {
        return activation::activation(&conv(x, kernel, bias, window, Activation::Linear)?, activation);
    }
    x.contiguous()?.apply_op3(kernel, bias, Custom(Conv { window, activation }))
}

struct Conv {
    window: Window,
    activation: Activation,
}

impl Operation<3> for Conv {
    fn dims(&self, [x, _, bias]: [&[usize]; 3]) -> Vec<usize> {
        [&x[..1], &self.window.output, bias].concat()
    }

    fn forward<T: Real>(&self, [x, kernel, bias]: [&[T]; 3]) -> Vec<T> {
        let (window, filters) = (&self.window, bias.len());
        let (patch, places) = (window.patch(), x.len() / window.image() * window.places());
        let kernel = Matrix::new(kernel, patch, filters);
        let packed = Packed::unless_narrow(kernel);
        let kernel = Right::of(kernel, packed.as_ref());
        let rows = self.rows_of_a_block();
        let mut patches = vec![T::ZERO; rows.min(places) * patch];
        let mut y = vec![T::ZERO; places * filters];
        for (block, y) in y.chunks_mut(rows * filters).enumerate() {
            let (first, count) = (block * rows, y.len() / filters);
            let patches = &mut patches[..count * patch];
            lay_out(window, x, first, patches);
            product_onto(y, bias, Matrix::new(patches, count, patch), kernel);
            activate(self.activation, y, filters);
        }
        y
    }

    fn backward<T: Real>(
        &self,
        [x, kernel, bias]: [&[T]; 3],
        y: &[T],
        gradient: &[T],
        wanted: [bool; 3],
    ) -> [Option<Vec<T>>; 3] {
        let (window, filters) = (&self.window, bias.len());
        let patch = window.patch();
        let mut of_x = wanted[0].then(|| vec![T::ZERO; x.len()]);
        let (mut of_kernel, mut of_bias) = (vec![T::ZERO; kernel.len()], vec![T::ZERO; filters]);
        let rows = self.rows_of_a_block();
        let kernel = of_x.is_some().then(|| Packed::new(Matrix::new(kernel, patch, filters).t()));
        let mut patches = vec![T::ZERO; rows.min(gradient.len() / filters) * patch];
        let mut before = Vec::with_capacity(rows.min(gradient.len() / filters) * filters);
        for (block, (y, gradient)) in
            y.chunks(rows * filters).zip(gradient.chunks(rows * filters)).enumerate()
        {
            let count = gradient.len() / filters;
            before.clear();
            before.extend_from_slice(gradient);
            activation_gradient(self.activation, &[], y, &mut before, filters);
            add_columns(&mut of_bias, &before);
            let gradient = Matrix::new(&before, count, filters);
            let patches = &mut patches[..count * patch];
            lay_out(window, x, block * rows, patches);
            add_product(&mut of_kernel, Matrix::new(patches, count, patch).t(), gradient);
            if let (Some(of_x), Some(kernel)) = (of_x.as_deref_mut(), &kernel) {
                patches.fill(T::ZERO);
                add_product_with(patches, gradient, kernel);
                add_back(window, patches, block * rows, of_x);
            }
        }
        [of_x, Some(of_kernel), Some(of_bias)]
    }
}

impl Conv {
    fn rows_of_a_block(&self) -> usize {
        (BLOCK / self.window.patch()).max(1)
    }
}

/// Calls `copy(place in the patches, place on the images, length)` for every run of numbers that
/// lies side by side in both, for the windows from `first` on.
#[inline(always)]
fn runs(window: &Window, first: usize, count: usize, mut copy: impl FnMut(usize, usize, usize)) {
    let &Window { channels, input: [_, width], size: [_, size], output: [rows, columns], .. } = window;
    let (patch, image) = (window.patch(), window.image());
    if window.dilation != [1, 1] {
        return dilated_runs(window, first, count, copy);
    }
    let (mut number, mut y, mut x) =
        (first / window.places(), first % window.places() / columns, first % columns);
    for index in 0..count {
        let ((top, bottom, above), (left, right, cut)) = (window.span(0, y), window.span(1, x));
        let (length, mut to) = ((right - left) * channels, index * patch + (above * size + cut) * channels);
        for row in top..bottom {
            copy(to, number * image + (row * width + left) * channels, length);
            to += size * channels;
        }
        // Counting is cheaper than dividing, once for each window.
        x += 1;
        if x == columns {
            (x, y) = (0, y + 1);
        }
        if y == rows {
            (y, number) = (0, number + 1);
        }
    }
}

/// As [`runs`], for windows whose pixels lie apart: each is a run of its own.
#[inline(always)]
fn dilated_runs(window: &Window, first: usize, count: usize, mut copy: impl FnMut(usize, usize, usize)) {
    let &Window { channels, input: [_, width], size: [rows, columns], .. } = window;
    for index in 0..count {
        let (number, place) = ((first + index) / window.places(), (first + index) % window.places());
        let (y, x) = (place / window.output[1], place % window.output[1]);
        for tap in 0..rows * columns {
            let at = window.pixel(0, y, tap / columns).zip(window.pixel(1, x, tap % columns));
            if let Some((row, column)) = at {
                copy(
                    index * window.patch() + tap * channels,
                    number * window.image() + (row * width + column) * channels,
                    channels,
                );
            }
        }
    }
}

vectorised! {
    /// Writes each window's numbers in a row, from window `first` of the batch on; those beside the
    /// image are 0.
    pub(super) fn lay_out<T: Real>(window: &Window, x: &[T], first: usize, patches: &mut [T]) {
        if window.overhangs() {
            patches.fill(T::ZERO);
        }
        runs(window, first, patches.len() / window.patch(), |to, from, length| {
            let (to, from) = (&mut patches[to..to + length], &x[from..from + length]);
            // The few numbers of a grey image are not worth a call of memcpy.
            match (to, from) {
                ([a, b, c], [x, y, z]) => (*a, *b, *c) = (*x, *y, *z),
                (to, from) if length < 16 => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
                (to, from) => to.copy_from_slice(from),
            }
        });
    }
}

vectorised! {
    /// Adds each window's numbers to the pixels they came from.
    pub(super) fn add_back<T: Real>(window: &Window, patches: &[T], first: usize, of_x: &mut [T]) {
        runs(window, first, patches.len() / window.patch(), |from, to, length| {
            of_x[to..to + length].iter_mut().zip(&patches[from..from + length]).for_each(|(to, from)| *to += *from);
        });
    }
}

//! The kernels of [`crate::kernels`] in candle's own operations, for devices other than the CPU. Tests
//! hold both to the same finite differences and to each other, on the CPU.
//!
//! Never candle's `max_pool2d`, whose gradient is wrong on every device.

mod loss;
mod recurrent;

use candle_core::{D, Device, Result, Tensor};
use hpo::network::Activation;

use crate::kernels::activation::{LEAKY_SLOPE, SELU};
use crate::kernels::window::Window;

pub(crate) use loss::loss;
pub(in crate::engine) use recurrent::recurrence;

/// As [`crate::kernels::dense::dense`].
pub(super) fn dense(x: &Tensor, kernel: &Tensor, bias: &Tensor, function: Activation) -> Result<Tensor> {
    let (inputs, units) = kernel.dims2()?;
    let shape: Vec<usize> = [&x.dims()[..x.rank() - 1], &[units]].concat();
    let y = x.contiguous()?.reshape(((), inputs))?.matmul(kernel)?.broadcast_add(bias)?;
    activation(&y, function)?.reshape(shape)
}

/// As [`crate::kernels::conv::conv`]: windows are gathered into rows.
pub(super) fn conv(
    x: &Tensor,
    kernel: &Tensor,
    bias: &Tensor,
    window: Window,
    function: Activation,
) -> Result<Tensor> {
    let (batch, filters) = (x.dims()[0], bias.elem_count());
    let [rows, columns] = window.output;
    let patches = patches(x, &window)?.reshape((batch, rows, columns, window.patch()))?;
    dense(&patches, &kernel.reshape((window.patch(), filters))?, bias, function)
}

/// As [`crate::kernels::depthwise::depthwise`].
pub(super) fn depthwise(
    x: &Tensor,
    kernel: &Tensor,
    bias: &Tensor,
    window: Window,
    function: Activation,
) -> Result<Tensor> {
    let (batch, filters, taps) = (x.dims()[0], bias.elem_count(), window.size[0] * window.size[1]);
    let [rows, columns] = window.output;
    let patches = patches(x, &window)?.reshape((batch, window.places(), taps, window.channels, 1))?;
    let kernel = kernel.reshape((1, 1, taps, window.channels, filters / window.channels))?;
    let y = patches.broadcast_mul(&kernel)?.sum(2)?.reshape((batch, rows, columns, filters))?;
    activation(&y.broadcast_add(bias)?, function)
}

/// The pixels of all windows, `(batch, windows · pixels, channels)`; those beside the image are 0.
fn patches(x: &Tensor, window: &Window) -> Result<Tensor> {
    let batch = x.dims()[0];
    // One more pixel, of zeros, stands for all those beside the image.
    let beside = Tensor::zeros((batch, 1, window.channels), x.dtype(), x.device())?;
    let pixels = Tensor::cat(&[&x.contiguous()?.reshape((batch, (), window.channels))?, &beside], 1)?;
    pixels.index_select(&indices(window, Beside::Zero, x.device())?, 1)
}

/// As [`crate::kernels::pool::max_pool`]: the maximum over the windows' first pixels, second pixels
/// and so on, where the first of equal pixels counts.
pub(super) fn max_pool(x: &Tensor, window: Window) -> Result<Tensor> {
    let batch = x.dims()[0];
    let [rows, columns] = window.output;
    let pixels = x.contiguous()?.reshape((batch, (), window.channels))?;
    let size = window.size[0] * window.size[1];
    let candidates = pixels.index_select(&indices(&window, Beside::Nearest, x.device())?, 1)?.reshape((
        batch,
        window.places(),
        size,
        window.channels,
    ))?;
    let mut largest = candidates.narrow(2, 0, 1)?;
    for at in 1..size {
        let candidate = candidates.narrow(2, at, 1)?;
        largest = candidate.gt(&largest)?.where_cond(&candidate, &largest)?;
    }
    (largest + nan_of(&candidates, 2)?)?.reshape((batch, rows, columns, window.channels))
}

/// As [`crate::kernels::pool::global_max`]: the mean of equal maxima, since candle's own maximum
/// gives each of them the whole gradient.
pub(super) fn global_max(x: &Tensor, window: Window) -> Result<Tensor> {
    let batch = x.dims()[0];
    let pixels = x.contiguous()?.reshape((batch, (), window.channels))?;
    let is_largest = pixels.broadcast_eq(&pixels.detach().max_keepdim(1)?)?;
    let count = is_largest.to_dtype(x.dtype())?.sum_keepdim(1)?;
    let sum = is_largest.where_cond(&pixels, &pixels.zeros_like()?)?.sum_keepdim(1)?;
    (sum.broadcast_div(&count)? + nan_of(&pixels, 1)?)?.reshape((batch, 1, 1, window.channels))
}

/// NaN if there is one along the dimension, otherwise 0: comparisons pass it over, and a divergence
/// must not vanish.
fn nan_of(x: &Tensor, dimension: usize) -> Result<Tensor> {
    let x = x.detach();
    x.ne(&x)?.where_cond(&x, &x.zeros_like()?)?.sum_keepdim(dimension)
}

/// As [`crate::kernels::pool::average_pool`].
pub(super) fn average_pool(x: &Tensor, window: Window) -> Result<Tensor> {
    let batch = x.dims()[0];
    let [rows, columns] = window.output;
    let sums = patches(x, &window)?.reshape((batch, window.places(), (), window.channels))?.sum(2)?;
    let counts: Vec<f64> = (0..window.places()).map(|place| window.inside(place).count() as f64).collect();
    let counts = Tensor::from_vec(counts, (window.places(), 1), x.device())?.to_dtype(x.dtype())?;
    sums.broadcast_div(&counts)?.reshape((batch, rows, columns, window.channels))
}

/// As [`crate::kernels::activation::leaky_relu`].
pub(super) fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor> {
    x.gt(0.0)?.where_cond(x, &(x * slope)?)
}

/// As [`crate::kernels::prelu::prelu`].
pub(super) fn prelu(x: &Tensor, alpha: &Tensor) -> Result<Tensor> {
    x.eq(0.0)?.where_cond(&x.zeros_like()?, &x.lt(0.0)?.where_cond(&x.broadcast_mul(alpha)?, x)?)
}

/// As [`crate::kernels::normalization::layer_norm`].
pub(super) fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, epsilon: f64) -> Result<Tensor> {
    let distance = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = distance.sqr()?.mean_keepdim(D::Minus1)?;
    distance.broadcast_div(&(variance + epsilon)?.sqrt()?)?.broadcast_mul(gamma)?.broadcast_add(beta)
}

/// As [`crate::kernels::normalization::batch_norm`].
pub(super) fn batch_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, epsilon: f64) -> Result<[Tensor; 3]> {
    let rows = x.reshape(((), gamma.elem_count()))?;
    let mean = rows.mean(0)?;
    let distance = rows.broadcast_sub(&mean)?;
    let variance = distance.sqr()?.mean(0)?;
    let normal = distance.broadcast_div(&(&variance + epsilon)?.sqrt()?)?;
    let y = normal.broadcast_mul(gamma)?.broadcast_add(beta)?.reshape(x.shape())?;
    Ok([y, mean.detach(), variance.detach()])
}

/// As [`crate::kernels::embedding::embedding`].
pub(super) fn embedding(table: &Tensor, rows: Vec<u32>) -> Result<Tensor> {
    let count = rows.len();
    table.index_select(&Tensor::from_vec(rows, count, table.device())?, 0)
}

/// As [`crate::kernels::dropout::masked`].
pub(super) fn masked(x: &Tensor, mask: Vec<f32>) -> Result<Tensor> {
    x * Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?
}

/// As [`crate::kernels::penalty::penalty`].
pub(super) fn penalty(x: &Tensor, l1: f64, l2: f64) -> Result<Tensor> {
    (x.abs()?.sum_all()? * l1)? + (x.sqr()?.sum_all()? * l2)?
}

/// As [`crate::kernels::activation::activation`].
pub(super) fn activation(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Linear => Ok(x.clone()),
        Activation::Relu => x.relu(),
        Activation::LeakyRelu => leaky_relu(x, LEAKY_SLOPE),
        // candle's clamp does not let NaN through.
        Activation::Relu6 => least(&x.relu()?, 6.0),
        Activation::Elu => x.lt(0.0)?.where_cond(&(least(x, 0.0)?.exp()? - 1.0)?, x),
        Activation::Selu => {
            let [alpha, scale] = SELU;
            x.lt(0.0)?.where_cond(&((least(x, 0.0)?.exp()? - 1.0)? * (alpha * scale))?, &(x * scale)?)
        }
        Activation::Gelu => x * (((x * std::f64::consts::FRAC_1_SQRT_2)?.erf()? + 1.0)? * 0.5)?,
        Activation::Silu => x * sigmoid(x)?,
        Activation::Softplus => x.relu()? + ((x.abs()?.neg()?.exp()? + 1.0)?.log()?),
        Activation::Softsign => {
            // The gradient of the quotient would be a difference of two, which cancel if x is large:
            // so it is given.
            let (fixed, all) = (x.detach(), (x.detach().abs()? + 1.0)?);
            (&fixed / &all)? + ((x - &fixed)? / all.sqr()?)?
        }
        Activation::Sigmoid => sigmoid(x),
        Activation::HardSigmoid => least(&(x + 3.0)?.relu()?, 6.0)? / 6.0,
        Activation::Tanh => x.tanh(),
        Activation::Softmax => {
            let e = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
            e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
        }
        Activation::LogSoftmax => {
            let shifted = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
            shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)
        }
        Activation::Exponential => x.exp(),
    }
}

fn sigmoid(x: &Tensor) -> Result<Tensor> {
    (x.neg()?.exp()? + 1.0)?.recip()
}

/// The smaller of each number and `most`.
fn least(x: &Tensor, most: f64) -> Result<Tensor> {
    x.gt(most)?.where_cond(&(x.zeros_like()? + most)?, x)
}

/// The number for the places of a window that lie beside the image.
#[derive(Clone, Copy)]
enum Beside {
    /// The pixel after the last.
    Zero,
    /// The nearest pixel, which the window has as well: it changes no maximum.
    Nearest,
}

/// For every window, the numbers of its pixels, row by row.
fn indices(window: &Window, beside: Beside, device: &Device) -> Result<Tensor> {
    let [height, width] = window.input;
    let mut indices = Vec::with_capacity(window.places() * window.size[0] * window.size[1]);
    for place in 0..window.places() {
        for at in 0..window.size[0] * window.size[1] {
            let along = |axis: usize, index: usize, tap: usize| {
                (index * window.strides[axis] + tap * window.dilation[axis]) as i64
                    - window.before[axis] as i64
            };
            let row = along(0, place / window.output[1], at / window.size[1]);
            let column = along(1, place % window.output[1], at % window.size[1]);
            let (nearest_row, nearest_column) =
                (row.clamp(0, height as i64 - 1), column.clamp(0, width as i64 - 1));
            indices.push(match beside {
                Beside::Zero if (row, column) != (nearest_row, nearest_column) => (height * width) as u32,
                _ => (nearest_row * width as i64 + nearest_column) as u32,
            });
        }
    }
    Tensor::new(indices, device)
}

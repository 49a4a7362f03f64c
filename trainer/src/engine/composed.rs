//! What the kernels of [`crate::kernels`] compute, in candle's own operations: for devices that are not the CPU. Tests hold both to the same
//! finite differences and to each other, on the CPU.
//!
//! Never candle's `max_pool2d`, whose gradient is wrong on every device.

use candle_core::{D, Device, Result, Tensor};
use hpo::network::Activation;

use super::Window;
use crate::kernels::activation::LEAKY_SLOPE;
use crate::kernels::loss::{EPSILON, Judge};

/// As [`crate::kernels::dense::dense`].
pub(super) fn dense(x: &Tensor, kernel: &Tensor, bias: &Tensor, function: Activation) -> Result<Tensor> {
    let (inputs, units) = kernel.dims2()?;
    let shape: Vec<usize> = [&x.dims()[..x.rank() - 1], &[units]].concat();
    let y = x.contiguous()?.reshape(((), inputs))?.matmul(kernel)?.broadcast_add(bias)?;
    activation(&y, function)?.reshape(shape)
}

/// As [`crate::kernels::conv::conv`]: windows are gathered into rows.
pub(super) fn conv(x: &Tensor, kernel: &Tensor, bias: &Tensor, window: &Window, function: Activation) -> Result<Tensor> {
    let (batch, filters) = (x.dims()[0], bias.elem_count());
    let [rows, columns] = window.output;
    // One more pixel, of zeros, stands for all that lies beside the image.
    let beside = Tensor::zeros((batch, 1, window.channels), x.dtype(), x.device())?;
    let pixels = Tensor::cat(&[&x.contiguous()?.reshape((batch, (), window.channels))?, &beside], 1)?;
    let patches = pixels.index_select(&indices(window, Beside::Zero, x.device())?, 1)?;
    dense(&patches.reshape((batch, rows, columns, window.patch()))?, &kernel.reshape((window.patch(), filters))?, bias, function)
}

/// As [`crate::kernels::pool::max_pool`]: the windows' first pixels, second pixels, and so on; of two the larger, of equals the first.
pub(super) fn max_pool(x: &Tensor, window: &Window) -> Result<Tensor> {
    let batch = x.dims()[0];
    let [rows, columns] = window.output;
    let pixels = x.contiguous()?.reshape((batch, (), window.channels))?;
    let size = window.size[0] * window.size[1];
    let candidates =
        pixels.index_select(&indices(window, Beside::Nearest, x.device())?, 1)?.reshape((batch, window.places(), size, window.channels))?;
    let mut largest = candidates.narrow(2, 0, 1)?;
    for at in 1..size {
        let candidate = candidates.narrow(2, at, 1)?;
        largest = candidate.gt(&largest)?.where_cond(&candidate, &largest)?;
    }
    largest.reshape((batch, rows, columns, window.channels))
}

/// As [`crate::kernels::activation::activation`].
pub(super) fn activation(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Linear => Ok(x.clone()),
        Activation::Relu => x.relu(),
        Activation::LeakyRelu => x.gt(0.0)?.where_cond(x, &(x * LEAKY_SLOPE)?),
        Activation::Sigmoid => (x.neg()?.exp()? + 1.0)?.recip(),
        Activation::Tanh => x.tanh(),
        Activation::Softmax => {
            let e = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
            e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
        }
    }
}

/// As [`crate::kernels::loss::loss`].
pub(super) fn loss(output: &Tensor, judge: &Judge) -> Result<Tensor> {
    let (rows, width) = output.dims2()?;
    match judge {
        Judge::Logits(classes) => {
            let classes = Tensor::from_slice(classes, (rows, 1), output.device())?;
            let shifted = output.broadcast_sub(&output.max_keepdim(1)?.detach())?;
            (shifted.exp()?.sum_keepdim(1)?.log()? - shifted.gather(&classes, 1)?)?.mean_all()
        }
        Judge::Probabilities(classes) => {
            let classes = Tensor::from_slice(classes, (rows, 1), output.device())?;
            let probability = output.gather(&classes, 1)?.div(&output.sum_keepdim(1)?)?;
            probability.clamp(EPSILON, 1.0 - EPSILON)?.log()?.neg()?.mean_all()
        }
        Judge::Squares(values) => {
            let values = Tensor::from_slice(values, (rows, 1), output.device())?.to_dtype(output.dtype())?.broadcast_as((rows, width))?;
            (output - values)?.sqr()?.mean_all()
        }
    }
}

/// What stands for the places of a window that lie beside the image.
#[derive(Clone, Copy)]
enum Beside {
    /// The pixel after the last.
    Zero,
    /// The nearest pixel, which is in the window too: it changes no maximum.
    Nearest,
}

/// For every window, the numbers of its pixels, row by row.
fn indices(window: &Window, beside: Beside, device: &Device) -> Result<Tensor> {
    let [height, width] = window.input;
    let mut indices = Vec::with_capacity(window.places() * window.size[0] * window.size[1]);
    for place in 0..window.places() {
        for at in 0..window.size[0] * window.size[1] {
            let row = (place / window.output[1] * window.strides[0] + at / window.size[1]) as i64 - window.before[0] as i64;
            let column = (place % window.output[1] * window.strides[1] + at % window.size[1]) as i64 - window.before[1] as i64;
            let (nearest_row, nearest_column) = (row.clamp(0, height as i64 - 1), column.clamp(0, width as i64 - 1));
            indices.push(match beside {
                Beside::Zero if (row, column) != (nearest_row, nearest_column) => (height * width) as u32,
                _ => (nearest_row * width as i64 + nearest_column) as u32,
            });
        }
    }
    Tensor::new(indices, device)
}

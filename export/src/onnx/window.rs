//! Convolutions and poolings, channels first.

use hpo::network::{Activation, Padding, Pool};

use super::activation;
use super::flow::Flow;
use super::graph::{integer, integers};
use super::proto::AttributeProto;
use crate::model::Weight;

/// The windows of an operation, by axis: one over steps, two over height and width.
pub(crate) struct Window<'a> {
    pub(crate) size: &'a [usize],
    pub(crate) strides: &'a [usize],
    pub(crate) dilations: &'a [usize],
    pub(crate) padding: Padding,
}

impl<'a> Window<'a> {
    /// The window of a pooling over the last `axes` of its two axes.
    pub(crate) fn of_pool(pool: &'a Pool, axes: usize) -> Window<'a> {
        let of = |pair: &'a [usize; 2]| &pair[2 - axes..];
        Window {
            size: of(&pool.pool_size),
            strides: of(&pool.strides),
            dilations: &[1, 1][..axes],
            padding: pool.padding,
        }
    }

    /// The attributes except the dilations; `sizes` are those of a row between batch and channels.
    fn attributes(&self, sizes: &[usize]) -> Vec<AttributeProto> {
        vec![
            integers("kernel_shape", self.size),
            integers("strides", self.strides),
            integers("pads", &self.pads(sizes)),
        ]
    }

    /// The padding before each axis, and then after each.
    ///
    /// With `same` there are ⌈size / stride⌉ places, and an odd one is padded at the end, as
    /// TensorFlow does. Given in numbers, since runtimes refuse `auto_pad` with dilations.
    pub(crate) fn pads(&self, sizes: &[usize]) -> Vec<usize> {
        let missing = |axis: usize| match self.padding {
            Padding::Valid => 0,
            Padding::Same => {
                let (size, stride) = (sizes[axis], self.strides[axis]);
                let span =
                    (size.div_ceil(stride) - 1) * stride + (self.size[axis] - 1) * self.dilations[axis] + 1;
                span.saturating_sub(size)
            }
        };
        let before = (0..sizes.len()).map(|axis| missing(axis) / 2);
        let after = (0..sizes.len()).map(|axis| missing(axis).div_ceil(2));
        before.chain(after).collect()
    }
}

/// A pooling: `MaxPool`, or `AveragePool`, which as with Keras leaves padding out of its means.
pub(crate) fn pool(flow: &mut Flow, operation: &str, window: &Window) {
    flow.channels_first();
    let attributes = window.attributes(&flow.shape[..flow.shape.len() - 1]);
    flow.apply(operation, &[], attributes);
}

/// A convolution with a kernel `(places…, channels / groups, filters)` and what follows it.
pub(crate) fn convolve(
    flow: &mut Flow,
    window: &Window,
    groups: usize,
    kernel: &Weight,
    bias: Option<&Weight>,
    with: Activation,
) {
    let axes = window.size.len();
    let (channels, filters) = (kernel.shape[axes], kernel.shape[axes + 1]);
    let numbers = turned(&kernel.numbers, channels * filters, |column| {
        (column % filters) * channels + column / filters
    });
    let kernel = [&[filters, channels], window.size].concat();
    run(flow, window, groups, (&kernel, &numbers), bias, with);
}

/// A convolution of each channel by itself, with a kernel `(height, width, channels, multiplier)`.
pub(crate) fn convolve_depthwise(
    flow: &mut Flow,
    window: &Window,
    kernel: &Weight,
    bias: Option<&Weight>,
    with: Activation,
) {
    let axes = window.size.len();
    let (channels, multiplier) = (kernel.shape[axes], kernel.shape[axes + 1]);
    let numbers = turned(&kernel.numbers, channels * multiplier, |column| column);
    let kernel = [&[channels * multiplier, 1], window.size].concat();
    run(flow, window, channels, (&kernel, &numbers), bias, with);
}

fn run(
    flow: &mut Flow,
    window: &Window,
    groups: usize,
    kernel: (&[usize], &[f32]),
    bias: Option<&Weight>,
    with: Activation,
) {
    flow.channels_first();
    let mut attributes = window.attributes(&flow.shape[..flow.shape.len() - 1]);
    attributes.extend([integers("dilations", window.dilations), integer("group", groups as i64)]);
    let kernel = flow.graph.floats("kernel", kernel.0, kernel.1);
    let bias = bias.map(|bias| flow.graph.floats("bias", &bias.shape, &bias.numbers));
    let others: Vec<&str> = std::iter::once(kernel.as_str()).chain(bias.as_deref()).collect();
    flow.apply("Conv", &others, attributes);
    flow.map(|graph, value| activation::apply(graph, with, value, 1));
}

/// A kernel `(places, columns)` as `(columns, places)`, each column at the index that `to` gives it.
fn turned(numbers: &[f32], columns: usize, to: impl Fn(usize) -> usize) -> Vec<f32> {
    let places = numbers.len() / columns;
    let mut turned = vec![0.0; numbers.len()];
    for (at, number) in numbers.iter().enumerate() {
        turned[to(at % columns) * places + at / columns] = *number;
    }
    turned
}

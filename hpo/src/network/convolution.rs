//! Convolutions. Windows are `[height, width]`; windows over steps have height 1.

use super::sizes::{Sides, Size};
use super::weight::weight_spec;
use super::{Activation, Initializer, LayerWeight, Output, Padding, WeightSpec};
use crate::document::Fields;

/// [`Layer::Conv1D`](super::Layer::Conv1D) and [`Layer::Conv2D`](super::Layer::Conv2D). Kernel
/// `(kernel height, kernel width, channels / groups, filters)`, without the height over steps; bias
/// `(filters)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Channels of the output.
    pub filters: usize,
    /// Height and width of the window.
    pub kernel_size: [usize; 2],
    /// Distance between windows.
    pub strides: [usize; 2],
    /// What happens at the edges.
    pub padding: Padding,
    /// Distance between the places a window looks at.
    pub dilation_rate: [usize; 2],
    /// Channels and filters are divided into this many groups; each is convolved on its own.
    pub groups: usize,
    /// The kernel.
    pub kernel: WeightSpec,
    /// Activation, bias and regulariser of the output.
    pub output: Output,
}

/// [`Layer::DepthwiseConv2D`](super::Layer::DepthwiseConv2D): each channel on its own. Kernel
/// `(kernel height, kernel width, channels, depth_multiplier)`, bias `(channels ×
/// depth_multiplier)`.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthwiseConv2D {
    /// Height and width of the window.
    pub kernel_size: [usize; 2],
    /// Distance between windows.
    pub strides: [usize; 2],
    /// What happens at the edges.
    pub padding: Padding,
    /// Channels of the output for each channel of the input.
    pub depth_multiplier: usize,
    /// Distance between the places a window looks at.
    pub dilation_rate: [usize; 2],
    /// The kernel.
    pub depthwise: WeightSpec,
    /// Activation, bias and regulariser of the output.
    pub output: Output,
}

/// [`Layer::SeparableConv2D`](super::Layer::SeparableConv2D): each channel on its own, then all
/// channels of a place. Depthwise kernel `(kernel height, kernel width, channels,
/// depth_multiplier)`, pointwise kernel `(1, 1, channels × depth_multiplier, filters)`, bias
/// `(filters)`.
#[derive(Debug, Clone, PartialEq)]
pub struct SeparableConv2D {
    /// Channels of the output.
    pub filters: usize,
    /// Height and width of the window.
    pub kernel_size: [usize; 2],
    /// Distance between windows.
    pub strides: [usize; 2],
    /// What happens at the edges.
    pub padding: Padding,
    /// Distance between the places a window looks at.
    pub dilation_rate: [usize; 2],
    /// Channels that the first step makes of each channel of the input.
    pub depth_multiplier: usize,
    /// The kernel of the windows.
    pub depthwise: WeightSpec,
    /// The kernel over the channels.
    pub pointwise: WeightSpec,
    /// Activation, bias and regulariser of the output.
    pub output: Output,
}

impl Conv {
    pub(super) fn read<const AXES: usize>(fields: &mut Fields) -> Option<Conv> {
        let filters = fields.required("filters").and_then(|place| place.read::<Size>());
        let window = Window::read::<AXES>(fields);
        let groups = fields.or("groups", Size(1));
        let output = Output::read(fields, Activation::Linear);
        let kernel = weight_spec!(fields, "kernel", Initializer::GlorotUniform);
        let Window { kernel_size, strides, padding, dilation_rate } = window?;
        Some(Conv {
            filters: filters?.get(),
            kernel_size,
            strides,
            padding,
            dilation_rate,
            groups: groups?.get(),
            kernel: kernel?,
            output: output?,
        })
    }

    pub(super) fn weights(&self, axes: usize, input: &[usize]) -> Vec<LayerWeight<'_>> {
        let channels = channels(input) / self.groups;
        let kernel = LayerWeight::new(
            "kernel",
            [&self.kernel_size[2 - axes..], &[channels, self.filters]].concat(),
            &self.kernel,
        );
        let bias = self.output.bias(vec![self.filters]);
        std::iter::once(kernel).chain(bias).collect()
    }
}

impl DepthwiseConv2D {
    pub(super) fn read(fields: &mut Fields) -> Option<DepthwiseConv2D> {
        let window = Window::read::<2>(fields);
        let depth_multiplier = fields.or("depth_multiplier", Size(1));
        let output = Output::read(fields, Activation::Linear);
        let depthwise = weight_spec!(fields, "depthwise", Initializer::GlorotUniform);
        let Window { kernel_size, strides, padding, dilation_rate } = window?;
        Some(DepthwiseConv2D {
            kernel_size,
            strides,
            padding,
            depth_multiplier: depth_multiplier?.get(),
            dilation_rate,
            depthwise: depthwise?,
            output: output?,
        })
    }

    pub(super) fn weights(&self, input: &[usize]) -> Vec<LayerWeight<'_>> {
        let ([height, width], channels) = (self.kernel_size, channels(input));
        let kernel =
            LayerWeight::new("kernel", vec![height, width, channels, self.depth_multiplier], &self.depthwise);
        let bias = self.output.bias(vec![channels.saturating_mul(self.depth_multiplier)]);
        std::iter::once(kernel).chain(bias).collect()
    }
}

impl SeparableConv2D {
    pub(super) fn read(fields: &mut Fields) -> Option<SeparableConv2D> {
        let filters = fields.required("filters").and_then(|place| place.read::<Size>());
        let window = Window::read::<2>(fields);
        let depth_multiplier = fields.or("depth_multiplier", Size(1));
        let output = Output::read(fields, Activation::Linear);
        let depthwise = weight_spec!(fields, "depthwise", Initializer::GlorotUniform);
        let pointwise = weight_spec!(fields, "pointwise", Initializer::GlorotUniform);
        let Window { kernel_size, strides, padding, dilation_rate } = window?;
        Some(SeparableConv2D {
            filters: filters?.get(),
            kernel_size,
            strides,
            padding,
            dilation_rate,
            depth_multiplier: depth_multiplier?.get(),
            depthwise: depthwise?,
            pointwise: pointwise?,
            output: output?,
        })
    }

    pub(super) fn weights(&self, input: &[usize]) -> Vec<LayerWeight<'_>> {
        let ([height, width], channels) = (self.kernel_size, channels(input));
        let between = channels.saturating_mul(self.depth_multiplier);
        let depthwise = LayerWeight::new(
            "depthwise_kernel",
            vec![height, width, channels, self.depth_multiplier],
            &self.depthwise,
        );
        let pointwise =
            LayerWeight::new("pointwise_kernel", vec![1, 1, between, self.filters], &self.pointwise);
        let bias = self.output.bias(vec![self.filters]);
        [depthwise, pointwise].into_iter().chain(bias).collect()
    }
}

/// The arguments that place the windows of a convolution.
struct Window {
    kernel_size: [usize; 2],
    strides: [usize; 2],
    padding: Padding,
    dilation_rate: [usize; 2],
}

impl Window {
    fn read<const AXES: usize>(fields: &mut Fields) -> Option<Window> {
        let kernel_size = fields.required("kernel_size").and_then(|place| place.read::<Sides<AXES>>());
        let strides = fields.or("strides", Sides::<AXES>([1, 1]));
        let padding = fields.or("padding", Padding::Valid);
        let dilation_rate = fields.or("dilation_rate", Sides::<AXES>([1, 1]));
        Some(Window {
            kernel_size: kernel_size?.0,
            strides: strides?.0,
            padding: padding?,
            dilation_rate: dilation_rate?.0,
        })
    }
}

fn channels(input: &[usize]) -> usize {
    input.last().copied().unwrap_or(1)
}

//! Convolutions. Windows are `[height, width]`; windows over steps have height 1.

use super::dense::Output;
use super::sizes::{Sides, Size};
use super::weight::weight_spec;
use super::{Activation, Initializer, LayerWeight, Padding, Regularizer, WeightSpec};
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
    /// Applied to the output.
    pub activation: Activation,
    /// Whether a bias is added.
    pub use_bias: bool,
    /// The kernel.
    pub kernel: WeightSpec,
    /// The bias.
    pub bias: WeightSpec,
    /// The penalty on the output that is added to the loss, divided by the rows of the batch.
    pub activity_regularizer: Option<Regularizer>,
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
    /// Applied to the output.
    pub activation: Activation,
    /// Whether a bias is added.
    pub use_bias: bool,
    /// The kernel.
    pub depthwise: WeightSpec,
    /// The bias.
    pub bias: WeightSpec,
    /// The penalty on the output that is added to the loss, divided by the rows of the batch.
    pub activity_regularizer: Option<Regularizer>,
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
    /// Applied to the output.
    pub activation: Activation,
    /// Whether a bias is added.
    pub use_bias: bool,
    /// The kernel of the windows.
    pub depthwise: WeightSpec,
    /// The kernel over the channels.
    pub pointwise: WeightSpec,
    /// The bias.
    pub bias: WeightSpec,
    /// The penalty on the output that is added to the loss, divided by the rows of the batch.
    pub activity_regularizer: Option<Regularizer>,
}

impl Conv {
    pub(super) fn read<const AXES: usize>(fields: &mut Fields) -> Option<Conv> {
        let filters = fields.required("filters").and_then(|place| place.read::<Size>());
        let window = Window::read::<AXES>(fields);
        let groups = fields.or("groups", Size(1));
        let output = Output::read(fields);
        let kernel = weight_spec!(fields, "kernel", Initializer::GlorotUniform);
        let Window { kernel_size, strides, padding, dilation_rate } = window?;
        let Output { activation, use_bias, bias, activity_regularizer } = output?;
        Some(Conv {
            filters: filters?.get(),
            kernel_size,
            strides,
            padding,
            dilation_rate,
            groups: groups?.get(),
            activation,
            use_bias,
            kernel: kernel?,
            bias,
            activity_regularizer,
        })
    }

    pub(super) fn weights(&self, axes: usize, input: &[usize]) -> Vec<LayerWeight<'_>> {
        let channels = channels(input) / self.groups;
        let kernel = LayerWeight::new(
            "kernel",
            [&self.kernel_size[2 - axes..], &[channels, self.filters]].concat(),
            &self.kernel,
        );
        let bias = self.use_bias.then(|| LayerWeight::new("bias", vec![self.filters], &self.bias));
        std::iter::once(kernel).chain(bias).collect()
    }
}

impl DepthwiseConv2D {
    pub(super) fn read(fields: &mut Fields) -> Option<DepthwiseConv2D> {
        let window = Window::read::<2>(fields);
        let depth_multiplier = fields.or("depth_multiplier", Size(1));
        let output = Output::read(fields);
        let depthwise = weight_spec!(fields, "depthwise", Initializer::GlorotUniform);
        let Window { kernel_size, strides, padding, dilation_rate } = window?;
        let Output { activation, use_bias, bias, activity_regularizer } = output?;
        Some(DepthwiseConv2D {
            kernel_size,
            strides,
            padding,
            depth_multiplier: depth_multiplier?.get(),
            dilation_rate,
            activation,
            use_bias,
            depthwise: depthwise?,
            bias,
            activity_regularizer,
        })
    }

    pub(super) fn weights(&self, input: &[usize]) -> Vec<LayerWeight<'_>> {
        let ([height, width], channels) = (self.kernel_size, channels(input));
        let kernel =
            LayerWeight::new("kernel", vec![height, width, channels, self.depth_multiplier], &self.depthwise);
        let bias =
            || LayerWeight::new("bias", vec![channels.saturating_mul(self.depth_multiplier)], &self.bias);
        std::iter::once(kernel).chain(self.use_bias.then(bias)).collect()
    }
}

impl SeparableConv2D {
    pub(super) fn read(fields: &mut Fields) -> Option<SeparableConv2D> {
        let filters = fields.required("filters").and_then(|place| place.read::<Size>());
        let window = Window::read::<2>(fields);
        let depth_multiplier = fields.or("depth_multiplier", Size(1));
        let output = Output::read(fields);
        let depthwise = weight_spec!(fields, "depthwise", Initializer::GlorotUniform);
        let pointwise = weight_spec!(fields, "pointwise", Initializer::GlorotUniform);
        let Window { kernel_size, strides, padding, dilation_rate } = window?;
        let Output { activation, use_bias, bias, activity_regularizer } = output?;
        Some(SeparableConv2D {
            filters: filters?.get(),
            kernel_size,
            strides,
            padding,
            dilation_rate,
            depth_multiplier: depth_multiplier?.get(),
            activation,
            use_bias,
            depthwise: depthwise?,
            pointwise: pointwise?,
            bias,
            activity_regularizer,
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
        let bias = self.use_bias.then(|| LayerWeight::new("bias", vec![self.filters], &self.bias));
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

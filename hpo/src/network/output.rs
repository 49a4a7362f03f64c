//! The fields that every layer with a kernel has for its output.

use super::weight::weight_spec;
use super::{Activation, Initializer, Layer, LayerWeight, Regularizer, WeightSpec};
use crate::document::Fields;

/// The arguments of a layer with a kernel for its output.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Applied to the output; in a recurrent layer, to what enters the state.
    pub activation: Activation,
    /// Whether a bias is added.
    pub use_bias: bool,
    /// The bias.
    pub bias: WeightSpec,
    /// The penalty on the output that is added to the loss, divided by the rows of the batch.
    pub activity_regularizer: Option<Regularizer>,
}

impl Output {
    /// Reads the arguments; `activation` is the default, and null means linear.
    pub(super) fn read(fields: &mut Fields, activation: Activation) -> Option<Output> {
        let activation = fields.or("activation", Some(activation));
        let use_bias = fields.or("use_bias", true);
        let bias = weight_spec!(fields, "bias", Initializer::Zeros);
        let activity_regularizer = fields.or("activity_regularizer", None);
        Some(Output {
            activation: activation?.unwrap_or(Activation::Linear),
            use_bias: use_bias?,
            bias: bias?,
            activity_regularizer: activity_regularizer?,
        })
    }

    /// The bias with this shape, if there is one.
    pub(super) fn bias(&self, shape: Vec<usize>) -> Option<LayerWeight<'_>> {
        self.use_bias.then(|| LayerWeight::new("bias", shape, &self.bias))
    }
}

impl Layer {
    /// The activation, bias and regulariser of its output; a `Bidirectional` has those of the layer
    /// that it wraps. None for a layer without a kernel.
    pub fn output(&self) -> Option<&Output> {
        match self {
            Layer::Dense(dense) => Some(&dense.output),
            Layer::Conv1D(conv) | Layer::Conv2D(conv) => Some(&conv.output),
            Layer::DepthwiseConv2D(conv) => Some(&conv.output),
            Layer::SeparableConv2D(conv) => Some(&conv.output),
            Layer::SimpleRNN(recurrent) | Layer::LSTM(recurrent) | Layer::GRU(recurrent) => {
                Some(&recurrent.output)
            }
            Layer::Bidirectional(bidirectional) => bidirectional.wrapped.output(),
            Layer::Flatten
            | Layer::Reshape { .. }
            | Layer::Permute { .. }
            | Layer::Rescaling { .. }
            | Layer::ZeroPadding2D { .. }
            | Layer::MaxPooling1D(_)
            | Layer::MaxPooling2D(_)
            | Layer::AveragePooling1D(_)
            | Layer::AveragePooling2D(_)
            | Layer::GlobalAveragePooling1D { .. }
            | Layer::GlobalAveragePooling2D { .. }
            | Layer::GlobalMaxPooling1D { .. }
            | Layer::GlobalMaxPooling2D { .. }
            | Layer::Activation { .. }
            | Layer::LeakyReLU { .. }
            | Layer::PReLU(_)
            | Layer::Dropout { .. }
            | Layer::SpatialDropout2D { .. }
            | Layer::GaussianNoise { .. }
            | Layer::BatchNormalization(_)
            | Layer::LayerNormalization(_)
            | Layer::Embedding(_) => None,
        }
    }
}

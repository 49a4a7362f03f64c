//! `Dense`, a product with a kernel over the last dimension, and `Embedding`, the rows of a table.

use super::sizes::Size;
use super::weight::weight_spec;
use super::{Activation, Initializer, LayerWeight, Regularizer, WeightSpec};
use crate::document::Fields;

/// [`Layer::Dense`](super::Layer::Dense). Kernel `(inputs, units)`, bias `(units)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Size of the output's last dimension.
    pub units: usize,
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

/// [`Layer::Embedding`](super::Layer::Embedding). Embeddings `(input_dim, output_dim)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// How many integers there can be: 0 to `input_dim` - 1.
    pub input_dim: usize,
    /// Size of the last dimension that is added.
    pub output_dim: usize,
    /// The table.
    pub embeddings: WeightSpec,
}

impl Dense {
    pub(super) fn read(fields: &mut Fields) -> Option<Dense> {
        let units = fields.required("units").and_then(|place| place.read::<Size>());
        let output = Output::read(fields);
        let kernel = weight_spec!(fields, "kernel", Initializer::GlorotUniform);
        let Output { activation, use_bias, bias, activity_regularizer } = output?;
        Some(Dense { units: units?.get(), activation, use_bias, kernel: kernel?, bias, activity_regularizer })
    }

    pub(super) fn weights(&self, input: &[usize]) -> Vec<LayerWeight<'_>> {
        let kernel =
            LayerWeight::new("kernel", vec![input.last().copied().unwrap_or(1), self.units], &self.kernel);
        let bias = self.use_bias.then(|| LayerWeight::new("bias", vec![self.units], &self.bias));
        std::iter::once(kernel).chain(bias).collect()
    }
}

impl Embedding {
    pub(super) fn read(fields: &mut Fields) -> Option<Embedding> {
        let input_dim = fields.required("input_dim").and_then(|place| place.read::<Size>());
        let output_dim = fields.required("output_dim").and_then(|place| place.read::<Size>());
        let embeddings =
            weight_spec!(fields, "embeddings", Initializer::RandomUniform { minval: -0.05, maxval: 0.05 });
        let unmasked = fields.only("mask_zero", false.into());
        unmasked?;
        Some(Embedding {
            input_dim: input_dim?.get(),
            output_dim: output_dim?.get(),
            embeddings: embeddings?,
        })
    }

    pub(super) fn weights(&self) -> Vec<LayerWeight<'_>> {
        vec![LayerWeight::new("embeddings", vec![self.input_dim, self.output_dim], &self.embeddings)]
    }
}

/// The arguments that every layer with a kernel has for its output.
pub(super) struct Output {
    pub(super) activation: Activation,
    pub(super) use_bias: bool,
    pub(super) bias: WeightSpec,
    pub(super) activity_regularizer: Option<Regularizer>,
}

impl Output {
    pub(super) fn read(fields: &mut Fields) -> Option<Output> {
        let activation = fields.or::<Option<Activation>>("activation", None);
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
}

//! `Dense`, a product with a kernel over the last dimension, and `Embedding`, the rows of a table.

use super::sizes::Size;
use super::weight::weight_spec;
use super::{Activation, Initializer, LayerWeight, Output, WeightSpec};
use crate::document::Fields;

/// [`Layer::Dense`](super::Layer::Dense). Kernel `(inputs, units)`, bias `(units)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Size of the output's last dimension.
    pub units: usize,
    /// The kernel.
    pub kernel: WeightSpec,
    /// Activation, bias and regulariser of the output.
    pub output: Output,
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
        let output = Output::read(fields, Activation::Linear);
        let kernel = weight_spec!(fields, "kernel", Initializer::GlorotUniform);
        Some(Dense { units: units?.get(), kernel: kernel?, output: output? })
    }

    pub(super) fn weights(&self, input: &[usize]) -> Vec<LayerWeight<'_>> {
        let kernel =
            LayerWeight::new("kernel", vec![input.last().copied().unwrap_or(1), self.units], &self.kernel);
        let bias = self.output.bias(vec![self.units]);
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

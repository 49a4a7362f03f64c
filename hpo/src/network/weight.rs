//! The weights of a layer: names, shapes and initial values. The cost estimate, the trainer and the
//! exports all use these.

use std::ops::Range;

use super::recurrent::Cell;
use super::{Constraint, Initializer, Layer, Regularizer};
use crate::document::Fields;

/// The arguments of a layer for one of its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightSpec {
    /// Its initial value.
    pub initializer: Initializer,
    /// The penalty on it that is added to the loss.
    pub regularizer: Option<Regularizer>,
    /// A condition that it is forced to meet after each step.
    pub constraint: Option<Constraint>,
}

impl WeightSpec {
    /// A weight with this initial value, without regulariser or constraint.
    pub fn free(initializer: Initializer) -> WeightSpec {
        WeightSpec { initializer, regularizer: None, constraint: None }
    }

    /// Reads the arguments of these names: initialiser (by default `default`), regulariser and
    /// constraint. [`weight_spec`] makes the names.
    pub(super) fn read(
        fields: &mut Fields,
        names: [&'static str; 3],
        default: Initializer,
    ) -> Option<WeightSpec> {
        let [initializer, regularizer, constraint] = names;
        let initializer = fields.or(initializer, default);
        let (regularizer, constraint) = (fields.or(regularizer, None), fields.or(constraint, None));
        Some(WeightSpec { initializer: initializer?, regularizer: regularizer?, constraint: constraint? })
    }
}

/// Reads the arguments of a layer for one of its weights: `weight_spec!(fields, "kernel", default)`
/// reads `kernel_initializer`, `kernel_regularizer` and `kernel_constraint`.
macro_rules! weight_spec {
    ($fields:expr, $weight:literal, $default:expr) => {
        $crate::network::WeightSpec::read(
            $fields,
            [
                concat!($weight, "_initializer"),
                concat!($weight, "_regularizer"),
                concat!($weight, "_constraint"),
            ],
            $default,
        )
    };
}
pub(super) use weight_spec;

/// A weight of a layer: its name, its shape, its initial value.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerWeight<'a> {
    /// Keras's name, with `forward.` or `backward.` before it in a `Bidirectional`.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its initial value.
    pub initializer: Initializer,
    /// The penalty on it that is added to the loss.
    pub regularizer: Option<&'a Regularizer>,
    /// A condition that it is forced to meet after each step.
    pub constraint: Option<&'a Constraint>,
    /// Whether gradients change it.
    pub trainable: bool,
    /// These of its numbers start at 1, whatever the initialiser: the bias of the forget gate of an
    /// LSTM.
    pub ones: Option<Range<usize>>,
}

impl<'a> LayerWeight<'a> {
    /// A trainable weight of that name and shape.
    pub(super) fn new(name: &str, shape: Vec<usize>, spec: &'a WeightSpec) -> LayerWeight<'a> {
        LayerWeight {
            name: name.to_owned(),
            shape,
            initializer: spec.initializer,
            regularizer: spec.regularizer.as_ref(),
            constraint: spec.constraint.as_ref(),
            trainable: true,
            ones: None,
        }
    }

    /// A weight that is updated by batches rather than gradients.
    pub(super) fn moving(name: &str, shape: Vec<usize>, initializer: Initializer) -> LayerWeight<'a> {
        let name = name.to_owned();
        LayerWeight {
            name,
            shape,
            initializer,
            regularizer: None,
            constraint: None,
            trainable: false,
            ones: None,
        }
    }

    /// How many numbers it has; saturates instead of overflowing.
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |product: u64, size| product.saturating_mul(*size as u64))
    }
}

impl Layer {
    /// The weights of the layer for rows of shape `input`, in Keras's order. The shape must fit the
    /// layer.
    pub fn weights(&self, input: &[usize]) -> Vec<LayerWeight<'_>> {
        match self {
            Layer::Dense(dense) => dense.weights(input),
            Layer::Conv1D(conv) => conv.weights(1, input),
            Layer::Conv2D(conv) => conv.weights(2, input),
            Layer::DepthwiseConv2D(conv) => conv.weights(input),
            Layer::SeparableConv2D(conv) => conv.weights(input),
            Layer::PReLU(prelu) => prelu.weights(input),
            Layer::BatchNormalization(normalization) => normalization.weights(input),
            Layer::LayerNormalization(normalization) => normalization.weights(input),
            Layer::Embedding(embedding) => embedding.weights(),
            Layer::SimpleRNN(recurrent) => recurrent.weights(Cell::Simple, input),
            Layer::LSTM(recurrent) => recurrent.weights(Cell::Lstm, input),
            Layer::GRU(recurrent) => recurrent.weights(Cell::Gru, input),
            Layer::Bidirectional(bidirectional) => bidirectional.weights(input),
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
            | Layer::Dropout { .. }
            | Layer::SpatialDropout2D { .. }
            | Layer::GaussianNoise { .. } => Vec::new(),
        }
    }
}

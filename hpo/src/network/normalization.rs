//! Normalisation to mean 0 and variance 1, over the batch or over the last dimension.

use super::weight::weight_spec;
use super::{Initializer, LayerWeight, WeightSpec};
use crate::document::{Fields, bounded};
use crate::limits;

/// [`Layer::BatchNormalization`](super::Layer::BatchNormalization) over the last dimension. All
/// weights `(channels)`.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNormalization {
    /// The fraction of the moving mean and variance that is kept at each batch.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether beta is added.
    pub center: bool,
    /// Whether the result is multiplied by gamma.
    pub scale: bool,
    /// The offset that is added.
    pub beta: WeightSpec,
    /// The factor.
    pub gamma: WeightSpec,
    /// Initial value of the moving mean.
    pub moving_mean_initializer: Initializer,
    /// Initial value of the moving variance.
    pub moving_variance_initializer: Initializer,
}

/// [`Layer::LayerNormalization`](super::Layer::LayerNormalization) over the last dimension. All
/// weights `(channels)`.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNormalization {
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether beta is added.
    pub center: bool,
    /// Whether the result is multiplied by gamma.
    pub scale: bool,
    /// The offset that is added.
    pub beta: WeightSpec,
    /// The factor.
    pub gamma: WeightSpec,
}

bounded! {
    /// The fraction of a moving mean that is kept; at 1 it never changes.
    Momentum(f64), 0.0, 1.0
}
bounded! {
    /// A number that is added to a variance.
    Epsilon(f64), limits::EPSILON_MIN, 1.0
}

impl BatchNormalization {
    pub(super) fn read(fields: &mut Fields) -> Option<BatchNormalization> {
        let momentum = fields.or("momentum", Momentum(0.99));
        let affine = LayerNormalization::read(fields);
        let moving_mean_initializer = fields.or("moving_mean_initializer", Initializer::Zeros);
        let moving_variance_initializer = fields.or("moving_variance_initializer", Initializer::Ones);
        let LayerNormalization { epsilon, center, scale, beta, gamma } = affine?;
        Some(BatchNormalization {
            momentum: momentum?.0,
            epsilon,
            center,
            scale,
            beta,
            gamma,
            moving_mean_initializer: moving_mean_initializer?,
            moving_variance_initializer: moving_variance_initializer?,
        })
    }

    pub(super) fn weights(&self, input: &[usize]) -> Vec<LayerWeight<'_>> {
        let moving = |name, initializer| LayerWeight::moving(name, vec![channels(input)], initializer);
        let affine = affine(self.scale.then_some(&self.gamma), self.center.then_some(&self.beta), input);
        let (mean, variance) = (self.moving_mean_initializer, self.moving_variance_initializer);
        affine.chain([moving("moving_mean", mean), moving("moving_variance", variance)]).collect()
    }
}

impl LayerNormalization {
    pub(super) fn read(fields: &mut Fields) -> Option<LayerNormalization> {
        let last = fields.only("axis", (-1).into());
        let epsilon = fields.or("epsilon", Epsilon(1e-3));
        let (center, scale) = (fields.or("center", true), fields.or("scale", true));
        let beta = weight_spec!(fields, "beta", Initializer::Zeros);
        let gamma = weight_spec!(fields, "gamma", Initializer::Ones);
        last?;
        Some(LayerNormalization {
            epsilon: epsilon?.0,
            center: center?,
            scale: scale?,
            beta: beta?,
            gamma: gamma?,
        })
    }

    pub(super) fn weights(&self, input: &[usize]) -> Vec<LayerWeight<'_>> {
        affine(self.scale.then_some(&self.gamma), self.center.then_some(&self.beta), input).collect()
    }
}

fn affine<'a>(
    gamma: Option<&'a WeightSpec>,
    beta: Option<&'a WeightSpec>,
    input: &[usize],
) -> impl Iterator<Item = LayerWeight<'a>> {
    let weight =
        |name: &'static str, spec: &'a WeightSpec| LayerWeight::new(name, vec![channels(input)], spec);
    let gamma = gamma.map(|gamma| weight("gamma", gamma));
    gamma.into_iter().chain(beta.map(|beta| weight("beta", beta)))
}

fn channels(input: &[usize]) -> usize {
    input.last().copied().unwrap_or(1)
}

//! A weight of a network as it is trained.

use candle_core::Var;
use hpo::network::{Constraint, Regularizer};

/// A weight of a network: what it is called, its numbers, and what the layer asks for it.
pub(crate) struct Weight {
    /// Its layer and Keras's name in it, such as `layers.1.kernel`.
    pub(crate) name: String,
    /// Its numbers. Layers hold tensors that share this storage.
    pub(crate) var: Var,
    /// Whether gradients move it; else batches do, as a BatchNormalization's moving mean.
    pub(crate) trainable: bool,
    /// What it adds to the loss.
    pub(crate) regularizer: Option<Regularizer>,
    /// What holds for it after each step.
    pub(crate) constraint: Option<Constraint>,
}

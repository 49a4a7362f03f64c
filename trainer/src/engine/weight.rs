//! A weight of a network as it is trained.

use candle_core::Var;
use hpo::network::{Constraint, Regularizer};

/// A weight of a network: its name, its numbers, and what the layer asks for it.
pub(crate) struct Weight {
    /// Its layer and its name there, which is Keras's: `layers.1.kernel`.
    pub(crate) name: String,
    /// Its numbers. Layers hold tensors that share this storage.
    pub(crate) var: Var,
    /// Whether gradients move it. Batches move the others, such as the moving mean of a
    /// BatchNormalization.
    pub(crate) trainable: bool,
    /// Its penalty.
    pub(crate) regularizer: Option<Regularizer>,
    /// Its constraint, which holds after each step.
    pub(crate) constraint: Option<Constraint>,
}

//! Lowers the learning rate when a metric no longer improves: Keras 3's `ReduceLROnPlateau`.

use serde::{Deserialize, Serialize};

use super::score::Best;
use crate::objective::Direction;

/// When to lower the learning rate, and by how much.
#[derive(Debug, Clone, PartialEq)]
pub struct ReduceLrOnPlateau {
    /// The logged metric that is watched.
    pub monitor: String,
    /// Which way is better.
    pub mode: Direction,
    /// What the learning rate is multiplied by, in [0, 1).
    pub factor: f64,
    /// Epochs without improvement after which the learning rate is lowered.
    pub patience: u32,
    /// A change of at most this is not an improvement.
    pub min_delta: f64,
    /// Epochs after a change that are not counted.
    pub cooldown: u32,
    /// The learning rate is never lowered below this.
    pub min_lr: f64,
}

/// What a [`ReduceLrOnPlateau`] has seen so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plateau {
    best: Best,
    /// Epochs since the last improvement.
    wait: u32,
    /// Epochs of the cooldown that are left.
    cooldown: u32,
}

impl ReduceLrOnPlateau {
    /// The learning rate after an epoch with this `value` of the monitored metric and this learning
    /// rate; none if it does not change. To be called once for each epoch, in order.
    pub fn epoch(&self, plateau: &mut Plateau, value: f64, learning_rate: f64) -> Option<f64> {
        if plateau.cooldown > 0 {
            plateau.cooldown -= 1;
            plateau.wait = 0;
        }
        if plateau.best.improve(value, self.mode, self.min_delta) {
            plateau.wait = 0;
            return None;
        }
        if plateau.cooldown > 0 {
            return None;
        }
        plateau.wait += 1;
        if plateau.wait < self.patience || learning_rate <= self.min_lr {
            return None;
        }
        plateau.cooldown = self.cooldown;
        plateau.wait = 0;
        Some((learning_rate * self.factor).max(self.min_lr))
    }
}

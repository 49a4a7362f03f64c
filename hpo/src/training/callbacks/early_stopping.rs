//! Ends the training when a metric no longer improves: Keras 3's `EarlyStopping`.

use serde::{Deserialize, Serialize};

use super::score::{Best, beats};
use crate::objective::Direction;

/// When to end the training.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlyStopping {
    /// The logged metric that is watched.
    pub monitor: String,
    /// Which way is better.
    pub mode: Direction,
    /// A change of at most this is not an improvement.
    pub min_delta: f64,
    /// Epochs without improvement after which training ends.
    pub patience: u32,
    /// An improvement counts only if it beats this.
    pub baseline: Option<f64>,
    /// Epochs before this one are ignored, counted from 0.
    pub start_from_epoch: u32,
}

/// What an [`EarlyStopping`] has seen so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Patience {
    best: Best,
    /// Epochs since the last improvement that counted.
    wait: u32,
}

impl EarlyStopping {
    /// Whether training ends after `epoch`, counted from 0, with this `value` of the monitored
    /// metric. To be called once for each epoch, in order.
    pub fn ends(&self, patience: &mut Patience, epoch: u32, value: f64) -> bool {
        if epoch < self.start_from_epoch {
            return false;
        }
        patience.wait += 1;
        if patience.best.improve(value, self.mode, self.min_delta) {
            if self.baseline.is_none_or(|baseline| beats(value, baseline, self.mode, self.min_delta)) {
                patience.wait = 0;
            }
            return false;
        }
        // Keras never stops after the first epoch.
        patience.wait >= self.patience && epoch > 0
    }
}

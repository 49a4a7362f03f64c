//! Ends the training where a metric no longer improves: Keras 3's `EarlyStopping`.

use serde::{Deserialize, Serialize};

use super::score::{Best, beats};
use crate::objective::Direction;

/// When to end the training.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlyStopping {
    /// What is watched: a logged name.
    pub monitor: String,
    /// Which way is better.
    pub mode: Direction,
    /// A change up to this is no improvement.
    pub min_delta: f64,
    /// Epochs without improvement after which training ends.
    pub patience: u32,
    /// Until this is beaten, no improvement counts.
    pub baseline: Option<f64>,
    /// Earlier epochs are not looked at; from 0.
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
    /// Whether training ends after `epoch`, from 0, with this `value` of the monitored metric. Each
    /// epoch is asked for once, in order.
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

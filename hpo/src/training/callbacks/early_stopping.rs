//! Ends the training where a metric no longer improves: Keras 3's `EarlyStopping`.

use serde::{Deserialize, Serialize};

use super::score::{Best, beats};
use crate::study::Direction;

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
    /// Whether the weights of the best epoch are what is left.
    pub restore_best_weights: bool,
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

/// What follows from an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is the best epoch so far: its weights are those to restore.
    pub best: bool,
    /// Whether training ends after it.
    pub stop: bool,
}

impl EarlyStopping {
    /// What follows where `epoch`, from 0, ends with this `value` of the monitored metric. Each epoch is asked for once, in order.
    pub fn epoch(&self, patience: &mut Patience, epoch: u32, value: f64) -> Verdict {
        if epoch < self.start_from_epoch {
            return Verdict { best: false, stop: false };
        }
        patience.wait += 1;
        if patience.best.improve(value, self.mode, self.min_delta) {
            if self.baseline.is_none_or(|baseline| beats(value, baseline, self.mode, self.min_delta)) {
                patience.wait = 0;
            }
            return Verdict { best: true, stop: false };
        }
        // Keras never stops after the first epoch.
        Verdict { best: false, stop: patience.wait >= self.patience && epoch > 0 }
    }
}

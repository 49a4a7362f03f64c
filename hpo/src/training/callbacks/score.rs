//! The best value of a monitored metric so far.

use serde::{Deserialize, Serialize};

use crate::objective::Direction;

/// The best value so far; none before the first. It is stored as bits, since JSON in a checkpoint
/// turns NaN and the infinities into null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Best(Option<u64>);

impl Best {
    /// Whether `value` beats the best so far; if it does, it becomes the best.
    pub(super) fn improve(&mut self, value: f64, mode: Direction, min_delta: f64) -> bool {
        let improved = self.0.is_none_or(|best| beats(value, f64::from_bits(best), mode, min_delta));
        if improved {
            self.0 = Some(value.to_bits());
        }
        improved
    }
}

/// Whether `value` is better than `reference` by more than `min_delta`. NaN beats nothing, and
/// nothing beats NaN, as in Keras.
pub(super) fn beats(value: f64, reference: f64, mode: Direction, min_delta: f64) -> bool {
    match mode {
        Direction::Minimize => value + min_delta < reference,
        Direction::Maximize => value - min_delta > reference,
    }
}

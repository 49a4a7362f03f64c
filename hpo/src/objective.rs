//! What makes a trial better than another.

use crate::document::names;

/// What makes a trial better than another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objective {
    /// A logged metric, by its canonical name: `val_f1` becomes `val_f1_score`.
    pub metric: String,
    /// Which way is better.
    pub direction: Direction,
}

names! {
    /// Which way is better.
    pub enum Direction {
        /// Smaller is better.
        Minimize = "minimize",
        /// Larger is better.
        Maximize = "maximize",
    }
    later []
}

impl Direction {
    /// Whether `a` is better than `b`.
    pub fn is_better(self, a: f64, b: f64) -> bool {
        match self {
            Direction::Minimize => a < b,
            Direction::Maximize => a > b,
        }
    }
}

//! How a trial is trained: optimiser, loss, metrics, callbacks, batch size and epochs, under
//! Keras's names with Keras's defaults.

mod callbacks;
mod class_weight;
mod loss;
mod metric;
mod optimizer;
mod schedule;

#[cfg(feature = "openapi")]
pub(crate) use callbacks::CALLBACKS;
pub(crate) use callbacks::check_callbacks;
pub use callbacks::{Callbacks, EarlyStopping, Mode, Patience, Plateau, ReduceLrOnPlateau};
pub use class_weight::{Class, ClassWeight};
#[cfg(feature = "openapi")]
pub(crate) use loss::LOSSES;
pub use loss::{Loss, Outputs};
#[cfg(feature = "openapi")]
pub(crate) use metric::METRICS;
pub use metric::Metric;
pub(crate) use metric::{canonical, direction};
#[cfg(feature = "openapi")]
pub(crate) use optimizer::OPTIMIZERS;
pub(crate) use optimizer::SlotCount;
pub use optimizer::{Clip, Ema, Optimizer, Rule, Slot};
pub use schedule::Schedule;

use crate::document::{FromDocument, Place, bounded};
use crate::limits;

/// The training recipe of one trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// How gradients change the weights.
    pub optimizer: Optimizer,
    /// The loss that is minimised.
    pub loss: Loss,
    /// The metrics that are logged besides the loss.
    pub metrics: Vec<Metric>,
    /// Rows in a step.
    pub batch_size: usize,
    /// Passes over the training rows.
    pub epochs: u32,
    /// Callbacks that may change or end the training between epochs.
    pub callbacks: Callbacks,
    /// How much the rows of each class count in the training loss.
    pub class_weight: ClassWeight,
}

bounded! {
    /// Rows in a step.
    pub BatchSize(i64), 1, limits::BATCH_SIZE_MAX
}
bounded! {
    /// Passes over the training rows.
    Epochs(i64), 1, limits::EPOCHS_MAX
}

/// Keras's default.
pub(crate) const BATCH_SIZE: i64 = 32;
/// Keras's default.
pub(crate) const EPOCHS: i64 = 1;

/// The rows of a validation batch if a training batch has `batch_size` rows.
pub fn validation_rows(batch_size: usize) -> usize {
    batch_size.max(limits::VALIDATION_ROWS.min(2 * batch_size))
}

impl FromDocument for Training {
    fn from_place(place: &Place) -> Option<Training> {
        let mut fields = place.fields()?;
        let optimizer = fields.required("optimizer").and_then(|place| place.read::<Optimizer>());
        let loss = fields.required("loss").and_then(|place| place.read());
        let metrics = fields.get("metrics").map_or(Some(Vec::new()), |place| metrics(&place));
        let batch_size = fields.or("batch_size", BatchSize(BATCH_SIZE));
        let epochs = fields.or("epochs", Epochs(EPOCHS));
        let constant = optimizer.as_ref().is_none_or(|optimizer| optimizer.learning_rate.is_constant());
        let callbacks = fields
            .get("callbacks")
            .map_or(Some(Callbacks::default()), |place| Callbacks::read(&place, constant));
        let class_weight = fields.or("class_weight", ClassWeight::None);
        fields.finish(&["sample_weight", "steps_per_epoch", "validation_freq"]);
        Some(Training {
            optimizer: optimizer?,
            loss: loss?,
            metrics: metrics?,
            batch_size: batch_size?.0 as usize,
            epochs: epochs?.0 as u32,
            callbacks: callbacks?,
            class_weight: class_weight?,
        })
    }
}

/// The metrics are the same for all trials, since their curves share columns.
fn metrics(place: &Place) -> Option<Vec<Metric>> {
    let mut metrics: Vec<Metric> = Vec::new();
    for item in place.items(limits::METRICS_MAX)? {
        let metric = item.fixed::<Metric>()?;
        if metrics.iter().any(|other| other.as_str() == metric.as_str()) {
            item.invalid(format!("{} is listed twice", metric.as_str()));
            return None;
        }
        metrics.push(metric);
    }
    Some(metrics)
}

#[cfg(test)]
mod tests;

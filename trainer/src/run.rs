//! The training loop, whole.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use candle_core::Device;
use data::{Scaled, Split, epoch_order};
use hpo::study::Direction;
use hpo::training::Metric;
use hpo::{Plan, Study, limits};

use crate::engine::{Error, Model, Targets, Totals};
use crate::weights::Weights;

/// Everything that one trial trains on.
pub(crate) struct Job<'a> {
    pub(crate) study: &'a Study,
    pub(crate) number: u64,
    pub(crate) plan: &'a Plan,
    pub(crate) data: &'a Scaled,
    pub(crate) split: &'a Split,
    pub(crate) device: &'a Device,
    /// When `max_trial_seconds` are over.
    pub(crate) deadline: Option<Instant>,
    /// Why to stop, looked at before every batch.
    pub(crate) stop: &'a Stop,
}

/// The best epoch so far.
#[derive(Debug)]
pub(crate) struct Best {
    pub(crate) value: f64,
    pub(crate) step: u32,
    pub(crate) weights: Weights,
}

/// How the loop ended.
#[derive(Debug)]
pub(crate) enum Trained {
    /// All epochs, or all that `max_trial_seconds` allowed; at least one.
    Completed(Best),
    /// As [`Stop`] said, with the best so far.
    Stopped(Reason, Option<Best>),
    /// The loss or a metric was not a finite number in this epoch.
    Diverged(u32),
    /// `max_trial_seconds` were over before the first epoch ended.
    OutOfTime,
}

/// Trains all epochs and calls `report(step, values)` after each, with the values in the order of [`Study::logged`].
///
/// As in Keras, the last batch of an epoch may be smaller, `loss` and metrics are means over the epoch's rows while its weights move, and the
/// `val_` ones are taken after it with dropout off.
pub(crate) fn train(job: &Job, mut report: impl FnMut(u32, Vec<f32>, u64)) -> Result<Trained, Error> {
    let Job { study, number, plan, data, split, device, deadline, stop } = *job;
    let dataset = data.dataset();
    let (recipe, labels) = (&plan.training, &dataset.labels);
    let mut model = Model::new(&plan.layers, recipe, &dataset.schema.shape, dataset.schema.classes, (study.seed, number), device)?;
    let objective = study.logged().iter().position(|name| *name == study.objective.metric).unwrap_or(0);
    let mut best: Option<Best> = None;

    for step in 1..=recipe.epochs {
        let order: Vec<u32> = match study.dataset.shuffle {
            true => {
                epoch_order(split.train.len(), study.seed, number, u64::from(step)).iter().map(|at| split.train[*at as usize]).collect()
            }
            false => split.train.clone(),
        };
        let mut trained = Totals::default();
        for rows in order.chunks(recipe.batch_size) {
            if let Some(reason) = stop.reason() {
                return Ok(Trained::Stopped(reason, best));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(best.map_or(Trained::OutOfTime, Trained::Completed));
            }
            trained += model.step(features(data, rows), &Targets::of(labels, rows, recipe.loss))?;
            if !trained.loss.is_finite() {
                return Ok(Trained::Diverged(step));
            }
        }
        let mut validated = Totals::default();
        for rows in split.validation.chunks(recipe.batch_size.max(limits::VALIDATION_ROWS)) {
            if let Some(reason) = stop.reason() {
                return Ok(Trained::Stopped(reason, best));
            }
            validated += model.evaluate(features(data, rows), &Targets::of(labels, rows, recipe.loss))?;
        }

        let mut values = logged(&trained, &recipe.metrics);
        if validated.rows > 0 {
            values.extend(logged(&validated, &recipe.metrics));
        }
        // As stored: a value beyond f32 has diverged as well.
        if !values.iter().all(|value| (*value as f32).is_finite()) {
            return Ok(Trained::Diverged(step));
        }
        let value = values[objective];
        if best.as_ref().is_none_or(|best| is_better(value, best.value, study.objective.direction)) {
            best = Some(Best { value, step, weights: Weights::copy(&model)? });
        }
        report(step, values.iter().map(|value| *value as f32).collect(), trained.rows);
    }
    Ok(best.map_or(Trained::OutOfTime, Trained::Completed))
}

fn logged(totals: &Totals, metrics: &[Metric]) -> Vec<f64> {
    std::iter::once(totals.mean_loss()).chain(metrics.iter().map(|metric| totals.metric(*metric))).collect()
}

fn is_better(value: f64, than: f64, direction: Direction) -> bool {
    match direction {
        Direction::Minimize => value < than,
        Direction::Maximize => value > than,
    }
}

/// The rows one after the other. The tensor takes the buffer over, so each batch has its own and nothing is copied twice.
fn features(data: &Scaled, rows: &[u32]) -> Vec<f32> {
    let mut features = Vec::with_capacity(rows.len() * data.dataset().width());
    data.gather(rows, &mut features);
    features
}

/// Why a trial is to stop before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    /// The pruner says so.
    Prune = 1,
    /// It waits at a rung.
    Pause = 2,
    /// A user says so.
    Cancel = 3,
    /// The trainer shuts down.
    Release = 4,
    /// It is no longer ours.
    Lost = 5,
}

/// A flag between the two halves of a trial: set by the async side, read by the training thread before every batch.
#[derive(Debug, Default)]
pub(crate) struct Stop(AtomicU8);

impl Stop {
    /// Sets the reason, unless there is one already; only the loss of the lease overrules another.
    pub(crate) fn set(&self, reason: Reason) {
        if reason == Reason::Lost {
            self.0.store(reason as u8, Ordering::Relaxed);
        } else {
            let _ = self.0.compare_exchange(0, reason as u8, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The reason to stop, if there is one.
    pub(crate) fn reason(&self) -> Option<Reason> {
        [Reason::Prune, Reason::Pause, Reason::Cancel, Reason::Release, Reason::Lost]
            .into_iter()
            .find(|reason| *reason as u8 == self.0.load(Ordering::Relaxed))
    }
}

//! Trials on the wire.

use hpo::study::Study;
use hpo::trial::{AttemptEnd, ErrorKind, TrialState};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use store::{AttemptRecord, Curve, EpochMetrics, StudyId, TrialRecord};
use utoipa::ToSchema;

use super::{shortest, timestamp};

/// A trial.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrialView {
    /// The id of its study.
    study: String,
    /// Its number within the study, from 0.
    number: u64,
    /// Where it stands.
    state: TrialState,
    /// Its active hyperparameters by name, in the order of the space.
    hyperparameters: Map<String, Json>,
    /// The best value of the objective over its steps; null before the first, and for a diverged
    /// one.
    value: Option<f64>,
    /// The last reported step: one a epoch, from 1; 0 before the first.
    step: u32,
    /// The step that `value`, `metrics` and the kept weights are of; null before there is one.
    best_step: Option<u32>,
    /// What was logged at `best_step`, by name; a number that was not finite is null.
    metrics: Map<String, Json>,
    /// Whether it was cancelled and its trainer has not heard of it yet.
    cancel_requested: bool,
    /// Every time that a trainer took it up.
    attempts: Vec<AttemptView>,
    /// Why it failed, or why it waits: the last reason, while it is tried again or no trainer has
    /// its dataset; else null.
    error: Option<TrialErrorView>,
}

/// One time that a trainer took a trial up.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttemptView {
    /// From 1.
    attempt: u32,
    /// Which trainer.
    trainer: String,
    /// What decides the bits of its results, such as `cpu-1`.
    numerics: String,
    /// RFC 3339, UTC.
    started_at: String,
    /// RFC 3339, UTC; null while it runs.
    ended_at: Option<String>,
    /// How it ended; null while it runs.
    end: Option<AttemptEnd>,
}

/// Why a trial failed, or was handed back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrialErrorView {
    /// `diverged` and `out_of_time` are results of the search, the others faults; `refused` has not
    /// failed, it waits for another trainer.
    kind: ErrorKind,
    /// What happened, and what to do.
    message: String,
}

/// A page of trials.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrialList {
    /// The trials.
    pub(crate) trials: Vec<TrialView>,
    /// The cursor of the next page; null on the last.
    pub(crate) next: Option<String>,
}

/// The best completed trials.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BestList {
    /// Best first; of equal values the lower number.
    pub(crate) trials: Vec<TrialView>,
}

/// What a trial logged, epoch by epoch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CurveView {
    /// The names of what is logged.
    metrics: Vec<String>,
    /// The steps, in order.
    steps: Vec<CurvePoint>,
}

/// What a trial logged at one step.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CurvePoint {
    /// The epoch, from 1.
    step: u32,
    /// What was logged, by name; a number that was not finite is null.
    metrics: Map<String, Json>,
}

impl TrialView {
    /// `metrics` are the names of what the study logs.
    pub(crate) fn from_record(
        id: StudyId,
        record: TrialRecord,
        study: &Study,
        metrics: &[String],
    ) -> store::Result<TrialView> {
        let point = study.space.unpack(&record.point)?;
        Ok(TrialView {
            study: id.to_string(),
            number: record.number,
            state: record.state,
            hyperparameters: study.space.to_json(&point),
            value: record.value.map(shortest),
            step: record.epoch,
            best_step: record.best_epoch,
            metrics: named(metrics, &record.metrics),
            cancel_requested: record.cancel_requested,
            attempts: record.attempts.into_iter().map(AttemptView::from_record).collect(),
            error: record.error.map(|error| TrialErrorView { kind: error.kind, message: error.message }),
        })
    }
}

impl AttemptView {
    fn from_record(record: AttemptRecord) -> AttemptView {
        AttemptView {
            attempt: record.attempt,
            trainer: record.trainer,
            numerics: record.numerics,
            started_at: timestamp(record.started_at_ms),
            ended_at: record.ended_at_ms.map(timestamp),
            end: record.end,
        }
    }
}

impl CurveView {
    pub(crate) fn from_curve(curve: Curve) -> CurveView {
        let point = |epoch: &EpochMetrics| CurvePoint {
            step: epoch.epoch,
            metrics: named(&curve.metrics, &epoch.values),
        };
        let steps = curve.epochs.iter().map(point).collect();
        CurveView { steps, metrics: curve.metrics }
    }
}

/// JSON has no NaN: what is not finite becomes null.
fn named(names: &[String], values: &[f32]) -> Map<String, Json> {
    names
        .iter()
        .zip(values)
        .map(|(name, value)| (name.clone(), Json::from(shortest(f64::from(*value)))))
        .collect()
}

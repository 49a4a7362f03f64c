//! Trials on the wire.

use hpo::study::Study;
use hpo::trial::{AttemptEnd, ErrorKind, TrialState};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use store::{AttemptRecord, Curve, EpochMetrics, StudyId, TrialRecord};
use utoipa::ToSchema;

use super::{shortest, timestamp};

/// A trial.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct TrialView {
    /// The id of its study.
    study: String,
    /// Its number within the study, from 0.
    pub(crate) number: u64,
    /// Its state.
    state: TrialState,
    /// Its active hyperparameters by name, in the order of the space.
    pub(crate) hyperparameters: Map<String, Json>,
    /// The best value of the objective over its steps; null before the first, and if it diverged.
    pub(crate) value: Option<f64>,
    /// The last step reported: one for each epoch, from 1; 0 before the first.
    step: u32,
    /// The step of `value`, `metrics` and the kept weights; null before there is one.
    pub(crate) best_step: Option<u32>,
    /// The metrics at `best_step`, by name; a number that was not finite is null.
    metrics: Map<String, Json>,
    /// Whether it was cancelled and its trainer has not reported since.
    cancel_requested: bool,
    /// Its attempts, in order; at most the last 17.
    attempts: Vec<AttemptView>,
    /// Why it failed, or why the last attempt failed or was handed back; null otherwise.
    error: Option<TrialErrorView>,
}

/// An attempt at a trial by a trainer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct AttemptView {
    /// Its number, from 1.
    attempt: u32,
    /// The id of the trainer.
    trainer: String,
    /// The numerics class, such as `cpu-1`: the same class gives the same bits.
    numerics: String,
    /// RFC 3339, UTC.
    started_at: String,
    /// RFC 3339, UTC; null while it runs.
    ended_at: Option<String>,
    /// How it ended; null while it runs.
    end: Option<AttemptEnd>,
}

/// Why a trial failed, or was handed back.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct TrialErrorView {
    /// `diverged` and `out_of_time` are results of the search, the others are faults; a `refused`
    /// trial has not failed, it waits for another trainer.
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
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct BestList {
    /// Best first; equal values by number.
    pub(crate) trials: Vec<TrialView>,
}

/// The metrics of a trial, epoch by epoch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CurveView {
    /// The names of the metrics.
    metrics: Vec<String>,
    /// The steps, in order.
    steps: Vec<CurvePoint>,
}

/// The metrics of a trial at one step.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CurvePoint {
    /// The epoch, from 1.
    step: u32,
    /// The metrics by name; a number that was not finite is null.
    metrics: Map<String, Json>,
}

impl TrialView {
    /// `metrics` are the names of the metrics that the study logs.
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

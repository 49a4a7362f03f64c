//! Studies on the wire.

use hpo::dataset::DatasetSchema;
use hpo::preflight::Preflight;
use hpo::study::Study;
use hpo::trial::{StudyState, TrialState, WaitingFor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use store::{Best, StudyRecord, TrialCounts, Waiting};
use utoipa::ToSchema;

use super::{shortest, timestamp};

/// A study.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StudyView {
    #[serde(flatten)]
    summary: StudySummary,
    /// The schema of its dataset, as it was when the study was created.
    dataset: DatasetSchema,
    /// The study as it was POSTed, with what it left out: the seed, the direction of the objective, and the defaults.
    #[schema(value_type = Study)]
    spec: Json,
    /// What was known of its space before anything was queued.
    #[schema(value_type = Preflight)]
    preflight: Json,
}

/// What a list of studies says of each.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StudySummary {
    /// A ULID: sorts by the time of creation.
    id: String,
    /// What people call it.
    name: String,
    /// `running`, `paused`, `completed`, `cancelled` or `failed`.
    state: &'static str,
    /// Why it ended: `max_trials`, `space_exhausted`, `failures_in_a_row` or `cancelled`; null while it runs.
    stop_reason: Option<&'static str>,
    /// RFC 3339, UTC.
    created_at: String,
    /// Where all its randomness comes from.
    seed: u64,
    /// The number of its trials by state.
    trials: TrialCountsView,
    /// How far it is.
    progress: Progress,
    /// Trials at most; null for all of a grid.
    max_trials: Option<u64>,
    /// Trials at once at most; null for as many as trainers offer.
    max_parallel: Option<u64>,
    /// The best completed trial so far.
    best: Option<BestTrial>,
    /// What it waits for, where it has queued trials that no trainer can take, or its trainers cannot hand in what they trained; null while it goes on,
    /// is paused or has ended.
    waiting_for: Option<WaitingView>,
}

/// What a study waits for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WaitingView {
    /// `trainer`: none is connected. `device`: none serves it. `memory`: none has as much as the smallest network takes. `dataset`: all that have the
    /// memory lack it. `artifacts`: all that have the dataset cannot use them. `slots`: all are busy with other studies.
    kind: WaitingFor,
    /// What the study needs, and what there is.
    detail: String,
}

/// The number of trials by state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrialCountsView {
    /// Wait for a trainer.
    queued: u64,
    /// Wait for their time.
    delayed: u64,
    /// Are being trained.
    running: u64,
    /// Wait for a promotion.
    paused: u64,
    /// Ended with a value.
    completed: u64,
    /// Were stopped early.
    pruned: u64,
    /// Ended without a value.
    failed: u64,
    /// Were stopped by a user.
    cancelled: u64,
}

/// How far a study is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Progress {
    /// Trials that have ended, however.
    finished: u64,
    /// Trials that will have ended if nothing stops the study.
    total: u64,
}

/// The best completed trial.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BestTrial {
    /// Its number.
    number: u64,
    /// Its value of the objective.
    value: f64,
    /// Its active hyperparameters by name.
    hyperparameters: Map<String, Json>,
}

/// A page of studies, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StudyPage {
    /// The studies.
    pub(crate) studies: Vec<StudySummary>,
    /// The cursor of the next page; null on the last.
    pub(crate) next: Option<String>,
}

/// What `?dry_run=true` answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DryRun {
    /// What is known of the space.
    pub(crate) preflight: Preflight,
    /// The schema of the dataset.
    pub(crate) dataset: DatasetSchema,
    /// The study with what it left out: the seed, the direction of the objective, and the defaults. POSTing this repeats it.
    #[schema(value_type = Study)]
    pub(crate) spec: Json,
}

/// The body of `PATCH /v1/studies/{id}`: what is not named stays as it is. Read by `routes::studies::change`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the contract's view of it: null and absent are two things, which serde's Option would make one")]
pub(crate) struct StudyPatch {
    /// `paused`: no new trial starts, running ones finish. `running`: go on.
    #[schema(nullable = false)]
    pub(crate) state: Option<String>,
    /// A new number of trials at most: 1 to 1,000,000. Raising it reopens a study that had completed. Lowering it takes the last trials back,
    /// as far as they never started: they come again, the same ones, when it is raised. Other waiting trials beyond it are cancelled.
    #[schema(nullable = false)]
    pub(crate) max_trials: Option<u64>,
    /// A new number of trials at once: 1 to 10,000; null: as many as trainers offer.
    pub(crate) max_parallel: Option<u64>,
}

impl StudyView {
    pub(crate) fn from_record(record: StudyRecord, study: &Study, waiting: Option<Waiting>) -> StudyView {
        let summary = StudySummary::from_record(&record, study, waiting);
        StudyView { summary, dataset: record.dataset, spec: record.spec, preflight: record.preflight }
    }
}

impl StudySummary {
    pub(crate) fn from_record(record: &StudyRecord, study: &Study, waiting: Option<Waiting>) -> StudySummary {
        let ended = !matches!(record.state, StudyState::Running | StudyState::Paused);
        StudySummary {
            id: record.id.to_string(),
            name: record.name.clone(),
            state: record.state.as_str(),
            stop_reason: record.stop_reason.map(|reason| reason.as_str()),
            created_at: timestamp(record.created_at_ms),
            seed: study.seed,
            trials: TrialCountsView::from_counts(&record.counts),
            progress: Progress {
                finished: record.counts.finished(),
                total: if ended { record.counts.finished() } else { expected(record) },
            },
            max_trials: record.max_trials,
            max_parallel: record.max_parallel,
            best: record.best.as_ref().and_then(|best| BestTrial::from_best(best, study)),
            waiting_for: waiting.map(|Waiting { kind, detail }| WaitingView { kind, detail }),
        }
    }
}

/// The number of trials if nothing stops the study: all points, or `max_trials` where that is less; never fewer than there are.
pub(crate) fn expected(record: &StudyRecord) -> u64 {
    let points = record.preflight.get("points").and_then(Json::as_str).map(|points| points.parse().unwrap_or(u64::MAX));
    let there_are = record.counts.iter().map(|(_, count)| count).sum();
    record.max_trials.unwrap_or(u64::MAX).min(points.unwrap_or(u64::MAX)).max(there_are)
}

impl TrialCountsView {
    fn from_counts(counts: &TrialCounts) -> TrialCountsView {
        TrialCountsView {
            queued: counts.get(TrialState::Queued),
            delayed: counts.get(TrialState::Delayed),
            running: counts.get(TrialState::Running),
            paused: counts.get(TrialState::Paused),
            completed: counts.get(TrialState::Completed),
            pruned: counts.get(TrialState::Pruned),
            failed: counts.get(TrialState::Failed),
            cancelled: counts.get(TrialState::Cancelled),
        }
    }
}

impl BestTrial {
    fn from_best(best: &Best, study: &Study) -> Option<BestTrial> {
        let point = study.space.unpack(&best.point)?;
        Some(BestTrial { number: best.number, value: shortest(best.value), hyperparameters: study.space.to_json(&point) })
    }
}

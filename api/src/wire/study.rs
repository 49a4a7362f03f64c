//! Studies on the wire.

use std::collections::BTreeMap;

use hpo::dataset::DatasetSchema;
use hpo::preflight::Preflight;
use hpo::study::Study;
use hpo::trial::{StopReason, StudyState, TrialState, WaitingFor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use store::{Best, StudyRecord, Waiting};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::{shortest, timestamp};

/// A study.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StudyView {
    #[serde(flatten)]
    pub(crate) summary: StudySummary,
    /// The schema of its dataset, as it was when the study was created.
    pub(crate) dataset: DatasetSchema,
    /// The study as it was POSTed, completed by the seed, the direction of the objective and the
    /// defaults.
    #[schema(value_type = Study)]
    pub(crate) spec: Json,
    /// The pre-flight, made when the study was created.
    #[schema(value_type = Preflight)]
    pub(crate) preflight: Json,
}

/// A study in a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StudySummary {
    /// A ULID: sorts by the time of creation.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its state.
    pub(crate) state: StudyState,
    /// Why it ended; null while it runs.
    pub(crate) stop_reason: Option<StopReason>,
    /// RFC 3339, UTC.
    pub(crate) created_at: String,
    /// The seed of all its random numbers.
    pub(crate) seed: u64,
    /// The number of its trials by state.
    pub(crate) trials: TrialCountsView,
    /// Its progress.
    pub(crate) progress: Progress,
    /// The largest number of trials; null: all points of a grid.
    pub(crate) max_trials: Option<u64>,
    /// The largest number of trials at once; null: as many as there are slots.
    pub(crate) max_parallel: Option<u64>,
    /// The best completed trial so far.
    pub(crate) best: Option<BestTrial>,
    /// What it waits for if no trainer can take its queued trials, or none can hand in what it has
    /// trained; null while it goes on, is paused or has ended.
    pub(crate) waiting_for: Option<WaitingView>,
}

/// What a study waits for.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct WaitingView {
    /// `trainer`: none is connected. `device`: no trainer has it. `memory`: no trainer has as much
    /// as the smallest network needs. `dataset`: no trainer that has the memory has the dataset.
    /// `artifacts`: no trainer that has the dataset can use them. `slots`: all are busy with other
    /// studies.
    pub(crate) kind: WaitingFor,
    /// What the study needs, and what there is.
    pub(crate) detail: String,
}

/// The number of trials by state.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct TrialCountsView(BTreeMap<TrialState, u64>);

impl TrialCountsView {
    /// Each state with its number of trials.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TrialState, u64)> {
        self.0.iter().map(|(state, count)| (*state, *count))
    }
}

impl ToSchema for TrialCountsView {}

/// A property for each state there is.
impl PartialSchema for TrialCountsView {
    fn schema() -> RefOr<Schema> {
        let states: Vec<&str> = TrialState::ALL.iter().map(|state| state.as_str()).collect();
        let count = |state: &TrialState| {
            let schema = json!({
                "type": "integer", "format": "int64", "minimum": 0, "description": described(*state),
            });
            (state.to_string(), schema)
        };
        let counts: Map<String, Json> = TrialState::ALL.iter().map(count).collect();
        let schema = json!({
            "type": "object", "description": "The number of trials by state.",
            "required": states, "properties": counts,
        });
        serde_json::from_value(schema).expect("what stands above is a schema")
    }
}

/// The trials in this state, in words.
fn described(state: TrialState) -> &'static str {
    match state {
        TrialState::Queued => "Waiting for a trainer.",
        TrialState::Delayed => "Waiting before a retry.",
        TrialState::Running => "Being trained.",
        TrialState::Completed => "Ended with a value.",
        TrialState::Failed => "Ended without a value.",
        TrialState::Cancelled => "Stopped by a user.",
    }
}

/// The progress of a study.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Progress {
    /// Trials that have ended in any state.
    pub(crate) finished: u64,
    /// Trials when the study is complete.
    pub(crate) total: u64,
}

/// The best completed trial.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct BestTrial {
    /// Its number.
    pub(crate) number: u64,
    /// Its value of the objective.
    pub(crate) value: f64,
    /// Its active hyperparameters by name.
    pub(crate) hyperparameters: Map<String, Json>,
}

/// A page of studies, the newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StudyPage {
    /// The studies.
    pub(crate) studies: Vec<StudySummary>,
    /// The cursor of the next page; null on the last.
    pub(crate) next: Option<String>,
}

/// What `?dry_run=true` answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DryRun {
    /// The pre-flight.
    pub(crate) preflight: Preflight,
    /// The schema of the dataset.
    pub(crate) dataset: DatasetSchema,
    /// The study, completed by the seed, the direction of the objective and the defaults. POSTing
    /// this repeats it.
    #[schema(value_type = Study)]
    pub(crate) spec: Json,
}

impl StudyView {
    pub(crate) fn from_record(
        record: StudyRecord,
        study: &Study,
        waiting: Option<Waiting>,
    ) -> store::Result<StudyView> {
        let summary = StudySummary::from_record(&record, study, waiting)?;
        Ok(StudyView { summary, dataset: record.dataset, spec: record.spec, preflight: record.preflight })
    }

    /// The metric of its objective.
    pub(crate) fn metric(&self) -> &str {
        self.spec.pointer("/objective/metric").and_then(Json::as_str).unwrap_or("value")
    }
}

impl StudySummary {
    pub(crate) fn from_record(
        record: &StudyRecord,
        study: &Study,
        waiting: Option<Waiting>,
    ) -> store::Result<StudySummary> {
        Ok(StudySummary {
            id: record.id.to_string(),
            name: record.name.clone(),
            state: record.state,
            stop_reason: record.stop_reason,
            created_at: timestamp(record.created_at_ms),
            seed: study.seed,
            trials: TrialCountsView(record.counts.iter().collect()),
            progress: Progress {
                finished: record.counts.finished(),
                total: if has_ended(record.state) { record.counts.finished() } else { expected(record) },
            },
            max_trials: record.max_trials,
            max_parallel: record.max_parallel,
            best: record.best.as_ref().map(|best| BestTrial::from_best(best, study)).transpose()?,
            waiting_for: waiting.map(|Waiting { kind, detail }| WaitingView { kind, detail }),
        })
    }

    /// Whether it will not go on by itself.
    pub(crate) fn has_ended(&self) -> bool {
        has_ended(self.state)
    }
}

/// Whether a study in this state will not go on by itself.
pub(crate) fn has_ended(state: StudyState) -> bool {
    match state {
        StudyState::Running | StudyState::Paused => false,
        StudyState::Completed | StudyState::Cancelled | StudyState::Failed => true,
    }
}

/// The number of trials if nothing stops the study: the smaller of all points and `max_trials`, and
/// never fewer than there are.
pub(crate) fn expected(record: &StudyRecord) -> u64 {
    let points = record
        .preflight
        .get("points")
        .and_then(Json::as_str)
        .map(|points| points.parse().unwrap_or(u64::MAX));
    let there_are = record.counts.iter().map(|(_, count)| count).sum();
    record.max_trials.unwrap_or(u64::MAX).min(points.unwrap_or(u64::MAX)).max(there_are)
}

impl BestTrial {
    fn from_best(best: &Best, study: &Study) -> store::Result<BestTrial> {
        let point = study.space.unpack(&best.point)?;
        Ok(BestTrial {
            number: best.number,
            value: shortest(best.value),
            hyperparameters: study.space.to_json(&point),
        })
    }
}

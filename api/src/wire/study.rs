//! Studies on the wire.

use crate::limits;
use hpo::dataset::DatasetSchema;
use hpo::preflight::Preflight;
use hpo::study::Study;
use hpo::trial::{StopReason, StudyState, TrialState, WaitingFor};
use hpo::{Problem, ProblemKind};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json, json};
use store::{Best, Change, StudyRecord, TrialCounts, Waiting};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::{shortest, timestamp};
use crate::error::Error;

/// A study.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StudyView {
    #[serde(flatten)]
    summary: StudySummary,
    /// The schema of its dataset, as it was when the study was created.
    dataset: DatasetSchema,
    /// The study as it was POSTed, with what it left out: the seed, the direction of the objective,
    /// and the defaults.
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
    /// Where it stands.
    state: StudyState,
    /// Why it ended; null while it runs.
    stop_reason: Option<StopReason>,
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
    /// What it waits for, where it has queued trials that no trainer can take, or its trainers
    /// cannot hand in what they trained; null while it goes on, is paused or has ended.
    waiting_for: Option<WaitingView>,
}

/// What a study waits for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WaitingView {
    /// `trainer`: none is connected. `device`: none serves it. `memory`: none has as much as the
    /// smallest network takes. `dataset`: all that have the memory lack it. `artifacts`: all that
    /// have the dataset cannot use them. `slots`: all are busy with other studies.
    kind: WaitingFor,
    /// What the study needs, and what there is.
    detail: String,
}

/// The number of trials by state.
#[derive(Debug)]
pub(crate) struct TrialCountsView(TrialCounts);

impl Serialize for TrialCountsView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

impl ToSchema for TrialCountsView {}

/// A property for each state there is.
impl PartialSchema for TrialCountsView {
    fn schema() -> RefOr<Schema> {
        let states: Vec<&str> = TrialState::ALL.iter().map(|state| state.as_str()).collect();
        let count = json!({"type": "integer", "format": "int64", "minimum": 0});
        let counts: Map<String, Json> =
            states.iter().map(|state| ((*state).to_owned(), count.clone())).collect();
        let schema = json!({
            "type": "object", "description": "The number of trials by state.",
            "required": states, "properties": counts,
        });
        serde_json::from_value(schema).expect("what stands above is a schema")
    }
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
    /// The study with what it left out: the seed, the direction of the objective, and the defaults.
    /// POSTing this repeats it.
    #[schema(value_type = Study)]
    pub(crate) spec: Json,
}

/// The body of `PATCH /v1/studies/{id}`: what is not named stays as it is.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct StudyPatch {
    paused: Option<bool>,
    max_trials: Option<u64>,
    /// Null takes the limit away.
    max_parallel: Option<Option<u64>>,
}

impl ToSchema for StudyPatch {}

/// By hand as [`StudyPatch::read`] is, from the same bounds.
impl PartialSchema for StudyPatch {
    fn schema() -> RefOr<Schema> {
        let schema = json!({
            "type": "object",
            "description": "The body of `PATCH /v1/studies/{id}`: what is not named stays as it is.",
            "properties": {
                "state": {
                    "type": "string",
                    "enum": ["running", "paused"],
                    "description": "`paused`: no new trial starts, running ones finish. `running`: go on.",
                },
                "max_trials": {
                    "type": "integer", "minimum": 1, "maximum": limits::TRIALS_MAX,
                    "description": "A new number of trials at most. Raising it reopens a study that had completed. Lowering it takes the last trials back, as far \
                        as they never started: they come again, the same ones, when it is raised. Other waiting trials beyond it are cancelled.",
                },
                "max_parallel": {
                    "type": ["integer", "null"], "minimum": 1, "maximum": limits::PARALLEL_MAX,
                    "description": "A new number of trials at once; null: as many as trainers offer.",
                },
            },
            "additionalProperties": false,
        });
        serde_json::from_value(schema).expect("what stands above is a schema")
    }
}

impl StudyPatch {
    /// What `body` asks for. By hand, since null and absent are two things, and all that is wrong
    /// is said at once. Errors: [`Error::InvalidRequest`], [`Error::InvalidStudy`].
    pub(crate) fn read(body: Json) -> Result<StudyPatch, Error> {
        let Json::Object(fields) = body else {
            return Err(Error::InvalidRequest(
                "the body must be an object, such as {\"state\": \"paused\"}".to_owned(),
            ));
        };
        let (mut patch, mut problems) = (StudyPatch::default(), Vec::new());
        for (name, value) in fields {
            let read = match name.as_str() {
                "state" => read_paused(&value).map(|paused| patch.paused = Some(paused)),
                "max_trials" => {
                    read_limit(&value, limits::TRIALS_MAX).map(|limit| patch.max_trials = Some(limit))
                }
                "max_parallel" if value.is_null() => {
                    patch.max_parallel = Some(None);
                    Ok(())
                }
                "max_parallel" => read_limit(&value, limits::PARALLEL_MAX)
                    .map(|limit| patch.max_parallel = Some(Some(limit))),
                "priority" | "weight" => Err((ProblemKind::NotSupported, "cannot be changed yet".to_owned())),
                _ => Err((
                    ProblemKind::Invalid,
                    "is not a field that can be changed; state, max_trials and max_parallel can".to_owned(),
                )),
            };
            if let Err((kind, why)) = read {
                let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
                problems.push(Problem { pointer, detail: format!("{name} {why}"), kind });
            }
        }
        if problems.is_empty() { Ok(patch) } else { Err(Error::InvalidStudy(problems)) }
    }
}

fn read_paused(value: &Json) -> Result<bool, (ProblemKind, String)> {
    match value.as_str() {
        Some("paused") => Ok(true),
        Some("running") => Ok(false),
        _ => Err((
            ProblemKind::Invalid,
            "can be set to \"paused\" or \"running\"; a study is cancelled by POST …/cancel".to_owned(),
        )),
    }
}

fn read_limit(value: &Json, max: u64) -> Result<u64, (ProblemKind, String)> {
    // 2.0 is as good as 2, as in a study.
    let whole = || {
        value
            .as_f64()
            .filter(|number| number.fract() == 0.0 && (1.0..=max as f64).contains(number))
            .map(|number| number as u64)
    };
    let limit = value.as_u64().or_else(whole).filter(|limit| (1..=max).contains(limit));
    limit
        .ok_or_else(|| (ProblemKind::Invalid, format!("must be an integer between 1 and {max}, not {value}")))
}

impl From<StudyPatch> for Change {
    fn from(patch: StudyPatch) -> Change {
        Change {
            paused: patch.paused,
            max_trials: patch.max_trials.map(Some),
            max_parallel: patch.max_parallel,
        }
    }
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
}

impl StudySummary {
    pub(crate) fn from_record(
        record: &StudyRecord,
        study: &Study,
        waiting: Option<Waiting>,
    ) -> store::Result<StudySummary> {
        let ended = !matches!(record.state, StudyState::Running | StudyState::Paused);
        Ok(StudySummary {
            id: record.id.to_string(),
            name: record.name.clone(),
            state: record.state,
            stop_reason: record.stop_reason,
            created_at: timestamp(record.created_at_ms),
            seed: study.seed,
            trials: TrialCountsView(record.counts),
            progress: Progress {
                finished: record.counts.finished(),
                total: if ended { record.counts.finished() } else { expected(record) },
            },
            max_trials: record.max_trials,
            max_parallel: record.max_parallel,
            best: record.best.as_ref().map(|best| BestTrial::from_best(best, study)).transpose()?,
            waiting_for: waiting.map(|Waiting { kind, detail }| WaitingView { kind, detail }),
        })
    }
}

/// The number of trials if nothing stops the study: all points, or `max_trials` where that is less;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_read_within_the_bounds_that_the_contract_shows() {
        let schema = serde_json::to_value(StudyPatch::schema()).unwrap();
        for (name, max) in [("max_trials", limits::TRIALS_MAX), ("max_parallel", limits::PARALLEL_MAX)] {
            let property = &schema["properties"][name];
            assert_eq!(
                (&property["minimum"], &property["maximum"]),
                (&json!(1), &json!(max)),
                "{name}: {property}"
            );
            assert!(
                StudyPatch::read(json!({name: 1})).is_ok() && StudyPatch::read(json!({name: max})).is_ok(),
                "{name}"
            );
            assert!(
                StudyPatch::read(json!({name: 0})).is_err()
                    && StudyPatch::read(json!({name: max + 1})).is_err(),
                "{name}"
            );
        }
        let patch = StudyPatch::read(json!({"state": "paused", "max_parallel": null})).unwrap();
        let change = Change { paused: Some(true), max_trials: None, max_parallel: Some(None) };
        assert_eq!(Change::from(patch), change);
        assert_eq!(StudyPatch::read(json!({"max_trials": 2.0})).unwrap().max_trials, Some(2));
        for wrong in [json!(null), json!(2.5), json!(-1), json!(1e300), json!("2"), json!(true)] {
            assert!(StudyPatch::read(json!({"max_trials": wrong})).is_err(), "{wrong}");
        }
    }
}

//! Stored studies and trials, read from the answers of scripts.

use std::collections::HashMap;

use hpo::dataset::DatasetSchema;
use hpo::study::DeviceClass;
use hpo::trial::{AttemptEnd, ErrorKind, StudyState, TrialState};
use redis::Value;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::reply::{Reply, text};
use crate::{EpochMetrics, Nonce, StopReason, StudyId, queue};

/// A study as stored.
#[derive(Debug, Clone)]
pub struct StudyRecord {
    /// Its id.
    pub id: StudyId,
    /// Its name.
    pub name: String,
    /// Its document, seed included.
    pub spec: serde_json::Value,
    /// What the pre-flight found.
    pub preflight: serde_json::Value,
    /// Its dataset when it was accepted.
    pub dataset: DatasetSchema,
    /// Identifies that dataset, as [`Lease::dataset_id`](crate::Lease::dataset_id) does.
    pub dataset_id: String,
    /// Which trainers may run it.
    pub device: DeviceClass,
    /// The bytes of a training step of its smallest network.
    pub step_bytes: u64,
    /// The names of a curve's columns.
    pub metrics: Vec<String>,
    /// Where it stands.
    pub state: StudyState,
    /// Why it ended; none before.
    pub stop_reason: Option<StopReason>,
    /// When it was created, ms since 1970 by Redis's clock.
    pub created_at_ms: u64,
    /// The number of its trials by state.
    pub counts: TrialCounts,
    /// How many trials at most, as last set.
    pub max_trials: Option<u64>,
    /// How many trials at once, as last set.
    pub max_parallel: Option<u64>,
    /// The best completed trial.
    pub best: Option<Best>,
}

/// The best completed trial of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// Its number.
    pub number: u64,
    /// Its value.
    pub value: f64,
    /// Its hyperparameters, for `SearchSpace::unpack`.
    pub point: Vec<u8>,
}

/// How many trials of a study are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrialCounts([u64; TrialState::ALL.len()]);

impl TrialCounts {
    /// Those in `state`.
    pub fn get(&self, state: TrialState) -> u64 {
        self.iter().find(|(other, _)| *other == state).map_or(0, |(_, count)| count)
    }

    /// Every state with its count.
    pub fn iter(&self) -> impl Iterator<Item = (TrialState, u64)> {
        TrialState::ALL.iter().copied().zip(self.0)
    }

    /// Those in a terminal state.
    pub fn finished(&self) -> u64 {
        self.iter().filter(|(state, _)| state.is_terminal()).map(|(_, count)| count).sum()
    }
}

/// A trial as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialRecord {
    /// Its number, from 0.
    pub number: u64,
    /// Where it stands.
    pub state: TrialState,
    /// Its hyperparameters, for `SearchSpace::unpack`.
    pub point: Vec<u8>,
    /// The best of the objective, once completed.
    pub value: Option<f64>,
    /// The last epoch reported; 0 before the first.
    pub epoch: u32,
    /// The epoch of `value`.
    pub best_epoch: Option<u32>,
    /// The metrics at `best_epoch`, or at `epoch` while there is no best; empty before the first.
    pub metrics: Vec<f32>,
    /// Claims so far.
    pub attempt: u32,
    /// The nonce of the last claim.
    pub nonce: Option<Nonce>,
    /// Failures counted against `retry.max_failures`.
    pub failures: u32,
    /// Lost leases counted against `retry.max_stalls`.
    pub stalls: u32,
    /// Whether it was cancelled and its trainer has not been told yet.
    pub cancel_requested: bool,
    /// Its attempts, oldest first: the current one and the last
    /// [`ATTEMPTS_KEPT`](crate::limits::ATTEMPTS_KEPT) before it.
    pub attempts: Vec<AttemptRecord>,
    /// Its last error, if it failed or is tried again.
    pub error: Option<TrialError>,
}

/// One attempt at a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Its number, from 1.
    pub attempt: u32,
    /// The trainer that ran it.
    pub trainer: String,
    /// The numerics class that it ran in.
    pub numerics: String,
    /// When it was claimed, ms since 1970 by Redis's clock.
    pub started_at_ms: u64,
    /// When it ended; none while it runs.
    pub ended_at_ms: Option<u64>,
    /// How; none while it runs.
    pub end: Option<AttemptEnd>,
}

/// Why a trial failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialError {
    /// What kind.
    pub kind: ErrorKind,
    /// The message of the trainer.
    pub message: String,
}

/// What a trial reported, epoch by epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// The names of the values.
    pub metrics: Vec<String>,
    /// The epochs, rising.
    pub epochs: Vec<EpochMetrics>,
}

/// The study in a `study_row` of the scripts.
pub(crate) fn study_record(row: Value) -> Result<StudyRecord> {
    let (mut row, mut fields) = (Reply::of(row)?, HashMap::new());
    while let Some(field) = row.next() {
        fields.insert(text(field)?, row.bytes()?);
    }
    let field = |name: &str| {
        fields.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
    };
    let wrong = |name: &str| Error::Corrupt(format!("study field {name} is {:?}", field(name)));
    let number = |name: &str| field(name).parse().map_err(|_| wrong(name));
    let optional = |name: &str| if field(name).is_empty() { Ok(None) } else { number(name).map(Some) };
    let mut counts = TrialCounts::default();
    for (count, state) in counts.0.iter_mut().zip(TrialState::ALL) {
        *count = number(state.as_str())?;
    }
    let best = match optional("best")? {
        Some(number) => Some(Best {
            number,
            value: fields
                .get("best_value")
                .and_then(|bytes| value(bytes))
                .ok_or_else(|| wrong("best_value"))?,
            point: fields.get("best_point").cloned().ok_or_else(|| wrong("best_point"))?,
        }),
        None => None,
    };
    Ok(StudyRecord {
        id: StudyId::parse(&field("id")).ok_or_else(|| wrong("id"))?,
        name: field("name"),
        spec: json(&field("spec"))?,
        preflight: json(&field("preflight"))?,
        dataset: json(&field("dataset"))?,
        dataset_id: field("dataset_id"),
        device: DeviceClass::parse(&field("class")).ok_or_else(|| wrong("class"))?,
        step_bytes: number("step_bytes")?,
        metrics: json(&field("metrics"))?,
        state: StudyState::parse(&field("state")).ok_or_else(|| wrong("state"))?,
        stop_reason: StopReason::parse(&field("stop")),
        created_at_ms: number("created")?,
        counts,
        max_trials: optional("max_trials")?,
        max_parallel: optional("max_parallel")?,
        best,
    })
}

/// The trial in a `trial_row` of the scripts.
pub(crate) fn trial_record(mut row: Reply) -> Result<TrialRecord> {
    Ok(TrialRecord {
        number: row.parse()?,
        state: row.name(TrialState::parse)?,
        point: row.bytes()?,
        value: value(&row.bytes()?),
        epoch: row.parse()?,
        best_epoch: Some(row.parse()?).filter(|epoch| *epoch > 0),
        attempt: row.parse()?,
        nonce: Some(row.bytes()?).filter(|nonce| !nonce.is_empty()).map(queue::nonce).transpose()?,
        failures: row.parse()?,
        stalls: row.parse()?,
        cancel_requested: row.text()? == "1",
        error: trial_error(&row.text()?),
        metrics: Some(row.bytes()?)
            .filter(|entry| !entry.is_empty())
            .map(|entry| epoch_metrics(&entry).values)
            .unwrap_or_default(),
        attempts: {
            let (mut rows, mut attempts) = (row.array()?, Vec::new());
            while let Some(attempt) = rows.next() {
                attempts.push(attempt_record(Reply::of(attempt)?)?);
            }
            attempts
        },
    })
}

/// The curve in the answer of the script `curve`.
pub(crate) fn curve(mut answer: Reply) -> Result<Curve> {
    let metrics: Vec<String> = json(&answer.text()?)?;
    let epochs = answer.bytes()?.chunks_exact(4 + 4 * metrics.len()).map(epoch_metrics).collect();
    Ok(Curve { metrics, epochs })
}

fn attempt_record(mut row: Reply) -> Result<AttemptRecord> {
    Ok(AttemptRecord {
        attempt: row.parse()?,
        trainer: row.text()?,
        numerics: row.text()?,
        started_at_ms: row.parse()?,
        ended_at_ms: u64::try_from(row.parse::<i64>()?).ok(),
        end: row.option(AttemptEnd::parse)?,
    })
}

fn trial_error(stored: &str) -> Option<TrialError> {
    let (kind, message) = stored.split_once('\n')?;
    Some(TrialError { kind: ErrorKind::parse(kind)?, message: message.to_owned() })
}

/// The value of a trial, if it has one.
fn value(stored: &[u8]) -> Option<f64> {
    stored.try_into().ok().map(f64::from_be_bytes)
}

/// A packed entry of a curve: an epoch, then its values.
fn epoch_metrics(entry: &[u8]) -> EpochMetrics {
    let mut words = entry.chunks_exact(4).map(|four| <[u8; 4]>::try_from(four).expect("chunks of four"));
    EpochMetrics {
        epoch: words.next().map_or(0, u32::from_le_bytes),
        values: words.map(f32::from_le_bytes).collect(),
    }
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::Corrupt(format!("{text}: {error}")))
}

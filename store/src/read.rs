//! Reads: studies, trials, the best, curves. One script a page, nothing is locked.

use std::collections::HashMap;
use std::fmt;

use crate::limits;
use hpo::dataset::DatasetSchema;
use hpo::study::DeviceClass;
pub use hpo::trial::Sort;
use hpo::trial::{AttemptEnd, ErrorKind, StudyState, TrialState};
use redis::Value;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::reply::{Reply, text};
use crate::script::Name;
use crate::{Args, EpochMetrics, Nonce, StopReason, Store, StudyId, queue};

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
    /// Which dataset that is, as [`Lease::dataset_id`](crate::Lease::dataset_id).
    pub dataset_id: String,
    /// Which trainers may run it.
    pub device: DeviceClass,
    /// The bytes of a training step of its smallest network.
    pub step_bytes: u64,
    /// The names of a curve's columns.
    pub metrics: Vec<String>,
    /// Where it stands.
    pub state: StudyState,
    /// Why it ended.
    pub stop_reason: Option<StopReason>,
    /// When it was created, ms since 1970 by Redis's clock.
    pub created_at_ms: u64,
    /// Its trials by state.
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

/// Which studies to list.
#[derive(Debug, Clone)]
pub struct StudyPage {
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// How many at most; up to [`limits::PAGE_MAX`].
    pub limit: usize,
    /// Only those in this state.
    pub state: Option<StudyState>,
    /// Only those whose name contains this.
    pub name: Option<String>,
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
    /// The metrics at `best_epoch`, without one at `epoch`; empty before the first.
    pub metrics: Vec<f32>,
    /// Claims so far.
    pub attempt: u32,
    /// The nonce of the last claim.
    pub nonce: Option<Nonce>,
    /// Failures counted against `retry.max_failures`.
    pub failures: u32,
    /// Lost leases counted against `retry.max_stalls`.
    pub stalls: u32,
    /// Whether its trainer is yet to be told of a cancel.
    pub cancel_requested: bool,
    /// Its attempts, oldest first; the last [`limits::ATTEMPTS_KEPT`] and the current.
    pub attempts: Vec<AttemptRecord>,
    /// Its last error, where it failed or is tried again.
    pub error: Option<TrialError>,
}

/// One attempt at a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Its number, from 1.
    pub attempt: u32,
    /// Who ran it.
    pub trainer: String,
    /// In which numerics class.
    pub numerics: String,
    /// When it was claimed, ms since 1970 by Redis's clock.
    pub started_at_ms: u64,
    /// When it ended.
    pub ended_at_ms: Option<u64>,
    /// How; none while it runs.
    pub end: Option<AttemptEnd>,
}

/// Why a trial failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialError {
    /// What kind.
    pub kind: ErrorKind,
    /// The trainer's words.
    pub message: String,
}

/// Which trials to list.
#[derive(Debug, Clone)]
pub struct TrialPage {
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// How many at most; up to [`limits::PAGE_MAX`].
    pub limit: usize,
    /// Only those in this state.
    pub state: Option<TrialState>,
    /// In which order.
    pub sort: Sort,
}

/// What a trial reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// The names of the values.
    pub metrics: Vec<String>,
    /// The epochs, rising.
    pub epochs: Vec<EpochMetrics>,
}

impl Default for StudyPage {
    fn default() -> StudyPage {
        StudyPage { cursor: None, limit: 100, state: None, name: None }
    }
}

impl Default for TrialPage {
    fn default() -> TrialPage {
        TrialPage { cursor: None, limit: 100, state: None, sort: Sort::Number }
    }
}

impl Store {
    /// A study; none where there is none of that id, or it was deleted.
    pub async fn study(&self, id: StudyId) -> Result<Option<StudyRecord>> {
        let args = Args::new().arg(id).arg("").arg(1).arg("").arg("");
        let mut answer = Reply::of(self.call(Name::Studies, args).await?)?;
        answer.text()?;
        answer.next().filter(|row| *row != Value::Nil).map(study_record).transpose()
    }

    /// A page of studies, newest first, and the cursor of the next; a page may be short although a
    /// cursor follows. Errors: [`Error::BadCursor`].
    pub async fn list_studies(&self, page: StudyPage) -> Result<(Vec<StudyRecord>, Option<String>)> {
        let limit = page.limit.clamp(1, limits::PAGE_MAX);
        let cursor = page.cursor.map(|cursor| StudyId::parse(&cursor).ok_or(Error::BadCursor)).transpose()?;
        let args =
            Args::new().arg("").option(cursor).arg(limit).option(page.state).option(page.name.as_ref());
        let mut answer = Reply::of(self.call(Name::Studies, args).await?)?;
        let next = Some(answer.text()?).filter(|next| !next.is_empty());
        let mut studies = Vec::new();
        while let Some(row) = answer.next() {
            studies.push(study_record(row)?);
        }
        Ok((studies, next))
    }

    /// A trial; none where its study or its number is not there.
    pub async fn trial(&self, id: StudyId, number: u64) -> Result<Option<TrialRecord>> {
        match self.rows(id, &[number]).await {
            Err(Error::NoSuchStudy(_)) => Ok(None),
            rows => Ok(rows?.pop()),
        }
    }

    /// A page of trials and the cursor of the next; a page may be short although a cursor follows.
    /// Errors: [`Error::NoSuchStudy`], [`Error::BadCursor`].
    pub async fn trials(&self, id: StudyId, page: TrialPage) -> Result<(Vec<TrialRecord>, Option<String>)> {
        let last =
            page.cursor.map(|cursor| Rank::parse(&cursor, page.sort).ok_or(Error::BadCursor)).transpose()?;
        let limit = page.limit.clamp(1, limits::PAGE_MAX);
        let wanted = if page.sort == Sort::Value { usize::MAX } else { 0 };
        let (ranked, total) = self.ranked(id, wanted).await?;
        let order = in_order(page.sort, &ranked, total);
        // What has moved since the page before lies where it belongs now: behind what was shown, or
        // never again on this way.
        let (mut trials, mut at) =
            (Vec::new(), last.map_or(0, |last| order.partition_point(|rank| *rank <= last)));
        let end = order.len().min(at.saturating_add(limits::TRIALS_SCANNED_MAX));
        while at < end && trials.len() < limit {
            let numbers: Vec<u64> = order[at..end.min(at + limit)].iter().map(Rank::number).collect();
            for trial in self.rows(id, &numbers).await? {
                at += 1;
                if page.state.is_none_or(|state| state == trial.state) {
                    trials.push(trial);
                }
                if trials.len() == limit {
                    break;
                }
            }
        }
        Ok((trials, (at < order.len()).then(|| order[..at].last().map(Rank::to_string)).flatten()))
    }

    /// The best completed trials, best first, ties by number; up to [`limits::PAGE_MAX`]. Errors:
    /// [`Error::NoSuchStudy`].
    pub async fn best(&self, id: StudyId, count: usize) -> Result<Vec<TrialRecord>> {
        let count = count.min(limits::PAGE_MAX);
        let (mut ranked, _) = self.ranked(id, count).await?;
        ranked.truncate(count);
        let numbers: Vec<u64> = ranked.into_iter().map(|(_, number)| number).collect();
        self.rows(id, &numbers).await
    }

    /// What a trial reported; none where there is no such trial.
    pub async fn curve(&self, id: StudyId, number: u64) -> Result<Option<Curve>> {
        let answer = self.call(Name::Curve, Args::new().arg(id).arg(number)).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let mut answer = Reply::of(answer)?;
        let metrics: Vec<String> = json(&answer.text()?)?;
        let packed = answer.bytes()?;
        let epochs = packed.chunks_exact(4 + 4 * metrics.len()).map(epoch_metrics).collect();
        Ok(Some(Curve { metrics, epochs }))
    }

    /// Score and number of the best `wanted` completed trials at least, best first, and the study's
    /// next number. The smaller score is better.
    async fn ranked(&self, id: StudyId, wanted: usize) -> Result<(Vec<(f64, u64)>, u64)> {
        let wanted = wanted.min(limits::TRIALS_MAX as usize);
        let mut answer = Reply::of(self.call(Name::Ranking, Args::new().arg(id).arg(wanted)).await?)?;
        if answer.text()? == "0" {
            return Err(Error::NoSuchStudy(id));
        }
        let next: u64 = answer.parse()?;
        let (kept, column) = (answer.bytes()?, answer.bytes()?);
        if column.is_empty() {
            let kept = kept.chunks_exact(12).map(|entry| {
                let (number, score) = entry.split_first_chunk().expect("chunks of twelve");
                (
                    f64::from_be_bytes(score.try_into().expect("eight of twelve")),
                    u64::from(u32::from_be_bytes(*number)),
                )
            });
            return Ok((kept.collect(), next));
        }
        let scores = column
            .chunks_exact(8)
            .map(|eight| u64::from_be_bytes(eight.try_into().expect("chunks of eight")))
            .enumerate();
        let mut scored: Vec<(f64, u64)> = scores
            .filter(|(_, bits)| *bits != 0)
            .map(|(number, bits)| (f64::from_bits(bits), number as u64))
            .collect();
        scored.sort_by(|a, b| a.partial_cmp(b).expect("only finite values are completed"));
        Ok((scored, next))
    }

    /// The trials of those numbers, in that order; a number without one is left out.
    async fn rows(&self, id: StudyId, numbers: &[u64]) -> Result<Vec<TrialRecord>> {
        let answer = self
            .call(Name::Trials, Args::new().arg(id).list(numbers.iter().map(|number| number.to_string())))
            .await?;
        let Ok(mut rows) = Reply::of(answer) else {
            return Err(Error::NoSuchStudy(id));
        };
        let mut trials = Vec::with_capacity(numbers.len());
        while let Some(row) = rows.next() {
            trials.push(trial_record(Reply::of(row)?)?);
        }
        Ok(trials)
    }
}

/// A trial's place in a list of trials, which is also the cursor of a page that ends with it: what
/// follows is what lies behind it, whatever was ranked or added meanwhile. In the order of either
/// list.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Rank {
    /// In the order of numbers.
    Number(u64),
    /// By value: a completed trial's score, the smallest first, and its number.
    Scored(f64, u64),
    /// By value: another trial's number.
    Unscored(u64),
}

impl Rank {
    fn number(&self) -> u64 {
        match *self {
            Rank::Number(number) | Rank::Scored(_, number) | Rank::Unscored(number) => number,
        }
    }

    /// The place that a cursor names in a list of this order.
    fn parse(cursor: &str, sort: Sort) -> Option<Rank> {
        let (kind, rest) = cursor.split_at_checked(1)?;
        match (sort, kind) {
            (Sort::Number, "n") => rest.parse().ok().map(Rank::Number),
            (Sort::Value, "u") => rest.parse().ok().map(Rank::Unscored),
            (Sort::Value, "s") => {
                let (bits, number) = rest.split_at_checked(16)?;
                let score = f64::from_bits(u64::from_str_radix(bits, 16).ok()?);
                number.parse().ok().map(|number| Rank::Scored(score, number)).filter(|_| score.is_finite())
            }
            _ => None,
        }
    }
}

/// The cursor, which [`Rank::parse`] reads.
impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Rank::Number(number) => write!(f, "n{number}"),
            Rank::Scored(score, number) => write!(f, "s{:016x}{number}", score.to_bits()),
            Rank::Unscored(number) => write!(f, "u{number}"),
        }
    }
}

/// All of `total` trials in the order of a list, of which `ranked` are completed, best first.
fn in_order(sort: Sort, ranked: &[(f64, u64)], total: u64) -> Vec<Rank> {
    if sort == Sort::Number {
        return (0..total).map(Rank::Number).collect();
    }
    let mut rest: Vec<bool> = vec![true; total as usize];
    ranked.iter().for_each(|(_, number)| rest[*number as usize] = false);
    let unscored = (0..total).filter(|number| rest[*number as usize]).map(Rank::Unscored);
    ranked.iter().map(|(score, number)| Rank::Scored(*score, *number)).chain(unscored).collect()
}

/// The study that a `study_row` of the scripts is.
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

/// The trial that a `trial_row` of the scripts is.
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

/// The value of a trial, where it has one.
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

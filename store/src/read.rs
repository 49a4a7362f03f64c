//! Reads studies, trials, the best and curves: one script a page, and nothing is locked.

use std::fmt;

pub use hpo::trial::Sort;
use hpo::trial::{StudyState, TrialState};
use redis::Value;

use crate::error::{Error, Result};
use crate::record::{Curve, StudyRecord, TrialRecord, curve, study_record, trial_record};
use crate::reply::Reply;
use crate::script::Name;
use crate::{Args, Store, StudyId, limits};

/// A page of a list of studies.
#[derive(Debug, Clone)]
pub struct StudyPage {
    /// Where the page before it ended.
    pub cursor: Option<String>,
    /// How many at most; up to [`limits::PAGE_MAX`].
    pub limit: usize,
    /// Only studies in this state.
    pub state: Option<StudyState>,
    /// Only studies whose name contains this.
    pub name: Option<String>,
}

/// A page of a list of trials.
#[derive(Debug, Clone)]
pub struct TrialPage {
    /// Where the page before it ended.
    pub cursor: Option<String>,
    /// How many at most; up to [`limits::PAGE_MAX`].
    pub limit: usize,
    /// Only trials in this state.
    pub state: Option<TrialState>,
    /// In which order.
    pub sort: Sort,
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
    /// A study; none if no study has that id, or it was deleted.
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

    /// A trial; none if its study or its number does not exist.
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
        // A trial whose rank has changed since the page before is shown at its new rank, if that
        // comes after the cursor.
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

    /// The curve of a trial; none if there is no such trial.
    pub async fn curve(&self, id: StudyId, number: u64) -> Result<Option<Curve>> {
        let answer = self.call(Name::Curve, Args::new().arg(id).arg(number)).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        curve(Reply::of(answer)?).map(Some)
    }

    /// Score and number of at least the best `wanted` completed trials, best first, and the study's
    /// next number. A smaller score is better.
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

    /// The trials of these numbers, in this order; a number without a trial is left out.
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

/// A trial's place in a list of trials, which is also the cursor of a page that ends with it: the
/// next page begins after it, whatever was ranked or added meanwhile. Ordered as either list is.
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

/// All of `total` trials in the order of a list. `ranked` are the completed ones, best first.
fn in_order(sort: Sort, ranked: &[(f64, u64)], total: u64) -> Vec<Rank> {
    if sort == Sort::Number {
        return (0..total).map(Rank::Number).collect();
    }
    let mut rest: Vec<bool> = vec![true; total as usize];
    ranked.iter().for_each(|(_, number)| rest[*number as usize] = false);
    let unscored = (0..total).filter(|number| rest[*number as usize]).map(Rank::Unscored);
    ranked.iter().map(|(score, number)| Rank::Scored(*score, *number)).chain(unscored).collect()
}

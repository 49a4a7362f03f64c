//! Studies: create, change, cancel, delete.

use std::sync::Arc;

use crate::limits;
use hpo::dataset::DatasetSchema;
use hpo::study::{Direction, Study};
pub use hpo::trial::StopReason;
use hpo::trial::StudyState;
use redis::Value;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::record::{StudyRecord, study_record};
use crate::reply::{Reply, integer, text};
use crate::script::Name;
use crate::{Args, Cached, Store, StudyId};

/// A study to be created.
#[derive(Debug, Clone)]
pub struct NewStudy {
    /// Its id, made by the caller.
    pub id: StudyId,
    /// Its parsed document, seed included.
    pub study: Arc<Study>,
    /// What its dataset is: trainers whose copy differs do not run it.
    pub dataset: DatasetSchema,
    /// What the pre-flight found, for the view; trainers with less memory than its `step_bytes.min`
    /// do not run the study.
    pub preflight: serde_json::Value,
}

/// What makes a request that comes twice count once.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The caller's key.
    pub key: String,
    /// A hash of the request, which tells another request under the same key.
    pub request_hash: String,
}

/// What [`Store::create_study`] did.
#[derive(Debug, Clone)]
pub struct Created {
    /// The study right after the call: an earlier one if the idempotency key was used before.
    pub study: StudyRecord,
    /// Whether this call created it.
    pub fresh: bool,
}

/// A change of a study; none leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// Pause or resume: no new claims, running trials finish.
    pub paused: Option<bool>,
    /// How many trials at most, or no limit. Trials beyond it are taken back if they never started,
    /// and cancelled if they wait; a higher limit reopens a completed study.
    pub max_trials: Option<Option<u64>>,
    /// How many trials at once, or as many as there are slots.
    pub max_parallel: Option<Option<u64>>,
}

impl Store {
    /// Creates a study, once: the same id, or the same idempotency key and request, gets the study
    /// that exists. It has no trials until [`Store::top_up`]; the reaper calls it if nobody else
    /// does. Errors: [`Error::IdempotencyMismatch`]; [`Error::Deleted`] if the id, or the id of the
    /// key, was deleted within the last day.
    pub async fn create_study(&self, new: NewStudy, idempotency: Option<Idempotency>) -> Result<Created> {
        let id = match idempotency {
            Some(idempotency) => self.reserve(new.id, &idempotency).await?,
            None => new.id,
        };
        let study = &new.study;
        let sign = if study.objective.direction == Direction::Maximize { -1 } else { 1 };
        let limit = |limit: Option<u64>| limit.map(|limit| limit.to_string()).unwrap_or_default();
        let backoff_ms = (study.retry.backoff_seconds * 1_000.0).round();
        let fields = [
            ("spec", study.document().to_string()),
            ("preflight", new.preflight.to_string()),
            ("dataset", to_json(&new.dataset)?),
            ("metrics", to_json(&study.logged())?),
            ("name", study.name.clone()),
            ("class", study.device.as_str().to_owned()),
            ("dataset_hash", new.dataset.hash.clone()),
            ("dataset_id", dataset_id(study, &new.dataset)),
            ("step_bytes", step_bytes(&new.preflight).to_string()),
            ("weight", study.weight.to_string()),
            ("sign", sign.to_string()),
            ("max_trials", limit(study.max_trials)),
            ("max_parallel", limit(study.max_parallel)),
            ("max_failures", study.retry.max_failures.to_string()),
            ("max_stalls", study.retry.max_stalls.to_string()),
            ("backoff_ms", backoff_ms.to_string()),
            ("max_failures_in_a_row", study.early_stop.max_failures_in_a_row.to_string()),
        ];
        let fields = fields.map(|(name, value)| [name.to_owned(), value]);
        let answer = self
            .call(Name::Create, Args::new().arg(id).list(fields.as_flattened().iter().map(String::as_str)))
            .await?;
        if answer == Value::Int(-1) {
            return Err(Error::Deleted(id));
        }
        let mut answer = Reply::of(answer)?;
        Ok(Created { fresh: answer.text()? == "1", study: study_record(answer.take()?)? })
    }

    /// Changes a study, and returns it as it is right after; the caller then tops it up. Errors:
    /// [`Error::NoSuchStudy`]; [`Error::Closed`] if it was cancelled or has failed, or is completed
    /// and cannot be paused.
    pub async fn update_study(&self, id: StudyId, change: Change) -> Result<StudyRecord> {
        let limit = |limit: Option<Option<u64>>| {
            limit.map_or("-".to_owned(), |limit| limit.map(|n| n.to_string()).unwrap_or_default())
        };
        let paused = change.paused.map_or("-", |paused| if paused { "1" } else { "0" });
        let args =
            Args::new().arg(id).arg(paused).arg(limit(change.max_trials)).arg(limit(change.max_parallel));
        let (mut study, mut is_whole) = self.change_some(id, args.clone()).await?;
        for _ in 1..limits::SWEEPS_MAX {
            if is_whole {
                break;
            }
            // A part is done: a refusal no longer means that nothing was changed.
            (study, is_whole) = self.change_some(id, args.clone()).await.map_err(Error::in_its_course)?;
        }
        Ok(study)
    }

    /// The study after a part of the change, and whether that is all of it.
    async fn change_some(&self, id: StudyId, args: Args) -> Result<(StudyRecord, bool)> {
        let mut answer = Reply::of(self.call(Name::Change, args).await?)?;
        match answer.text()?.as_str() {
            "missing" => Err(Error::NoSuchStudy(id)),
            "closed" => Err(Error::Closed { study: id, state: answer.name(StudyState::parse)? }),
            _ => {
                let is_whole = answer.text()? == "0";
                Ok((study_record(answer.take()?)?, is_whole))
            }
        }
    }

    /// Cancels a study, and returns it as it is right after: its waiting trials are cancelled, the
    /// trainers of its running ones are told with their next report. Results stay. A study that has
    /// ended stays as it is. Errors: [`Error::NoSuchStudy`].
    pub async fn cancel_study(&self, id: StudyId) -> Result<StudyRecord> {
        let (mut study, mut waiting) = self.cancel_some(id).await?;
        for _ in 1..limits::SWEEPS_MAX {
            if waiting == 0 {
                break;
            }
            match self.cancel_some(id).await {
                Ok(swept) => (study, waiting) = swept,
                // The first call has cancelled it, and the reaper sweeps it.
                Err(error) => {
                    tracing::debug!("The reaper will cancel what still waits in study {id}: {error}");
                    break;
                }
            }
        }
        Ok(study)
    }

    /// The cancelled study after a part of its trials, and how many still wait.
    async fn cancel_some(&self, id: StudyId) -> Result<(StudyRecord, u64)> {
        let answer = self.call(Name::CancelStudy, Args::new().arg(id)).await?;
        if answer == Value::Int(-1) {
            return Err(Error::NoSuchStudy(id));
        }
        let mut answer = Reply::of(answer)?;
        let waiting = answer.parse()?;
        Ok((study_record(answer.take()?)?, waiting))
    }

    /// Deletes a study: it is no longer found, and its trainers lose its trials. The reaper purges
    /// it. Errors: [`Error::NoSuchStudy`].
    pub async fn delete_study(&self, id: StudyId) -> Result<()> {
        match integer(self.call(Name::Delete, Args::new().arg(id).arg(self.inner.lease_ms)).await?)? {
            1 => Ok(()),
            _ => Err(Error::NoSuchStudy(id)),
        }
    }

    /// The parsed document of a study, from the memory of the process if it is there. Errors:
    /// [`Error::NoSuchStudy`]; [`Error::Corrupt`] if another version accepted it.
    pub async fn spec(&self, id: StudyId) -> Result<Arc<Study>> {
        Ok(self.remembered(id).await?.study)
    }

    /// The parsed document of a study that was read, without a call of Redis. Errors:
    /// [`Error::Corrupt`] if another version accepted it.
    pub fn spec_of(&self, record: &StudyRecord) -> Result<Arc<Study>> {
        match self.cached(record.id) {
            Some(cached) => Ok(cached.study),
            None => Ok(self.parse(record)?.study),
        }
    }

    pub(crate) async fn remembered(&self, id: StudyId) -> Result<Cached> {
        match self.cached(id) {
            Some(cached) => Ok(cached),
            None => self.parse(&self.study(id).await?.ok_or(Error::NoSuchStudy(id))?),
        }
    }

    fn parse(&self, record: &StudyRecord) -> Result<Cached> {
        let study = Study::parse(&record.spec)
            .map_err(|problems| Error::Corrupt(format!("study {}: {problems:?}", record.id)))?;
        Ok(self.cache(record.id, Arc::new(study)))
    }

    /// The study of an idempotency key, if the key was used: created, being created, or deleted.
    /// Errors: [`Error::IdempotencyMismatch`].
    pub async fn reserved(&self, idempotency: &Idempotency) -> Result<Option<StudyId>> {
        let args = Args::new().arg(&idempotency.key).arg(StudyId::BYTES).arg(&idempotency.request_hash);
        let mut answer = Reply::of(self.call(Name::Reserved, args).await?)?;
        let Some(held) = answer.next() else { return Ok(None) };
        let held = text(held)?.parse().map_err(Error::Corrupt)?;
        if answer.text()? == "1" { Ok(Some(held)) } else { Err(Error::IdempotencyMismatch) }
    }

    /// The study id of an idempotency key: `id`, unless the key was used before.
    async fn reserve(&self, id: StudyId, idempotency: &Idempotency) -> Result<StudyId> {
        let bytes = idempotency.key.len();
        if bytes > limits::IDEMPOTENCY_KEY_BYTES_MAX {
            return Err(Error::TooLong {
                what: "the idempotency key",
                bytes,
                bytes_max: limits::IDEMPOTENCY_KEY_BYTES_MAX,
            });
        }
        let args = Args::new().arg(&idempotency.key).arg(id).arg(&idempotency.request_hash);
        let mut answer = Reply::of(self.call(Name::Reserve, args).await?)?;
        let held = answer.name(StudyId::parse)?;
        if answer.text()? == "1" { Ok(held) } else { Err(Error::IdempotencyMismatch) }
    }
}

/// Identifies the dataset of a study: a digest of all that its document says about it, and of the
/// hash of its content. A trainer that lacks the file of one study may have that of another with
/// the same content.
fn dataset_id(study: &Study, dataset: &DatasetSchema) -> String {
    let described = study.document()["dataset"].to_string();
    let digest = Sha256::new().chain_update(described).chain_update(&dataset.hash).finalize();
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a training step of the smallest network; 0 if the pre-flight does not know.
fn step_bytes(preflight: &serde_json::Value) -> u64 {
    preflight.pointer("/step_bytes/min").and_then(serde_json::Value::as_u64).unwrap_or_default()
}

fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Corrupt(error.to_string()))
}

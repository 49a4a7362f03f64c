//! The trainer's side of the queue: claim, report, finish.

use std::time::Duration;

use crate::limits;
use hpo::study::DeviceClass;
use hpo::trial::{AttemptEnd, ErrorKind};
use redis::Value;

use crate::error::{Error, Result};
use crate::record::{TrialRecord, trial_record};
use crate::reply::{Reply, text};
use crate::script::Name;
use crate::{Args, Nonce, Store, StudyId, Trainer, keys};

/// A request for leases. After an error, send the same claim again: it gets the leases that the
/// first one got.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The trainer's id.
    pub trainer: String,
    /// The numerics class it computes in.
    pub numerics: String,
    /// The device classes it serves: a trainer on a CPU, `any` and `cpu`.
    pub classes: Vec<DeviceClass>,
    /// How much memory it offers, in bytes: it gets no study whose smallest network takes more.
    pub memory_bytes: u64,
    /// The [ids](Lease::dataset_id) of datasets that it lacks; the first [`limits::REFUSED_MAX`]
    /// count.
    pub refused: Vec<String>,
    /// A nonce for each lease that it wants.
    pub nonces: Vec<Nonce>,
}

impl Claim {
    /// A claim of up to `count` leases for `trainer`, with fresh nonces.
    pub fn new(trainer: &Trainer, refused: Vec<String>, count: usize) -> Claim {
        Claim {
            trainer: trainer.id.clone(),
            numerics: trainer.numerics.clone(),
            classes: trainer.classes(),
            memory_bytes: trainer.memory_bytes,
            refused,
            nonces: (0..count.min(limits::CLAIMS_MAX)).map(|_| Nonce::random()).collect(),
        }
    }
}

/// The right to run one attempt at a trial, as long as heartbeats are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// The study.
    pub study: StudyId,
    /// The trial's number in it, from 0.
    pub number: u64,
    /// Which claim of the trial this is, from 1.
    pub attempt: u32,
    /// Fences this attempt: no other's reports and results count.
    pub nonce: Nonce,
    /// Its hyperparameters, for `SearchSpace::unpack`.
    pub point: Vec<u8>,
    /// Nothing else may run on its device meanwhile: memory ran out when other trials did.
    pub alone: bool,
    /// The hash of the dataset that the study was accepted with.
    pub dataset_hash: String,
    /// Identifies the dataset by what the study says about it and by the hash. Another file with
    /// the same content is another dataset.
    pub dataset_id: String,
}

/// The logged metrics of one epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochMetrics {
    /// The epoch, from 1.
    pub epoch: u32,
    /// A value for each of the study's metrics, in `Study::logged`'s order.
    pub values: Vec<f32>,
}

/// What a trainer is told about a trial that it reported on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directive {
    /// Train on.
    GoOn,
    /// Stop, and finish it as cancelled.
    Cancel,
    /// Stop, and finish nothing: another trainer has the lease, or the study was deleted.
    Lost,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// Trained to its end.
    Completed {
        /// The best of the objective over the epochs. If it is not finite, the trial has failed:
        /// diverged.
        value: f64,
        /// The epoch of the best.
        best_epoch: u32,
    },
    /// Failed.
    Failed {
        /// Why; decides whether it is tried again.
        kind: ErrorKind,
        /// What to tell the user; cut at [`limits::ERROR_BYTES_MAX`].
        message: String,
        /// Whether other trials ran on the device: a first `out_of_memory` is then not held against
        /// this one.
        beside_others: bool,
    },
    /// Stopped, as [`Directive::Cancel`] says.
    Cancelled,
    /// Handed back because the trainer shuts down. No budget is charged.
    Released,
    /// Handed back because this trainer lacks its dataset, which another may have. No budget is
    /// charged; the reason is shown, as `refused`, until the trial runs elsewhere.
    Refused {
        /// What it lacks, for the user; cut at [`limits::ERROR_BYTES_MAX`].
        why: String,
    },
}

impl End {
    /// The end that a trial's record has for the attempt.
    pub fn kind(&self) -> AttemptEnd {
        match self {
            End::Completed { value, .. } if !value.is_finite() => AttemptEnd::Failed,
            End::Completed { .. } => AttemptEnd::Completed,
            End::Failed { .. } => AttemptEnd::Failed,
            End::Cancelled => AttemptEnd::Cancelled,
            End::Released | End::Refused { .. } => AttemptEnd::Released,
        }
    }
}

/// The answer to [`Store::finish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// It counts; once, however often it is sent.
    Accepted {
        /// How many trials the study wants: if any, top it up.
        wants: u64,
        /// Whether the trial has ended; otherwise it waits for another attempt.
        has_ended: bool,
    },
    /// Another attempt has the trial, or it was cancelled, or the study was deleted. Nothing was
    /// changed.
    Stale,
}

impl Store {
    /// Up to as many leases as `claim` has nonces, from the studies that were served least for
    /// their weight; none if there is nothing to do.
    pub async fn claim(&self, claim: &Claim) -> Result<Vec<Lease>> {
        leases(Reply::of(self.call(Name::Claim, self.claim_args(claim)).await?)?)
    }

    /// Waits until there may be work for a trainer of these classes, for at most `timeout` and
    /// [`limits::WAKE_WAIT_MS_MAX`]. False means that time is up, true is only a hint: a claim may
    /// get nothing.
    pub async fn wait_for_work(&self, classes: &[DeviceClass], timeout: Duration) -> Result<bool> {
        let timeout =
            timeout.min(Duration::from_millis(limits::WAKE_WAIT_MS_MAX)).max(Duration::from_millis(1));
        let mut pop = redis::cmd("BLPOP");
        for class in classes {
            pop.arg(keys::wake(&self.inner.queue, *class));
        }
        pop.arg(timeout.as_secs_f64());
        Ok(self.inner.link.block(&pop, timeout).await? != Value::Nil)
    }

    /// Heartbeat, curve and directive in one call; without epochs a mere heartbeat. Epochs up to
    /// the last one reported are ignored.
    pub async fn report(&self, lease: &Lease, epochs: &[EpochMetrics]) -> Result<Directive> {
        let mut directive =
            self.report_some(lease, &epochs[..epochs.len().min(limits::REPORT_EPOCHS_MAX)]).await?;
        for epochs in epochs.chunks(limits::REPORT_EPOCHS_MAX).skip(1) {
            directive = self.report_some(lease, epochs).await?;
        }
        Ok(directive)
    }

    /// Ends an attempt that left no checkpoints. Repeat the call until it is answered: it counts
    /// once.
    pub async fn finish(&self, lease: &Lease, end: &End) -> Result<Ack> {
        self.finish_attempt(lease, end, false).await
    }

    /// [`Store::finish`] of a trial that may have checkpoints. Once the trial has ended,
    /// [clear](Store::clear) them; [`reap`](Store::reap) asks for it until that is done, also if
    /// this attempt is stale.
    pub async fn finish_with_checkpoints(&self, lease: &Lease, end: &End) -> Result<Ack> {
        self.finish_attempt(lease, end, true).await
    }

    async fn finish_attempt(&self, lease: &Lease, end: &End, has_checkpoints: bool) -> Result<Ack> {
        ack(Reply::of(self.call(Name::Finish, finish_args(lease, end, has_checkpoints)).await?)?)
    }

    /// Cancels one trial, and returns it as it is right after: still running if its trainer must be
    /// told first. A terminal state stays. Errors: [`Error::NoSuchStudy`], [`Error::NoSuchTrial`].
    pub async fn cancel_trial(&self, id: StudyId, number: u64) -> Result<TrialRecord> {
        match self.call(Name::Cancel, Args::new().arg(id).arg(number)).await? {
            row @ Value::Array(_) => trial_record(Reply::of(row)?),
            none if text(none.clone())? == "no_study" => Err(Error::NoSuchStudy(id)),
            _ => Err(Error::NoSuchTrial { study: id, number }),
        }
    }

    async fn report_some(&self, lease: &Lease, epochs: &[EpochMetrics]) -> Result<Directive> {
        let packed = epochs.iter().map(|metrics| {
            let values = metrics.values.iter().flat_map(|value| value.to_le_bytes());
            metrics.epoch.to_le_bytes().into_iter().chain(values).collect::<Vec<u8>>()
        });
        let args = lease_args(lease).arg(self.inner.lease_ms).list(packed.collect::<Vec<_>>());
        match text(self.call(Name::Report, args).await?)?.as_str() {
            "go_on" => Ok(Directive::GoOn),
            "cancel" => Ok(Directive::Cancel),
            "lost" => Ok(Directive::Lost),
            other => Err(Error::Corrupt(format!("directive {other:?}"))),
        }
    }

    fn claim_args(&self, claim: &Claim) -> Args {
        let classes: Vec<_> = claim.classes.iter().map(|class| class.as_str()).collect();
        let refused: Vec<_> = claim.refused.iter().take(limits::REFUSED_MAX).map(String::as_str).collect();
        let nonces: Vec<_> =
            claim.nonces.iter().take(limits::CLAIMS_MAX).map(|nonce| nonce.0.to_be_bytes()).collect();
        let args = Args::new()
            .arg(&claim.trainer)
            .arg(&claim.numerics)
            .arg(self.inner.lease_ms)
            .arg(claim.memory_bytes);
        args.list(classes).list(refused).list(nonces)
    }
}

fn lease_args(lease: &Lease) -> Args {
    Args::new().arg(lease.study).arg(lease.number).bytes(lease.nonce.0.to_be_bytes())
}

fn finish_args(lease: &Lease, end: &End, has_checkpoints: bool) -> Args {
    let without_value = |kind, message, beside_others| (Vec::new(), 0, kind, message, beside_others);
    let (value, best_epoch, kind, message, beside_others) = match end {
        End::Completed { value, .. } if !value.is_finite() => {
            without_value(ErrorKind::Diverged.as_str(), "the objective is not a finite number", false)
        }
        End::Completed { value, best_epoch } => (value.to_be_bytes().to_vec(), *best_epoch, "", "", false),
        End::Failed { kind, message, beside_others } => {
            without_value(kind.as_str(), cut(message), *beside_others)
        }
        End::Refused { why } => without_value(ErrorKind::Refused.as_str(), cut(why), false),
        End::Cancelled | End::Released => without_value("", "", false),
    };
    lease_args(lease)
        .arg(end.kind())
        .bytes(value)
        .arg(best_epoch)
        .arg(kind)
        .arg(message)
        .arg(u8::from(beside_others))
        .arg(u8::from(has_checkpoints))
}

/// The start of `message` that is kept.
fn cut(message: &str) -> &str {
    let end =
        (0..=message.len().min(limits::ERROR_BYTES_MAX)).rev().find(|end| message.is_char_boundary(*end));
    &message[..end.unwrap_or(0)]
}

fn ack(mut answer: Reply) -> Result<Ack> {
    let accepted = answer.text()? == "1";
    let wants = answer.parse()?;
    let has_ended = answer.text()? == "1";
    Ok(if accepted { Ack::Accepted { wants, has_ended } } else { Ack::Stale })
}

fn leases(mut rows: Reply) -> Result<Vec<Lease>> {
    let mut leases = Vec::new();
    while let Some(row) = rows.next() {
        let mut row = Reply::of(row)?;
        leases.push(Lease {
            study: row.name(StudyId::parse)?,
            number: row.parse()?,
            attempt: row.parse()?,
            nonce: nonce(row.bytes()?)?,
            point: row.bytes()?,
            alone: row.text()? == "1",
            dataset_hash: row.text()?,
            dataset_id: row.text()?,
        });
    }
    Ok(leases)
}

/// The nonce of those eight bytes.
pub(crate) fn nonce(stored: Vec<u8>) -> Result<Nonce> {
    let stored: [u8; 8] = stored.try_into().map_err(|_| Error::Corrupt("a nonce has eight bytes".into()))?;
    Ok(Nonce(u64::from_be_bytes(stored)))
}

//! One trial: its preparation (dataset, plan, the memory that it needs), its training on a thread of
//! its own, and whatever goes wrong in either.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use candle_core::Device;
use data::{Caller, Dataset, Scaled};
use hpo::network::Layer;
use hpo::trial::ErrorKind;
use hpo::{Plan, Point, Study};
use serde_json::{Value as Json, json};
use store::Lease;

use crate::checkpoint::{Checkpoint, CheckpointKey};
use crate::engine::Error;
use crate::limits;
use crate::memory::{HeldDataset, Share, TooLarge};
use crate::process::message;
use crate::refused::Lacking;
use crate::run::{self, Event, Fold, Job, Unfinished};
use crate::stop::{Reason, Stop};
use crate::weights::Best;
use crate::worker::Worker;

/// A trial that is ready to be trained, once there is memory for it.
pub(crate) struct Trial {
    worker: Arc<Worker>,
    lease: Lease,
    study: Arc<Study>,
    stop: Arc<Stop>,
    point: Point,
    plan: Plan,
    dataset: HeldDataset,
    /// The memory that it has to ask for.
    pub(crate) bytes: u64,
}

/// How an attempt at a trial ends.
pub(crate) type Outcome = Result<Box<Completed>, Incomplete>;

/// What is left of a trial that was trained.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) best: Best,
    /// Goes with the weights.
    pub(crate) document: Json,
    /// The weights take memory until they are written.
    #[allow(dead_code, reason = "held")]
    pub(crate) share: Share,
}

/// Why a trial has no result.
#[derive(Debug)]
pub(crate) enum Incomplete {
    /// It was told to stop.
    Stopped(Reason),
    /// This machine does not have the dataset that the study was accepted with; another may.
    Refused(Box<Lacking>),
    /// This device is too small for it, even with nothing else on it.
    TooLarge(String),
    /// It failed.
    Failed(ErrorKind, String),
}

impl Trial {
    /// Reads the dataset, builds the plan, and works out the memory that the trial needs. Blocks
    /// while the dataset is read. A panic is a failed trial with its message.
    pub(crate) fn prepare(
        worker: Arc<Worker>,
        lease: Lease,
        study: Arc<Study>,
        stop: Arc<Stop>,
    ) -> Result<Trial, Incomplete> {
        caught(|| {
            let dataset = worker.memory.hold(dataset(&worker, &lease, &study, &stop)?);
            let point = study.space.unpack(&lease.point).map_err(|misfit| invalid(misfit.to_string()))?;
            let mut plan = study.plan(&point).map_err(|problems| {
                let problems: Vec<String> = problems
                    .iter()
                    .map(|problem| format!("{}: {}", problem.pointer, problem.detail))
                    .collect();
                invalid(problems.join("; "))
            })?;
            plan.training.class_weight = plan.training.class_weight.numbered(&dataset.class_names);
            let needed = worker.memory.needed(&study, &plan, &dataset.schema, dataset.bytes());
            let bytes = needed.map_err(|error| match error {
                TooLarge::Anywhere(why) => invalid(why),
                TooLarge::Here(why) => Incomplete::TooLarge(why),
            })?;
            Ok(Trial { worker, lease, study, stop, point, plan, dataset, bytes })
        })
    }

    /// Trains the trial on a handle of its own and tells what happens. A panic is a failed trial
    /// with its message.
    pub(crate) fn train(
        self,
        device: &Device,
        share: Share,
        checkpoints: impl Iterator<Item = File>,
        tell: impl FnMut(Event),
    ) -> Outcome {
        caught(|| {
            let best = self.best(device, checkpoints, tell)?;
            Ok(Box::new(Completed { best, document: self.document(), share }))
        })
    }

    fn best(
        &self,
        device: &Device,
        checkpoints: impl Iterator<Item = File>,
        tell: impl FnMut(Event),
    ) -> Result<Best, Incomplete> {
        let Trial { worker, lease, study, stop, plan, .. } = self;
        let folds = self.folds().map_err(|error| invalid(error.to_string()))?;
        let key = CheckpointKey {
            study: lease.study.to_string(),
            number: lease.number,
            numerics: worker.device.numerics.clone(),
            dataset: self.dataset.schema.hash.clone(),
            runs: study.runs() as usize,
        };
        let job = Job {
            study,
            number: lease.number,
            plan,
            folds: &folds,
            device,
            key: &key,
            spool: &|| worker.artifacts.spool(lease.study, lease.number),
            checkpoint_seconds: worker.checkpoint_seconds,
            stop,
        };
        let opened = |file| {
            let checkpoint = Checkpoint::open(file, &key);
            if checkpoint.is_none() {
                tracing::warn!(
                    trial.number = lease.number,
                    "A checkpoint of trial {} of study {} is damaged or from another kind of device; it is not used",
                    lease.number,
                    study.name
                );
            }
            checkpoint
        };
        run::train(&job, checkpoints.filter_map(opened), tell)
            .map_err(|unfinished| self.incomplete(unfinished))
    }

    /// The rows of each fold, scaled.
    fn folds(&self) -> Result<Vec<Fold>, data::Error> {
        let Trial { study, plan, dataset, .. } = self;
        let splits = data::splits(dataset, &study.dataset, study.seed)?.into_iter();
        splits
            .map(|split| {
                Ok(Fold { data: Scaled::new(Arc::clone(dataset), &split.train, plan.scale)?, split })
            })
            .collect()
    }

    fn incomplete(&self, unfinished: Unfinished) -> Incomplete {
        let (kind, message) = match unfinished {
            Unfinished::Stopped(reason) => return Incomplete::Stopped(reason),
            Unfinished::Diverged(epoch) => {
                (ErrorKind::Diverged, format!("the loss or a metric was not finite in epoch {epoch}"))
            }
            Unfinished::OutOfTime => {
                let seconds = self.study.max_trial_seconds.unwrap_or_default();
                let message = format!(
                    "max_trial_seconds ({seconds}) ran out before an epoch ended; raise max_trial_seconds"
                );
                (ErrorKind::OutOfTime, message)
            }
            Unfinished::Failed(Error::Invalid(error)) => (ErrorKind::Invalid, error),
            Unfinished::Failed(Error::OutOfMemory(error)) => (ErrorKind::OutOfMemory, error),
            // Candle refuses what we ask of it: a mistake of ours, the same at every try.
            Unfinished::Failed(error @ Error::Candle(_)) => (ErrorKind::Panic, error.to_string()),
        };
        Incomplete::Failed(kind, message)
    }

    /// What is written with the weights: the concrete network and the format of its input.
    fn document(&self) -> Json {
        let Trial { lease, study, point, plan, dataset, .. } = self;
        let network: Vec<Json> = plan.layers.iter().map(Layer::to_document).collect();
        json!({
            "study": lease.study.to_string(), "trial": lease.number, "hyperparameters": study.space.to_json(point),
            "input_shape": dataset.schema.shape, "network": network, "scale": plan.scale.as_str(), "class_names": &*dataset.class_names, "columns": dataset.columns,
        })
    }
}

/// The study's dataset. The API has read it, so what is wrong is this machine's copy.
fn dataset(worker: &Worker, lease: &Lease, study: &Study, stop: &Stop) -> Result<Arc<Dataset>, Incomplete> {
    // Before they are read: a change while they are read must be seen.
    let files = worker.catalog.state(&study.dataset);
    let refused = |why| {
        Incomplete::Refused(Box::new(Lacking {
            spec: study.dataset.clone(),
            files,
            why,
            since: Instant::now(),
        }))
    };
    let caller =
        Caller { seconds_max: limits::DATASET_TRAINER_SECONDS_MAX, has_left: &|| stop.reason().is_some() };
    let dataset = worker.catalog.load(&study.dataset, caller).map_err(|error| match stop.reason() {
        Some(reason) => Incomplete::Stopped(reason),
        None => refused(error.to_string()),
    })?;
    if dataset.schema.hash == lease.dataset_hash {
        return Ok(dataset);
    }
    let described = &study.document()["dataset"];
    let source = described["source"].as_str().or(described["features"].as_str()).unwrap_or("the dataset");
    let (here, there) = (&dataset.schema.hash, &lease.dataset_hash);
    Err(refused(format!(
        "{source} on this machine differs from the one that the study was created with (hash {here}, not {there}); copy the same file there, or create the study again"
    )))
}

fn invalid(error: String) -> Incomplete {
    Incomplete::Failed(ErrorKind::Invalid, error)
}

/// What comes of the work; a panic is a failure.
fn caught<T>(work: impl FnOnce() -> Result<T, Incomplete>) -> Result<T, Incomplete> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Incomplete::Failed(ErrorKind::Panic, message(&*panic))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failed_trial_with_its_message() {
        let panics: [fn(); 2] = [|| panic!("planned {}", "failure"), || panic!("planned failure")];
        for panic in panics {
            let outcome = caught(|| {
                panic();
                Ok(())
            });
            assert!(
                matches!(outcome, Err(Incomplete::Failed(ErrorKind::Panic, message)) if message == "planned failure")
            );
        }
    }
}

//! One trial on its own thread: its dataset, its plan, its training, and whatever goes wrong there.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::limits;
use candle_core::Device;
use data::{Caller, Catalog, Dataset, Scaled};
use hpo::network::Layer;
use hpo::trial::ErrorKind;
use hpo::{Plan, Study};
use serde_json::{Value as Json, json};
use store::Lease;
use store::artifact::Artifacts;

use crate::checkpoint::{Audience, Checkpoint};
use crate::engine::Error;
use crate::memory::{Memory, Share, TooLarge};
use crate::process::message;
use crate::refused::Lacking;
use crate::run::{self, Best, Event, Fold, Job, Reason, Stop, Trained};

/// A trial that is ready for its thread.
pub(crate) struct Trial {
    pub(crate) lease: Lease,
    pub(crate) study: Arc<Study>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) device: Device,
    pub(crate) numerics: String,
    pub(crate) memory: Arc<Memory>,
    pub(crate) stop: Arc<Stop>,
    /// Whether another trainer could have it at once; takes a moment.
    pub(crate) has_idle_peer: Box<dyn Fn() -> bool + Send>,
    pub(crate) checkpoint_seconds: u64,
    /// Where its checkpoints go.
    pub(crate) artifacts: Artifacts,
    /// Checkpoints of earlier attempts, the furthest first, each opened when it is asked for.
    pub(crate) checkpoints: Box<dyn Iterator<Item = File> + Send>,
}

/// How a trial ended on its thread.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It has a value.
    Completed(Box<Completed>),
    /// It was told to stop.
    Stopped(Reason, Option<Best>),
    /// This machine lacks the dataset that the study was accepted with: another may have it.
    Refused(Box<Lacking>),
    /// This device is too small for it, were it alone there.
    TooLarge(String),
    /// It failed.
    Failed(ErrorKind, String),
}

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

impl Trial {
    /// Trains the trial and tells what happens. A panic is a failed trial with its message.
    pub(crate) fn run(mut self, tell: impl FnMut(Event)) -> Outcome {
        let checkpoints = std::mem::replace(&mut self.checkpoints, Box::new(std::iter::empty()));
        caught(|| self.prepare_and_train(checkpoints, tell))
    }

    fn prepare_and_train(
        &self,
        checkpoints: impl Iterator<Item = File>,
        tell: impl FnMut(Event),
    ) -> Result<Outcome, Outcome> {
        let Trial { lease, study, .. } = self;
        let invalid = |error: String| Outcome::Failed(ErrorKind::Invalid, error);
        let dataset = self.dataset()?;
        let Some(point) = study.space.unpack(&lease.point) else {
            return Err(invalid(format!("the hyperparameters {} do not fit the search space", lease.point)));
        };
        let mut plan = study.plan(&point).map_err(|problems| {
            let problems: Vec<String> =
                problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.detail)).collect();
            invalid(problems.join("; "))
        })?;
        plan.training.class_weight = plan.training.class_weight.numbered(&dataset.class_names);
        let of_data = (&dataset.schema, dataset.bytes());
        let share =
            self.memory.share(study, &plan, of_data, || self.stop.reason().is_some(), &self.has_idle_peer);
        let share = share.map_err(|error| match error {
            TooLarge::Anywhere(why) => invalid(why),
            TooLarge::Here(why) => Outcome::TooLarge(why),
        })?;
        let Some(share) = share else {
            return Ok(Outcome::Stopped(self.stop.reason().unwrap_or(Reason::Release), None));
        };
        let splits =
            data::splits(&dataset, &study.dataset, study.seed).map_err(|error| invalid(error.to_string()))?;
        let scaled = splits
            .into_iter()
            .map(|split| Ok(Fold { data: Scaled::new(dataset.clone(), &split.train, plan.scale)?, split }));
        let folds =
            scaled.collect::<Result<Vec<Fold>, data::Error>>().map_err(|error| invalid(error.to_string()))?;
        let (number, stop, checkpoint_seconds) = (lease.number, &*self.stop, self.checkpoint_seconds);
        let (numerics, dataset_hash, runs) =
            (self.numerics.clone(), dataset.schema.hash.clone(), study.runs() as usize);
        let audience =
            Audience { study: lease.study.to_string(), number, numerics, dataset: dataset_hash, runs };
        let spool = || self.artifacts.spool(lease.study.as_str(), number);
        let (plan, device) = (&plan, &self.device);
        let job = Job {
            study,
            number,
            plan,
            folds: &folds,
            device,
            audience: &audience,
            spool: &spool,
            checkpoint_seconds,
            stop,
        };
        let opened = |file| {
            let checkpoint = Checkpoint::open(file, &audience);
            if checkpoint.is_none() {
                tracing::warn!(
                    trial.number = number,
                    "A checkpoint of trial {number} of study {} is damaged, or of another device, and is left",
                    study.name
                );
            }
            checkpoint
        };
        match run::train(&job, checkpoints.filter_map(opened), tell) {
            Ok(Trained::Completed(best)) => {
                let document = self.document(plan, &dataset, study.space.to_json(&point));
                Ok(Outcome::Completed(Box::new(Completed { best, document, share })))
            }
            Ok(Trained::Stopped(reason, best)) => Ok(Outcome::Stopped(reason, best)),
            Ok(Trained::Diverged(step)) => Err(Outcome::Failed(
                ErrorKind::Diverged,
                format!("the loss or a metric was not a finite number in epoch {step}"),
            )),
            Ok(Trained::OutOfTime) => {
                let seconds = study.max_trial_seconds.unwrap_or_default();
                let message = format!(
                    "max_trial_seconds ({seconds}) were over before an epoch ended; raise max_trial_seconds"
                );
                Err(Outcome::Failed(ErrorKind::OutOfTime, message))
            }
            Err(Error::Invalid(error)) => Err(invalid(error)),
            Err(Error::OutOfMemory(error)) => Err(Outcome::Failed(ErrorKind::OutOfMemory, error)),
            // Candle refuses what we ask of it: a mistake of ours, the same at every try.
            Err(error) => Err(Outcome::Failed(ErrorKind::Panic, error.to_string())),
        }
    }

    /// The study's dataset. The API has read it, so what is wrong is this machine's copy.
    fn dataset(&self) -> Result<Arc<Dataset>, Outcome> {
        let Trial { lease, study, catalog, .. } = self;
        // Before they are read: a change while they are read must be seen.
        let files = catalog.state(&study.dataset);
        let refused = |why| {
            Outcome::Refused(Box::new(Lacking {
                spec: study.dataset.clone(),
                files,
                why,
                since: Instant::now(),
            }))
        };
        let caller = Caller {
            seconds_max: limits::DATASET_TRAINER_SECONDS_MAX,
            has_left: &|| self.stop.reason().is_some(),
        };
        let dataset = catalog.load(&study.dataset, caller).map_err(|error| match self.stop.reason() {
            Some(reason) => Outcome::Stopped(reason, None),
            None => refused(error.to_string()),
        })?;
        if dataset.schema.hash == lease.dataset_hash {
            return Ok(dataset);
        }
        let described = &study.document()["dataset"];
        let source = described["source"].as_str().or(described["features"].as_str()).unwrap_or("the dataset");
        let (here, there) = (&dataset.schema.hash, &lease.dataset_hash);
        Err(refused(format!(
            "{source} has the hash {here} here, the study was accepted with {there}; put the same file there, or POST the study anew"
        )))
    }

    fn document(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        hyperparameters: serde_json::Map<String, Json>,
    ) -> Json {
        let network: Vec<Json> = plan.layers.iter().map(Layer::to_document).collect();
        json!({
            "study": self.lease.study.to_string(), "trial": self.lease.number, "hyperparameters": hyperparameters,
            "input_shape": dataset.schema.shape, "network": network, "scale": plan.scale.as_str(), "class_names": &*dataset.class_names, "columns": dataset.columns,
        })
    }
}

/// The outcome either way; a panic is one too.
fn caught(work: impl FnOnce() -> Result<Outcome, Outcome>) -> Outcome {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(outcome) | Err(outcome)) => outcome,
        Err(panic) => Outcome::Failed(ErrorKind::Panic, message(&*panic)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failed_trial_with_its_message() {
        for outcome in [caught(|| panic!("planned {}", "failure")), caught(|| panic!("planned failure"))] {
            assert!(
                matches!(outcome, Outcome::Failed(ErrorKind::Panic, message) if message == "planned failure")
            );
        }
    }
}

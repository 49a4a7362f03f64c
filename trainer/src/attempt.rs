//! One attempt at a trial from the async side: heartbeats, checkpoints, and its end.
//!
//! Artifacts that cannot be used stop no trial: see [`crate::health`].

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hpo::trial::ErrorKind;
use store::artifact::{self, Artifacts};
use store::{Ack, End, EpochMetrics, Lease};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::ending;
use crate::heartbeat::Heartbeat;
use crate::launch::train;
use crate::limits;
use crate::metrics;
use crate::refused::Lacking;
use crate::run::{Event, Saved};
use crate::stop::{Reason, Stop};
use crate::trial::{Completed, Incomplete, Outcome};
use crate::worker::Worker;

/// Sees a leased trial through: trains it, reports it, ends it, and counts how. Returns whether its
/// study wants more trials.
pub(crate) async fn attempt(worker: &Arc<Worker>, lease: &Lease) -> bool {
    let claimed = Instant::now();
    tracing::info!(trial.number = lease.number, study.id = %lease.study, attempt = lease.attempt, "Trial {} of study {} starts", lease.number, lease.study);
    // As long as a curve at most: `EPOCHS_MAX` epochs, and one checkpoint.
    let (send, events) = mpsc::unbounded_channel();
    let stop = Arc::new(Stop::default());
    let trained = train(worker, lease, &stop, send);
    let mut attempt = Attempt {
        worker,
        lease,
        stop: &stop,
        heartbeat: Heartbeat::new(worker, lease, &stop),
        checkpoint: None,
        has_checkpoints: lease.attempt > 1,
        beside_others: false,
    };
    let outcome = attempt.attend(trained, events).await;
    let Ended { end, wants_trials } = attempt.end(outcome).await;
    worker.metrics.trials.with_label_values(&[end]).inc();
    worker.metrics.trial_duration.observe(claimed.elapsed().as_secs_f64());
    wants_trials
}

/// One attempt, from its start to its end.
struct Attempt<'a> {
    worker: &'a Worker,
    lease: &'a Lease,
    stop: &'a Stop,
    heartbeat: Heartbeat<'a>,
    /// The path of this attempt's last checkpoint.
    checkpoint: Option<String>,
    /// Whether any attempt may have left one.
    has_checkpoints: bool,
    /// Whether others were training on the device when its own training ended.
    beside_others: bool,
}

/// The path of a checkpoint that was written.
type Written = Result<String, artifact::Error>;

/// What came of an end.
struct Ended {
    /// Its name among the metrics.
    end: &'static str,
    wants_trials: bool,
}

impl Attempt<'_> {
    /// Sends heartbeats while the trial is trained, and stores its checkpoints.
    async fn attend(
        &mut self,
        trained: impl Future<Output = Outcome>,
        mut events: UnboundedReceiver<Event>,
    ) -> Outcome {
        let mut trained = std::pin::pin!(trained);
        let mut writing: Option<Pin<Box<dyn Future<Output = Written> + Send>>> = None;
        loop {
            tokio::select! {
                outcome = &mut trained => {
                    self.beside_others = self.worker.trains_others();
                    self.take(&mut events); // a checkpoint is of no use any more
                    if let Some(writing) = writing.filter(|_| !self.stop.is_lost()) {
                        self.await_last(writing).await;
                    }
                    return outcome;
                }
                written = async { match writing.as_mut() { Some(writing) => writing.await, None => pending().await } } => {
                    writing = None;
                    self.written(written).await;
                    continue;
                }
                Some(event) = events.recv() => {
                    let last = self.note(event);
                    if let Some(saved) = self.take(&mut events).or(last).filter(|_| !self.stop.is_lost()) {
                        writing = Some(Box::pin(write_checkpoint(self.worker.artifacts.clone(), self.lease.clone(), saved)));
                    }
                    // The next try is soon enough.
                    if self.heartbeat.is_away() {
                        continue;
                    }
                }
                () = self.heartbeat.due() => {}
                () = self.worker.stopped(), if self.stop.reason().is_none() => {
                    self.stop.set(Reason::Release);
                    continue;
                }
            }
            self.heartbeat.send().await;
            // Nobody waits for it any more.
            if self.stop.is_lost() {
                writing = None;
            }
        }
    }

    /// Notes an epoch to report, or returns the checkpoint.
    fn note(&mut self, event: Event) -> Option<Saved> {
        match event {
            Event::Epoch { epoch, values, .. } => {
                self.heartbeat.add(EpochMetrics { epoch, values });
                None
            }
            Event::Checkpoint(saved) => {
                self.has_checkpoints = true;
                Some(saved)
            }
            Event::NoCheckpoint(error) => {
                self.no_checkpoint(&error);
                None
            }
        }
    }

    /// Notes all that has happened, and returns the last checkpoint of it.
    fn take(&mut self, events: &mut UnboundedReceiver<Event>) -> Option<Saved> {
        let mut last = None;
        while let Ok(event) = events.try_recv() {
            last = self.note(event).or(last);
        }
        last
    }

    /// Waits for a checkpoint that is half written: it would be whole after those of the trial have
    /// been removed. If the lease is lost, it is dropped.
    async fn await_last(&mut self, writing: impl Future<Output = Written>) {
        let most = if self.worker.is_stopping() {
            limits::HAND_BACK_SECONDS_MAX
        } else {
            limits::ORPHAN_SECONDS_MAX
        };
        let stop = self.stop;
        let written = async {
            tokio::select! { written = writing => Some(written), () = stop.lost() => None }
        };
        let written = tokio::time::timeout(Duration::from_secs(most), written);
        if let Ok(Some(written)) = self.heartbeat.during(written).await {
            self.written(written).await;
        }
    }

    /// Takes a checkpoint that was written for this attempt's last. If it was not, the last one
    /// stays.
    async fn written(&mut self, written: Written) {
        match written {
            Ok(path) => {
                if let Some(last) = self.checkpoint.replace(path) {
                    // What is left of it goes with the trial's end.
                    let removal = remove(&self.worker.artifacts, &last);
                    self.heartbeat.during(removal).await;
                }
            }
            Err(error) => self.no_checkpoint(&error),
        }
    }

    /// Training goes on without a checkpoint. A fault of the artifacts is told once, not with each.
    fn no_checkpoint(&self, error: &artifact::Error) {
        let Lease { study, number, .. } = self.lease;
        if self.worker.health.fault().is_none() {
            tracing::warn!(trial.number = number, study.id = %study, "A checkpoint of trial {number} of study {study} cannot be written: {error}");
            self.worker.health.suspect();
        }
    }

    /// Ends the attempt with what came of it.
    async fn end(&mut self, outcome: Outcome) -> Ended {
        self.heartbeat.send_rest().await;
        if self.stop.is_lost() {
            return self.abandon().await;
        }
        if let Err(Incomplete::Refused(lacking)) = &outcome {
            let (study, why) = (self.lease.study, &lacking.why);
            tracing::warn!(study.id = %study, "This trainer cannot train trials of study {study}: {why}");
            self.worker.refused.add(&self.lease.dataset_id, Lacking::clone(lacking));
        }
        let mut model = None;
        let end = match outcome {
            Ok(completed) => {
                let (value, best_epoch) = (completed.best.value, completed.best.epoch);
                match self.write(*completed).await {
                    Ok(path) => {
                        model = Some(path);
                        Some(End::Completed { value, best_epoch })
                    }
                    Err(incomplete) => self.end_of(incomplete),
                }
            }
            Err(incomplete) => self.end_of(incomplete),
        };
        let Some(end) = end else { return self.abandon().await };
        match self.heartbeat.finish(&end, self.has_checkpoints).await {
            Some(Ack::Accepted { wants, has_ended }) => {
                self.log(&end);
                if self.has_checkpoints && has_ended {
                    self.clear_checkpoints().await;
                }
                Ended { end: end.kind().as_str(), wants_trials: wants > 0 }
            }
            Some(Ack::Stale) => {
                if let Some(path) = model {
                    remove(&self.worker.artifacts, &path).await;
                }
                self.lost()
            }
            // Redis may have taken the end although it did not answer: the weights stay, since they
            // may be what counts.
            None => self.lost(),
        }
    }

    /// Writes the best weights, once the artifacts can be used, and returns their path. The lease is
    /// kept meanwhile, and the weights stay in memory: nothing more is claimed that could want it.
    async fn write(&mut self, completed: Completed) -> Result<String, Incomplete> {
        let Completed { best, document, share: _share } = completed;
        let Attempt { worker, lease, stop, .. } = *self;
        let Lease { study, number, attempt, nonce, .. } = lease;
        let write = async {
            let serialized = tokio::task::spawn_blocking(move || best.weights.serialize(&document)).await;
            let bytes = serialized
                .map_err(|error| error.to_string())
                .flatten()
                .map_err(|error| Incomplete::Failed(ErrorKind::Panic, error))?;
            let put = || worker.artifacts.put_model(*study, *number, *attempt, *nonce, bytes.clone());
            tokio::select! {
                written = worker.health.written(put) => written.map_err(|error| {
                    Incomplete::Failed(ErrorKind::Invalid, format!("its weights cannot be written: {error}"))
                }),
                reason = given_up(worker, stop) => Err(Incomplete::Stopped(reason)),
            }
        };
        self.heartbeat.during(write).await
    }

    fn end_of(&self, incomplete: Incomplete) -> Option<End> {
        ending::of(incomplete, self.beside_others, self.worker.name())
    }

    /// Removes the checkpoints of a trial that has ended. The trainer of an earlier attempt may
    /// still write: after more than one, the reaper looks again.
    async fn clear_checkpoints(&self) {
        let (Worker { store, artifacts, .. }, Lease { study, number, attempt, .. }) =
            (self.worker, self.lease);
        let clear = async {
            match attempt {
                1 => store.clear(*study, *number, artifacts).await,
                _ => Ok(artifacts.delete_checkpoints(*study, *number).await?),
            }
        };
        match tokio::time::timeout(Duration::from_secs(limits::CLEAR_SECONDS_MAX), clear).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!("The reaper will remove its checkpoints: {error}"),
            Err(_) => tracing::debug!("The reaper will remove its checkpoints, the artifacts take too long"),
        }
    }

    /// Leaves a lost trial to others, and tells them that there may be checkpoints of it, if Redis
    /// answers.
    async fn abandon(&self) -> Ended {
        let Lease { study, number, .. } = self.lease;
        if self.has_checkpoints
            && !self.heartbeat.is_away()
            && let Err(error) = self.worker.store.abandon(*study, *number).await
        {
            tracing::debug!(
                "Redis was not told that trial {number} of study {study} may have checkpoints: {error}"
            );
        }
        self.lost()
    }

    fn lost(&self) -> Ended {
        let Lease { study, number, .. } = self.lease;
        tracing::info!(trial.number = number, study.id = %study, "Trial {number} of study {study} is no longer this trainer's");
        Ended { end: metrics::LOST, wants_trials: false }
    }

    fn log(&self, end: &End) {
        let Lease { study, number, .. } = self.lease;
        match end {
            End::Completed { value, .. } => {
                tracing::info!(trial.number = number, study.id = %study, value, "Trial {number} of study {study} completed: {value:.4}")
            }
            End::Failed { kind, message, .. } => {
                tracing::warn!(trial.number = number, study.id = %study, error.kind = %kind, "Trial {number} of study {study} failed ({kind}): {message}");
            }
            End::Cancelled | End::Released | End::Refused { .. } => {
                tracing::info!(trial.number = number, study.id = %study, "Trial {number} of study {study} {}", end.kind())
            }
        }
    }
}

/// Writes a checkpoint to the artifacts.
async fn write_checkpoint(
    artifacts: Artifacts,
    lease: Lease,
    Saved { epoch, spool, in_flight: _in_flight }: Saved,
) -> Written {
    let Lease { study, number, attempt, nonce, .. } = lease;
    artifacts.put_checkpoint(study, number, epoch, &format!("{attempt}-{nonce}"), spool).await
}

/// Removes an artifact that is of no use, if it takes no longer than a moment.
async fn remove(artifacts: &Artifacts, path: &str) {
    let most = Duration::from_secs(limits::CLEAR_SECONDS_MAX);
    let _ = tokio::time::timeout(most, artifacts.delete(path)).await;
}

/// Why weights that are not written yet never will be. If no fault is known, they get a moment
/// more.
async fn given_up(worker: &Worker, stop: &Stop) -> Reason {
    let reason = tokio::select! {
        reason = stop.stopped() => reason,
        () = worker.stopped() => Reason::Release,
    };
    if worker.health.fault().is_none() {
        tokio::time::sleep(Duration::from_secs(limits::CLEAR_SECONDS_MAX)).await;
    }
    reason
}

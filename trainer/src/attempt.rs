//! One attempt at a trial from the async side: heartbeats and curve out, directives in, the end
//! until it is acknowledged.
//!
//! Past its deadline a trainer keeps training and keeps trying: only the answer that the lease is
//! lost stops it, or `ORPHAN_SECONDS_MAX` without any. Artifacts that cannot be used stop nothing
//! either: see [`crate::health`].

use std::fs::File;
use std::future::{Future, pending};
use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{limits, metrics};
use hpo::trial::ErrorKind;
use store::artifact::{self, Artifacts};
use store::{Ack, Directive, End, EpochMetrics, Lease, jittered};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, oneshot};

use crate::run::{Best, Event, Reason, Saved, Stop};
use crate::trial::{Completed, Outcome, Trial};
use crate::weights::Weights;
use crate::worker::{Worker, retry};

/// Sees a leased trial through: trains it, reports it, ends it, and says how it went.
pub(crate) async fn attempt(worker: &Arc<Worker>, lease: Lease) {
    let claimed = Instant::now();
    tracing::info!(trial.number = lease.number, study.id = %lease.study, attempt = lease.attempt, "Trial {} of study {} starts", lease.number, lease.study);
    // As long as a curve at most: `EPOCHS_MAX` points, and one checkpoint.
    let (send, events) = mpsc::unbounded_channel();
    let stop = Arc::new(Stop::default());
    let trained = train(worker, &lease, stop.clone(), send);
    let mut line = Line {
        worker,
        lease: &lease,
        stop: &stop,
        unreported: Vec::new(),
        checkpoint: None,
        has_checkpoints: lease.attempt > 1,
        had_company: false,
        answered: Instant::now(),
        is_away: false,
    };
    let outcome = line.attend(trained, events).await;
    let end = line.hand_in(outcome).await;
    worker.metrics.trials.with_label_values(&[end]).inc();
    worker.metrics.trial_duration.observe(claimed.elapsed().as_secs_f64());
}

/// Trains the trial on a thread of its own, named after it; none where the lease was lost before it
/// began.
async fn train(
    worker: &Arc<Worker>,
    lease: &Lease,
    stop: Arc<Stop>,
    events: UnboundedSender<Event>,
) -> Outcome {
    // Memory ran out when it had company: it waits until it has none, and others wait for it.
    let _company = tokio::select! {
        company = company(worker, lease.alone) => company,
        reason = told_to_stop(&stop) => return Outcome::Stopped(reason, None),
        () = idle_peer(worker) => return Outcome::Stopped(Reason::Release, None),
    };
    let study = loop {
        match worker.store.spec(lease.study).await {
            Ok(study) => break study,
            Err(store::Error::NoSuchStudy(_)) => return Outcome::Stopped(Reason::Lost, None),
            Err(store::Error::Corrupt(error)) => return Outcome::Failed(ErrorKind::Invalid, error),
            Err(_) if stop.reason().is_none() => tokio::time::sleep(retry()).await,
            Err(_) => return Outcome::Stopped(stop.reason().unwrap_or(Reason::Release), None),
        }
    };
    let Some(handle) = worker.handle() else {
        return Outcome::Failed(ErrorKind::Panic, "its slot has no device".into());
    };
    let (catalog, device, numerics) =
        (worker.catalog.clone(), handle.device.clone(), worker.device.numerics.clone());
    let (memory, metrics) = (worker.memory.clone(), worker.metrics.clone());
    let paths = tokio::select! {
        paths = checkpoints(worker, lease), if lease.attempt > 1 => paths,
        reason = told_to_stop(&stop), if lease.attempt > 1 => return Outcome::Stopped(reason, None),
        else => Vec::new(),
    };
    let checkpoints = Box::new(opened(worker.clone(), paths, stop.clone()));
    let checkpoint_seconds = worker.checkpoint_seconds;
    let artifacts = worker.artifacts.clone();
    let (runtime, trainer) = (Handle::current(), worker.clone());
    let has_idle_peer = Box::new(move || runtime.block_on(trainer.has_idle_peer()));
    let thread = std::thread::Builder::new().name(format!("trial-{}-{}", lease.study, lease.number));
    let lease = lease.clone();
    let trial = Trial {
        lease,
        study,
        catalog,
        device,
        numerics,
        memory,
        stop,
        has_idle_peer,
        checkpoint_seconds,
        artifacts,
        checkpoints,
    };
    let tell = move |event| {
        // What an earlier attempt trained was counted there.
        if let Event::Epoch { samples: 1.., .. } = &event {
            metrics.epochs.inc();
        }
        if let Event::Epoch { samples, .. } = &event {
            metrics.samples.inc_by(*samples);
        }
        let _ = events.send(event); // nobody listens once the lease is lost
    };
    let (done, outcome) = oneshot::channel();
    let spawned = thread.spawn(move || drop(done.send(trial.run(tell))));
    match spawned {
        Ok(_) => outcome
            .await
            .unwrap_or(Outcome::Failed(ErrorKind::Panic, "its thread ended without a word".into())),
        Err(error) => Outcome::Failed(ErrorKind::Io, format!("no thread for it: {error}")),
    }
}

/// The paths of the checkpoints that earlier attempts left, the furthest first. While the artifacts
/// cannot be used it waits: starting over would cost all that is in them, and no result could be
/// written anyway.
async fn checkpoints(worker: &Worker, lease: &Lease) -> Vec<String> {
    let Lease { study, number, .. } = lease;
    loop {
        match worker.artifacts.checkpoints(*study, *number).await {
            Ok(paths) => return paths,
            Err(error) if worker.health.is_well().await => {
                tracing::warn!(trial.number = number, study.id = %study, "Trial {number} of study {study} starts over, its checkpoints cannot be listed: {error}");
                return Vec::new();
            }
            Err(_) => worker.health.well().await,
        }
    }
}

/// The files of checkpoints, for a thread that is not the runtime's. Each is opened when it is
/// asked for: from a bucket it is a copy, which goes before the next one comes.
fn opened(worker: Arc<Worker>, paths: Vec<String>, stop: Arc<Stop>) -> impl Iterator<Item = File> + Send {
    let runtime = Handle::current();
    let mut paths = paths.into_iter().take(limits::CHECKPOINTS_TRIED_MAX);
    iter::from_fn(move || runtime.block_on(next_opened(&worker, &mut paths, &stop)))
}

/// The next of the files that can be opened; none where the trial is to stop.
async fn next_opened(worker: &Worker, paths: &mut impl Iterator<Item = String>, stop: &Stop) -> Option<File> {
    for path in paths {
        tokio::select! {
            file = open(worker, &path) => if file.is_some() { return file },
            _ = told_to_stop(stop) => return None,
        }
    }
    None
}

/// A checkpoint, once the artifacts can be used; none where it is the one that cannot be read.
async fn open(worker: &Worker, path: &str) -> Option<File> {
    loop {
        match worker.artifacts.open_checkpoint(path).await {
            Ok(file) => return Some(file),
            Err(error) if !error.is_of_the_storage() || worker.health.is_well().await => {
                tracing::warn!("The checkpoint {path} cannot be read: {error}");
                return None;
            }
            Err(_) => worker.health.well().await,
        }
    }
}

/// Resolves once a trial has waited for long and another trainer is idle.
async fn idle_peer(worker: &Worker) {
    loop {
        tokio::time::sleep(Duration::from_secs(limits::PEER_SECONDS)).await;
        if worker.has_idle_peer().await {
            return;
        }
    }
}

/// What lets a trial run beside others, or keeps the others away.
enum Company {
    Others(#[allow(dead_code, reason = "held")] OwnedRwLockReadGuard<()>),
    Nobody(#[allow(dead_code, reason = "held")] OwnedRwLockWriteGuard<()>),
}

async fn company(worker: &Worker, alone: bool) -> Company {
    let company = worker.company.clone();
    match alone {
        true => Company::Nobody(company.write_owned().await),
        false => Company::Others(company.read_owned().await),
    }
}

async fn told_to_stop(stop: &Stop) -> Reason {
    loop {
        if let Some(reason) = stop.reason() {
            return reason;
        }
        tokio::time::sleep(retry()).await;
    }
}

async fn lost(stop: &Stop) {
    while stop.reason() != Some(Reason::Lost) {
        tokio::time::sleep(retry()).await;
    }
}

/// Why weights that are not written yet never will be. Where nothing is known of a fault, they get
/// a moment more.
async fn given_up(worker: &Worker, stop: &Stop) -> Reason {
    let reason = tokio::select! {
        reason = told_to_stop(stop) => reason,
        () = worker.stopped() => Reason::Release,
    };
    if worker.health.fault().is_none() {
        tokio::time::sleep(Duration::from_secs(limits::CLEAR_SECONDS_MAX)).await;
    }
    reason
}

/// What came of a trial's weights.
enum Written {
    /// They lie at this path.
    At(String),
    /// They are what no place takes: what kind of failure that is, and why.
    Not(ErrorKind, String),
    /// The trial was to stop while they waited for the place.
    GivenUp(Reason),
}

/// The path of a checkpoint that was written.
type Kept = Result<String, artifact::Error>;

/// Writes a checkpoint to the artifacts.
async fn keep(
    artifacts: Artifacts,
    lease: Lease,
    Saved { step, spool, on_its_way: _on_its_way }: Saved,
) -> Kept {
    let Lease { study, number, attempt, nonce, .. } = lease;
    artifacts.put_checkpoint(study, number, step, &format!("{attempt}-{nonce}"), spool).await
}

/// The line to Redis of one attempt.
struct Line<'a> {
    worker: &'a Worker,
    lease: &'a Lease,
    stop: &'a Stop,
    unreported: Vec<EpochMetrics>,
    /// The path of this attempt's last checkpoint.
    checkpoint: Option<String>,
    /// Whether any attempt may have left one.
    has_checkpoints: bool,
    /// Whether others were training on the device when its own training ended.
    had_company: bool,
    /// When Redis last answered.
    answered: Instant,
    is_away: bool,
}

impl Line<'_> {
    /// Reports and beats while the trial is trained, and keeps its checkpoints.
    async fn attend(
        &mut self,
        trained: impl Future<Output = Outcome>,
        mut events: UnboundedReceiver<Event>,
    ) -> Outcome {
        let mut trained = std::pin::pin!(trained);
        let mut keeping: Option<Pin<Box<dyn Future<Output = Kept> + Send>>> = None;
        let beat = Duration::from_millis(self.worker.store.lease_ms() / 3);
        let mut due = Instant::now() + jittered(beat);
        loop {
            tokio::select! {
                outcome = &mut trained => {
                    self.had_company = self.worker.trains_others();
                    self.take(&mut events); // a checkpoint is of no use any more
                    // One that is half written would be whole after those of the trial have been
                    // removed. Where it is lost, it is dropped.
                    if let Some(keeping) = keeping.filter(|_| !self.is_lost()) {
                        let most = if self.worker.is_stopping() { limits::HAND_BACK_SECONDS_MAX } else { limits::ORPHAN_SECONDS_MAX };
                        let stop = self.stop;
                        let kept = async { tokio::select! { kept = keeping => Some(kept), () = lost(stop) => None } };
                        if let Ok(Some(kept)) = self.beating(tokio::time::timeout(Duration::from_secs(most), kept)).await {
                            self.kept(kept).await;
                        }
                    }
                    return outcome;
                }
                kept = async { match keeping.as_mut() { Some(keeping) => keeping.await, None => pending().await } } => {
                    keeping = None;
                    self.kept(kept).await;
                    continue;
                }
                Some(event) = events.recv() => {
                    let last = self.note(event);
                    if let Some(saved) = self.take(&mut events).or(last).filter(|_| !self.is_lost()) {
                        keeping = Some(Box::pin(keep(self.worker.artifacts.clone(), self.lease.clone(), saved)));
                    }
                    // While Redis is away, its next try is soon enough.
                    if self.is_away {
                        continue;
                    }
                }
                () = tokio::time::sleep_until(due.into()) => {}
                () = self.worker.stopped(), if self.stop.reason().is_none() => {
                    self.stop.set(Reason::Release);
                    continue;
                }
            }
            self.report().await;
            // Nobody waits for it any more.
            if self.is_lost() {
                keeping = None;
            }
            due = Instant::now() + if self.is_away { retry() } else { jittered(beat) };
        }
    }

    /// Notes a point to report, or returns the checkpoint.
    fn note(&mut self, event: Event) -> Option<Saved> {
        match event {
            Event::Epoch { step, values, .. } => {
                self.unreported.push(EpochMetrics { epoch: step, values });
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

    /// Takes a checkpoint that was written for this attempt's last. Where it was not, the last one
    /// stays.
    async fn kept(&mut self, kept: Kept) {
        match kept {
            Ok(path) => {
                if let Some(last) = self.checkpoint.replace(path) {
                    // What stays goes with the trial's end.
                    let artifacts = self.worker.artifacts.clone();
                    let removal = async move { artifacts.delete(&last).await };
                    let _ = self
                        .beating(tokio::time::timeout(
                            Duration::from_secs(limits::CLEAR_SECONDS_MAX),
                            removal,
                        ))
                        .await;
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

    /// One heartbeat with all points there are, and what its answer asks for.
    async fn report(&mut self) {
        match self.worker.store.report(self.lease, &self.unreported).await {
            Ok(directive) => {
                self.unreported.clear();
                self.answered = Instant::now();
                self.is_away = false;
                match directive {
                    Directive::GoOn => {}
                    Directive::Cancel => self.stop.set(Reason::Cancel),
                    Directive::Lost => self.stop.set(Reason::Lost),
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_away, true) {
                    let Lease { study, number, .. } = self.lease;
                    tracing::warn!(trial.number = number, study.id = %study, "Trial {number} of study {study} cannot report, training on: {error}");
                }
                if self.is_given_up() {
                    self.stop.set(Reason::Lost);
                }
            }
        }
    }

    /// Whether Redis has been silent for so long that the trial must be somebody else's.
    fn is_given_up(&self) -> bool {
        let seconds = if self.worker.is_stopping() {
            limits::HAND_BACK_SECONDS_MAX
        } else {
            limits::ORPHAN_SECONDS_MAX
        };
        self.answered.elapsed() >= Duration::from_secs(seconds)
    }

    /// Ends the attempt with what came of it, and returns the name of its end.
    async fn hand_in(&mut self, outcome: Outcome) -> &'static str {
        if self.worker.is_stopping() {
            self.answered = Instant::now();
        }
        // The whole curve first: an end closes it.
        while !self.unreported.is_empty() && !self.is_lost() {
            self.report().await;
            if self.is_away {
                tokio::time::sleep(retry()).await;
            }
        }
        if self.is_lost() {
            return self.abandon().await;
        }
        let mut artifact = None;
        let end = match outcome {
            Outcome::Completed(completed) => {
                let Completed { best: Best { value, step, weights }, document, share: _share } = *completed;
                match self.write(weights, document).await {
                    Written::At(path) => {
                        artifact = Some(path);
                        End::Completed { value, best_epoch: step }
                    }
                    Written::Not(kind, message) => End::Failed { kind, message, beside_others: false },
                    Written::GivenUp(Reason::Lost) => return self.abandon().await,
                    Written::GivenUp(Reason::Cancel) => End::Cancelled,
                    // It goes on from its last checkpoint elsewhere, or here after a restart.
                    Written::GivenUp(Reason::Release) => End::Released,
                }
            }
            Outcome::Stopped(Reason::Lost, _) => return self.abandon().await,
            Outcome::Stopped(Reason::Cancel, _) => End::Cancelled,
            Outcome::Stopped(Reason::Release, _) => End::Released,
            Outcome::Refused(lacking) => {
                let why = lacking.why.clone();
                tracing::warn!(study.id = %self.lease.study, "Trials of study {} are not for this trainer: {why}", self.lease.study);
                self.worker.refused.add(&self.lease.dataset_id, *lacking);
                End::Refused { why: format!("the trainer {} lacks its dataset: {why}", self.worker.name()) }
            }
            // Alone it would be as large.
            Outcome::TooLarge(message) => {
                End::Failed { kind: ErrorKind::OutOfMemory, message, beside_others: false }
            }
            Outcome::Failed(kind, message) => End::Failed { kind, message, beside_others: self.had_company },
        };
        match self.finish(&end).await {
            Some(Ack::Accepted { wants, has_ended }) => {
                self.accepted(&end);
                if wants > 0
                    && let Err(error) = self.worker.store.top_up(self.lease.study).await
                {
                    tracing::debug!("The reaper will top up: {error}");
                }
                if self.has_checkpoints && has_ended {
                    self.clear_checkpoints().await;
                }
                end.kind().as_str()
            }
            Some(Ack::Stale) => {
                if let Some(path) = artifact {
                    let removal = self.worker.artifacts.delete(&path);
                    let _ =
                        tokio::time::timeout(Duration::from_secs(limits::CLEAR_SECONDS_MAX), removal).await;
                }
                self.lost()
            }
            // Unanswered is not unheard: Redis may have taken the end, and then the weights are
            // what counts. They stay.
            None => self.lost(),
        }
    }

    /// Sends the end until it is answered; none where Redis was silent for too long.
    async fn finish(&mut self, end: &End) -> Option<Ack> {
        let since = Instant::now();
        self.answered = since;
        loop {
            let store = &self.worker.store;
            let answer = match self.has_checkpoints {
                true => store.finish_with_checkpoints(self.lease, end).await,
                false => store.finish(self.lease, end).await,
            };
            match answer {
                Ok(ack) => return Some(ack),
                Err(_) if self.is_given_up() => return None,
                Err(error) if !std::mem::replace(&mut self.is_away, true) => {
                    tracing::warn!("A result waits for Redis: {error}")
                }
                Err(_) => {}
            }
            tokio::time::sleep(retry()).await;
        }
    }

    /// Writes the best weights, once the artifacts can be used. The lease is kept meanwhile, and
    /// the weights stay in memory: nothing more is claimed that could want it.
    async fn write(&mut self, weights: Weights, document: serde_json::Value) -> Written {
        let Line { worker, lease, stop, .. } = *self;
        let Lease { study, number, attempt, nonce, .. } = lease;
        self.beating(async {
            let serialized = tokio::task::spawn_blocking(move || weights.serialize(&document)).await.map_err(|error| error.to_string());
            let bytes = match serialized.flatten() {
                Ok(bytes) => bytes,
                Err(error) => return Written::Not(ErrorKind::Panic, error),
            };
            let put = || worker.artifacts.put_model(*study, *number, *attempt, *nonce, bytes.clone());
            tokio::select! {
                written = worker.health.written(put) => match written {
                    Ok(path) => Written::At(path),
                    Err(error) => Written::Not(ErrorKind::Invalid, format!("its weights cannot be written: {error}")),
                },
                reason = given_up(worker, stop) => Written::GivenUp(reason),
            }
        })
        .await
    }

    /// Removes the checkpoints of a trial that has ended. Who ran an earlier attempt may still
    /// write, so that after another the reaper looks again.
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

    /// Whether the trial is no longer this trainer's.
    fn is_lost(&self) -> bool {
        self.stop.reason() == Some(Reason::Lost)
    }

    /// Leaves a lost trial to others, who are told that there may be checkpoints of it, if Redis
    /// answers. Returns the name of this end.
    async fn abandon(&self) -> &'static str {
        let Lease { study, number, .. } = self.lease;
        if self.has_checkpoints
            && !self.is_away
            && let Err(error) = self.worker.store.abandon(*study, *number).await
        {
            tracing::debug!(
                "Nobody was told that trial {number} of study {study} may have checkpoints: {error}"
            );
        }
        self.lost()
    }

    /// Sends heartbeats until the work is done.
    async fn beating<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let beat = Duration::from_millis(self.worker.store.lease_ms() / 3);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(jittered(beat)) => self.report().await,
            }
        }
    }

    fn accepted(&self, end: &End) {
        let Lease { study, number, .. } = self.lease;
        match end {
            End::Completed { value, .. } => {
                tracing::info!(trial.number = number, study.id = %study, value, "Trial {number} of study {study} completed: {value:.4}")
            }
            End::Failed { kind, message, .. } => {
                tracing::warn!(trial.number = number, study.id = %study, error.kind = %kind, "Trial {number} of study {study} failed ({kind}): {message}");
            }
            other => {
                tracing::info!(trial.number = number, study.id = %study, "Trial {number} of study {study} {}", other.kind())
            }
        }
    }

    fn lost(&self) -> &'static str {
        let Lease { study, number, .. } = self.lease;
        tracing::info!(trial.number = number, study.id = %study, "Trial {number} of study {study} is no longer this trainer's");
        metrics::LOST
    }
}

//! An attempt's connection to Redis: heartbeats and curve out, directives in, the end until it is
//! acknowledged.
//!
//! Past its deadline a trainer keeps training and keeps trying: only the answer that the lease is
//! lost stops it, or `ORPHAN_SECONDS_MAX` without any.

use std::future::Future;
use std::time::{Duration, Instant};

use store::{Ack, Directive, End, EpochMetrics, Lease, jittered};

use crate::backoff::retry;
use crate::limits;
use crate::stop::{Reason, Stop};
use crate::worker::Worker;

/// Keeps the lease of one attempt.
pub(crate) struct Heartbeat<'a> {
    worker: &'a Worker,
    lease: &'a Lease,
    stop: &'a Stop,
    /// The epochs that Redis has not acknowledged.
    unreported: Vec<EpochMetrics>,
    /// When Redis last answered.
    answered: Instant,
    /// Whether its last answer did not come.
    is_away: bool,
    /// When the next heartbeat is due.
    due: Instant,
}

impl<'a> Heartbeat<'a> {
    pub(crate) fn new(worker: &'a Worker, lease: &'a Lease, stop: &'a Stop) -> Heartbeat<'a> {
        let now = Instant::now();
        let due = now + beat(worker);
        Heartbeat { worker, lease, stop, unreported: Vec::new(), answered: now, is_away: false, due }
    }

    /// Notes an epoch for the next heartbeat.
    pub(crate) fn add(&mut self, epoch: EpochMetrics) {
        self.unreported.push(epoch);
    }

    /// Resolves when the next heartbeat is due.
    pub(crate) async fn due(&self) {
        tokio::time::sleep_until(self.due.into()).await;
    }

    /// Whether Redis did not answer the last time.
    pub(crate) fn is_away(&self) -> bool {
        self.is_away
    }

    /// One heartbeat with all epochs there are; sets what its answer asks for.
    pub(crate) async fn send(&mut self) {
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
                    tracing::warn!(trial.number = number, study.id = %study, "Trial {number} of study {study} cannot report, but trains on: {error}");
                }
                if self.is_given_up() {
                    self.stop.set(Reason::Lost);
                }
            }
        }
        self.due = Instant::now() + if self.is_away { retry() } else { beat(self.worker) };
    }

    /// Sends heartbeats until the work is done.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(beat(self.worker)) => self.send().await,
            }
        }
    }

    /// Sends the rest of the curve, which an end closes, unless the lease is lost before.
    pub(crate) async fn send_rest(&mut self) {
        if self.worker.is_stopping() {
            self.answered = Instant::now();
        }
        while !self.unreported.is_empty() && !self.stop.is_lost() {
            self.send().await;
            if self.is_away {
                tokio::time::sleep(retry()).await;
            }
        }
    }

    /// Sends the end until it is answered; none if Redis was silent for too long.
    pub(crate) async fn finish(&mut self, end: &End, has_checkpoints: bool) -> Option<Ack> {
        self.answered = Instant::now();
        loop {
            let store = &self.worker.store;
            let answer = match has_checkpoints {
                true => store.finish_with_checkpoints(self.lease, end).await,
                false => store.finish(self.lease, end).await,
            };
            match answer {
                Ok(ack) => return Some(ack),
                Err(_) if self.is_given_up() => return None,
                Err(error) if !std::mem::replace(&mut self.is_away, true) => {
                    tracing::warn!("A result waits until Redis answers: {error}")
                }
                Err(_) => {}
            }
            tokio::time::sleep(retry()).await;
        }
    }

    /// Whether Redis has been silent for so long that the trial must belong to another attempt.
    fn is_given_up(&self) -> bool {
        let seconds = if self.worker.is_stopping() {
            limits::HAND_BACK_SECONDS_MAX
        } else {
            limits::ORPHAN_SECONDS_MAX
        };
        self.answered.elapsed() >= Duration::from_secs(seconds)
    }
}

/// The time to the next heartbeat: two may be lost before the lease is.
fn beat(worker: &Worker) -> Duration {
    jittered(Duration::from_millis(worker.store.lease_ms() / 3))
}

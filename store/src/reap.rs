//! What only the passing of time calls for, by any process, every tick.

use std::future::Future;
use std::time::Duration;

use crate::limits;
use tokio::time::{Instant, timeout_at};

use crate::artifact::{self, Artifacts};
use crate::error::Result;
use crate::reply::{Reply, text};
use crate::script::Name;
use crate::{Args, Store, StudyId};

/// What one [`Store::reap`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReapReport {
    /// Whether it ran: false where another process had just done so.
    pub ran: bool,
    /// Leases that had run out.
    pub stalled: u64,
    /// Whether Redis was found to have been away: nothing is counted for a lease.
    pub outage: bool,
    /// Deleted studies, for the caller to [purge](Store::purge). One that is not purged is handed
    /// out again.
    pub deleted: Vec<StudyId>,
    /// Ended trials that may have checkpoints, for the caller to [clear](Store::clear), likewise.
    pub leftovers: Vec<(StudyId, u64)>,
}

/// Why a removal did not finish.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// Artifacts cannot be removed.
    #[error(transparent)]
    Artifacts(#[from] artifact::Error),
    /// Keys cannot be removed.
    #[error(transparent)]
    Store(#[from] crate::Error),
    /// The removal, or those before it, took longer than a tick allows.
    #[error("it did not finish in time")]
    Late,
}

/// What one [`Store::tend`] did.
#[derive(Debug, Default)]
pub struct TendReport {
    /// Leases that had run out.
    pub stalled: u64,
    /// What could not be done and is tried again, in words.
    pub undone: Vec<String>,
}

/// What a process does with a [tick](Store::tend_forever).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// Takes it, and warns of what could not be done.
    Take,
    /// Takes it without a warning: the cause of what cannot be done is known and was logged.
    TakeQuietly,
    /// Leaves it out: Redis would refuse every change.
    Skip,
}

impl Store {
    /// [Tends](Store::tend) every [tick](Store::tick) with some jitter, for as long as the process
    /// runs. `next` is asked before each tick.
    pub async fn tend_forever(&self, artifacts: &Artifacts, next: impl Fn() -> Tick) {
        let mut is_failing = false;
        loop {
            tokio::time::sleep(jittered(self.tick())).await;
            let next = next();
            if next == Tick::Skip {
                continue;
            }
            match self.tend(artifacts).await {
                Ok(report) => {
                    is_failing = false;
                    report.log(next);
                }
                Err(error) if std::mem::replace(&mut is_failing, true) => {
                    tracing::debug!("The reaper's tick failed again: {error}");
                }
                Err(error) => tracing::warn!("The reaper's tick failed; trying on: {error}"),
            }
        }
    }

    /// Does what only the passing of time calls for: [reaps](Store::reap),
    /// [tops up](Store::drain_wanted) the studies that want it, and removes what the reaper hands
    /// out.
    pub async fn tend(&self, artifacts: &Artifacts) -> Result<TendReport> {
        let reaped = self.reap().await?;
        let (stalled, topped_up) = (reaped.stalled, self.drain_wanted().await);
        // Also if Redis takes no new trials: a removal makes room for them.
        let mut undone = self.remove(reaped, artifacts).await;
        if let Err(error) = topped_up {
            undone.push(format!("Studies wait for their next trials; trying again: {error}"));
        }
        Ok(TendReport { stalled, undone })
    }

    /// Removes what was handed out, and returns what is still there, in words. It ends before the
    /// next tick but one, however long artifacts take.
    async fn remove(&self, reaped: ReapReport, artifacts: &Artifacts) -> Vec<String> {
        let until = Instant::now() + limits::REMOVAL_TICKS * self.tick();
        let mut undone = Vec::new();
        // Trials first, with a few files each; a study may have enough to take up all the time.
        for (study, number) in reaped.leftovers {
            if let Err(error) = in_time(until, self.clear(study, number, artifacts)).await {
                undone.push(format!(
                    "Trial {number} of study {study} has ended, but its checkpoints could not be removed yet; trying again: {error}"
                ));
            }
        }
        for study in reaped.deleted {
            if let Err(error) = in_time(until, self.purge(study, artifacts)).await {
                undone.push(format!(
                    "Study {study} is deleted, but some of its files or keys could not be removed yet; trying again: {error}"
                ));
            }
        }
        undone
    }

    /// Takes expired leases back, queues delayed trials whose time has come, sweeps closed studies,
    /// hands out what is to be removed, and forgets silent trainers.
    pub async fn reap(&self) -> Result<ReapReport> {
        let args = Args::new().arg(self.tick().as_millis()).arg(self.inner.lease_ms);
        let mut answer = Reply::of(self.call(Name::Reap, args).await?)?;
        let (ran, stalled, outage) = (answer.text()? == "1", answer.parse::<u64>()?, answer.text()? == "1");
        let mut reaped = ReapReport { ran, stalled, outage, ..ReapReport::default() };
        let mut deleted = answer.array()?;
        while let Some(id) = deleted.next() {
            reaped.deleted.push(text(id)?.parse().map_err(crate::Error::Corrupt)?);
        }
        let mut leftovers = answer.array()?;
        while let Some(trial) = leftovers.next() {
            reaped.leftovers.push(leftover(&text(trial)?)?);
        }
        Ok(reaped)
    }

    /// Removes the artifacts of a deleted study, then its keys. After an error a later
    /// [`reap`](Store::reap) hands it out again.
    pub async fn purge(
        &self,
        study: StudyId,
        artifacts: &Artifacts,
    ) -> std::result::Result<(), RemovalError> {
        while !artifacts.delete_study(study).await? {}
        self.call(Name::Purge, Args::new().arg(study)).await?;
        Ok(())
    }

    /// Notes that a trainer may have written checkpoints of a trial after it lost it: if the trial
    /// has ended, or its study was deleted, they are handed out to be [cleared](Store::clear).
    pub async fn abandon(&self, study: StudyId, number: u64) -> Result<()> {
        self.call(Name::Abandon, Args::new().arg(study).arg(number)).await?;
        Ok(())
    }

    /// Removes the checkpoints of a trial that has ended. After an error a later
    /// [`reap`](Store::reap) hands them out again.
    pub async fn clear(
        &self,
        study: StudyId,
        number: u64,
        artifacts: &Artifacts,
    ) -> std::result::Result<(), RemovalError> {
        artifacts.delete_checkpoints(study, number).await?;
        self.call(Name::Cleared, Args::new().arg(study).arg(number)).await?;
        Ok(())
    }
}

/// The outcome of a removal, if it ends by `until`. After that none is begun, since a call that
/// hangs may keep a thread for good.
async fn in_time(
    until: Instant,
    removal: impl Future<Output = std::result::Result<(), RemovalError>>,
) -> std::result::Result<(), RemovalError> {
    if Instant::now() >= until {
        return Err(RemovalError::Late);
    }
    timeout_at(until, removal).await.unwrap_or(Err(RemovalError::Late))
}

impl TendReport {
    fn log(&self, tick: Tick) {
        if self.stalled > 0 {
            tracing::warn!("{} leases ran out; their trials are queued again or failed", self.stalled);
        }
        for undone in &self.undone {
            match tick {
                Tick::Take => tracing::warn!("{undone}"),
                Tick::TakeQuietly | Tick::Skip => tracing::debug!("{undone}"),
            }
        }
    }
}

/// The duration give or take a fifth, so that processes do not act in step.
pub fn jittered(duration: Duration) -> Duration {
    let unit = f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX);
    duration.mul_f64(0.8 + 0.4 * unit)
}

/// The trial in `<study>:<number>`.
fn leftover(trial: &str) -> Result<(StudyId, u64)> {
    let parts =
        trial.split_once(':').and_then(|(study, number)| Some((study.parse().ok()?, number.parse().ok()?)));
    parts.ok_or_else(|| crate::Error::Corrupt(format!("{trial:?} is no trial")))
}

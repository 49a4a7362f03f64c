//! What time alone must do, by any process, every tick.

use std::future::Future;

use crate::limits;
use tokio::time::{Instant, timeout_at};

use crate::artifact::{self, Artifacts};
use crate::error::Result;
use crate::reply::{Reply, text};
use crate::script::Name;
use crate::{Args, Store, StudyId};

/// What one [`Store::reap`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Whether it ran: false where another process had just done so.
    pub ran: bool,
    /// Leases that had run out.
    pub stalled: u64,
    /// Whether Redis was found to have been away: nothing is counted for a lease.
    pub outage: bool,
    /// Deleted studies, for the caller to [purge](Store::purge). Whoever does not manage is not the
    /// last to be asked.
    pub deleted: Vec<StudyId>,
    /// Ended trials that may have checkpoints, for the caller to [clear](Store::clear), likewise.
    pub leftovers: Vec<(StudyId, u64)>,
}

/// Why what is of no use any more is not wholly gone.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// Artifacts cannot be removed.
    #[error(transparent)]
    Artifacts(#[from] artifact::Error),
    /// Keys cannot be removed.
    #[error(transparent)]
    Store(#[from] crate::Error),
    /// The artifacts, or what was to be removed before this, take longer than there is time for.
    #[error("there is no time left for it")]
    Late,
}

/// What one [`Store::tend`] did.
#[derive(Debug, Default)]
pub struct Tended {
    /// Leases that had run out.
    pub stalled: u64,
    /// What could not be done and is tried again, in words.
    pub undone: Vec<String>,
}

impl Store {
    /// All that time alone must do: [reaps](Store::reap), [tops up](Store::drain_wanted) the
    /// studies that want it, and removes what the reaper hands out. Any process calls it every
    /// [`Store::tick`] with some jitter.
    pub async fn tend(&self, artifacts: &Artifacts) -> Result<Tended> {
        let reaped = self.reap().await?;
        let (stalled, topped_up) = (reaped.stalled, self.drain_wanted().await);
        // Also where Redis takes no new trials: what is removed makes room for them.
        let mut undone = self.remove(reaped, artifacts).await;
        if let Err(error) = topped_up {
            undone.push(format!("Studies wait for their next trials; this is tried again: {error}"));
        }
        Ok(Tended { stalled, undone })
    }

    /// Removes what was handed out and returns what is still there, in words: however long
    /// artifacts let it wait, the next tick is not late.
    async fn remove(&self, reaped: Reaped, artifacts: &Artifacts) -> Vec<String> {
        let until = Instant::now() + limits::REMOVAL_TICKS * self.tick();
        let mut undone = Vec::new();
        // A few files each; a study may have so many that all of the time goes into it.
        for (study, number) in reaped.leftovers {
            if let Err(error) = in_time(until, self.clear(study, number, artifacts)).await {
                undone.push(format!(
                    "Trial {number} of study {study} has ended, but its checkpoints are still there; this is tried again: {error}"
                ));
            }
        }
        for study in reaped.deleted {
            if let Err(error) = in_time(until, self.purge(study, artifacts)).await {
                undone.push(format!("Study {study} is deleted, but not all of its files and keys yet; this is tried again: {error}"));
            }
        }
        undone
    }

    /// Takes expired leases back, queues delayed trials whose time has come, sweeps closed studies,
    /// hands out deleted ones and what trials may have left, forgets silent trainers.
    pub async fn reap(&self) -> Result<Reaped> {
        let args = Args::new().arg(self.tick().as_millis()).arg(self.inner.lease_ms);
        let mut answer = Reply::of(self.call(Name::Reap, args).await?)?;
        let (ran, stalled, outage) = (answer.text()? == "1", answer.parse::<u64>()?, answer.text()? == "1");
        let mut reaped = Reaped { ran, stalled, outage, ..Reaped::default() };
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

    /// Removes all that is left of a deleted study: its artifacts, then its keys. Errors leave it
    /// to a later [`reap`](Store::reap).
    pub async fn purge(
        &self,
        study: StudyId,
        artifacts: &Artifacts,
    ) -> std::result::Result<(), RemovalError> {
        while !artifacts.delete_study(study).await? {}
        self.call(Name::Purge, Args::new().arg(study)).await?;
        Ok(())
    }

    /// Notes that a trainer which has lost a trial may have written checkpoints since: where the
    /// trial has ended, or its study is gone, they are handed out [to be cleared](Store::clear).
    pub async fn abandon(&self, study: StudyId, number: u64) -> Result<()> {
        self.call(Name::Abandon, Args::new().arg(study).arg(number)).await?;
        Ok(())
    }

    /// Removes the checkpoints of a trial that has ended. Errors leave them to a later
    /// [`reap`](Store::reap).
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

/// What came of a removal, unless time is up before it is done. It is not begun in vain: a call
/// that hangs may keep a thread for good.
async fn in_time(
    until: Instant,
    removal: impl Future<Output = std::result::Result<(), RemovalError>>,
) -> std::result::Result<(), RemovalError> {
    if Instant::now() >= until {
        return Err(RemovalError::Late);
    }
    timeout_at(until, removal).await.unwrap_or(Err(RemovalError::Late))
}

/// The trial that `<study>:<number>` is.
fn leftover(trial: &str) -> Result<(StudyId, u64)> {
    let parts =
        trial.split_once(':').and_then(|(study, number)| Some((study.parse().ok()?, number.parse().ok()?)));
    parts.ok_or_else(|| crate::Error::Corrupt(format!("{trial:?} is no trial")))
}

//! What time alone must do, by any process, every tick.

use crate::artifact::{self, Artifacts};
use crate::error::Result;
use crate::reply::Reply;
use crate::script::Name;
use crate::{Args, Store, StudyId};

/// What one [`Store::reap`] did, over all lanes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Whether it ran anywhere, or another process had just done so.
    pub ran: bool,
    /// Leases that had run out.
    pub stalled: u64,
    /// Whether Redis was found to have been away: nothing is counted for a lease.
    pub outage: bool,
    /// Deleted studies, for the caller to [purge](Store::purge). Whoever does not manage is not the last to be asked.
    pub deleted: Vec<StudyId>,
}

/// Why a deleted study is not wholly gone.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// Its artifacts cannot be removed.
    #[error(transparent)]
    Artifacts(#[from] artifact::Error),
    /// Its keys cannot be removed.
    #[error(transparent)]
    Store(#[from] crate::Error),
}

impl Store {
    /// Takes expired leases back, queues delayed trials whose time has come, sweeps closed studies, hands deleted ones out, forgets silent
    /// trainers. Any process calls it every [`Store::tick`] with some jitter, and [`Store::drain_wanted`] after it.
    pub async fn reap(&self) -> Result<Reaped> {
        let mut reaped = Reaped::default();
        for lane in 0..self.0.lanes.len() {
            let args = Args::new().arg(self.tick().as_millis()).arg(self.0.lease_ms);
            let mut answer = Reply::of(self.call_lane(Name::Reap, lane, args).await?)?;
            reaped.ran |= answer.text()? == "1";
            reaped.stalled += answer.parse::<u64>()?;
            reaped.outage |= answer.text()? == "1";
            while let Some(id) = answer.next() {
                reaped.deleted.push(crate::reply::text(id)?.parse().map_err(crate::Error::Corrupt)?);
            }
        }
        Ok(reaped)
    }

    /// Removes all that is left of a deleted study: its artifacts, then its keys. Errors leave it to a later [`reap`](Store::reap).
    pub async fn purge(&self, study: StudyId, artifacts: &Artifacts) -> std::result::Result<(), PurgeError> {
        while !artifacts.delete_study(study.as_str()).await? {}
        self.call(Name::Purge, study, Args::new().arg(study)).await?;
        Ok(())
    }
}

//! Fills the queue of a study: one idempotent function that any process may call at any time.
//!
//! Trial *n* is a function of (space, seed, *n*) and is enqueued only as the study's next number:
//! two processes that do it at once make the same trials, and the slower one is told that the
//! number is taken. So there is no scheduler, no leader and no lock.

use std::sync::PoisonError;

use crate::limits;

use crate::error::{Error, Result};
use crate::reply::{Reply, text};
use crate::script::Name;
use crate::{Args, Cached, Store, StudyId};

impl Store {
    /// Enqueues the trials that a study wants, and returns how many. A study that does not exist,
    /// is paused or has ended wants none.
    pub async fn top_up(&self, id: StudyId) -> Result<u64> {
        let mut enqueued = 0;
        let (mut first, mut points) = (0, Vec::new());
        for _ in 0..limits::TOP_UP_ROUNDS_MAX {
            let count = points.len() as u64;
            let args = Args::new().arg(id).arg(first).list(points);
            let mut answer = Reply::of(self.call(Name::Enqueue, args).await?)?;
            if answer.text()? == "ok" {
                enqueued += count;
            }
            first = answer.parse()?;
            let wants: u64 = answer.parse()?;
            if wants == 0 {
                return Ok(enqueued);
            }
            let cached = match self.remembered(id).await {
                Err(Error::NoSuchStudy(_)) => return Ok(enqueued),
                cached => cached?,
            };
            points = suggest(cached, first, wants.min(limits::ENQUEUE_BATCH)).await?;
            if points.is_empty() {
                self.call(Name::Exhaust, Args::new().arg(id).arg(first)).await?;
                return Ok(enqueued);
            }
        }
        Ok(enqueued)
    }

    /// Tops up some of the studies that want it, and returns how many trials were enqueued. A study
    /// that cannot be topped up does not stop the others, unless Redis takes no trials at all.
    pub async fn drain_wanted(&self) -> Result<u64> {
        let mut enqueued = 0;
        let mut wanted = Reply::of(self.call(Name::Wanted, Args::new()).await?)?;
        while let Some(id) = wanted.next() {
            let id = text(id)?.parse().map_err(Error::Corrupt)?;
            match self.top_up(id).await {
                Ok(count) => enqueued += count,
                Err(error) if error.may_pass() => return Err(error),
                Err(error) => {
                    tracing::warn!(study.id = %id, %error, "Study {id} could not be topped up: {error}")
                }
            }
        }
        Ok(enqueued)
    }
}

/// The packed points of up to `count` trials from `first`; fewer at the end of the space. Off the
/// runtime, since a jump to a high number takes a while.
async fn suggest(cached: Cached, first: u64, count: u64) -> Result<Vec<Vec<u8>>> {
    let suggesting = tokio::task::spawn_blocking(move || {
        let mut sampler = cached.sampler.lock().unwrap_or_else(PoisonError::into_inner);
        let points = (first..first + count).map_while(|number| sampler.suggest(number));
        points.map(|point| cached.study.space.pack(&point)).collect()
    });
    suggesting.await.map_err(|error| Error::Corrupt(format!("the sampler ended: {error}")))
}

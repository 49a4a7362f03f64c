//! A device of this machine with its slots, and what their trials share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use candle_core::Device;
use data::Catalog;
use store::artifact::Artifacts;
use store::{Store, StudyId, Trainer};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, Semaphore, watch};

use crate::device::DeviceInfo;
use crate::health::Health;
use crate::limits;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::refused::Refused;

/// A device, its slots, and what their trials need.
pub(crate) struct Worker {
    pub(crate) store: Store,
    pub(crate) artifacts: Artifacts,
    /// The health of the artifacts.
    pub(crate) health: Arc<Health>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) checkpoint_seconds: u64,
    /// Turns true once, at shutdown.
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) device: DeviceInfo,
    pub(crate) memory: Arc<Memory>,
    /// Read by trials that may share the device, written by one that must have it alone.
    pub(crate) exclusivity: Arc<RwLock<()>>,
    /// A permit for each slot.
    pub(crate) slots: Arc<Semaphore>,
    /// A handle of the device for each free slot.
    pub(crate) handles: Mutex<Vec<Device>>,
    /// What it says of itself at its start.
    pub(crate) trainer: Trainer,
    pub(crate) running: Mutex<Vec<(StudyId, u64)>>,
    /// The datasets that this machine does not have.
    pub(crate) refused: Arc<Refused>,
}

/// A slot's handle of a worker's device, given back on drop.
pub(crate) struct Handle<'a> {
    pub(crate) device: Device,
    worker: &'a Worker,
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        lock(&self.worker.handles).push(self.device.clone());
    }
}

/// A trial in the list of those that run, until this is dropped.
pub(crate) struct Running<'a> {
    trial: (StudyId, u64),
    worker: &'a Worker,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.worker.metrics.busy.dec();
        let mut running = lock(&self.worker.running);
        // Only one entry: after a lost lease, the next attempt may run here too.
        if let Some(at) = running.iter().position(|other| *other == self.trial) {
            running.swap_remove(at);
        }
    }
}

/// A trial's use of the device, alone or beside others, until this is dropped.
pub(crate) enum Exclusivity {
    Shared(#[allow(dead_code, reason = "held")] OwnedRwLockReadGuard<()>),
    Exclusive(#[allow(dead_code, reason = "held")] OwnedRwLockWriteGuard<()>),
}

impl Worker {
    /// A handle of the device that no other trial uses; there are as many as slots.
    pub(crate) fn handle(&self) -> Option<Handle<'_>> {
        let device = lock(&self.handles).pop()?;
        Some(Handle { device, worker: self })
    }

    /// Lists a trial as running.
    pub(crate) fn running(&self, study: StudyId, number: u64) -> Running<'_> {
        lock(&self.running).push((study, number));
        self.metrics.busy.inc();
        Running { trial: (study, number), worker: self }
    }

    /// Whether more than one trial runs on the device.
    pub(crate) fn trains_others(&self) -> bool {
        lock(&self.running).len() > 1
    }

    /// Waits until a trial may use the device: beside others, or `alone`.
    pub(crate) async fn exclusivity(&self, alone: bool) -> Exclusivity {
        let lock = self.exclusivity.clone();
        match alone {
            true => Exclusivity::Exclusive(lock.write_owned().await),
            false => Exclusivity::Shared(lock.read_owned().await),
        }
    }

    /// Resolves once [`limits::PEER_SECONDS`] have passed and another trainer is idle.
    pub(crate) async fn idle_peer(&self) {
        idle(Duration::from_secs(limits::PEER_SECONDS), || self.has_idle_peer()).await;
    }

    /// Whether another trainer on such a device has a free slot and no fault, and was heard of
    /// lately. While Redis does not answer, there is none.
    async fn has_idle_peer(&self) -> bool {
        let mut all = self.store.trainers().await.unwrap_or_default();
        let newest = all.iter().map(|record| record.seen_at_ms).max().unwrap_or_default();
        all.retain(|record| newest - record.seen_at_ms <= limits::PEER_SEEN_MS);
        let mut others = all
            .iter()
            .map(|record| &record.trainer)
            .filter(|other| other.id != self.trainer.id && other.class == self.trainer.class);
        others.any(|other| other.faults.is_empty() && other.running.len() < other.slots as usize)
    }

    /// Its name among all connected trainers.
    pub(crate) fn name(&self) -> &str {
        &self.trainer.id
    }

    /// What it says of itself now.
    pub(crate) fn description(&self) -> Trainer {
        let (running, refused) = (lock(&self.running).clone(), self.refused.reasons());
        Trainer {
            running,
            refused,
            faults: self.health.fault().into_iter().collect(),
            ..self.trainer.clone()
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Resolves at shutdown.
    pub(crate) async fn stopped(&self) {
        // The sender outlives every worker: an error means the same.
        let _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
    }
}

/// Resolves once there `is_idle` a peer; asks after each `pause`.
async fn idle<F: Future<Output = bool>>(pause: Duration, is_idle: impl Fn() -> F) {
    loop {
        tokio::time::sleep(pause).await;
        if is_idle().await {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_peer_is_looked_for_again_until_one_is_idle() {
        let looks = AtomicUsize::new(0);
        idle(Duration::from_millis(1), || async { looks.fetch_add(1, Ordering::SeqCst) >= 3 }).await;
        assert_eq!(looks.into_inner(), 4);
    }
}

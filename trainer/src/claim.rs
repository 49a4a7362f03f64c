//! Claims trials while slots are free, and waits for those that run.

use std::sync::Arc;

use store::{Claim, Lease};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit};
use tokio::task::JoinSet;

use crate::attempt;
use crate::backoff::retry;
use crate::limits;
use crate::worker::Worker;

/// Claims as many trials as there are free slots, until shutdown; then waits until those that run
/// are handed back.
pub(crate) async fn claim(worker: Arc<Worker>) {
    let worker = &worker;
    let mut trials = JoinSet::new();
    // Held by a trial that runs alone: trials claimed beside it would wait here, while another
    // trainer could train them.
    let alone = Arc::new(Mutex::new(()));
    // Nothing is begun whose result could not be written.
    tokio::select! { _ = worker.health.is_well() => {}, () = worker.stopped() => return }
    while !worker.is_stopping() {
        while trials.try_join_next().is_some() {}
        let permits = tokio::select! {
            permits = ready(worker, &alone) => permits,
            () = worker.stopped() => break,
        };
        let claim = Claim::new(&worker.trainer, worker.refused.ids(), permits.len());
        let leases = leases(worker, &claim).await;
        if leases.is_empty() {
            drop(permits);
            wait_for_work(worker).await;
        } else {
            for (lease, permit) in leases.into_iter().zip(permits) {
                // A claim ends with the first trial that runs alone, so that the lock is free.
                let alone = if lease.alone { alone.clone().try_lock_owned().ok() } else { None };
                trials.spawn(run(worker.clone(), lease, (permit, alone)));
            }
        }
    }
    while trials.join_next().await.is_some() {}
}

/// Waits until trials may be claimed, and returns the permits of the free slots.
async fn ready(worker: &Worker, alone: &Mutex<()>) -> Vec<OwnedSemaphorePermit> {
    drop(alone.lock().await);
    let permits = free_slots(worker).await;
    worker.health.well().await;
    // On a blocking thread: the files may lie on a disk that hangs.
    let refused = worker.refused.clone();
    let _ = tokio::task::spawn_blocking(move || refused.lift()).await;
    // A claim names no more datasets than these: its trial may be of one that it does not name,
    // again and again.
    if worker.refused.ids().len() == limits::REFUSED_MAX {
        tokio::time::sleep(retry()).await;
    }
    permits
}

/// Waits for a free slot and takes all that are free.
async fn free_slots(worker: &Worker) -> Vec<OwnedSemaphorePermit> {
    // The semaphore is never closed.
    let mut permits: Vec<_> = worker.slots.clone().acquire_owned().await.into_iter().collect();
    while permits.len() < limits::CLAIMS_MAX {
        let Ok(permit) = worker.slots.clone().try_acquire_owned() else { break };
        permits.push(permit);
    }
    permits
}

/// Sends the very same claim until it is answered: the leases of a lost answer come with the next.
async fn leases(worker: &Worker, claim: &Claim) -> Vec<Lease> {
    let mut warned = false;
    loop {
        match worker.store.claim(claim).await {
            Ok(leases) => return leases,
            Err(_) if worker.is_stopping() => return Vec::new(),
            Err(error) if !warned => tracing::warn!("Cannot claim trials, trying again: {error}"),
            Err(_) => {}
        }
        warned = true;
        tokio::select! { () = tokio::time::sleep(retry()) => {}, () = worker.stopped() => {} }
    }
}

async fn wait_for_work(worker: &Worker) {
    let classes = worker.trainer.classes();
    let wait = worker.store.wait_for_work(&classes, worker.store.tick());
    tokio::select! {
        waited = wait => if waited.is_err() {
            tokio::time::sleep(retry()).await;
        },
        () = worker.stopped() => {}
    }
}

/// Runs one trial in its slot, from its lease to its acknowledged end, and has its study topped up
/// once the slot is free.
async fn run(worker: Arc<Worker>, lease: Lease, slot: (OwnedSemaphorePermit, Option<OwnedMutexGuard<()>>)) {
    let running = worker.running(lease.study, lease.number);
    let wants_trials = attempt::attempt(&worker, &lease).await;
    drop(running);
    drop(slot);
    if wants_trials && let Err(error) = worker.store.top_up(lease.study).await {
        tracing::debug!("The reaper will top up study {}: {error}", lease.study);
    }
}

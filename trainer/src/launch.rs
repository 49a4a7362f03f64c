//! From a lease to a trained trial: waits for all that the trial needs, and trains it.

use std::future::Future;
use std::sync::Arc;

use hpo::Study;
use hpo::trial::ErrorKind;
use store::Lease;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::backoff::retry;
use crate::resume;
use crate::run::Event;
use crate::stop::{Reason, Stop};
use crate::trial::{Incomplete, Outcome, Trial};
use crate::worker::Worker;

/// Waits for all that the trial needs, and trains it on a thread of its own, named after it.
pub(crate) async fn train(
    worker: &Arc<Worker>,
    lease: &Lease,
    stop: &Arc<Stop>,
    events: UnboundedSender<Event>,
) -> Outcome {
    let _exclusivity = unless_stopped(stop, worker.idle_peer(), worker.exclusivity(lease.alone)).await?;
    let study = study(worker, lease, stop).await?;
    let Some(handle) = worker.handle() else {
        return Err(Incomplete::Failed(ErrorKind::Panic, "its slot has no device".into()));
    };
    let paths = match lease.attempt {
        1 => Vec::new(),
        _ => tokio::select! {
            paths = resume::paths(worker, lease) => paths,
            reason = stop.stopped() => return Err(Incomplete::Stopped(reason)),
        },
    };
    let prepare = {
        let (worker, lease, stop) = (worker.clone(), lease.clone(), stop.clone());
        move || Trial::prepare(worker, lease, study, stop)
    };
    let trial = tokio::task::spawn_blocking(prepare)
        .await
        .map_err(|error| Incomplete::Failed(ErrorKind::Panic, error.to_string()))??;
    let share = unless_stopped(stop, worker.idle_peer(), worker.memory.share(trial.bytes)).await?;

    let (checkpoints, opener) = resume::handover();
    let (done, outcome) = oneshot::channel();
    let (device, metrics) = (handle.device.clone(), worker.metrics.clone());
    let tell = move |event| {
        if let Event::Epoch { samples: samples @ 1.., .. } = &event {
            // What an earlier attempt trained was counted there.
            metrics.epochs.inc();
            metrics.samples.inc_by(*samples);
        }
        let _ = events.send(event); // nobody listens once the lease is lost
    };
    let thread = std::thread::Builder::new().name(format!("trial-{}-{}", lease.study, lease.number));
    let spawned = thread.spawn(move || drop(done.send(trial.train(&device, share, checkpoints, tell))));
    if let Err(error) = spawned {
        return Err(Incomplete::Failed(ErrorKind::Io, format!("cannot start a thread for it: {error}")));
    }
    let (outcome, ()) = tokio::join!(outcome, opener.open(worker, paths, stop));
    outcome.unwrap_or_else(|_| {
        Err(Incomplete::Failed(ErrorKind::Panic, "its thread ended without a result".into()))
    })
}

/// What a trial waits for on its device. It waits no longer once it is to stop, or once it has
/// waited for long and another trainer is idle.
async fn unless_stopped<T>(
    stop: &Stop,
    idle_peer: impl Future<Output = ()>,
    wait: impl Future<Output = T>,
) -> Result<T, Incomplete> {
    tokio::select! {
        biased; // its turn may have come meanwhile
        done = wait => Ok(done),
        reason = stop.stopped() => Err(Incomplete::Stopped(reason)),
        () = idle_peer => Err(Incomplete::Stopped(Reason::Release)),
    }
}

/// The trial's study, once Redis answers.
async fn study(worker: &Worker, lease: &Lease, stop: &Stop) -> Result<Arc<Study>, Incomplete> {
    loop {
        match worker.store.spec(lease.study).await {
            Ok(study) => return Ok(study),
            Err(store::Error::NoSuchStudy(_)) => return Err(Incomplete::Stopped(Reason::Lost)),
            Err(store::Error::Corrupt(error)) => return Err(Incomplete::Failed(ErrorKind::Invalid, error)),
            Err(_) => tokio::select! {
                () = tokio::time::sleep(retry()) => {}
                reason = stop.stopped() => return Err(Incomplete::Stopped(reason)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::memory::Memory;

    #[tokio::test]
    async fn a_trial_that_waits_ends_at_once_when_it_is_told_to_stop() {
        let (stop, memory) = (Stop::default(), Arc::new(Memory::new(10, 1)));
        let _first = memory.share(6).await;
        stop.set(Reason::Cancel);
        let second = unless_stopped(&stop, pending(), memory.share(9)).await;
        assert!(matches!(second, Err(Incomplete::Stopped(Reason::Cancel))));
    }

    #[tokio::test]
    async fn a_trial_that_waits_is_handed_back_if_another_trainer_is_idle() {
        let (stop, memory) = (Stop::default(), Arc::new(Memory::new(10, 1)));
        let first = memory.share(6).await;
        let second = unless_stopped(&stop, ready(()), memory.share(9)).await;
        assert!(matches!(second, Err(Incomplete::Stopped(Reason::Release))));
        drop(first);
        let second = unless_stopped(&stop, ready(()), memory.share(9)).await;
        assert!(second.is_ok(), "its turn has come, whoever is idle");
    }
}

//! The checkpoints from which a trial goes on. The async side opens them and hands them over to the
//! training thread, one each time that it asks.

use std::fs::File;

use store::Lease;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::limits;
use crate::stop::Stop;
use crate::worker::Worker;

/// The paths of the checkpoints that earlier attempts left, the furthest first. While the artifacts
/// cannot be used it waits: starting over would cost all that is in them, and no result could be
/// written anyway.
pub(crate) async fn paths(worker: &Worker, lease: &Lease) -> Vec<String> {
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

/// The files of checkpoints for a training thread, which waits for each. A file is opened only when
/// it is asked for: from a bucket it is a copy, which goes before the next one comes.
pub(crate) struct Checkpoints {
    wanted: Sender<()>,
    files: Receiver<File>,
}

/// The other end of [`Checkpoints`].
pub(crate) struct Opener {
    wanted: Receiver<()>,
    files: Sender<File>,
}

/// Both ends.
pub(crate) fn handover() -> (Checkpoints, Opener) {
    let ((ask, wanted), (send, files)) = (mpsc::channel(1), mpsc::channel(1));
    (Checkpoints { wanted: ask, files }, Opener { wanted, files: send })
}

impl Iterator for Checkpoints {
    type Item = File;

    fn next(&mut self) -> Option<File> {
        self.wanted.blocking_send(()).ok()?;
        self.files.blocking_recv()
    }
}

impl Opener {
    /// Opens these until the thread asks no more. Those that cannot be read are left out; there are
    /// none once the trial is to stop.
    pub(crate) async fn open(mut self, worker: &Worker, paths: Vec<String>, stop: &Stop) {
        let mut paths = paths.into_iter().take(limits::CHECKPOINTS_TRIED_MAX);
        while self.wanted.recv().await.is_some() {
            let opened = tokio::select! {
                opened = next(worker, &mut paths) => opened,
                _ = stop.stopped() => None,
            };
            let Some(file) = opened else { return };
            // The thread may have ended.
            let _ = self.files.send(file).await;
        }
    }
}

/// The next of the checkpoints that can be read.
async fn next(worker: &Worker, paths: &mut impl Iterator<Item = String>) -> Option<File> {
    for path in paths {
        if let Some(file) = open(worker, &path).await {
            return Some(file);
        }
    }
    None
}

/// A checkpoint, once the artifacts can be used; none if this one cannot be read.
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

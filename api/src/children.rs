//! The trainer child of a service on one machine: it is started again when it dies, and stopped
//! before Redis.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::limits;
use anyhow::Context;
use store::flags::Machine;
use tokio::sync::watch;

/// How the trainer child is started.
#[derive(Debug, Clone)]
pub(crate) struct TrainerCommand {
    pub(crate) redis_url: String,
    pub(crate) machine: Machine,
    pub(crate) artifacts: String,
    pub(crate) lease_seconds: u64,
    /// Whether it logs warnings only.
    pub(crate) quiet: bool,
}

/// A trainer child and the thread that watches it. The thread also spawns the child, which on Linux
/// dies with the thread that spawned it.
pub(crate) struct TrainerChild {
    stop: mpsc::Sender<()>,
    watcher: JoinHandle<()>,
    /// Closed when the watcher ends.
    watched: watch::Receiver<()>,
}

/// How often the child is looked at.
const TICK: Duration = Duration::from_millis(50);

impl TrainerChild {
    /// Starts the trainer program in the folder of this one.
    pub(crate) fn start(command: TrainerCommand) -> anyhow::Result<TrainerChild> {
        let program = beside_us("chandler-trainer")?;
        let (stop, stopped) = mpsc::channel();
        let (spawned, first) = mpsc::channel();
        let (watching, watched) = watch::channel(());
        let watch = move || {
            let _watching = watching;
            let mut child = match command.spawn(&program) {
                Ok(child) => {
                    let _ = spawned.send(Ok(()));
                    child
                }
                Err(error) => {
                    let _ = spawned.send(Err(error));
                    return;
                }
            };
            let mut started = Instant::now();
            loop {
                match stopped.recv_timeout(TICK) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return end(&mut child),
                }
                let Ok(Some(status)) = child.try_wait() else { continue };
                let pause =
                    Duration::from_millis(limits::TRAINER_RESTART_MS).saturating_sub(started.elapsed());
                tracing::warn!("The trainer ended ({status}); starting it again");
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                started = Instant::now();
                match command.spawn(&program) {
                    Ok(again) => child = again,
                    Err(error) => tracing::error!("The trainer could not be started: {error}"),
                }
            }
        };
        let watcher = std::thread::Builder::new().name("trainer-child".to_owned()).spawn(watch)?;
        first.recv().context("the thread that starts the trainer ended")?.with_context(|| {
            format!("cannot start {}", beside_us("chandler-trainer").unwrap_or_default().display())
        })?;
        Ok(TrainerChild { stop, watcher, watched })
    }

    /// Waits for the end of the watching thread, which is a panic: nothing else ends it while this
    /// waits.
    pub(crate) async fn unwatched(&self) {
        let _ = self.watched.clone().changed().await;
    }

    /// Asks the child to hand its trials back, and waits for its end.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        let _ = tokio::task::spawn_blocking(move || self.watcher.join()).await;
    }
}

impl TrainerCommand {
    fn spawn(&self, program: &Path) -> std::io::Result<Child> {
        let mut command = Command::new(program);
        command
            .arg("--redis-url")
            .arg(&self.redis_url)
            .arg("--data-dir")
            .arg(&self.machine.data_dir)
            .arg("--datasets")
            .arg(self.machine.datasets())
            .arg("--artifacts")
            .arg(&self.artifacts);
        command.arg("--lease-seconds").arg(self.lease_seconds.to_string()).arg("--parent-death");
        if let Some(slots) = self.machine.slots {
            command.arg("--slots").arg(slots.to_string());
        }
        if self.quiet {
            command.env("CHANDLER_LOG", "warn");
        }
        // They are for a Redis at a URL; this trainer uses the embedded one.
        for variable in store::TlsFiles::VARIABLES {
            command.env_remove(variable);
        }
        // A process group of its own: Ctrl-C reaches this program only, which stops it in order.
        command.process_group(0).spawn()
    }
}

/// The program called `name` in the folder of this one, or one folder up, as for tests.
fn beside_us(name: &str) -> anyhow::Result<PathBuf> {
    let us = std::env::current_exe().context("cannot find this program's own file")?;
    let folders = us.ancestors().skip(1).take(2);
    let candidates: Vec<PathBuf> = folders.map(|folder| folder.join(name)).collect();
    candidates
        .iter()
        .find(|path| path.is_file())
        .cloned()
        .with_context(|| format!("{name} must be in the folder of {}", us.display()))
}

fn end(child: &mut Child) {
    // SAFETY: kill takes no pointer; the child was not waited for, so its id is still its own.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
    let deadline = Instant::now() + Duration::from_secs(limits::TRAINER_STOP_SECONDS_MAX);
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(TICK / 10);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn that_the_thread_which_watches_the_trainer_panicked_is_seen() {
        let (stop, _stopped) = mpsc::channel();
        let (watching, watched) = watch::channel(());
        let watcher = std::thread::spawn(move || {
            let _watching = watching;
            panic!("on purpose");
        });
        TrainerChild { stop, watcher, watched }.unwatched().await;
    }
}

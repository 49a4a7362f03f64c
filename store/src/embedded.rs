//! The embedded Redis: a private `redis-server` or `valkey-server` child on a unix socket, its data
//! in the data folder.
//!
//! One thread per [`Embedded`] spawns the child, watches it, restarts it when it dies and stops it
//! at the end. It must be a thread of its own: on Linux the child is told to end with its parent
//! (PDEATHSIG), and "parent" means the *thread* that spawned it. On other systems, or if both were
//! killed in the wrong order, a child that is left over is found by the note beside its data and
//! shut down first.
//!
//! While its disk is full, the child is read-only, because it would end at the first write.

mod child;
mod disk;
mod folder;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::limits;
use child::{Mode, Redis, Supervisor};
use disk::{Disk, free_bytes};
use tokio::sync::watch;

/// How soon the end of a child is noticed; a check costs one system call.
const TICK: Duration = Duration::from_millis(20);
/// How long a child may take to end once asked.
const STOP: Duration = Duration::from_secs(limits::REDIS_STOP_SECONDS_MAX);

/// Why there is no embedded Redis.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Neither `redis-server` nor `valkey-server` is on this machine.
    #[error(
        "no Redis found: install it (apt install redis-server, dnf install valkey, apk add redis, brew install redis), name one in CHANDLER_REDIS_SERVER, or set REDIS_URL"
    )]
    NotInstalled,
    /// Another process holds the lock on the data folder.
    #[error("the data folder {folder} is in use by another chandler{holder}")]
    InUse {
        /// The Redis folder inside the data folder.
        folder: PathBuf,
        /// ` (process 123)`, or nothing if it is not known.
        holder: String,
    },
    /// Nothing is stored yet, and there is no space to store anything.
    #[error("no space left on the disk of {0}: free some, at least {mib} MiB", mib = limits::REDIS_DISK_BYTES_RESUME >> 20)]
    NoSpace(PathBuf),
    /// The child did not start, or died too often; the text ends with its last log lines.
    #[error("{0}")]
    Failed(String),
    /// The operating system refused something.
    #[error("the embedded Redis: {0}")]
    Io(String),
}

/// A running Redis child. Dropping it stops the child and waits for its end, for at most about ten
/// seconds.
#[derive(Debug)]
pub struct Embedded {
    url: String,
    pid: Arc<AtomicU32>,
    disk_full: Arc<AtomicBool>,
    failure: watch::Receiver<Option<Error>>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The program to start: the one that `CHANDLER_REDIS_SERVER` names, or the first `redis-server` on
/// `PATH`, or the first `valkey-server`. Errors: [`Error::NotInstalled`]; [`Error::Io`] if the one
/// named is not an executable file.
pub fn server() -> Result<PathBuf, Error> {
    folder::find_server(std::env::var_os("CHANDLER_REDIS_SERVER"), std::env::var_os("PATH"))
}

impl Embedded {
    /// Starts Redis on `<data_dir>/redis` and returns once it answers. Blocks; needs no runtime.
    ///
    /// The server is that of [`server`]. Fails when there is none, when another chandler uses the
    /// folder, when the server ends instead of answering (its log is in the error), or when the
    /// disk is full before anything was stored.
    pub fn start(data_dir: &Path) -> Result<Embedded, Error> {
        let server = server()?;
        let folder = data_dir.join("redis");
        fs::create_dir_all(&folder)
            .map_err(|e| Error::Io(format!("cannot make {}: {e}", folder.display())))?;
        let lock = folder::lock(&folder)?;
        folder::end_stale_child(&folder)?;
        let runtime = folder::runtime_folder()?;
        let socket = runtime.path().join("r.sock");
        let url = format!("unix://{}", socket.display());

        let mut disk = Disk::default();
        let mode = disk.mode(free_bytes(&folder).unwrap_or(u64::MAX), Instant::now());
        if mode == Mode::ReadOnly && !folder.join("appendonlydir").exists() {
            return Err(Error::NoSpace(folder));
        }
        let pid = Arc::new(AtomicU32::new(0));
        let disk_full = Arc::new(AtomicBool::new(false));
        let (failed, failure) = watch::channel(None);
        let (stop, stopped) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let supervisor =
            Supervisor { server, folder, socket, pid: pid.clone(), disk_full: disk_full.clone() };
        let supervise = move || {
            supervisor.tell(mode);
            let first = supervisor.launch(mode, &stopped);
            let _ = ready.send(first.as_ref().map(|_| ()).map_err(Clone::clone));
            if let Ok(redis) = first
                && let Err(error) = supervisor.supervise(redis, disk, &stopped)
            {
                let _ = failed.send(Some(error));
            }
            let _ = fs::remove_file(supervisor.note());
            drop((runtime, lock)); // last, so that the next holder of the lock finds nothing of ours running
        };
        let thread = thread::Builder::new()
            .name("redis-child".into())
            .spawn(supervise)
            .map_err(|e| Error::Io(e.to_string()))?;
        let embedded = Embedded { url, pid, disk_full, failure, stop: Some(stop), thread: Some(thread) };
        is_ready.recv().unwrap_or_else(|_| Err(Error::Io("its thread ended".into()))).map(|()| embedded)
    }

    /// Where it listens, as a URL for the crate `redis`: `unix:///…/r.sock`. It stays the same when
    /// the child is restarted.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The process id of the child, which changes with a restart; 0 while there is none.
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Acquire)
    }

    /// A flag that is set while its disk is full: nothing can be changed then, but what is stored
    /// can be read.
    pub fn disk_full(&self) -> Arc<AtomicBool> {
        self.disk_full.clone()
    }

    /// Waits until the child is given up, which it is once it has died five times within a minute,
    /// and not because its disk is full. The error has its last log lines.
    pub async fn failed(&self) -> Error {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(error)) => error.clone(),
            _ => Error::Io("its thread ended".into()),
        }
    }

    /// Stops the child and waits for its end; what it has acknowledged is on disk. Stop everything
    /// that uses it first.
    pub async fn stop(self) {
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Supervisor {
    /// Watches the child and its disk, and restarts the child whenever it dies, until it is to stop
    /// or has died too often.
    fn supervise(&self, mut redis: Redis, mut disk: Disk, stopped: &mpsc::Receiver<()>) -> Result<(), Error> {
        let mut deaths = VecDeque::new();
        while let Some(status) = self.watch(&mut redis, &mut disk, stopped) {
            let death = redis.obituary(&format!("ended ({status})"));
            let Some(restarted) = self.restart(death, &mut deaths, &mut disk, stopped)? else { break };
            redis = restarted;
            tracing::info!(redis.pid = self.pid.load(Ordering::Acquire), "The embedded Redis is back");
        }
        Ok(())
    }

    /// Follows the disk until the child dies. If it is to stop first, it is stopped; then none.
    fn watch(&self, redis: &mut Redis, disk: &mut Disk, stopped: &mpsc::Receiver<()>) -> Option<ExitStatus> {
        while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            if let Ok(Some(status)) = redis.child.try_wait() {
                return Some(status);
            }
            self.follow_disk(redis, disk);
        }
        self.end(redis);
        None
    }

    /// A new child after a death, however many starts it takes; none if it is to stop.
    fn restart(
        &self,
        mut death: String,
        deaths: &mut VecDeque<Instant>,
        disk: &mut Disk,
        stopped: &mpsc::Receiver<()>,
    ) -> Result<Option<Redis>, Error> {
        self.pid.store(0, Ordering::Release);
        for starts in 0.. {
            let backoff = Duration::from_millis(self.backoff_ms(&death, deaths, disk, starts)?);
            if stopped.recv_timeout(backoff) != Err(RecvTimeoutError::Timeout) {
                break;
            }
            let mode = disk.mode(free_bytes(&self.folder).unwrap_or(u64::MAX), Instant::now());
            self.tell(mode);
            match self.launch(mode, stopped) {
                Ok(redis) => return Ok(Some(redis)),
                Err(error) => death = format!("did not start: {error}"),
            }
        }
        Ok(None)
    }

    /// How long to wait after a death, in ms. An error if it was one too many; deaths for lack of
    /// space on the disk do not count.
    fn backoff_ms(
        &self,
        death: &str,
        deaths: &mut VecDeque<Instant>,
        disk: &mut Disk,
        starts: usize,
    ) -> Result<u64, Error> {
        let free = free_bytes(&self.folder).unwrap_or(u64::MAX);
        if disk.has_ended_it(death, free, Instant::now()) {
            let folder = self.folder.display();
            tracing::warn!(
                "The embedded Redis {death}\n  No space left on the disk of {folder} ({free} bytes free): starting it again, read-only"
            );
            return Ok(limits::REDIS_RESTART_BACKOFF_MS << starts.min(limits::REDIS_DEATHS_MAX));
        }
        deaths.push_back(Instant::now());
        deaths.retain(|at| at.elapsed() < Duration::from_secs(limits::REDIS_DEATHS_WINDOW_SECONDS));
        if deaths.len() >= limits::REDIS_DEATHS_MAX {
            return Err(Error::Failed(format!(
                "Redis stopped {} times within a minute; the last time it {death}",
                deaths.len()
            )));
        }
        let backoff = limits::REDIS_RESTART_BACKOFF_MS << (deaths.len() - 1);
        tracing::warn!(backoff_ms = backoff, "The embedded Redis {death}; starting it again");
        Ok(backoff)
    }

    /// Puts the child into the mode that its disk allows.
    fn follow_disk(&self, redis: &mut Redis, disk: &mut Disk) {
        let free = free_bytes(&self.folder).unwrap_or(u64::MAX);
        let (before, mode) = (redis.mode, disk.mode(free, Instant::now()));
        if mode == before {
            return;
        }
        if mode == Mode::ReadOnly {
            self.tell(mode); // before Redis refuses anything
        }
        if !self.set_mode(redis, mode) {
            return; // it is busy or about to end: tried again with the next tick
        }
        self.tell(mode);
        let folder = self.folder.display();
        if mode == Mode::ReadOnly {
            let resume = limits::REDIS_DISK_BYTES_RESUME >> 20;
            tracing::error!(
                "No space left on the disk of {folder} ({free} bytes free): nothing is changed until {resume} MiB are free"
            );
        } else {
            tracing::info!("There is space again on the disk of {folder} ({free} bytes free)");
        }
    }

    /// Publishes whether the child is read-only.
    fn tell(&self, mode: Mode) {
        self.disk_full.store(mode == Mode::ReadOnly, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;

//! The embedded Redis: a private `redis-server` or `valkey-server` child on a unix socket, its data in the data folder.
//!
//! One thread per [`Embedded`] spawns the child, watches it, starts it anew when it dies and stops it at the end. It must be a thread of
//! its own: on Linux the child is told to end with its parent (PDEATHSIG), and "parent" means the *thread* that spawned it. Elsewhere,
//! and where both were killed in the wrong order, a child left over is found by the note beside its data and shut down first.

mod child;
mod folder;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use child::{Place, Redis};
use hpo::limits;
use tokio::sync::watch;

/// How soon a death is noticed; a look costs one system call.
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
        /// ` (process 123)`, or nothing where it isn't known.
        holder: String,
    },
    /// The child did not come up, or died too often; the text ends with its last log lines.
    #[error("{0}")]
    Failed(String),
    /// The machine refused something.
    #[error("the embedded Redis: {0}")]
    Io(String),
}

/// A running Redis child. Dropping it stops the child and waits for its end, for at most about ten seconds.
#[derive(Debug)]
pub struct Embedded {
    url: String,
    pid: Arc<AtomicU32>,
    failure: watch::Receiver<Option<Error>>,
    stop: Option<mpsc::Sender<()>>,
    supervisor: Option<JoinHandle<()>>,
}

/// The program to start: the one that `CHANDLER_REDIS_SERVER` names, else the first `redis-server` on `PATH`, else the first
/// `valkey-server`. Errors: [`Error::NotInstalled`]; [`Error::Io`] where the one named is no program.
pub fn server() -> Result<PathBuf, Error> {
    folder::find_server(std::env::var_os("CHANDLER_REDIS_SERVER"), std::env::var_os("PATH"))
}

impl Embedded {
    /// Starts Redis on `<data_dir>/redis` and returns once it answers. Blocks; needs no runtime.
    ///
    /// The server is that of [`server`]. Fails when there is none, when another chandler uses the folder, or when the server ends instead of
    /// answering (its log is in the error).
    pub fn start(data_dir: &Path) -> Result<Embedded, Error> {
        let server = server()?;
        let folder = data_dir.join("redis");
        fs::create_dir_all(&folder).map_err(|e| Error::Io(format!("cannot make {}: {e}", folder.display())))?;
        let lock = folder::lock(&folder)?;
        folder::end_stale_child(&folder)?;
        let runtime = folder::runtime_folder()?;
        let socket = runtime.path().join("r.sock");
        let url = format!("unix://{}", socket.display());

        let pid = Arc::new(AtomicU32::new(0));
        let (failed, failure) = watch::channel(None);
        let (stop, stopped) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let place = Place { server, folder, socket, pid: pid.clone() };
        let supervise = move || {
            let first = place.launch(&stopped);
            let _ = ready.send(first.as_ref().map(|_| ()).map_err(Clone::clone));
            if let Ok(redis) = first
                && let Err(error) = place.supervise(redis, &stopped)
            {
                let _ = failed.send(Some(error));
            }
            let _ = fs::remove_file(place.note());
            drop((runtime, lock)); // last: whoever gets the lock finds nothing of ours running
        };
        let supervisor = thread::Builder::new().name("redis-child".into()).spawn(supervise).map_err(|e| Error::Io(e.to_string()))?;
        let embedded = Embedded { url, pid, failure, stop: Some(stop), supervisor: Some(supervisor) };
        is_ready.recv().unwrap_or_else(|_| Err(Error::Io("its thread ended".into()))).map(|()| embedded)
    }

    /// Where it listens, as a URL for the crate `redis`: `unix:///…/r.sock`. It stays the same when the child is restarted.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The process id of the child, another after a restart; 0 while there is none.
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Acquire)
    }

    /// Waits until the child is given up: it died five times within a minute. The error carries its last log lines.
    pub async fn failed(&self) -> Error {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(error)) => error.clone(),
            _ => Error::Io("its thread ended".into()),
        }
    }

    /// Stops the child in order and waits for its end; what it has acknowledged is on disk. Everything that uses it should have ended before.
    pub async fn stop(self) {
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(supervisor) = self.supervisor.take() {
            let _ = supervisor.join();
        }
    }
}

impl Place {
    /// Watches the child and starts it anew whenever it dies, until `stopped` says so or it died too often.
    fn supervise(&self, mut redis: Redis, stopped: &mpsc::Receiver<()>) -> Result<(), Error> {
        let mut deaths: VecDeque<Instant> = VecDeque::new();
        loop {
            let status = loop {
                if stopped.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
                    self.end(&mut redis);
                    return Ok(());
                }
                if let Ok(Some(status)) = redis.child.try_wait() {
                    break status;
                }
            };
            let mut death = redis.obituary(&format!("ended ({status})"));
            redis = loop {
                self.pid.store(0, Ordering::Release);
                deaths.push_back(Instant::now());
                deaths.retain(|at| at.elapsed() < Duration::from_secs(limits::REDIS_DEATHS_WINDOW_SECONDS));
                if deaths.len() >= limits::REDIS_DEATHS_MAX {
                    return Err(Error::Failed(format!("Redis died {} times within a minute; the last time it {death}", deaths.len())));
                }
                let backoff = Duration::from_millis(limits::REDIS_RESTART_BACKOFF_MS << (deaths.len() - 1));
                tracing::warn!(backoff_ms = backoff.as_millis(), "The embedded Redis {death}; starting it again");
                if stopped.recv_timeout(backoff) != Err(RecvTimeoutError::Timeout) {
                    return Ok(());
                }
                match self.launch(stopped) {
                    Ok(redis) => break redis,
                    Err(error) => death = format!("did not start: {error}"),
                }
            };
            tracing::info!(redis.pid = self.pid.load(Ordering::Acquire), "The embedded Redis is back");
        }
    }
}

#[cfg(test)]
mod tests;

//! Readings of datasets: each on a thread of its own, for all callers that ask for the same dataset
//! meanwhile.
//!
//! A file may take minutes to read, by chance or by intent. So readings of different datasets do not
//! wait for each other while few are under way, each has a time limit, and one that nobody waits for
//! is given up. Every reader regularly checks its [`Reading`].

use std::collections::HashMap;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::limits;

use crate::Error;
use crate::room::{Memory, Room};

/// A caller that waits for a dataset.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The seconds that a reading for this caller may take, and the seconds that it may wait for its
    /// turn before.
    pub seconds_max: u64,
    /// Whether the caller has left. Called twenty times a second.
    pub has_left: &'a dyn Fn() -> bool,
}

impl Caller<'_> {
    /// A caller that stays for the whole time.
    pub fn patient(seconds_max: u64) -> Caller<'static> {
        Caller { seconds_max, has_left: &|| false }
    }
}

/// One reading: its memory, its time limit, and whether a caller still waits for it.
pub(crate) struct Reading<'a> {
    /// The file that errors name.
    path: &'a str,
    /// The memory.
    pub(crate) room: Room,
    /// The end of its time, and the seconds that it had.
    until: Option<(Instant, u64)>,
    is_wanted: &'a dyn Fn() -> bool,
}

impl<'a> Reading<'a> {
    /// A reading that is too short for a time limit, within this room.
    pub(crate) fn brief(path: &'a str, room: Room) -> Reading<'a> {
        Reading { path, room, until: None, is_wanted: &|| true }
    }

    /// A reading of the head of a file that must end at `until`.
    pub(crate) fn until(path: &'a str, until: Instant) -> Reading<'a> {
        Reading {
            until: Some((until, limits::DATASETS_LIST_SECONDS)),
            ..Reading::brief(path, Room::in_memory(&Memory::default()))
        }
    }

    /// An error if it has taken too long or nobody waits for it any more. Called after some thousand
    /// rows or some dozen kilobytes.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(self.is_wanted)() {
            return Err(Error::Unwanted { path: self.path.to_owned() });
        }
        match self.until {
            Some((until, seconds)) if Instant::now() >= until => {
                Err(Error::Slow { path: self.path.to_owned(), seconds })
            }
            _ => Ok(()),
        }
    }
}

/// The readings under way in a process, by what they read.
pub(crate) struct Readings<K, T> {
    state: Mutex<State<K, T>>,
    /// Notified when a reading ends and when a caller leaves one.
    changed: Condvar,
    memory: Memory,
    /// The bytes of memory that are free.
    free_memory: fn() -> u64,
}

struct State<K, T> {
    jobs: HashMap<K, Arc<Job<T>>>,
    /// The number of jobs that are reading.
    at_work: usize,
    /// The number of callers that wait.
    waiting: usize,
}

/// A reading that waits for its turn, is under way or has ended.
struct Job<T> {
    /// The number of callers that wait for it. Changed under the lock; at 0 the job is given up.
    callers: AtomicUsize,
    is_background: bool,
    outcome: OnceLock<Result<T, Error>>,
}

/// A job with all that its thread needs.
struct Task<K, T, F> {
    key: K,
    path: String,
    seconds_max: u64,
    job: Arc<Job<T>>,
    read: F,
}

/// The time between two checks whether a caller has left.
const POLL: Duration = Duration::from_millis(50);

impl<K, T> Readings<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(free_memory: fn() -> u64) -> Arc<Readings<K, T>> {
        let state = Mutex::new(State { jobs: HashMap::new(), at_work: 0, waiting: 0 });
        Arc::new(Readings { state, changed: Condvar::new(), memory: Memory::default(), free_memory })
    }

    /// Records that a dataset of this size was dropped from memory.
    pub(crate) fn freed(&self, bytes: u64) {
        match lock(&self.state).at_work {
            0 | 1 => self.memory.measure((self.free_memory)(), false),
            _ => self.memory.gain(bytes),
        }
    }

    /// The outcome of reading `key`: of the reading under way if there is one, otherwise of `read` on
    /// a thread of its own. Errors name the file at `path`.
    pub(crate) fn ask<F>(self: &Arc<Self>, key: &K, path: &str, caller: Caller, read: F) -> Result<T, Error>
    where
        F: FnOnce(&Reading) -> Result<T, Error> + Send + 'static,
    {
        if lock(&self.state).waiting >= limits::DATASET_CALLERS_MAX {
            return Err(Error::Busy { path: path.to_owned() });
        }
        let job = self.join(key).unwrap_or_else(|| self.start(key, path, caller.seconds_max, false, read));
        self.wait(&job, caller.has_left).unwrap_or_else(|| {
            let _state = lock(&self.state);
            job.callers.fetch_sub(1, Ordering::Relaxed);
            self.changed.notify_all();
            Err(Error::Unwanted { path: path.to_owned() })
        })
    }

    /// Like [`Readings::ask`], but waits only until `until`, and the reading goes on after that. None
    /// if it has not ended by then, or if another background reading is under way.
    pub(crate) fn ask_in_background<F>(
        self: &Arc<Self>,
        key: &K,
        path: &str,
        until: Instant,
        read: F,
    ) -> Option<Result<T, Error>>
    where
        F: FnOnce(&Reading) -> Result<T, Error> + Send + 'static,
    {
        let known = {
            let state = lock(&self.state);
            let known = state.jobs.get(key).cloned();
            if known.is_none() && state.jobs.values().any(|job| job.is_background) {
                return None;
            }
            known
        };
        let job =
            known.unwrap_or_else(|| self.start(key, path, limits::DATASET_POST_SECONDS_MAX, true, read));
        self.wait(&job, &|| Instant::now() >= until)
    }

    /// The job that is under way, with one more caller.
    fn join(&self, key: &K) -> Option<Arc<Job<T>>> {
        let state = lock(&self.state);
        let job = state.jobs.get(key)?;
        job.callers.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(job))
    }

    /// A new job for one caller, unless another thread was faster.
    fn start<F>(
        self: &Arc<Self>,
        key: &K,
        path: &str,
        seconds_max: u64,
        is_background: bool,
        read: F,
    ) -> Arc<Job<T>>
    where
        F: FnOnce(&Reading) -> Result<T, Error> + Send + 'static,
    {
        let mut state = lock(&self.state);
        if let Some(job) = state.jobs.get(key) {
            job.callers.fetch_add(usize::from(!is_background), Ordering::Relaxed);
            return Arc::clone(job);
        }
        let job = Arc::new(Job { callers: AtomicUsize::new(1), is_background, outcome: OnceLock::new() });
        state.jobs.insert(key.clone(), Arc::clone(&job));
        drop(state);
        let task = Task { key: key.clone(), path: path.to_owned(), seconds_max, job: Arc::clone(&job), read };
        let readings = Arc::clone(self);
        if let Err(source) =
            thread::Builder::new().name("dataset".to_owned()).spawn(move || readings.work(task))
        {
            self.end(key, Arc::clone(&job), Err(crate::folder::io_error(path, source)), false);
        }
        job
    }

    /// The outcome; none if the caller leaves before.
    fn wait(&self, job: &Job<T>, has_left: &dyn Fn() -> bool) -> Option<Result<T, Error>> {
        let mut state = lock(&self.state);
        state.waiting += 1;
        while job.outcome.get().is_none() && !has_left() {
            state = self.changed.wait_timeout(state, POLL).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.waiting -= 1;
        job.outcome.get().cloned()
    }

    /// Reads, once it is this job's turn.
    fn work<F: FnOnce(&Reading) -> Result<T, Error>>(
        &self,
        Task { key, path, seconds_max, job, read }: Task<K, T, F>,
    ) {
        if let Err(error) = self.take_turn(&key, &job, &path, seconds_max) {
            return self.end(&key, job, Err(error), false);
        }
        let is_wanted = || job.callers.load(Ordering::Relaxed) > 0 || !self.give_up(&key, &job);
        let until = Some((Instant::now() + Duration::from_secs(seconds_max), seconds_max));
        let reading =
            Reading { path: &path, room: Room::in_memory(&self.memory), until, is_wanted: &is_wanted };
        // A panic of the reader must not leave the callers without an answer.
        let outcome = catch_unwind(AssertUnwindSafe(|| read(&reading))).unwrap_or_else(|_| {
            Err(Error::Format {
                path: path.clone(),
                detail: "cannot be read because of a bug in the reader; the log has the details".into(),
            })
        });
        drop(reading); // gives its memory back
        self.end(&key, job, outcome, true);
    }

    /// Waits until fewer than [`limits::DATASETS_READ_AT_ONCE`] are at work.
    fn take_turn(&self, key: &K, job: &Arc<Job<T>>, path: &str, seconds_max: u64) -> Result<(), Error> {
        let until = Instant::now() + Duration::from_secs(seconds_max);
        let mut state = lock(&self.state);
        while state.at_work == limits::DATASETS_READ_AT_ONCE {
            if job.callers.load(Ordering::Relaxed) == 0 {
                forget(&mut state, key, job);
                return Err(Error::Unwanted { path: path.to_owned() });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Busy { path: path.to_owned() });
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.at_work += 1;
        self.memory.measure((self.free_memory)(), state.at_work > 1);
        Ok(())
    }

    /// Gives up a reading that nobody waits for, so that a later call starts a new one. Returns whether
    /// it was given up.
    fn give_up(&self, key: &K, job: &Arc<Job<T>>) -> bool {
        let mut state = lock(&self.state);
        let is_unwanted = job.callers.load(Ordering::Relaxed) == 0;
        if is_unwanted {
            forget(&mut state, key, job);
        }
        is_unwanted
    }

    /// Gives the outcome to all callers that wait.
    fn end(&self, key: &K, job: Arc<Job<T>>, outcome: Result<T, Error>, was_at_work: bool) {
        let mut state = lock(&self.state);
        if was_at_work {
            state.at_work -= 1;
            self.memory.measure((self.free_memory)(), state.at_work > 0);
        }
        forget(&mut state, key, &job);
        let _ = job.outcome.set(outcome);
        drop(job); // only the waiting callers hold the outcome from now on
        self.changed.notify_all();
    }
}

impl<K, T> std::fmt::Debug for Readings<K, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Readings").finish_non_exhaustive()
    }
}

/// Removes a job from the list, unless another has replaced it.
fn forget<K: Eq + Hash, T>(state: &mut State<K, T>, key: &K, job: &Arc<Job<T>>) {
    if state.jobs.get(key).is_some_and(|other| Arc::ptr_eq(other, job)) {
        state.jobs.remove(key);
    }
}

/// A poisoned lock is harmless: each change of the state is one statement, so a panic leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

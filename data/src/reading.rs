//! Readings of datasets: each on a thread of its own, for all who ask for the same one meanwhile.
//!
//! A file may take minutes to read, or be made to: so no reading waits for another of a different
//! dataset, as long as few are under way; each is bounded in time; and one that nobody waits for
//! any more is given up. Every reader asks its [`Reading`] as it goes on.

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
pub struct Asker<'a> {
    /// The seconds that a reading for this caller may take; it waits as long for its turn before.
    pub seconds_max: u64,
    /// Whether the caller has left. Called twenty times a second.
    pub has_left: &'a dyn Fn() -> bool,
}

impl Asker<'_> {
    /// A caller that never leaves before this time is over.
    pub fn patient(seconds_max: u64) -> Asker<'static> {
        Asker { seconds_max, has_left: &|| false }
    }
}

/// One reading: its memory, its time, and whether anybody still waits for it.
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
    /// A reading that takes no time worth a bound, within this room.
    pub(crate) fn brief(path: &'a str, room: Room) -> Reading<'a> {
        Reading { path, room, until: None, is_wanted: &|| true }
    }

    /// [`Reading::brief`] that ends at `until`, for whoever asks for the head of a file.
    pub(crate) fn until(path: &'a str, until: Instant) -> Reading<'a> {
        Reading {
            until: Some((until, limits::DATASETS_LIST_SECONDS)),
            ..Reading::brief(path, Room::in_memory(&Memory::default()))
        }
    }

    /// An error where it has taken too long or nobody waits for it any more. Asked after some
    /// thousand rows or some dozen kilobytes.
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
    /// Notified where a reading ends, and where somebody leaves one.
    changed: Condvar,
    memory: Memory,
    /// The bytes of memory that are free.
    free_memory: fn() -> u64,
}

struct State<K, T> {
    jobs: HashMap<K, Arc<Job<T>>>,
    /// The number of jobs that read.
    at_work: usize,
    /// The number of callers that wait.
    waiting: usize,
}

/// A reading that waits for its turn, is under way or has ended.
struct Job<T> {
    /// The number of callers that wait for it. Changed under the lock; at 0 the job is given up.
    askers: AtomicUsize,
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

/// The time between two looks whether a caller has left.
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

    /// Tells that a dataset of this size was dropped from memory.
    pub(crate) fn freed(&self, bytes: u64) {
        match lock(&self.state).at_work {
            0 | 1 => self.memory.measure((self.free_memory)(), false),
            _ => self.memory.gain(bytes),
        }
    }

    /// The outcome of reading `key`: of the reading under way, else of `read` on a thread of its
    /// own. Errors name the file at `path`.
    pub(crate) fn ask<F>(self: &Arc<Self>, key: &K, path: &str, asker: Asker, read: F) -> Result<T, Error>
    where
        F: FnOnce(&Reading) -> Result<T, Error> + Send + 'static,
    {
        if lock(&self.state).waiting >= limits::DATASET_ASKERS_MAX {
            return Err(Error::Busy { path: path.to_owned() });
        }
        let job = self.join(key).unwrap_or_else(|| self.start(key, path, asker.seconds_max, false, read));
        self.wait(&job, asker.has_left).unwrap_or_else(|| {
            let _state = lock(&self.state);
            job.askers.fetch_sub(1, Ordering::Relaxed);
            self.changed.notify_all();
            Err(Error::Unwanted { path: path.to_owned() })
        })
    }

    /// As [`Readings::ask`], but waits until `until` only and lets the reading go on after that.
    /// None if it has not ended by then, or if another reading of this kind is under way.
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

    /// The job that is under way, for one asker more.
    fn join(&self, key: &K) -> Option<Arc<Job<T>>> {
        let state = lock(&self.state);
        let job = state.jobs.get(key)?;
        job.askers.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(job))
    }

    /// A new job for one asker, unless another thread was faster.
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
            job.askers.fetch_add(usize::from(!is_background), Ordering::Relaxed);
            return Arc::clone(job);
        }
        let job = Arc::new(Job { askers: AtomicUsize::new(1), is_background, outcome: OnceLock::new() });
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

    /// The outcome; none where the asker leaves before there is one.
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
        let is_wanted = || job.askers.load(Ordering::Relaxed) > 0 || !self.give_up(&key, &job);
        let until = Some((Instant::now() + Duration::from_secs(seconds_max), seconds_max));
        let reading =
            Reading { path: &path, room: Room::in_memory(&self.memory), until, is_wanted: &is_wanted };
        // A reader that panics must not leave those who wait without an answer.
        let outcome = catch_unwind(AssertUnwindSafe(|| read(&reading))).unwrap_or_else(|_| {
            Err(Error::Format {
                path: path.clone(),
                detail: "can't be read, by a fault of the reader; the log has the details".into(),
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
            if job.askers.load(Ordering::Relaxed) == 0 {
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

    /// Gives a reading up that nobody waits for, so that who asks from now on has it read anew;
    /// whether nobody does.
    fn give_up(&self, key: &K, job: &Arc<Job<T>>) -> bool {
        let mut state = lock(&self.state);
        let is_unwanted = job.askers.load(Ordering::Relaxed) == 0;
        if is_unwanted {
            forget(&mut state, key, job);
        }
        is_unwanted
    }

    /// Tells all who wait what came of it.
    fn end(&self, key: &K, job: Arc<Job<T>>, outcome: Result<T, Error>, was_at_work: bool) {
        let mut state = lock(&self.state);
        if was_at_work {
            state.at_work -= 1;
            self.memory.measure((self.free_memory)(), state.at_work > 0);
        }
        forget(&mut state, key, &job);
        let _ = job.outcome.set(outcome);
        drop(job); // only those who wait hold the outcome from now on
        self.changed.notify_all();
    }
}

impl<K, T> std::fmt::Debug for Readings<K, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Readings").finish_non_exhaustive()
    }
}

/// Takes a job off the list, unless another has its place by now.
fn forget<K: Eq + Hash, T>(state: &mut State<K, T>, key: &K, job: &Arc<Job<T>>) {
    if state.jobs.get(key).is_some_and(|other| Arc::ptr_eq(other, job)) {
        state.jobs.remove(key);
    }
}

/// A thread that panicked leaves the state whole: each change is one statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;

    use super::*;

    type Numbers = Arc<Readings<u32, u32>>;

    fn readings() -> Numbers {
        Readings::new(|| 1_000)
    }

    /// Starts a reading of `key` that takes its turn, asks again and again, and ends with `key`
    /// when it is told to.
    fn held(
        readings: &Numbers,
        key: u32,
        asker_left: &Arc<AtomicBool>,
    ) -> (mpsc::Sender<()>, thread::JoinHandle<Result<u32, Error>>) {
        let (end, ends) = mpsc::channel::<()>();
        let (begin, begins) = mpsc::channel::<()>();
        let (readings, left) = (Arc::clone(readings), Arc::clone(asker_left));
        let asker = thread::spawn(move || {
            let has_left = || left.load(Ordering::SeqCst);
            readings.ask(&key, "slow.csv", Asker { seconds_max: 60, has_left: &has_left }, move |reading| {
                begin.send(()).unwrap();
                while ends.recv_timeout(Duration::from_millis(1)).is_err() {
                    reading.check()?;
                }
                Ok(key)
            })
        });
        begins.recv().unwrap();
        (end, asker)
    }

    fn stays() -> Arc<AtomicBool> {
        Arc::default()
    }

    #[test]
    fn different_ones_go_side_by_side_and_the_same_one_is_read_once() {
        let readings = readings();
        let (end, slow) = held(&readings, 1, &stays());
        assert_eq!(
            readings.ask(&2, "b.csv", Asker::patient(60), |_| Ok(2)).unwrap(),
            2,
            "it waits for nobody"
        );
        let (asks, both) = (Arc::clone(&readings), Arc::new(Barrier::new(2)));
        let barrier = Arc::clone(&both);
        let second = thread::spawn(move || {
            barrier.wait();
            asks.ask(&1, "slow.csv", Asker::patient(60), |_| panic!("it is under way already"))
        });
        both.wait();
        while readings.state.lock().unwrap().jobs[&1].askers.load(Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
        end.send(()).unwrap();
        assert_eq!((slow.join().unwrap().unwrap(), second.join().unwrap().unwrap()), (1, 1));
        assert_eq!(
            readings.ask(&1, "slow.csv", Asker::patient(60), |_| Ok(3)).unwrap(),
            3,
            "nothing is kept"
        );
    }

    #[test]
    fn one_that_nobody_waits_for_is_given_up() {
        let readings = readings();
        let (first, second) = (stays(), stays());
        let (end, asker) = held(&readings, 1, &first);
        let (asks, left) = (Arc::clone(&readings), Arc::clone(&second));
        let other = thread::spawn(move || {
            let has_left = || left.load(Ordering::SeqCst);
            asks.ask(&1, "slow.csv", Asker { seconds_max: 60, has_left: &has_left }, |_| {
                panic!("it is under way already")
            })
        });
        while readings.state.lock().unwrap().jobs[&1].askers.load(Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
        first.store(true, Ordering::SeqCst);
        assert!(matches!(asker.join().unwrap(), Err(Error::Unwanted { .. })));
        assert_eq!(readings.state.lock().unwrap().at_work, 1, "one is still there");
        second.store(true, Ordering::SeqCst);
        assert!(matches!(other.join().unwrap(), Err(Error::Unwanted { .. })));
        let mut state = readings.state.lock().unwrap();
        while state.at_work > 0 {
            state = readings.changed.wait(state).unwrap();
        }
        assert!(state.jobs.is_empty() && end.send(()).is_err(), "the reader has ended by itself");
    }

    #[test]
    fn a_few_are_read_at_once_and_the_next_waits_for_its_turn_or_says_so() {
        let readings = readings();
        let held: Vec<_> =
            (0..limits::DATASETS_READ_AT_ONCE as u32).map(|key| held(&readings, key, &stays())).collect();
        let busy = readings.ask(&99, "b.csv", Asker::patient(0), |_| Ok(99)).unwrap_err();
        assert!(matches!(&busy, Error::Busy { path, .. } if path == "b.csv"), "{busy}");
        let left = Asker { seconds_max: 60, has_left: &|| true };
        assert!(matches!(readings.ask(&98, "b.csv", left, |_| Ok(98)), Err(Error::Unwanted { .. })));
        let (asks, (free, is_free)) = (Arc::clone(&readings), mpsc::channel());
        let next = thread::spawn(move || {
            asks.ask(&97, "b.csv", Asker::patient(60), move |_| {
                is_free.recv().unwrap();
                Ok(97)
            })
        });
        for (end, _) in &held {
            end.send(()).unwrap();
        }
        for (key, (_, asker)) in held.into_iter().enumerate() {
            assert_eq!(asker.join().unwrap().unwrap(), key as u32);
        }
        free.send(()).unwrap();
        assert_eq!(next.join().unwrap().unwrap(), 97);
    }

    #[test]
    fn no_more_wait_than_there_are_threads_for() {
        let readings = readings();
        readings.state.lock().unwrap().waiting = limits::DATASET_ASKERS_MAX;
        assert!(matches!(readings.ask(&1, "a.csv", Asker::patient(60), |_| Ok(1)), Err(Error::Busy { .. })));
        readings.state.lock().unwrap().waiting -= 1;
        assert_eq!(readings.ask(&1, "a.csv", Asker::patient(60), |_| Ok(1)).unwrap(), 1);
    }

    #[test]
    fn a_reading_ends_when_its_time_is_over() {
        let readings = readings();
        let slow = readings
            .ask(&1, "slow.csv", Asker::patient(0), |reading| reading.check().map(|()| 1))
            .unwrap_err();
        assert!(slow.to_string().starts_with("slow.csv: reading it takes longer than 0 s"), "{slow}");
    }

    #[test]
    fn a_reader_that_panics_is_an_error_and_the_next_reads_on() {
        let readings = readings();
        let error = readings.ask(&1, "a.csv", Asker::patient(60), |_| panic!("planned")).unwrap_err();
        assert!(error.to_string().starts_with("a.csv: can't be read, by a fault of the reader"), "{error}");
        assert_eq!(readings.ask(&1, "a.csv", Asker::patient(60), |_| Ok(1)).unwrap(), 1);
    }

    #[test]
    fn in_the_background_one_is_read_whoever_waits() {
        let readings = readings();
        let (end, ends) = mpsc::channel::<()>();
        let ended = readings.ask_in_background(&1, "slow.csv", Instant::now(), move |reading| {
            while ends.recv_timeout(Duration::from_millis(1)).is_err() {
                reading.check()?;
            }
            Ok(1)
        });
        assert!(ended.is_none(), "its time was over at once");
        let soon = Instant::now() + Duration::from_secs(60);
        assert!(readings.ask_in_background(&2, "b.csv", soon, |_| Ok(2)).is_none(), "one at a time");
        end.send(()).unwrap();
        assert_eq!(readings.ask_in_background(&1, "slow.csv", soon, |_| Ok(1)).unwrap().unwrap(), 1);
    }

    #[test]
    fn memory_is_measured_anew_where_nothing_else_is_read() {
        let readings = readings();
        let taken = |bytes| move |reading: &Reading| Ok(u32::from(reading.room.take(bytes)));
        assert_eq!(readings.ask(&1, "a.csv", Asker::patient(60), taken(501)).unwrap(), 0);
        assert_eq!(readings.ask(&1, "a.csv", Asker::patient(60), taken(500)).unwrap(), 1);
        assert_eq!(
            readings.ask(&1, "a.csv", Asker::patient(60), taken(500)).unwrap(),
            1,
            "the first gave it back"
        );
    }
}

//! How much memory the trials of a device may take together: who takes more ends others on a GPU,
//! and on a CPU the system ends the trainer with all its trials.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits;
use data::Catalog;
use hpo::dataset::DatasetSchema;
use hpo::{Plan, Study, preflight};

/// The memory that was free on a device when the trainer started, what of it is promised to trials,
/// and who waits for some.
#[derive(Debug)]
pub(crate) struct Memory {
    bytes: u64,
    /// Whose datasets lie in it too: those of a CPU.
    catalog: Option<Arc<Catalog>>,
    /// What a trial may take for each byte of the pre-flight's measure.
    margin: u64,
    /// How long a trial waits before it looks for another trainer, and between two looks.
    patience: Duration,
    line: Mutex<Line>,
    moved: Condvar,
}

/// Who comes first is served first: a large trial is not overtaken for ever by small ones. Who is
/// handed back loses its place, so that nobody is without need.
#[derive(Debug, Default)]
struct Line {
    promised: u64,
    /// The tickets of those who wait.
    waiting: VecDeque<u64>,
    tickets: u64,
}

/// Memory promised to one trial until this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: Arc<Memory>,
    bytes: u64,
}

/// Why a trial never gets a share.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TooLarge {
    /// No trainer could train it.
    Anywhere(String),
    /// This device has less, were it alone on it.
    Here(String),
}

impl Memory {
    /// So many bytes, of which a trial may take `margin` times what the pre-flight says.
    pub(crate) fn of(bytes: u64, margin: u64) -> Memory {
        let patience = Duration::from_secs(limits::PEER_SECONDS);
        Memory { bytes, catalog: None, margin, patience, line: Mutex::default(), moved: Condvar::new() }
    }

    /// The bytes that there are for trials.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The same, in which the datasets of `catalog` lie too.
    pub(crate) fn with_datasets(self, catalog: Arc<Catalog>) -> Memory {
        Memory { catalog: Some(catalog), ..self }
    }

    /// The share of a trial on this dataset, which has so many bytes, once those before it and
    /// those that train leave enough: what it takes by the pre-flight's measure, with the margin;
    /// all that the device has, where that is less. None where the trial `is_stopped` while it
    /// waits, or has waited for long and `has_idle_peer`: another trainer that could have it.
    pub(crate) fn share(
        self: &Arc<Memory>,
        study: &Study,
        plan: &Plan,
        (dataset, dataset_bytes): (&DatasetSchema, u64),
        is_stopped: impl Fn() -> bool,
        has_idle_peer: impl Fn() -> bool,
    ) -> Result<Option<Share>, TooLarge> {
        let (weights, step) = preflight::memory(study, plan, dataset).map_err(TooLarge::Anywhere)?;
        if weights > limits::WEIGHT_BYTES_MAX {
            let most = limits::WEIGHT_BYTES_MAX;
            return Err(TooLarge::Anywhere(format!(
                "its weights take {weights} bytes, at most {most} are possible; bound its layers"
            )));
        }
        let beside = if self.catalog.is_some() { dataset_bytes } else { 0 };
        if step.saturating_add(beside) > self.bytes {
            let all = self.bytes;
            let with =
                if beside > 0 { format!(" beside the {beside} of its dataset") } else { String::new() };
            return Err(TooLarge::Here(format!(
                "it takes {step} bytes{with}, this trainer's device had {all} free; bound its layers, or its batch"
            )));
        }
        Ok(self.wait(step.saturating_mul(self.margin).min(self.bytes), is_stopped, has_idle_peer))
    }

    /// Whether there is room for so many bytes more. Datasets that nobody uses make room, and who
    /// is alone has all.
    fn has_room(&self, line: &Line, bytes: u64) -> bool {
        let fits = |beside: u64| line.promised.saturating_add(bytes).saturating_add(beside) <= self.bytes;
        let Some(catalog) = &self.catalog else { return fits(0) };
        if !fits(catalog.loaded_bytes()) {
            catalog.forget_idle();
        }
        line.promised == 0 || fits(catalog.loaded_bytes())
    }

    /// Whether it is this one's turn, and there is room for it.
    fn is_served(&self, line: &Line, ticket: u64, bytes: u64) -> bool {
        line.waiting.front() == Some(&ticket) && self.has_room(line, bytes)
    }

    fn wait(
        self: &Arc<Memory>,
        bytes: u64,
        is_stopped: impl Fn() -> bool,
        has_idle_peer: impl Fn() -> bool,
    ) -> Option<Share> {
        let mut due = Instant::now() + self.patience;
        let mut line = self.line();
        let ticket = line.tickets;
        line.tickets += 1;
        line.waiting.push_back(ticket);
        let is_served = loop {
            if self.is_served(&line, ticket, bytes) {
                line.promised += bytes;
                break true;
            }
            if is_stopped() {
                break false;
            }
            if Instant::now() >= due {
                due = Instant::now() + self.patience;
                drop(line); // nobody's end waits for the answer
                let is_wanted = has_idle_peer();
                line = self.line();
                // Its turn may have come meanwhile.
                if is_wanted && !self.is_served(&line, ticket, bytes) {
                    break false;
                }
            }
            let poll = Duration::from_millis(limits::MEMORY_POLL_MS);
            line = self.moved.wait_timeout(line, poll).unwrap_or_else(PoisonError::into_inner).0;
        };
        line.waiting.retain(|waiting| *waiting != ticket);
        self.moved.notify_all();
        is_served.then(|| Share { memory: self.clone(), bytes })
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:.1} GiB free", self.bytes as f64 / f64::from(1 << 30))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.line().promised -= self.bytes;
        self.memory.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(
        memory: &Arc<Memory>,
        units: u64,
        width: usize,
        is_stopped: bool,
    ) -> Result<Option<Share>, TooLarge> {
        let document = serde_json::json!({
            "name": "t", "seed": 1, "network": [{"layer": "Dense", "units": units}, {"layer": "Dense", "units": 2, "activation": "softmax"}],
            "training": {"optimizer": "sgd", "loss": "sparse_categorical_crossentropy", "batch_size": 4, "epochs": 1},
            "dataset": {"source": "builtin:iris"}, "objective": {"metric": "loss"}
        });
        let study = Study::parse(&document).unwrap();
        let plan = study.plan(&hpo::Point::default()).unwrap();
        let hash = String::new();
        let dataset = DatasetSchema {
            shape: vec![width],
            dtype: "float32".into(),
            rows: 10,
            classes: Some(2),
            hash,
            ..DatasetSchema::default()
        };
        memory.share(&study, &plan, (&dataset, 2_000), || is_stopped, || false)
    }

    /// 50 x 10 + 10 + 10 x 2 + 2 weights, twice for a step, once more for the best, and the
    /// activations of 4 rows: more than half of 10,000 bytes.
    fn share(memory: &Arc<Memory>, is_stopped: bool) -> Option<Share> {
        asked(memory, 10, 50, is_stopped).unwrap()
    }

    #[test]
    fn a_trial_waits_until_another_gives_its_share_back() {
        let memory = Arc::new(Memory::of(10_000, 1));
        let first = share(&memory, false).unwrap();
        assert!(share(&memory, true).is_none());
        let waiting = std::thread::spawn({
            let memory = memory.clone();
            move || share(&memory, false).is_some()
        });
        while memory.line().waiting.is_empty() {
            std::thread::yield_now();
        }
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.join().unwrap());
        assert_eq!(memory.line().promised, 0);
    }

    #[test]
    fn a_small_trial_does_not_overtake_a_large_one() {
        let memory = Arc::new(Memory::of(10, 1));
        let first = memory.wait(6, || false, || false);
        let large = std::thread::spawn({
            let memory = memory.clone();
            move || memory.wait(9, || false, || false).is_some()
        });
        while memory.line().waiting.is_empty() {
            std::thread::yield_now();
        }
        assert!(
            memory.wait(1, || true, || false).is_none(),
            "there is room for it, but somebody came before"
        );
        drop(first);
        assert!(large.join().unwrap());
        assert!(memory.wait(1, || true, || false).is_some());
    }

    #[test]
    fn a_trial_leaves_the_line_only_for_a_trainer_that_is_idle() {
        let memory = Arc::new(Memory { patience: Duration::from_millis(1), ..Memory::of(10, 1) });
        let first = memory.wait(6, || false, || false);
        assert!(memory.wait(9, || false, || true).is_none());
        let looks = std::sync::atomic::AtomicUsize::new(0);
        let looked = || {
            assert!(memory.line.try_lock().is_ok(), "others get at the line while it looks");
            looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst) >= 3
        };
        assert!(memory.wait(9, || false, looked).is_none() && looks.into_inner() == 4);
        assert!(memory.line().waiting.is_empty());
        drop(first);
        assert!(memory.wait(9, || false, || true).is_some(), "there is room, whoever is idle");
    }

    #[test]
    fn with_a_margin_fewer_share_a_device_but_one_always_may() {
        let room = Arc::new(Memory::of(80_000, 4));
        let (first, second) = (share(&room, true), share(&room, true));
        assert!(first.is_some() && second.is_some());
        assert!(share(&room, true).is_none());
        let tight = Arc::new(Memory::of(20_000, 4));
        let alone = share(&tight, true);
        assert!(alone.is_some() && tight.wait(1, || true, || false).is_none());
    }

    #[test]
    fn datasets_take_of_the_same_memory_until_nobody_uses_them() {
        let step = share(&Arc::new(Memory::of(1 << 20, 1)), false).unwrap().bytes;
        let catalog = Arc::new(Catalog::new("/nowhere"));
        let iris = catalog
            .load(
                &hpo::dataset::DatasetSpec::new(hpo::dataset::Source::Builtin("iris".into())),
                data::Caller::patient(60),
            )
            .unwrap();
        let room = Arc::new(Memory::of(2 * step + iris.bytes() / 2, 1).with_datasets(catalog.clone()));
        let _first = share(&room, false).unwrap();
        assert!(share(&room, true).is_none() && catalog.loaded_bytes() == iris.bytes());
        drop(iris);
        assert!(share(&room, true).is_some() && catalog.loaded_bytes() == 0);
        let own = Arc::new(Memory::of(step + 1_000, 1).with_datasets(catalog));
        let Err(TooLarge::Here(why)) = asked(&own, 10, 50, true) else {
            panic!("2,000 bytes of data are too much beside it")
        };
        assert!(why.contains("beside the 2000 of its dataset"), "{why}");
    }

    #[test]
    fn what_a_device_cannot_hold_is_said_at_once() {
        let memory = Arc::new(Memory::of(1_000, 1));
        let error = asked(&memory, 10, 50, false).unwrap_err();
        assert!(matches!(&error, TooLarge::Here(why) if why.contains("had 1000 free")), "{error:?}");
    }

    #[test]
    fn what_no_artifact_holds_is_refused_everywhere() {
        let memory = Arc::new(Memory::of(u64::MAX, 1));
        assert!(matches!(asked(&memory, 1 << 20, 1 << 12, false), Err(TooLarge::Anywhere(_))));
    }
}

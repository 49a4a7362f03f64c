//! How much memory the trials of a device may take together. On a GPU a trial that takes more ends
//! others; on a CPU the system ends the trainer with all its trials.

use std::ops::Deref;
use std::sync::Arc;

use data::{Catalog, Dataset};
use hpo::dataset::DatasetSchema;
use hpo::{Plan, Study, preflight};
use tokio::sync::{Mutex, watch};

use crate::limits;

/// The memory that was free on a device when the trainer started, and what of it is promised to
/// trials.
///
/// Trials get theirs in the order in which they ask, so that small ones do not overtake a large one
/// for ever: they wait for `turn`, a fair lock, and the first in the queue holds it until there is
/// room. A semaphore would be fair too, but what is free is no number of permits: datasets come and
/// go without asking, and a trial that is alone may have everything.
#[derive(Debug)]
pub(crate) struct Memory {
    bytes: u64,
    /// The datasets that lie in the same memory, on a CPU.
    catalog: Option<Arc<Catalog>>,
    /// Bytes that a trial may take for each byte that the pre-flight says.
    margin: u64,
    /// Held by the trial that is served next.
    turn: Mutex<()>,
    /// The bytes promised. Those who wait look again whenever this is sent, changed or not.
    promised: watch::Sender<u64>,
}

/// Memory promised to one trial, until this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: Arc<Memory>,
    bytes: u64,
}

/// A dataset that one trial uses. Once this is dropped, the dataset may make room for others.
#[derive(Debug)]
pub(crate) struct HeldDataset {
    dataset: Arc<Dataset>,
    /// Dropped after the dataset, as fields are in their order.
    #[allow(dead_code, reason = "held")]
    room: Room,
}

/// Has those who wait look for room when it is dropped.
#[derive(Debug)]
struct Room(Arc<Memory>);

/// Why a trial never gets a share.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TooLarge {
    /// No trainer could train it.
    Anywhere(String),
    /// This device has less, even with nothing else on it.
    Here(String),
}

impl Memory {
    /// This many free bytes, of which a trial may take `margin` times what the pre-flight says.
    pub(crate) fn new(bytes: u64, margin: u64) -> Memory {
        Memory { bytes, catalog: None, margin, turn: Mutex::default(), promised: watch::Sender::new(0) }
    }

    /// The bytes for trials.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The same memory with the datasets of `catalog` in it.
    pub(crate) fn with_datasets(self, catalog: Arc<Catalog>) -> Memory {
        Memory { catalog: Some(catalog), ..self }
    }

    /// The dataset, which makes room for others when it is no longer used.
    pub(crate) fn hold(self: &Arc<Memory>, dataset: Arc<Dataset>) -> HeldDataset {
        HeldDataset { dataset, room: Room(self.clone()) }
    }

    /// The bytes that a trial on this dataset, which takes `dataset_bytes`, has to ask for: what it
    /// needs by the pre-flight's measure, times the margin; but never more than the device has.
    pub(crate) fn needed(
        &self,
        study: &Study,
        plan: &Plan,
        dataset: &DatasetSchema,
        dataset_bytes: u64,
    ) -> Result<u64, TooLarge> {
        let (weights, step) = preflight::memory(study, plan, dataset).map_err(TooLarge::Anywhere)?;
        let most = limits::WEIGHT_BYTES_MAX;
        if weights > most {
            return Err(TooLarge::Anywhere(format!(
                "its weights take {weights} bytes, more than the {most} that are possible; make its layers smaller"
            )));
        }
        let (all, beside) = (self.bytes, if self.catalog.is_some() { dataset_bytes } else { 0 });
        if step.saturating_add(beside) > all {
            let with =
                if beside > 0 { format!(" beside the {beside} of its dataset") } else { String::new() };
            return Err(TooLarge::Here(format!(
                "it needs {step} bytes{with}, but the device had {all} free; make its layers or its batch smaller"
            )));
        }
        Ok(step.saturating_mul(self.margin).min(all))
    }

    /// Waits until all who asked before have their share and there is room for this one. A trial
    /// that stops waiting loses its place.
    pub(crate) async fn share(self: &Arc<Memory>, bytes: u64) -> Share {
        let _turn = self.turn.lock().await;
        let mut promised = self.promised.subscribe();
        loop {
            let now = *promised.borrow_and_update();
            if self.has_room(now, bytes) {
                break;
            }
            // The sender is in `self`: it cannot be gone.
            let _ = promised.changed().await;
        }
        self.promised.send_modify(|promised| *promised += bytes);
        Share { memory: self.clone(), bytes }
    }

    /// Whether there is room for this many bytes beside those promised. Datasets that are not used
    /// make room, and a trial that is alone may have everything.
    fn has_room(&self, promised: u64, bytes: u64) -> bool {
        let fits = |beside: u64| promised.saturating_add(bytes).saturating_add(beside) <= self.bytes;
        let Some(catalog) = &self.catalog else { return fits(0) };
        if !fits(catalog.loaded_bytes()) {
            catalog.forget_idle();
        }
        promised == 0 || fits(catalog.loaded_bytes())
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:.1} GiB free", self.bytes as f64 / f64::from(1 << 30))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.promised.send_modify(|promised| *promised -= self.bytes);
    }
}

impl Deref for HeldDataset {
    type Target = Arc<Dataset>;

    fn deref(&self) -> &Arc<Dataset> {
        &self.dataset
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.0.promised.send_modify(|_| ());
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    /// What a trial of these sizes needs.
    fn needed(memory: &Arc<Memory>, units: u64, width: usize) -> Result<u64, TooLarge> {
        let document = serde_json::json!({
            "name": "t", "seed": 1, "network": [{"layer": "Dense", "units": units}, {"layer": "Dense", "units": 2, "activation": "softmax"}],
            "training": {"optimizer": "sgd", "loss": "sparse_categorical_crossentropy", "batch_size": 4, "epochs": 1},
            "dataset": {"source": "builtin:iris"}, "objective": {"metric": "loss"}
        });
        let study = Study::parse(&document).unwrap();
        let plan = study.plan(&hpo::Point::default()).unwrap();
        let dataset = DatasetSchema {
            shape: vec![width],
            dtype: "float32".into(),
            rows: 10,
            classes: Some(2),
            ..DatasetSchema::default()
        };
        memory.needed(&study, &plan, &dataset, 2_000)
    }

    /// What a trial needs of 50 x 10 + 10 + 10 x 2 + 2 weights, twice for a step, once more for the
    /// best, and the activations of 4 rows: more than half of 10,000 bytes.
    fn usual(memory: &Arc<Memory>) -> u64 {
        needed(memory, 10, 50).unwrap()
    }

    /// What comes of the work if it need not wait.
    async fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            Poll::Ready(match work.as_mut().poll(context) {
                Poll::Ready(done) => Some(done),
                Poll::Pending => None,
            })
        })
        .await
    }

    async fn usual_at_once(memory: &Arc<Memory>) -> Option<Share> {
        at_once(memory.share(usual(memory))).await
    }

    #[tokio::test]
    async fn a_trial_waits_until_another_gives_its_share_back() {
        let memory = Arc::new(Memory::new(10_000, 1));
        let first = usual_at_once(&memory).await.unwrap();
        let mut second = pin!(memory.share(usual(&memory)));
        assert!(at_once(second.as_mut()).await.is_none());
        drop(first);
        drop(second.await);
        assert_eq!(*memory.promised.borrow(), 0);
    }

    #[tokio::test]
    async fn trials_are_served_in_the_order_in_which_they_ask() {
        let memory = Arc::new(Memory::new(10, 1));
        let first = memory.share(6).await;
        let mut large = Box::pin(memory.share(9));
        assert!(at_once(large.as_mut()).await.is_none());
        let mut small = pin!(memory.share(1));
        assert!(
            at_once(small.as_mut()).await.is_none(),
            "there is room for it, but a larger one asked before"
        );
        drop(first);
        assert!(at_once(small.as_mut()).await.is_none(), "the turn is the larger one's");
        let large = large.await;
        drop(small.await);
        drop(large);
        assert_eq!(*memory.promised.borrow(), 0);
    }

    #[tokio::test]
    async fn a_trial_that_stops_waiting_makes_way_for_the_next() {
        let memory = Arc::new(Memory::new(10, 1));
        let _first = memory.share(6).await;
        let mut large = Box::pin(memory.share(9));
        assert!(at_once(large.as_mut()).await.is_none());
        let mut small = pin!(memory.share(1));
        assert!(at_once(small.as_mut()).await.is_none());
        drop(large);
        small.await;
    }

    #[tokio::test]
    async fn with_a_margin_fewer_share_a_device_but_one_always_may() {
        let roomy = Arc::new(Memory::new(80_000, 4));
        let (first, second) = (usual_at_once(&roomy).await, usual_at_once(&roomy).await);
        assert!(first.is_some() && second.is_some() && usual_at_once(&roomy).await.is_none());
        let tight = Arc::new(Memory::new(20_000, 4));
        let alone = usual_at_once(&tight).await;
        assert!(alone.is_some() && at_once(tight.share(1)).await.is_none());
    }

    #[tokio::test]
    async fn datasets_take_of_the_same_memory_until_they_are_not_used() {
        let step = usual(&Arc::new(Memory::new(1 << 20, 1)));
        let catalog = Arc::new(Catalog::new("/nowhere"));
        let iris = catalog
            .load(
                &hpo::dataset::DatasetSpec::new(hpo::dataset::Source::Builtin("iris".into())),
                data::Caller::patient(60),
            )
            .unwrap();
        let memory = Arc::new(Memory::new(2 * step + iris.bytes() / 2, 1).with_datasets(catalog.clone()));
        let iris = memory.hold(iris);
        let _first = usual_at_once(&memory).await.unwrap();
        let mut second = pin!(memory.share(step));
        assert!(at_once(second.as_mut()).await.is_none() && catalog.loaded_bytes() == iris.bytes());
        drop(iris);
        second.await;
        assert_eq!(catalog.loaded_bytes(), 0);
        let own = Arc::new(Memory::new(step + 1_000, 1).with_datasets(catalog));
        let Err(TooLarge::Here(why)) = needed(&own, 10, 50) else {
            panic!("2,000 bytes of data are too much beside it")
        };
        assert!(why.contains("beside the 2000 of its dataset"), "{why}");
    }

    #[tokio::test]
    async fn a_trial_that_is_alone_has_a_device_that_its_dataset_fills() {
        let catalog = Arc::new(Catalog::new("/nowhere"));
        let spec = hpo::dataset::DatasetSpec::new(hpo::dataset::Source::Builtin("iris".into()));
        let _iris = catalog.load(&spec, data::Caller::patient(60)).unwrap();
        let memory = Arc::new(Memory::new(10, 1).with_datasets(catalog));
        let first = at_once(memory.share(5)).await;
        assert!(first.is_some() && at_once(memory.share(1)).await.is_none());
    }

    #[test]
    fn what_a_device_cannot_hold_is_said_at_once() {
        let memory = Arc::new(Memory::new(1_000, 1));
        let error = needed(&memory, 10, 50).unwrap_err();
        assert!(matches!(&error, TooLarge::Here(why) if why.contains("had 1000 free")), "{error:?}");
    }

    #[test]
    fn what_no_artifact_holds_is_refused_everywhere() {
        let memory = Arc::new(Memory::new(u64::MAX, 1));
        assert!(matches!(needed(&memory, 1 << 20, 1 << 12), Err(TooLarge::Anywhere(_))));
    }
}

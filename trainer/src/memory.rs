//! How much memory the trials of this process may take together: the system ends who takes more, with all its trials.

use std::sync::{Arc, Mutex, PoisonError};

use hpo::dataset::DatasetSchema;
use hpo::{Plan, Study, limits, preflight};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// The memory that was free when the trainer started, in this machine or this container, and what of it is promised to trials.
#[derive(Debug)]
pub(crate) struct Memory {
    bytes: u64,
    promised: Mutex<u64>,
}

/// Memory promised to one trial until this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: Arc<Memory>,
    bytes: u64,
}

/// Why a trial gets no share.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TooLarge {
    /// No trainer could train it.
    Anywhere(String),
    /// There is not so much free here, at least now.
    Here(String),
}

impl Memory {
    /// What is free now.
    pub(crate) fn free() -> Memory {
        let system = System::new_with_specifics(RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram()));
        let container = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
        Memory::of(system.available_memory().min(container))
    }

    /// So many bytes.
    pub(crate) fn of(bytes: u64) -> Memory {
        Memory { bytes, promised: Mutex::new(0) }
    }

    /// The share of a trial on this dataset: what a training step takes by the pre-flight's measure, and the best weights beside it.
    pub(crate) fn share(self: &Arc<Memory>, study: &Study, plan: &Plan, dataset: &DatasetSchema) -> Result<Share, TooLarge> {
        let (weights, step) = preflight::memory(study, plan, dataset).map_err(TooLarge::Anywhere)?;
        if weights > limits::WEIGHT_BYTES_MAX {
            let most = limits::WEIGHT_BYTES_MAX;
            return Err(TooLarge::Anywhere(format!("its weights take {weights} bytes, at most {most} are possible; bound its layers")));
        }
        let bytes = step.saturating_add(weights);
        let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.bytes.saturating_sub(*promised);
        if bytes > free {
            return Err(TooLarge::Here(format!(
                "it takes {bytes} bytes, this trainer has {free} of {} free; bound its layers, or its batch",
                self.bytes
            )));
        }
        *promised += bytes;
        Ok(Share { memory: self.clone(), bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.memory.promised.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of a trial with so many units, on rows of so many numbers.
    fn share(memory: &Arc<Memory>, units: u64, width: usize) -> Result<Share, TooLarge> {
        let document = serde_json::json!({
            "name": "t", "seed": 1, "network": [{"layer": "Dense", "units": units}, {"layer": "Dense", "units": 2, "activation": "softmax"}],
            "training": {"optimizer": "sgd", "loss": "sparse_categorical_crossentropy", "batch_size": 4, "epochs": 1},
            "dataset": {"source": "builtin:iris"}, "objective": {"metric": "loss"}
        });
        let study = Study::parse(&document).unwrap();
        let plan = study.plan(&hpo::Point::default()).unwrap();
        let hash = String::new();
        let dataset = DatasetSchema { shape: vec![width], dtype: "float32".into(), rows: 10, classes: Some(2), scale_max: None, hash };
        memory.share(&study, &plan, &dataset)
    }

    #[test]
    fn trials_share_what_is_free_and_give_it_back() {
        let memory = Arc::new(Memory::of(10_000));
        // 100 x 10 + 10 + 10 x 2 + 2 weights, twice for a step, once more for the best, and the activations of 4 rows.
        let first = share(&memory, 10, 50).unwrap();
        assert!(matches!(share(&memory, 10, 50), Err(TooLarge::Here(_))));
        drop(first);
        share(&memory, 10, 50).unwrap();
    }

    #[test]
    fn what_no_artifact_holds_is_refused_everywhere() {
        let memory = Arc::new(Memory::of(u64::MAX));
        assert!(matches!(share(&memory, 1 << 20, 1 << 12), Err(TooLarge::Anywhere(_))));
    }

    #[test]
    fn a_machine_has_memory() {
        assert!(Memory::free().bytes > 1 << 20);
    }
}

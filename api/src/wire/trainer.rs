//! Trainers and datasets on the wire.

use data::Listed;
use serde::Serialize;
use store::TrainerRecord;
use utoipa::ToSchema;

use super::timestamp;

/// A connected trainer; a trainer with several GPUs is listed once for each.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrainerView {
    /// Its name.
    id: String,
    /// Its device, such as `cpu` or `cuda:0`.
    device: String,
    /// The kind of its device.
    #[schema(value_type = DeviceKind)]
    class: &'static str,
    /// The numerics class, such as `cpu-1` or `cuda-sm90`: the same class gives the same bits.
    numerics: String,
    /// Trials that it trains at once at most.
    slots: u32,
    /// The memory that its device offers to trials, in bytes.
    memory_bytes: u64,
    /// The trials that it trains now.
    running: Vec<RunningTrial>,
    /// Why it takes no trials of some datasets: what is wrong with each on its machine. It looks
    /// again when the files change.
    refused: Vec<String>,
    /// What is wrong with the artifacts, for instance that they cannot be written. Until that is
    /// over it takes no trials, and its results wait.
    faults: Vec<String>,
    /// The time of its last sign of life: RFC 3339, UTC.
    last_seen: String,
}

/// The kinds of devices that trainers have.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "the contract's view of a device class that is not `any`")]
enum DeviceKind {
    Cpu,
    Cuda,
    Metal,
}

/// A trial in training.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunningTrial {
    /// The id of the study.
    study: String,
    /// The number of the trial.
    number: u64,
}

/// A page of trainers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrainerList {
    /// By name.
    pub(crate) trainers: Vec<TrainerView>,
    /// The cursor of the next page; null on the last.
    pub(crate) next: Option<String>,
}

/// A page of datasets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DatasetList {
    /// The built-in datasets, then those in the datasets folder.
    pub(crate) datasets: Vec<Listed>,
    /// The cursor of the next page; null on the last.
    pub(crate) next: Option<String>,
}

impl TrainerView {
    pub(crate) fn from_record(record: TrainerRecord) -> TrainerView {
        let trainer = record.trainer;
        TrainerView {
            id: trainer.id,
            device: trainer.device,
            class: trainer.class.as_str(),
            numerics: trainer.numerics,
            slots: trainer.slots,
            memory_bytes: trainer.memory_bytes,
            refused: trainer.refused.into_iter().map(|refusal| refusal.why).collect(),
            faults: trainer.faults,
            running: trainer
                .running
                .into_iter()
                .map(|(study, number)| RunningTrial { study: study.to_string(), number })
                .collect(),
            last_seen: timestamp(record.seen_at_ms),
        }
    }
}

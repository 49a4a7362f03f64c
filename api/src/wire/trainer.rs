//! Trainers and datasets on the wire.

use data::Listed;
use serde::Serialize;
use store::TrainerRecord;
use utoipa::ToSchema;

use super::timestamp;

/// A connected trainer; of one with several GPUs, each GPU.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrainerView {
    /// Its name.
    id: String,
    /// What it computes on, such as `cpu` or `cuda:0`.
    device: String,
    /// What kind of device that is.
    #[schema(value_type = DeviceKind)]
    class: &'static str,
    /// What decides the bits of its results, such as `cpu-1` or `cuda-sm90`.
    numerics: String,
    /// Trials that it can train at once.
    slots: u32,
    /// The memory that its device offers to trials, in bytes.
    memory_bytes: u64,
    /// What it trains now.
    running: Vec<RunningTrial>,
    /// Why it takes no trials of some datasets: what is wrong with each on its machine. It looks
    /// again as soon as the files change.
    refused: Vec<String>,
    /// What is wrong with its place, such as artifacts that cannot be written. It takes no trials
    /// until that is over; results wait.
    faults: Vec<String>,
    /// When it was last heard of: RFC 3339, UTC.
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

/// A trial that a trainer trains.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunningTrial {
    /// The id of the study.
    study: String,
    /// The number of the trial.
    number: u64,
}

/// The connected trainers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrainerList {
    /// By name.
    pub(crate) trainers: Vec<TrainerView>,
    /// The cursor of the next page; null on the last.
    pub(crate) next: Option<String>,
}

/// What there is to train on.
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

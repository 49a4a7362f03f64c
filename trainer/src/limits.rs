//! The bounds of a trainer, each with its reason, beside those of the crates below.

pub use data::limits::*;
pub use store::limits::*;

/// The header of a checkpoint, in bytes: what the safetensors crate reads, and more than the curve
/// in it can take.
pub const CHECKPOINT_HEADER_BYTES_MAX: u64 = 100_000_000;
/// How long a trainer may read a dataset, and wait for its turn before, in seconds: a dataset that
/// an API could read must be readable on a slower machine and disk.
pub const DATASET_TRAINER_SECONDS_MAX: u64 = 600;
/// Characters of the reason that the list of trainers gives for each refused dataset: a path and a
/// sentence. All of them together are some kilobytes.
pub const REFUSAL_CHARACTERS_MAX: usize = 300;
/// Seconds that a trainer which shuts down tries to hand back a trial while Redis does not answer:
/// service managers kill after ten or more.
pub const HAND_BACK_SECONDS_MAX: u64 = 8;
/// Milliseconds between two tries while Redis does not answer.
pub const TRAINER_RETRY_MS: u64 = 1_000;
/// Milliseconds that a trainer tries to remove itself from the list when it stops; otherwise it
/// expires there.
pub const LEAVE_MS: u64 = 1_000;
/// Seconds that a trainer refuses trials of a dataset it could not read while the files stay as they
/// are: there may be memory for it by then.
pub const REFUSE_SECONDS: u64 = 60;
/// Milliseconds between two looks at the files of refused datasets. A look at a folder of a million
/// images takes a third of a second: see [`REFUSED_LOOK_SHARE`].
pub const REFUSED_LOOK_MS: u64 = 1_000;
/// Looks at the files of refused datasets take at most one part in this many of the time.
pub const REFUSED_LOOK_SHARE: u32 = 20;
/// Seconds between two checkpoints of a trial: a crash costs no more, plus the current epoch. Each is
/// a file of about three times the weights.
pub const CHECKPOINT_SECONDS: u64 = 30;
/// The longest time between two checkpoints, in seconds: a day.
pub const CHECKPOINT_SECONDS_MAX: u64 = 86_400;
/// Checkpoints of a trial that are tried, one after the other: many may be from other kinds of
/// devices, and from a bucket each is copied.
pub const CHECKPOINTS_TRIED_MAX: usize = 16;
/// Seconds that a trainer takes at most to remove artifacts that a trial no longer needs: its slot
/// waits, and the reaper removes the rest.
pub const CLEAR_SECONDS_MAX: u64 = 5;
/// Milliseconds before artifacts that could not be reached are tried again, doubled after each try
/// up to [`ARTIFACTS_PAUSE_MS_MAX`].
pub const ARTIFACTS_PAUSE_MS: u64 = 500;
/// The longest time between two tries, in ms: the longest that trials wait once the artifacts can be
/// used again.
pub const ARTIFACTS_PAUSE_MS_MAX: u64 = 15_000;
/// Seconds that a probe of the artifacts may take before they count as away; a small file takes
/// milliseconds, in a bucket a second.
pub const ARTIFACTS_PROBE_SECONDS: u64 = 10;
/// Seconds after which a write that has not ended has the artifacts probed: the weights may be large,
/// or the artifact store may hang.
pub const ARTIFACTS_SLOW_SECONDS: u64 = 30;
/// Slots of a GPU by default: enough that one trial's batch is gathered while another's is computed.
/// Its memory may allow fewer.
pub const GPU_SLOTS: u32 = 4;
/// Bytes that a trial may take of a GPU for each byte that the pre-flight says, which measures the
/// CPU's kernels. The compositions that run elsewhere took 1.5 to 2 times as much with dense,
/// recurrent and normalising layers and activations, 4 to 10 times with convolutions of 3×3 and
/// pooling, 14 times with convolutions of 5×5 (64 channels, two layers, compositions on the CPU):
/// they keep a copy of each window. A trial never counts for more than the device.
pub const GPU_MEMORY_MARGIN: u64 = 15;
/// How long a trial waits for a device's memory, or to be alone on it, before its trainer looks for
/// another one that is idle, and between two looks, in seconds. If there is one, the trial is handed
/// back. Each look is a list of all trainers, and a trial that is handed back loses its place.
pub const PEER_SECONDS: u64 = 60;
/// A trainer does not count as an idle peer once its last heartbeat is older than the newest by this,
/// in ms: three of its heartbeats.
pub const PEER_SEEN_MS: u64 = TRAINER_TTL_MS / 4;
/// The head of a request to a trainer's metrics page, in bytes.
pub const METRICS_HEAD_BYTES_MAX: usize = 8 << 10;
/// Connections to a trainer's metrics page at once: one Prometheus, and a few people.
pub const METRICS_CONNECTIONS_MAX: usize = 16;
/// Seconds for one request to a trainer's metrics page, from its first byte to the last of the
/// answer.
pub const METRICS_SECONDS_MAX: u64 = 5;

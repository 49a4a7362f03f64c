//! The bounds of a trainer, each with its reason. Those of the crates below come with them.

pub use data::limits::*;
pub use store::limits::*;

/// The header of a checkpoint, in bytes: what the safetensors crate reads, and more than the curve
/// in it can take.
pub const CHECKPOINT_HEADER_BYTES_MAX: u64 = 100_000_000;
/// How long a trainer may read a dataset, and wait for its turn before, in seconds: what an API
/// could read must be read on a slower machine and disk, too.
pub const DATASET_TRAINER_SECONDS_MAX: u64 = 600;
/// Characters of the reason that a trainer's line gives for each: a path and a sentence; all of
/// them together are some kilobytes.
pub const REFUSAL_CHARACTERS_MAX: usize = 300;
/// Seconds that a trainer which shuts down tries to hand back a trial while Redis does not answer:
/// service managers kill after ten or more.
pub const HAND_BACK_SECONDS_MAX: u64 = 8;
/// Milliseconds between two tries while Redis does not answer.
pub const TRAINER_RETRY_MS: u64 = 1_000;
/// Milliseconds that a trainer which stops tries to take leave: without it, it is forgotten in
/// time.
pub const LEAVE_MS: u64 = 1_000;
/// Seconds that a trainer refuses trials of a dataset it lacks while its files stay as they are:
/// memory to read it may have come free.
pub const REFUSE_SECONDS: u64 = 60;
/// Milliseconds between two looks at the files of refused datasets. A look at a folder of a million
/// images takes a third of a second: see [`REFUSED_LOOK_SHARE`].
pub const REFUSED_LOOK_MS: u64 = 1_000;
/// The most of a core that looks at the files of refused datasets may take: one part of this.
pub const REFUSED_LOOK_SHARE: u32 = 20;
/// Seconds between two checkpoints of a trial: what a crash costs at most, beside the epoch at
/// hand. Each is a file of three times the weights or so.
pub const CHECKPOINT_SECONDS: u64 = 30;
/// The longest time between two checkpoints, in seconds: a day.
pub const CHECKPOINT_SECONDS_MAX: u64 = 86_400;
/// Checkpoints of a trial that are tried, one after the other: many may be for other classes of
/// machines, and from a bucket each is copied.
pub const CHECKPOINTS_TRIED_MAX: usize = 16;
/// Seconds that a trainer takes at most to remove what a trial needs no more: its slot waits, and
/// the reaper will do it.
pub const CLEAR_SECONDS_MAX: u64 = 5;
/// Milliseconds before artifacts that could not be reached are tried again, doubled after each try
/// up to [`ARTIFACTS_PAUSE_MS_MAX`].
pub const ARTIFACTS_PAUSE_MS: u64 = 500;
/// The longest time between two tries, in ms: so soon after the place is well again, trials go on.
pub const ARTIFACTS_PAUSE_MS_MAX: u64 = 15_000;
/// Seconds that a probe of the artifacts may take before they count as away; a small file takes
/// milliseconds, in a bucket a second.
pub const ARTIFACTS_PROBE_SECONDS: u64 = 10;
/// Seconds after which weights that are still on their way have the artifacts probed: the weights
/// may be large, or the place may hang.
pub const ARTIFACTS_SLOW_SECONDS: u64 = 30;
/// Slots of a GPU that nobody has given a number: enough that one trial's batch is gathered while
/// another's is computed; its memory may allow fewer.
pub const GPU_SLOTS: u32 = 4;
/// What a trial may take of a GPU for each byte that the pre-flight says, whose measure is that of
/// the CPU's kernels. The compositions that run elsewhere took 1.5 to 2 times as much with dense,
/// recurrent and normalising layers and activations, 4 to 10 times with convolutions of 3×3 and
/// pooling, 14 times with convolutions of 5×5 (64 channels, two layers, compositions on the CPU):
/// they keep what each window sees. A trial never counts for more than the device.
pub const GPU_MEMORY_MARGIN: u64 = 15;
/// How long a trial waits for a device's memory, or to be alone on it, before its trainer looks for
/// another one that is idle, and between two looks, in seconds. Where there is one, the trial is
/// handed back. Each look is a list of all trainers, and who is handed back loses its place.
pub const PEER_SECONDS: u64 = 60;
/// A trainer that was silent for longer than the others by so much is not waited for as a peer, in
/// ms: three of its heartbeats.
pub const PEER_SEEN_MS: u64 = TRAINER_TTL_MS / 4;
/// How often a trial that waits for memory looks whether it is to stop, in ms: it is woken where
/// memory comes free.
pub const MEMORY_POLL_MS: u64 = 100;
/// The head of a request to a trainer's metrics page, in bytes.
pub const METRICS_HEAD_BYTES_MAX: usize = 8 << 10;
/// Connections to a trainer's metrics page at once: one Prometheus, and somebody who looks.
pub const METRICS_CONNECTIONS_MAX: usize = 16;
/// Seconds for one request to a trainer's metrics page, from its first byte to the last of the
/// answer.
pub const METRICS_SECONDS_MAX: u64 = 5;

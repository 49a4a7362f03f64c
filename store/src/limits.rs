//! The bounds of the queue, its Redis and the artifacts, each with its reason. Those of `hpo` come
//! with them.

pub use hpo::limits::*;

// ---- store: the embedded Redis child and the artifacts ----

/// How long a Redis child may take to answer its first PING, in seconds. A million trials are some
/// 250 MB of append-only file, loaded in ten seconds.
pub const REDIS_READY_SECONDS_MAX: u64 = 120;
/// How long a Redis child may take to end after it was asked to, in seconds, before it is killed.
/// Its append-only file is whole either way.
pub const REDIS_STOP_SECONDS_MAX: u64 = 10;
/// One answer of a Redis child on its socket, in milliseconds; a server that is slower than this is
/// asked again until its own bound has passed.
pub const REDIS_CHILD_ANSWER_MS: u64 = 1_000;
/// How many times the Redis child may die within [`REDIS_DEATHS_WINDOW_SECONDS`] before the service
/// gives up: by then the reason is its data or its machine, not an accident.
pub const REDIS_DEATHS_MAX: usize = 5;
/// How long the death of a Redis child counts, in seconds: the restarts of a minute wait 1.5 s
/// together.
pub const REDIS_DEATHS_WINDOW_SECONDS: u64 = 60;
/// The first wait before a dead Redis child is started again, in milliseconds; it doubles with each
/// death of the last minute.
pub const REDIS_RESTART_BACKOFF_MS: u64 = 100;
/// Bytes that must be free on the disk of a Redis child for it to take writes: more than Redis and
/// trainers write between two checks.
pub const REDIS_DISK_BYTES_MIN: u64 = 16 << 20;
/// Bytes that must be free before a Redis child whose disk was full takes writes again: enough for
/// minutes, so that it does not change back at once.
pub const REDIS_DISK_BYTES_RESUME: u64 = 24 << 20;
/// How long a Redis child takes no writes after one has failed for lack of space, in milliseconds,
/// although the disk has free space: a quota may be used up.
pub const REDIS_DISK_RETRY_MS: u64 = 10_000;
/// How many of the last log lines of a Redis child are kept for the message that tells why it
/// ended.
pub const REDIS_LOG_LINES_MAX: usize = 20;
/// The longest log line of a Redis child that is kept, in bytes; the rest is cut.
pub const REDIS_LOG_LINE_BYTES_MAX: usize = 1000;
/// The longest path of a unix socket that every system accepts, in bytes: macOS allows 104 with the
/// closing zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 100;
/// The largest checkpoint, in bytes. It is written and read tensor by tensor, so that the bound is
/// that of disks and networks: minutes of either.
pub const CHECKPOINT_BYTES_MAX: u64 = 64 << 30;
/// A part of a checkpoint that is sent to or read from a bucket, in bytes: 64 GiB in the 10,000
/// parts that S3 allows, and seconds of a slow network.
pub const PART_BYTES: usize = 10 << 20;
/// Parts that are sent to a bucket at a time, each in memory.
pub const UPLOADS_AT_ONCE: usize = 2;
/// How many artifacts of a deleted study are removed in one call, so that a caller's tick stays
/// short.
pub const ARTIFACT_DELETE_BATCH: usize = 1000;

// ---- store: the queue ----

/// Trials queued ahead of the slots that could run them: a trainer never waits for a suggestion,
/// and a change of the study acts soon.
pub const QUEUE_AHEAD: u64 = 64;
/// Trials in one enqueue call: Redis is busy for about a millisecond, and suggesting stays in step
/// with what other processes enqueue.
pub const ENQUEUE_BATCH: u64 = 100;
/// Enqueue calls of one top-up: the longest queue there can be, and the same number again that lost
/// a race with another process.
pub const TOP_UP_ROUNDS_MAX: u64 = 2 * (PARALLEL_MAX + QUEUE_AHEAD) / ENQUEUE_BATCH;
/// Tokens on a wake list. They are hints: a trainer that wakes up and leaves work wakes the next.
pub const WAKE_TOKENS_MAX: u64 = 16;
/// Events that a study keeps, about 25 B each; a viewer that missed more reads the study again.
pub const EVENTS_KEPT: u64 = 1_000;
/// Earlier attempts that a trial keeps, the latest ones: no budget bounds how often it is released.
pub const ATTEMPTS_KEPT: u64 = 16;
/// Bytes of an error message that are kept.
pub const ERROR_BYTES_MAX: usize = 2_000;
/// Studies looked at, and delayed trials queued for each, in one call.
pub const DUE_BATCH: u64 = 32;
/// Trials of a closed study cancelled, and expired leases of a study taken back, in one call: a few
/// milliseconds of Redis.
pub const SWEEP_BATCH: u64 = 500;
/// Studies swept, purged or topped up in one tick. A purge is some dozen keys, whose memory Redis
/// frees in the background.
pub const CLOSING_BATCH: u64 = 32;
/// Calls that cancel what waits in a study before the rest is left to the reaper: enough for the
/// longest queue there can be.
pub const SWEEPS_MAX: u64 = (PARALLEL_MAX + QUEUE_AHEAD) / SWEEP_BATCH + 2;
/// Best trials kept in order; more are sorted from the packed column on request. A zset of up to
/// 128 entries is a compact listpack.
pub const BEST_KEPT: u64 = 100;
/// Studies that one list call looks at for the next match.
pub const STUDIES_SCANNED_MAX: u64 = 1_000;
/// Trials that one list call looks at for matches of its filter; then the page is short, and its
/// cursor continues there.
pub const TRIALS_SCANNED_MAX: usize = 20_000;
/// Entries of a list answer.
pub const PAGE_MAX: usize = 1_000;
/// Studies that a claim skips in a ring because the trainer lacks their datasets or the memory for
/// them.
pub const REFUSED_SCANNED_MAX: u64 = 256;
/// Datasets that a claim may refuse.
pub const REFUSED_MAX: usize = 64;
/// Studies of each device class, and with running trials, that a scrape examines for what they wait
/// for: a millisecond of Redis. The least served come first.
pub const WAITING_SCANNED_MAX: u64 = 256;
/// Leases in one claim: the slots of the largest machine.
pub const CLAIMS_MAX: usize = 256;
/// Epochs in one report; a trainer that was cut off for longer sends several reports.
pub const REPORT_EPOCHS_MAX: usize = 1_000;
/// The charge of a study without finished trials for a claim, in ms; corrected when the attempt
/// ends.
pub const FIRST_CHARGE_MS: u64 = 1_000;
/// The longest wait before a retry, in ms: a day.
pub const BACKOFF_MS_MAX: u64 = 86_400_000;
/// How long a trainer may be silent before it is no longer listed and its slots no longer count, in
/// ms: four leases.
pub const TRAINER_TTL_MS: u64 = 120_000;
/// How long an idempotency key is remembered, in ms: a day.
pub const IDEMPOTENCY_MS: u64 = 86_400_000;
/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Bytes of a trainer's id and of its numerics class.
pub const TRAINER_ID_BYTES_MAX: usize = 128;
/// Checkpoints of an ended trial are removed after this time, in ms: by then a trainer that has
/// lost its lease writes no more, although it trains without Redis for `ORPHAN_SECONDS_MAX` and a
/// little longer while a call waits.
pub const LEFTOVER_MS: u64 = ORPHAN_SECONDS_MAX * 1_000 + LEASE_MS;
/// Ticks that removals may take before the reaper goes on: five without it count as an outage. What
/// is not removed is handed out again.
pub const REMOVAL_TICKS: u32 = 2;
/// A lease, in ms: a dead trainer is noticed within one; two of three heartbeats may be lost.
pub const LEASE_MS: u64 = 30_000;
/// Ticks of the reaper in a lease: whatever is due happens a few seconds late at most.
pub const TICKS_PER_LEASE: u64 = 10;
/// How long one call of Redis may take with all its tries, in ms, if no request waits for it. A
/// script takes milliseconds; an fsync on a busy disk may take seconds, and the first try has half
/// of this.
pub const REDIS_CALL_MS: u64 = 10_000;
/// How long a connection to Redis may take, its greeting included, in ms.
pub const REDIS_CONNECT_MS: u64 = 3_000;
/// The longest answer to the greeting of a connection, in bytes: an error is one line, and that of
/// protected mode is the longest, with a thousand.
pub const REDIS_LINE_BYTES_MAX: u64 = 8 << 10;
/// Characters of an error of Redis that are shown: the longest has some 350.
pub const REDIS_ERROR_CHARACTERS_MAX: usize = 500;
/// Tries of one call, each on a fresh connection after the first. Every script may be repeated.
pub const REDIS_TRIES: u32 = 3;
/// The wait before a second try, in ms; doubled for the third.
pub const REDIS_RETRY_MS: u64 = 100;
/// How long a probe or a scrape waits for Redis in all, in ms. A healthy Redis takes milliseconds;
/// Prometheus gives up after ten seconds, an orchestrator's probe often after one to five, and both
/// ask again.
pub const REDIS_PROBE_MS: u64 = 2_000;
/// Commands in flight on one connection: the crate's default of 50 makes a busy API wait for
/// itself.
pub const REDIS_PIPELINE: usize = 1_000;
/// How long one wait for work blocks at most, in ms. The list is only a hint, so that a lost token
/// costs no more than this.
pub const WAKE_WAIT_MS_MAX: u64 = 5_000;
/// Studies whose parsed document and sampler a process keeps; when there are more, it forgets all.
pub const STUDIES_CACHED_MAX: usize = 256;

// ---- The API ----

/// The shortest lease, in seconds: a shorter one ends between two heartbeats on a busy machine.
pub const LEASE_SECONDS_MIN: u64 = 1;
/// The longest lease, in seconds: a dead trainer's trial is left untouched for an hour.
pub const LEASE_SECONDS_MAX: u64 = 3_600;

// ---- The trainer ----

/// Seconds that a trainer keeps a trial or a result without any answer of Redis: longer than a
/// machine takes to come back, and by then another trainer has the trial.
pub const ORPHAN_SECONDS_MAX: u64 = 600;
/// Checkpoints of a trial that are listed at a time: each attempt leaves one or two.
pub const CHECKPOINTS_LISTED_MAX: usize = 1_000;
/// Bytes of a probe: more than the last free blocks of a full disk take.
pub const ARTIFACTS_PROBE_BYTES: usize = 64 << 10;
/// Slots of a trainer: each is a thread, and one claim takes no more.
pub const SLOTS_MAX: usize = CLAIMS_MAX;

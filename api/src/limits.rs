//! The bounds of the HTTP API and of the service on one machine, each with its reason. Those of the
//! crates below come with them.

pub use data::limits::*;
pub use store::limits::*;

/// The body of a request. The largest sensible study is a few hundred kilobytes; 10 MB of JSON is
/// an accident or an attack.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// How long a request that only reads waits for Redis in all, in ms: it can be asked again at no
/// risk.
pub const REDIS_READ_MS: u64 = 5_000;
/// How long a request that changes something waits for Redis in all, in ms. Longer than for reads,
/// because a client does not know the outcome of a change that is given up, and a Redis that waits
/// for its disk mostly answers within seconds.
pub const REDIS_CHANGE_MS: u64 = 10_000;
/// What a client is told to wait before it tries again after a 503: a restart of Redis takes about
/// a second.
pub const RETRY_AFTER_SECONDS: u64 = 2;
/// Items on a page unless the client names a number.
pub const PAGE_DEFAULT: usize = 100;
/// Keys in an API keys file: each is compared at each request.
pub const API_KEYS_MAX: usize = 1_000;
/// A shorter API key could be guessed.
pub const API_KEY_BYTES_MIN: usize = 16;
/// A longer API key is a mistake, such as a certificate in the wrong file.
pub const API_KEY_BYTES_MAX: usize = 1_024;
/// HTTP worker threads: handlers wait for Redis, they do not compute.
pub const HTTP_WORKERS: usize = 2;
/// Threads of each HTTP worker for blocking work: one for each request that may wait for a dataset,
/// and as many for short work. They end when idle.
pub const HTTP_BLOCKING_THREADS: usize = 2 * DATASET_CALLERS_MAX;
/// Connections to each HTTP worker; more wait in the kernel.
pub const HTTP_CONNECTIONS_MAX: usize = 4_096;
/// Seconds within which a request's head must arrive: a slow sender must not hold a connection for
/// ever.
pub const HTTP_HEAD_SECONDS_MAX: u64 = 10;
/// How long a request's body may take to arrive, in seconds: a megabyte over a poor line.
pub const HTTP_BODY_SECONDS_MAX: u64 = 60;
/// Seconds that a client may read nothing of an answer that waits for it. Then its connection is
/// closed and its memory is free again.
pub const HTTP_STUCK_SECONDS_MAX: u64 = 20;
/// Seconds that requests in flight have to end when the server stops.
pub const HTTP_DRAIN_SECONDS_MAX: u64 = 10;
/// Seconds that the API waits at its start for a Redis that is starting; it looks once a second.
pub const REDIS_START_SECONDS_MAX: u64 = 30;
/// The lease of the trainer of `chandler run`: it is on the same machine, so a crash is noticed soon.
pub const RUN_LEASE_SECONDS: u64 = 10;
/// How long `chandler run` waits for its trainer to start, in seconds: on a loaded machine it takes a
/// second or two.
pub const TRAINER_START_SECONDS_MAX: u64 = 60;
/// Milliseconds between two starts of a trainer child that keeps dying.
pub const TRAINER_RESTART_MS: u64 = 2_000;
/// Seconds that the trainer child has to hand its trials back.
pub const TRAINER_STOP_SECONDS_MAX: u64 = 15;

// ---- The client ----

/// How long a client waits for a connection to the API, in seconds.
pub const CLIENT_CONNECT_SECONDS_MAX: u64 = 10;
/// How long a client waits for the head of an answer, in seconds: the API may wait for its turn to
/// read a dataset, read it, and then wait for Redis.
pub const CLIENT_ANSWER_SECONDS_MAX: u64 = 2 * DATASET_POST_SECONDS_MAX + 30;
/// How long the body of an answer may take, in seconds: the largest model over a poor line.
pub const CLIENT_BODY_SECONDS_MAX: u64 = 3_600;
/// The largest answer in JSON, in bytes: a study of [`BODY_BYTES_MAX`], with its defaults and the
/// class names of its dataset.
pub const CLIENT_ANSWER_BYTES_MAX: u64 = 16 << 20;
/// The largest model, in bytes: weights at their limit, and what a format adds.
pub const CLIENT_MODEL_BYTES_MAX: u64 = ARTIFACT_BYTES_MAX as u64 + (16 << 20);
/// How often a client sends a study before it gives up: with the pauses, longer than a restart of
/// Redis or of the API takes.
pub const CLIENT_TRIES_MAX: u32 = 6;
/// The longest pause before a request is repeated, in seconds, whatever the API asks for.
pub const CLIENT_PAUSE_SECONDS_MAX: u64 = 30;
/// Milliseconds between two looks at a study that a client waits for.
pub const CLIENT_LOOK_MS: u64 = 500;
/// How long `chandler submit --wait` goes on without an answer, in seconds: an upgrade of the API
/// takes less.
pub const CLIENT_OUTAGE_SECONDS_MAX: u64 = 300;
/// Studies in the list of `chandler status`: a screen.
pub const STUDIES_SHOWN: usize = 20;
/// Columns of the progress bar of `chandler run`: as wide as its numbers, whatever the terminal is.
pub const PROGRESS_BAR_COLUMNS: usize = 40;

//! The trainer: claims trials from Redis, trains them with candle, reports each epoch, hands in the
//! result.
//!
//! In reading order: [`Config`]; `trainer` starts a `worker` for each [`device`] and ends everything
//! in order; `claim` claims trials for a worker; `attempt` sees one of them through from the async
//! side, with its `heartbeat` and its `ending`; `launch` waits for all that it needs, such as `memory`
//! and the checkpoints from which to `resume`; `trial` prepares it and runs it on a thread; `run` is the training loop, readable whole;
//! `stop` tells it to stop; [`engine`] is a network and its training step, on the operations of
//! `kernels`; `targets` has labels and row weights, `weights` the best epoch, `checkpoint` the state
//! of a trial; `health` says whether artifacts can be used, and `refused` which datasets cannot be
//! read here; `metrics` and `page` show how it goes; `allocator` and `process` concern the process.
//!
//! candle never runs on the async runtime, and a training thread calls nothing there: it sends its
//! events to a channel, gets checkpoints from another, and looks whether it is to stop. Before it is
//! started, the dataset is read on a blocking task, and the async side waits for memory.
//!
//! A program that trains must set `CANDLE_NUM_THREADS=1` before its first thread starts, as the
//! binary does: otherwise candle adds large gradients on a pool of spinning threads, for which all
//! slots would queue.

mod allocator;
mod attempt;
mod backoff;
mod checkpoint;
mod claim;
mod config;
pub mod device;
mod ending;
pub mod engine;
mod health;
mod heartbeat;
pub(crate) mod kernels;
mod launch;
pub mod limits;
mod memory;
mod metrics;
mod page;
mod process;
mod refused;
mod resume;
mod run;
mod stop;
mod targets;
#[cfg(test)]
mod tests;
mod trainer;
mod trial;
mod weights;
mod worker;

pub use allocator::{Allocator, OPTIONS as ALLOCATOR_OPTIONS};
pub use config::Config;
pub use process::{end_with_parent, log_panics_in_one_line};
pub use trainer::run;

//! The trainer: claims trials from Redis, trains them with candle, reports each epoch, hands in the
//! result.
//!
//! In reading order: [`Config`], then `worker`, which claims and owns everything that runs;
//! `attempt` sees one leased trial through, from the async side: heartbeats, directives, the end;
//! `trial` prepares it on its own thread (dataset, plan, panics); `run` is the training loop,
//! readable whole; [`device`] says what there is to train on; [`engine`] is a network and its
//! training step, on the operations of `kernels`; `weights` is what is kept of the best epoch,
//! `checkpoint` what a trial goes on from; `health` says whether artifacts can be used, and
//! `refused` which datasets cannot be read here; `metrics` and `page` show how it goes; `allocator`
//! is where the memory of all this comes from.
//!
//! Two halves meet at a channel and a flag, and candle never runs on the async runtime. Before it
//! trains, a trial's thread asks two things of the runtime: whether another trainer is idle, while
//! it waits for memory, and the checkpoints of earlier attempts.
//!
//! A program that trains must set `CANDLE_NUM_THREADS=1` before its first thread starts, as the
//! binary does: candle adds large gradients on a pool of spinning threads otherwise, for which all
//! slots would queue.

mod allocator;
mod attempt;
mod checkpoint;
mod config;
pub mod device;
pub mod engine;
mod health;
pub(crate) mod kernels;
pub mod limits;
mod memory;
mod metrics;
mod page;
mod process;
mod refused;
mod run;
mod targets;
#[cfg(test)]
mod tests;
mod trial;
mod weights;
mod worker;

pub use allocator::{Allocator, OPTIONS as ALLOCATOR_OPTIONS};
pub use config::Config;
pub use process::{end_with_parent, log_panics_in_one_line};
pub use worker::run;

//! Flags and environment variables of a trainer.

use std::net::SocketAddr;

use crate::limits;
use store::flags::{Machine, Service};

/// Trains the trials of a Chandler service.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "chandler-trainer", version, about)]
pub struct Config {
    /// URL of Redis: redis://, rediss:// or unix://
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: String,
    /// What it may use of this machine.
    #[command(flatten)]
    pub machine: Machine,
    /// What it has in common with the API.
    #[command(flatten)]
    pub service: Service,
    /// Where to serve /metrics and /livez, such as 127.0.0.1:9101 [default: nowhere]
    #[arg(long, env = "CHANDLER_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// Seconds between two checkpoints of a trial, from which it goes on after a crash; 0: one
    /// after each epoch
    #[arg(long, env = "CHANDLER_CHECKPOINT_SECONDS", default_value_t = limits::CHECKPOINT_SECONDS,
          value_parser = clap::value_parser!(u64).range(0..=limits::CHECKPOINT_SECONDS_MAX))]
    pub checkpoint_seconds: u64,
    /// Prefix of all keys in Redis
    #[arg(long, env = "CHANDLER_NAMESPACE", default_value = "chandler", hide = true)]
    pub namespace: String,
    /// End when the parent process ends
    #[arg(long, hide = true)]
    pub parent_death: bool,
}

//! Flags and environment variables of a trainer.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::limits;
use store::TlsFiles;

/// Trains the trials of a Chandler service.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "chandler-trainer", version, about)]
pub struct Config {
    /// URL of Redis: redis://, rediss:// or unix://
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: String,
    /// Certificate files, for rediss://
    #[command(flatten)]
    pub tls: TlsFiles,
    /// Folder with datasets in its folder datasets/
    #[arg(long, env = "CHANDLER_DATA_DIR", default_value = "./chandler-data")]
    pub data_dir: PathBuf,
    /// Folder or URL for weights and checkpoints [default: <data-dir>/artifacts]
    #[arg(long, env = "CHANDLER_ARTIFACTS")]
    pub artifacts: Option<String>,
    /// Trials at once on each device [default: one for each core; on a GPU up to 4]
    #[arg(long, env = "CHANDLER_SLOTS", value_parser = clap::value_parser!(u32).range(1..=limits::SLOTS_MAX as i64))]
    pub slots: Option<u32>,
    /// Address to serve /metrics and /livez on, such as 127.0.0.1:9101 [default: none]
    #[arg(long, env = "CHANDLER_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// Seconds of silence after which a trainer counts as dead and its trials go to others
    #[arg(long, env = "CHANDLER_LEASE_SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(limits::LEASE_SECONDS_MIN..=limits::LEASE_SECONDS_MAX))]
    pub lease_seconds: u64,
    /// Seconds between two checkpoints of a trial; 0: one after each epoch
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

impl Config {
    /// The folder or URL for weights and checkpoints.
    pub(crate) fn artifacts(&self) -> String {
        self.artifacts.clone().unwrap_or_else(|| self.data_dir.join("artifacts").display().to_string())
    }
}

//! The flags that `chandler serve`, `chandler run` and `chandler-trainer` share: each has one name,
//! variable, default and help.

use std::path::PathBuf;

use crate::TlsFiles;
use crate::limits;

/// What a program may use of its machine.
#[derive(Debug, Clone, clap::Args)]
pub struct Machine {
    /// Folder for all files: datasets/, the weights in artifacts/, the private Redis in redis/, and
    /// what `chandler run` makes in runs/
    #[arg(long, env = "CHANDLER_DATA_DIR", default_value = "./chandler-data", value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// Folder with the datasets [default: DATA_DIR/datasets]
    #[arg(long, env = "CHANDLER_DATASETS", value_name = "FOLDER")]
    pub datasets: Option<PathBuf>,
    /// Trials that a trainer trains at once on each device [default: one for each core; on a GPU up
    /// to 4]
    #[arg(long, env = "CHANDLER_SLOTS", value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=limits::SLOTS_MAX as i64))]
    pub slots: Option<u32>,
}

/// What the APIs and the trainers of one service must have in common.
#[derive(Debug, Clone, clap::Args)]
pub struct Service {
    /// Certificate files, for rediss://
    #[command(flatten)]
    pub tls: TlsFiles,
    /// Folder or URL where weights are kept [default: DATA_DIR/artifacts]
    #[arg(long, env = "CHANDLER_ARTIFACTS", value_name = "FOLDER_OR_URL")]
    pub artifacts: Option<String>,
    /// Seconds of silence after which a trainer counts as dead and its trials go to others
    #[arg(long, env = "CHANDLER_LEASE_SECONDS", default_value_t = limits::LEASE_MS / 1_000, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(limits::LEASE_SECONDS_MIN..=limits::LEASE_SECONDS_MAX))]
    pub lease_seconds: u64,
}

impl Machine {
    /// The folder with the datasets.
    pub fn datasets(&self) -> PathBuf {
        self.datasets.clone().unwrap_or_else(|| self.data_dir.join("datasets"))
    }
}

impl Service {
    /// Where weights are kept: a folder or a URL.
    pub fn artifacts(&self, machine: &Machine) -> String {
        self.artifacts.clone().unwrap_or_else(|| machine.data_dir.join("artifacts").display().to_string())
    }
}

//! Flags and their environment twins.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::limits;
use clap::{Args, Parser, Subcommand};
use store::TlsFiles;

/// Hyperparameter tuning as a service.
#[derive(Debug, Parser)]
#[command(name = "chandler", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `chandler` does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the HTTP API; without a Redis URL the whole service: its own Redis and one trainer
    /// with a slot per core
    Serve(Config),
    /// Run one study here and now: progress, result table, exit
    Run(Run),
}

/// The flags of `chandler serve`.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Address to listen on; one that is not loopback needs API keys
    #[arg(long, env = "CHANDLER_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Folder for Redis files, artifacts, and datasets below datasets/
    #[arg(long, env = "CHANDLER_DATA_DIR", default_value = "./chandler-data")]
    pub data_dir: PathBuf,
    /// redis://, rediss:// or unix://; without it a private Redis and a trainer are started
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// Certificate files, for rediss://
    #[command(flatten)]
    pub tls: TlsFiles,
    /// File with API keys of 16 to 1,024 visible ASCII characters, one a line; lines that start
    /// with # are comments
    #[arg(long, env = "CHANDLER_API_KEYS_FILE")]
    pub api_keys_file: Option<PathBuf>,
    /// Folder or URL where weights are kept [default: DATA_DIR/artifacts]
    #[arg(long, env = "CHANDLER_ARTIFACTS")]
    pub artifacts: Option<String>,
    /// Seconds after which a trainer that says nothing is taken for dead
    #[arg(long, env = "CHANDLER_LEASE_SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(limits::LEASE_SECONDS_MIN..=limits::LEASE_SECONDS_MAX))]
    pub lease_seconds: u64,
    /// Slots of the trainer that is started where there is no Redis URL [default: one a core]
    #[arg(long, env = "CHANDLER_SLOTS", value_parser = clap::value_parser!(u32).range(1..=limits::SLOTS_MAX as i64))]
    pub slots: Option<u32>,
}

/// The flags of `chandler run`.
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// The study: a JSON document as POSTed to /v1/studies
    pub study: PathBuf,
    /// Folder with datasets below datasets/; what the run makes goes below runs/
    #[arg(long, env = "CHANDLER_DATA_DIR", default_value = "./chandler-data")]
    pub data_dir: PathBuf,
    /// Trials at once [default: one a core]
    #[arg(long, env = "CHANDLER_SLOTS", value_parser = clap::value_parser!(u32).range(1..=limits::SLOTS_MAX as i64))]
    pub slots: Option<u32>,
    /// Fail unless the best value is at least (when minimising: at most) this
    #[arg(long)]
    pub require_value: Option<f64>,
    /// How many of the best trials to print
    #[arg(long, default_value_t = 10)]
    pub best: usize,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn help_shows_no_password_of_the_environment() {
        let cli = Cli::command();
        let serve = cli.find_subcommand("serve").unwrap();
        let url = serve.get_arguments().find(|argument| argument.get_id() == "redis_url").unwrap();
        assert!(url.is_hide_env_values_set());
    }
}

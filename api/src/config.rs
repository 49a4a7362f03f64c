//! The commands of `chandler`, with their flags and the environment twins of these.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use store::StudyId;
use store::flags::{Machine, Service};

use crate::client::ServerUrl;
use crate::model_file::ModelFile;

const EXAMPLES: &str = "\
Examples:
  chandler run openapi/examples/digits-random.json   # one study, here and now
  chandler serve                                     # the service; then, in another terminal:
  chandler submit openapi/examples/digits-random.json
  chandler status
  chandler best ID --output best.onnx

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.";

/// Hyperparameter tuning as a service.
#[derive(Debug, Parser)]
#[command(name = "chandler", version, after_help = EXAMPLES)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the HTTP API; without a Redis URL also start a private Redis and a trainer
    Serve(Serve),
    /// Run one study on this machine, print its best trials and exit
    Run(Run),
    /// Send a study to a running service and print its id
    Submit(Submit),
    /// Show how far a study is, or list the newest studies
    Status(Status),
    /// Show the best trial of a study, and save its model
    Best(Best),
    /// Convert a saved model to ONNX or Keras
    Export(Export),
}

const SERVE_EXAMPLES: &str = "\
Examples:
  chandler serve                                         # all in one, on http://127.0.0.1:8080
  chandler serve --listen 127.0.0.1:9000 --data-dir /var/lib/chandler
  chandler serve --redis-url redis://HOST:6379 --listen 0.0.0.0:8080 --api-keys-file keys.txt \\
      --artifacts /shared/artifacts                      # with trainers on other machines";

/// The flags of `chandler serve`.
#[derive(Debug, Clone, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub struct Serve {
    /// Address to listen on; API keys are required unless it is loopback
    #[arg(long, env = "CHANDLER_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// redis://, rediss:// or unix://; without it a private Redis and a trainer are started
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub redis_url: Option<String>,
    /// File with API keys of 16 to 1,024 visible ASCII characters, one on each line; lines that
    /// start with # are comments
    #[arg(long, env = "CHANDLER_API_KEYS_FILE", value_name = "FILE")]
    pub api_keys_file: Option<PathBuf>,
    /// The resources of this machine.
    #[command(flatten)]
    pub machine: Machine,
    /// The settings that it shares with the trainers.
    #[command(flatten)]
    pub service: Service,
}

const RUN_EXAMPLES: &str = "\
Examples:
  chandler run openapi/examples/digits-random.json
  chandler run openapi/examples/digits-random.json --output best.onnx
  chandler run openapi/examples/fruit-csv.json --datasets openapi/examples/datasets

Exit codes: 0 a trial completed, and its value is as good as required; 1 otherwise; 2 wrong usage.";

/// The flags of `chandler run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct Run {
    /// File with the study: the JSON that POST /v1/studies takes
    pub study: PathBuf,
    /// File for the best model: .safetensors, .onnx or .keras [default: best.safetensors in a new
    /// folder in DATA_DIR/runs]
    #[arg(long, value_name = "FILE")]
    pub output: Option<ModelFile>,
    /// How many of the best trials to print
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    pub best: usize,
    /// Exit with 1 unless the best value is at least this (at most, when minimising)
    #[arg(long, value_name = "VALUE")]
    pub require_value: Option<f64>,
    /// The resources of this machine.
    #[command(flatten)]
    pub machine: Machine,
}

/// The flags of the commands that talk to a running service.
#[derive(Debug, Clone, Args)]
pub struct Remote {
    /// URL of the API
    #[arg(long, env = "CHANDLER_SERVER", default_value = ServerUrl::DEFAULT, value_name = "URL")]
    pub server: ServerUrl,
    /// File with an API key, the first if there are several; without the file the key in the
    /// variable CHANDLER_API_KEY is sent
    #[arg(long, env = "CHANDLER_API_KEY_FILE", value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Print the answer of the API as it is, in JSON
    #[arg(long)]
    pub json: bool,
}

const SUBMIT_EXAMPLES: &str = "\
Examples:
  chandler submit openapi/examples/digits-random.json
  chandler submit --wait openapi/examples/digits-random.json
  ID=$(chandler submit - < openapi/examples/digits-random.json)
  chandler submit --server https://chandler.example.com --api-key-file key.txt study.json

The id of the study goes to stdout, everything else to stderr.

Exit codes: 0 created (with --wait: ended with a best trial), 1 refused or failed, 2 wrong usage.";

/// The flags of `chandler submit`.
#[derive(Debug, Clone, Args)]
#[command(after_help = SUBMIT_EXAMPLES)]
pub struct Submit {
    /// File with the study: the JSON that POST /v1/studies takes; - reads stdin
    pub study: PathBuf,
    /// Wait until the study has ended
    #[arg(long)]
    pub wait: bool,
    /// The service and how to talk to it.
    #[command(flatten)]
    pub remote: Remote,
}

const STATUS_EXAMPLES: &str = "\
Examples:
  chandler status                                        # the newest studies
  chandler status 01M8QDVZ4KXGXY3MPK5GP66BCB
  chandler status 01M8QDVZ4KXGXY3MPK5GP66BCB --json      # all that the API knows of it

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.";

/// The flags of `chandler status`.
#[derive(Debug, Clone, Args)]
#[command(after_help = STATUS_EXAMPLES)]
pub struct Status {
    /// Id of a study; without it the newest studies are listed
    #[arg(value_parser = study_id)]
    pub id: Option<StudyId>,
    /// The service and how to talk to it.
    #[command(flatten)]
    pub remote: Remote,
}

const BEST_EXAMPLES: &str = "\
Examples:
  chandler best 01M8QDVZ4KXGXY3MPK5GP66BCB
  chandler best 01M8QDVZ4KXGXY3MPK5GP66BCB --output best.onnx

Exit codes: 0 done; 1 refused or failed, or no trial has completed yet; 2 wrong usage.";

/// The flags of `chandler best`.
#[derive(Debug, Clone, Args)]
#[command(after_help = BEST_EXAMPLES)]
pub struct Best {
    /// Id of the study
    #[arg(value_parser = study_id)]
    pub id: StudyId,
    /// File to save the model in: .safetensors, .onnx or .keras
    #[arg(long, value_name = "FILE")]
    pub output: Option<ModelFile>,
    /// The service and how to talk to it.
    #[command(flatten)]
    pub remote: Remote,
}

const EXPORT_EXAMPLES: &str = "\
Examples:
  chandler export best.safetensors best.onnx
  chandler export best.safetensors best.keras

Exit codes: 0 written, 1 failed, 2 wrong usage.";

/// The flags of `chandler export`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXPORT_EXAMPLES)]
pub struct Export {
    /// File with the weights that a trial left: safetensors with the network in its metadata
    pub model: PathBuf,
    /// File to write: .onnx or .keras
    pub output: ModelFile,
}

fn study_id(text: &str) -> Result<StudyId, String> {
    StudyId::parse(text).ok_or_else(|| {
        "it is not the id of a study, which has 26 characters; `chandler status` lists them".to_owned()
    })
}

/// The folder with the datasets. It is made unless the user has named it: a mistyped name must not
/// become an empty folder. A service without a disk still has its built-in datasets.
pub(crate) fn datasets_folder(machine: &Machine) -> anyhow::Result<PathBuf> {
    let folder = machine.datasets();
    if let Some(named) = &machine.datasets {
        anyhow::ensure!(
            named.is_dir(),
            "there is no folder {} (--datasets, CHANDLER_DATASETS)",
            named.display()
        );
    } else if let Err(error) = std::fs::create_dir_all(&folder) {
        tracing::warn!("The folder for datasets, {}, cannot be made: {error}", folder.display());
    }
    Ok(folder)
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

    #[test]
    fn the_commands_are_consistent_and_every_one_has_examples() {
        let cli = Cli::command();
        cli.clone().debug_assert();
        for command in std::iter::once(&cli).chain(cli.get_subcommands()) {
            let help = command.get_after_help().map(|help| help.to_string()).unwrap_or_default();
            assert!(help.starts_with("Examples:\n  chandler "), "{}: {help}", command.get_name());
            for line in help.lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
    }

    #[test]
    fn an_argument_that_cannot_be_used_is_refused_at_once() {
        let refused = |arguments: &[&str]| {
            Cli::try_parse_from([&["chandler"], arguments].concat()).unwrap_err().to_string()
        };
        let id = "01M8QDVZ4KXGXY3MPK5GP66BCB";
        for (arguments, said) in [
            (&["run", "study.json", "--output", "best.txt"][..], ".safetensors, .onnx or .keras"),
            (&["best", id, "--output", "best"], ".safetensors, .onnx or .keras"),
            (&["best", "01M8"], "26 characters"),
            (&["status", "../trainers"], "26 characters"),
            (&["status", "--server", "127.0.0.1:8080"], "http:// or https://"),
            (&["status", "--server", "http://user:secret@host"], "http:// or https://"),
            (&["submit"], "<STUDY>"),
        ] {
            let error = refused(arguments);
            assert!(error.contains(said), "{arguments:?}: {error}");
        }
    }
}

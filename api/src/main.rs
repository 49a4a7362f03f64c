//! `chandler`: the HTTP API, and the whole service on one machine.

use std::io::IsTerminal;
use std::process::ExitCode;

use api::config::{Cli, Command};
use clap::Parser;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let quiet = matches!(cli.command, Command::Run(_));
    let filter =
        EnvFilter::try_from_env("CHANDLER_LOG").unwrap_or_else(|_| EnvFilter::new(if quiet { "warn" } else { "info,actix_server=warn" }));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).init();
    let outcome = match cli.command {
        Command::Serve(serve) => api::serve::serve(serve).await.map(|()| ExitCode::SUCCESS),
        Command::Run(run) => api::run_study::run_study(run).await,
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("chandler: {error:#}");
        ExitCode::FAILURE
    })
}

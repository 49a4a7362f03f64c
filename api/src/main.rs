//! `chandler`: the HTTP API, the whole service on one machine, and its client.

use std::future::Future;
use std::io::IsTerminal;
use std::process::ExitCode;

use api::config::{Cli, Command};
use api::{client, model_file, run_study, serve};
use clap::Parser;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(config) => {
            log("info,actix_server=warn");
            block_on(async { serve::serve(config).await.map(|()| ExitCode::SUCCESS) })
        }
        Command::Run(config) => {
            log("warn");
            block_on(run_study::run_study(config))
        }
        Command::Submit(config) => Ok(client::submit(&config)),
        Command::Status(config) => Ok(client::status(&config)),
        Command::Best(config) => Ok(client::best(&config)),
        Command::Export(config) => model_file::export(&config),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("chandler: {error:#}");
        ExitCode::FAILURE
    })
}

/// Logs to stderr: what CHANDLER_LOG names, or `usual`.
fn log(usual: &str) {
    let wanted = std::env::var("CHANDLER_LOG").unwrap_or_else(|_| usual.to_owned());
    // A request head that cannot be read is an error to actix: any client could fill the log.
    // CHANDLER_LOG=actix_http=error shows them.
    let filter = EnvFilter::new(format!("actix_http=off,{wanted}"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

fn block_on(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Runtime::new()?.block_on(work)
}

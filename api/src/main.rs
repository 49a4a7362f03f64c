//! `chandler`: the HTTP API, the whole service on one machine, and its client.

use std::future::Future;
use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use api::config::{Cli, Command};
use api::{client, model_file, run_study, serve};
use clap::Parser;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(config) => log("info,actix_server=warn")
            .and_then(|()| block_on(async { serve::serve(config).await.map(|()| ExitCode::SUCCESS) })),
        Command::Run(config) => log("warn").and_then(|()| block_on(run_study::run_study(config))),
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
fn log(usual: &str) -> anyhow::Result<()> {
    let wanted = std::env::var("CHANDLER_LOG").unwrap_or_else(|_| usual.to_owned());
    // A request head that cannot be read is an error to actix: any client could fill the log.
    // CHANDLER_LOG=actix_http=error shows them.
    let filter: Targets = format!("actix_http=off,{wanted}").parse().with_context(|| {
        format!("CHANDLER_LOG must be levels such as `debug` or `info,store=debug`, not {wanted:?}")
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines).with(filter).init();
    Ok(())
}

fn block_on(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Runtime::new()?.block_on(work)
}

//! `chandler`: the HTTP API, and the whole service on one machine.

use std::io::IsTerminal;
use std::process::ExitCode;

use api::config::{Cli, Command};
use clap::Parser;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let quiet = matches!(cli.command, Command::Run(_));
    let wanted = std::env::var("CHANDLER_LOG")
        .unwrap_or_else(|_| if quiet { "warn" } else { "info,actix_server=warn" }.to_owned());
    // A request head that cannot be read is an error to actix: any client could fill the log.
    // CHANDLER_LOG=actix_http=error shows them.
    let Ok(filter) = format!("actix_http=off,{wanted}").parse::<Targets>() else {
        eprintln!("chandler: CHANDLER_LOG must be levels such as `debug` or `info,store=debug`, not {wanted:?}");
        return ExitCode::FAILURE;
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines).with(filter).init();
    let outcome = match cli.command {
        Command::Serve(serve) => api::serve::serve(serve).await.map(|()| ExitCode::SUCCESS),
        Command::Run(run) => api::run_study::run_study(run).await,
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("chandler: {error:#}");
        ExitCode::FAILURE
    })
}

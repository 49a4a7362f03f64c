//! `chandler-trainer`: trains the trials of a Chandler service. See `chandler-trainer --help`.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

#[global_allocator]
static ALLOCATOR: trainer::Allocator = tikv_jemallocator::Jemalloc;

// SAFETY: jemalloc reads this name as a pointer to a text that ends with a zero, which it is.
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_OPTIONS: &[u8; trainer::ALLOCATOR_OPTIONS.len()] = trainer::ALLOCATOR_OPTIONS;

fn main() -> ExitCode {
    // One slot, one thread: candle would otherwise spread each large sum over spinning threads that
    // all slots share. It reads nothing but these. SAFETY: no other thread has started yet that
    // could read the environment at the same time.
    unsafe {
        std::env::set_var("CANDLE_NUM_THREADS", "1");
        std::env::set_var("RAYON_NUM_THREADS", "1");
    }
    let config = trainer::Config::parse();
    let wanted = std::env::var("CHANDLER_LOG").unwrap_or_else(|_| "info".to_owned());
    let Ok(filter) = wanted.parse::<Targets>() else {
        eprintln!(
            "chandler-trainer: CHANDLER_LOG must be levels such as `debug` or `info,store=debug`, not {wanted:?}"
        );
        return ExitCode::FAILURE;
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines).with(filter).init();
    trainer::log_panics_in_one_line();
    match start(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(config: trainer::Config) -> anyhow::Result<()> {
    if config.parent_death {
        trainer::end_with_parent()?;
    }
    // Two threads: heartbeats and reports are all that runs here.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(async {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (ask, asked) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::info!("Stopping: running trials are handed back; a second signal ends at once");
            let _ = ask.send(());
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            std::process::exit(1);
        });
        trainer::run(config, async {
            let _ = asked.await;
        })
        .await
    });
    // A training thread may still be in its last batch; its trial is handed back already.
    runtime.shutdown_background();
    ended
}

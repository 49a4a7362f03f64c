//! Measurements; `make bench` runs them all, `chandler-bench http queue train search` those that
//! are named.
//!
//! Each figure is a line `bench NAME VALUE UNIT`; against a peer, `bench NAME_vs_PEER ratio X`: how
//! many times better we are. Lines that start with `#` are for people. Everything is measured in
//! several turns, with a peer in turn (A B A B), since a shared machine drifts; each group's module
//! says what it makes of its turns.
//!
//! `PEERS=/path/to/python` names a Python that has the peers: torch for `train`; optuna and redis
//! for `queue`; keras-tuner with TensorFlow, optuna and torch for `search`.

mod counted;
mod http;
mod peer;
mod queue;
mod search;
mod step;

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, bail, ensure};

// The trainer's allocator, or its step would be measured on another one.
#[global_allocator]
static ALLOCATOR: counted::Counted = counted::Counted(tikv_jemallocator::Jemalloc);

// SAFETY: as in the trainer.
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_OPTIONS: &[u8; trainer::ALLOCATOR_OPTIONS.len()] = trainer::ALLOCATOR_OPTIONS;

/// How often everything is measured.
const TURNS: usize = 3;

/// A group of figures: its name, and what measures and prints them.
type Group = (&'static str, fn() -> anyhow::Result<()>);

const GROUPS: [Group; 4] = [
    ("http", http::measure),
    ("queue", queue::measure),
    ("train", step::measure),
    ("search", search::measure),
];

fn main() -> anyhow::Result<()> {
    // As in the trainer: one trial, one thread.
    // SAFETY: no other thread has started yet that could read the environment at the same time.
    unsafe {
        std::env::set_var("CANDLE_NUM_THREADS", "1");
        std::env::set_var("RAYON_NUM_THREADS", "1");
    }
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| GROUPS.iter().all(|(group, _)| group != name)) {
        bail!("no group {unknown:?}; there are {}", GROUPS.map(|(group, _)| group).join(", "));
    }
    println!("# {}", machine()?);
    if cfg!(debug_assertions) {
        println!("# A debug build: its figures say nothing");
    }
    for (group, measure) in GROUPS {
        if wanted.is_empty() || wanted.iter().any(|name| name == group) {
            measure().with_context(|| format!("while measuring {group}"))?;
        }
    }
    Ok(())
}

/// Prints a figure.
fn figure(name: &str, value: f64, unit: &str) {
    let digits = if value >= 1000.0 { 0 } else { 3 };
    println!("bench {name} {value:.digits$} {unit}");
}

/// Prints how many times better we are than a peer.
fn ratio(name: &str, peer: &str, times: f64) {
    println!("bench {name}_vs_{peer} ratio {times:.2}");
}

/// The value below which this share of `values` lies; NaN without values.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
        .get(((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// The middle one of `values`.
fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// What the figures depend on, for people.
fn machine() -> anyhow::Result<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|line| line.split_once(": "))
        .map_or(std::env::consts::ARCH, |(_, model)| model);
    let cores = std::thread::available_parallelism()?;
    let server = std::env::var("CHANDLER_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let version = std::process::Command::new(&server)
        .arg("--version")
        .output()
        .with_context(|| format!("{server}: install Redis"))?;
    ensure!(version.status.success(), "{server} --version failed");
    let version = String::from_utf8_lossy(&version.stdout);
    let version = version.split(" sha=").next().unwrap_or_default().trim();
    Ok(format!(
        "{cpu}, {cores} cores; {version}, appendfsync always, where an fsync takes {:.2} ms",
        fsync_ms()?
    ))
}

/// How long the disk that all measurements write to takes to keep 4 kB: the median of a hundred.
fn fsync_ms() -> anyhow::Result<f64> {
    let mut file = tempfile::tempfile()?;
    let mut took = Vec::new();
    for _ in 0..100 {
        let begun = Instant::now();
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(&took))
}

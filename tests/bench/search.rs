//! The search of the Keras tuning tutorials, end to end: six points of it, two epochs each, on
//! MNIST.
//!
//! Ours is `chandler run` with two slots, from the start of the process to its end: a Redis, a
//! trainer, the queue, weights on the disk. KerasTuner searches in one process that uses all cores,
//! Optuna with PyTorch in two of one thread each; of them only the search is timed, not the imports
//! and not the reading of data. All train the same six networks on the first 48,000 images and
//! validate on the other 12,000. Printed are the best turns.
//!
//! `MNIST=/folder` names the four IDX files (default: where `make mnist` puts them).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::{Value as Json, json};
use tests::binary;

use crate::peer::Peer;
use crate::{figure, ratio};

/// How often everything is measured: a turn of KerasTuner takes more than a minute.
const TURNS: usize = 2;
/// Units and learning rates, of the tutorial's space; the longest first on every side, so that
/// nobody waits for a last one.
const POINTS: [(u32, f64); 6] = [(512, 1e-3), (416, 1e-2), (320, 1e-4), (256, 1e-3), (128, 1e-3), (64, 1e-2)];
const EPOCHS: u32 = 2;
/// Images that train; the others validate.
const TRAINED: usize = 48_000;
/// How much worse our best accuracy may be: what a seed changes.
const TOLERANCE: f64 = 0.005;

/// What a search took, in seconds, and found.
#[derive(Clone, Copy)]
struct Found {
    seconds: f64,
    best: f64,
}

/// Prints the figures of the search.
pub(crate) fn measure() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    split_mnist(folder.path())?;
    let peers: Vec<(&str, Peer)> =
        [("kerastuner", "keras_tuner, tensorboard, tensorflow"), ("optuna_torch", "optuna, torch")]
            .into_iter()
            .filter_map(|(name, modules)| Some((name, Peer::with(modules)?)))
            .collect();
    let mut ours: Option<Found> = None;
    let mut theirs: Vec<Option<Found>> = vec![None; peers.len()];
    for _ in 0..TURNS {
        keep(&mut ours, search(folder.path())?);
        for ((name, peer), theirs) in peers.iter().zip(&mut theirs) {
            keep(theirs, compared(peer, name, folder.path())?);
        }
    }
    let ours = ours.context("no turn")?;
    figure("search_seed", ours.seconds, "s");
    figure("search_seed_best", ours.best, "val_accuracy");
    for ((name, _), theirs) in peers.iter().zip(theirs) {
        let theirs = theirs.context("no turn")?;
        figure(&format!("search_seed_{name}"), theirs.seconds, "s");
        figure(&format!("search_seed_{name}_best"), theirs.best, "val_accuracy");
        ratio("search_seed", name, theirs.seconds / ours.seconds);
        ensure!(
            ours.best >= theirs.best - TOLERANCE,
            "our best of {} is worse than the {} of {name}",
            ours.best,
            theirs.best
        );
    }
    Ok(())
}

/// Keeps the quicker of two turns.
fn keep(best: &mut Option<Found>, turn: Found) {
    if best.is_none_or(|best| turn.seconds < best.seconds) {
        *best = Some(turn);
    }
}

/// Our search.
fn search(folder: &Path) -> anyhow::Result<Found> {
    let document = folder.join("study.json");
    std::fs::write(&document, study().to_string())?;
    let begun = Instant::now();
    let run = Command::new(binary("chandler"))
        .arg("run")
        .arg(&document)
        .args(["--slots", "2", "--data-dir"])
        .arg(folder)
        .env_remove("REDIS_URL")
        .stderr(Stdio::inherit())
        .output()?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(run.status.success(), "chandler run failed");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    // The first row below the line of the table: trial, value, …
    let best = said
        .lines()
        .skip_while(|line| !line.contains('─'))
        .nth(1)
        .and_then(|row| row.split_whitespace().nth(1)?.parse().ok());
    Ok(Found { seconds, best: best.with_context(|| format!("no table in {said}"))? })
}

/// A hyperparameter that numbers the points, with units and learning rate as its cases.
fn study() -> Json {
    let of = |value: fn(&(u32, f64)) -> Json| -> Json {
        POINTS
            .iter()
            .enumerate()
            .map(|(at, point)| (at.to_string(), value(point)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let files =
        |part: &str| json!({"features": format!("{part}-images"), "labels": format!("{part}-labels")});
    json!({
        "name": "seed", "seed": 1, "sampler": {"name": "grid"},
        "space": [{"name": "point", "type": "int", "min_value": 0, "max_value": POINTS.len() - 1}],
        "network": [
            {"layer": "Flatten"},
            {"layer": "Dense", "units": {"hp": "point", "cases": of(|point| json!(point.0))}, "activation": "relu"},
            {"layer": "Dense", "units": 10, "activation": "softmax"}
        ],
        "training": {
            "optimizer": {"name": "adam", "learning_rate": {"hp": "point", "cases": of(|point| json!(point.1))}},
            "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], "batch_size": 32, "epochs": EPOCHS
        },
        "dataset": {"features": "train-images", "labels": "train-labels", "validation": files("validation"), "scale": "unit"},
        "objective": {"metric": "val_accuracy"}
    })
}

/// A peer's search, by its script.
fn compared(peer: &Peer, name: &str, folder: &Path) -> anyhow::Result<Found> {
    let points = json!(POINTS).to_string();
    let said = peer.say(
        "search.py",
        &[name, &folder.join("datasets").display().to_string(), &points, &EPOCHS.to_string()],
    )?;
    let numbers: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [seconds, best] = numbers[..] else {
        anyhow::bail!("search.py {name} says {said:?}, not seconds and the best")
    };
    Ok(Found { seconds, best })
}

/// Puts MNIST's training images into a data folder as two pairs of files: those that train, those
/// that validate.
fn split_mnist(data_dir: &Path) -> anyhow::Result<()> {
    let mnist = std::env::var_os("MNIST")
        .map_or_else(|| PathBuf::from("chandler-data/datasets/mnist"), PathBuf::from);
    let datasets = data_dir.join("datasets");
    std::fs::create_dir_all(&datasets)?;
    for (name, file, head, row) in
        [("images", "train-images-idx3-ubyte", 16, 784), ("labels", "train-labels-idx1-ubyte", 8, 1)]
    {
        let path = mnist.join(file);
        let bytes = std::fs::read(&path).with_context(|| format!("{}: run make mnist", path.display()))?;
        let at = head + TRAINED * row;
        ensure!(bytes.len() > at, "{} is not MNIST's", path.display());
        for (part, count, rows) in
            [("train", TRAINED, &bytes[head..at]), ("validation", (bytes.len() - at) / row, &bytes[at..])]
        {
            let head = [&bytes[..4], &(count as u32).to_be_bytes(), &bytes[8..head]].concat();
            std::fs::write(datasets.join(format!("{part}-{name}")), [&head, rows].concat())?;
        }
    }
    Ok(())
}

//! One step of training: a batch gathered from the dataset in memory, forward, loss, backward,
//! optimiser; on one thread.
//!
//! What the trainer does for each batch, metrics included. PyTorch does the same in its fastest
//! form (one thread, fused Adam, a float tensor indexed by the batch's rows, no metrics). Printed
//! is the best round of all turns: what the machine can do when nothing disturbs it.

use std::sync::Arc;
use std::time::Instant;

use data::{Dataset, Features, Labels, Scaled, epoch_order};
use hpo::dataset::{DatasetSchema, Scale};
use hpo::{Plan, Point, Study};
use serde_json::{Value as Json, json};
use trainer::device::devices;
use trainer::engine::{Model, RowWeights, Targets};

use crate::peer::Peer;
use crate::{TURNS, counted, figure, ratio};

/// Rows of the dataset: those of MNIST.
const ROWS: usize = 60_000;
/// Rounds of a turn; before them, one that only warms up.
const ROUNDS: usize = 6;

/// A network and its batch.
struct Case {
    /// What its figure is called, and what the peer's script knows it by.
    name: &'static str,
    network: fn() -> Json,
    batch: usize,
    /// Steps in a round.
    steps: usize,
}

const CASES: [Case; 6] = [
    Case { name: "train_mlp128_b32", network: || mlp(128), batch: 32, steps: 500 },
    Case { name: "train_mlp128_b128", network: || mlp(128), batch: 128, steps: 150 },
    Case { name: "train_mlp512_b32", network: || mlp(512), batch: 32, steps: 150 },
    Case { name: "train_cnn1_b64", network: cnn1, batch: 64, steps: 30 },
    Case { name: "train_cnn2_b64", network: cnn2, batch: 64, steps: 12 },
    Case { name: "train_lstm64_b64", network: lstm, batch: 64, steps: 60 },
];

/// The shape of a row: an image of MNIST, or 28 steps of 28.
const SHAPE: [usize; 2] = [28, 28];

fn mlp(units: usize) -> Json {
    json!([{"layer": "Flatten"}, {"layer": "Dense", "units": units, "activation": "relu"}, {"layer": "Dense", "units": 10, "activation": "softmax"}])
}

fn cnn1() -> Json {
    json!([
        {"layer": "Reshape", "target_shape": [28, 28, 1]}, {"layer": "Conv2D", "filters": 32, "kernel_size": 3, "activation": "relu"}, {"layer": "MaxPooling2D"},
        {"layer": "Flatten"}, {"layer": "Dense", "units": 10, "activation": "softmax"}
    ])
}

fn cnn2() -> Json {
    json!([
        {"layer": "Reshape", "target_shape": [28, 28, 1]}, {"layer": "Conv2D", "filters": 32, "kernel_size": 3, "activation": "relu"}, {"layer": "MaxPooling2D"},
        {"layer": "Conv2D", "filters": 64, "kernel_size": 3, "activation": "relu"}, {"layer": "MaxPooling2D"}, {"layer": "Flatten"},
        {"layer": "Dense", "units": 128, "activation": "relu"}, {"layer": "Dropout", "rate": 0.5}, {"layer": "Dense", "units": 10, "activation": "softmax"}
    ])
}

fn lstm() -> Json {
    json!([{"layer": "LSTM", "units": 64}, {"layer": "Dense", "units": 10, "activation": "softmax"}])
}

/// Prints the figures of all cases.
pub(crate) fn measure() -> anyhow::Result<()> {
    let peer = Peer::with("torch");
    for case in &CASES {
        let Case { name, batch, steps, .. } = case;
        let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..TURNS {
            ours = ours.min(step_us(case)?);
            if let Some(peer) = &peer {
                theirs = theirs.min(peer.run(
                    "torch_step.py",
                    &[name, &batch.to_string(), &ROWS.to_string(), &steps.to_string(), &ROUNDS.to_string()],
                )?);
            }
        }
        figure(name, ours, "us/step");
        let Memory { calls, bytes, peak, estimate } = memory(case)?;
        figure(&format!("{name}_allocations"), calls, "calls/step");
        figure(&format!("{name}_allocated"), bytes / 1e6, "MB/step");
        figure(&format!("{name}_peak_of_estimate"), peak / estimate, "times");
        if peer.is_some() {
            figure(&format!("{name}_torch"), theirs, "us/step");
            ratio(name, "torch", theirs / ours);
        }
    }
    Ok(())
}

/// What the steps of a case do to memory.
struct Memory {
    /// Calls of the allocator in a step.
    calls: f64,
    /// Bytes asked for in a step; nearly all of them are those that the step before gave back.
    bytes: f64,
    /// The most bytes that the model held at once, its steps included.
    peak: f64,
    /// What the pre-flight says of a step.
    estimate: f64,
}

fn memory(case: &Case) -> anyhow::Result<Memory> {
    const STEPS: usize = 20;
    let (study, plan) = planned(case)?;
    let data = dataset(&SHAPE)?;
    let dataset = data.dataset();
    let classes = dataset.labels.classes();
    let estimate =
        hpo::preflight::memory(&study, &plan, &dataset.schema).map_err(anyhow::Error::msg)?.1 as f64;
    let (asked, peak) = counted::peak(|| -> anyhow::Result<_> {
        let mut model = Model::new(
            &plan.layers,
            &plan.training,
            &SHAPE,
            dataset.schema.classes,
            (1, 0),
            &devices()?[0].open()?,
        )?;
        let rows: Vec<u32> = (0..case.batch as u32).collect();
        let mut before = counted::asked();
        for step in 0..=STEPS {
            // The first step warms up.
            if step == 1 {
                before = counted::asked();
            }
            let mut features = Vec::with_capacity(rows.len() * dataset.width());
            data.gather(&rows, &mut features);
            let mut totals = model.totals(&classes);
            model.step(
                features,
                &Targets::of(&dataset.labels, &rows, &RowWeights::evaluation(None)),
                &mut totals,
            )?;
        }
        let after = counted::asked();
        Ok(((after.calls - before.calls) as f64, (after.bytes - before.bytes) as f64))
    });
    let (calls, bytes) = asked?;
    Ok(Memory { calls: calls / STEPS as f64, bytes: bytes / STEPS as f64, peak: peak as f64, estimate })
}

/// Microseconds of a step in the best round.
fn step_us(case: &Case) -> anyhow::Result<f64> {
    let (_, plan) = planned(case)?;
    let data = dataset(&SHAPE)?;
    let dataset = data.dataset();
    let mut model = Model::new(
        &plan.layers,
        &plan.training,
        &SHAPE,
        dataset.schema.classes,
        (1, 0),
        &devices()?[0].open()?,
    )?;
    let (weights, classes) = (RowWeights::evaluation(None), dataset.labels.classes());
    let order = epoch_order(ROWS, 1, 0, 1);
    let mut batches = order.chunks_exact(case.batch).cycle();
    let mut best = f64::INFINITY;
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        for rows in batches.by_ref().take(case.steps) {
            let mut features = Vec::with_capacity(rows.len() * dataset.width());
            data.gather(rows, &mut features);
            let mut totals = model.totals(&classes);
            let loss = model.step(features, &Targets::of(&dataset.labels, rows, &weights), &mut totals)?;
            anyhow::ensure!(loss.is_finite(), "{} diverged", case.name);
        }
        if round > 0 {
            best = best.min(begun.elapsed().as_secs_f64() / case.steps as f64 * 1e6);
        }
    }
    Ok(best)
}

fn planned(case: &Case) -> anyhow::Result<(Study, Plan)> {
    let document = json!({
        "name": case.name, "seed": 1, "network": (case.network)(), "dataset": {"source": "builtin:digits"}, "objective": {"metric": "loss"},
        "training": {"optimizer": {"name": "adam", "learning_rate": 1e-3}, "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], "batch_size": case.batch},
    });
    let planned =
        Study::parse(&document).and_then(|study| study.plan(&Point::default()).map(|plan| (study, plan)));
    planned.map_err(|problems| anyhow::anyhow!("{problems:?}"))
}

/// Images like MNIST's: bytes, four in five of them dark, of ten classes. They can be learned, so
/// no step degenerates.
fn dataset(shape: &[usize]) -> anyhow::Result<Scaled> {
    let width: usize = shape.iter().product();
    let labels: Vec<u32> = (0..ROWS as u32).map(|row| row % 10).collect();
    let mut noise = 1_u64;
    let mut byte = |label: u32, at: usize| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let bright = at * 10 / width == label as usize || noise >> 60 == 0;
        if bright { (noise >> 40) as u8 } else { 0 }
    };
    let features =
        labels.iter().flat_map(|label| (0..width).map(|at| byte(*label, at)).collect::<Vec<_>>()).collect();
    let schema = DatasetSchema {
        shape: shape.to_vec(),
        dtype: "uint8".into(),
        rows: ROWS as u64,
        classes: Some(10),
        scale_max: Some(255.0),
        ..DatasetSchema::default()
    };
    let (class_names, columns, weights, collapse) = Default::default();
    let (features, labels) = (Features::U8(features), Labels::Classes(labels));
    let dataset = Dataset { schema, features, labels, class_names, columns, weights, collapse };
    let train: Vec<u32> = (0..ROWS as u32).collect();
    Ok(Scaled::new(Arc::new(dataset), &train, Scale::Unit)?)
}

//! Examines a study before anything is queued: the number of points, the shapes of every network,
//! the smallest and largest cost.
//!
//! Shapes are propagated through the network as sets of (shape, values of the hyperparameters that
//! a later layer mentions). Equal pairs are merged, so the space is never enumerated. Costs are
//! added along the way: each state has the least and the greatest sum over all paths that lead to
//! it, which is exact. Beyond [`limits::PREFLIGHT_STATES_MAX`] states shapes are no longer
//! followed, and intervals bound the costs ([`bounds`]).

mod bounds;
mod compatibility;
mod ends;
mod ids;
mod propagate;

use serde::Serialize;
use serde_json::Value as Json;

use crate::dataset::{DatasetSchema, Findings};
use crate::document::{Problem, ProblemKind, Reading, Scope};
use crate::limits;
use crate::shape::{Cost, cost, output_shape};
use crate::space::{Point, SearchSpace};
use crate::study::{Plan, Study};
use crate::training::{BatchSize, SlotCount, Training, validation_rows};

/// What was found out about a study before anything is queued.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Preflight {
    /// The number of points that the sampler can suggest, as a decimal string; null if it is
    /// infinite or unknown.
    pub points: Option<String>,
    /// `complete` if every branch was checked; `partial` if there are too many: a trial that does
    /// not fit then fails as `invalid`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub shapes: &'static str,
    /// Weights of the smallest and largest network.
    pub parameters: Bounds,
    /// Floating-point operations of a forward pass over one row.
    pub flops_per_sample: Bounds,
    /// Bytes of the weights.
    pub weight_bytes: Bounds,
    /// Memory of a training step in bytes: weights and optimiser state of each fold and execution,
    /// gradients, the best weights so far, a batch, and the activations.
    pub step_bytes: Bounds,
}

/// A smallest and a largest value over the space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bounds {
    /// No network of the space has less.
    pub min: u64,
    /// No network of the space has more.
    pub max: u64,
    /// Whether networks of the space reach both.
    pub exact: bool,
}

/// The pre-flight of `study` on a dataset of this schema with these `findings`. Errors: every
/// branch that cannot work.
pub fn preflight(
    study: &Study,
    dataset: &DatasetSchema,
    findings: &Findings,
) -> Result<Preflight, Vec<Problem>> {
    let reading = Reading::default();
    let root = reading.root(study.document(), Some(Scope { space: &study.space, point: None }));
    compatibility::dataset(&root, study, dataset, findings);
    let recipe = Recipe::of(study, dataset);
    let outcome = propagate::follow(study, dataset, &recipe, &root);
    ends::check(study, &root);
    ids::check(study, &findings.worst_id, &root);
    if !reading.is_clean() {
        return Err(reading.into_problems());
    }
    let (shapes, totals, exact) = match outcome {
        Some(totals) => ("complete", totals, true),
        None => ("partial", bounds::enclose(study, dataset, &recipe), false),
    };
    let of = |(min, max): (u64, u64), exact| Bounds { min, max, exact };
    let weight_bytes = (totals.parameters.0.saturating_mul(4), totals.parameters.1.saturating_mul(4));
    // If the bounds are not exact, only what every network needs is compared with the limits; the
    // trainer checks each trial.
    let largest = |(min, max): (u64, u64), exact| if exact { max } else { min };
    let bounded = [
        ("weights", "/network", largest(weight_bytes, exact), limits::WEIGHT_BYTES_MAX),
        (
            "a training step",
            "/training/batch_size",
            largest(totals.step_bytes, exact && recipe.is_exact),
            limits::STEP_BYTES_MAX,
        ),
    ];
    let too_large = bounded.into_iter().filter(|(.., bytes, most)| bytes > most).map(|(what, pointer, bytes, most)| Problem {
        pointer: pointer.to_owned(),
        detail: format!(
            "{what} of the largest network would take {bytes} bytes; at most {most} are possible. Make its layers or the batch smaller"
        ),
        kind: ProblemKind::Invalid,
    });
    let too_large: Vec<Problem> = too_large.collect();
    if !too_large.is_empty() {
        return Err(too_large);
    }
    Ok(Preflight {
        points: study.points().map(|points| points.to_string()),
        shapes,
        parameters: of(totals.parameters, exact),
        flops_per_sample: of(totals.flops, exact),
        weight_bytes: of(weight_bytes, exact),
        step_bytes: of(totals.step_bytes, exact && recipe.is_exact),
    })
}

/// Least and greatest sums over all paths through the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Totals {
    parameters: (u64, u64),
    flops: (u64, u64),
    step_bytes: (u64, u64),
}

impl Totals {
    /// The totals if nothing is known.
    fn unbounded() -> Totals {
        Totals { parameters: (0, u64::MAX), flops: (0, u64::MAX), step_bytes: (0, u64::MAX) }
    }

    /// The totals before the first layer.
    fn of_input(recipe: &Recipe) -> Totals {
        Totals { step_bytes: recipe.input, ..Totals::default() }
    }

    /// These totals after a layer that costs at least `least` and at most `most`.
    fn plus(self, least: Cost, most: Cost, recipe: &Recipe) -> Totals {
        let add = |(min, max): (u64, u64), least: u64, most: u64| {
            (min.saturating_add(least), max.saturating_add(most))
        };
        Totals {
            parameters: add(self.parameters, least.parameters, most.parameters),
            flops: add(self.flops, least.flops, most.flops),
            step_bytes: add(self.step_bytes, step_bytes(least, recipe.least), step_bytes(most, recipe.most)),
        }
    }

    /// The smallest ranges that contain both.
    fn hull(self, other: Totals) -> Totals {
        let join = |a: (u64, u64), b: (u64, u64)| (a.0.min(b.0), a.1.max(b.1));
        Totals {
            parameters: join(self.parameters, other.parameters),
            flops: join(self.flops, other.flops),
            step_bytes: join(self.step_bytes, other.step_bytes),
        }
    }
}

/// The part of a step's memory that depends on the training and the dataset.
struct Recipe {
    /// Numbers per weight (see [`numbers`]) and rows in a step: the smallest of each.
    least: (u64, u64),
    /// The largest of each.
    most: (u64, u64),
    /// Bytes that a trial needs for the dataset: the least and the most.
    input: (u64, u64),
    /// Whether these are independent of the network, so that some trial has the extremes of both,
    /// and nothing else that takes memory is open.
    is_exact: bool,
}

impl Recipe {
    fn of(study: &Study, dataset: &DatasetSchema) -> Recipe {
        let reading = Reading::default();
        let root = reading.root(study.document(), Some(Scope { space: &study.space, point: None }));
        let optimizers: Vec<SlotCount> =
            root.at("/training/optimizer").map(|place| place.read_all()).unwrap_or_default();
        let batches: Vec<BatchSize> =
            root.at("/training/batch_size").map(|place| place.read_all()).unwrap_or_default();
        let training_rows = study.dataset.training_rows(dataset.rows);
        let rows = batches.iter().map(|batch| (batch.0 as u64).min(training_rows));
        let least = (
            numbers(study, optimizers.iter().map(|slots| slots.least).min().unwrap_or(0)),
            rows.clone().min().unwrap_or(1),
        );
        let most = (
            numbers(study, optimizers.iter().map(|slots| slots.most).max().unwrap_or(4)),
            rows.max().unwrap_or(1),
        );
        let mentioned =
            closure(&study.space, reading.mentions().iter().map(|mention| mention.hyperparameter));
        let structural = study.network.layers.iter().flat_map(|layer| needs(&study.space, layer));
        Recipe {
            least,
            most,
            input: (input_bytes(study, dataset, least.1), input_bytes(study, dataset, most.1)),
            is_exact: structural.into_iter().all(|at| !mentioned.contains(&at))
                && study.network.layers.iter().all(|layer| !layer.may_need_input),
        }
    }
}

/// Checks that loss, metrics and class weights of a trial fit a network's `output` and the labels,
/// which are `classes` or numbers. [`preflight`] checks the same for every branch of a space. Class
/// weights are by number (see [`ClassWeight::numbered`]). Errors: why they do not fit.
///
/// [`ClassWeight::numbered`]: crate::training::ClassWeight::numbered
pub fn fits(training: &Training, output: &[usize], classes: Option<u32>) -> Result<(), String> {
    compatibility::output(training.loss, output, classes, None).map_err(|(_, why)| why)?;
    for (index, metric) in training.metrics.iter().enumerate() {
        compatibility::metric_labels(*metric, classes)?;
        compatibility::metric(index, *metric, output, classes).map_err(|(_, why)| why)?;
    }
    match compatibility::class_weight(&training.class_weight, classes, &[]).into_iter().next() {
        Some((_, why)) => Err(format!("class_weight: {why}")),
        None => Ok(()),
    }
}

/// Bytes of the weights of the network of `plan`, and of a training step of all its networks that
/// train in lockstep. [`preflight`] bounds the same over the space of `study`. Errors: why a layer
/// cannot work.
pub fn memory(study: &Study, plan: &Plan, dataset: &DatasetSchema) -> Result<(u64, u64), String> {
    let (mut shape, mut total) = (dataset.shape.clone(), Cost::default());
    for layer in &plan.layers {
        let output = output_shape(layer, &shape)?;
        let cost = cost(layer, &shape, &output);
        total.parameters = total.parameters.saturating_add(cost.parameters);
        total.activations = total.activations.saturating_add(cost.activations);
        total.joined = total.joined.saturating_add(cost.joined);
        shape = output;
    }
    let rows = (plan.training.batch_size as u64).min(study.dataset.training_rows(dataset.rows));
    let of_layers = step_bytes(total, (numbers(study, plan.training.optimizer.slots().len() as u64), rows));
    Ok((total.parameters.saturating_mul(4), of_layers.saturating_add(input_bytes(study, dataset, rows))))
}

/// Numbers that a trial keeps for each weight of its network: the weight and the optimiser's
/// `slots` in each of its runs, which train in lockstep; a gradient in the run whose turn it is;
/// and the weight of the best epoch.
fn numbers(study: &Study, slots: u64) -> u64 {
    u64::from(study.runs()) * (1 + slots) + 2
}

/// Bytes that layers of this cost take in a training step of a trial with `(numbers per weight,
/// rows)`. The activations of a layer count four times: for themselves, their gradient, and the
/// zeros and the sum that candle allocates for it. With few layers all of them have these at once;
/// with many, only the layers at work, which then take less. Joined weights count three times.
fn step_bytes(cost: Cost, (numbers, rows): (u64, u64)) -> u64 {
    let weights = cost.parameters.saturating_mul(numbers).saturating_add(cost.joined.saturating_mul(3));
    weights.saturating_add(cost.activations.saturating_mul(rows.saturating_mul(4))).saturating_mul(4)
}

/// Bytes that a trial with batches of `rows` needs for a dataset: the features of a batch, which
/// can be larger in validation, and row numbers: those of the two parts of each fold, and the order
/// of an epoch twice.
fn input_bytes(study: &Study, dataset: &DatasetSchema, rows: u64) -> u64 {
    let batch = validation_rows(rows as usize) as u64;
    let numbers = dataset.rows.saturating_mul(2 + u64::from(study.dataset.folds.unwrap_or(1)));
    dataset.elements().saturating_mul(batch).saturating_add(numbers).saturating_mul(4)
}

/// The hyperparameters that decide the presence, shape and size of a layer, parents included, in
/// the order of the space.
fn needs(space: &SearchSpace, layer: &crate::network::FlatLayer) -> Vec<usize> {
    closure(
        space,
        layer.when.iter().map(|condition| condition.parent).chain(layer.structural.iter().copied()),
    )
}

/// These hyperparameters and all their ancestors, in the order of the space.
fn closure(space: &SearchSpace, these: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut all = std::collections::BTreeSet::new();
    let mut open: Vec<usize> = these.collect();
    while let Some(at) = open.pop() {
        if all.insert(at) {
            open.extend(space.hyperparameters()[at].conditions.iter().map(|condition| condition.parent));
        }
    }
    all.into_iter().collect()
}

/// The value of `T` at `pointer` in the trial at `point`.
fn read_at<T: crate::document::FromDocument>(
    document: &Json,
    space: &SearchSpace,
    point: &Point,
    pointer: &str,
) -> Option<T> {
    let reading = Reading::default();
    let place = reading.root(document, Some(Scope { space, point: Some(point) })).at(pointer)?;
    place.read()
}

#[cfg(test)]
mod tests;

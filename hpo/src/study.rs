//! The study: one JSON document, parsed once, and the plan of one of its trials.

use std::collections::BTreeMap;

use num_bigint::BigUint;
use serde_json::{Value as Json, json};

use crate::dataset::{DatasetSpec, Scale};
use crate::document::{FromDocument, Place, Problem, Reading, Scope, bounded, did_you_mean, names, quote};
use crate::grid::Enumeration;
use crate::limits;
use crate::network::{Layer, Network};
pub use crate::objective::{Direction, Objective};
use crate::sampler::SamplerName;
use crate::space::{Point, SearchSpace};
use crate::training::{self, BATCH_SIZE, EPOCHS, Metric, Training};

/// A valid study.
#[derive(Debug, Clone)]
pub struct Study {
    /// Its name.
    pub name: String,
    /// The seed of all its random numbers.
    pub seed: u64,
    /// The search space.
    pub space: SearchSpace,
    /// The declared network.
    pub network: Network,
    /// The metrics, which are the same for all trials.
    pub metrics: Vec<Metric>,
    /// The data to train on.
    pub dataset: DatasetSpec,
    /// What makes a trial better than another.
    pub objective: Objective,
    /// How points are chosen.
    pub sampler: SamplerName,
    /// The largest number of trials; none means all points of a grid.
    pub max_trials: Option<u64>,
    /// The largest number of trials at once; none means as many as there are slots.
    pub max_parallel: Option<u64>,
    /// How often each trial trains its network, with different random numbers; its value is that of
    /// the mean.
    pub executions_per_trial: u32,
    /// Time limit of a trial, in seconds.
    pub max_trial_seconds: Option<f64>,
    /// Which trainers may run it.
    pub device: DeviceClass,
    /// Its share of the slots relative to other studies.
    pub weight: f64,
    /// When a trial is tried again.
    pub retry: Retry,
    /// When the study gives up.
    pub early_stop: EarlyStop,
    /// Labels of the user.
    pub tags: BTreeMap<String, String>,
    /// The document it was parsed from, with the defaults of what was left out.
    document: Json,
}

names! {
    /// Which trainers may run a study.
    pub enum DeviceClass {
        /// All trainers.
        Any = "any",
        /// Trainers on CPUs.
        Cpu = "cpu",
        /// Trainers on NVIDIA GPUs.
        Cuda = "cuda",
        /// Trainers on Apple GPUs.
        Metal = "metal",
    }
    later []
}

/// When a trial is tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// How many failures are tried again (`io`, a second `out_of_memory`); the next one is final.
    pub max_failures: u32,
    /// How many lost leases are tried again; the next one is final.
    pub max_stalls: u32,
    /// Seconds before the first retry; doubled for each further one.
    pub backoff_seconds: f64,
}

/// When the study gives up.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlyStop {
    /// The study fails when this many trials have failed in a row, in the order of their ends;
    /// [`ErrorKind::in_a_row`](crate::trial::ErrorKind::in_a_row) says which failures count.
    pub max_failures_in_a_row: u32,
}

/// What one trial trains, with all values decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The layers of the network, in order.
    pub layers: Vec<Layer>,
    /// The training recipe.
    pub training: Training,
    /// How features are scaled.
    pub scale: Scale,
}

impl Study {
    /// The study that `document` describes. Errors: everything wrong with it. It must have a
    /// `seed`: the caller draws one if the user gave none.
    pub fn parse(document: &Json) -> Result<Study, Vec<Problem>> {
        let reading = Reading::default();
        let root = reading.root(document, None);
        if too_deep(document, limits::NESTING_MAX) {
            root.invalid(format!("is nested more than {} levels deep", limits::NESTING_MAX));
            return Err(reading.into_problems());
        }
        match read(&root, &reading, document) {
            Some(study) if reading.is_clean() => Ok(study),
            _ => Err(reading.into_problems()),
        }
    }

    /// The document it was parsed from, with the values of what was left out: the direction of the
    /// objective, the defaults. Parsing it again gives the same study.
    pub fn document(&self) -> &Json {
        &self.document
    }

    /// What the trial at `point` trains. Errors: at least one problem, if a value does not fit.
    pub fn plan(&self, point: &Point) -> Result<Plan, Vec<Problem>> {
        let reading = Reading::default();
        let root = reading.root(&self.document, Some(Scope { space: &self.space, point: Some(point) }));
        let layers = self.network.layers_at(&root);
        let training = root.at("/training").and_then(|place| place.read::<Training>());
        let scale = root.at("/dataset/scale").map_or(Some(Scale::None), |place| place.read());
        match (layers, training, scale) {
            (Some(layers), Some(training), Some(scale)) if reading.is_clean() => {
                Ok(Plan { layers, training, scale })
            }
            _ => {
                if reading.is_clean() {
                    root.invalid("these hyperparameters do not belong to this study");
                }
                Err(reading.into_problems())
            }
        }
    }

    /// The names that are logged after each epoch, in the order of the columns of a curve: `loss`
    /// and the metrics, then the same with `val_` before them if rows are held out. If a trial has
    /// several [runs](Self::runs), these are means over the runs, followed by their standard
    /// deviations with `_std` after the name.
    pub fn logged(&self) -> Vec<String> {
        logged(&self.metrics, self.dataset.has_validation(), self.runs())
    }

    /// How many networks a trial trains in lockstep: one for each execution and fold.
    pub fn runs(&self) -> u32 {
        self.executions_per_trial * self.dataset.folds.unwrap_or(1)
    }

    /// The number of points that the sampler can suggest; none if it is infinite.
    pub fn points(&self) -> Option<BigUint> {
        let enumeration = match self.sampler {
            SamplerName::Grid => Enumeration::grid(&self.space),
            SamplerName::Random => Enumeration::all(&self.space),
        };
        enumeration.ok().map(|points| points.size().clone())
    }
}

impl DatasetSpec {
    /// Whether rows are held out, so that `val_` metrics are logged.
    pub fn has_validation(&self) -> bool {
        self.validation.is_some() || self.validation_split > 0.0 || self.folds.is_some()
    }
}

bounded! {
    /// A seed: 53 bits, so that every JSON parser preserves it.
    Seed(i64), 0, limits::EXACT_INTEGER_MAX - 1
}
bounded! {
    /// A number of trials in a study.
    Trials(i64), 1, limits::TRIALS_MAX as i64
}
bounded! {
    /// A number of trials at once.
    Parallel(i64), 1, limits::PARALLEL_MAX as i64
}
bounded! {
    /// A number of executions of a trial.
    Executions(i64), 1, limits::EXECUTIONS_MAX
}
bounded! {
    /// A number of failures or stalls.
    Retries(i64), 0, limits::RETRIES_MAX
}
bounded! {
    /// A number of failures in a row.
    InARow(i64), 1, limits::RETRIES_MAX
}
bounded! {
    /// Seconds before a retry.
    BackoffSeconds(f64), 0.0, limits::BACKOFF_SECONDS_MAX
}
bounded! {
    /// The weight of a study.
    Weight(f64), 1.0 / limits::WEIGHT_MAX, limits::WEIGHT_MAX
}
bounded! {
    /// Seconds that a trial may run.
    TrialSeconds(f64), 0.001, limits::TRIAL_SECONDS_MAX
}

fn read(root: &Place, reading: &Reading, document: &Json) -> Option<Study> {
    let mut fields = root.fields()?;
    let name = fields.required("name").and_then(|place| name(&place));
    let seed = fields.required("seed").and_then(|place| place.fixed::<Seed>());
    let space_place = fields.get("space");
    let (space, sound) = space_place.as_ref().map_or((SearchSpace::default(), true), SearchSpace::read);
    let parts = [fields.required("network"), fields.required("training"), fields.required("dataset")];
    let [network, training_place, dataset] = parts
        .map(|place| reading.root(document, Some(Scope { space: &space, point: None })).at(place?.pointer()));
    let network = network.and_then(|place| Network::parse(&place, reading));
    let training = training_place.as_ref().and_then(|place| place.fixed::<Training>());
    let dataset = dataset.and_then(|place| place.fixed::<DatasetSpec>());
    let logged = training
        .as_ref()
        .zip(dataset.as_ref())
        .map(|(training, dataset)| logged(&training.metrics, dataset.has_validation(), 1));
    let objective = fields.required("objective").and_then(|place| objective(&place, logged.as_deref()));
    if let (Some(callbacks), Some(logged)) =
        (training_place.and_then(|place| place.at("/callbacks")), &logged)
    {
        training::check_callbacks(&callbacks, logged, objective.as_ref());
    }
    let sampler =
        fields.optional_by("sampler", by_name).map(|sampler| sampler.unwrap_or(SamplerName::Random));
    let pruner = fields.optional_by("pruner", by_name::<Pruner>);
    let max_trials = fields.optional("max_trials").map(|given| given.map(|Trials(trials)| trials as u64));
    let max_parallel =
        fields.optional("max_parallel").map(|given| given.map(|Parallel(trials)| trials as u64));
    let executions = fields.fixed_or("executions_per_trial", Executions(1));
    let max_trial_seconds =
        fields.optional("max_trial_seconds").map(|given| given.map(|TrialSeconds(seconds)| seconds));
    let device = fields.fixed_or("device", DeviceClass::Any);
    let weight = fields.fixed_or("weight", Weight(1.0));
    let retry = fields.fixed_or("retry", Retry { max_failures: 0, max_stalls: 3, backoff_seconds: 1.0 });
    let early_stop = fields.fixed_or("early_stop", EarlyStop { max_failures_in_a_row: 3 });
    let tags = fields.optional_by("tags", tags).map(Option::unwrap_or_default);
    fields.finish(&["priority", "conditions", "constraints", "warm_start"]);
    let (network, training, dataset, sampler, max_trials) =
        (network?, training?, dataset?, sampler?, max_trials?);
    if !sound {
        return None;
    }
    space.report_unused(&reading.mentions(), &space_place.unwrap_or_else(|| root.clone()));
    let max_trials = trials(&space, sampler, max_trials, root);
    pruner?;
    let mut study = Study {
        name: name?,
        seed: seed?.0 as u64,
        space,
        network,
        metrics: training.metrics,
        dataset,
        objective: objective?,
        sampler,
        max_trials,
        max_parallel: max_parallel?,
        executions_per_trial: executions?.0 as u32,
        max_trial_seconds: max_trial_seconds?,
        device: device?,
        weight: weight?.0,
        retry: retry?,
        early_stop: early_stop?,
        tags: tags?,
        document: Json::Null,
    };
    study.document = spelled_out(document.clone(), &study);
    Some(study)
}

/// The document of `study` with the default of each field that it leaves out and that decides what
/// is searched and trained.
fn spelled_out(mut document: Json, study: &Study) -> Json {
    let Study { objective, max_trials, executions_per_trial, device, weight, retry, early_stop, .. } = study;
    let mut fill = |pointer: &str, values: Json| {
        if let (Some(Json::Object(object)), Json::Object(values)) = (document.pointer_mut(pointer), values) {
            for (name, value) in values.into_iter().filter(|(_, value)| !value.is_null()) {
                object.entry(name).or_insert(value);
            }
        }
    };
    fill(
        "",
        json!({
            "sampler": {"name": study.sampler.as_str()}, "pruner": {"name": Pruner::None.as_str()}, "max_trials": max_trials,
            "executions_per_trial": executions_per_trial, "device": device.as_str(), "weight": weight, "retry": {}, "early_stop": {}
        }),
    );
    fill("/objective", json!({"direction": objective.direction.as_str()}));
    fill("/training", json!({"metrics": [], "batch_size": BATCH_SIZE, "epochs": EPOCHS}));
    fill("/dataset", json!({"shuffle": study.dataset.shuffle, "scale": Scale::None.as_str()}));
    let Retry { max_failures, max_stalls, backoff_seconds } = retry;
    fill(
        "/retry",
        json!({"max_failures": max_failures, "max_stalls": max_stalls, "backoff_seconds": backoff_seconds}),
    );
    fill("/early_stop", json!({"max_failures_in_a_row": early_stop.max_failures_in_a_row}));
    document
}

fn name(place: &Place) -> Option<String> {
    let name = place.fixed::<String>()?;
    if name.trim().is_empty() || name.len() > limits::NAME_BYTES_MAX || name.chars().any(char::is_control) {
        place.invalid(format!(
            "must have 1 to {} bytes, not all of them blank, and no control characters",
            limits::NAME_BYTES_MAX
        ));
        return None;
    }
    Some(name)
}

names! {
    /// The pruners.
    enum Pruner {
        /// Every trial trains to its end.
        None = "none",
    }
    later ["median", "percentile", "asha", "successive_halving", "hyperband", "wilcoxon", "patient", "threshold"]
}

/// An object with a `name` and no other field so far.
fn by_name<T: FromDocument>(place: &Place) -> Option<T> {
    let mut fields = place.fields()?;
    let name = fields.required("name").and_then(|place| place.fixed());
    fields.finish(&[]);
    name
}

fn objective(place: &Place, logged: Option<&[String]>) -> Option<Objective> {
    if place.json().is_array() {
        place.not_supported("several objectives are not supported yet");
        return None;
    }
    let mut fields = place.fields()?;
    let metric = fields.required("metric");
    let direction = fields.optional::<Direction>("direction");
    fields.finish(&["target", "weight"]);
    let (metric_place, direction) = (metric?, direction?);
    let metric = training::canonical(&metric_place.fixed::<String>()?);
    let logged = logged?;
    if !logged.contains(&metric) {
        let near = did_you_mean(&metric, logged.iter().map(String::as_str));
        metric_place.invalid(format!(
            "{} is not logged{near}; logged: {}",
            quote(&metric),
            logged.join(", ")
        ));
        return None;
    }
    let direction = direction.unwrap_or_else(|| training::direction(&metric));
    Some(Objective { metric, direction })
}

fn logged(metrics: &[Metric], validated: bool, runs: u32) -> Vec<String> {
    let training = std::iter::once("loss").chain(metrics.iter().map(|metric| metric.as_str()));
    let mut names: Vec<String> = training.map(str::to_owned).collect();
    if validated {
        names.extend(names.clone().iter().map(|name| format!("val_{name}")));
    }
    if runs > 1 {
        names.extend(names.clone().iter().map(|name| format!("{name}_std")));
    }
    names
}

/// The largest number of trials: `given` if the document has it, otherwise all points of a grid,
/// otherwise 10 as in KerasTuner.
fn trials(space: &SearchSpace, sampler: SamplerName, given: Option<u64>, root: &Place) -> Option<u64> {
    match sampler {
        SamplerName::Random => return given.or(Some(10)),
        SamplerName::Grid => {}
    }
    match Enumeration::grid(space) {
        Ok(grid) if given.is_none() && *grid.size() > BigUint::from(limits::TRIALS_MAX) => {
            root.invalid(format!(
                "the field `max_trials` is missing: the grid has {} points, and a study can have at most {} trials",
                grid.size(),
                limits::TRIALS_MAX
            ));
        }
        Ok(_) => {}
        Err(entangled) => root.invalid(entangled.to_string()),
    }
    given
}

impl FromDocument for Retry {
    fn from_place(place: &Place) -> Option<Retry> {
        let mut fields = place.fields()?;
        let max_failures = fields.or("max_failures", Retries(0));
        let max_stalls = fields.or("max_stalls", Retries(3));
        let backoff_seconds = fields.or("backoff_seconds", BackoffSeconds(1.0));
        fields.finish(&[]);
        Some(Retry {
            max_failures: max_failures?.0 as u32,
            max_stalls: max_stalls?.0 as u32,
            backoff_seconds: backoff_seconds?.0,
        })
    }
}

impl FromDocument for EarlyStop {
    fn from_place(place: &Place) -> Option<EarlyStop> {
        let mut fields = place.fields()?;
        let in_a_row = fields.or("max_failures_in_a_row", InARow(3));
        fields.finish(&["target", "max_trials_without_improvement", "max_seconds"]);
        Some(EarlyStop { max_failures_in_a_row: in_a_row?.0 as u32 })
    }
}

fn tags(place: &Place) -> Option<BTreeMap<String, String>> {
    let Some(object) = place.json().as_object() else {
        place.invalid("must be an object of strings");
        return None;
    };
    if object.len() > limits::TAGS_MAX {
        place.invalid(format!("has {} tags; at most {} are allowed", object.len(), limits::TAGS_MAX));
        return None;
    }
    let tag = |(key, value): (&String, &Json)| {
        let place = place.child(key, value);
        let text = place.fixed::<String>()?;
        if key.is_empty() || key.len() > limits::NAME_BYTES_MAX || text.len() > limits::TEXT_BYTES_MAX {
            place.invalid(format!(
                "a tag needs a key of 1 to {} bytes and a value of at most {}",
                limits::NAME_BYTES_MAX,
                limits::TEXT_BYTES_MAX
            ));
            return None;
        }
        Some((key.clone(), text))
    };
    object.iter().map(tag).collect()
}

/// Whether `json` is nested more than `levels` deep. The recursion goes no deeper than that.
fn too_deep(json: &Json, levels: usize) -> bool {
    match json {
        Json::Array(items) => levels == 0 || items.iter().any(|item| too_deep(item, levels - 1)),
        Json::Object(members) => levels == 0 || members.values().any(|member| too_deep(member, levels - 1)),
        _ => false,
    }
}

#[cfg(test)]
pub(crate) mod tests;

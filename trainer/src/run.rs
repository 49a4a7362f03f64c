//! The training loop, whole.

use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::Device;
use data::{Scaled, Split, epoch_order};
use hpo::training::validation_rows;
use hpo::{Plan, Study};
use store::artifact::{self, Spool};

use crate::checkpoint::{self, Checkpoint, CheckpointKey, Progress};
use crate::engine::{Error, Model, RowWeights, Targets, Totals};
use crate::stop::{Reason, Stop};
use crate::weights::{Best, Weights};

/// Everything that one trial trains on.
pub(crate) struct Job<'a> {
    pub(crate) study: &'a Study,
    pub(crate) number: u64,
    pub(crate) plan: &'a Plan,
    /// The rows of each fold; without a cross-validation, one fold.
    pub(crate) folds: &'a [Fold],
    pub(crate) device: &'a Device,
    /// What its checkpoints belong to.
    pub(crate) key: &'a CheckpointKey,
    /// Gives files for them.
    pub(crate) spool: &'a dyn Fn() -> Result<Spool, artifact::Error>,
    /// How long after a checkpoint the next one is made, in seconds.
    pub(crate) checkpoint_seconds: u64,
    /// Why to stop, looked at before every batch.
    pub(crate) stop: &'a Stop,
}

/// The rows that train and those that validate, all scaled by the statistics of the first.
pub(crate) struct Fold {
    pub(crate) data: Scaled,
    pub(crate) split: Split,
}

/// An event while a trial trains.
#[derive(Debug)]
pub(crate) enum Event {
    /// An epoch is over: its values in the order of [`Study::logged`], and how many samples it
    /// trained on.
    Epoch { epoch: u32, values: Vec<f32>, samples: u64 },
    /// A checkpoint was made.
    Checkpoint(Saved),
    /// A checkpoint could not be made. The trial goes on.
    NoCheckpoint(artifact::Error),
}

/// A checkpoint on its way to the artifacts.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) epoch: u32,
    pub(crate) spool: Spool,
    /// While it is held, no other checkpoint is made: they would pile up in front of a slow bucket.
    pub(crate) in_flight: Arc<()>,
}

/// Why training ended without a result.
#[derive(Debug)]
pub(crate) enum Unfinished {
    /// As [`Stop`] said.
    Stopped(Reason),
    /// The loss or a metric was not a finite number in this epoch.
    Diverged(u32),
    /// `max_trial_seconds` were over before the first epoch ended.
    OutOfTime,
    /// The engine failed.
    Failed(Error),
}

impl From<Error> for Unfinished {
    fn from(error: Error) -> Unfinished {
        Unfinished::Failed(error)
    }
}

/// Trains all epochs, from the first of the checkpoints on that can be read, and tells what
/// happens; the epochs of that checkpoint are told again, and the time that it took counts. The
/// next checkpoint is asked for only if one cannot be read.
///
/// A trial trains its network once, or for each execution on each fold, an epoch of each in turn:
/// what is logged, and what callbacks see, are the means, so that an epoch is reported once. As in
/// Keras, the last batch of an epoch may be smaller, `loss` and metrics are those of the epoch's
/// rows while the weights move, and the `val_` ones are taken after it with dropout off. Returned
/// are the weights of the best epoch; of several runs, those of the best.
pub(crate) fn train(
    job: &Job,
    checkpoints: impl Iterator<Item = Checkpoint>,
    mut tell: impl FnMut(Event),
) -> Result<Best, Unfinished> {
    let Job { study, plan, .. } = *job;
    let names = study.logged();
    let index = |name: &str| names.iter().position(|logged| *logged == name);
    let direction = study.objective.direction;
    let objective = index(&study.objective.metric).unwrap_or(0);
    let callbacks = &plan.training.callbacks;
    let (mut runs, mut best, mut progress) = begin(job, checkpoints)?;
    // Its time begins here: waiting for memory and for a checkpoint does not count.
    let (begun, earlier) = (Instant::now(), Duration::from_millis(progress.spent_ms));
    let deadline = study
        .max_trial_seconds
        .map(|seconds| begun + Duration::from_secs_f64(seconds).saturating_sub(earlier));
    for (epoch, values) in (1..).zip(&progress.curve) {
        let values = values.iter().map(|bits| f32::from_bits(*bits)).collect();
        tell(Event::Epoch { epoch, values, samples: 0 });
    }
    let mut schedule = CheckpointSchedule::new(job.checkpoint_seconds);

    while progress.epoch < plan.training.epochs && !progress.is_over {
        let epoch = progress.epoch + 1;
        let mut samples = 0;
        let mut values: Vec<Vec<f64>> = Vec::with_capacity(runs.len());
        for run in &mut runs {
            match run.epoch(job, epoch, deadline)? {
                Epoch::Over(logged, rows) => {
                    values.push(logged);
                    samples += rows;
                }
                Epoch::Stopped(reason) => return Err(Unfinished::Stopped(reason)),
                Epoch::OutOfTime => return best.ok_or(Unfinished::OutOfTime),
            }
        }
        let logged = summary(&values);
        // As stored: a value beyond f32 has diverged as well.
        if !logged.iter().all(|value| (*value as f32).is_finite()) {
            let best = best.filter(|_| callbacks.terminate_on_nan);
            return best.ok_or(Unfinished::Diverged(epoch));
        }
        let value = logged[objective];
        if best.as_ref().is_none_or(|best| direction.is_better(value, best.value)) {
            let mut leader = 0;
            for run in 1..runs.len() {
                if direction.is_better(values[run][objective], values[leader][objective]) {
                    leader = run;
                }
            }
            drop(best.take()); // one copy at a time
            best = Some(Best { value, epoch, weights: runs[leader].weights()? });
        }
        let values: Vec<f32> = logged.iter().map(|value| *value as f32).collect();
        progress.epoch = epoch;
        progress.curve.push(values.iter().map(|value| value.to_bits()).collect());
        if let Some(stopping) = &callbacks.early_stopping {
            let seen = index(&stopping.monitor).map_or(value, |at| logged[at]);
            progress.is_over = stopping.ends(&mut progress.patience, epoch - 1, seen);
        }
        if let Some(reduce) = &callbacks.reduce_lr_on_plateau {
            let seen = index(&reduce.monitor).map_or(value, |at| logged[at]);
            if let Some(rate) = reduce.epoch(&mut progress.plateau, seen, runs[0].model.learning_rate()) {
                runs.iter_mut().for_each(|run| run.model.set_learning_rate(rate));
            }
        }
        tell(Event::Epoch { epoch, values, samples });
        let more = progress.epoch < plan.training.epochs && !progress.is_over;
        if more && schedule.is_due() {
            progress.spent_ms = (earlier + begun.elapsed()).as_millis() as u64;
            let saved = schedule.saved(|| save(job, &runs, best.as_ref(), &progress));
            tell(match saved {
                Ok((spool, in_flight)) => Event::Checkpoint(Saved { epoch, spool, in_flight }),
                Err(error) => Event::NoCheckpoint(error),
            });
        }
        if more && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break;
        }
    }
    best.ok_or(Unfinished::OutOfTime)
}

/// When checkpoints are made.
struct CheckpointSchedule {
    last: Instant,
    /// Seconds between two.
    pause: f64,
    /// One for each epoch.
    each: bool,
    /// Held by a checkpoint that is not stored yet.
    in_flight: Arc<()>,
}

impl CheckpointSchedule {
    fn new(seconds: u64) -> CheckpointSchedule {
        let (pause, each) = (seconds as f64, seconds == 0);
        CheckpointSchedule { last: Instant::now(), pause, each, in_flight: Arc::new(()) }
    }

    fn is_due(&self) -> bool {
        self.last.elapsed().as_secs_f64() >= self.pause && Arc::strong_count(&self.in_flight) == 1
    }

    /// Makes one; slow disks take a tenth of the time, unless each epoch is asked for.
    fn saved<E>(&mut self, save: impl FnOnce() -> Result<Spool, E>) -> Result<(Spool, Arc<()>), E> {
        let begun = Instant::now();
        let spool = save();
        self.last = Instant::now();
        if !self.each {
            self.pause = self.pause.max(10.0 * begun.elapsed().as_secs_f64());
        }
        spool.map(|spool| (spool, self.in_flight.clone()))
    }
}

/// The runs of a trial, from the first of the checkpoints on that can be read, or from their start.
fn begin<'a>(
    job: &Job<'a>,
    checkpoints: impl Iterator<Item = Checkpoint>,
) -> Result<(Vec<Run<'a>>, Option<Best>, Progress), Error> {
    let fresh = || (0..job.study.runs()).map(|run| Run::new(job, run)).collect::<Result<Vec<_>, _>>();
    let (number, study) = (job.number, &job.study.name);
    let mut runs = fresh()?;
    for checkpoint in checkpoints {
        match checkpoint.restore(runs.iter_mut().map(|run| &mut run.model)) {
            Ok((best, progress)) => {
                tracing::info!(
                    trial.number = number,
                    "Trial {number} of study {study} goes on after epoch {}",
                    progress.epoch
                );
                return Ok((runs, best, progress));
            }
            Err(error) => tracing::warn!(
                trial.number = number,
                "A checkpoint of trial {number} of study {study} cannot be read: {error}"
            ),
        }
        runs.clear(); // half restored, and there may be no memory for two
        runs = fresh()?;
    }
    Ok((runs, None, Progress::default()))
}

/// A checkpoint of a trial after an epoch.
fn save(job: &Job, runs: &[Run], best: Option<&Best>, progress: &Progress) -> Result<Spool, artifact::Error> {
    let models: Vec<&Model> = runs.iter().map(|run| &run.model).collect();
    let spool = (job.spool)()?;
    checkpoint::write(spool.file(), job.key, &models, best, progress)?;
    Ok(spool)
}

/// The network of a trial on one fold, for one execution.
struct Run<'a> {
    fold: &'a Fold,
    /// The stream of its random numbers, by trial and run.
    lane: u64,
    model: Model,
    /// The classes that have rows.
    classes: Vec<u32>,
    trained: RowWeights<'a>,
    validated: RowWeights<'a>,
}

/// How an epoch of a run ended.
enum Epoch {
    /// With the values of its metrics and the number of its rows.
    Over(Vec<f64>, u64),
    Stopped(Reason),
    OutOfTime,
}

/// Numbers of trials are below this, so that each run of each trial has a stream of its own.
const LANES: u64 = 1 << 32;

impl<'a> Run<'a> {
    fn new(job: &Job<'a>, run: u32) -> Result<Run<'a>, Error> {
        let Job { study, number, plan, folds, device, .. } = *job;
        let fold = &folds[run as usize % folds.len()];
        let dataset = fold.data.dataset();
        let lane = u64::from(run) * LANES + number;
        let recipe = &plan.training;
        let model = Model::new(
            &plan.layers,
            recipe,
            &dataset.schema.shape,
            dataset.schema.classes,
            (study.seed, lane),
            device,
        )?;
        let weights = dataset.weights.as_deref();
        let trained = RowWeights::training(&recipe.class_weight, &dataset.labels, &fold.split.train, weights);
        let classes = dataset.labels.classes();
        Ok(Run { fold, lane, model, classes, trained, validated: RowWeights::evaluation(weights) })
    }

    /// Trains on all rows once, and validates the weights after that.
    fn epoch(&mut self, job: &Job, epoch: u32, deadline: Option<Instant>) -> Result<Epoch, Error> {
        let Job { study, plan, stop, .. } = *job;
        let Fold { data, split } = self.fold;
        let (labels, batch_size) = (&data.dataset().labels, plan.training.batch_size);
        let order: Vec<u32> = match study.dataset.shuffle {
            true => {
                let order = epoch_order(split.train.len(), study.seed, self.lane, u64::from(epoch));
                order.iter().map(|at| split.train[*at as usize]).collect()
            }
            false => split.train.clone(),
        };
        let mut totals = self.model.totals(&self.classes);
        for rows in order.chunks(batch_size) {
            if let Some(reason) = stop.reason() {
                return Ok(Epoch::Stopped(reason));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Epoch::OutOfTime);
            }
            let loss = self.model.step(
                features(data, rows),
                &Targets::of(labels, rows, &self.trained),
                &mut totals,
            )?;
            if !loss.is_finite() {
                return Ok(Epoch::Over(vec![f64::NAN], totals.rows));
            }
        }
        let mut values = logged(&totals, plan);
        let samples = totals.rows;
        if !split.validation.is_empty() {
            let mut totals = self.model.totals(&self.classes);
            self.model.swap_averages()?;
            // By the largest batch that there is: the pre-flight counts no more.
            for rows in split.validation.chunks(validation_rows(batch_size.min(order.len()))) {
                if let Some(reason) = stop.reason() {
                    return Ok(Epoch::Stopped(reason));
                }
                self.model.evaluate(
                    features(data, rows),
                    &Targets::of(labels, rows, &self.validated),
                    &mut totals,
                )?;
            }
            self.model.swap_averages()?;
            values.extend(logged(&totals, plan));
        }
        Ok(Epoch::Over(values, samples))
    }

    /// A copy of the weights that were validated (the averages, if the optimiser keeps some), and
    /// how features were scaled for them.
    fn weights(&mut self) -> Result<Weights, Error> {
        self.model.swap_averages()?;
        let weights = Weights::copy(&self.model);
        self.model.swap_averages()?;
        weights?.with_scaling(&self.fold.data)
    }
}

/// The means over all runs, followed by their standard deviations if there are several.
fn summary(values: &[Vec<f64>]) -> Vec<f64> {
    let n = values.len() as f64;
    if let [only] = values {
        return only.clone();
    }
    let columns = values.iter().map(Vec::len).min().unwrap_or(0);
    let mean = |at: usize| values.iter().map(|values| values[at]).sum::<f64>() / n;
    let means: Vec<f64> = (0..columns).map(mean).collect();
    let deviation = |at: usize| {
        (values.iter().map(|values| (values[at] - means[at]) * (values[at] - means[at])).sum::<f64>() / n)
            .sqrt()
    };
    let deviations: Vec<f64> = (0..columns).map(deviation).collect();
    [means, deviations].concat()
}

fn logged(totals: &Totals, plan: &Plan) -> Vec<f64> {
    std::iter::once(totals.mean_loss())
        .chain((0..plan.training.metrics.len()).map(|at| totals.value(at)))
        .collect()
}

/// The rows one after the other. The tensor takes over the buffer: each batch has its own, and
/// nothing is copied twice.
fn features(data: &Scaled, rows: &[u32]) -> Vec<f32> {
    let mut features = Vec::with_capacity(rows.len() * data.dataset().width());
    data.gather(rows, &mut features);
    features
}

#[cfg(test)]
mod acts;
#[cfg(test)]
mod tests;

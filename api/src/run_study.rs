//! `chandler run`: one study on this machine, with live progress and a table of the best trials.

mod display;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use comfy_table::Table;
use hpo::preflight::Preflight;
use hpo::study::{DeviceClass, Direction, Study};
use hpo::trial::{TrialState, WaitingFor};
use store::artifact::Artifacts;
use store::{Sort, Store, StudyId, StudyRecord, TrialPage, TrialRecord, Waiting};
use ulid::Ulid;

use crate::app::App;
use crate::children::{TrainerChild, TrainerCommand};
use crate::config::{Run, datasets_folder};
use crate::create::{self, Draft};
use crate::limits;
use crate::model_file::ModelFile;
use crate::report::{self, say, shell_word, size};
use crate::serve::{assemble, signalled, start_redis};
use crate::wire::{has_ended, parse_json, shortest};

use display::Display;

/// How often the display asks the store: a person sees the end of a study at once, and it takes a
/// fraction of a percent of a core.
const REFRESH: Duration = Duration::from_millis(50);

/// Failed trials that are shown with their errors: most have the same error.
const FAILURES_SHOWN: usize = 3;

/// A run as it was asked for, and the folder of what it makes.
struct RunFolder<'a> {
    config: &'a Run,
    folder: PathBuf,
}

/// Runs the study with a Redis and a trainer of its own; succeeds if a trial completed, with a
/// value as good as required.
pub async fn run_study(config: Run) -> anyhow::Result<ExitCode> {
    let file = config.study.display();
    let bytes = std::fs::read(&config.study).with_context(|| format!("cannot read {file}"))?;
    let document = parse_json(&bytes).map_err(|error| anyhow::anyhow!("{file}: {error}"))?;
    if let Some(output) = &config.output {
        output.check_folder()?;
    }
    let datasets = datasets_folder(&config.machine)?;
    let folder = config.machine.data_dir.join("runs").join(Ulid::generate().to_string());
    let redis = start_redis(&folder)?;
    let artifacts = folder.join("artifacts").display().to_string();
    let store =
        store::Config { lease_ms: limits::RUN_LEASE_SECONDS * 1_000, ..store::Config::new(redis.url()) };
    let app = assemble(store, datasets, &artifacts, None).await?;
    let draft = create::draft(&app, document).await.map_err(|error| {
        let details = error.details();
        anyhow::anyhow!(report::problem(details.title, &details.detail, &details.errors))
    })?;
    say(announcement(&draft));
    let trainer = TrainerChild::start(TrainerCommand {
        redis_url: redis.url().to_owned(),
        machine: config.machine.clone(),
        artifacts,
        lease_seconds: limits::RUN_LEASE_SECONDS,
        quiet: true,
    })?;
    let run = RunFolder { config: &config, folder };
    let outcome = tokio::select! {
        outcome = carry_out(&app, draft, &run) => outcome,
        error = redis.failed() => Err(error.into()),
        () = trainer.unwatched() => Err(anyhow::anyhow!("the thread that watches the trainer has ended")),
    };
    trainer.stop().await;
    redis.stop().await;
    outcome
}

/// Creates the study, follows it to its end and reports on it.
async fn carry_out(app: &App, draft: Draft, run: &RunFolder<'_>) -> anyhow::Result<ExitCode> {
    let study = draft.study.clone();
    let id = create::create(&app.store, draft, None).await?.id;
    let started = Instant::now();
    tokio::select! {
        seen = see_through(&app.store, id, &study) => seen?,
        () = signalled() => {
            eprintln!("Interrupted; results so far:");
            app.store.cancel_study(id).await?;
        }
    }
    conclude(app, id, &study, run, started.elapsed()).await
}

/// What will be searched, in a line.
fn announcement(draft: &Draft) -> String {
    let Preflight { points, parameters, step_bytes, .. } = &draft.preflight;
    let points =
        points.as_deref().map_or("infinitely many points".to_owned(), |points| format!("{points} points"));
    format!(
        "Study {}: {points}, {} to {} weights, {} to {} for a training step",
        draft.study.name,
        parameters.min,
        parameters.max,
        size(step_bytes.min),
        size(step_bytes.max)
    )
}

/// Waits for the trainer, then follows the study to its end.
async fn see_through(store: &Store, id: StudyId, study: &Study) -> anyhow::Result<()> {
    let classes = trainer_classes(store).await?;
    if !classes.contains(&study.device) {
        let classes: Vec<_> = classes.iter().map(|class| class.as_str()).collect();
        anyhow::bail!(
            "the study needs the device {:?}, but the trainer here has {}",
            study.device.as_str(),
            classes.join(" and ")
        );
    }
    follow(store, id, study).await
}

/// The device classes that the trainer serves, once it is there.
async fn trainer_classes(store: &Store) -> anyhow::Result<Vec<DeviceClass>> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(limits::TRAINER_START_SECONDS_MAX) {
        if let Some(Some(record)) =
            passing(store.trainers().await)?.map(|trainers| trainers.into_iter().next())
        {
            return Ok(record.trainer.classes());
        }
        tokio::time::sleep(REFRESH).await;
    }
    anyhow::bail!(
        "the trainer did not start within {} s; see its output above",
        limits::TRAINER_START_SECONDS_MAX
    )
}

/// Shows the study's progress until it has ended.
async fn follow(store: &Store, id: StudyId, study: &Study) -> anyhow::Result<()> {
    let mut display = Display::new();
    loop {
        if let Some((record, running, waiting)) = passing(look(store, id).await)? {
            let record = record.context("the study is gone")?;
            // No other trainer will come.
            if let Some(Waiting { kind: WaitingFor::Memory, detail }) = waiting {
                display.clear()?;
                anyhow::bail!(detail);
            }
            display.show(&record, &running, waiting, study);
            if has_ended(record.state) {
                display.clear()?;
                return Ok(());
            }
        }
        tokio::time::sleep(REFRESH).await;
    }
}

/// The study, its running trials, and what it waits for.
async fn look(
    store: &Store,
    id: StudyId,
) -> store::Result<(Option<StudyRecord>, Vec<TrialRecord>, Option<Waiting>)> {
    let Some(record) = store.study(id).await? else { return Ok((None, Vec::new(), None)) };
    let page =
        TrialPage { limit: limits::PAGE_MAX, state: Some(TrialState::Running), ..TrialPage::default() };
    let (running, _) = store.trials(id, page).await?;
    let waiting = store.waiting_for(&record).await?;
    Ok((Some(record), running, waiting))
}

/// What was found; none while the Redis of this run is away for a moment. It is started again, or
/// given up, which ends the run.
fn passing<T>(found: store::Result<T>) -> store::Result<Option<T>> {
    match found {
        Err(error) if error.may_pass() => Ok(None),
        found => found.map(Some),
    }
}

/// Prints the best trials and saves the best model; whether they are as good as required.
async fn conclude(
    app: &App,
    id: StudyId,
    study: &Study,
    run: &RunFolder<'_>,
    took: Duration,
) -> anyhow::Result<ExitCode> {
    let record = app.store.study(id).await?.context("the study is gone")?;
    let best = app.store.best(id, run.config.best.clamp(1, limits::PAGE_MAX)).await?;
    say(table(&best, study)?);
    say(summary(&record, took));
    if record.counts.get(TrialState::Failed) > 0 {
        print_failures(&app.store, id).await?;
    }
    let Some(first) = best.first() else {
        say("No trial completed.");
        return Ok(ExitCode::FAILURE);
    };
    save(app, id, first, run).await?;
    let value = first.value.map(shortest);
    let direction = study.objective.direction;
    let is_enough =
        |required: f64| value.is_some_and(|value| value == required || direction.is_better(value, required));
    match run.config.require_value {
        Some(required) if !is_enough(required) => {
            let bound = match direction {
                Direction::Maximize => "at least",
                Direction::Minimize => "at most",
            };
            say(format_args!("The best value is not {bound} {required}."));
            Ok(ExitCode::FAILURE)
        }
        Some(_) | None => Ok(ExitCode::SUCCESS),
    }
}

/// Writes the model of the best trial, and says how to have it in another format.
async fn save(app: &App, id: StudyId, best: &TrialRecord, run: &RunFolder<'_>) -> anyhow::Result<()> {
    let nonce = best.nonce.context("a completed trial has weights")?;
    let path = Artifacts::model_path(id, best.number, best.attempt, nonce);
    let weights = app.artifacts.get(&path).await.context("cannot read the weights of the best trial")?;
    let kept = ModelFile::safetensors(run.folder.join("best.safetensors"));
    let Some(output) = &run.config.output else {
        kept.write_weights(weights)?;
        let kept = shell_word(kept.path());
        say(format_args!(
            "The best model is {kept}. As ONNX, or with .keras for Keras:\n  chandler export {kept} best.onnx"
        ));
        return Ok(());
    };
    match output.write_weights(weights.clone()) {
        Ok(said) => say(said),
        // A full disk, or a model that is too large for ONNX, does not cost the weights.
        Err(error) => {
            kept.write_weights(weights)?;
            return Err(error.context(format!("the best model is kept in {}", kept.path().display())));
        }
    }
    Ok(())
}

/// How the study ended, in a line.
fn summary(record: &StudyRecord, took: Duration) -> String {
    let reason = record.stop_reason.map_or(String::new(), |reason| format!(" ({reason})"));
    let ended = record.counts.iter().filter(|(state, count)| state.is_terminal() && *count > 0);
    let ended: Vec<String> = ended.map(|(state, count)| format!("{count} {state}")).collect();
    format!(
        "{} trials in {:.1} s ({}); study {}{reason}",
        record.counts.finished(),
        took.as_secs_f64(),
        ended.join(", "),
        record.state
    )
}

fn table(best: &[TrialRecord], study: &Study) -> store::Result<Table> {
    let names: Vec<&str> =
        study.space.hyperparameters().iter().map(|hyperparameter| hyperparameter.name.as_str()).collect();
    let header = ["trial", &study.objective.metric, "epoch"].into_iter().chain(names.iter().copied());
    let mut table = report::table(header);
    for trial in best {
        let hyperparameters = study.space.to_json(&study.space.unpack(&trial.point)?);
        let cell = |name: &&str| hyperparameters.get(*name).map_or(String::new(), report::hyperparameter);
        let value = trial.value.map_or(String::new(), report::value);
        let epoch = trial.best_epoch.map_or(String::new(), |epoch| epoch.to_string());
        table.add_row([trial.number.to_string(), value, epoch].into_iter().chain(names.iter().map(cell)));
    }
    Ok(table)
}

async fn print_failures(store: &Store, id: StudyId) -> anyhow::Result<()> {
    let page = TrialPage {
        limit: FAILURES_SHOWN,
        state: Some(TrialState::Failed),
        sort: Sort::Number,
        ..TrialPage::default()
    };
    for trial in store.trials(id, page).await?.0 {
        if let Some(error) = trial.error {
            say(format_args!("  trial {} failed ({}): {}", trial.number, error.kind, error.message));
        }
    }
    Ok(())
}

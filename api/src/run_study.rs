//! `chandler run`: one study here and now, with a live progress display and a table of the best
//! trials.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::limits;
use anyhow::Context;
use comfy_table::{LineStyle, Table, presets};
use hpo::preflight::Preflight;
use hpo::study::{DeviceClass, Direction, Study};
use hpo::trial::{StudyState, TrialState, WaitingFor};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use store::{Sort, Store, StudyId, StudyRecord, TrialPage, TrialRecord, Waiting};
use ulid::Ulid;

use crate::children::{TrainerChild, TrainerCommand};
use crate::config::Run;
use crate::create::{self, Draft};
use crate::error::Error;
use crate::serve::{assemble, signalled, start_redis};
use crate::wire::{expected, parse_json, shortest};

/// Writes a line on stdout. Whoever reads there may leave early, as `head` does: the study goes on,
/// and its end is the exit code.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// How often the display asks the store: the end of a study is seen as soon as a person would see
/// it, at a fraction of a percent of a core.
const REFRESH: Duration = Duration::from_millis(50);

/// Runs the study with a Redis and a trainer of its own; succeeds if a trial completed, with a
/// value as good as required.
pub async fn run_study(config: Run) -> anyhow::Result<ExitCode> {
    let bytes =
        std::fs::read(&config.study).with_context(|| format!("cannot read {}", config.study.display()))?;
    let document =
        parse_json(&bytes).map_err(|error| anyhow::anyhow!("{}: {error}", config.study.display()))?;
    let folder = config.data_dir.join("runs").join(Ulid::generate().to_string());
    let redis = start_redis(&folder)?;
    let artifacts = folder.join("artifacts").display().to_string();
    let store =
        store::Config { lease_ms: limits::RUN_LEASE_SECONDS * 1_000, ..store::Config::new(redis.url()) };
    let app = assemble(store, &config.data_dir, &artifacts, None).await?;
    let draft = create::draft(&app, document).await.map_err(|error| explain(&error))?;
    announce(&draft);
    let trainer = TrainerChild::start(TrainerCommand {
        redis_url: redis.url().to_owned(),
        data_dir: config.data_dir.clone(),
        artifacts: artifacts.clone(),
        lease_seconds: limits::RUN_LEASE_SECONDS,
        slots: config.slots,
        quiet: true,
    })?;
    let outcome = tokio::select! {
        outcome = carry_out(&app.store, draft, &config, &artifacts) => outcome,
        error = redis.failed() => Err(error.into()),
        () = trainer.unwatched() => Err(anyhow::anyhow!("the thread that watches the trainer has ended")),
    };
    trainer.stop().await;
    redis.stop().await;
    outcome
}

/// Creates the study, sees it through and tells what came of it.
async fn carry_out(store: &Store, draft: Draft, config: &Run, artifacts: &str) -> anyhow::Result<ExitCode> {
    let study = draft.study.clone();
    let id = create::create(store, draft, None).await?.id;
    let started = Instant::now();
    tokio::select! {
        seen = see_through(store, id, &study) => seen?,
        () = signalled() => {
            eprintln!("Interrupted: this is what there is so far.");
            store.cancel_study(id).await?;
        }
    }
    conclude(store, id, &study, config, started.elapsed(), artifacts).await
}

/// Every mistake in the study on a line of its own.
fn explain(error: &Error) -> anyhow::Error {
    let mut text = error.details().title.to_owned();
    for problem in error.details().errors {
        text += &format!(
            "\n  {}: {}",
            if problem.pointer.is_empty() { "/" } else { &problem.pointer },
            problem.detail
        );
    }
    if error.details().errors.is_empty() {
        text += &format!(": {error}");
    }
    anyhow::anyhow!(text)
}

fn announce(draft: &Draft) {
    let Preflight { points, parameters, step_bytes, .. } = &draft.preflight;
    let points =
        points.as_deref().map_or("infinitely many points".to_owned(), |points| format!("{points} points"));
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    say!(
        "Study {}: {points}, {} to {} weights, {:.1} to {:.1} MiB a training step",
        draft.study.name,
        parameters.min,
        parameters.max,
        mib(step_bytes.min),
        mib(step_bytes.max)
    );
}

/// Waits for the trainer, then follows the study to its end.
async fn see_through(store: &Store, id: StudyId, study: &Study) -> anyhow::Result<()> {
    let classes = trainer_classes(store).await?;
    if !classes.contains(&study.device) {
        let classes: Vec<_> = classes.iter().map(|class| class.as_str()).collect();
        anyhow::bail!(
            "the study asks for the device {:?}, and the trainer here serves {}",
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
    anyhow::bail!("no trainer came within {} s; what it said stands above", limits::TRAINER_START_SECONDS_MAX)
}

/// Shows the study's progress until it has ended.
async fn follow(store: &Store, id: StudyId, study: &Study) -> anyhow::Result<()> {
    let mut display = Display::new();
    loop {
        if let Some((record, running, waiting)) = passing(look(store, id).await)? {
            let record = record.context("the study is gone")?;
            // Nobody else will come.
            if let Some(Waiting { kind: WaitingFor::Memory, detail }) = waiting {
                display.bars.clear()?;
                anyhow::bail!(detail);
            }
            display.show(&record, &running, waiting, study);
            if !matches!(record.state, StudyState::Running | StudyState::Paused) {
                display.bars.clear()?;
                return Ok(());
            }
        }
        tokio::time::sleep(REFRESH).await;
    }
}

/// The study, what runs of it, and what it waits for.
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

/// What was found; none where the Redis of this run is away for a moment. One that died is started
/// again, and one that is given up ends the run.
fn passing<T>(found: store::Result<T>) -> store::Result<Option<T>> {
    match found {
        Err(error) if error.may_pass() => Ok(None),
        found => found.map(Some),
    }
}

/// One bar for the study and one line below for what runs.
struct Display {
    bars: MultiProgress,
    study: ProgressBar,
    running: ProgressBar,
    /// Without a terminal, a plain line is printed whenever one more trial has ended.
    plain: bool,
    /// What the study waited for when a plain line said so last.
    waiting: Option<WaitingFor>,
}

impl Display {
    fn new() -> Display {
        let bars = MultiProgress::new();
        let study = bars.add(ProgressBar::new(0));
        let style = |template: &str| ProgressStyle::with_template(template).expect("a valid template");
        study.set_style(style("{spinner} [{elapsed_precise}] {wide_bar} {pos}/{len} trials  {msg}"));
        study.enable_steady_tick(Duration::from_millis(100));
        let running = bars.add(ProgressBar::new_spinner());
        running.set_style(style("  {wide_msg}"));
        Display { bars, study, running, plain: !std::io::stderr().is_terminal(), waiting: None }
    }

    fn show(
        &mut self,
        record: &StudyRecord,
        running: &[TrialRecord],
        waiting: Option<Waiting>,
        study: &Study,
    ) {
        let best = record.best.as_ref().map_or(String::new(), |best| {
            format!("best {:.4} (trial {})", shortest(best.value), best.number)
        });
        let finished = record.counts.finished();
        if self.plain && finished > self.study.position() {
            say!("{finished}/{} trials  {best}", expected(record));
        }
        self.study.set_length(expected(record));
        self.study.set_position(finished);
        self.study.set_message(best);
        let line = |trial: &TrialRecord| {
            let value = trial
                .value
                .map_or(String::new(), |value| format!(" {} {:.4}", study.objective.metric, shortest(value)));
            format!("trial {} epoch {}{value}", trial.number, trial.epoch)
        };
        let kind = waiting.as_ref().map(|waiting| waiting.kind);
        let waits = waiting.map(|waiting| format!("waits: {}", waiting.detail));
        if let Some(waits) = waits.as_ref().filter(|_| self.plain && self.waiting != kind) {
            say!("{waits}");
        }
        self.waiting = kind;
        self.running
            .set_message(waits.unwrap_or_else(|| running.iter().map(line).collect::<Vec<_>>().join("  ·  ")));
    }
}

/// Prints the best trials; whether they are as good as required.
async fn conclude(
    store: &Store,
    id: StudyId,
    study: &Study,
    config: &Run,
    took: Duration,
    artifacts: &str,
) -> anyhow::Result<ExitCode> {
    let record = store.study(id).await?.context("the study is gone")?;
    let best = store.best(id, config.best.clamp(1, limits::PAGE_MAX)).await?;
    say!("{}", table(&best, study)?);
    let reason = record.stop_reason.map_or(String::new(), |reason| format!(" ({})", reason.as_str()));
    let ended = record
        .counts
        .iter()
        .filter(|(state, count)| state.is_terminal() && *count > 0)
        .map(|(state, count)| format!("{count} {state}"));
    let ended = ended.collect::<Vec<_>>().join(", ");
    say!(
        "{} trials in {:.1} s ({ended}); study {}{reason}",
        record.counts.finished(),
        took.as_secs_f64(),
        record.state
    );
    if record.counts.get(TrialState::Failed) > 0 {
        print_failures(store, id).await?;
    }
    let Some(first) = best.first() else {
        say!("No trial completed.");
        return Ok(ExitCode::FAILURE);
    };
    say!("The weights of the best are below {artifacts}/studies/{id}/{}/", first.number);
    let value = first.value.map(shortest);
    let enough = |required: f64| {
        value.is_some_and(|value| value == required || study.objective.direction.is_better(value, required))
    };
    match config.require_value {
        Some(required) if !enough(required) => {
            let at_least =
                if study.objective.direction == Direction::Maximize { "at least" } else { "at most" };
            say!("The best value is not {at_least} {required}.");
            Ok(ExitCode::FAILURE)
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn table(best: &[TrialRecord], study: &Study) -> store::Result<Table> {
    let names: Vec<&str> =
        study.space.hyperparameters().iter().map(|hyperparameter| hyperparameter.name.as_str()).collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_header(["trial", &study.objective.metric, "epoch"].into_iter().chain(names.iter().copied()));
    for trial in best {
        let hyperparameters = study.space.to_json(&study.space.unpack(&trial.point)?);
        let cell = |name: &&str| match hyperparameters.get(*name) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(serde_json::Value::Number(number)) if number.to_string().len() > 8 => {
                format!("{:.4e}", number.as_f64().unwrap_or(f64::NAN))
            }
            Some(value) => value.to_string(),
            None => String::new(),
        };
        let value = trial.value.map_or(String::new(), |value| format!("{:.4}", shortest(value)));
        let epoch = trial.best_epoch.map_or(String::new(), |epoch| epoch.to_string());
        table.add_row([trial.number.to_string(), value, epoch].into_iter().chain(names.iter().map(cell)));
    }
    Ok(table)
}

async fn print_failures(store: &Store, id: StudyId) -> anyhow::Result<()> {
    let page =
        TrialPage { limit: 3, state: Some(TrialState::Failed), sort: Sort::Number, ..TrialPage::default() };
    for trial in store.trials(id, page).await?.0 {
        if let Some(error) = trial.error {
            say!("  trial {} failed ({}): {}", trial.number, error.kind, error.message);
        }
    }
    Ok(())
}

//! The live progress of a run.

use std::io::IsTerminal;
use std::time::Duration;

use hpo::study::Study;
use hpo::trial::WaitingFor;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use store::{StudyRecord, TrialRecord, Waiting};

use crate::limits;
use crate::report::{self, say};
use crate::wire::expected;

/// One bar for the study, and below it one line for the trials that run.
pub(super) struct Display {
    bars: MultiProgress,
    study: ProgressBar,
    running: ProgressBar,
    /// Without a terminal, a line is printed whenever another trial has ended.
    plain: bool,
    /// What the study waited for when a line said so last.
    waiting: Option<WaitingFor>,
}

impl Display {
    /// A display without progress.
    pub(super) fn new() -> Display {
        let bars = MultiProgress::new();
        let study = bars.add(ProgressBar::new(0));
        let style = |template: &str| ProgressStyle::with_template(template).expect("a valid template");
        let bar = limits::PROGRESS_BAR_COLUMNS;
        study.set_style(style(&format!(
            "{{spinner}} [{{elapsed_precise}}] {{bar:{bar}}} {{pos}}/{{len}} trials  {{msg}}"
        )));
        study.enable_steady_tick(Duration::from_millis(100));
        let running = bars.add(ProgressBar::new_spinner());
        running.set_style(style("  {wide_msg}"));
        Display { bars, study, running, plain: !std::io::stderr().is_terminal(), waiting: None }
    }

    /// Shows how far the study is, which trials run, and what it waits for.
    pub(super) fn show(
        &mut self,
        record: &StudyRecord,
        running: &[TrialRecord],
        waiting: Option<Waiting>,
        study: &Study,
    ) {
        let best = record.best.as_ref().map_or(String::new(), |best| {
            format!("best {} (trial {})", report::value(best.value), best.number)
        });
        let finished = record.counts.finished();
        if self.plain && finished > self.study.position() {
            say(format_args!("{finished}/{} trials  {best}", expected(record)));
        }
        self.study.set_length(expected(record));
        self.study.set_position(finished);
        self.study.set_message(best);
        let line = |trial: &TrialRecord| {
            let value = trial.value.map_or(String::new(), |value| {
                format!(" {} {}", study.objective.metric, report::value(value))
            });
            format!("trial {} epoch {}{value}", trial.number, trial.epoch)
        };
        let kind = waiting.as_ref().map(|waiting| waiting.kind);
        let waits = waiting.map(|waiting| format!("waits: {}", waiting.detail));
        if let Some(waits) = waits.as_ref().filter(|_| self.plain && self.waiting != kind) {
            say(waits);
        }
        self.waiting = kind;
        self.running
            .set_message(waits.unwrap_or_else(|| running.iter().map(line).collect::<Vec<_>>().join("  ·  ")));
    }

    /// Removes the bars from the terminal.
    pub(super) fn clear(&self) -> std::io::Result<()> {
        self.bars.clear()
    }
}

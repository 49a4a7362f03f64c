//! `chandler status`: how far a study is, or the newest studies.

use std::process::ExitCode;

use comfy_table::CellAlignment;

use super::failure::Failure;
use super::server::Server;
use super::{failed, say_json};
use crate::config::Status;
use crate::limits;
use crate::report::{self, say};
use crate::wire::{BestTrial, StudyPage, StudySummary, StudyView};

/// Prints the study, or the list.
pub fn status(config: &Status) -> ExitCode {
    match try_status(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure, config.remote.json),
    }
}

fn try_status(config: &Status) -> Result<(), Failure> {
    let server = Server::new(&config.remote)?;
    let (text, body) = match &config.id {
        Some(id) => {
            let study = server.get::<StudyView>(&format!("/v1/studies/{id}"))?;
            (study_text(&study.view), study.body)
        }
        None => {
            let page = server.get::<StudyPage>(&format!("/v1/studies?limit={}", limits::STUDIES_SHOWN))?;
            (list_text(&page.view), page.body)
        }
    };
    if config.remote.json {
        say_json(&body)
    } else {
        say(text)
    }
    Ok(())
}

/// The study in a few lines: state, counts, best trial, and what it waits for.
pub(super) fn study_text(study: &StudyView) -> String {
    let summary = &study.summary;
    let reason = summary.stop_reason.map_or(String::new(), |reason| format!(" ({reason})"));
    let mut lines = vec![
        format!("Study {} ({})", summary.id, summary.name),
        format!("  state    {}{reason}", summary.state),
        format!("  trials   {}", counts(summary)),
    ];
    if let Some(best) = &summary.best {
        let metric = study.metric();
        lines.push(format!("  best     {metric} {} in trial {}", report::value(best.value), best.number));
        lines.push(format!("           {}", hyperparameters(best)));
    }
    if let Some(waiting) = &summary.waiting_for {
        lines.push(format!("  waits    for {}: {}", waiting.kind, waiting.detail));
    }
    lines.join("\n")
}

/// The progress of the study in one line.
pub(super) fn progress(summary: &StudySummary) -> String {
    let progress = &summary.progress;
    let best = summary.best.as_ref().map_or(String::new(), |best| {
        format!("  best {} (trial {})", report::value(best.value), best.number)
    });
    let waits =
        summary.waiting_for.as_ref().map_or(String::new(), |waiting| format!("  waits: {}", waiting.detail));
    format!("{}/{} trials{best}{waits}", progress.finished, progress.total)
}

fn counts(summary: &StudySummary) -> String {
    let progress = &summary.progress;
    let counts = summary.trials.iter().filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts.map(|(state, count)| format!("{count} {state}")).collect();
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    format!("{} of {} have ended{counts}", progress.finished, progress.total)
}

fn hyperparameters(best: &BestTrial) -> String {
    let pairs = best.hyperparameters.iter();
    pairs
        .map(|(name, value)| format!("{name} {}", report::hyperparameter(value)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn list_text(page: &StudyPage) -> String {
    if page.studies.is_empty() {
        return "There are no studies yet: chandler submit STUDY.json makes one.".to_owned();
    }
    let mut table = report::table(["id", "name", "state", "ended", "best", "created (UTC)"]);
    for study in &page.studies {
        table.add_row([
            study.id.clone(),
            study.name.clone(),
            study.state.to_string(),
            format!("{}/{}", study.progress.finished, study.progress.total),
            study.best.as_ref().map_or(String::new(), |best| report::value(best.value)),
            study.created_at.split('.').next().unwrap_or_default().trim_end_matches('Z').replace('T', " "),
        ]);
    }
    for column in [3, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let more = if page.next.is_some() { "\nThere are more: GET /v1/studies lists all of them." } else { "" };
    format!("{table}{more}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn summary() -> Json {
        json!({
            "id": "01M8QDVZ4KXGXY3MPK5GP66BCB", "name": "digits", "state": "running", "stop_reason": null,
            "created_at": "2026-11-30T23:12:09.123Z", "seed": 42,
            "trials": {"queued": 7, "delayed": 0, "running": 2, "completed": 3, "failed": 0, "cancelled": 0},
            "progress": {"finished": 3, "total": 12}, "max_trials": 12, "max_parallel": null,
            "best": {"number": 1, "value": 0.994444, "hyperparameters": {"units": 192, "learning_rate": 0.0070026123}},
            "waiting_for": {"kind": "slots", "detail": "all are busy"}
        })
    }

    #[test]
    fn a_study_is_shown_with_its_counts_its_best_and_what_it_waits_for() {
        let mut study = summary();
        study["spec"] = json!({"objective": {"metric": "val_accuracy"}});
        study["preflight"] = json!({});
        study["dataset"] =
            json!({"shape": [8], "dtype": "float32", "rows": 9, "classes": 3, "scale_max": null, "hash": ""});
        let view: StudyView = serde_json::from_value(study).unwrap();
        assert_eq!(
            study_text(&view),
            "Study 01M8QDVZ4KXGXY3MPK5GP66BCB (digits)\n  \
               state    running\n  \
               trials   3 of 12 have ended: 7 queued, 2 running, 3 completed\n  \
               best     val_accuracy 0.9944 in trial 1\n           \
                        units 192, learning_rate 7.0026e-3\n  \
               waits    for slots: all are busy",
        );
        assert_eq!(progress(&view.summary), "3/12 trials  best 0.9944 (trial 1)  waits: all are busy");
    }

    #[test]
    fn the_list_has_a_line_for_each_study() {
        let page = |studies: Json, next: Json| {
            list_text(&serde_json::from_value(json!({"studies": studies, "next": next})).unwrap())
        };
        assert!(page(json!([]), Json::Null).contains("no studies yet"));
        let text = page(json!([summary()]), json!("c"));
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines.len(), 4, "{text}");
        let words: Vec<&str> = lines[2].split_whitespace().collect();
        assert_eq!(
            words,
            ["01M8QDVZ4KXGXY3MPK5GP66BCB", "digits", "running", "3/12", "0.9944", "2026-11-30", "23:12:09"]
        );
        assert!(lines[3].contains("more"), "{text}");
    }
}

//! `chandler best`: the best trial of a study, and its model as a file.

use std::process::ExitCode;

use super::failure::Failure;
use super::server::Server;
use super::{failed, say_json};
use crate::config::Best;
use crate::report::{self, say};
use crate::wire::{BestList, StudyView, TrialView};

/// Prints the best trial, and saves its model if a file is named.
pub fn best(config: &Best) -> ExitCode {
    try_best(config).unwrap_or_else(|failure| failed(&failure, config.remote.json))
}

fn try_best(config: &Best) -> Result<ExitCode, Failure> {
    if let Some(output) = &config.output {
        output.check_folder()?;
    }
    let (server, path) = (Server::new(&config.remote)?, format!("/v1/studies/{}", config.id));
    let list = server.get::<BestList>(&format!("{path}/best"))?;
    if config.remote.json {
        say_json(&list.body);
    }
    let Some(trial) = list.view.trials.first() else {
        eprintln!("chandler: no trial of study {} has completed yet", config.id);
        return Ok(ExitCode::FAILURE);
    };
    if !config.remote.json {
        say(trial_text(trial, &server.get::<StudyView>(&path)?.view));
    }
    if let Some(output) = &config.output {
        // By its number: another trial may be the best by now.
        let format = output.format().as_str();
        let model = format!("{path}/trials/{}/model?format={format}", trial.number);
        eprintln!("{}", output.write(|file| server.download(&model, file))?);
    }
    Ok(ExitCode::SUCCESS)
}

fn trial_text(trial: &TrialView, study: &StudyView) -> String {
    let value = trial.value.map_or_else(String::new, report::value);
    let epoch = trial.best_step.map_or_else(String::new, |step| format!(" after epoch {step}"));
    let name = &study.summary.name;
    let mut text = format!("Trial {} of {name}: {} {value}{epoch}", trial.number, study.metric());
    let width = trial.hyperparameters.keys().map(|name| name.chars().count()).max().unwrap_or_default();
    for (name, value) in &trial.hyperparameters {
        text += &format!("\n  {name:width$}  {}", report::hyperparameter(value));
    }
    text
}

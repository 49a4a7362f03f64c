//! `chandler submit`: sends a study, and waits for its end if it is asked to.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use hpo::trial::StudyState;
use ulid::Ulid;

use super::failure::Failure;
use super::server::{Answer, Server, ServerUrl};
use super::{failed, say_json, status};
use crate::config::{Remote, Submit};
use crate::limits;
use crate::report::{say, shell_word};
use crate::wire::StudyView;

/// Creates the study, prints its id, and says how to go on.
pub fn submit(config: &Submit) -> ExitCode {
    try_submit(config).unwrap_or_else(|failure| failed(&failure, config.remote.json))
}

fn try_submit(config: &Submit) -> Result<ExitCode, Failure> {
    let document = read(&config.study)?;
    let server = Server::new(&config.remote)?;
    let created = create(&server, &document)?;
    let (id, json) = (created.view.summary.id.clone(), config.remote.json);
    if !json {
        say(&id);
        eprintln!("{}", next_steps(&created.view, &repeated_flags(&config.remote)));
    }
    if !config.wait {
        if json {
            say_json(&created.body);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let ended = follow(&server, &id)?;
    if json {
        say_json(&ended.body);
    } else {
        eprintln!("{}", status::study_text(&ended.view));
    }
    let summary = &ended.view.summary;
    let is_good = summary.state == StudyState::Completed && summary.best.is_some();
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The bytes of the study. The API checks that they are JSON.
fn read(study: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let bounded = |reader: &mut dyn Read, bytes: &mut Vec<u8>| {
        reader.take(limits::BODY_BYTES_MAX as u64 + 1).read_to_end(bytes)
    };
    let (name, read) = if study == Path::new("-") {
        ("stdin".to_owned(), bounded(&mut std::io::stdin(), &mut bytes))
    } else {
        let read = std::fs::File::open(study).and_then(|mut file| bounded(&mut file, &mut bytes));
        (study.display().to_string(), read)
    };
    read.with_context(|| format!("cannot read {name}"))?;
    anyhow::ensure!(
        bytes.len() <= limits::BODY_BYTES_MAX,
        "{name} is larger than a study may be: {} bytes",
        limits::BODY_BYTES_MAX
    );
    Ok(bytes)
}

/// Sends the study until the answer is final. All requests have one key, so they create one study.
fn create(server: &Server, document: &[u8]) -> Result<Answer<StudyView>, Failure> {
    let key = Ulid::generate().to_string();
    let mut tries = 1;
    loop {
        match server.post("/v1/studies", document, &key) {
            // No service is there; only one that goes away under way is waited for.
            Err(failure @ Failure::Unreachable { .. }) if tries == 1 => return Err(failure),
            Err(failure) if failure.may_pass() && tries < limits::CLIENT_TRIES_MAX => {
                let pause = failure.pause();
                eprintln!("{failure}\ntrying again in {} s", pause.as_secs());
                std::thread::sleep(pause);
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

/// The study, once it has ended. Each change of its counts is told on stderr.
fn follow(server: &Server, id: &str) -> Result<Answer<StudyView>, Failure> {
    let (mut told, mut heard) = (String::new(), Instant::now());
    loop {
        match server.get::<StudyView>(&format!("/v1/studies/{id}")) {
            Ok(answer) => {
                heard = Instant::now();
                let progress = status::progress(&answer.view.summary);
                if progress != told {
                    eprintln!("{progress}");
                    told = progress;
                }
                if answer.view.summary.has_ended() {
                    return Ok(answer);
                }
            }
            Err(failure) if failure.may_pass() => {
                let patience = Duration::from_secs(limits::CLIENT_OUTAGE_SECONDS_MAX);
                if heard.elapsed() > patience {
                    return Err(failure);
                }
            }
            Err(failure) => return Err(failure),
        }
        std::thread::sleep(Duration::from_millis(limits::CLIENT_LOOK_MS));
    }
}

/// The flags that reach the same service again, each after a blank.
fn repeated_flags(remote: &Remote) -> String {
    let mut flags = String::new();
    let url = remote.server.as_str();
    if url != ServerUrl::DEFAULT && std::env::var("CHANDLER_SERVER").is_err() {
        flags += &format!(" --server {url}");
    }
    if let Some(file) =
        remote.api_key_file.as_ref().filter(|_| std::env::var("CHANDLER_API_KEY_FILE").is_err())
    {
        flags += &format!(" --api-key-file {}", shell_word(file));
    }
    flags
}

/// What was created, and what to do with it.
fn next_steps(study: &StudyView, flags: &str) -> String {
    let summary = &study.summary;
    let (name, id, total) = (&summary.name, &summary.id, summary.progress.total);
    format!(
        "Created the study {name}, with {total} trials. How far it is, and its best model:\n  \
           chandler status {id}{flags}\n  \
           chandler best {id} --output best.onnx{flags}"
    )
}

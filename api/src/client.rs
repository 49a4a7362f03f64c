//! The commands that talk to a running service: `chandler submit`, `status` and `best`.
//!
//! Results go to stdout, explanations and the next steps to stderr. In reading order: `server`
//! sends requests, with a bound on each wait and each answer; `failure` is every reason for not
//! getting a result; then one file for each command.

mod best;
mod failure;
mod server;
mod status;
mod submit;

pub use best::best;
pub use server::ServerUrl;
pub use status::status;
pub use submit::submit;

use std::process::ExitCode;

use failure::Failure;

use crate::report::say;

/// Prints the answer of the API as it came.
fn say_json(body: &[u8]) {
    say(String::from_utf8_lossy(body).trim_end());
}

/// Prints why a command failed, and with `--json` also the answer of the API.
fn failed(failure: &Failure, json: bool) -> ExitCode {
    if let (true, Failure::Refused(refusal)) = (json, failure) {
        say_json(&refusal.body);
    }
    eprintln!("chandler: {failure}");
    ExitCode::FAILURE
}

//! The commands that talk to a running service: `chandler submit`, `status` and `best`.
//!
//! Results go to stdout, what they mean and what to do next to stderr. In reading order: `server`
//! sends requests, with a bound on each wait and each answer; `failure` is every way not to get
//! what was asked for; then one file a command.

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

/// Tells why a command did not get what it asked for, and with `--json` also what the API said.
fn failed(failure: &Failure, json: bool) -> ExitCode {
    if let (true, Failure::Refused { body, .. }) = (json, failure) {
        say_json(body);
    }
    eprintln!("chandler: {failure}");
    ExitCode::FAILURE
}

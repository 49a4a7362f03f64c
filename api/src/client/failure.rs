//! Every way in which a command does not get what it asked a service for.

use std::time::Duration;

use serde::Deserialize;

use crate::code::Code;
use crate::error::FieldProblem;
use crate::limits;
use crate::report;

/// What the API says of a request that it refused, after RFC 9457. Read leniently: a code of a
/// later version is shown as well.
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    pub(super) code: String,
    title: String,
    detail: String,
    #[serde(default)]
    errors: Vec<FieldProblem>,
}

/// How the API refused a request.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) problem: Problem,
    /// The problem as it came.
    pub(super) body: Vec<u8>,
    /// How long the API asks to wait before the next try.
    pub(super) retry_after: Option<Duration>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The API refused the request.
    #[error("{}", explain(&.0.problem))]
    Refused(Box<Refusal>),
    /// There was no connection, so nothing was sent.
    #[error(
        "cannot reach the API at {server}: {cause}\n\
         start it with `chandler serve`, or give its URL with --server or in CHANDLER_SERVER"
    )]
    Unreachable { server: String, cause: String },
    /// The request was sent, and no whole answer came.
    #[error("the API at {server} did not answer: {cause}")]
    Unanswered { server: String, cause: String },
    /// An answer that this API does not give.
    #[error("{server} answered {what}; is it the URL of a Chandler API of this version?")]
    Strange { server: String, what: String },
    /// A fault on this machine, such as a file that cannot be read.
    #[error("{0:#}")]
    Here(#[from] anyhow::Error),
}

fn explain(problem: &Problem) -> String {
    let text = report::problem(&problem.title, &problem.detail, &problem.errors);
    if problem.code == Code::Unauthorized.as_str() {
        return text + "\ngive the key with --api-key-file, or in CHANDLER_API_KEY";
    }
    text
}

impl Failure {
    /// Whether the same request may succeed in a moment.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Failure::Refused(refusal) => [Code::Unavailable.as_str(), Code::OutcomeUnknown.as_str()]
                .contains(&refusal.problem.code.as_str()),
            Failure::Unreachable { .. } | Failure::Unanswered { .. } => true,
            Failure::Strange { .. } | Failure::Here(_) => false,
        }
    }

    /// How long to wait before the request is sent again.
    pub(super) fn pause(&self) -> Duration {
        let asked = match self {
            Failure::Refused(refusal) => refusal.retry_after,
            _ => None,
        };
        asked
            .unwrap_or(Duration::from_secs(limits::RETRY_AFTER_SECONDS))
            .min(Duration::from_secs(limits::CLIENT_PAUSE_SECONDS_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(problem: &str, retry_after: Option<u64>) -> Failure {
        Failure::Refused(Box::new(Refusal {
            problem: serde_json::from_str(problem).unwrap(),
            body: Vec::new(),
            retry_after: retry_after.map(Duration::from_secs),
        }))
    }

    #[test]
    fn what_is_said_names_each_mistake_and_what_to_do() {
        let invalid = r#"{"code": "invalid_study", "title": "The study is not valid", "detail": "1 problem", "errors": [{"pointer": "/a", "detail": "is 0"}]}"#;
        assert_eq!(refused(invalid, None).to_string(), "The study is not valid\n  /a: is 0");
        let no_key = r#"{"code": "unauthorized", "title": "An API key is needed", "detail": "send one"}"#;
        assert!(refused(no_key, None).to_string().ends_with("--api-key-file, or in CHANDLER_API_KEY"));
    }

    #[test]
    fn only_what_may_pass_is_tried_again_and_no_later_than_in_a_while() {
        let of = |code: &str| format!(r#"{{"code": "{code}", "title": "", "detail": ""}}"#);
        for (code, may_pass) in [
            ("unavailable", true),
            ("outcome_unknown", true),
            ("storage_full", false),
            ("invalid_study", false),
            ("of_a_later_version", false),
        ] {
            assert_eq!(refused(&of(code), None).may_pass(), may_pass, "{code}");
        }
        for (asked, pause) in [(None, limits::RETRY_AFTER_SECONDS), (Some(7), 7), (Some(9_999), 30)] {
            assert_eq!(refused(&of("unavailable"), asked).pause(), Duration::from_secs(pause));
        }
    }
}

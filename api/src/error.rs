//! Every error of the API: one enum, a code for each, and one `application/problem+json` body (RFC
//! 9457).

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use hpo::{Problem, ProblemKind};
use serde::{Deserialize, Serialize};
use store::{Refusal, StudyId};
use utoipa::ToSchema;

use crate::code::Code;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The study has mistakes.
    #[error("{} problem{}", .0.len(), if .0.len() == 1 { "" } else { "s" })]
    InvalidStudy(Vec<Problem>),
    /// A body that is not JSON.
    #[error("{0}")]
    MalformedJson(String),
    /// A body that is JSON of another form.
    #[error("{0}")]
    InvalidRequest(String),
    /// A query, header or cursor that cannot be read.
    #[error("{0}")]
    InvalidParameter(String),
    /// A body over the limit.
    #[error("the body has more than {} bytes", crate::limits::BODY_BYTES_MAX)]
    BodyTooLarge,
    /// A body of another type, or with a content-encoding.
    #[error("the body must be sent with content-type: application/json, and without a content-encoding")]
    UnsupportedMediaType,
    /// The body took too long to arrive.
    #[error("the body did not arrive within {} s", crate::limits::HTTP_BODY_SECONDS_MAX)]
    RequestTimeout,
    /// An unknown path.
    #[error("no route has this path; /openapi.json lists the routes")]
    NotFound,
    /// A known path without this method; the methods that it has.
    #[error("the methods of this path are {0}")]
    MethodNotAllowed(String),
    /// No such study.
    #[error("there is no study {0}")]
    StudyNotFound(String),
    /// No such trial.
    #[error("study {study} has no trial {number}")]
    TrialNotFound {
        /// The study.
        study: String,
        /// The number, as asked for.
        number: String,
    },
    /// The trial has no weights.
    #[error("{0}")]
    ModelNotFound(String),
    /// The study or trial has ended.
    #[error("{0}")]
    Conflict(String),
    /// The idempotency key was used for something else.
    #[error("this Idempotency-Key was used for another request")]
    IdempotencyMismatch,
    /// No key, or a wrong one.
    #[error("send an API key as `Authorization: Bearer KEY`")]
    Unauthorized,
    /// A `Host` that is not loopback, on a server without keys.
    #[error("without API keys only requests to localhost are served")]
    ForbiddenHost,
    /// There is no room for more, in Redis or on its disk.
    #[error("{0}")]
    StorageFull(String),
    /// Redis does not answer or refuses, or the server is shutting down. Nothing was changed.
    #[error("{0}")]
    Unavailable(String),
    /// Redis was sent a change and has not answered.
    #[error("it is not known whether the request was carried out ({cause}); it can be sent again {how}")]
    OutcomeUnknown {
        /// How, or when, it can be sent again.
        how: String,
        /// The study that it may have created.
        study: Option<StudyId>,
        /// What happened to the call.
        cause: String,
    },
    /// A fault of the server.
    #[error("something went wrong in the server; its log has the details")]
    Internal(String),
}

/// An error, after RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDetails {
    /// `urn:chandler:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of the error, in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The kind of the error, for programs.
    pub code: Code,
    /// What went wrong this time, and what to do. It never has a password in it.
    pub detail: String,
    /// Every mistake in the study, with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// One mistake in a study.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// Where: a JSON pointer (RFC 6901) into the request's body.
    pub pointer: String,
    /// What is wrong there, and what to do.
    pub detail: String,
}

impl Error {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            // A study with any real mistake is invalid, whatever else is only not supported.
            Error::InvalidStudy(problems)
                if problems.iter().all(|problem| problem.kind == ProblemKind::NotSupported) =>
            {
                Code::NotSupported
            }
            Error::InvalidStudy(_) => Code::InvalidStudy,
            Error::MalformedJson(_) => Code::MalformedJson,
            Error::InvalidRequest(_) => Code::InvalidRequest,
            Error::InvalidParameter(_) => Code::InvalidParameter,
            Error::BodyTooLarge => Code::BodyTooLarge,
            Error::UnsupportedMediaType => Code::UnsupportedMediaType,
            Error::RequestTimeout => Code::RequestTimeout,
            Error::NotFound => Code::NotFound,
            Error::MethodNotAllowed(_) => Code::MethodNotAllowed,
            Error::StudyNotFound(_) => Code::StudyNotFound,
            Error::TrialNotFound { .. } => Code::TrialNotFound,
            Error::ModelNotFound(_) => Code::ModelNotFound,
            Error::Conflict(_) => Code::Conflict,
            Error::IdempotencyMismatch => Code::IdempotencyMismatch,
            Error::Unauthorized => Code::Unauthorized,
            Error::ForbiddenHost => Code::ForbiddenHost,
            Error::StorageFull(_) => Code::StorageFull,
            Error::Unavailable(_) => Code::Unavailable,
            Error::OutcomeUnknown { .. } => Code::OutcomeUnknown,
            Error::Internal(_) => Code::Internal,
        }
    }

    /// The body of its answer.
    pub fn details(&self) -> ProblemDetails {
        let code = self.code();
        let errors = match self {
            Error::InvalidStudy(problems) => problems
                .iter()
                .map(|problem| FieldProblem {
                    pointer: problem.pointer.clone(),
                    detail: problem.detail.clone(),
                })
                .collect(),
            _ => Vec::new(),
        };
        ProblemDetails {
            kind: format!("urn:chandler:problem:{}", code.as_str()),
            title: code.title(),
            status: code.status().as_u16(),
            code,
            detail: self.to_string(),
            errors,
        }
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        self.code().status()
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Error::Internal(cause) => tracing::error!("A request failed: {cause}"),
            Error::Unavailable(_) | Error::StorageFull(_) | Error::OutcomeUnknown { .. } => {
                tracing::warn!("A request could not be served: {self}")
            }
            _ => {}
        }
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        match self {
            Error::MethodNotAllowed(methods) => response.insert_header((ALLOW, methods.as_str())),
            Error::Unauthorized => response.insert_header((WWW_AUTHENTICATE, "Bearer")),
            Error::Unavailable(_) | Error::StorageFull(_) | Error::OutcomeUnknown { .. } => {
                response.insert_header((RETRY_AFTER, crate::limits::RETRY_AFTER_SECONDS.to_string()))
            }
            _ => &mut response,
        };
        if let Error::OutcomeUnknown { study: Some(id), .. } = self {
            response.insert_header((LOCATION, study_path(*id)));
        }
        response.body(serde_json::to_vec(&self.details()).unwrap_or_default())
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Error {
        match error {
            store::Error::NoSuchStudy(id) => Error::StudyNotFound(id.to_string()),
            store::Error::NoSuchTrial { study, number } => {
                Error::TrialNotFound { study: study.to_string(), number: number.to_string() }
            }
            store::Error::Closed { .. } => Error::Conflict(error.to_string()),
            store::Error::IdempotencyMismatch => Error::IdempotencyMismatch,
            store::Error::Deleted(id) => Error::Conflict(format!(
                "study {id}, which this Idempotency-Key created, was deleted; send another key for a new study"
            )),
            store::Error::BadCursor => {
                Error::InvalidParameter("cursor: not a cursor of this list".to_owned())
            }
            store::Error::TooLong { .. } => Error::InvalidParameter(error.to_string()),
            store::Error::Refused(ref refused) if refused.refusal == Refusal::OutOfMemory => {
                Error::StorageFull(error.to_string())
            }
            store::Error::Misconfigured(_) | store::Error::Unavailable(_) | store::Error::Refused(_) => {
                Error::Unavailable(error.to_string())
            }
            store::Error::Unanswered(cause) => Error::OutcomeUnknown {
                how: "unchanged: a second time changes nothing more".to_owned(),
                study: None,
                cause,
            },
            store::Error::Corrupt(_) | store::Error::Redis(_) => Error::Internal(error.to_string()),
        }
    }
}

impl From<actix_web::error::BlockingError> for Error {
    fn from(_: actix_web::error::BlockingError) -> Error {
        Error::Internal("a blocking task was cancelled".to_owned())
    }
}

/// The path of a study.
pub(crate) fn study_path(id: StudyId) -> String {
    format!("/v1/studies/{id}")
}

/// The study that an id in a path names. Errors: [`Error::StudyNotFound`] for what is no id.
pub(crate) fn study_id(text: &str) -> Result<StudyId, Error> {
    StudyId::parse(text).ok_or_else(|| Error::StudyNotFound(text.chars().take(60).collect()))
}

//! The table of error codes, which is part of the contract.

use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

macro_rules! codes {
    ($($variant:ident = $name:literal, $status:literal, $title:literal;)+) => {
        /// The kind of an error, for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        pub enum Code {
            $(#[doc = $title] #[serde(rename = $name)] #[schema(rename = $name)] $variant),+
        }

        impl Code {
            /// Its name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name),+ }
            }

            /// The kind of the error, in words.
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title),+ }
            }

            /// The HTTP status of its answers.
            pub fn status(self) -> StatusCode {
                let status: u16 = match self { $(Code::$variant => $status),+ };
                StatusCode::from_u16(status).expect("a status of the table")
            }
        }
    };
}

codes! {
    InvalidStudy = "invalid_study", 422, "The study is not valid";
    NotSupported = "not_supported", 422, "The study asks for something that is not supported yet";
    MalformedJson = "malformed_json", 400, "The body is not JSON";
    InvalidRequest = "invalid_request", 422, "The request is not valid";
    InvalidParameter = "invalid_parameter", 400, "A parameter is not valid";
    BodyTooLarge = "body_too_large", 413, "The body is too large";
    UnsupportedMediaType = "unsupported_media_type", 415, "The body has the wrong type";
    RequestTimeout = "request_timeout", 408, "The request took too long";
    NotFound = "not_found", 404, "Not found";
    MethodNotAllowed = "method_not_allowed", 405, "The path does not have this method";
    StudyNotFound = "study_not_found", 404, "There is no such study";
    TrialNotFound = "trial_not_found", 404, "There is no such trial";
    ModelNotFound = "model_not_found", 404, "There is no such model";
    Conflict = "conflict", 409, "The state of the study or trial does not allow it";
    IdempotencyMismatch = "idempotency_mismatch", 422, "The idempotency key belongs to another request";
    Unauthorized = "unauthorized", 401, "An API key is needed";
    ForbiddenHost = "forbidden_host", 403, "Only local requests are served";
    StorageFull = "storage_full", 503, "The store is full";
    Unavailable = "unavailable", 503, "The service is not available";
    OutcomeUnknown = "outcome_unknown", 503, "It is not known whether the request was carried out";
    Internal = "internal", 500, "Internal error";
}

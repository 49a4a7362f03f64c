//! One file per resource.

pub(crate) mod datasets;
pub(crate) mod home;
pub(crate) mod models;
pub(crate) mod probes;
pub(crate) mod studies;
pub(crate) mod trainers;
pub(crate) mod trials;

use std::collections::BTreeMap;

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::{Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::error::ProblemDetails;

/// The errors of an operation that needs no key and no Redis.
pub(crate) struct ParameterErrors;
/// The errors of an operation that needs no key.
pub(crate) struct ProbeErrors;
/// The errors of any operation.
pub(crate) struct AnyErrors;
/// The errors of an operation on a study or a trial.
pub(crate) struct StudyErrors;
/// The errors of an operation with a body.
pub(crate) struct BodyErrors;

const PARAMETER: &[(u16, &str)] = &[(
    400,
    "A parameter, a header or the body cannot be read, or a header is not supported: `invalid_parameter`, `malformed_json`",
)];
const KEY: &[(u16, &str)] = &[
    (401, "An API key is needed: `unauthorized`"),
    (403, "Without API keys only requests to localhost are served: `forbidden_host`"),
];
const SERVICE: &[(u16, &str)] = &[
    (500, "Internal error: `internal`"),
    (
        503,
        "Redis does not answer or refuses, or the server is shutting down: `unavailable`; the memory or the disk of Redis is full: `storage_full`; nothing was \
         changed, and the detail has the reason. `outcome_unknown`: Redis did not answer in time, so the request may have been carried out, or may yet be. All \
         with Retry-After",
    ),
];
const STUDY: &[(u16, &str)] = &[
    (404, "There is no such study, trial or model: `study_not_found`, `trial_not_found`, `model_not_found`"),
    (409, "The state of the study or trial does not allow it: `conflict`"),
];
const BODY: &[(u16, &str)] = &[
    (408, "The body did not arrive within a minute: `request_timeout`"),
    (413, "The body is larger than 1 MiB: `body_too_large`"),
    (415, "The body is not application/json, or has a content-encoding: `unsupported_media_type`"),
    (
        422,
        "The body is wrong, each mistake with its JSON pointer: `invalid_study`, `not_supported`, `invalid_request`, `idempotency_mismatch`",
    ),
];

fn problems(rows: &[&[(u16, &str)]]) -> BTreeMap<String, RefOr<Response>> {
    let content =
        || ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemDetails::name()))).build();
    let response = |description: &str| {
        ResponseBuilder::new().description(description).content("application/problem+json", content()).build()
    };
    rows.iter()
        .flat_map(|rows| rows.iter())
        .map(|(status, description)| (status.to_string(), response(description).into()))
        .collect()
}

impl IntoResponses for ParameterErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[PARAMETER])
    }
}

impl IntoResponses for ProbeErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[PARAMETER, SERVICE])
    }
}

impl IntoResponses for AnyErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[PARAMETER, KEY, SERVICE])
    }
}

impl IntoResponses for StudyErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[PARAMETER, KEY, SERVICE, STUDY])
    }
}

impl IntoResponses for BodyErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[PARAMETER, KEY, SERVICE, BODY])
    }
}

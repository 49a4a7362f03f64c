//! Queries and pages.

use actix_web::HttpRequest;
use serde::Deserialize;
use utoipa::IntoParams;

/// The query of `POST /v1/studies`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DryRunQuery {
    /// Only check the study: 200 with its pre-flight, and nothing is created.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// The query of `GET /v1/studies`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StudiesQuery {
    /// Where the page starts: `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// Studies on the page: 100 by default, 1,000 at most.
    pub(crate) limit: Option<usize>,
    /// Only studies in this state: running, paused, completed, cancelled or failed.
    pub(crate) state: Option<String>,
    /// Only studies whose name contains this.
    pub(crate) name: Option<String>,
}

/// The query of `GET /v1/studies/{id}/trials`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TrialsQuery {
    /// Where the page starts: `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// Trials on the page: 100 by default, 1,000 at most.
    pub(crate) limit: Option<usize>,
    /// Only trials in this state: queued, delayed, running, paused, completed, pruned, failed or cancelled.
    pub(crate) state: Option<String>,
    /// `number` (the default), or `value`: completed trials, best first, then the others by number.
    pub(crate) sort: Option<String>,
}

/// The query of `GET /v1/studies/{id}/best`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CountQuery {
    /// How many of the best trials: 1 by default, 1,000 at most.
    pub(crate) count: Option<usize>,
}

/// The query of a model.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ModelQuery {
    /// `safetensors` (the default), `onnx` or `keras`.
    pub(crate) format: Option<String>,
}

/// The value of the `Link` header that leads to the next page of this request.
pub(crate) fn next_link(request: &HttpRequest, cursor: &str) -> String {
    let others = request.query_string().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let query: Vec<&str> = others.collect();
    let cursor = format!("cursor={cursor}");
    let query = query.into_iter().chain([cursor.as_str()]).collect::<Vec<_>>().join("&");
    format!("<{}?{query}>; rel=\"next\"", request.path())
}

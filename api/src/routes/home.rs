//! `/`: where everything is, for a person or a program that has only the address.

use actix_web::http::header::{Accept, CONTENT_SECURITY_POLICY, Header, VARY};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;

use super::ParameterErrors;
use crate::app::App;
use crate::error::ProblemDetails;

/// Where everything is: paths of this API.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Home {
    /// `chandler`.
    name: &'static str,
    /// The version of the API.
    version: &'static str,
    /// Documentation of every route, to read and to try.
    docs: &'static str,
    /// The contract, as an OpenAPI document.
    openapi: &'static str,
    /// The studies.
    studies: &'static str,
    /// The datasets.
    datasets: &'static str,
    /// The connected trainers.
    trainers: &'static str,
    /// Whether the service can take requests.
    ready: &'static str,
    /// Metrics for Prometheus.
    metrics: &'static str,
    /// Whether requests need an API key.
    needs_api_key: bool,
}

/// Show where everything is
///
/// A page for browsers, which accept text/html, and otherwise the paths in JSON. Needs no API key
/// and tells nothing about studies.
#[utoipa::path(
    tag = "service",
    security(()),
    responses(
        (status = 200, description = "Where everything is", content((Home = "application/json"), (String = "text/html"))),
        ParameterErrors,
        (status = 403, description = "Without API keys only requests to localhost are served: `forbidden_host`", body = ProblemDetails, content_type = "application/problem+json")
    )
)]
#[get("/")]
pub(crate) async fn home(app: Data<App>, request: HttpRequest) -> HttpResponse {
    let needs_api_key = app.keys.is_some();
    let mut response = HttpResponse::Ok();
    response.insert_header((VARY, "Accept"));
    if !prefers_html(&request) {
        return response.json(Home {
            name: "chandler",
            version: env!("CARGO_PKG_VERSION"),
            docs: "/docs/",
            openapi: "/openapi.json",
            studies: "/v1/studies",
            datasets: "/v1/datasets",
            trainers: "/v1/trainers",
            ready: "/readyz",
            metrics: "/metrics",
            needs_api_key,
        });
    }
    // The page has no script, no style and nothing from elsewhere.
    let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    response
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .body(PAGE.replace("KEY_NOTE", if needs_api_key { KEY_NOTE } else { "" }))
}

/// Whether a request would rather have HTML than JSON. What cannot be read wants nothing special.
fn prefers_html(request: &HttpRequest) -> bool {
    let ranked = Accept::parse(request).map(|accept| accept.ranked()).unwrap_or_default();
    let known = ranked.iter().map(|media| media.essence_str());
    known.into_iter().find(|media| ["text/html", "application/json"].contains(media)) == Some("text/html")
}

const KEY_NOTE: &str = "
<p>This service asks for an API key: every request but this page, /livez and /readyz carries the header
<code>Authorization: Bearer KEY</code>. The commands take the key from <code>--api-key-file</code> or
<code>CHANDLER_API_KEY</code>.</p>";

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Chandler</title>
</head>
<body>
<h1>Chandler</h1>
<p>Hyperparameter tuning as a service. You describe a neural network, what to vary in it and your data in one
JSON document, a study; Chandler trains the variants and hands you the best model.</p>KEY_NOTE
<h2>Start</h2>
<pre>chandler submit openapi/examples/digits-random.json
chandler status
chandler best ID --output best.onnx</pre>
<p>From another machine, or on another port, add <code>--server</code> with the address of this page.</p>
<h2>Where everything is</h2>
<ul>
<li><a href="/docs/">/docs/</a>: every route, to read and to try</li>
<li><a href="/openapi.json">/openapi.json</a>: the contract</li>
<li><a href="/v1/studies">/v1/studies</a>: the studies</li>
<li><a href="/v1/datasets">/v1/datasets</a>: the datasets that studies can use</li>
<li><a href="/v1/trainers">/v1/trainers</a>: the connected trainers</li>
<li><a href="/readyz">/readyz</a>: whether the service can take requests</li>
<li><a href="/metrics">/metrics</a>: metrics for Prometheus</li>
</ul>
</body>
</html>
"#;

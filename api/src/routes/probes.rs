//! Probes and metrics.

use actix_web::web::Data;
use actix_web::{HttpResponse, get};

use super::{AnyErrors, ParameterErrors, ProbeErrors};
use crate::app::App;
use crate::error::Error;

/// Whether the process is alive
///
/// Needs no API key.
#[utoipa::path(tag = "service", security(()), responses((status = 200, description = "The process is alive", body = String, content_type = "text/plain"), ParameterErrors))]
#[get("/livez")]
pub(crate) async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

/// Whether the service can take requests
///
/// Redis answers within two seconds and accepts changes, and the server is not shutting down.
/// Otherwise the detail has the reason: the memory or disk of Redis is full, it is a replica, the
/// password is wrong. Studies may still be readable then, and if the memory is full, they can be
/// deleted. Needs no API key.
#[utoipa::path(tag = "service", security(()), responses((status = 200, description = "The service can take requests", body = String, content_type = "text/plain"), ProbeErrors))]
#[get("/readyz")]
pub(crate) async fn readyz(app: Data<App>) -> Result<HttpResponse, Error> {
    app.accepts_changes()?;
    app.store.ready().await?;
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n"))
}

/// Metrics for Prometheus
///
/// Metrics of the whole service and of this process. If Redis does not answer within two seconds,
/// `chandler_redis_up` is 0.
#[utoipa::path(tag = "service", responses((status = 200, description = "In Prometheus's text format", body = String, content_type = "text/plain"), AnyErrors))]
#[get("/metrics")]
pub(crate) async fn metrics(app: Data<App>) -> Result<HttpResponse, Error> {
    let service = app.store.collect().await;
    if let Err(error) = &service {
        tracing::warn!("The service's metrics could not be gathered: {error}");
    }
    let text =
        app.metrics.render(service.ok().as_ref()).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}

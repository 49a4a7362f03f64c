//! Every route on one screen.

use actix_web::web::{Data, PathConfig};
use actix_web::{HttpRequest, HttpResponse};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::contract::{self, Known};
use crate::error::Error;
use crate::routes::{datasets, home, models, probes, studies, trainers, trials};

/// The service's routes; what is served is documented.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(home::home)
        .service(studies::create_study)
        .service(studies::list_studies)
        .service(studies::get_study)
        .service(studies::patch_study)
        .service(studies::cancel_study)
        .service(studies::delete_study)
        .service(trials::list_trials)
        .service(trials::get_trial)
        .service(trials::get_curve)
        .service(trials::cancel_trial)
        .service(models::get_model)
        .service(trials::best_trials)
        .service(models::best_model)
        .service(datasets::list_datasets)
        .service(trainers::list_trainers)
        .service(probes::livez)
        .service(probes::readyz)
        .service(probes::metrics)
        .service(contract::openapi_json)
        .app_data(PathConfig::default().error_handler(|_, _| Error::NotFound.into()));
}

/// What no route takes: 405 if the path is known, otherwise 404.
pub(crate) async fn no_route(request: HttpRequest, known: Data<Known>) -> Result<HttpResponse, Error> {
    Err(match known.methods(request.path()) {
        Some(methods) => Error::MethodNotAllowed(methods),
        None => Error::NotFound,
    })
}

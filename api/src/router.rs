//! Every route on one screen.

use actix_web::dev::ResourceDef;
use actix_web::web::{Data, PathConfig, QueryConfig};
use actix_web::{HttpRequest, HttpResponse, get};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::PathItem;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{Error, ProblemDetails};
use crate::routes::{AnyErrors, datasets, models, probes, studies, trainers, trials};

/// The service's routes; what is served is documented.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
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
        .service(openapi_json)
        .app_data(QueryConfig::default().error_handler(|error, _| Error::InvalidParameter(error.to_string()).into()))
        .app_data(PathConfig::default().error_handler(|_, _| Error::NotFound.into()));
}

/// What the document says besides its paths.
#[derive(OpenApi)]
#[openapi(
    info(title = "Chandler", description = "Hyperparameter tuning as a service: studies, trials, results.", license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    components(schemas(ProblemDetails)),
    tags(
        (name = "studies", description = "What to search, what to train, on what data, and how to judge it"),
        (name = "trials", description = "One point of the space, trained"),
        (name = "datasets", description = "What there is to train on"),
        (name = "trainers", description = "Who trains"),
        (name = "service", description = "What machines ask")
    )
)]
pub(crate) struct Info;

/// The contract, as `/openapi.json` serves it.
pub fn document() -> Document {
    use utoipa_actix_web::AppExt;
    actix_web::App::new().into_utoipa_app().openapi(Info::openapi()).configure(routes).split_for_parts().1
}

/// This API's contract
///
/// OpenAPI 3.1.
#[utoipa::path(tag = "service", responses((status = 200, description = "The document", body = serde_json::Value), AnyErrors))]
#[get("/openapi.json")]
pub(crate) async fn openapi_json(document: Data<Document>) -> HttpResponse {
    HttpResponse::Ok().json(document.get_ref())
}

/// The paths of the contract and the methods that each takes.
pub(crate) struct Known(Vec<(ResourceDef, String)>);

impl Known {
    pub(crate) fn of(document: &Document) -> Known {
        Known(document.paths.paths.iter().map(|(path, item)| (ResourceDef::new(path.as_str()), methods(item))).collect())
    }
}

fn methods(item: &PathItem) -> String {
    let methods = [("GET", &item.get), ("POST", &item.post), ("PATCH", &item.patch), ("DELETE", &item.delete), ("PUT", &item.put)];
    let taken: Vec<&str> = methods.iter().filter(|(_, operation)| operation.is_some()).map(|(name, _)| *name).collect();
    taken.join(", ")
}

/// Whatever no route takes: 405 where the path is known, else 404.
pub(crate) async fn no_route(request: HttpRequest, known: Data<Known>) -> Result<HttpResponse, Error> {
    match known.0.iter().find(|(path, _)| path.is_match(request.path())) {
        Some((_, methods)) => Err(Error::MethodNotAllowed(methods.clone())),
        None => Err(Error::NotFound),
    }
}

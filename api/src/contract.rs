//! The contract: the OpenAPI document, which is generated from the routes, and what a running server
//! asks it.

use actix_web::dev::ResourceDef;
use actix_web::http::Method;
use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use hpo::trial::Sort;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ObjectBuilder, RefOr, Type};
use utoipa::{Modify, OpenApi};

use crate::error::ProblemDetails;
use crate::limits;
use crate::model_file::Format;
use crate::router;
use crate::routes::AnyErrors;

/// The parts of the document beside its paths.
#[derive(OpenApi)]
#[openapi(
    info(title = "Chandler", description = "Hyperparameter tuning as a service: studies, trials, results.", license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    components(schemas(ProblemDetails, Sort, Format)),
    modifiers(&Keys),
    security(("api_key" = [])),
    tags(
        (name = "studies", description = "What to search, what to train, on which data, and how to judge it"),
        (name = "trials", description = "One point of the search space, and its training"),
        (name = "datasets", description = "Datasets that studies can use"),
        (name = "trainers", description = "Connected trainers"),
        (name = "service", description = "Probes, metrics and the contract")
    )
)]
pub(crate) struct Info;

/// The API key that a request carries.
struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut Document) {
        let description = "A key from the file that the server was started with. A server without keys serves localhost only and needs none.";
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("api_key", SecurityScheme::Http(bearer));
    }
}

/// The contract, as `/openapi.json` serves it.
pub fn document() -> Document {
    use utoipa_actix_web::AppExt;
    let mut document = actix_web::App::new()
        .into_utoipa_app()
        .openapi(Info::openapi())
        .configure(router::routes)
        .split_for_parts()
        .1;
    let operations = document
        .paths
        .paths
        .values_mut()
        .flat_map(|item| [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete]);
    for parameter in operations.flatten().filter_map(|operation| operation.parameters.as_mut()).flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.parameter_in == ParameterIn::Path
        {
            describe(parameter);
        }
    }
    document
}

/// Describes a parameter of a path, which means the same in all paths.
fn describe(parameter: &mut Parameter) {
    let (what, schema) = match parameter.name.as_str() {
        "id" => (
            "The id of the study: the ULID in the answer to its creation, in upper case.",
            ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-7][0-9A-HJKMNP-TV-Z]{25}$")),
        ),
        "number" => (
            "The number of the trial, from 0, without leading zeros.",
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(0))
                .maximum(Some(limits::TRIALS_MAX - 1)),
        ),
        _ => return,
    };
    (parameter.description, parameter.schema) = (Some(what.to_owned()), Some(schema.into()));
}

/// Get the OpenAPI document
///
/// OpenAPI 3.1.
#[utoipa::path(tag = "service", responses((status = 200, description = "The document", body = serde_json::Value), AnyErrors))]
#[get("/openapi.json")]
pub(crate) async fn openapi_json(document: Data<Document>) -> HttpResponse {
    HttpResponse::Ok().json(document.get_ref())
}

/// The paths of the contract, with their operations.
pub(crate) struct Known(Vec<(ResourceDef, PathItem)>);

impl Known {
    pub(crate) fn of(document: &Document) -> Known {
        Known(
            document
                .paths
                .paths
                .iter()
                .map(|(path, item)| (ResourceDef::new(path.as_str()), item.clone()))
                .collect(),
        )
    }

    fn path(&self, path: &str) -> Option<&PathItem> {
        self.0.iter().find(|(known, _)| known.is_match(path)).map(|(_, item)| item)
    }

    /// Whether an operation takes no query.
    pub(crate) fn takes_no_query(&self, path: &str, method: &Method) -> bool {
        let operation = self
            .path(path)
            .and_then(|item| operations(item).into_iter().find(|(name, _)| *name == method.as_str()));
        let in_query = |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(parameter) if matches!(parameter.parameter_in, ParameterIn::Query));
        operation.is_some_and(|(_, operation)| !operation.parameters.iter().flatten().any(in_query))
    }

    /// The methods that a path takes, for the header `Allow`; none if there is no such path.
    pub(crate) fn methods(&self, path: &str) -> Option<String> {
        let operations = operations(self.path(path)?);
        let methods = operations.iter().map(|(name, _)| if *name == "GET" { "GET, HEAD" } else { name });
        Some(methods.collect::<Vec<_>>().join(", "))
    }
}

fn operations(item: &PathItem) -> Vec<(&'static str, &Operation)> {
    let all = [
        ("GET", &item.get),
        ("POST", &item.post),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
        ("PUT", &item.put),
    ];
    all.into_iter().filter_map(|(name, operation)| Some((name, operation.as_ref()?))).collect()
}

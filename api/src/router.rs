//! Every route on one screen.

use crate::limits;
use actix_web::body::MessageBody;
use actix_web::dev::{ResourceDef, ServiceRequest, ServiceResponse};
use actix_web::http::header::{ACCEPT_ENCODING, AcceptEncoding, CONTENT_TYPE, Encoding};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{Data, PathConfig};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, get};
use hpo::trial::Sort;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ObjectBuilder, RefOr, Type};
use utoipa::{Modify, OpenApi};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{Error, ProblemDetails};
use crate::routes::{AnyErrors, datasets, models, probes, studies, trainers, trials};
use crate::wire::Format;

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
        .app_data(PathConfig::default().error_handler(|_, _| Error::NotFound.into()));
}

/// What the document says besides its paths.
#[derive(OpenApi)]
#[openapi(
    info(title = "Chandler", description = "Hyperparameter tuning as a service: studies, trials, results.", license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    components(schemas(ProblemDetails, Sort, Format)),
    modifiers(&Keys),
    security(("api_key" = [])),
    tags(
        (name = "studies", description = "What to search, what to train, on what data, and how to judge it"),
        (name = "trials", description = "One point of the space, trained"),
        (name = "datasets", description = "What there is to train on"),
        (name = "trainers", description = "Who trains"),
        (name = "service", description = "What machines ask")
    )
)]
pub(crate) struct Info;

/// How a client says who it is.
struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut Document) {
        let description = "One of the keys in the file that the server was started with. A server without keys serves localhost only and needs none.";
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
        .configure(routes)
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

/// A parameter of a path means the same in all of them.
fn describe(parameter: &mut Parameter) {
    let (what, schema) = match parameter.name.as_str() {
        "id" => (
            "The study: the ULID that its creation answered, in upper case.",
            ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-7][0-9A-HJKMNP-TV-Z]{25}$")),
        ),
        "number" => (
            "The trial: its number, from 0, without leading zeros.",
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(0))
                .maximum(Some(limits::TRIALS_MAX - 1)),
        ),
        _ => return,
    };
    (parameter.description, parameter.schema) = (Some(what.to_owned()), Some(schema.into()));
}

/// This API's contract
///
/// OpenAPI 3.1.
#[utoipa::path(tag = "service", responses((status = 200, description = "The document", body = serde_json::Value), AnyErrors))]
#[get("/openapi.json")]
pub(crate) async fn openapi_json(document: Data<Document>) -> HttpResponse {
    HttpResponse::Ok().json(document.get_ref())
}

/// The paths of the contract and what each takes.
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
    fn takes_no_query(&self, path: &str, method: &Method) -> bool {
        let operation = self
            .path(path)
            .and_then(|item| operations(item).into_iter().find(|(name, _)| *name == method.as_str()));
        let in_query = |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(parameter) if matches!(parameter.parameter_in, ParameterIn::Query));
        operation.is_some_and(|(_, operation)| !operation.parameters.iter().flatten().any(in_query))
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

/// Headers that ask for a change under a condition, of a part only, or by another method. Nothing
/// here does so, and a change all the same is what the client meant to prevent. Other headers that
/// nobody acts on may be ignored (RFC 9110): the answer is whole and right without them.
const NOT_SUPPORTED: [&str; 7] = [
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "content-range",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

/// Keeps what the routes do not. HEAD is GET, of whose answer the connection leaves out the body. A
/// query where none is taken, or a header that would make a change another one, is a mistake, for
/// it would be ignored. A client that accepts no encoding that there is gets none. What the pages
/// below `/docs` lack is the same problem as elsewhere.
pub(crate) async fn keep_contract(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    let known = request.app_data::<Data<Known>>().expect("the server registers what is known");
    if !request.query_string().is_empty() && known.takes_no_query(request.path(), request.method()) {
        return Err(Error::InvalidParameter("this takes no parameters in its query".to_owned()).into());
    }
    if request.method() != Method::GET
        && let Some(header) = NOT_SUPPORTED.iter().find(|header| request.headers().contains_key(**header))
    {
        return Err(Error::InvalidParameter(format!(
            "the header {header} is not supported here; send the request without it"
        ))
        .into());
    }
    // An answer as it is helps more than a 406; RFC 9110, 12.5.3, allows either.
    let encodings = [Encoding::identity(), Encoding::gzip(), Encoding::deflate()];
    if request
        .get_header::<AcceptEncoding>()
        .is_some_and(|accepted| accepted.negotiate(encodings.iter()).is_none())
    {
        request.headers_mut().remove(ACCEPT_ENCODING);
    }
    let response = next.call(request).await?;
    let is_problem = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|media_type| media_type == "application/problem+json");
    if response.status() == StatusCode::NOT_FOUND && !is_problem {
        return Err(Error::NotFound.into());
    }
    Ok(response)
}

/// Whatever no route takes: 405 where the path is known, else 404.
pub(crate) async fn no_route(request: HttpRequest, known: Data<Known>) -> Result<HttpResponse, Error> {
    let Some(item) = known.path(request.path()) else { return Err(Error::NotFound) };
    let methods: Vec<&str> =
        operations(item).iter().map(|(name, _)| if *name == "GET" { "GET, HEAD" } else { name }).collect();
    Err(Error::MethodNotAllowed(methods.join(", ")))
}

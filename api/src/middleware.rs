//! What surrounds every request: it is counted, it needs a key or loopback, and it is held to the
//! contract.

use std::time::Instant;

use actix_web::HttpMessage;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{ACCEPT_ENCODING, AUTHORIZATION, AcceptEncoding, CONTENT_TYPE, Encoding, HOST};
use actix_web::http::uri::Authority;
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;

use crate::app::App;
use crate::auth;
use crate::contract::Known;
use crate::error::Error;

/// Counts a request and times it, under its route's pattern: no id becomes a label.
pub(crate) async fn measure(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let app = request.app_data::<Data<App>>().expect("the server registers its App").clone();
    let method = match request.method().as_str() {
        method @ ("GET" | "POST" | "PATCH" | "DELETE" | "HEAD" | "PUT" | "OPTIONS") => method.to_owned(),
        _ => "other".to_owned(),
    };
    let started = Instant::now();
    let response = next.call(request).await;
    let (route, status) = match &response {
        Ok(response) => (response.request().match_pattern(), response.status()),
        Err(error) => (None, error.as_response_error().status_code()),
    };
    let route = route.filter(|route| !route.is_empty()).unwrap_or_else(|| "none".to_owned());
    app.metrics.observe_request(&method, &route, status.as_str(), started.elapsed());
    response
}

/// Lets a request pass if it has a key, or if there are no keys and it was addressed to loopback.
/// Probes always pass, and the front page needs no key.
pub(crate) async fn authorize(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let app = request.app_data::<Data<App>>().expect("the server registers its App");
    if !matches!(request.path(), "/livez" | "/readyz") {
        match &app.keys {
            Some(_) if request.path() == "/" => {}
            Some(keys) => {
                let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
                let key = header
                    .and_then(|value| value.split_once(' '))
                    .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
                if !key.is_some_and(|(_, key)| keys.accept(key.trim())) {
                    return Err(Error::Unauthorized.into());
                }
            }
            // A web page could have a browser send requests here under another name (DNS
            // rebinding).
            None if !is_for_loopback(&request) => return Err(Error::ForbiddenHost.into()),
            None => {}
        }
    }
    next.call(request).await
}

/// Whether a request was addressed to loopback.
fn is_for_loopback(request: &ServiceRequest) -> bool {
    let header = request.headers().get(HOST).map(|host| host.as_bytes());
    let authority = match header {
        Some(host) => Authority::try_from(host).ok(),
        None => request.uri().authority().cloned(),
    };
    authority
        .is_some_and(|authority| !authority.as_str().contains('@') && auth::is_loopback(authority.host()))
}

/// Headers that make a change depend on a condition, or that mean a part or another method. They are
/// not supported, and to change something in spite of them is what the client wanted to prevent.
/// Other headers may be ignored (RFC 9110): the answer is whole and right without them.
const NOT_SUPPORTED: [&str; 7] = [
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "content-range",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

/// Holds a request to the contract where its route does not. HEAD is GET, whose body the connection
/// leaves out. A query for a route without parameters is refused, and so is a header of
/// [`NOT_SUPPORTED`], for both would be ignored. A client that accepts no known encoding is answered
/// without one. A page missing below `/docs` is the same problem as any missing path.
pub(crate) async fn keep_contract(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    let known = request.app_data::<Data<Known>>().expect("the server registers what is known");
    if !request.query_string().is_empty() && known.takes_no_query(request.path(), request.method()) {
        return Err(Error::InvalidParameter("this route takes no query parameters".to_owned()).into());
    }
    if request.method() != Method::GET
        && let Some(header) = NOT_SUPPORTED.iter().find(|header| request.headers().contains_key(**header))
    {
        return Err(Error::InvalidParameter(format!(
            "the header {header} is not supported here; send the request without it"
        ))
        .into());
    }
    // An answer without encoding helps more than a 406; RFC 9110, 12.5.3, allows both.
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

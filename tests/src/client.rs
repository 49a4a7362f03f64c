//! An HTTP client that holds every answer against `openapi/openapi.json`.

use std::sync::OnceLock;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value as Json, json};

/// A client of one service.
#[derive(Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
    key: Option<String>,
}

/// What a service answered.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub bytes: Vec<u8>,
}

impl Client {
    /// A client of the service at `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: String) -> Client {
        Client { base, http: reqwest::Client::new(), key: None }
    }

    /// Where the service is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The same client with an API key.
    pub fn with_key(&self, key: &str) -> Client {
        Client { key: Some(key.to_owned()), ..self.clone() }
    }

    /// GETs `path`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, |request| request).await
    }

    /// POSTs `body` as JSON.
    pub async fn post(&self, path: &str, body: &Json) -> Answer {
        self.send(Method::POST, path, |request| request.json(body)).await
    }

    /// Sends any request; the answer is held against the contract.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Answer {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let response =
            with(request).send().await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes =
            response.bytes().await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}")).to_vec();
        let answer = Answer { status, headers, bytes };
        hold_against_contract(&method, path, &answer);
        answer
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// This answer, if it has the status; else a panic with the body.
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The committed contract.
pub fn contract() -> &'static Json {
    static CONTRACT: OnceLock<Json> = OnceLock::new();
    CONTRACT.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/openapi.json");
        serde_json::from_str(&std::fs::read_to_string(path).expect("openapi.json is there"))
            .expect("openapi.json is JSON")
    })
}

/// Panics if the contract does not allow this answer. Paths and methods that it does not know must
/// be answered 404 or 405.
fn hold_against_contract(method: &Method, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap_or_default();
    // HEAD is what GET is, without the body.
    let bodiless = method == Method::HEAD;
    let method = if bodiless { &Method::GET } else { method };
    if answer.status >= 400 {
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{method} {path}: {}",
            answer.text()
        );
    }
    if answer.status >= 400 && !bodiless {
        assert_valid(
            "ProblemDetails",
            &json!({"$ref": "#/components/schemas/ProblemDetails"}),
            &answer.json(),
        );
    }
    let Some(operation) = operation(method, path) else {
        assert!(
            matches!(answer.status, 401 | 403 | 404 | 405 | 302 | 307) || path.starts_with("/docs"),
            "{method} {path} is not in the contract and was answered {}",
            answer.status
        );
        return;
    };
    let response = &operation["responses"][answer.status.to_string()];
    assert!(
        response.is_object(),
        "{method} {path}: the contract has no {}: {}",
        answer.status,
        answer.text()
    );
    let media_type = answer.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    let content = &response["content"];
    if content.is_object() {
        let documented = &content[media_type];
        assert!(documented.is_object(), "{method} {path}: {media_type} is not in the contract: {content}");
        let is_plain = answer.header("content-encoding").is_none();
        if media_type.ends_with("json") && answer.status < 400 && !bodiless && is_plain {
            assert_valid(&format!("{method} {path}"), &documented["schema"], &answer.json());
        }
    }
}

/// The operation of the contract that a request meets; literal parts go before parameters.
fn operation(method: &Method, path: &str) -> Option<&'static Json> {
    let fits = |template: &str| {
        let (parts, pattern): (Vec<&str>, Vec<&str>) =
            (path.split('/').collect(), template.split('/').collect());
        parts.len() == pattern.len()
            && parts.iter().zip(&pattern).all(|(part, pattern)| pattern.starts_with('{') || part == pattern)
    };
    let paths = contract()["paths"].as_object().expect("paths");
    let mut candidates: Vec<_> = paths.iter().filter(|(template, _)| fits(template)).collect();
    candidates.sort_by_key(|(template, _)| template.matches('{').count());
    candidates.first().and_then(|(_, item)| item.get(method.as_str().to_lowercase()))
}

fn assert_valid(what: &str, schema: &Json, body: &Json) {
    let mut schema = schema.clone();
    schema["components"] = contract()["components"].clone();
    let validator = jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{what}: {error}"));
    let errors: Vec<String> =
        validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what} breaks the contract: {errors:#?}\n{body:#}");
}

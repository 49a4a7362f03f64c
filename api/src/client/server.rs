//! Requests to a service: bounded in time and size, and never sent on to another place.

use std::io::{ErrorKind, Read};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use serde::de::DeserializeOwned;
use ureq::config::Config;
use ureq::http::{Request, Response, Uri};
use ureq::{Agent, Body, Timeout};

use super::failure::{Failure, Refusal};
use crate::auth;
use crate::config::Remote;
use crate::limits;

/// The URL of an API, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    text: String,
    is_loopback: bool,
}

impl ServerUrl {
    /// Where `chandler serve` listens unless it is told otherwise.
    pub const DEFAULT: &str = "http://127.0.0.1:8080";

    /// The URL as text.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<ServerUrl, String> {
        let url = text.parse::<Uri>().ok().filter(|url| url.query().is_none() && !text.contains(['@', '#']));
        let url = url.filter(|url| matches!(url.scheme_str(), Some("http" | "https")));
        let host = url.as_ref().and_then(|url| url.host()).filter(|host| !host.is_empty());
        let host =
            host.ok_or("it must be like http://HOST:PORT, with http:// or https:// and no password")?;
        Ok(ServerUrl { text: text.trim_end_matches('/').to_owned(), is_loopback: auth::is_loopback(host) })
    }
}

/// A service, as the flags describe it.
pub(super) struct Server {
    agent: Agent,
    url: ServerUrl,
    key: Option<String>,
}

/// A successful answer.
pub(super) struct Answer<T> {
    /// What it says.
    pub(super) view: T,
    /// How it says so: JSON.
    pub(super) body: Vec<u8>,
}

impl Server {
    /// Reads the API key that the flags or the environment name, if there is one.
    pub(super) fn new(remote: &Remote) -> Result<Server, Failure> {
        let key = match &remote.api_key_file {
            Some(file) => Some(auth::read_keys(file)?.swap_remove(0)),
            None => std::env::var("CHANDLER_API_KEY").ok().filter(|key| !key.is_empty()),
        };
        if let Some(key) = key.as_ref().filter(|_| remote.api_key_file.is_none()) {
            auth::check(key).map_err(|what| anyhow::anyhow!("CHANDLER_API_KEY: {what}"))?;
        }
        Ok(Server {
            agent: Agent::new_with_config(settings(&remote.server)),
            url: remote.server.clone(),
            key,
        })
    }

    /// What a GET of `path` answers.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Failure> {
        let request =
            Request::get(format!("{}{path}", self.url.text)).body(()).context("cannot make the request")?;
        self.read(self.send(request)?)
    }

    /// What a POST of JSON to `path` answers. It may be repeated under the same key.
    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &[u8],
        idempotency_key: &str,
    ) -> Result<Answer<T>, Failure> {
        let request = Request::post(format!("{}{path}", self.url.text))
            .header("content-type", "application/json")
            .header("idempotency-key", idempotency_key)
            .body(body)
            .context("cannot make the request")?;
        self.read(self.send(request)?)
    }

    /// Copies the body that a GET of `path` answers.
    pub(super) fn download(&self, path: &str, into: &mut impl std::io::Write) -> Result<(), Failure> {
        let request =
            Request::get(format!("{}{path}", self.url.text)).body(()).context("cannot make the request")?;
        let mut response = self.send(request)?;
        let mut body = response.body_mut().with_config().limit(limits::CLIENT_MODEL_BYTES_MAX).reader();
        let mut piece = [0; 64 << 10];
        loop {
            let read = body.read(&mut piece).map_err(|error| self.unanswered(ureq::Error::Io(error)))?;
            if read == 0 {
                return Ok(());
            }
            into.write_all(&piece[..read]).context("cannot write what came")?;
        }
    }

    /// The response to a request, if it is a success.
    fn send(&self, mut request: Request<impl ureq::AsSendBody>) -> Result<Response<Body>, Failure> {
        if let Some(key) = &self.key {
            let bearer = format!("Bearer {key}").parse().context("the API key cannot be sent")?;
            request.headers_mut().insert("authorization", bearer);
        }
        let mut response = self.agent.run(request).map_err(|error| self.unanswered(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let status = response.status();
        let body = self.body(&mut response)?;
        match serde_json::from_slice(&body) {
            Ok(problem) => Err(Failure::Refused(Box::new(Refusal { problem, body, retry_after }))),
            Err(_) => Err(self.strange(format!("{status}"))),
        }
    }

    fn read<T: DeserializeOwned>(&self, mut response: Response<Body>) -> Result<Answer<T>, Failure> {
        let body = self.body(&mut response)?;
        match serde_json::from_slice(&body) {
            Ok(view) => Ok(Answer { view, body }),
            Err(error) => Err(self.strange(format!("what cannot be read ({error})"))),
        }
    }

    fn body(&self, response: &mut Response<Body>) -> Result<Vec<u8>, Failure> {
        let body = response.body_mut().with_config().limit(limits::CLIENT_ANSWER_BYTES_MAX);
        body.read_to_vec().map_err(|error| self.unanswered(error))
    }

    fn strange(&self, what: String) -> Failure {
        Failure::Strange { server: self.url.text.clone(), what }
    }

    /// Why there is no whole answer, and whether the request may have arrived.
    fn unanswered(&self, error: ureq::Error) -> Failure {
        let (server, cause) = (self.url.text.clone(), cause(&error));
        let is_unsent = match &error {
            ureq::Error::Io(error) => NO_CONNECTION.contains(&error.kind()),
            ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Tls(_)
            | ureq::Error::Rustls(_)
            | ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => true,
            _ => false,
        };
        if is_unsent { Failure::Unreachable { server, cause } } else { Failure::Unanswered { server, cause } }
    }
}

/// Kinds of errors before there is a connection; a certificate that is not trusted is invalid data.
const NO_CONNECTION: [ErrorKind; 4] = [
    ErrorKind::ConnectionRefused,
    ErrorKind::HostUnreachable,
    ErrorKind::NetworkUnreachable,
    ErrorKind::InvalidData,
];

/// An error in words, without the part of the HTTP client that it comes from.
fn cause(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Rustls(error) => error.to_string(),
        ureq::Error::Timeout(what) => format!("no answer in time ({what})"),
        error => error.to_string(),
    }
}

fn settings(url: &ServerUrl) -> Config {
    let seconds = |seconds: u64| Some(Duration::from_secs(seconds));
    let mut settings = Agent::config_builder()
        .user_agent(concat!("chandler/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        // The key and the study are for the server that the user has named.
        .max_redirects(0)
        .timeout_resolve(seconds(limits::CLIENT_CONNECT_SECONDS_MAX))
        .timeout_connect(seconds(limits::CLIENT_CONNECT_SECONDS_MAX))
        .timeout_send_body(seconds(limits::HTTP_BODY_SECONDS_MAX))
        .timeout_recv_response(seconds(limits::CLIENT_ANSWER_SECONDS_MAX))
        .timeout_recv_body(seconds(limits::CLIENT_BODY_SECONDS_MAX));
    if url.is_loopback {
        // A proxy cannot reach the loopback of this machine.
        settings = settings.proxy(None);
    }
    settings.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_without_its_last_slash_or_refused() {
        for (text, taken) in [
            ("http://127.0.0.1:8080", Some(("http://127.0.0.1:8080", true))),
            ("http://localhost/", Some(("http://localhost", true))),
            ("http://[::1]:8080", Some(("http://[::1]:8080", true))),
            ("https://example.com/chandler/", Some(("https://example.com/chandler", false))),
            ("localhost:8080", None),
            ("ftp://example.com", None),
            ("http://", None),
            ("http://user:secret@example.com", None),
            ("http://example.com/?key=1", None),
            ("/v1", None),
        ] {
            let url = text.parse::<ServerUrl>().ok();
            assert_eq!(url.as_ref().map(|url| (url.as_str(), url.is_loopback)), taken, "{text}");
        }
    }
}

//! Who may call: bearer keys from a file; without keys, only requests addressed to loopback.

use std::net::IpAddr;
use std::path::Path;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HOST};
use actix_web::middleware::Next;
use actix_web::web::Data;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::error::Error;

/// The accepted API keys, hashed: comparing digests takes the same time whatever was sent.
pub struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// The keys in the file at `path`, one a line; blank lines and those that start with `#` are passed over.
    pub fn read(path: &Path) -> anyhow::Result<Keys> {
        let text =
            std::fs::read_to_string(path).map_err(|error| anyhow::anyhow!("cannot read the API keys in {}: {error}", path.display()))?;
        let keys: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        anyhow::ensure!(!keys.is_empty(), "{} holds no API key", path.display());
        anyhow::ensure!(
            keys.len() <= hpo::limits::API_KEYS_MAX,
            "{} holds more than {} API keys",
            path.display(),
            hpo::limits::API_KEYS_MAX
        );
        if let Some(short) = keys.iter().position(|key| key.len() < hpo::limits::API_KEY_BYTES_MIN) {
            anyhow::bail!("API key {} in {} has fewer than {} characters", short + 1, path.display(), hpo::limits::API_KEY_BYTES_MIN);
        }
        Ok(Keys(keys.iter().map(|key| digest(key)).collect()))
    }

    fn accept(&self, key: &str) -> bool {
        let given = digest(key);
        // Every key is looked at, so that the time tells nothing of which one was near.
        self.0.iter().fold(false, |accepted, known| accepted | bool::from(known.ct_eq(&given)))
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Lets a request pass if it has a key, or if there are no keys and it was addressed to loopback. Probes always pass.
pub(crate) async fn authorize(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let app = request.app_data::<Data<App>>().expect("the server registers its App");
    if !matches!(request.path(), "/livez" | "/readyz") {
        match &app.keys {
            Some(keys) => {
                let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
                let key = header.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
                if !key.is_some_and(|(_, key)| keys.accept(key.trim())) {
                    return Err(Error::Unauthorized.into());
                }
            }
            // A web page could make a browser send requests here under another name (DNS rebinding).
            None if !is_loopback(&request) => return Err(Error::ForbiddenHost.into()),
            None => {}
        }
    }
    next.call(request).await
}

fn is_loopback(request: &ServiceRequest) -> bool {
    let header = request.headers().get(HOST).and_then(|value| value.to_str().ok());
    let Some(authority) = header.or_else(|| request.uri().authority().map(|authority| authority.as_str())) else {
        return false;
    };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

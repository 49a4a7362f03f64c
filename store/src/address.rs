//! The address of Redis, read once from its URL and the certificate files. Every part of a URL is
//! either used or refused.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redis::{ConnectionAddr, IntoConnectionInfo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use url::Url;

use crate::error::{Error, Result};

/// Certificate files for a Redis that speaks TLS (`rediss://`). Without `ca`, the certificate
/// authorities of the web are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "flags", derive(clap::Args))]
pub struct TlsFiles {
    /// PEM file with the certificate authority of Redis, for rediss:// [default: those of the web]
    #[cfg_attr(feature = "flags", arg(long = "redis-ca", env = "CHANDLER_REDIS_CA", value_name = "FILE"))]
    pub ca: Option<PathBuf>,
    /// PEM file with the certificate to show to a Redis that asks for one; with --redis-key
    #[cfg_attr(
        feature = "flags",
        arg(long = "redis-cert", env = "CHANDLER_REDIS_CERT", value_name = "FILE")
    )]
    pub cert: Option<PathBuf>,
    /// PEM file with the private key of --redis-cert
    #[cfg_attr(feature = "flags", arg(long = "redis-key", env = "CHANDLER_REDIS_KEY", value_name = "FILE"))]
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    /// The environment twins of the flags, for a child that has a Redis of its own.
    pub const VARIABLES: [&'static str; 3] =
        ["CHANDLER_REDIS_CA", "CHANDLER_REDIS_CERT", "CHANDLER_REDIS_KEY"];

    /// The first flag that is given, with its value.
    fn first(&self) -> Option<&'static str> {
        [(&self.ca, "--redis-ca"), (&self.cert, "--redis-cert"), (&self.key, "--redis-key")]
            .into_iter()
            .find(|(file, _)| file.is_some())
            .map(|(_, flag)| flag)
    }

    /// Fails if a file is given although there is no TLS. `scheme` says what there is instead.
    pub fn expect_none(&self, scheme: &str) -> Result<()> {
        match self.first() {
            Some(flag) => {
                Err(misconfigured(format!("{flag} is for rediss:// URLs, and Redis is at {scheme}")))
            }
            None => Ok(()),
        }
    }
}

/// The address of a Redis and the credentials for it.
pub(crate) struct Address {
    pub(crate) endpoint: Endpoint,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: i64,
}

/// Where a Redis listens.
pub(crate) enum Endpoint {
    Tcp { host: String, port: u16 },
    Tls { host: String, port: u16, name: ServerName<'static>, tls: TlsConnector },
    Unix(PathBuf),
}

/// The schemes that are supported.
const SCHEMES: &[&str] = &["redis", "rediss", "unix", "redis+unix", "valkey", "valkeys", "valkey+unix"];

impl Address {
    /// Reads a URL and the certificate files. Errors do not repeat the URL, which may hold a
    /// password.
    pub(crate) fn of(url: &str, files: &TlsFiles) -> Result<Address> {
        let hint = "give redis://HOST:PORT, rediss://HOST:PORT or unix:///PATH";
        let mut parsed = Url::parse(url)
            .map_err(|error| misconfigured(format!("the URL of Redis cannot be read ({error}); {hint}")))?;
        let scheme = parsed.scheme().to_owned();
        if scheme.contains("sentinel") || scheme.contains("cluster") {
            return Err(misconfigured(format!(
                "{scheme}:// is not supported: Chandler works with neither Sentinel nor Cluster; give the URL of the primary, redis://HOST:PORT"
            )));
        }
        if !SCHEMES.contains(&scheme.as_str()) || parsed.cannot_be_a_base() {
            return Err(misconfigured(format!("the URL of Redis has no known scheme; {hint}")));
        }
        let is_socket = scheme.ends_with("unix");
        check_parts(&parsed, is_socket)?;
        // The crate is built without TLS and would refuse the scheme.
        let is_tls = ["rediss", "valkeys"].contains(&scheme.as_str());
        if is_tls {
            parsed
                .set_scheme("redis")
                .map_err(|()| misconfigured(format!("the URL of Redis has no known scheme; {hint}")))?;
        }
        let info = parsed.as_str().into_connection_info().map_err(|error| {
            // The crate's messages quote nothing of the URL.
            misconfigured(format!(
                "the URL of Redis cannot be used ({}); {hint}",
                error.detail().map_or_else(|| error.to_string(), str::to_owned)
            ))
        })?;
        let endpoint = match info.addr() {
            ConnectionAddr::Tcp(host, port) if is_tls => {
                let name = ServerName::try_from(host.clone()).map_err(|_| {
                    misconfigured(format!("{host} is not a name that a certificate can have"))
                })?;
                Endpoint::Tls { host: host.clone(), port: *port, name, tls: connector(files)? }
            }
            ConnectionAddr::Tcp(host, port) => Endpoint::Tcp { host: host.clone(), port: *port },
            ConnectionAddr::Unix(path) => Endpoint::Unix(path.clone()),
            _ => return Err(misconfigured(format!("the URL of Redis has no known scheme; {hint}"))),
        };
        if !matches!(endpoint, Endpoint::Tls { .. }) {
            files.expect_none(&format!("a {scheme}:// URL"))?;
        }
        let settings = info.redis_settings();
        let (user, password) =
            (settings.username().map(str::to_owned), settings.password().map(str::to_owned));
        if user.is_some() && password.is_none() {
            return Err(misconfigured("the URL of Redis has a user without a password"));
        }
        if settings.db() < 0 {
            return Err(misconfigured("the database in the URL of Redis is negative"));
        }
        Ok(Address { endpoint, user, password, database: settings.db() })
    }

    /// The address to show, without credentials.
    pub(crate) fn shown(&self) -> String {
        match &self.endpoint {
            Endpoint::Tcp { host, port } | Endpoint::Tls { host, port, .. } if host.contains(':') => {
                format!("[{host}]:{port}")
            }
            Endpoint::Tcp { host, port } | Endpoint::Tls { host, port, .. } => format!("{host}:{port}"),
            Endpoint::Unix(path) => path.display().to_string(),
        }
    }
}

/// Refuses the parts of a URL that would be ignored: unknown parameters, fragments, credentials in
/// the wrong place of a socket's URL.
fn check_parts(url: &Url, is_socket: bool) -> Result<()> {
    if let Some(fragment) = url.fragment() {
        return Err(misconfigured(match fragment {
            "insecure" => {
                "#insecure is not supported: give the certificate authority of Redis with --redis-ca"
            }
            _ => "the URL of Redis ends in a # part, which has no meaning; a # in a password is written %23",
        }));
    }
    let known: &[&str] = if is_socket { &["db", "user", "pass"] } else { &[] };
    let mut seen = HashMap::new();
    for (name, value) in url.query_pairs() {
        if !known.contains(&&*name) {
            let instead = if is_socket {
                "db, user and pass are known"
            } else {
                "the database is the path: redis://HOST:PORT/1"
            };
            return Err(misconfigured(format!(
                "the parameter {name} in the URL of Redis has no meaning; {instead}"
            )));
        }
        if seen.insert(name.clone(), value).is_some() {
            return Err(misconfigured(format!(
                "the parameter {name} is given more than once in the URL of Redis"
            )));
        }
    }
    if is_socket
        && (url.host_str().is_some_and(|host| !host.is_empty())
            || !url.username().is_empty()
            || url.password().is_some())
    {
        return Err(misconfigured(
            "the URL of a socket has three slashes, and its password is a parameter: unix:///run/redis.sock?pass=PASSWORD",
        ));
    }
    Ok(())
}

/// The TLS configuration of these files.
fn connector(files: &TlsFiles) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    match &files.ca {
        Some(file) => {
            for certificate in certificates("--redis-ca", file)? {
                roots.add(certificate).map_err(|error| {
                    misconfigured(format!(
                        "--redis-ca: a certificate in {} cannot be used: {error}",
                        file.display()
                    ))
                })?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    // The provider is named, so that it does not depend on the features of other crates.
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| misconfigured(error.to_string()))?
        .with_root_certificates(roots);
    let config = match (&files.cert, &files.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let private = PrivateKeyDer::from_pem_slice(&read("--redis-key", key)?).map_err(|_| {
                misconfigured(format!(
                    "--redis-key: {} holds no private key in PEM without a passphrase",
                    key.display()
                ))
            })?;
            builder.with_client_auth_cert(certificates("--redis-cert", cert)?, private).map_err(|error| {
                misconfigured(format!(
                    "--redis-cert and --redis-key do not belong together or cannot be used: {error}"
                ))
            })?
        }
        (Some(_), None) => return Err(misconfigured("--redis-cert needs --redis-key beside it")),
        (None, Some(_)) => return Err(misconfigured("--redis-key needs --redis-cert beside it")),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(flag: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read(flag, file)?;
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(misconfigured(format!(
            "{flag}: {} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)",
            file.display()
        ))),
        Err(error) => Err(misconfigured(format!("{flag}: {} is damaged: {error}", file.display()))),
    }
}

fn read(flag: &str, file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|error| misconfigured(format!("{flag}: cannot read {}: {error}", file.display())))
}

fn misconfigured(why: impl Into<String>) -> Error {
    Error::Misconfigured(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str, files: &TlsFiles) -> String {
        match Address::of(url, files) {
            Err(Error::Misconfigured(why)) => why,
            Err(error) => panic!("{url}: {error}"),
            Ok(address) => panic!("{url} is {}", address.shown()),
        }
    }

    #[test]
    fn every_form_of_url_says_where_redis_is() {
        for (url, shown, user, password, database) in [
            ("redis://localhost", "localhost:6379", None, None, 0),
            ("redis://10.0.0.7:7000/3", "10.0.0.7:7000", None, None, 3),
            ("redis://[::1]:7000", "[::1]:7000", None, None, 0),
            ("redis://:p%40ss@localhost/1", "localhost:6379", None, Some("p@ss"), 1),
            ("valkey://me:secret@localhost", "localhost:6379", Some("me"), Some("secret"), 0),
            ("rediss://me:secret@localhost:6380/2", "localhost:6380", Some("me"), Some("secret"), 2),
            ("valkeys://127.0.0.1:6380", "127.0.0.1:6380", None, None, 0),
            ("unix:///run/redis.sock", "/run/redis.sock", None, None, 0),
            (
                "redis+unix:///run/redis.sock?db=4&user=me&pass=p%23s",
                "/run/redis.sock",
                Some("me"),
                Some("p#s"),
                4,
            ),
        ] {
            let address =
                Address::of(url, &TlsFiles::default()).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(
                (
                    address.shown().as_str(),
                    address.user.as_deref(),
                    address.password.as_deref(),
                    address.database
                ),
                (shown, user, password, database),
                "{url}"
            );
            let is_tls = url.starts_with("rediss:") || url.starts_with("valkeys:");
            assert_eq!(matches!(address.endpoint, Endpoint::Tls { .. }), is_tls, "{url}");
        }
    }

    #[test]
    fn what_a_url_says_in_vain_is_refused_and_no_secret_is_repeated() {
        for (url, why) in [
            ("localhost:6379", "no known scheme"),
            ("/run/redis.sock", "cannot be read"),
            ("", "cannot be read"),
            ("http://hush@localhost", "no known scheme"),
            ("redis:hush@localhost", "no known scheme"),
            ("redis://:hush@localhost:x", "cannot be read"),
            ("redis://:hush@localhost/one", "database"),
            ("redis://:hush@localhost/-1", "negative"),
            ("redis://hush@localhost", "a user without a password"),
            ("redis://0.0.0.0", "wildcard"),
            ("redis://:hush@localhost?db=1", "the parameter db"),
            ("redis://:hush@localhost?protocol=resp3", "the parameter protocol"),
            ("redis://:hu#sh@localhost", "cannot be read"),
            ("redis://:hush@localhost#x", "%23"),
            ("rediss://:hush@localhost/#insecure", "--redis-ca"),
            ("unix://run/redis.sock", "three slashes"),
            ("unix://:hush@localhost/run/redis.sock", "three slashes"),
            ("unix:///run/redis.sock?password=hush", "the parameter password"),
            ("unix:///run/redis.sock?db=1&db=2", "more than once"),
            ("unix:///run/redis.sock?db=x", "database"),
            ("redis+sentinel://:hush@a:26379/main", "Sentinel"),
            ("redis-cluster://:hush@a:7000", "Cluster"),
        ] {
            let said = refused(url, &TlsFiles::default());
            assert!(said.contains(why) && !said.contains("hush"), "{url}: {said}");
        }
    }

    #[test]
    fn certificate_files_are_read_at_once_and_only_for_tls() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            Some(path)
        };
        let text = file("text", "no PEM at all");
        let damaged = file("damaged", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
        let no_certificate =
            file("no-certificate", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n");
        let missing = Some(folder.path().join("missing"));
        let files = |ca: &Option<PathBuf>, cert: &Option<PathBuf>, key: &Option<PathBuf>| TlsFiles {
            ca: ca.clone(),
            cert: cert.clone(),
            key: key.clone(),
        };
        for (url, files, why) in [
            ("redis://localhost", files(&text, &None, &None), "--redis-ca is for rediss:// URLs"),
            ("unix:///run/redis.sock", files(&None, &text, &text), "--redis-cert is for rediss:// URLs"),
            ("rediss://localhost", files(&missing, &None, &None), "--redis-ca: cannot read"),
            ("rediss://localhost", files(&text, &None, &None), "holds no certificate in PEM"),
            ("rediss://localhost", files(&damaged, &None, &None), "is damaged"),
            ("rediss://localhost", files(&no_certificate, &None, &None), "cannot be used"),
            ("rediss://localhost", files(&None, &text, &None), "--redis-cert needs --redis-key"),
            ("rediss://localhost", files(&None, &None, &text), "--redis-key needs --redis-cert"),
            ("rediss://localhost", files(&None, &no_certificate, &text), "holds no private key in PEM"),
            ("rediss://localhost", files(&None, &no_certificate, &missing), "--redis-key: cannot read"),
        ] {
            let said = refused(url, &files);
            assert!(said.contains(why), "{url}: {said}");
        }
    }
}

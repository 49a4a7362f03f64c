//! One connection to Redis: opened, greeted, ready for commands.
//!
//! It is opened here and not by the crate, which drops the errors that a server sends at the start
//! of a connection: protected mode, too many connections, the reason why a password is refused.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::limits;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, RedisError, Value};
use rustls::{AlertDescription, CertificateError};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::address::{Address, Endpoint};
use crate::error::Error;
use crate::refusal::Refused;

/// The failure of a connection or of a command on it.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// There is no connection, or no answer in time.
    Lost(String),
    /// Redis refuses.
    Refused(Refused),
    /// An error of Redis about one of our scripts or about stored data.
    Fault(String),
    /// The server is not a Redis, or TLS with it fails.
    Misfit(String),
}

impl Failure {
    /// The failure in an error of Redis.
    fn said(text: &str) -> Failure {
        Refused::of(text).map_or_else(|| Failure::Fault(text.to_owned()), Failure::Refused)
    }

    /// Whether a command that was sent may have been carried out, at least in part.
    pub(crate) fn leaves_it_open(&self) -> bool {
        match self {
            Failure::Lost(_) => true,
            Failure::Refused(refused) => refused.came_late,
            Failure::Fault(_) | Failure::Misfit(_) => false,
        }
    }

    /// Whether a fresh connection may succeed.
    pub(crate) fn is_of_the_connection(&self) -> bool {
        match self {
            Failure::Lost(_) => true,
            Failure::Refused(refused) => refused.refusal.is_of_the_connection(),
            Failure::Fault(_) | Failure::Misfit(_) => false,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::Lost(why) => Error::Unavailable(why),
            Failure::Refused(refused) => Error::Refused(refused),
            Failure::Fault(said) => Error::Redis(said),
            Failure::Misfit(why) => Error::Misconfigured(why),
        }
    }
}

/// A connection for any number of commands at once. It closes when its last clone is dropped.
#[derive(Clone)]
pub(crate) struct Connection {
    commands: MultiplexedConnection,
    driver: Arc<Driver>,
}

/// The task that writes and reads for a connection. It is aborted with the connection, since a
/// server that hangs would keep it alive.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// A connection to `address`, within [`limits::REDIS_CONNECT_MS`].
    pub(crate) async fn open(address: &Address) -> Result<Connection, Failure> {
        let late = |_| {
            Err(Failure::Lost(format!(
                "no connection to {} within {} ms{}",
                address.shown(),
                limits::REDIS_CONNECT_MS,
                hint_of_silence(&address.endpoint)
            )))
        };
        timeout(Duration::from_millis(limits::REDIS_CONNECT_MS), Connection::reach(address))
            .await
            .unwrap_or_else(late)
    }

    async fn reach(address: &Address) -> Result<Connection, Failure> {
        match &address.endpoint {
            Endpoint::Tcp { host, port } => {
                Connection::greet(tcp(host, *port, address).await?, address).await
            }
            Endpoint::Tls { host, port, name, tls } => {
                let stream = tls.connect(name.clone(), tcp(host, *port, address).await?).await;
                Connection::greet(stream.map_err(|error| failure(&error, address))?, address).await
            }
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                Connection::greet(stream.map_err(|error| failure(&error, address))?, address).await
            }
        }
    }

    /// Authenticates, selects the database, and checks that the server answers.
    async fn greet(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        address: &Address,
    ) -> Result<Connection, Failure> {
        let mut stream = BufReader::new(stream);
        if let Some(password) = &address.password {
            let mut auth = redis::cmd("AUTH");
            auth.arg(address.user.as_deref()).arg(password);
            if let Some(said) = refusal(&mut stream, &auth, address).await? {
                return Err(Failure::Refused(Refused::of_password(&said)));
            }
        }
        let mut select = redis::cmd("SELECT");
        select.arg(address.database);
        let ping = redis::cmd("PING");
        for cmd in [Some(select).filter(|_| address.database != 0), Some(ping)].into_iter().flatten() {
            if let Some(said) = refusal(&mut stream, &cmd, address).await? {
                return Err(Failure::said(&said));
            }
        }
        // Each answer was one line, and no further command was sent: the buffer is empty.
        let stream = stream.into_inner();
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_pipeline_buffer_size(limits::REDIS_PIPELINE);
        let greeted = RedisConnectionInfo::default().set_skip_set_lib_name();
        let (commands, driver) = MultiplexedConnection::new_with_config(&greeted, stream, config)
            .await
            .map_err(|error| Failure::Lost(error.to_string()))?;
        Ok(Connection { commands, driver: Arc::new(Driver(tokio::spawn(driver))) })
    }

    /// The answer to a command, however long it takes.
    pub(crate) async fn send(&self, cmd: &Cmd) -> Result<Value, Failure> {
        let answer = self.commands.clone().send_packed_command(cmd).await.and_then(Value::extract_error);
        answer.map_err(|error: RedisError| match error.code() {
            Some(code) => Failure::said(&format!("{code} {}", error.detail().unwrap_or_default())),
            None => Failure::Lost(error.to_string()),
        })
    }

    /// Whether the other side has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.driver.0.is_finished()
    }

    /// Whether this is a clone of `other`.
    pub(crate) fn is(&self, other: &Connection) -> bool {
        Arc::ptr_eq(&self.driver, &other.driver)
    }
}

async fn tcp(host: &str, port: u16, address: &Address) -> Result<TcpStream, Failure> {
    let stream =
        TcpStream::connect((host, port)).await.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
    stream.map_err(|error| failure(&error, address))
}

/// The error that answers a command of the greeting; none if it succeeds.
async fn refusal(
    stream: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>,
    cmd: &Cmd,
    address: &Address,
) -> Result<Option<String>, Failure> {
    // A server that refuses the connection sends its reason and closes, so that the reason is read
    // even if the write fails.
    let written = async {
        stream.write_all(&cmd.get_packed_command()).await?;
        stream.flush().await
    }
    .await;
    let mut line = Vec::new();
    let read = stream.take(limits::REDIS_LINE_BYTES_MAX).read_until(b'\n', &mut line).await;
    let text = String::from_utf8_lossy(&line);
    match line.first() {
        Some(b'+') => Ok(None),
        Some(b'-') => Ok(Some(text[1..].trim_end().to_owned())),
        Some(_) => Err(Failure::Misfit(format!(
            "the server at {} is not a Redis, or it expects TLS (rediss://)",
            address.shown()
        ))),
        None => {
            let closed = || {
                io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!(
                        "it closed the connection without an answer{}",
                        hint_of_silence(&address.endpoint)
                    ),
                )
            };
            Err(failure(&read.err().or(written.err()).unwrap_or_else(closed), address))
        }
    }
}

/// A likely reason why a server is silent.
fn hint_of_silence(endpoint: &Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Tcp { .. } => "; if it expects TLS there, the URL begins with rediss://",
        Endpoint::Tls { .. } => "; TLS has a port of its own there (its setting tls-port)",
        Endpoint::Unix(_) => "",
    }
}

/// The failure in an error of a socket.
fn failure(error: &io::Error, address: &Address) -> Failure {
    let at = address.shown();
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return Failure::Lost(format!("{at}: {error}"));
    };
    use rustls::Error as Tls;
    Failure::Misfit(match tls {
        // BadSignature: an authority of the same name has another key, for example after a renewal.
        Tls::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            format!(
                "the certificate of Redis at {at} is not signed by an authority that is trusted here: give the file of its authority with --redis-ca"
            )
        }
        Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            format!(
                "the certificate of Redis at {at} is for other names: use one of them in the URL, or add this one to the certificate ({tls})"
            )
        }
        Tls::InvalidCertificate(_) => format!("the certificate of Redis at {at} is not accepted: {tls}"),
        Tls::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure) => {
            format!(
                "Redis at {at} asks for a client certificate: give it with --redis-cert and --redis-key ({tls})"
            )
        }
        Tls::AlertReceived(_) => format!(
            "Redis at {at} does not accept the certificate of --redis-cert, or this kind of TLS: {tls}"
        ),
        Tls::InvalidMessage(_) => {
            format!(
                "the server at {at} does not speak TLS: use a URL that begins with redis://, or the port of Redis's setting tls-port"
            )
        }
        _ => format!("TLS with Redis at {at} fails: {tls}"),
    })
}

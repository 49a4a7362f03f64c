//! A proxy before a Redis, which passes commands on, refuses them, or keeps silent, as a test
//! wants.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;

use crate::TestRedis;

/// The ways in which a [`ChaosProxy`] treats commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mood {
    /// Passes them on, and their answers back.
    Pass,
    /// Answers each with this error.
    Refuse(String),
    /// Takes them and answers nothing.
    Hang,
    /// Passes them on, and keeps the answers to those that contain this.
    KeepAnswersTo(&'static str),
    /// Passes the first that contains `part`, and answers the others of them with this error.
    RefuseRepeats {
        /// What they contain.
        part: String,
        /// The error.
        said: String,
    },
    /// Sends this error to each new connection, and closes it.
    TurnAway(String),
}

struct State {
    mood: Mood,
    /// Whether a command has come that [`Mood::RefuseRepeats`] lets pass once.
    has_passed_one: bool,
}

/// A proxy on a port of loopback; it ends with the value.
pub struct ChaosProxy {
    port: u16,
    state: Arc<Mutex<State>>,
    _work: JoinSet<()>,
}

impl ChaosProxy {
    /// Stands before `redis`.
    pub async fn before(redis: &TestRedis) -> ChaosProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a local address").port();
        let state = Arc::new(Mutex::new(State { mood: Mood::Pass, has_passed_one: false }));
        let mut work = JoinSet::new();
        work.spawn(serve(listener, redis.socket(), state.clone()));
        ChaosProxy { port, state, _work: work }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sets its mood from now on, for open connections as well.
    pub fn set(&self, mood: Mood) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State { mood, has_passed_one: false };
    }
}

async fn serve(listener: TcpListener, socket: PathBuf, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (socket, state) = (socket.clone(), state.clone());
        connections.spawn(async move {
            // A connection that breaks off ends its relay, and nothing else.
            let _ = relay(client, socket, state).await;
        });
    }
}

/// One command after the other, so that answers stay in order whenever the mood changes.
async fn relay(mut client: TcpStream, socket: PathBuf, state: Arc<Mutex<State>>) -> io::Result<()> {
    let now = || state.lock().unwrap_or_else(PoisonError::into_inner).mood.clone();
    if let Mood::TurnAway(said) = now() {
        return client.write_all(format!("-{said}\r\n").as_bytes()).await;
    }
    let (reader, mut writer) = client.split();
    let (mut reader, mut upstream) =
        (BufReader::new(reader), BufReader::new(UnixStream::connect(socket).await?));
    // Once an answer is missing, the next would be taken for it.
    let mut is_silent = false;
    loop {
        let command = message(&mut reader).await?;
        let contains = |part: &str| String::from_utf8_lossy(&command).contains(part);
        let is_repeat = || {
            std::mem::replace(&mut state.lock().unwrap_or_else(PoisonError::into_inner).has_passed_one, true)
        };
        match now() {
            Mood::RefuseRepeats { .. } | Mood::Refuse(_) if is_silent => {}
            Mood::RefuseRepeats { part, said } if contains(&part) && is_repeat() => {
                writer.write_all(format!("-{said}\r\n").as_bytes()).await?
            }
            Mood::Refuse(said) => writer.write_all(format!("-{said}\r\n").as_bytes()).await?,
            Mood::Hang | Mood::TurnAway(_) => is_silent = true,
            mood => {
                upstream.get_mut().write_all(&command).await?;
                let answer = message(&mut upstream).await?;
                is_silent |= matches!(mood, Mood::KeepAnswersTo(part) if contains(part));
                if !is_silent {
                    writer.write_all(&answer).await?;
                }
            }
        }
    }
}

/// The bytes of one message of Redis's protocol: a line, a string with its length, or an array of
/// messages.
fn message<'a>(
    reader: &'a mut (impl AsyncBufRead + Unpin + Send),
) -> Pin<Box<dyn Future<Output = io::Result<Vec<u8>>> + Send + 'a>> {
    Box::pin(async move {
        let mut bytes = Vec::new();
        if reader.read_until(b'\n', &mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let size = || {
            std::str::from_utf8(&bytes[1..])
                .ok()
                .and_then(|text| text.trim().parse::<i64>().ok())
                .unwrap_or(-1)
        };
        match (bytes[0], size()) {
            (b'$', size @ 0..) => {
                let mut rest = vec![0; size as usize + 2];
                reader.read_exact(&mut rest).await?;
                bytes.append(&mut rest);
            }
            (b'*', items @ 0..) => {
                for _ in 0..items {
                    bytes.append(&mut message(reader).await?);
                }
            }
            _ => {}
        }
        Ok(bytes)
    })
}

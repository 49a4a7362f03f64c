//! The way to Redis: one shared connection, replaced whenever it may be dead; and one of its own
//! for blocking waits.
//!
//! A command is tried again on a fresh connection, even if the first try may have been carried out,
//! since every script may be applied twice. If no try is answered, the error says whether one may
//! have been carried out. All tries end by one deadline.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::limits;
use redis::{Cmd, Value};
use tokio::time::{Instant, sleep, timeout_at};

use crate::address::Address;
use crate::connection::{Connection, Failure};
use crate::error::{Error, Result};
use crate::script::{Name, SCRIPTS, script};
use crate::{Config, Observe};

/// The effect of a command on stored data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// None, or none that anything depends on.
    None,
    /// It changes something.
    Change,
}

/// Where commands go.
pub(crate) struct Link {
    address: Address,
    observe: Option<Observe>,
    shared: Mutex<Option<Connection>>,
    /// Held while a connection is opened, so that others wait for it instead of opening their own.
    connecting: tokio::sync::Mutex<()>,
    /// The connection that blocks. It is taken out while it waits, so that a wait which is dropped
    /// closes it.
    waiting: tokio::sync::Mutex<Option<Connection>>,
}

impl Link {
    /// A link that connects with its first command.
    pub(crate) fn new(config: &Config) -> Result<Link> {
        Ok(Link {
            address: Address::of(&config.url, &config.tls)?,
            observe: config.observe.clone(),
            shared: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            waiting: tokio::sync::Mutex::default(),
        })
    }

    /// The answer to `cmd` by `until`.
    pub(crate) async fn run(&self, cmd: &Cmd, effect: Effect, until: Instant) -> Result<Value> {
        let mut is_open = false;
        let answer = self.answer(cmd, until, &mut is_open).await;
        answer.map_err(|failure| outcome(failure, is_open, effect))
    }

    /// The answer of a script by `until`. It is sent by its hash, and once more with its text if
    /// the server does not know it.
    pub(crate) async fn call(
        &self,
        name: Name,
        queue: &str,
        args: &[Vec<u8>],
        until: Instant,
    ) -> Result<Value> {
        let begun = Instant::now();
        let script = script(name);
        let eval = |how: &str, what: &str| {
            let mut cmd = redis::cmd(how);
            cmd.arg(what).arg(1).arg(queue).arg(args);
            cmd
        };
        let mut is_open = false;
        let mut answer = self.answer(&eval("EVALSHA", &script.hash), until, &mut is_open).await;
        if matches!(&answer, Err(Failure::Fault(said)) if said.starts_with("NOSCRIPT")) {
            answer = self.answer(&eval("EVAL", &script.code), until, &mut is_open).await;
        }
        if let Some(observe) = &self.observe {
            observe(script.name, begun.elapsed(), answer.is_ok());
        }
        answer.map_err(|failure| outcome(failure, is_open, script.effect))
    }

    /// Loads every script, so that the first calls can be made by hash.
    pub(crate) async fn load(&self, until: Instant) -> Result<()> {
        for script in SCRIPTS.iter() {
            self.run(redis::cmd("SCRIPT").arg("LOAD").arg(&script.code), Effect::None, until).await?;
        }
        Ok(())
    }

    /// The answer to a blocking command of at most `timeout`, on the connection that only blocks.
    pub(crate) async fn block(&self, cmd: &Cmd, timeout: Duration) -> Result<Value> {
        let kept = self.waiting.lock().await.take().filter(|kept| !kept.is_closed());
        let connection = match kept {
            Some(connection) => connection,
            None => Connection::open(&self.address).await?,
        };
        let until = Instant::now() + timeout + Duration::from_millis(limits::REDIS_CALL_MS);
        let answer = timeout_at(until, connection.send(cmd)).await.unwrap_or_else(|_| Err(late()))?;
        *self.waiting.lock().await = Some(connection);
        Ok(answer)
    }

    /// The answer to `cmd` by `until`, tried again on fresh connections while the connection seems
    /// lost. Sets `is_open` if a try was sent, has no answer and may have been carried out.
    async fn answer(
        &self,
        cmd: &Cmd,
        until: Instant,
        is_open: &mut bool,
    ) -> std::result::Result<Value, Failure> {
        let mut wait = Duration::from_millis(limits::REDIS_RETRY_MS);
        for _ in 1..limits::REDIS_TRIES {
            // A try takes half of the time that is left, so that a connection which has died
            // silently leaves time for a fresh one.
            let now = Instant::now();
            match self.once(cmd, now + until.saturating_duration_since(now) / 2, is_open).await {
                Err(failure) if failure.is_of_the_connection() && Instant::now() + wait < until => {
                    tracing::debug!(?failure, "Redis did not answer, trying again");
                }
                answer => return answer,
            }
            sleep(wait).await;
            wait *= 2;
        }
        self.once(cmd, until, is_open).await
    }

    /// One try of [`Link::answer`].
    async fn once(
        &self,
        cmd: &Cmd,
        until: Instant,
        is_open: &mut bool,
    ) -> std::result::Result<Value, Failure> {
        let connection = timeout_at(until, self.connection()).await.unwrap_or_else(|_| Err(late()))?;
        let answer = timeout_at(until, connection.send(cmd)).await.unwrap_or_else(|_| Err(late()));
        *is_open |= answer.as_ref().is_err_and(Failure::leaves_it_open);
        if answer.as_ref().is_err_and(Failure::is_of_the_connection) {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            // Another call may have replaced it already.
            *shared = shared.take().filter(|current| !current.is(&connection));
        }
        answer
    }

    /// The shared connection; a fresh one if it was closed.
    async fn connection(&self) -> std::result::Result<Connection, Failure> {
        let current = || {
            self.shared
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
                .filter(|current| !current.is_closed())
        };
        if let Some(connection) = current() {
            return Ok(connection);
        }
        let _turn = self.connecting.lock().await;
        if let Some(connection) = current() {
            return Ok(connection);
        }
        let fresh = Connection::open(&self.address).await?;
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh.clone());
        Ok(fresh)
    }
}

fn late() -> Failure {
    Failure::Lost("no answer in time".to_owned())
}

/// The error of a failure, for a call with this effect.
fn outcome(failure: Failure, is_open: bool, effect: Effect) -> Error {
    let error = Error::from(failure);
    if is_open && effect == Effect::Change { Error::Unanswered(error.to_string()) } else { error }
}

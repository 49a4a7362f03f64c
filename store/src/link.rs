//! The way to Redis: one shared connection, replaced whenever it may be dead; and one of its own for blocking waits.
//!
//! A command is tried again on a fresh connection, although the first try may have been carried out: every script may be applied twice. Where no
//! try was answered, it is said whether one may have been carried out. All tries end by one deadline.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hpo::limits;
use redis::{Cmd, Value};
use tokio::time::{Instant, sleep, timeout_at};

use crate::address::Address;
use crate::connection::{Connection, Failure};
use crate::error::{Error, Result};
use crate::script::{Name, SCRIPTS, script};
use crate::{Config, Observe};

/// What a command does to what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It only reads, or whether it was carried out matters to nobody.
    None,
    /// It changes something.
    Change,
}

/// Where commands go.
pub(crate) struct Link {
    address: Address,
    observe: Option<Observe>,
    shared: Mutex<Option<Connection>>,
    /// Held by the one that connects, so that the others wait for its connection.
    connecting: tokio::sync::Mutex<()>,
    /// The connection that blocks. It is taken out while it waits: a wait that is dropped takes the connection with it.
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

    /// The answer to `cmd` by `until`, tried again on fresh connections while the connection seems lost.
    pub(crate) async fn run(&self, cmd: &Cmd, effect: Effect, until: Instant) -> Result<Value> {
        let mut wait = Duration::from_millis(limits::REDIS_RETRY_MS);
        let mut is_open = false;
        let mut tries = 1;
        loop {
            let is_last = tries == limits::REDIS_TRIES;
            // A try takes half of the time that is left, so that a connection which is silently dead leaves time for a fresh one.
            let now = Instant::now();
            let try_until = if is_last { until } else { now + until.saturating_duration_since(now) / 2 };
            let failure = match self.once(cmd, try_until, &mut is_open).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if is_last || !failure.is_of_the_connection() || Instant::now() + wait >= until {
                return Err(match Error::from(failure) {
                    error if is_open && effect == Effect::Change => Error::Unanswered(error.to_string()),
                    error => error,
                });
            }
            tracing::debug!(?failure, "Redis did not answer, trying again");
            sleep(wait).await;
            wait *= 2;
            tries += 1;
        }
    }

    /// The answer of a script by `until`, sent by its hash, and once more with its text where the server does not know it.
    pub(crate) async fn call(&self, name: Name, lane: &str, args: &[Vec<u8>], until: Instant) -> Result<Value> {
        let begun = Instant::now();
        let script = script(name);
        let eval = |how: &str, what: &str| {
            let mut cmd = redis::cmd(how);
            cmd.arg(what).arg(1).arg(lane).arg(args);
            cmd
        };
        let mut answer = self.run(&eval("EVALSHA", &script.hash), script.effect, until).await;
        if matches!(&answer, Err(Error::Redis(said)) if said.starts_with("NOSCRIPT")) {
            answer = self.run(&eval("EVAL", &script.code), script.effect, until).await;
        }
        if let Some(observe) = &self.observe {
            observe(script.name, begun.elapsed(), answer.is_ok());
        }
        answer
    }

    /// Loads every script, so that the first calls are by hash too.
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

    /// One try. Where it was sent and may have been carried out without a word of it, `is_open` is set.
    async fn once(&self, cmd: &Cmd, until: Instant, is_open: &mut bool) -> std::result::Result<Value, Failure> {
        let connection = timeout_at(until, self.connection()).await.unwrap_or_else(|_| Err(late()))?;
        let answer = timeout_at(until, connection.send(cmd)).await.unwrap_or_else(|_| Err(late()));
        *is_open |= answer.as_ref().is_err_and(Failure::leaves_it_open);
        if answer.as_ref().is_err_and(Failure::is_of_the_connection) {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            // Somebody else may have replaced it already.
            *shared = shared.take().filter(|current| !current.is(&connection));
        }
        answer
    }

    /// The shared connection, a fresh one where there is none that lives.
    async fn connection(&self) -> std::result::Result<Connection, Failure> {
        let current = || self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|current| !current.is_closed());
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
    Failure::Lost("no answer in the time that there is".to_owned())
}

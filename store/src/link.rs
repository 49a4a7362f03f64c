//! The connection to Redis: one shared, multiplexed, rebuilt whenever it may be dead; and one of its own for blocking waits.
//!
//! The crate's connection manager does not reconnect on time-outs or READONLY, so this does. A command is tried again on a fresh
//! connection, although the first try may have been carried out: every script may be applied twice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hpo::limits;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, RedisError, Value};
use tokio::sync::Mutex;

use crate::error::{Error, Result, is_lost};
use crate::script::{Name, SCRIPTS, script};
use crate::{Config, Observe};

/// Where commands go.
pub(crate) struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    response_timeout: Duration,
    observe: Option<Observe>,
    /// The shared connection and its generation: who finds it dead drops it only if nobody has replaced it meanwhile.
    shared: Mutex<Option<(u64, MultiplexedConnection)>>,
    generation: AtomicU64,
    /// The connection that blocks. It is taken out while it waits: a wait that is dropped takes the connection with it.
    waiting: Mutex<Option<MultiplexedConnection>>,
}

impl Link {
    /// A link that connects with its first command.
    pub(crate) fn new(config: &Config) -> Result<Link> {
        let refused = |error: RedisError| Error::Redis(format!("REDIS_URL: {error}"));
        let info = config.url.as_str().into_connection_info().map_err(refused)?;
        let client = Client::open(info.set_tcp_settings(TcpSettings::default().set_nodelay(true))).map_err(refused)?;
        let connection = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_millis(limits::REDIS_CONNECT_MS)))
            .set_response_timeout(Some(config.response_timeout))
            .set_pipeline_buffer_size(limits::REDIS_PIPELINE);
        Ok(Link {
            client,
            config: connection,
            response_timeout: config.response_timeout,
            observe: config.observe.clone(),
            shared: Mutex::new(None),
            generation: AtomicU64::new(0),
            waiting: Mutex::new(None),
        })
    }

    /// The answer to `cmd`, tried again on fresh connections while the connection seems lost.
    pub(crate) async fn run(&self, cmd: &Cmd) -> Result<Value> {
        let mut wait = Duration::from_millis(limits::REDIS_RETRY_MS);
        for _ in 1..limits::REDIS_TRIES {
            match self.once(cmd).await {
                Err(error) if is_lost(&error) => tracing::debug!(%error, "Redis did not answer, trying again"),
                answer => return answer.map_err(|error| Error::from_redis(&error)),
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        self.once(cmd).await.map_err(|error| Error::from_redis(&error))
    }

    /// The answer of a script, sent by its hash, and once more with its text where the server does not know it.
    pub(crate) async fn call(&self, name: Name, lane: &str, args: &[Vec<u8>]) -> Result<Value> {
        let begun = Instant::now();
        let script = script(name);
        let eval = |how: &str, what: &str| {
            let mut cmd = redis::cmd(how);
            cmd.arg(what).arg(1).arg(lane).arg(args);
            cmd
        };
        let mut answer = self.run(&eval("EVALSHA", &script.hash)).await;
        if matches!(&answer, Err(Error::Redis(error)) if error.contains("NoScript") || error.contains("NOSCRIPT")) {
            answer = self.run(&eval("EVAL", &script.code)).await;
        }
        if let Some(observe) = &self.observe {
            observe(script.name, begun.elapsed(), answer.is_ok());
        }
        answer
    }

    /// Loads every script, so that the first calls are by hash too.
    pub(crate) async fn load(&self) -> Result<()> {
        for script in SCRIPTS.iter() {
            self.run(redis::cmd("SCRIPT").arg("LOAD").arg(&script.code)).await?;
        }
        Ok(())
    }

    /// The answer to a blocking command of at most `timeout`, on the connection that only blocks.
    pub(crate) async fn block(&self, cmd: &Cmd, timeout: Duration) -> Result<Value> {
        let kept = self.waiting.lock().await.take();
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                self.client.get_multiplexed_async_connection_with_config(&self.config).await.map_err(|error| Error::from_redis(&error))?
            }
        };
        connection.set_response_timeout(timeout + self.response_timeout);
        let answer = connection.send_packed_command(cmd).await.map_err(|error| Error::from_redis(&error))?;
        *self.waiting.lock().await = Some(connection);
        Ok(answer)
    }

    async fn once(&self, cmd: &Cmd) -> std::result::Result<Value, RedisError> {
        let (generation, mut connection) = {
            let mut shared = self.shared.lock().await;
            match &*shared {
                Some(current) => current.clone(),
                None => {
                    let fresh = self.client.get_multiplexed_async_connection_with_config(&self.config).await?;
                    shared.insert((self.generation.fetch_add(1, Ordering::Relaxed), fresh)).clone()
                }
            }
        };
        let answer = connection.send_packed_command(cmd).await.and_then(|value| value.extract_error());
        if matches!(&answer, Err(error) if is_lost(error)) {
            let mut shared = self.shared.lock().await;
            if shared.as_ref().is_some_and(|(current, _)| *current == generation) {
                *shared = None;
            }
        }
        answer
    }
}

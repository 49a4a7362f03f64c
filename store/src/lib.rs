//! The queue and the results of Chandler, in Redis. No other crate names a Redis key.
//!
//! ```text
//!             ready
//!  delayed ─────────▶ queued ◀───────┐
//!     ▲                 │            │ release / stall
//!     │ retry      claim│            │
//!     └──── failed? ◀── running ─────┘
//!                       └──▶ completed | failed | cancelled     terminal states never change
//!  queued | delayed ──▶ cancelled          study: running ⇄ paused ──▶ completed | cancelled | failed
//! ```
//!
//! Each arrow is one Lua script (`lua/*.lua`, put together by `script`), so that no process reads,
//! decides and writes. Any number of processes may call anything at any time, and every call may be
//! repeated. In reading order: [`Store`] and [`Config`] here; `id`, `keys`, `script` and `reply`
//! are the ground; `address`, `connection`, `link` the way to Redis, `refusal` its errors;
//! [`study`] makes and changes studies, [`top_up`](Store::top_up) fills their queues; [`queue`]
//! hands trials out and takes results in; [`reap`](Store::reap) does what only the passing of time
//! calls for; [`trainer`], [`read`] and [`metrics`] look, and `waiting` tells why no trainer takes
//! a study's trials. [`embedded`] runs a private Redis, [`artifact`] keeps files.

mod address;
pub mod artifact;
#[doc(hidden)]
pub mod audit;
mod connection;
pub mod embedded;
mod error;
#[cfg(feature = "flags")]
pub mod flags;
mod id;
mod keys;
pub mod limits;
mod link;
pub mod metrics;
pub mod queue;
pub mod read;
pub mod reap;
mod record;
mod refusal;
mod reply;
mod script;
pub mod study;
#[cfg(any(test, feature = "test-server"))]
pub mod test_server;
#[cfg(test)]
mod tests;
mod top_up;
pub mod trainer;
mod waiting;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hpo::sampler::Sampler;
use hpo::study::Study;
use redis::Value;
use tokio::time::Instant;

pub use address::TlsFiles;
pub use error::{Error, Result};
pub use id::{Nonce, StudyId};
pub use metrics::ServiceMetrics;
pub use queue::{Ack, Claim, Directive, End, EpochMetrics, Lease};
pub use read::{Sort, StudyPage, TrialPage};
pub use reap::{ReapReport, TendReport, Tick, jittered};
pub use record::{AttemptRecord, Best, Curve, StudyRecord, TrialCounts, TrialError, TrialRecord};
pub use refusal::{Refusal, Refused};
pub use study::{Change, Created, Idempotency, NewStudy, StopReason};
pub use trainer::{RefusedDataset, Trainer, TrainerRecord};
pub use waiting::{Needs, Waiting};

use link::{Effect, Link};
use script::Name;

/// Called for every script call with its name, its duration, and whether it was answered.
pub type Observe = Arc<dyn Fn(&'static str, Duration, bool) + Send + Sync>;

/// The Redis of a store, and how the store behaves.
#[derive(Clone)]
pub struct Config {
    /// `redis://`, `rediss://` or `unix://`.
    pub url: String,
    /// Certificates, for `rediss://`.
    pub tls: TlsFiles,
    /// The start of every key.
    pub namespace: String,
    /// How long a lease lasts without a heartbeat.
    pub lease_ms: u64,
    /// Observes every script call.
    pub observe: Option<Observe>,
    /// For tests: the time in ms, instead of the server's clock.
    pub now_ms: Option<Arc<AtomicU64>>,
}

impl Config {
    /// The defaults, with the Redis at `url`.
    pub fn new(url: impl Into<String>) -> Config {
        Config {
            url: url.into(),
            tls: TlsFiles::default(),
            namespace: "chandler".into(),
            lease_ms: limits::LEASE_MS,
            observe: None,
            now_ms: None,
        }
    }
}

/// The store. A clone shares its connection and its caches. Each call ends within
/// [`limits::REDIS_CALL_MS`], unless all must [end by](Store::within) a deadline.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    deadline: Option<Instant>,
}

struct Inner {
    link: Link,
    namespace: String,
    /// The key that each script gets.
    queue: String,
    lease_ms: u64,
    now_ms: Option<Arc<AtomicU64>>,
    studies: Mutex<HashMap<StudyId, Cached>>,
}

/// What a process keeps of a study: the document never changes, and the sampler is a function of
/// it.
#[derive(Clone)]
struct Cached {
    study: Arc<Study>,
    sampler: Arc<Mutex<Sampler>>,
}

impl Store {
    /// Connects and loads the scripts. Redis need not accept changes for this: reads work without,
    /// and where its memory is full, so does whatever frees some.
    pub async fn connect(config: Config) -> Result<Store> {
        let link = Link::new(&config)?;
        link.load(in_ms(limits::REDIS_CALL_MS)).await?;
        let inner = Arc::new(Inner {
            link,
            queue: keys::queue(&config.namespace),
            namespace: config.namespace,
            lease_ms: config.lease_ms,
            now_ms: config.now_ms,
            studies: Mutex::default(),
        });
        Ok(Store { inner, deadline: None })
    }

    /// This store for one piece of work: all its calls together end within `ms` from now.
    pub fn within(&self, ms: u64) -> Store {
        Store { deadline: Some(in_ms(ms)), ..self.clone() }
    }

    /// Whether Redis answers.
    pub async fn ping(&self) -> Result<()> {
        self.inner.link.run(&redis::cmd("PING"), Effect::None, self.until()).await.map(drop)
    }

    /// Whether Redis answers and accepts changes, new studies included; within
    /// [`limits::REDIS_PROBE_MS`]. It makes the smallest change there is, because only then does a
    /// server say that its disk or memory is full, or that it is a replica.
    pub async fn ready(&self) -> Result<()> {
        self.within(limits::REDIS_PROBE_MS).call(Name::Ready, Args::new()).await.map(drop)
    }

    /// How long a lease lasts; send a heartbeat every third of it.
    pub fn lease_ms(&self) -> u64 {
        self.inner.lease_ms
    }

    /// How often to call [`Store::tend`], with some jitter.
    pub fn tick(&self) -> Duration {
        Duration::from_millis((self.inner.lease_ms / limits::TICKS_PER_LEASE).max(1))
    }

    /// The answer of a script.
    async fn call(&self, name: Name, args: Args) -> Result<Value> {
        let mut all = Vec::with_capacity(args.0.len() + 1);
        all.push(
            self.inner
                .now_ms
                .as_ref()
                .map(|now| now.load(Ordering::Relaxed).to_string().into_bytes())
                .unwrap_or_default(),
        );
        all.extend(args.0);
        self.inner.link.call(name, &self.inner.queue, &all, self.until()).await
    }

    /// When a call that begins now must end.
    fn until(&self) -> Instant {
        self.deadline.unwrap_or_else(|| in_ms(limits::REDIS_CALL_MS))
    }

    /// What is kept of a study, if anything is.
    fn cached(&self, id: StudyId) -> Option<Cached> {
        self.inner.studies.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Keeps a study.
    fn cache(&self, id: StudyId, study: Arc<Study>) -> Cached {
        let mut studies = self.inner.studies.lock().unwrap_or_else(PoisonError::into_inner);
        if studies.len() >= limits::STUDIES_CACHED_MAX {
            studies.clear();
        }
        let fresh = || Cached {
            sampler: Arc::new(Mutex::new(Sampler::new(study.sampler, &study.space, study.seed))),
            study: study.clone(),
        };
        studies.entry(id).or_insert_with(fresh).clone()
    }
}

/// A script's arguments, in the order of its header.
#[derive(Clone, Default)]
struct Args(Vec<Vec<u8>>);

impl Args {
    fn new() -> Args {
        Args::default()
    }

    fn arg(mut self, arg: impl ToString) -> Args {
        self.0.push(arg.to_string().into_bytes());
        self
    }

    fn bytes(mut self, arg: impl Into<Vec<u8>>) -> Args {
        self.0.push(arg.into());
        self
    }

    /// The number of items, then the items.
    fn list<T: Into<Vec<u8>>>(
        mut self,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    ) -> Args {
        let items = items.into_iter();
        self.0.push(items.len().to_string().into_bytes());
        self.0.extend(items.map(Into::into));
        self
    }

    /// The argument, or an empty one.
    fn option(self, arg: Option<impl ToString>) -> Args {
        self.arg(arg.map(|arg| arg.to_string()).unwrap_or_default())
    }
}

fn in_ms(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

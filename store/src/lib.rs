//! The queue and the results of Chandler, in Redis. The only crate that names a Redis key.
//!
//! ```text
//!             ready                         promote (next rung)
//!  delayed ─────────▶ queued ◀────────────────────── paused
//!     ▲                 │  ▲                             ▲
//!     │ retry      claim│  │ release / stall             │ rung reached
//!     └──── failed? ◀── running ─────────────────────────┘
//!                       └──▶ completed | pruned | failed | cancelled     terminal states never change
//!  queued | delayed | paused ──▶ cancelled          study: running ⇄ paused ──▶ completed | cancelled | failed
//! ```
//!
//! Each arrow is one Lua script (`lua/*.lua`, put together by `script`), so no process reads,
//! decides and writes; any number of processes may call anything at any time, and every call may be
//! repeated. In reading order: [`Store`] and [`Config`] here; `id`, `keys`, `script`, `reply`,
//! `packed` are the ground; `address`, `connection`, `link` the way to Redis, `refusal` its errors;
//! [`study`] makes and changes studies, [`top_up`](Store::top_up) fills their queues; [`queue`]
//! hands trials out and takes results in; [`reap`](Store::reap) does what time alone must do;
//! [`trainer`], [`read`] and [`metrics`] look, and `waiting` tells why nobody takes a study's
//! trials. [`embedded`] runs a private Redis, [`artifact`] keeps files.

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
mod packed;
pub mod queue;
pub mod read;
pub mod reap;
mod refusal;
mod reply;
mod script;
pub mod study;
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
pub use queue::{Ack, Claim, Directive, End, Lease, Point};
pub use read::{
    AttemptRecord, Best, Curve, Sort, StudyPage, StudyRecord, TrialCounts, TrialError, TrialPage, TrialRecord,
};
pub use reap::Reaped;
pub use refusal::{Refusal, Refused};
pub use study::{Change, Created, Idempotency, NewStudy, StopReason};
pub use trainer::{RefusedDataset, Trainer, TrainerRecord};
pub use waiting::{Needs, Waiting};

use link::{Effect, Link};
use script::Name;

/// Told of every script call: its name, how long it took, whether it was answered.
pub type Observe = Arc<dyn Fn(&'static str, Duration, bool) + Send + Sync>;

/// Where the store is and how it behaves.
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
    /// Lanes of the queue. Counts at the first start only; later, what was stored then is used.
    pub lanes: u32,
    /// Hears of every script call.
    pub observe: Option<Observe>,
    /// For tests: the time in ms instead of the server's.
    pub now_ms: Option<Arc<AtomicU64>>,
}

impl Config {
    /// The defaults with the Redis at `url`.
    pub fn new(url: impl Into<String>) -> Config {
        Config {
            url: url.into(),
            tls: TlsFiles::default(),
            namespace: "chandler".into(),
            lease_ms: limits::LEASE_MS,
            lanes: 1,
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
    lanes: Vec<String>,
    lease_ms: u64,
    now_ms: Option<Arc<AtomicU64>>,
    studies: Mutex<HashMap<StudyId, Cached>>,
    /// Where the next claim looks first, so that no lane starves.
    turn: AtomicU64,
}

/// What a process remembers of a study: its document never changes, and a sampler is a function of
/// it.
#[derive(Clone)]
struct Cached {
    study: Arc<Study>,
    sampler: Arc<Mutex<Sampler>>,
}

impl Store {
    /// Connects, fixes the number of lanes at the first start, and loads the scripts. A Redis that
    /// was used before need not accept changes for this: reads work there, and where its memory is
    /// full, so does whatever frees some.
    pub async fn connect(config: Config) -> Result<Store> {
        let link = Link::new(&config)?;
        let until = in_ms(limits::REDIS_CALL_MS);
        let lanes = lanes(&link, &config, until).await?;
        link.load(until).await?;
        let inner = Arc::new(Inner {
            link,
            lanes: (0..lanes).map(|lane| keys::lane(&config.namespace, lane)).collect(),
            namespace: config.namespace,
            lease_ms: config.lease_ms,
            now_ms: config.now_ms,
            studies: Mutex::default(),
            turn: AtomicU64::new(0),
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

    /// Whether Redis answers and accepts changes, new studies among them; within
    /// [`limits::REDIS_PROBE_MS`]. It makes the smallest change there is, because only then does a
    /// server tell that its disk or memory is full, or that it is a replica.
    pub async fn ready(&self) -> Result<()> {
        self.within(limits::REDIS_PROBE_MS).call_lane(Name::Ready, 0, Args::new()).await.map(drop)
    }

    /// How long a lease lasts; send a heartbeat every third of it.
    pub fn lease_ms(&self) -> u64 {
        self.inner.lease_ms
    }

    /// How often to call [`Store::reap`], with some jitter.
    pub fn tick(&self) -> Duration {
        Duration::from_millis((self.inner.lease_ms / limits::TICKS_PER_LEASE).max(1))
    }

    /// The answer of a script in the lane of `study`.
    async fn call(&self, name: Name, study: StudyId, args: Args) -> Result<Value> {
        let lane = crc32fast::hash(study.as_str().as_bytes()) as usize % self.inner.lanes.len();
        self.call_lane(name, lane, args).await
    }

    /// The answer of a script in a lane.
    async fn call_lane(&self, name: Name, lane: usize, args: Args) -> Result<Value> {
        let mut all = Vec::with_capacity(args.0.len() + 1);
        all.push(
            self.inner
                .now_ms
                .as_ref()
                .map(|now| now.load(Ordering::Relaxed).to_string().into_bytes())
                .unwrap_or_default(),
        );
        all.extend(args.0);
        self.inner.link.call(name, &self.inner.lanes[lane], &all, self.until()).await
    }

    /// When a call that begins now must have ended.
    fn until(&self) -> Instant {
        self.deadline.unwrap_or_else(|| in_ms(limits::REDIS_CALL_MS))
    }

    /// What is remembered of a study, where it is.
    fn cached(&self, id: StudyId) -> Option<Cached> {
        self.inner.studies.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Remembers a study.
    fn cache(&self, id: StudyId, study: Arc<Study>) -> Cached {
        let mut studies = self.inner.studies.lock().unwrap_or_else(PoisonError::into_inner);
        if studies.len() >= limits::STUDIES_CACHED_MAX {
            studies.clear();
        }
        let fresh = || Cached { sampler: Arc::new(Mutex::new(Sampler::new(&study))), study: study.clone() };
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

    /// A count, then as many arguments.
    fn list<T: Into<Vec<u8>>>(
        mut self,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    ) -> Args {
        let items = items.into_iter();
        self.0.push(items.len().to_string().into_bytes());
        self.0.extend(items.map(Into::into));
        self
    }

    /// A number, or nothing.
    fn option(self, arg: Option<impl ToString>) -> Args {
        self.arg(arg.map(|arg| arg.to_string()).unwrap_or_default())
    }

    fn then(mut self, more: Args) -> Args {
        self.0.extend(more.0);
        self
    }
}

fn in_ms(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

/// The number of lanes: the first to ask fixes it, since a study's lane follows from it.
async fn lanes(link: &Link, config: &Config, until: Instant) -> Result<u32> {
    let key = keys::lanes(&config.namespace);
    let get = || redis::cmd("GET").arg(&key).to_owned();
    let mut stored = link.run(&get(), Effect::None, until).await?;
    if stored == Value::Nil {
        let lanes = config.lanes.clamp(1, limits::LANES_MAX);
        link.run(redis::cmd("SET").arg(&key).arg(lanes).arg("NX"), Effect::None, until).await?;
        stored = link.run(&get(), Effect::None, until).await?;
    }
    let stored = reply::text(stored)?;
    stored
        .parse()
        .ok()
        .filter(|lanes| (1..=limits::LANES_MAX).contains(lanes))
        .ok_or_else(|| Error::Corrupt(format!("{key} is {stored}")))
}

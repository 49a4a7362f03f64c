//! Claims trials while slots are free, and owns everything that runs.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use candle_core::Device;
use data::Catalog;
use hpo::limits;
use hpo::study::DeviceClass;
use store::artifact::Artifacts;
use store::{Claim, Lease, Nonce, Store, StudyId, Trainer};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, RwLock, Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::{attempt, engine, page, process};

/// What all trials of a process share.
pub(crate) struct Worker {
    pub(crate) store: Store,
    pub(crate) artifacts: Artifacts,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) memory: Arc<Memory>,
    /// Held together by trials that may have company, alone by one that may not.
    pub(crate) company: Arc<RwLock<()>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) device: Device,
    /// One permit for each slot.
    pub(crate) slots: Arc<Semaphore>,
    /// Turns true once, at shutdown.
    pub(crate) stopping: watch::Receiver<bool>,
    me: Trainer,
    running: Mutex<Vec<(StudyId, u64)>>,
    /// Hashes of datasets that this machine lacks, and since when.
    refused: Mutex<HashMap<String, Instant>>,
    pub(crate) checkpoint_seconds: u64,
}

/// Runs a trainer until `shutdown` resolves; then it hands its trials back and returns. Errors are of the start only: an address that is taken, a folder
/// that cannot be made, a device that is not there. A Redis that is away is waited for.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let (stop, stopping) = watch::channel(false);
    let work = async {
        let worker = Arc::new(Worker::start(&config, stopping.clone()).await?);
        let page = match config.metrics_listen {
            Some(address) => Some(TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?),
            None => None,
        };
        let mut chores = JoinSet::new();
        if let Some(listener) = page {
            tracing::info!("Serving metrics on http://{}", listener.local_addr()?);
            chores.spawn(page::serve(listener, worker.metrics.clone()));
        }
        chores.spawn(show_up(worker.clone()));
        chores.spawn(reap(worker.clone()));
        claim(&worker).await;
        chores.shutdown().await;
        let leave = worker.store.forget_trainer(&worker.me.id);
        let _ = tokio::time::timeout(Duration::from_millis(limits::LEAVE_MS), leave).await;
        tracing::info!("Stopped");
        anyhow::Ok(())
    };
    let mut work = std::pin::pin!(work);
    tokio::select! {
        ended = &mut work => return ended,
        () = shutdown => {}
    }
    let _ = stop.send(true);
    work.await
}

impl Worker {
    async fn start(config: &Config, stopping: watch::Receiver<bool>) -> anyhow::Result<Worker> {
        let device = engine::device().context("no such device")?;
        let (class, name) = match device {
            Device::Cpu => (DeviceClass::Cpu, "cpu"),
            Device::Cuda(_) => (DeviceClass::Cuda, "cuda"),
            Device::Metal(_) => (DeviceClass::Metal, "metal"),
        };
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(limits::SLOTS_MAX) as u32);
        let slots = config.slots.unwrap_or(if device.is_cpu() { cores } else { 1 });
        let numerics = engine::numerics_class(&device);
        let metrics = Arc::new(Metrics::new(slots, name, numerics)?);
        let artifacts = Artifacts::open(&config.artifacts())?;
        let settings = || store::Config {
            namespace: config.namespace.clone(),
            lease_ms: config.lease_seconds * 1_000,
            ..store::Config::new(&config.redis_url)
        };
        let store = loop {
            match Store::connect(settings()).await {
                Ok(store) => break store,
                Err(error) if !*stopping.borrow() => tracing::warn!("Waiting for Redis: {error}"),
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(retry()).await;
        };
        let id = format!("{}-{}-{}", process::host_name(), std::process::id(), &Nonce::random().to_string()[..6]);
        let me = Trainer { id, numerics: numerics.into(), device: name.into(), class, slots, running: Vec::new() };
        tracing::info!(trainer = me.id, slots, device = name, numerics, "Training on {slots} slots of {name} ({numerics})");
        let catalog = Arc::new(Catalog::new(config.data_dir.join("datasets")));
        let slots_free = Arc::new(Semaphore::new(slots as usize));
        let (running, refused) = Default::default();
        let memory = Arc::new(Memory::free());
        Ok(Worker {
            store,
            artifacts,
            catalog,
            memory,
            company: Arc::default(),
            metrics,
            device,
            slots: slots_free,
            stopping,
            me,
            running,
            refused,
            checkpoint_seconds: config.checkpoint_seconds,
        })
    }

    /// Claims nothing of this dataset for [`limits::REFUSE_SECONDS`].
    pub(crate) fn refuse(&self, dataset_hash: &str) {
        lock(&self.refused).insert(dataset_hash.to_owned(), Instant::now());
    }

    /// The datasets that are refused now.
    fn refused(&self) -> Vec<String> {
        let mut refused = lock(&self.refused);
        refused.retain(|_, since| since.elapsed() < Duration::from_secs(limits::REFUSE_SECONDS));
        refused.keys().take(limits::REFUSED_MAX).cloned().collect()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Resolves at shutdown.
    pub(crate) async fn stopped(&self) {
        // The sender outlives every worker: an error means the same.
        let _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
    }
}

/// Claims as many trials as there are free slots, until shutdown; then waits for those that run to be handed back.
async fn claim(worker: &Arc<Worker>) {
    let mut trials = JoinSet::new();
    while !worker.is_stopping() {
        while trials.try_join_next().is_some() {}
        let Some(permits) = free_slots(worker).await else { break };
        let claim = Claim::new(&worker.me, worker.refused(), permits.len());
        let leases = leases(worker, &claim).await;
        if leases.is_empty() {
            drop(permits);
            wait_for_work(worker).await;
            continue;
        }
        for (lease, permit) in leases.into_iter().zip(permits) {
            trials.spawn(see_through(worker.clone(), lease, permit));
        }
    }
    while trials.join_next().await.is_some() {}
}

/// Waits for a free slot and takes all that are free; none at shutdown.
async fn free_slots(worker: &Worker) -> Option<Vec<OwnedSemaphorePermit>> {
    let first = tokio::select! {
        permit = worker.slots.clone().acquire_owned() => permit.ok()?,
        () = worker.stopped() => return None,
    };
    let mut permits = vec![first];
    while permits.len() < limits::CLAIMS_MAX {
        let Ok(permit) = worker.slots.clone().try_acquire_owned() else { break };
        permits.push(permit);
    }
    Some(permits)
}

/// Sends the very same claim until it is answered: a lost answer's leases come with the next.
async fn leases(worker: &Worker, claim: &Claim) -> Vec<Lease> {
    let mut warned = false;
    loop {
        match worker.store.claim(claim).await {
            Ok(leases) => return leases,
            Err(_) if worker.is_stopping() => return Vec::new(),
            Err(error) if !warned => tracing::warn!("Cannot claim trials, trying on: {error}"),
            Err(_) => {}
        }
        warned = true;
        tokio::select! { () = tokio::time::sleep(retry()) => {}, () = worker.stopped() => {} }
    }
}

async fn wait_for_work(worker: &Worker) {
    let classes = worker.me.classes();
    let wait = worker.store.wait_for_work(&classes, worker.store.tick());
    tokio::select! {
        waited = wait => if waited.is_err() {
            tokio::time::sleep(retry()).await;
        },
        () = worker.stopped() => {}
    }
}

/// One trial from its lease to its acknowledged end, in its slot.
async fn see_through(worker: Arc<Worker>, lease: Lease, permit: OwnedSemaphorePermit) {
    let me = (lease.study, lease.number);
    lock(&worker.running).push(me);
    worker.metrics.busy.inc();
    attempt::attempt(&worker, lease).await;
    worker.metrics.busy.dec();
    lock(&worker.running).retain(|other| *other != me);
    drop(permit);
}

/// Keeps the trainer listed, with what it runs.
async fn show_up(worker: Arc<Worker>) {
    loop {
        let me = Trainer { running: lock(&worker.running).clone(), ..worker.me.clone() };
        if let Err(error) = worker.store.heartbeat_trainer(&me).await {
            tracing::debug!("No heartbeat of the trainer: {error}");
        }
        tokio::time::sleep(jittered(Duration::from_millis(limits::TRAINER_TTL_MS / 12))).await;
    }
}

/// Does what time alone must do, beside all other processes that do it too: expired leases, deleted studies, studies that want trials.
async fn reap(worker: Arc<Worker>) {
    loop {
        tokio::time::sleep(jittered(worker.store.tick())).await;
        let done = async {
            let reaped = worker.store.reap().await?;
            for study in reaped.deleted {
                if let Err(error) = worker.store.purge(study, &worker.artifacts).await {
                    tracing::warn!("Study {study} is deleted, but not all of its files and keys yet; this is tried again: {error}");
                }
            }
            worker.store.drain_wanted().await
        };
        if let Err(error) = done.await {
            tracing::debug!("The reaper's tick failed: {error}");
        }
    }
}

/// The time between two tries while Redis is away.
pub(crate) fn retry() -> Duration {
    jittered(Duration::from_millis(limits::TRAINER_RETRY_MS))
}

/// The duration ± 20 %, so that many trainers don't come at once.
pub(crate) fn jittered(duration: Duration) -> Duration {
    let unit = f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX);
    duration.mul_f64(0.8 + 0.4 * unit)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

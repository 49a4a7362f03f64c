//! Claims trials while slots are free, and owns everything that runs.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::limits;
use anyhow::Context;
use candle_core::Device;
use data::Catalog;
use hpo::study::DeviceClass;
use store::artifact::Artifacts;
use store::{Claim, Lease, Nonce, Store, StudyId, Tick, Trainer, jittered};
use tokio::net::TcpListener;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, RwLock, Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::device::DeviceInfo;
use crate::health::Health;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::refused::Refused;
use crate::{attempt, device, page, process};

/// A device of this machine, its slots, and what their trials share.
pub(crate) struct Worker {
    pub(crate) store: Store,
    pub(crate) artifacts: Artifacts,
    /// That of the artifacts.
    pub(crate) health: Arc<Health>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) checkpoint_seconds: u64,
    /// Turns true once, at shutdown.
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) device: DeviceInfo,
    pub(crate) memory: Arc<Memory>,
    /// Held together by trials that may have company, alone by one that may not.
    pub(crate) company: Arc<RwLock<()>>,
    /// A permit for each slot.
    slots: Arc<Semaphore>,
    /// A handle of the device for each slot that is free.
    handles: Mutex<Vec<Device>>,
    me: Trainer,
    running: Mutex<Vec<(StudyId, u64)>>,
    /// The datasets that this machine lacks.
    pub(crate) refused: Arc<Refused>,
}

/// Runs a trainer until `shutdown` resolves; then it hands its trials back and returns. Errors are
/// of the start only: an address that is taken, a folder that cannot be made, a device that is not
/// there. A Redis that is away is waited for.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let devices = device::devices().context(
        "there is nothing to train on; a trainer built without the features cuda and metal trains on the CPU",
    )?;
    run_on(devices, config, shutdown).await
}

/// As [`run`], on these devices.
pub(crate) async fn run_on(
    devices: Vec<DeviceInfo>,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (stop, stopping) = watch::channel(false);
    let work = async {
        let (workers, metrics) = start(devices, &config, stopping.clone()).await?;
        let page = match config.metrics_listen {
            Some(address) => Some(
                TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?,
            ),
            None => None,
        };
        let mut chores = JoinSet::new();
        if let Some(listener) = page {
            tracing::info!("Serving metrics on http://{}", listener.local_addr()?);
            chores.spawn(page::serve(listener, metrics));
        }
        let mut claims = JoinSet::new();
        for worker in workers.iter().take(1) {
            chores.spawn(tend(worker.clone()));
            let health = worker.health.clone();
            chores.spawn(async move { health.watch().await });
        }
        for worker in &workers {
            chores.spawn(show_up(worker.clone()));
            claims.spawn(claim(worker.clone()));
        }
        ended(&mut claims, &mut chores).await?;
        chores.shutdown().await;
        let mut leaves = JoinSet::new();
        leaves.extend(workers.into_iter().map(|worker| async move {
            let leave = worker.store.forget_trainer(&worker.me.id);
            let _ = tokio::time::timeout(Duration::from_millis(limits::LEAVE_MS), leave).await;
        }));
        while leaves.join_next().await.is_some() {}
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

/// Waits until nothing is claimed any more. It is an error if a chore ends before: a trainer that
/// is no longer listed, that reaps nothing, or whose page is gone, is half dead and nobody would
/// know.
async fn ended(claims: &mut JoinSet<()>, chores: &mut JoinSet<()>) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            ended = claims.join_next() => match ended {
                Some(ended) => ended?,
                None => return Ok(()),
            },
            Some(ended) = chores.join_next() => {
                ended?;
                anyhow::bail!("a task that goes on as long as the trainer does has ended");
            }
        }
    }
}

/// A worker for each device, and what all of them show.
async fn start(
    devices: Vec<DeviceInfo>,
    config: &Config,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<(Vec<Arc<Worker>>, Arc<Metrics>)> {
    let slots = config.machine.slots.unwrap_or_else(|| slots(&devices));
    let metrics = Arc::new(Metrics::new(slots * devices.len() as u32, &devices)?);
    let artifacts =
        Artifacts::open(&config.service.artifacts(&config.machine))?.with_scratch(&config.machine.data_dir);
    let health = Arc::new(Health::new(artifacts.clone(), metrics.artifacts_fault.clone()));
    let catalog = Arc::new(Catalog::new(config.machine.datasets()));
    let refused = Arc::new(Refused::new(catalog.clone()));
    let store = connect(config, &stopping).await?;
    let process =
        format!("{}-{}-{}", process::host_name(), std::process::id(), &Nonce::random().to_string()[..6]);
    let mut workers = Vec::with_capacity(devices.len());
    for device in devices {
        let name = device.name();
        let missing = || format!("the device {name} cannot be used");
        let handles =
            (0..slots).map(|_| device.open()).collect::<Result<Vec<Device>, _>>().with_context(missing)?;
        let free = device.free_memory().with_context(missing)?;
        let memory = Arc::new(match device.class {
            DeviceClass::Cpu => Memory::of(free, 1).with_datasets(catalog.clone()),
            _ => Memory::of(free, limits::GPU_MEMORY_MARGIN),
        });
        let id = if device.class == DeviceClass::Cpu { process.clone() } else { format!("{process}-{name}") };
        let me = Trainer {
            id,
            numerics: device.numerics.clone(),
            device: name,
            class: device.class,
            slots,
            memory_bytes: memory.bytes(),
            running: Vec::new(),
            refused: Vec::new(),
            faults: Vec::new(),
        };
        let DeviceInfo { model, numerics, .. } = &device;
        tracing::info!(
            trainer = me.id,
            slots,
            device = me.device,
            numerics,
            "Training on {slots} slots of {} ({model}, {memory})",
            me.device
        );
        workers.push(Arc::new(Worker {
            store: store.clone(),
            artifacts: artifacts.clone(),
            health: health.clone(),
            catalog: catalog.clone(),
            metrics: metrics.clone(),
            checkpoint_seconds: config.checkpoint_seconds,
            stopping: stopping.clone(),
            device,
            memory,
            company: Arc::default(),
            slots: Arc::new(Semaphore::new(slots as usize)),
            handles: Mutex::new(handles),
            me,
            running: Mutex::default(),
            refused: refused.clone(),
        }));
    }
    Ok((workers, metrics))
}

/// Slots of each device where nobody says how many: each keeps a core busy, on a GPU too, which is
/// fed from there.
fn slots(devices: &[DeviceInfo]) -> u32 {
    let cores =
        std::thread::available_parallelism().map_or(1, |cores| cores.get().min(limits::SLOTS_MAX) as u32);
    match devices {
        [device] if device.class == DeviceClass::Cpu => cores,
        gpus => (cores / gpus.len() as u32).clamp(1, limits::GPU_SLOTS),
    }
}

/// The store, once Redis is there. A Redis that refuses for good, as with a wrong password, is not
/// waited for.
async fn connect(config: &Config, stopping: &watch::Receiver<bool>) -> anyhow::Result<Store> {
    loop {
        let settings = store::Config {
            tls: config.service.tls.clone(),
            namespace: config.namespace.clone(),
            lease_ms: config.service.lease_seconds * 1_000,
            ..store::Config::new(&config.redis_url)
        };
        match Store::connect(settings).await {
            Ok(store) => return Ok(store),
            Err(error) if error.may_pass() && !*stopping.borrow() => {
                tracing::warn!("Waiting for Redis: {error}")
            }
            Err(error) => return Err(anyhow::Error::new(error).context("cannot use Redis")),
        }
        tokio::time::sleep(retry()).await;
    }
}

/// A slot's handle of a worker's device, given back when this is dropped.
pub(crate) struct Handle<'a> {
    pub(crate) device: Device,
    worker: &'a Worker,
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        lock(&self.worker.handles).push(self.device.clone());
    }
}

impl Worker {
    /// A handle of the device that no other trial uses; there are as many as slots.
    pub(crate) fn handle(&self) -> Option<Handle<'_>> {
        let device = lock(&self.handles).pop()?;
        Some(Handle { device, worker: self })
    }

    /// Whether more than one trial runs on the device.
    pub(crate) fn trains_others(&self) -> bool {
        lock(&self.running).len() > 1
    }

    /// Whether another trainer on such a device has a free slot and no fault, and was heard of
    /// lately. None has, as far as a Redis that is away can tell.
    pub(crate) async fn has_idle_peer(&self) -> bool {
        let mut all = self.store.trainers().await.unwrap_or_default();
        let newest = all.iter().map(|record| record.seen_at_ms).max().unwrap_or_default();
        all.retain(|record| newest - record.seen_at_ms <= limits::PEER_SEEN_MS);
        let mut others = all
            .iter()
            .map(|record| &record.trainer)
            .filter(|other| other.id != self.me.id && other.class == self.me.class);
        others.any(|other| other.faults.is_empty() && other.running.len() < other.slots as usize)
    }

    /// Its name among all that are connected.
    pub(crate) fn name(&self) -> &str {
        &self.me.id
    }

    /// What it says of itself now.
    fn line(&self) -> Trainer {
        let (running, refused) = (lock(&self.running).clone(), self.refused.reasons());
        Trainer { running, refused, faults: self.health.fault().into_iter().collect(), ..self.me.clone() }
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

/// Claims as many trials as there are free slots, until shutdown; then waits for those that run to
/// be handed back.
async fn claim(worker: Arc<Worker>) {
    let worker = &worker;
    let mut trials = JoinSet::new();
    // Held by a trial that runs alone: what came beside it would wait here, while another trainer
    // could train it.
    let alone = Arc::new(tokio::sync::Mutex::new(()));
    // What cannot be handed in is not begun.
    tokio::select! { _ = worker.health.is_well() => {}, () = worker.stopped() => return }
    while !worker.is_stopping() {
        while trials.try_join_next().is_some() {}
        tokio::select! { _ = alone.lock() => {}, () = worker.stopped() => break }
        let Some(permits) = free_slots(worker).await else { break };
        tokio::select! { () = worker.health.well() => {}, () = worker.stopped() => break }
        let refused = worker.refused.clone();
        // Files may lie on a disk that hangs.
        tokio::select! { _ = tokio::task::spawn_blocking(move || refused.lift()) => {}, () = worker.stopped() => break }
        let refused = worker.refused.ids();
        // A claim names no more of them: the next trial may be of one that it does not name, again
        // and again.
        if refused.len() == limits::REFUSED_MAX {
            tokio::select! { () = tokio::time::sleep(retry()) => {}, () = worker.stopped() => break }
        }
        let claim = Claim::new(&worker.me, refused, permits.len());
        let leases = leases(worker, &claim).await;
        if leases.is_empty() {
            drop(permits);
            wait_for_work(worker).await;
            continue;
        }
        for (lease, permit) in leases.into_iter().zip(permits) {
            // A claim ends with the first that runs alone, so that nobody else holds it.
            let alone = if lease.alone { alone.clone().try_lock_owned().ok() } else { None };
            trials.spawn(see_through(worker.clone(), lease, (permit, alone)));
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
async fn see_through(
    worker: Arc<Worker>,
    lease: Lease,
    slot: (OwnedSemaphorePermit, Option<OwnedMutexGuard<()>>),
) {
    let me = (lease.study, lease.number);
    lock(&worker.running).push(me);
    worker.metrics.busy.inc();
    attempt::attempt(&worker, lease).await;
    worker.metrics.busy.dec();
    // One of them: where its lease was lost, the next attempt may be here too.
    let mut running = lock(&worker.running);
    if let Some(at) = running.iter().position(|other| *other == me) {
        running.swap_remove(at);
    }
    drop(running);
    drop(slot);
}

/// Keeps the trainer listed, with what it runs; what keeps it from claiming is told at once.
async fn show_up(worker: Arc<Worker>) {
    let (mut faults, mut refused) = (worker.health.subscribe(), worker.refused.subscribe());
    loop {
        if let Err(error) = worker.store.heartbeat_trainer(&worker.line()).await {
            tracing::debug!("No heartbeat of the trainer: {error}");
        }
        tokio::select! {
            () = tokio::time::sleep(jittered(Duration::from_millis(limits::TRAINER_TTL_MS / 12))) => {}
            _ = faults.changed() => {}
            _ = refused.changed() => {}
        }
    }
}

/// Takes part in what any process does with every tick.
async fn tend(worker: Arc<Worker>) {
    let next = || if worker.health.fault().is_some() { Tick::TakeQuietly } else { Tick::Take };
    worker.store.tend_forever(&worker.artifacts, next).await;
}

/// The time between two tries while Redis is away.
pub(crate) fn retry() -> Duration {
    jittered(Duration::from_millis(limits::TRAINER_RETRY_MS))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_chore_that_ends_or_panics_ends_the_trainer_with_an_error() {
        let [ends, panics]: [fn(); 2] = [|| (), || panic!("on purpose")];
        for chore in [ends, panics] {
            let (mut claims, mut chores) = (JoinSet::new(), JoinSet::new());
            claims.spawn(std::future::pending());
            chores.spawn(std::future::pending());
            chores.spawn(async move { chore() });
            assert!(ended(&mut claims, &mut chores).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_trainer_ends_in_order_once_nothing_is_claimed_any_more() {
        let (mut claims, mut chores) = (JoinSet::new(), JoinSet::new());
        claims.spawn(async {});
        chores.spawn(std::future::pending());
        ended(&mut claims, &mut chores).await.unwrap();
    }
}

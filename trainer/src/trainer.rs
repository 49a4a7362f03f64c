//! The trainer as a whole: a worker for each device, what they share, and the order in which all of
//! it ends.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use candle_core::Device;
use data::Catalog;
use hpo::study::DeviceClass;
use store::artifact::Artifacts;
use store::{Store, Tick, Trainer, jittered};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::backoff::retry;
use crate::claim::claim;
use crate::config::Config;
use crate::device::DeviceInfo;
use crate::health::Health;
use crate::limits;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::refused::Refused;
use crate::worker::Worker;
use crate::{device, page, process};

/// Runs a trainer until `shutdown` resolves; then it hands its trials back and returns. Errors are
/// of the start only: an address that is taken, a folder that cannot be made, a device that is not
/// there. A Redis that does not answer is waited for.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let devices = device::devices().context(
        "no GPU can be used; a trainer built without the features cuda and metal trains on the CPU",
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
    let mut work = std::pin::pin!(work(devices, config, stopping));
    tokio::select! {
        ended = &mut work => return ended,
        () = shutdown => {}
    }
    let _ = stop.send(true);
    work.await
}

/// Starts everything, and returns once all trials are handed back.
async fn work(
    devices: Vec<DeviceInfo>,
    config: Config,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let (workers, metrics) = start(devices, &config, stopping).await?;
    let mut chores = JoinSet::new();
    if let Some(address) = config.metrics_listen {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
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
        chores.spawn(stay_listed(worker.clone()));
        claims.spawn(claim(worker.clone()));
    }
    ended(&mut claims, &mut chores).await?;
    chores.shutdown().await;
    let mut leaves = JoinSet::new();
    leaves.extend(workers.into_iter().map(|worker| async move {
        let leave = worker.store.forget_trainer(worker.name());
        let _ = tokio::time::timeout(Duration::from_millis(limits::LEAVE_MS), leave).await;
    }));
    while leaves.join_next().await.is_some() {}
    tracing::info!("Stopped");
    Ok(())
}

/// Waits until nothing is claimed any more. It is an error if a chore ends before: a trainer that
/// is no longer listed, that reaps nothing, or whose page is gone, is half dead, and nobody would
/// notice.
async fn ended(claims: &mut JoinSet<()>, chores: &mut JoinSet<()>) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            ended = claims.join_next() => match ended {
                Some(ended) => ended?,
                None => return Ok(()),
            },
            Some(ended) = chores.join_next() => {
                ended?;
                anyhow::bail!("a task that must run as long as the trainer has ended");
            }
        }
    }
}

/// A worker for each device, and the metrics of all of them.
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
    let process = process::name();
    let mut workers = Vec::with_capacity(devices.len());
    for device in devices {
        let (handles, memory) = opened(&device, slots, &catalog)
            .with_context(|| format!("the device {} cannot be used", device.name()))?;
        let trainer = description(&process, &device, slots, &memory);
        let DeviceInfo { model, numerics, .. } = &device;
        tracing::info!(
            trainer = trainer.id,
            slots,
            device = trainer.device,
            numerics,
            "Training on {} with {slots} slots ({model}, {memory})",
            trainer.device
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
            exclusivity: Arc::default(),
            slots: Arc::new(Semaphore::new(slots as usize)),
            handles: Mutex::new(handles),
            trainer,
            running: Mutex::default(),
            refused: refused.clone(),
        }));
    }
    Ok((workers, metrics))
}

/// A handle of a device for each slot, and the memory that is free on it.
fn opened(
    device: &DeviceInfo,
    slots: u32,
    catalog: &Arc<Catalog>,
) -> candle_core::Result<(Vec<Device>, Arc<Memory>)> {
    let handles = (0..slots).map(|_| device.open()).collect::<Result<_, _>>()?;
    let free = device.free_memory()?;
    let memory = match device.class {
        DeviceClass::Any | DeviceClass::Cpu => Memory::new(free, 1).with_datasets(catalog.clone()),
        DeviceClass::Cuda | DeviceClass::Metal => Memory::new(free, limits::GPU_MEMORY_MARGIN),
    };
    Ok((handles, Arc::new(memory)))
}

/// What a worker says of itself before it runs anything.
fn description(process: &str, device: &DeviceInfo, slots: u32, memory: &Memory) -> Trainer {
    let name = device.name();
    let id = match device.class {
        DeviceClass::Any | DeviceClass::Cpu => process.to_owned(),
        DeviceClass::Cuda | DeviceClass::Metal => format!("{process}-{name}"),
    };
    Trainer {
        id,
        numerics: device.numerics.clone(),
        device: name,
        class: device.class,
        slots,
        memory_bytes: memory.bytes(),
        running: Vec::new(),
        refused: Vec::new(),
        faults: Vec::new(),
    }
}

/// The slots of each device by default. Each keeps a core busy, also on a GPU, which the core
/// feeds.
fn slots(devices: &[DeviceInfo]) -> u32 {
    let cores =
        std::thread::available_parallelism().map_or(1, |cores| cores.get().min(limits::SLOTS_MAX) as u32);
    match devices {
        [device] if device.class == DeviceClass::Cpu => cores,
        gpus => (cores / gpus.len() as u32).clamp(1, limits::GPU_SLOTS),
    }
}

/// The store, once Redis answers. An error that stays, such as a wrong password, is not waited for.
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
            Err(error) => return Err(anyhow::Error::new(error).context("cannot connect to Redis")),
        }
        tokio::time::sleep(retry()).await;
    }
}

/// Keeps a worker listed, with what it runs; what keeps it from claiming is told at once.
async fn stay_listed(worker: Arc<Worker>) {
    let (mut faults, mut refused) = (worker.health.subscribe(), worker.refused.subscribe());
    loop {
        if let Err(error) = worker.store.heartbeat_trainer(&worker.description()).await {
            tracing::debug!("The trainer's heartbeat failed: {error}");
        }
        tokio::select! {
            () = tokio::time::sleep(jittered(Duration::from_millis(limits::TRAINER_TTL_MS / 12))) => {}
            _ = faults.changed() => {}
            _ = refused.changed() => {}
        }
    }
}

/// Takes part in what any process does with every tick; a fault of the artifacts is told elsewhere.
async fn tend(worker: Arc<Worker>) {
    let next = || if worker.health.fault().is_some() { Tick::TakeQuietly } else { Tick::Take };
    worker.store.tend_forever(&worker.artifacts, next).await;
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

//! How long a trial waits for a trainer that waits for it, and how many trials a queue hands out.
//!
//! The store on a Redis that keeps every write (`appendfsync always`). `queue_enqueue_to_claim`:
//! from before `top_up` of a study with one trial, which reads the study, suggests the trial and
//! stores it, to the return of the claim of a trainer that was blocked, on a connection of its own
//! as if in another process; over all turns. `queue_claim_finish`: one client claims a trial, then
//! finishes it, and so on; the median of the turns.
//!
//! The peer is Optuna with its journal in the same Redis: `enqueue_trial`, then `ask`, one after
//! the other in one process, since its workers cannot wait for a trial; the median too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hpo::Study;
use hpo::dataset::DatasetSchema;
use hpo::study::DeviceClass;
use serde_json::{Value as Json, json};
use store::{Ack, Claim, Config, End, Lease, NewStudy, Store, StudyId, Trainer};
use tests::TestRedis;

use crate::peer::Peer;
use crate::{TURNS, figure, median, quantile, ratio};

/// Trials enqueued for a waiting trainer in a turn.
const WAITED_FOR: usize = 300;
/// Trials in the full queue.
const QUEUED: u64 = 2_000;

/// Prints the figures of the queue.
pub(crate) fn measure() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let redis = TestRedis::start();
    let peer = Peer::with("optuna, redis");
    let (mut waits, mut theirs, mut per_second) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        waits.extend(runtime.block_on(enqueue_to_claim(&redis.url()))?);
        if let Some(peer) = &peer {
            theirs.push(peer.run("optuna_queue.py", &[&redis.url(), &WAITED_FOR.to_string()])?);
        }
        per_second.push(runtime.block_on(claim_finish(&redis.url()))?);
    }
    figure("queue_enqueue_to_claim_p50", median(&waits), "ms");
    figure("queue_enqueue_to_claim_p99", quantile(&waits, 0.99), "ms");
    if peer.is_some() {
        figure("queue_enqueue_to_claim_p50_optuna", median(&theirs), "ms");
        ratio("queue_enqueue_to_claim_p50", "optuna", median(&theirs) / median(&waits));
    }
    figure("queue_claim_finish", median(&per_second), "trials/s");
    Ok(())
}

/// Milliseconds from the enqueueing of a trial to its claim, many times.
async fn enqueue_to_claim(redis: &str) -> anyhow::Result<Vec<f64>> {
    let (api, trainer) =
        (Store::connect(Config::new(redis)).await?, Store::connect(Config::new(redis)).await?);
    let mut waits = Vec::new();
    for _ in 0..WAITED_FOR {
        let waiting = tokio::spawn(next_lease(trainer.clone()));
        let study = create(&api, json!({"max_trials": 1})).await?;
        // Long enough for the trainer to block.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let begun = Instant::now();
        api.top_up(study).await?;
        let (lease, claimed) = waiting.await??;
        waits.push((claimed - begun).as_secs_f64() * 1e3);
        finish(&trainer, &lease).await?;
    }
    Ok(waits)
}

/// Claims and finishes each trial of a full queue; returns trials per second.
async fn claim_finish(redis: &str) -> anyhow::Result<f64> {
    let store = Store::connect(Config::new(redis)).await?;
    let study = create(&store, json!({"max_trials": QUEUED, "max_parallel": QUEUED})).await?;
    ensure!(store.top_up(study).await? == QUEUED, "the queue did not take all trials");
    let begun = Instant::now();
    for _ in 0..QUEUED {
        let lease = claim(&store).await?.context("the queue is empty")?;
        finish(&store, &lease).await?;
    }
    Ok(QUEUED as f64 / begun.elapsed().as_secs_f64())
}

/// Waits for a trial as a trainer does; returns when it was claimed.
async fn next_lease(store: Store) -> anyhow::Result<(Lease, Instant)> {
    loop {
        if let Some(lease) = claim(&store).await? {
            return Ok((lease, Instant::now()));
        }
        store.wait_for_work(&trainer().classes(), store.tick()).await?;
    }
}

async fn claim(store: &Store) -> anyhow::Result<Option<Lease>> {
    Ok(store.claim(&Claim::new(&trainer(), Vec::new(), 1)).await?.pop())
}

async fn finish(store: &Store, lease: &Lease) -> anyhow::Result<()> {
    let ack = store.finish(lease, &End::Completed { value: 0.5, best_epoch: 1 }).await?;
    ensure!(matches!(ack, Ack::Accepted { .. }), "the end of {lease:?} is stale");
    Ok(())
}

fn trainer() -> Trainer {
    Trainer {
        id: "bench".into(),
        numerics: "cpu".into(),
        device: "cpu".into(),
        class: DeviceClass::Cpu,
        slots: 1,
        memory_bytes: u64::MAX,
        running: Vec::new(),
        refused: Vec::new(),
        faults: Vec::new(),
    }
}

/// Creates a study of the space of `digits-random`, with these fields too; it has no trials yet.
async fn create(store: &Store, fields: Json) -> anyhow::Result<StudyId> {
    let mut document = tests::example("digits-random");
    for (name, value) in fields.as_object().context("fields")? {
        document[name] = value.clone();
    }
    let study = Study::parse(&document).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let id = StudyId::generate();
    let dataset = DatasetSchema {
        shape: vec![8, 8],
        dtype: "uint8".into(),
        rows: 1797,
        classes: Some(10),
        scale_max: Some(16.0),
        hash: "bench".into(),
        ..DatasetSchema::default()
    };
    Ok(store
        .create_study(NewStudy { id, study: Arc::new(study), dataset, preflight: Json::Null }, None)
        .await?
        .study
        .id)
}

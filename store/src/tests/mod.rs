//! The store against a real Redis, each test with a private one and a clock of its own.

mod failures;
mod fairness;
mod faults;
mod life;
mod memory;
mod reads;
mod removal;
mod studies;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hpo::dataset::DatasetSchema;
use hpo::study::{DeviceClass, Study};
use hpo::trial::ErrorKind;
use serde_json::{Value, json};

use crate::audit::audit;
use crate::test_server::TestRedis;
use crate::*;

/// A store on a private Redis whose time stands still until `pass`.
pub(crate) struct Bench {
    pub(crate) store: Store,
    now: Arc<AtomicU64>,
    pub(crate) redis: TestRedis,
}

pub(crate) const START_MS: u64 = 1_800_000_000_000;

impl Bench {
    pub(crate) async fn new() -> Bench {
        let redis = TestRedis::start_volatile();
        let now = Arc::new(AtomicU64::new(START_MS));
        let config = Config { now_ms: Some(now.clone()), ..Config::new(redis.url()) };
        Bench { store: Store::connect(config).await.unwrap(), now, redis }
    }

    /// Lets time pass, the reaper ticking as it does while processes are there.
    pub(crate) async fn pass(&self, ms: u64) {
        let tick = self.store.tick().as_millis() as u64;
        for step in (0..ms).step_by(tick as usize) {
            self.jump(tick.min(ms - step));
            self.store.reap().await.unwrap();
        }
    }

    /// Lets time pass with nobody there.
    pub(crate) fn jump(&self, ms: u64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// A study with these fields instead of the defaults, and its queue filled.
    pub(crate) async fn study(&self, fields: Value) -> StudyId {
        let new = new_study(fields);
        let created = self.store.create_study(new, None).await.unwrap();
        assert!(created.fresh);
        self.store.top_up(created.study.id).await.unwrap();
        created.study.id
    }

    /// One lease for trainer `id`.
    pub(crate) async fn claim(&self, id: &str) -> Option<Lease> {
        self.claims(id, 1).await.pop()
    }

    pub(crate) async fn claims(&self, id: &str, count: usize) -> Vec<Lease> {
        self.store.claim(&Claim::new(&trainer(id), vec![], count)).await.unwrap()
    }

    pub(crate) async fn finish(&self, lease: &Lease, end: End) -> Ack {
        let ack = self.store.finish(lease, &end).await.unwrap();
        // Every script applied twice is applied once.
        assert_eq!(self.store.finish(lease, &end).await.unwrap() == Ack::Stale, ack == Ack::Stale);
        ack
    }

    pub(crate) async fn trial(&self, id: StudyId, number: u64) -> TrialRecord {
        self.store.trial(id, number).await.unwrap().unwrap()
    }

    pub(crate) async fn record(&self, id: StudyId) -> StudyRecord {
        self.store.study(id).await.unwrap().unwrap()
    }

    pub(crate) async fn healthy(&self) {
        assert_eq!(audit(&self.store).await.unwrap(), Vec::<String>::new());
    }
}

pub(crate) fn trainer(id: &str) -> Trainer {
    Trainer {
        id: id.into(),
        numerics: "cpu-1".into(),
        device: "a test".into(),
        class: DeviceClass::Cpu,
        slots: 2,
        memory_bytes: u64::MAX,
        running: vec![],
        refused: vec![],
        faults: vec![],
    }
}

pub(crate) fn completed(value: f64) -> End {
    End::Completed { value, best_epoch: 1 }
}

pub(crate) fn failed(kind: ErrorKind) -> End {
    End::Failed { kind, message: "it broke".into(), beside_others: false }
}

/// Ids that rise with every call.
pub(crate) fn new_id() -> StudyId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    StudyId::parse(&format!("01JDXA5ZK3{:016}", NEXT.fetch_add(1, Ordering::Relaxed))).unwrap()
}

pub(crate) fn new_study(fields: Value) -> NewStudy {
    let mut document = json!({
        "name": "test", "seed": 7,
        "space": [{"name": "learning_rate", "type": "float", "min_value": 1e-4, "max_value": 1e-1, "sampling": "log"}],
        "network": [{"layer": "Dense", "units": 3, "activation": "softmax"}],
        "training": {"optimizer": {"name": "adam", "learning_rate": {"hp": "learning_rate"}}, "loss": "sparse_categorical_crossentropy",
                     "metrics": ["accuracy"], "batch_size": 32, "epochs": 2},
        "dataset": {"source": "builtin:iris", "validation_split": 0.2},
        "objective": {"metric": "val_accuracy", "direction": "maximize"},
        "max_trials": 3
    });
    for (name, value) in fields.as_object().unwrap() {
        if value.is_null() {
            document.as_object_mut().unwrap().remove(name);
        } else {
            document[name] = value.clone();
        }
    }
    let study = Study::parse(&document).unwrap_or_else(|problems| panic!("{problems:?}"));
    let dataset = DatasetSchema {
        shape: vec![4],
        dtype: "float32".into(),
        rows: 150,
        classes: Some(3),
        hash: "abc".into(),
        ..DatasetSchema::default()
    };
    NewStudy { id: new_id(), study: Arc::new(study), dataset, preflight: json!({"points": null}) }
}

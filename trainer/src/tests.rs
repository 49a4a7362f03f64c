//! A trainer in this process, against a Redis of its own.

pub(crate) mod counted;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hpo::Study;
use hpo::study::DeviceClass;
use hpo::trial::{AttemptEnd, ErrorKind, TrialState, WaitingFor};
use serde_json::{Value as Json, json};
use store::artifact::Artifacts;
use store::embedded::Embedded;
use store::flags::{Machine, Service};
use store::{Claim, Curve, End, NewStudy, Store, StudyId, Trainer, TrialRecord};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Config;
use crate::device::DeviceInfo;

/// A private Redis, a store on it, and a folder for everything.
struct TestService {
    folder: tempfile::TempDir,
    redis: Embedded,
    store: Store,
}

impl TestService {
    async fn new() -> TestService {
        let folder = tempfile::tempdir().unwrap();
        let redis = Embedded::start(&folder.path().join("redis")).unwrap();
        let store = Store::connect(store::Config::new(redis.url())).await.unwrap();
        TestService { folder, redis, store }
    }

    /// A study of the iris data, with these changes to its document; the hash is that of the data,
    /// unless another is given.
    async fn study(&self, changes: Json, hash: Option<&str>) -> StudyId {
        let mut document = json!({
            "name": "test", "seed": 7, "dataset": {"source": "builtin:iris", "scale": "standardize", "validation_split": 0.2},
            "network": [{"layer": "Dense", "units": 8, "activation": "tanh"}, {"layer": "Dense", "units": 3, "activation": "softmax"}],
            "space": [{"name": "rate", "type": "float", "min_value": 0.001, "max_value": 0.1, "sampling": "log"}],
            "training": {"optimizer": {"name": "adam", "learning_rate": {"hp": "rate"}}, "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], "epochs": 5},
            "objective": {"metric": "val_accuracy"}, "max_trials": 1, "max_parallel": 2
        });
        for (field, value) in changes.as_object().unwrap() {
            document[field] = value.clone();
        }
        let study = Arc::new(Study::parse(&document).unwrap());
        let mut dataset =
            data::Catalog::new(self.folder.path().join("datasets")).schema(&study.dataset).unwrap();
        dataset.hash = hash.map_or(dataset.hash, str::to_owned);
        let id = StudyId::generate();
        self.store.create_study(NewStudy { id, study, dataset, preflight: json!({}) }, None).await.unwrap();
        self.store.top_up(id).await.unwrap();
        id
    }

    fn trainer(&self, slots: u32) -> TestTrainer {
        self.trainer_on(crate::device::devices().unwrap(), slots)
    }

    fn trainer_on(&self, devices: Vec<DeviceInfo>, slots: u32) -> TestTrainer {
        self.start(devices, slots, crate::limits::CHECKPOINT_SECONDS)
    }

    /// A trainer of one slot that writes a checkpoint after each epoch, if it can.
    fn careful_trainer(&self) -> TestTrainer {
        self.start(crate::device::devices().unwrap(), 1, 0)
    }

    fn start(&self, devices: Vec<DeviceInfo>, slots: u32, checkpoint_seconds: u64) -> TestTrainer {
        let config = Config {
            redis_url: self.redis.url().to_owned(),
            machine: Machine { data_dir: self.folder.path().to_owned(), datasets: None, slots: Some(slots) },
            service: Service { tls: store::TlsFiles::default(), artifacts: None, lease_seconds: 1 },
            metrics_listen: None,
            checkpoint_seconds,
            namespace: "chandler".to_owned(),
            parent_death: false,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(crate::trainer::run_on(devices, config, async {
            let _ = stopped.await;
        }));
        TestTrainer { stop, running }
    }

    async fn trial(&self, id: StudyId, number: u64) -> TrialRecord {
        self.store.trial(id, number).await.unwrap().unwrap()
    }

    /// The trial, once it is as asked. A study whose artifacts go while its first trial is trained;
    /// one that is not claimed yet would stay in the queue.
    async fn study_without_artifacts(&self, trials: u32) -> StudyId {
        let training = json!({
            "optimizer": {"name": "adam", "learning_rate": {"hp": "rate"}}, "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], "epochs": 3_000
        });
        let id = self.study(json!({"max_trials": trials, "training": training}), None).await;
        self.when(id, 0, |trial| trial.attempt > 0).await;
        self.take_artifacts_away();
        id
    }

    async fn when(&self, id: StudyId, number: u64, is: impl Fn(&TrialRecord) -> bool) -> TrialRecord {
        for _ in 0..3_000 {
            if let Some(trial) = self.store.trial(id, number).await.unwrap()
                && is(&trial)
            {
                return trial;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it never came: {:?}", self.trial(id, number).await);
    }

    async fn ended(&self, id: StudyId, number: u64) -> TrialRecord {
        self.when(id, number, |trial| trial.state.is_terminal()).await
    }

    async fn artifact(&self, id: StudyId, trial: &TrialRecord) -> Vec<u8> {
        let path = Artifacts::model_path(id, trial.number, trial.attempt, trial.nonce.unwrap());
        let artifacts = Artifacts::open(&self.folder.path().join("artifacts").display().to_string()).unwrap();
        artifacts.get(&path).await.unwrap().to_vec()
    }

    /// Puts a file in the place of the artifacts' folder.
    fn take_artifacts_away(&self) {
        let place = self.folder.path().join("artifacts");
        std::fs::rename(&place, place.with_extension("moved")).unwrap();
        std::fs::write(place, "").unwrap();
    }

    fn bring_artifacts_back(&self) {
        let place = self.folder.path().join("artifacts");
        std::fs::remove_file(&place).unwrap();
        std::fs::rename(place.with_extension("moved"), place).unwrap();
    }

    /// The line of the only trainer, once it is as asked.
    async fn when_listed(&self, is: impl Fn(&Trainer) -> bool) -> Trainer {
        for _ in 0..3_000 {
            let listed = self.store.trainers().await.unwrap();
            if let [record] = &listed[..]
                && is(&record.trainer)
            {
                return record.trainer.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it never came: {:?}", self.store.trainers().await);
    }

    async fn curve(&self, id: StudyId, number: u64) -> Curve {
        self.store.curve(id, number).await.unwrap().unwrap()
    }
}

struct TestTrainer {
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
}

impl TestTrainer {
    async fn stop(self) {
        let _ = self.stop.send(());
        tokio::time::timeout(Duration::from_secs(20), self.running)
            .await
            .expect("it stops")
            .unwrap()
            .unwrap();
    }
}

/// The tensors of an artifact, by name.
fn weights_of(file: &[u8]) -> Vec<(String, Vec<u8>)> {
    let tensors = safetensors::SafeTensors::deserialize(file).unwrap();
    let mut tensors: Vec<_> =
        tensors.iter().map(|(name, tensor)| (name.to_owned(), tensor.data().to_vec())).collect();
    tensors.sort();
    tensors
}

fn long() -> Json {
    json!({"training": {"optimizer": {"name": "adam", "learning_rate": {"hp": "rate"}}, "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], "epochs": 100_000}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_is_trained_to_its_end_and_its_best_weights_are_kept() {
    let service = TestService::new().await;
    let id = service.study(json!({"max_trials": 4}), None).await;
    let trainer = service.trainer(2);
    for number in 0..4 {
        let trial = service.ended(id, number).await;
        let curve = service.curve(id, number).await;
        assert_eq!((trial.state, trial.epoch, curve.epochs.len()), (TrialState::Completed, 5, 5));
        assert_eq!(curve.metrics, ["loss", "accuracy", "val_loss", "val_accuracy"]);
        let best = curve.epochs.iter().fold(f32::MIN, |best, point| best.max(point.values[3]));
        assert_eq!(trial.value.map(|value| value as f32), Some(best));
        let file = service.artifact(id, &trial).await;
        let (_, header) = safetensors::SafeTensors::read_metadata(&file).unwrap();
        let document: Json = serde_json::from_str(&header.metadata().as_ref().unwrap()["chandler"]).unwrap();
        assert_eq!(
            (&document["trial"], &document["input_shape"], &document["network"][0]["units"]),
            (&json!(number), &json!([4]), &json!(8))
        );
        let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
        assert_eq!(tensors.tensor("layers.1.kernel").unwrap().shape(), [8, 3]);
        assert_eq!(
            (
                tensors.tensor("scale.shift").unwrap().shape(),
                tensors.tensor("scale.divisor").unwrap().shape()
            ),
            (&[4][..], &[4][..])
        );
    }
    trainer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_do_not_change_a_bit() {
    let service = TestService::new().await;
    let network = json!([
        {"layer": "Reshape", "target_shape": [4, 1]}, {"layer": "LSTM", "units": 5, "return_sequences": true}, {"layer": "Conv1D", "filters": 4, "kernel_size": 2},
        {"layer": "BatchNormalization"}, {"layer": "MaxPooling1D"}, {"layer": "Flatten"}, {"layer": "Dropout", "rate": 0.2}, {"layer": "GaussianNoise", "stddev": 0.1},
        {"layer": "Dense", "units": 3, "activation": "softmax", "kernel_regularizer": "l2"}
    ]);
    let dataset = json!({"source": "builtin:iris", "scale": "standardize", "folds": 2});
    let mut results = Vec::new();
    for slots in [1, 3] {
        let id = service
            .study(json!({"max_trials": 6, "max_parallel": 6, "network": network, "dataset": dataset}), None)
            .await;
        let trainer = service.trainer(slots);
        let mut of_study = Vec::new();
        for number in 0..6 {
            let trial = service.ended(id, number).await;
            of_study.push((
                service.curve(id, number).await.epochs,
                weights_of(&service.artifact(id, &trial).await),
            ));
        }
        results.push(of_study);
        trainer.stop().await;
    }
    assert!(results[0] == results[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_trial_stops_at_once() {
    let service = TestService::new().await;
    let id = service.study(long(), None).await;
    let trainer = service.trainer(1);
    service.when(id, 0, |trial| trial.epoch > 0).await;
    service.store.cancel_trial(id, 0).await.unwrap();
    let trial = service.ended(id, 0).await;
    assert_eq!(trial.state, TrialState::Cancelled);
    trainer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trainer_that_stops_hands_its_trials_back() {
    let service = TestService::new().await;
    let id = service.study(long(), None).await;
    let trainer = service.trainer(1);
    service.when(id, 0, |trial| trial.epoch > 0).await;
    trainer.stop().await;
    let trial = service.trial(id, 0).await;
    assert_eq!(
        (trial.state, trial.stalls, trial.attempts.last().and_then(|attempt| attempt.end)),
        (TrialState::Queued, 0, Some(AttemptEnd::Released))
    );
    assert!(service.store.trainers().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diverged_trial_fails_as_such_and_an_impossible_one_as_invalid() {
    let service = TestService::new().await;
    let training = json!({"optimizer": {"name": "sgd", "learning_rate": {"hp": "rate"}}, "loss": "mean_squared_error", "epochs": 50});
    let space = json!([{"name": "rate", "type": "fixed", "value": 900.0}]);
    let network = json!([{"layer": "Dense", "units": 1}]);
    let diverging = json!({"training": training, "space": space, "network": network, "objective": {"metric": "loss"}, "dataset": {"source": "builtin:diabetes"}});
    let (diverging, impossible) = (
        service.study(diverging, None).await,
        service.study(json!({"network": [{"layer": "Dense", "units": 2}]}), None).await,
    );
    let trainer = service.trainer(2);
    let error = service.ended(diverging, 0).await.error.unwrap();
    assert_eq!(error.kind, ErrorKind::Diverged, "{}", error.message);
    let error = service.ended(impossible, 0).await.error.unwrap();
    assert_eq!(
        (error.kind, error.message.contains("needs one probability for each of 3 classes: (3)")),
        (ErrorKind::Invalid, true),
        "{}",
        error.message
    );
    trainer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_of_another_hash_is_refused_and_burns_nothing() {
    let service = TestService::new().await;
    let id = service.study(json!({}), Some("another")).await;
    let other = service.study(json!({}), None).await;
    let trainer = service.trainer(1);
    service.ended(other, 0).await;
    let trial = service.when(id, 0, |trial| trial.attempt == 1 && trial.state == TrialState::Queued).await;
    assert_eq!((trial.failures, trial.stalls), (0, 0));
    let error = trial.error.unwrap();
    assert!(
        error.kind == ErrorKind::Refused
            && error.message.contains("differs from the one that the study was created with"),
        "{}",
        error.message
    );
    trainer.stop().await;
    assert_eq!(service.trial(id, 0).await.attempt, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_datasets_than_a_claim_names_are_refused_without_a_storm() {
    let service = TestService::new().await;
    let mut lacking = Vec::new();
    for number in 0..crate::limits::REFUSED_MAX + 6 {
        lacking.push(service.study(json!({}), Some(&format!("another{number}"))).await);
    }
    let trainer = service.trainer(1);
    for id in &lacking {
        service.when(*id, 0, |trial| trial.attempt > 0).await;
    }
    let healthy = service.study(json!({}), None).await;
    assert_eq!(service.ended(healthy, 0).await.state, TrialState::Completed);
    tokio::time::sleep(Duration::from_secs(2)).await;
    trainer.stop().await;
    let mut attempts = 0;
    for id in &lacking {
        attempts += service.trial(*id, 0).await.attempt as usize;
    }
    // One more a second.
    assert!(attempts < 2 * lacking.len(), "{attempts} attempts");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_artifacts_are_away_results_wait_nothing_is_claimed_and_nothing_fails() {
    let service = TestService::new().await;
    let trainer = service.trainer(1);
    assert_eq!(service.when_listed(|_| true).await.faults, [""; 0]);
    let id = service.study_without_artifacts(3).await;
    let line = service.when_listed(|line| !line.faults.is_empty()).await;
    assert!(line.faults[0].contains("cannot keep artifacts in "), "{line:?}");
    service.when(id, 0, |trial| trial.epoch == 3_000).await;
    // Longer than the trainer's lease, which heartbeats keep.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let held = service.trial(id, 0).await;
    assert_eq!(
        (held.state, held.epoch, held.attempt),
        (TrialState::Running, 3_000, 1),
        "trained, and not handed in"
    );
    assert_eq!(service.trial(id, 1).await.attempt, 0);
    service.bring_artifacts_back();
    for number in 0..3 {
        let trial = service.ended(id, number).await;
        assert_eq!(
            (trial.state, trial.attempt, trial.failures, trial.stalls),
            (TrialState::Completed, 1, 0, 0)
        );
        assert!(!service.artifact(id, &trial).await.is_empty());
    }
    assert_eq!(service.when_listed(|line| line.faults.is_empty()).await.running, []);
    trainer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_waits_for_the_artifacts_can_be_cancelled_deleted_and_handed_back() {
    let service = TestService::new().await;
    let trainer = service.trainer(1);
    service.when_listed(|_| true).await;
    let cancelled = service.study_without_artifacts(1).await;
    service.when_listed(|line| !line.faults.is_empty()).await;
    service.store.cancel_trial(cancelled, 0).await.unwrap();
    assert_eq!(service.ended(cancelled, 0).await.state, TrialState::Cancelled);
    service.bring_artifacts_back();
    service.when_listed(|line| line.faults.is_empty()).await;

    let deleted = service.study_without_artifacts(1).await;
    service.when_listed(|line| !line.faults.is_empty()).await;
    service.store.delete_study(deleted).await.unwrap();
    service.bring_artifacts_back();
    service.when_listed(|line| line.faults.is_empty()).await;

    let handed_back = service.study_without_artifacts(1).await;
    service.when_listed(|line| !line.faults.is_empty()).await;
    trainer.stop().await;
    let trial = service.trial(handed_back, 0).await;
    let end = trial.attempts.last().and_then(|attempt| attempt.end);
    assert_eq!(
        (trial.state, trial.failures, trial.stalls, end),
        (TrialState::Queued, 0, 0, Some(AttemptEnd::Released))
    );
    service.bring_artifacts_back();
    let again = service.trainer(1);
    let trial = service.ended(handed_back, 0).await;
    assert_eq!((trial.state, trial.attempt), (TrialState::Completed, 2));
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_stops_its_study_alone_and_only_until_it_is_back() {
    let service = TestService::new().await;
    let folder = service.folder.path().join("datasets");
    std::fs::create_dir(&folder).unwrap();
    let rows: String = (0..60).map(|row| format!("{},{},{}\n", row % 7, row % 5, row % 3)).collect();
    let copies = ["gone.csv", "intact.csv"].map(|name| folder.join(name));
    copies.iter().for_each(|copy| std::fs::write(copy, format!("a,b,label\n{rows}")).unwrap());
    let of = |name: &str| json!({"dataset": {"source": name, "label": "label", "validation_split": 0.2}});
    let (gone, intact) =
        (service.study(of("gone.csv"), None).await, service.study(of("intact.csv"), None).await);
    std::fs::rename(&copies[0], folder.join("elsewhere")).unwrap();
    let trainer = service.trainer(1);
    // Sooner than any refusal ends by itself.
    assert_eq!(service.ended(intact, 0).await.state, TrialState::Completed);
    let line = service.when_listed(|line| !line.refused.is_empty()).await;
    assert!(
        line.refused.len() == 1 && line.refused[0].why.contains("there is no file \"gone.csv\""),
        "{line:?}"
    );
    let waiting = service
        .store
        .study(gone)
        .await
        .unwrap()
        .unwrap()
        .needs()
        .waiting_for(&service.store.trainers().await.unwrap())
        .unwrap();
    assert!(
        waiting.kind == WaitingFor::Dataset
            && waiting.detail.contains(&line.id)
            && waiting.detail.contains("gone.csv"),
        "{waiting:?}"
    );
    std::fs::rename(folder.join("elsewhere"), &copies[0]).unwrap();
    assert_eq!(service.ended(gone, 0).await.state, TrialState::Completed);
    assert_eq!(service.when_listed(|line| line.refused.is_empty()).await.refused, []);
    trainer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_out_of_time_completes_with_what_it_has() {
    let service = TestService::new().await;
    let mut changes = long();
    changes["max_trial_seconds"] = json!(0.5);
    let id = service.study(changes, None).await;
    changes = json!({"max_trial_seconds": 0.001, "dataset": {"source": "builtin:digits"}, "network": [{"layer": "Flatten"}, {"layer": "Dense", "units": 2048}, {"layer": "Dense", "units": 10}], "objective": {"metric": "loss"}});
    let hopeless = service.study(changes, None).await;
    let trainer = service.trainer(2);
    let trial = service.ended(id, 0).await;
    assert_eq!((trial.state, trial.epoch > 0, trial.value.is_some()), (TrialState::Completed, true, true));
    let error = service.ended(hopeless, 0).await.error.unwrap();
    assert!(
        error.kind == ErrorKind::OutOfTime && error.message.contains("raise max_trial_seconds"),
        "{}",
        error.message
    );
    trainer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_of_a_deleted_study_is_dropped_and_its_slot_is_free_again() {
    let service = TestService::new().await;
    let id = service.study(long(), None).await;
    let trainer = service.trainer(1);
    service.when(id, 0, |trial| trial.epoch > 0).await;
    service.store.delete_study(id).await.unwrap();
    let next = service.study(json!({}), None).await;
    assert_eq!(service.ended(next, 0).await.state, TrialState::Completed);
    trainer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trainer_that_stops_as_its_study_is_cancelled_leaves_no_checkpoint() {
    let service = TestService::new().await;
    let id = service.study(long(), None).await;
    let trainer = service.careful_trainer();
    service.when(id, 0, |trial| trial.epoch > 1).await;
    let checkpoints = service.folder.path().join(format!("artifacts/studies/{id}/0/checkpoints"));
    assert!(checkpoints.exists());
    service.store.cancel_study(id).await.unwrap();
    trainer.stop().await;
    assert_eq!((service.trial(id, 0).await.state, checkpoints.exists()), (TrialState::Cancelled, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trainer_that_has_lost_a_trial_says_that_there_may_be_checkpoints() {
    let service = TestService::new().await;
    let id = service.study(long(), None).await;
    let trainer = service.careful_trainer();
    service.when(id, 0, |trial| trial.epoch > 1).await;
    let are_left = async || {
        store::audit::keys(&service.store).await.unwrap().iter().any(|key| key.ends_with(":leftovers"))
    };
    assert!(!are_left().await);
    service.store.delete_study(id).await.unwrap();
    trainer.stop().await;
    assert!(are_left().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_survives_the_death_of_redis_with_its_whole_curve() {
    let service = TestService::new().await;
    let mut changes = long();
    changes["training"]["epochs"] = json!(2_000);
    let id = service.study(changes, None).await;
    let trainer = service.trainer(1);
    service.when(id, 0, |trial| trial.epoch > 0).await;
    // SAFETY: a signal to a child of ours that is alive: it has just answered.
    unsafe { libc::kill(service.redis.pid() as libc::pid_t, libc::SIGKILL) };
    let trial = loop {
        // Until Redis is back, nobody answers.
        match service.store.trial(id, 0).await {
            Ok(Some(trial)) if trial.state.is_terminal() => break trial,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    assert_eq!((trial.state, trial.attempt, trial.stalls), (TrialState::Completed, 1, 0));
    let steps: Vec<u32> = service.curve(id, 0).await.epochs.iter().map(|metrics| metrics.epoch).collect();
    assert_eq!(steps, (1..=2_000).collect::<Vec<_>>());
    trainer.stop().await;
}

/// A GPU, as far as the queue can tell: this build opens the CPU in its place.
fn gpu(ordinal: usize) -> DeviceInfo {
    DeviceInfo { class: DeviceClass::Cuda, ordinal, model: "a GPU".into(), numerics: "cuda-sm90".into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_device_has_slots_of_its_own() {
    let service = TestService::new().await;
    let mut changes = long();
    changes["max_trials"] = json!(5);
    changes["max_parallel"] = json!(5);
    changes["device"] = json!("cuda");
    let id = service.study(changes, None).await;
    let for_cpus = service.study(json!({"device": "cpu"}), None).await;
    let trainer = service.trainer_on(vec![gpu(0), gpu(1)], 2);
    let mut of_each = HashMap::new();
    for number in 0..4 {
        let trial = service.when(id, number, |trial| trial.epoch > 0).await;
        let name = trial.attempts[0].trainer.clone();
        *of_each.entry(name.split_once("-cuda").unwrap().1.to_owned()).or_insert(0) += 1;
    }
    assert_eq!(of_each, HashMap::from([(":0".to_owned(), 2), (":1".to_owned(), 2)]));
    let listed = service.store.trainers().await.unwrap();
    let shown: Vec<_> =
        listed.iter().map(|record| (record.trainer.device.as_str(), record.trainer.slots)).collect();
    assert_eq!(shown, [("cuda:0", 2), ("cuda:1", 2)]);
    let states = [service.trial(id, 4).await.state, service.trial(for_cpus, 0).await.state];
    assert_eq!(states, [TrialState::Queued, TrialState::Queued]);
    trainer.stop().await;
    assert!(service.store.trainers().await.unwrap().is_empty());
    assert_eq!(service.trial(id, 0).await.state, TrialState::Queued);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_that_ran_out_of_memory_beside_others_runs_alone() {
    let service = TestService::new().await;
    let mut changes = long();
    changes["max_trials"] = json!(3);
    changes["max_parallel"] = json!(3);
    let id = service.study(changes, None).await;
    let crowded = Trainer {
        id: "crowded".into(),
        numerics: "cpu-1".into(),
        device: "cpu".into(),
        class: DeviceClass::Cpu,
        slots: 1,
        memory_bytes: u64::MAX,
        running: Vec::new(),
        refused: Vec::new(),
        faults: Vec::new(),
    };
    let lease = service.store.claim(&Claim::new(&crowded, Vec::new(), 1)).await.unwrap().remove(0);
    let end = End::Failed { kind: ErrorKind::OutOfMemory, message: "no memory".into(), beside_others: true };
    service.store.finish(&lease, &end).await.unwrap();
    let trainer = service.trainer(3);
    service.when(id, 0, |trial| trial.epoch > 10).await;
    for number in [1, 2] {
        assert_eq!(
            service.trial(id, number).await.state,
            TrialState::Queued,
            "nothing is claimed beside it, for another trainer may be idle"
        );
    }
    service.store.cancel_trial(id, 0).await.unwrap();
    for number in [1, 2] {
        service.when(id, number, |trial| trial.epoch > 0).await;
    }
    assert_eq!(service.trial(id, 0).await.failures, 0);
    trainer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_are_weighed_by_what_stands_in_the_file() {
    let service = TestService::new().await;
    std::fs::create_dir_all(service.folder.path().join("datasets")).unwrap();
    let row = |at: u32| {
        format!("{},{},{}\n", at * 7 % 13, at * 5 % 11, if at.is_multiple_of(4) { "fraud" } else { "legit" })
    };
    let text = format!("a,b,y\n{}", (0..60).map(row).collect::<String>());
    for folder in [service.folder.path().to_owned(), service.folder.path().join("datasets")] {
        std::fs::write(folder.join("fraud.csv"), &text).unwrap();
    }
    let study = |class_weight: Json| {
        json!({
            "space": [], "dataset": {"source": "fraud.csv", "label": "y", "validation_split": 0.2, "scale": "standardize"},
            "network": [{"layer": "Dense", "units": 1, "activation": "sigmoid"}],
            "training": {"optimizer": "sgd", "loss": "binary_crossentropy", "epochs": 3, "class_weight": class_weight}, "objective": {"metric": "val_loss"}
        })
    };
    let trainer = service.trainer(1);
    let mut curves = Vec::new();
    for weight in [json!({"fraud": 5}), json!({"0": 5}), json!({"legit": 5}), json!({"scam": 5})] {
        let id = service.study(study(weight), None).await;
        let trial = service.ended(id, 0).await;
        let error = trial.error.map(|error| (error.kind, error.message));
        curves.push((
            error,
            service
                .curve(id, 0)
                .await
                .epochs
                .iter()
                .map(|metrics| metrics.values.clone())
                .collect::<Vec<_>>(),
        ));
    }
    let [(None, fraud), (None, first), (None, legit), (Some((ErrorKind::Invalid, scam)), _)] =
        curves.as_slice()
    else {
        panic!("{curves:?}")
    };
    assert!(
        fraud == first && fraud != legit && scam.contains("class_weight: there is no class \"scam\""),
        "{curves:?}"
    );
    trainer.stop().await;
}

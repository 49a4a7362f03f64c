//! A trial from its queue to its end.

use super::*;
use hpo::trial::{AttemptEnd, ErrorKind, StudyState, TrialState};

#[tokio::test]
async fn a_study_runs_from_creation_to_completion() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    assert_eq!(bench.record(id).await.counts.get(TrialState::Queued), 3);
    for number in 0..3 {
        let lease = bench.claim("a").await.unwrap();
        assert_eq!((lease.study, lease.number, lease.attempt), (id, number, 1));
        assert!(bench.store.spec(id).await.unwrap().space.unpack(&lease.point).is_ok());
        let points = [
            EpochMetrics { epoch: 1, values: vec![1.0, 0.5, 1.1, 0.25] },
            EpochMetrics { epoch: 2, values: vec![0.0; 4] },
        ];
        assert_eq!(bench.store.report(&lease, &points).await.unwrap(), Directive::GoOn);
        bench.jump(1_500);
        bench.finish(&lease, completed(0.1 * number as f64)).await;
        bench.healthy().await;
    }
    let record = bench.record(id).await;
    assert_eq!(
        (record.state, record.stop_reason, record.counts.finished()),
        (StudyState::Completed, Some(StopReason::MaxTrials), 3)
    );
    let best = record.best.unwrap();
    assert_eq!((best.number, best.value), (2, 0.2));
    let trial = bench.trial(id, 2).await;
    assert_eq!(
        (trial.state, trial.value, trial.epoch, trial.best_epoch, trial.metrics),
        (TrialState::Completed, Some(0.2), 2, Some(1), vec![1.0, 0.5, 1.1, 0.25])
    );
    assert_eq!(trial.attempts[0].ended_at_ms.unwrap() - trial.attempts[0].started_at_ms, 1_500);
    assert_eq!(
        (trial.attempts[0].trainer.as_str(), trial.attempts[0].end),
        ("a", Some(AttemptEnd::Completed))
    );
    assert!(bench.claim("a").await.is_none());
}

#[tokio::test]
async fn the_same_claim_again_gets_the_same_leases() {
    let bench = Bench::new().await;
    bench.study(json!({})).await;
    let claim = Claim::new(&trainer("a"), vec![], 2);
    let first = bench.store.claim(&claim).await.unwrap();
    assert_eq!(first.len(), 2);
    assert_eq!(bench.store.claim(&claim).await.unwrap(), first);
    bench.finish(&first[0], completed(1.0)).await;
    assert_eq!(bench.store.claim(&claim).await.unwrap(), first[1..]);
    bench.healthy().await;
}

#[tokio::test]
async fn a_curve_takes_each_epoch_once_and_in_order() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let lease = bench.claim("a").await.unwrap();
    let point = |epoch| EpochMetrics { epoch, values: vec![epoch as f32, 0.1, 0.2, f32::NAN] };
    for points in
        [vec![point(1), point(2)], vec![point(1), point(2)], vec![point(2), point(3)], vec![], vec![point(3)]]
    {
        assert_eq!(bench.store.report(&lease, &points).await.unwrap(), Directive::GoOn);
    }
    let curve = bench.store.curve(id, 0).await.unwrap().unwrap();
    assert_eq!(curve.metrics, ["loss", "accuracy", "val_loss", "val_accuracy"]);
    assert_eq!(curve.epochs.iter().map(|metrics| metrics.epoch).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(curve.epochs[0].values[3].is_nan());
    assert_eq!(bench.store.curve(id, 1).await.unwrap().unwrap().epochs, []);
    assert!(bench.store.curve(id, 9).await.unwrap().is_none());
    bench.healthy().await;
}

#[tokio::test]
async fn values_keep_every_bit() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"max_trials": 5})).await;
    let values = [0.1 + 0.2, 1.0 / 3.0, -0.0, 5e-324, 1.797_693_134_862_315_7e308];
    for value in values {
        let lease = bench.claim("a").await.unwrap();
        bench.finish(&lease, completed(value)).await;
        assert_eq!(bench.trial(id, lease.number).await.value.unwrap().to_bits(), value.to_bits());
    }
    assert_eq!(bench.record(id).await.best.unwrap().value, values[4]);
}

#[tokio::test]
async fn a_released_trial_keeps_its_place_and_its_budgets() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let lease = bench.claim("a").await.unwrap();
    bench.finish(&lease, End::Released).await;
    bench.healthy().await;
    let again = bench.claim("b").await.unwrap();
    assert_eq!((again.number, again.attempt), (0, 2));
    let trial = bench.trial(id, 0).await;
    assert_eq!((trial.failures, trial.stalls), (0, 0));
    assert_eq!(
        trial.attempts.iter().map(|a| (a.trainer.as_str(), a.end)).collect::<Vec<_>>(),
        [("a", Some(AttemptEnd::Released)), ("b", None)]
    );
    bench.finish(&again, completed(1.0)).await;
    let ends: Vec<_> =
        bench.trial(id, 0).await.attempts.into_iter().map(|a| (a.attempt, a.end.unwrap())).collect();
    assert_eq!(ends, [(1, AttemptEnd::Released), (2, AttemptEnd::Completed)]);
}

#[tokio::test]
async fn the_reason_of_a_refusal_is_shown_until_the_trial_runs_elsewhere() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let lease = bench.claim("a").await.unwrap();
    bench.finish(&lease, End::Refused { why: "a lacks x.csv".into() }).await;
    bench.healthy().await;
    let trial = bench.trial(id, 0).await;
    let error = trial.error.unwrap();
    assert_eq!(
        (trial.state, trial.failures, error.kind, error.message.as_str()),
        (TrialState::Queued, 0, ErrorKind::Refused, "a lacks x.csv")
    );
    let again = bench.claim("b").await.unwrap();
    bench.finish(&again, completed(1.0)).await;
    assert!(bench.trial(id, 0).await.error.is_none());
}

#[tokio::test]
async fn waiting_for_work_ends_when_work_comes() {
    let bench = Bench::new().await;
    let classes = trainer("a").classes();
    assert!(!bench.store.wait_for_work(&classes, Duration::from_millis(1)).await.unwrap());
    let store = bench.store.clone();
    let waiting = tokio::spawn(async move { store.wait_for_work(&classes, Duration::from_secs(5)).await });
    bench.study(json!({})).await;
    assert!(waiting.await.unwrap().unwrap());
    assert!(bench.claim("a").await.is_some());
    // Work is left, so the claim has woken the next.
    assert!(bench.store.wait_for_work(&[DeviceClass::Any], Duration::from_millis(1)).await.unwrap());
}

#[tokio::test]
async fn hints_of_work_do_not_pile_up() {
    let bench = Bench::new().await;
    for _ in 0..limits::WAKE_TOKENS_MAX + 4 {
        bench.study(json!({})).await;
    }
    let mut hints = 0;
    while bench.store.wait_for_work(&[DeviceClass::Any], Duration::from_millis(1)).await.unwrap() {
        hints += 1;
    }
    assert_eq!(hints, limits::WAKE_TOKENS_MAX);
}

#[tokio::test]
async fn a_trainer_gets_only_what_its_device_its_memory_and_its_datasets_allow() {
    let bench = Bench::new().await;
    bench.study(json!({"device": "cuda"})).await;
    assert!(bench.claim("a").await.is_none());
    let large =
        NewStudy { preflight: json!({"step_bytes": {"min": 1_000, "max": 2_000}}), ..new_study(json!({})) };
    let id = bench.store.create_study(large, None).await.unwrap().study.id;
    bench.store.top_up(id).await.unwrap();
    let with_memory = async |memory_bytes| {
        let claim = Claim::new(&Trainer { memory_bytes, ..trainer("a") }, vec![], 1);
        bench.store.claim(&claim).await.unwrap().pop()
    };
    assert!(with_memory(999).await.is_none());
    let lease = with_memory(1_000).await.unwrap();
    assert_eq!(lease.study, id);
    bench.store.cancel_study(id).await.unwrap();

    // The same content by another name: whoever lacks the one may have the other.
    let copy = bench.study(json!({"dataset": {"source": "builtin:iris", "validation_split": 0.3}})).await;
    let original = bench.study(json!({"device": "cpu"})).await;
    let refusing = async |refused: Vec<String>| {
        bench.store.claim(&Claim::new(&trainer("a"), refused, 1)).await.unwrap().pop()
    };
    let of_original = lease.dataset_id;
    let lease = refusing(vec![of_original.clone()]).await.unwrap();
    assert_eq!((lease.study, lease.dataset_hash.as_str()), (copy, "abc"));
    assert!(refusing(vec![of_original, lease.dataset_id.clone()]).await.is_none());
    assert_eq!(refusing(vec![lease.dataset_id]).await.unwrap().study, original);
    bench.healthy().await;
}

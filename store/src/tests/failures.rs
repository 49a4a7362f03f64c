//! Trials that fail: tried again, final, or the end of their study.

use super::*;
use hpo::trial::{ErrorKind, InARow, StudyState, TrialState, TriedAgain};

#[tokio::test]
async fn a_trial_that_succeeds_at_last_has_no_error() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"retry": {"max_failures": 1}})).await;
    let lease = bench.claim("a").await.unwrap();
    bench.finish(&lease, failed(ErrorKind::Io)).await;
    assert!(bench.trial(id, 0).await.error.is_some());
    bench.jump(1_000);
    bench.finish(&bench.claim("a").await.unwrap(), completed(0.5)).await;
    assert_eq!(bench.trial(id, 0).await.error, None);
}

#[tokio::test]
async fn an_error_message_is_cut_between_characters() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let lease = bench.claim("a").await.unwrap();
    bench
        .finish(
            &lease,
            End::Failed { kind: ErrorKind::Panic, message: "ü".repeat(5_000) + "x", beside_others: false },
        )
        .await;
    assert_eq!(bench.trial(id, 0).await.error.unwrap().message, "ü".repeat(1_000));
}

#[tokio::test]
async fn io_failures_are_retried_after_a_growing_wait_and_then_final() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"max_trials": 1, "retry": {"max_failures": 2, "backoff_seconds": 2}})).await;
    for wait_ms in [2_000, 4_000] {
        let lease = bench.claim("a").await.unwrap();
        bench.finish(&lease, failed(ErrorKind::Io)).await;
        assert_eq!(bench.trial(id, 0).await.state, TrialState::Delayed);
        bench.healthy().await;
        bench.jump(wait_ms - 1);
        assert!(bench.claim("a").await.is_none());
        bench.jump(1);
    }
    let lease = bench.claim("a").await.unwrap();
    assert_eq!(lease.attempt, 3);
    bench.finish(&lease, failed(ErrorKind::Io)).await;
    let trial = bench.trial(id, 0).await;
    assert_eq!((trial.state, trial.failures, trial.attempts.len()), (TrialState::Failed, 3, 3));
    assert_eq!(trial.error.unwrap(), TrialError { kind: ErrorKind::Io, message: "it broke".into() });
    bench.healthy().await;
}

#[tokio::test]
async fn each_delayed_trial_waits_for_its_own_time() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"retry": {"max_failures": 1, "backoff_seconds": 10}})).await;
    for lease in bench.claims("a", 2).await {
        bench.finish(&lease, failed(ErrorKind::Io)).await;
        bench.jump(5_000);
    }
    let states = async || [bench.trial(id, 0).await.state, bench.trial(id, 1).await.state];
    assert_eq!(states().await, [TrialState::Delayed; 2]);
    bench.pass(3_000).await;
    assert_eq!(states().await, [TrialState::Queued, TrialState::Delayed]);
    bench.pass(3_000).await;
    assert_eq!(states().await, [TrialState::Queued; 2]);
    bench.healthy().await;
}

#[tokio::test]
async fn the_long_queue_of_a_failed_study_is_swept_by_the_reaper() {
    let bench = Bench::new().await;
    let id =
        bench.study(json!({"max_trials": 2_000, "max_parallel": 1_500, "retry": {"max_failures": 1}})).await;
    let leases = bench.claims("a", 4).await;
    bench.finish(&leases[0], failed(ErrorKind::Io)).await;
    for lease in &leases[1..] {
        bench.finish(lease, failed(ErrorKind::Invalid)).await;
    }
    let waiting = async || bench.record(id).await.counts.get(TrialState::Queued);
    assert_eq!((bench.record(id).await.state, waiting().await), (StudyState::Failed, 1_060));
    // Its time has come, but its study is closed.
    bench.jump(1_000);
    assert!(bench.claim("a").await.is_none());
    assert_eq!(bench.trial(id, 0).await.state, TrialState::Cancelled);
    bench.healthy().await;
    bench.pass(9_000).await;
    assert_eq!(waiting().await, 0);
    bench.healthy().await;
}

#[tokio::test]
async fn a_diverged_trial_is_final_whatever_the_budget_and_keeps_its_curve() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"retry": {"max_failures": 5}})).await;
    let lease = bench.claim("a").await.unwrap();
    bench.store.report(&lease, &[EpochMetrics { epoch: 1, values: vec![f32::NAN; 4] }]).await.unwrap();
    bench.finish(&lease, completed(f64::NAN)).await;
    let trial = bench.trial(id, 0).await;
    assert_eq!(
        (trial.state, trial.value, trial.error.unwrap().kind),
        (TrialState::Failed, None, ErrorKind::Diverged)
    );
    assert_eq!(bench.store.curve(id, 0).await.unwrap().unwrap().epochs.len(), 1);
}

#[tokio::test]
async fn a_first_out_of_memory_beside_others_is_not_held_against_the_trial() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let oom = End::Failed { kind: ErrorKind::OutOfMemory, message: String::new(), beside_others: true };
    let lease = bench.claim("a").await.unwrap();
    bench.finish(&lease, oom.clone()).await;
    bench.healthy().await;
    let leases = bench.claims("a", 3).await;
    assert_eq!((leases.len(), leases[0].number, leases[0].alone), (1, 0, true));
    assert_eq!(bench.trial(id, 0).await.failures, 0);
    bench.finish(&leases[0], oom).await;
    assert_eq!(bench.trial(id, 0).await.state, TrialState::Failed);
}

/// The state of a trial that failed so under `retry`, and that of its study, in which two trials
/// had failed before it; and after one more had.
async fn after_two_failures(kind: ErrorKind, retry: Value) -> (TrialState, StudyState, StudyState) {
    let bench = Bench::new().await;
    let id = bench.study(json!({"max_trials": 20, "retry": retry})).await;
    bench.store.reap().await.unwrap();
    for _ in 0..2 {
        bench.finish(&bench.claim("a").await.unwrap(), failed(ErrorKind::Panic)).await;
    }
    let lease = bench.claim("a").await.unwrap();
    match kind {
        ErrorKind::Stalled => bench.pass(33_000).await,
        ErrorKind::Refused => {
            bench.finish(&lease, End::Refused { why: "it lacks the dataset".into() }).await;
        }
        kind => {
            bench.finish(&lease, failed(kind)).await;
        }
    }
    let (trial, study) = (bench.trial(id, lease.number).await, bench.record(id).await.state);
    assert_eq!(trial.error.map(|error| error.kind), Some(kind));
    if let Some(next) = bench.claim("a").await {
        bench.finish(&next, failed(ErrorKind::Panic)).await;
    }
    bench.healthy().await;
    (trial.state, study, bench.record(id).await.state)
}

#[tokio::test]
async fn the_scripts_treat_each_kind_of_failure_as_hpo_declares_it() {
    for kind in ErrorKind::ALL {
        let of_study = match kind.in_a_row() {
            InARow::Counts => (StudyState::Failed, StudyState::Failed),
            InARow::Resets => (StudyState::Running, StudyState::Running),
            InARow::Leaves => (StudyState::Running, StudyState::Failed),
        };
        let of_trial =
            if kind.tried_again() == TriedAgain::AtOnce { TrialState::Queued } else { TrialState::Failed };
        let found = after_two_failures(*kind, json!({"max_failures": 0, "max_stalls": 0})).await;
        assert_eq!(found, (of_trial, of_study.0, of_study.1), "{kind}");

        let found = after_two_failures(*kind, json!({"max_failures": 1, "max_stalls": 0})).await.0;
        assert_eq!(
            found == TrialState::Delayed,
            kind.tried_again() == TriedAgain::WithinMaxFailures,
            "{kind}: {found}"
        );
    }
}

#[tokio::test]
async fn a_search_in_which_half_of_the_trials_diverge_does_not_fail() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"max_trials": 12})).await;
    for number in 0..12 {
        let end = if number % 6 == 5 { completed(1.0) } else { failed(ErrorKind::Diverged) };
        bench.finish(&bench.claim("a").await.unwrap(), end).await;
    }
    let record = bench.record(id).await;
    assert_eq!((record.state, record.stop_reason), (StudyState::Completed, Some(StopReason::MaxTrials)));
    assert_eq!(record.counts.get(TrialState::Failed), 10);
}

#[tokio::test]
async fn three_failures_in_a_row_fail_the_study() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"max_trials": 20})).await;
    let others = bench.claims("b", 1).await;
    for end in [
        failed(ErrorKind::Invalid),
        failed(ErrorKind::Panic),
        completed(1.0),
        failed(ErrorKind::Panic),
        failed(ErrorKind::Invalid),
    ] {
        let lease = bench.claim("a").await.unwrap();
        bench.finish(&lease, end).await;
        assert_eq!(bench.record(id).await.state, StudyState::Running);
    }
    let lease = bench.claim("a").await.unwrap();
    bench.finish(&lease, failed(ErrorKind::Panic)).await;
    let record = bench.record(id).await;
    assert_eq!((record.state, record.stop_reason), (StudyState::Failed, Some(StopReason::FailuresInARow)));
    assert_eq!((record.counts.get(TrialState::Queued), record.counts.get(TrialState::Cancelled)), (0, 13));
    assert!(bench.claim("a").await.is_none());
    assert_eq!(bench.store.report(&others[0], &[]).await.unwrap(), Directive::Cancel);
    bench.finish(&others[0], End::Released).await;
    assert_eq!(bench.trial(id, 0).await.state, TrialState::Cancelled);
    bench.healthy().await;
}

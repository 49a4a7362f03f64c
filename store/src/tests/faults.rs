//! Lost leases, failures, stale trainers, outages, forgotten scripts.

use super::*;
use hpo::trial::{StudyState, TrialState};

#[tokio::test]
async fn an_expired_lease_counts_a_stall_and_the_trial_is_claimed_again() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    bench.store.reap().await.unwrap();
    let lost = bench.claim("a").await.unwrap();
    bench.pass(31_000).await;
    bench.healthy().await;
    assert_eq!(bench.trial(id, 0).await.stalls, 1);
    assert_eq!(bench.store.report(&lost, &[]).await.unwrap(), Directive::Lost);
    let lease = bench.claim("b").await.unwrap();
    assert_eq!((lease.number, lease.attempt), (0, 2));
    assert_eq!(bench.finish(&lost, completed(0.9)).await, Ack::Stale);
    assert_eq!(bench.trial(id, 0).await.state, TrialState::Running);
    assert!(matches!(bench.finish(&lease, completed(0.5)).await, Ack::Accepted { .. }));
    assert_eq!(bench.trial(id, 0).await.value, Some(0.5));
}

#[tokio::test]
async fn heartbeats_keep_a_lease() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let lease = bench.claim("a").await.unwrap();
    for _ in 0..10 {
        bench.pass(10_000).await;
        assert_eq!(bench.store.report(&lease, &[]).await.unwrap(), Directive::GoOn);
    }
    assert_eq!(bench.trial(id, 0).await.stalls, 0);
    bench.healthy().await;
}

#[tokio::test]
async fn an_expired_lease_that_nobody_reaped_is_renewed() {
    let bench = Bench::new().await;
    bench.study(json!({})).await;
    let lease = bench.claim("a").await.unwrap();
    bench.jump(100_000);
    assert_eq!(bench.store.report(&lease, &[]).await.unwrap(), Directive::GoOn);
}

#[tokio::test]
async fn the_last_nonce_finishes_a_trial_that_was_queued_again() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let lease = bench.claim("a").await.unwrap();
    bench.pass(33_000).await;
    assert_eq!(bench.trial(id, 0).await.state, TrialState::Queued);
    assert!(matches!(bench.finish(&lease, completed(0.5)).await, Ack::Accepted { .. }));
    bench.healthy().await;
    let trial = bench.trial(id, 0).await;
    assert_eq!((trial.state, trial.attempts.len(), trial.attempts[0].end.as_deref()), (TrialState::Completed, 1, Some("completed")));
    assert_eq!(bench.claim("b").await.unwrap().number, 1);
}

#[tokio::test]
async fn stalls_are_used_up() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"max_trials": 1, "retry": {"max_stalls": 1}})).await;
    for _ in 0..2 {
        assert!(bench.claim("a").await.is_some());
        bench.pass(33_000).await;
        bench.healthy().await;
    }
    let trial = bench.trial(id, 0).await;
    assert_eq!((trial.state, trial.stalls, trial.error.unwrap().kind), (TrialState::Failed, 2, ErrorKind::Stalled));
    assert_eq!(bench.record(id).await.state, StudyState::Completed);
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
async fn a_diverged_trial_is_final_whatever_the_budget_and_keeps_its_curve() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"retry": {"max_failures": 5}})).await;
    let lease = bench.claim("a").await.unwrap();
    bench.store.report(&lease, &[Point { step: 1, values: vec![f32::NAN; 4] }]).await.unwrap();
    bench.finish(&lease, completed(f64::NAN)).await;
    let trial = bench.trial(id, 0).await;
    assert_eq!((trial.state, trial.value, trial.error.unwrap().kind), (TrialState::Failed, None, ErrorKind::Diverged));
    assert_eq!(bench.store.curve(id, 0).await.unwrap().unwrap().points.len(), 1);
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

#[tokio::test]
async fn three_failures_in_a_row_fail_the_study() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"max_trials": 20})).await;
    let others = bench.claims("b", 1).await;
    for end in [failed(ErrorKind::Invalid), failed(ErrorKind::Panic), completed(1.0), failed(ErrorKind::Panic), failed(ErrorKind::Invalid)] {
        let lease = bench.claim("a").await.unwrap();
        bench.finish(&lease, end).await;
        assert_eq!(bench.record(id).await.state, StudyState::Running);
    }
    let lease = bench.claim("a").await.unwrap();
    bench.finish(&lease, failed(ErrorKind::Diverged)).await;
    let record = bench.record(id).await;
    assert_eq!((record.state, record.stop_reason), (StudyState::Failed, Some(StopReason::FailuresInARow)));
    assert_eq!((record.counts.get(TrialState::Queued), record.counts.get(TrialState::Cancelled)), (0, 13));
    assert!(bench.claim("a").await.is_none());
    assert_eq!(bench.store.report(&others[0], &[]).await.unwrap(), Directive::Cancel);
    bench.finish(&others[0], End::Released).await;
    assert_eq!(bench.trial(id, 0).await.state, TrialState::Cancelled);
    bench.healthy().await;
}

#[tokio::test]
async fn after_an_outage_nothing_is_counted_before_the_grace_ends() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    bench.store.reap().await.unwrap();
    let (lost, kept) = (bench.claim("a").await.unwrap(), bench.claim("a").await.unwrap());
    bench.jump(600_000);
    let reaped = bench.store.reap().await.unwrap();
    assert!(reaped.outage && reaped.stalled == 0);
    bench.pass(27_000).await;
    assert_eq!(bench.store.report(&kept, &[]).await.unwrap(), Directive::GoOn);
    assert_eq!(bench.trial(id, lost.number).await.stalls, 0);
    bench.pass(6_000).await;
    assert_eq!((bench.trial(id, lost.number).await.stalls, bench.trial(id, kept.number).await.stalls), (1, 0));
    bench.healthy().await;
}

#[tokio::test]
async fn the_reaper_skips_a_tick_that_another_process_has_just_done() {
    let bench = Bench::new().await;
    assert!(bench.store.reap().await.unwrap().ran);
    bench.jump(100);
    assert!(!bench.store.reap().await.unwrap().ran);
}

#[tokio::test]
async fn a_clock_that_steps_back_changes_nothing() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    bench.store.reap().await.unwrap();
    let lease = bench.claim("a").await.unwrap();
    bench.now.fetch_sub(3_600_000, Ordering::Relaxed);
    assert_eq!(bench.store.report(&lease, &[]).await.unwrap(), Directive::GoOn);
    bench.finish(&lease, completed(1.0)).await;
    let attempt = bench.trial(id, 0).await.attempts.remove(0);
    assert_eq!(attempt.ended_at_ms, Some(attempt.started_at_ms));
}

#[tokio::test]
async fn another_numerics_class_starts_a_new_curve() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let point = |step| Point { step, values: vec![step as f32; 4] };
    for (numerics, kept) in [("cpu-avx2", 0), ("cpu-avx2", 2), ("cpu-avx512", 0)] {
        let claim = Claim { numerics: numerics.into(), ..Claim::new(&trainer("a"), vec![], 1) };
        let lease = bench.store.claim(&claim).await.unwrap().remove(0);
        assert_eq!(bench.store.curve(id, 0).await.unwrap().unwrap().points.len(), kept, "{numerics}");
        bench.store.report(&lease, &[point(1), point(2)]).await.unwrap();
        bench.finish(&lease, End::Released).await;
    }
    assert_eq!(bench.store.curve(id, 0).await.unwrap().unwrap().points.len(), 2);
}

#[tokio::test]
async fn a_server_that_forgot_its_scripts_is_taught_again() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    audit::forget_scripts(&bench.store).await.unwrap();
    let lease = bench.claim("a").await.unwrap();
    audit::forget_scripts(&bench.store).await.unwrap();
    bench.finish(&lease, completed(1.0)).await;
    assert_eq!(bench.trial(id, 0).await.state, TrialState::Completed);
    audit::forget_scripts(&bench.store).await.unwrap();
    bench.store.ready().await.unwrap();
}

#[tokio::test]
async fn a_dead_connection_is_replaced() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let killed: u64 = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes").query(&mut bench.redis.client()).unwrap();
    assert!(killed > 0);
    assert_eq!(bench.record(id).await.id, id);
}

#[tokio::test]
async fn a_server_that_is_away_is_an_error_in_bounded_time() {
    let bench = Bench::new().await;
    let Bench { store, redis, .. } = bench;
    drop(redis);
    assert!(matches!(store.ping().await, Err(Error::Unavailable(_))));
    assert!(matches!(store.claim(&Claim::new(&trainer("a"), vec![], 1)).await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn a_full_memory_refuses_new_studies_and_lets_work_finish() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let lease = bench.claim("a").await.unwrap();
    let _: () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1mb").query(&mut bench.redis.client()).unwrap();
    assert!(matches!(bench.store.create_study(new_study(json!({})), None).await, Err(Error::OutOfMemory)));
    assert_eq!(bench.store.report(&lease, &[Point { step: 1, values: vec![0.0; 4] }]).await.unwrap(), Directive::GoOn);
    bench.finish(&lease, completed(1.0)).await;
    assert_eq!(bench.trial(id, 0).await.state, TrialState::Completed);
}

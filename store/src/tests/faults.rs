//! Lost leases, stale trainers, outages, forgotten scripts.

use super::*;
use hpo::trial::{AttemptEnd, ErrorKind, StudyState, TrialState};

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
    assert_eq!(bench.store.report(&lost, &[]).await.unwrap(), Directive::Lost);
    let trial = bench.trial(id, 0).await;
    let attempts: Vec<_> = trial.attempts.iter().map(|a| (a.trainer.as_str(), a.end)).collect();
    assert_eq!(
        (trial.state, attempts),
        (TrialState::Running, vec![("a", Some(AttemptEnd::Stalled)), ("b", None)])
    );
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
    bench.jump(5_000);
    assert!(matches!(bench.finish(&lease, completed(0.5)).await, Ack::Accepted { .. }));
    bench.healthy().await;
    let trial = bench.trial(id, 0).await;
    assert_eq!(
        (trial.state, trial.attempts.len(), trial.attempts[0].end),
        (TrialState::Completed, 1, Some(AttemptEnd::Completed))
    );
    assert_eq!(
        trial.attempts[0].ended_at_ms,
        Some(START_MS + 30_000),
        "what followed the stall was not served by this attempt"
    );
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
    assert_eq!(
        (trial.state, trial.stalls, trial.error.unwrap().kind),
        (TrialState::Failed, 2, ErrorKind::Stalled)
    );
    assert_eq!(bench.record(id).await.state, StudyState::Completed);
}

#[tokio::test]
async fn stalls_fail_a_study_as_failures_do() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"max_trials": 9, "retry": {"max_stalls": 0}})).await;
    assert_eq!(bench.claims("a", 3).await.len(), 3);
    bench.pass(33_000).await;
    assert_eq!(bench.record(id).await.stop_reason, Some(StopReason::FailuresInARow));
    bench.healthy().await;
}

#[tokio::test]
async fn the_last_attempts_are_kept() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    for _ in 0..limits::ATTEMPTS_KEPT + 4 {
        bench.finish(&bench.claim("a").await.unwrap(), End::Released).await;
    }
    let attempts: Vec<_> = bench.trial(id, 0).await.attempts.iter().map(|a| u64::from(a.attempt)).collect();
    assert_eq!(attempts, (5..=limits::ATTEMPTS_KEPT + 4).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_lost_trial_is_not_handed_out_by_a_replayed_claim() {
    let bench = Bench::new().await;
    bench.study(json!({})).await;
    let claim = Claim::new(&trainer("a"), vec![], 1);
    assert_eq!(bench.store.claim(&claim).await.unwrap().len(), 1);
    bench.pass(33_000).await;
    assert_eq!(bench.claim("b").await.unwrap().attempt, 2);
    assert_eq!(bench.store.claim(&claim).await.unwrap(), []);
}

#[tokio::test]
async fn a_pending_cancel_outweighs_every_way_back() {
    let ends = [End::Released, failed(ErrorKind::Io)];
    let oom = End::Failed { kind: ErrorKind::OutOfMemory, message: String::new(), beside_others: true };
    for end in ends.into_iter().chain([oom]).map(Some).chain([None]) {
        let bench = Bench::new().await;
        let id = bench.study(json!({"retry": {"max_failures": 1}})).await;
        let lease = bench.claim("a").await.unwrap();
        bench.store.cancel_trial(id, 0).await.unwrap();
        match &end {
            Some(end) => drop(bench.finish(&lease, end.clone()).await),
            None => bench.pass(33_000).await,
        }
        assert_eq!(bench.trial(id, 0).await.state, TrialState::Cancelled, "{end:?}");
        bench.healthy().await;
    }
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
    assert_eq!(
        (bench.trial(id, lost.number).await.stalls, bench.trial(id, kept.number).await.stalls),
        (1, 0)
    );
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
    bench.jump(3_600_000);
    bench.pass(3_000).await;
    assert_eq!(bench.trial(id, 0).await.stalls, 0);
    bench.now.fetch_sub(3_600_000, Ordering::Relaxed);
    bench.finish(&lease, completed(1.0)).await;
    let attempt = bench.trial(id, 0).await.attempts.remove(0);
    assert_eq!(attempt.ended_at_ms, Some(attempt.started_at_ms + 3_000));
}

#[tokio::test]
async fn another_numerics_class_starts_a_new_curve() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let point = |epoch| EpochMetrics { epoch, values: vec![epoch as f32; 4] };
    for (numerics, kept) in [("cpu-1", 0), ("cpu-1", 2), ("cpu-2", 0)] {
        let claim = Claim { numerics: numerics.into(), ..Claim::new(&trainer("a"), vec![], 1) };
        let lease = bench.store.claim(&claim).await.unwrap().remove(0);
        assert_eq!(bench.store.curve(id, 0).await.unwrap().unwrap().epochs.len(), kept, "{numerics}");
        bench.store.report(&lease, &[point(1), point(2)]).await.unwrap();
        bench.finish(&lease, End::Released).await;
    }
    assert_eq!(bench.store.curve(id, 0).await.unwrap().unwrap().epochs.len(), 2);
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
    let killed: u64 = redis::cmd("CLIENT")
        .arg("KILL")
        .arg("TYPE")
        .arg("normal")
        .arg("SKIPME")
        .arg("yes")
        .query(&mut bench.redis.client())
        .unwrap();
    assert!(killed > 0);
    assert_eq!(bench.record(id).await.id, id);
}

#[tokio::test]
async fn a_server_that_is_away_is_an_error_in_bounded_time() {
    let bench = Bench::new().await;
    let Bench { store, redis, .. } = bench;
    drop(redis);
    assert!(matches!(store.ping().await, Err(Error::Unavailable(_))));
    // Nobody took the claim, so nothing was changed.
    assert!(matches!(store.claim(&Claim::new(&trainer("a"), vec![], 1)).await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn a_full_memory_refuses_new_studies_and_lets_work_finish() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let lease = bench.claim("a").await.unwrap();
    let _: () =
        redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1mb").query(&mut bench.redis.client()).unwrap();
    assert!(
        matches!(bench.store.create_study(new_study(json!({})), None).await, Err(Error::Refused(refused)) if refused.refusal == Refusal::OutOfMemory)
    );
    assert_eq!(
        bench.store.report(&lease, &[EpochMetrics { epoch: 1, values: vec![0.0; 4] }]).await.unwrap(),
        Directive::GoOn
    );
    bench.finish(&lease, completed(1.0)).await;
    assert_eq!(bench.trial(id, 0).await.state, TrialState::Completed);
}

/// Runs trials until none is left, each call repeated until it is answered, and kills Redis while
/// trials 20 and 40 run.
async fn run_and_kill(store: &Store, redis: &embedded::Embedded, id: &str) {
    loop {
        let claim = Claim::new(&trainer(id), vec![], 1);
        let Some(lease) = until_answered(async || store.claim(&claim).await).await.pop() else { return };
        let points = [EpochMetrics { epoch: 1, values: vec![0.5; 4] }];
        assert_eq!(until_answered(async || store.report(&lease, &points).await).await, Directive::GoOn);
        if lease.number % 20 == 0 && lease.number > 0 {
            let pid = redis.pid();
            assert!(pid > 0 && unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) } == 0);
        }
        let ack = until_answered(async || store.finish(&lease, &completed(lease.number as f64)).await).await;
        assert!(matches!(ack, Ack::Accepted { .. }));
    }
}

/// The answer to a call that is repeated while Redis is away, for at most twenty seconds.
async fn until_answered<T>(call: impl AsyncFn() -> Result<T>) -> T {
    let repeated = async {
        loop {
            match call().await {
                Err(error) if error.may_pass() => tokio::time::sleep(Duration::from_millis(10)).await,
                answer => return answer.unwrap(),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), repeated).await.expect("Redis did not come back")
}

#[tokio::test]
async fn an_embedded_redis_killed_in_use_comes_back_with_every_answer_it_gave() {
    let folder = tempfile::tempdir().unwrap();
    let redis = embedded::Embedded::start(folder.path()).unwrap();
    let first = redis.pid();
    let store = Store::connect(Config::new(redis.url())).await.unwrap();
    let id = store
        .create_study(new_study(json!({"max_trials": 50, "max_parallel": 50})), None)
        .await
        .unwrap()
        .study
        .id;
    assert_eq!(store.top_up(id).await.unwrap(), 50);
    tokio::join!(
        run_and_kill(&store, &redis, "a"),
        run_and_kill(&store, &redis, "b"),
        run_and_kill(&store, &redis, "c")
    );
    assert_ne!(redis.pid(), first);
    assert_eq!(store.study(id).await.unwrap().unwrap().counts.get(TrialState::Completed), 50);
    for trial in store.trials(id, TrialPage::default()).await.unwrap().0 {
        assert_eq!(
            (trial.value, trial.epoch, trial.attempt, trial.attempts.len()),
            (Some(trial.number as f64), 1, 1, 1)
        );
    }
    assert_eq!(audit(&store).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn probes_and_scrapes_of_a_hung_redis_are_answered_soon() {
    let bench = Bench::new().await;
    bench.redis.pause();
    // Others wait for the same connection with more patience.
    let patient = tokio::spawn({
        let store = bench.store.clone();
        async move { store.ping().await }
    });
    for _ in 0..2 {
        let begun = std::time::Instant::now();
        let (ready, collected) = tokio::join!(bench.store.ready(), bench.store.collect());
        assert!(
            matches!(ready, Err(Error::Unavailable(_))) && matches!(collected, Err(Error::Unavailable(_))),
            "{ready:?}, {collected:?}"
        );
        assert!(begun.elapsed() < Duration::from_millis(2 * limits::REDIS_PROBE_MS), "{:?}", begun.elapsed());
    }
    bench.redis.resume();
    patient.await.unwrap().unwrap();
    bench.store.ready().await.unwrap();
    bench.store.collect().await.unwrap();
}

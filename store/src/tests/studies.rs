//! Studies: created once, topped up, changed, cancelled.

use super::*;
use crate::reply::Reply;
use crate::script::Name;
use hpo::trial::{StudyState, TrialState};

#[tokio::test]
async fn a_study_is_created_once() {
    let bench = Bench::new().await;
    let new = new_study(json!({}));
    for fresh in [true, false] {
        let created = bench.store.create_study(new.clone(), None).await.unwrap();
        assert_eq!((created.study.id, created.fresh), (new.id, fresh));
    }
    let record = bench.record(new.id).await;
    assert_eq!(
        (record.spec, record.dataset, record.created_at_ms),
        (new.study.document().clone(), new.dataset, START_MS)
    );
    bench.healthy().await;
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_request() {
    let bench = Bench::new().await;
    let key = |hash: &str| Some(Idempotency { key: "k{1}".into(), request_hash: hash.into() });
    let reserved = async |hash: &str| bench.store.reserved(&key(hash).unwrap()).await;
    assert_eq!(reserved("a").await.unwrap(), None);
    let first = bench.store.create_study(new_study(json!({})), key("a")).await.unwrap();
    assert_eq!(reserved("a").await.unwrap(), Some(first.study.id));
    assert!(matches!(reserved("b").await, Err(Error::IdempotencyMismatch)));
    let second = bench.store.create_study(new_study(json!({})), key("a")).await.unwrap();
    assert_eq!((second.study.id, second.fresh), (first.study.id, false));
    assert!(matches!(
        bench.store.create_study(new_study(json!({})), key("b")).await,
        Err(Error::IdempotencyMismatch)
    ));
    assert_eq!(bench.store.list_studies(StudyPage::default()).await.unwrap().0.len(), 1);
    let keys = audit::keys(&bench.store).await.unwrap();
    let held = keys.iter().find(|key| key.contains(":idem:")).unwrap();
    let left_ms: i64 = redis::cmd("PTTL").arg(held).query(&mut bench.redis.client()).unwrap();
    assert!((1..=limits::IDEMPOTENCY_MS as i64).contains(&left_ms), "{left_ms}");
}

#[tokio::test]
async fn any_number_of_top_ups_fill_the_queue_and_no_further() {
    let bench = Bench::new().await;
    let new = new_study(json!({"max_trials": 1_000, "max_parallel": 100}));
    let id = bench.store.create_study(new, None).await.unwrap().study.id;
    let other = Store::connect(Config { now_ms: Some(bench.now.clone()), ..Config::new(bench.redis.url()) })
        .await
        .unwrap();
    let (a, b, c) = tokio::join!(bench.store.top_up(id), other.top_up(id), bench.store.drain_wanted());
    assert_eq!(a.unwrap() + b.unwrap() + c.unwrap(), 164);
    assert_eq!(bench.record(id).await.counts.get(TrialState::Queued), 164);
    assert_eq!(bench.store.top_up(id).await.unwrap(), 0);
    bench.healthy().await;
    let study = bench.store.spec(id).await.unwrap();
    let mut sampler = hpo::sampler::Sampler::new(study.sampler, &study.space, study.seed);
    for number in 0..164 {
        assert_eq!(bench.trial(id, number).await.point, study.space.pack(&sampler.suggest(number).unwrap()));
    }
}

#[tokio::test]
async fn trials_are_enqueued_in_order_and_only_if_they_are_wanted() {
    let bench = Bench::new().await;
    let id = bench.store.create_study(new_study(json!({})), None).await.unwrap().study.id;
    let enqueue = async |first: u64, count: usize| {
        let args = Args::new().arg(id).arg(first).list(vec![Vec::new(); count]);
        Reply::of(bench.store.call(Name::Enqueue, args).await.unwrap()).unwrap().text().unwrap()
    };
    assert_eq!(
        [enqueue(1, 1).await, enqueue(0, 4).await, enqueue(0, 1).await, enqueue(0, 1).await],
        ["taken", "full", "ok", "taken"]
    );
    bench.store.update_study(id, Change { paused: Some(true), ..Change::default() }).await.unwrap();
    assert_eq!(enqueue(1, 1).await, "closed");
    bench.healthy().await;
    let exhaust = async |number: u64| {
        reply::integer(bench.store.call(Name::Exhaust, Args::new().arg(id).arg(number)).await.unwrap())
            .unwrap()
    };
    assert_eq!([exhaust(0).await, exhaust(2).await, exhaust(1).await], [0, 0, 1]);
}

#[tokio::test]
async fn studies_that_want_trials_are_found_without_a_search() {
    let bench = Bench::new().await;
    let new = || new_study(json!({"max_trials": 1_000, "max_parallel": 16}));
    let id = bench.store.create_study(new(), None).await.unwrap().study.id;
    bench.store.create_study(new(), None).await.unwrap();
    assert_eq!(
        (bench.store.drain_wanted().await.unwrap(), bench.store.drain_wanted().await.unwrap()),
        (160, 0)
    );
    for claimed in [32, 32] {
        for lease in bench.claims("a", claimed).await {
            bench.finish(&lease, completed(0.5)).await;
        }
    }
    bench.healthy().await;
    assert_eq!(
        (bench.store.drain_wanted().await.unwrap(), bench.record(id).await.counts.get(TrialState::Queued)),
        (64, 80)
    );
}

#[tokio::test]
async fn without_max_parallel_the_connected_slots_count() {
    let bench = Bench::new().await;
    bench.store.heartbeat_trainer(&Trainer { slots: 30, ..trainer("a") }).await.unwrap();
    bench.store.heartbeat_trainer(&Trainer { slots: 12, ..trainer("a") }).await.unwrap();
    let id = bench.study(json!({"max_trials": 1_000})).await;
    assert_eq!(bench.record(id).await.counts.get(TrialState::Queued), 76);
}

#[tokio::test]
async fn an_exhausted_space_completes_the_study() {
    let bench = Bench::new().await;
    let space = json!([{"name": "learning_rate", "type": "choice", "values": [0.1, 0.01]}]);
    for sampler in ["random", "grid"] {
        let id = bench.study(json!({"space": space, "max_trials": 10, "sampler": {"name": sampler}})).await;
        let leases = bench.claims("a", 5).await;
        assert_eq!(leases.len(), 2);
        assert_ne!(leases[0].point, leases[1].point);
        for lease in &leases {
            bench.finish(lease, completed(0.5)).await;
        }
        let record = bench.record(id).await;
        assert_eq!(
            (record.state, record.stop_reason),
            (StudyState::Completed, Some(StopReason::SpaceExhausted))
        );
        let paused = Change { max_trials: Some(Some(20)), paused: Some(true), ..Change::default() };
        assert!(matches!(bench.store.update_study(id, paused).await, Err(Error::Closed { .. })));
        bench
            .store
            .update_study(id, Change { max_trials: Some(Some(20)), ..Change::default() })
            .await
            .unwrap();
        assert_eq!(bench.record(id).await.state, StudyState::Completed);
        bench.healthy().await;
    }
}

#[tokio::test]
async fn a_limit_that_is_lowered_and_raised_again_loses_no_point() {
    let bench = Bench::new().await;
    let space = json!([{"name": "learning_rate", "type": "choice", "values": [0.1, 0.03, 0.01, 0.003, 0.001, 0.0003]}]);
    let limit = |n| Change { max_trials: Some(Some(n)), ..Change::default() };
    for sampler in ["random", "grid"] {
        let id = bench
            .study(json!({"space": space, "max_trials": 20, "max_parallel": 1, "sampler": {"name": sampler}}))
            .await;
        let mut points = vec![];
        let first = bench.claim("a").await.unwrap();
        bench.store.update_study(id, limit(2)).await.unwrap();
        let record = bench.record(id).await;
        assert_eq!((record.counts.get(TrialState::Queued), record.counts.get(TrialState::Cancelled)), (1, 0));
        bench.finish(&first, completed(0.5)).await;
        points.push(first.point);
        let second = bench.claim("a").await.unwrap();
        bench.finish(&second, completed(0.5)).await;
        points.push(second.point);
        assert_eq!(bench.record(id).await.stop_reason, Some(StopReason::MaxTrials));
        bench.store.update_study(id, limit(20)).await.unwrap();
        bench.store.top_up(id).await.unwrap();
        while let Some(lease) = bench.claim("a").await {
            bench.finish(&lease, completed(0.5)).await;
            points.push(lease.point);
        }
        assert_eq!(bench.record(id).await.stop_reason, Some(StopReason::SpaceExhausted));
        points.sort();
        points.dedup();
        assert_eq!(points.len(), 6, "{sampler}");
        bench.healthy().await;
    }
}

#[tokio::test]
async fn a_paused_study_is_not_claimed_from_until_it_resumes() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let lease = bench.claim("a").await.unwrap();
    let paused = |paused| Change { paused: Some(paused), ..Change::default() };
    bench.store.update_study(id, paused(true)).await.unwrap();
    assert!(bench.claim("a").await.is_none());
    assert_eq!(bench.store.report(&lease, &[]).await.unwrap(), Directive::GoOn);
    bench.finish(&lease, completed(0.5)).await;
    bench.healthy().await;
    bench.store.update_study(id, paused(false)).await.unwrap();
    assert!(bench.claim("a").await.is_some());
}

#[tokio::test]
async fn more_trials_reopen_a_completed_study_and_fewer_cancel_waiting_ones() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"retry": {"max_failures": 1}})).await;
    for lease in bench.claims("a", 3).await {
        bench.finish(&lease, completed(0.5)).await;
    }
    let limit = |max_trials| Change { max_trials: Some(Some(max_trials)), ..Change::default() };
    bench.store.update_study(id, limit(10)).await.unwrap();
    let record = bench.record(id).await;
    assert_eq!((record.state, record.stop_reason), (StudyState::Running, None));
    assert_eq!(bench.store.top_up(id).await.unwrap(), 7);
    let leases = bench.claims("a", 3).await;
    bench.finish(&leases[2], failed(ErrorKind::Io)).await;
    bench.finish(&leases[1], End::Released).await;
    bench.store.update_study(id, limit(5)).await.unwrap();
    bench.healthy().await;
    let record = bench.record(id).await;
    // Those that never started are taken back, the one that failed before is cancelled.
    assert_eq!((record.counts.get(TrialState::Queued), record.counts.get(TrialState::Cancelled)), (1, 1));
    bench.finish(&leases[0], completed(0.5)).await;
    let lease = bench.claim("a").await.unwrap();
    bench.finish(&lease, completed(0.5)).await;
    assert_eq!(bench.record(id).await.state, StudyState::Completed);
    bench.store.cancel_study(id).await.unwrap();
    assert_eq!(bench.record(id).await.state, StudyState::Completed);
}

#[tokio::test]
async fn a_trial_that_ran_when_max_trials_fell_below_it_is_not_cancelled_by_a_later_change() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let leases = bench.claims("a", 2).await;
    bench.store.update_study(id, Change { max_trials: Some(Some(1)), ..Change::default() }).await.unwrap();
    bench.finish(&leases[1], End::Released).await;
    bench.store.update_study(id, Change { max_parallel: Some(Some(3)), ..Change::default() }).await.unwrap();
    assert_eq!(bench.trial(id, 1).await.state, TrialState::Queued);
    bench.healthy().await;
}

#[tokio::test]
async fn a_cancelled_study_cancels_waiting_trials_and_tells_the_trainers_of_running_ones() {
    let bench = Bench::new().await;
    let id =
        bench.study(json!({"max_trials": 2_000, "max_parallel": 1_500, "retry": {"max_failures": 1}})).await;
    let leases = bench.claims("a", 2).await;
    bench.finish(&leases[0], failed(ErrorKind::Io)).await;
    bench.store.cancel_study(id).await.unwrap();
    bench.store.cancel_study(id).await.unwrap();
    bench.healthy().await;
    let record = bench.record(id).await;
    assert_eq!((record.state, record.stop_reason), (StudyState::Cancelled, Some(StopReason::Cancelled)));
    assert_eq!(
        (record.counts.get(TrialState::Running), record.counts.get(TrialState::Cancelled)),
        (1, 1_563)
    );
    assert_eq!(bench.store.report(&leases[1], &[]).await.unwrap(), Directive::Cancel);
    bench.finish(&leases[1], End::Cancelled).await;
    assert!(matches!(
        bench.store.update_study(id, Change::default()).await,
        Err(Error::Closed { state: StudyState::Cancelled, .. })
    ));
    bench.healthy().await;
    let keys = audit::keys(&bench.store).await.unwrap();
    let events = keys.iter().find(|key| key.contains(":events:")).unwrap();
    let kept: u64 = redis::cmd("XLEN").arg(events).query(&mut bench.redis.client()).unwrap();
    assert!(kept < limits::EVENTS_KEPT + 200, "{kept}");
}

#[tokio::test]
async fn one_trial_is_cancelled_whether_it_waits_or_runs() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let lease = bench.claim("a").await.unwrap();
    assert_eq!(bench.store.cancel_trial(id, 1).await.unwrap().state, TrialState::Cancelled);
    assert_eq!(bench.store.cancel_trial(id, 0).await.unwrap().state, TrialState::Running);
    assert!(bench.trial(id, 0).await.cancel_requested);
    assert_eq!(bench.store.report(&lease, &[]).await.unwrap(), Directive::Cancel);
    bench.finish(&lease, End::Released).await;
    assert_eq!(bench.trial(id, 0).await.state, TrialState::Cancelled);
    assert_eq!(bench.store.cancel_trial(id, 0).await.unwrap().state, TrialState::Cancelled);
    assert!(matches!(bench.store.cancel_trial(id, 9).await, Err(Error::NoSuchTrial { number: 9, .. })));
    bench.healthy().await;
}

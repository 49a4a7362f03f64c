//! Studies: created once, topped up, changed, cancelled, deleted.

use super::*;
use crate::artifact::Artifacts;
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
async fn top_up_fills_the_queue_and_no_further_however_many_do_it() {
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
    let mut sampler = hpo::sampler::Sampler::new(&study);
    for number in 0..164 {
        assert_eq!(bench.trial(id, number).await.point, study.space.pack(&sampler.suggest(number).unwrap()));
    }
}

#[tokio::test]
async fn trials_are_enqueued_in_order_and_only_where_they_are_wanted() {
    let bench = Bench::new().await;
    let id = bench.store.create_study(new_study(json!({})), None).await.unwrap().study.id;
    let enqueue = async |first: u64, count: usize| {
        let args = Args::new().arg(id).arg(first).arg(0).list(vec![Vec::new(); count]);
        Reply::of(bench.store.call(Name::Enqueue, id, args).await.unwrap()).unwrap().text().unwrap()
    };
    assert_eq!(
        [enqueue(1, 1).await, enqueue(0, 4).await, enqueue(0, 1).await, enqueue(0, 1).await],
        ["taken", "full", "ok", "taken"]
    );
    bench.store.update_study(id, Change { paused: Some(true), ..Change::default() }).await.unwrap();
    assert_eq!(enqueue(1, 1).await, "closed");
    bench.healthy().await;
    let exhaust = async |number: u64| {
        reply::integer(bench.store.call(Name::Exhaust, id, Args::new().arg(id).arg(number)).await.unwrap())
            .unwrap()
    };
    assert_eq!([exhaust(0).await, exhaust(2).await, exhaust(1).await], [0, 0, 1]);
}

#[tokio::test]
async fn studies_that_want_trials_are_known_without_a_search() {
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
async fn more_trials_reopen_a_completed_study_and_fewer_end_what_waits() {
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
async fn a_trial_that_ran_when_max_trials_fell_below_it_is_cancelled_by_no_later_change() {
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
async fn a_cancelled_study_cancels_what_waits_and_tells_what_runs() {
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
async fn one_trial_is_cancelled_where_it_stands() {
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

#[tokio::test]
async fn a_deleted_study_is_gone_at_once_and_leaves_no_key() {
    let bench = Bench::new().await;
    bench.store.reap().await.unwrap();
    let clean = audit::keys(&bench.store).await.unwrap();
    let id = bench.study(json!({"max_trials": 4, "retry": {"max_failures": 1}})).await;
    let leases = bench.claims("a", 3).await;
    bench.finish(&leases[0], failed(ErrorKind::Io)).await;
    bench.store.report(&leases[1], &[EpochMetrics { epoch: 1, values: vec![0.0; 4] }]).await.unwrap();
    bench.finish(&leases[1], completed(0.5)).await;
    bench.store.delete_study(id).await.unwrap();
    assert!(
        bench.store.study(id).await.unwrap().is_none() && bench.store.trial(id, 0).await.unwrap().is_none()
    );
    assert!(matches!(bench.store.delete_study(id).await, Err(Error::NoSuchStudy(_))));
    assert_eq!(bench.store.report(&leases[2], &[]).await.unwrap(), Directive::Lost);
    assert_eq!(bench.store.finish(&leases[2], &completed(0.5)).await.unwrap(), Ack::Stale);
    assert_eq!(bench.store.top_up(id).await.unwrap(), 0);
    assert!(bench.claim("a").await.is_none());
    bench.healthy().await;
    bench.jump(3_000);
    assert_eq!(bench.store.reap().await.unwrap().deleted, [], "what runs may still write its weights");
    let (_folder, artifacts) = artifacts();
    let late = artifacts
        .put_model(id, 2, 1, Nonce::from_number(9), bytes::Bytes::from_static(b"weights"))
        .await
        .unwrap();
    bench.pass(limits::LEASE_MS).await;
    bench.jump(limits::LEASE_MS);
    assert_eq!(bench.store.reap().await.unwrap().deleted, [id], "who was asked first did not do it");
    bench.store.purge(id, &artifacts).await.unwrap();
    bench.store.purge(id, &artifacts).await.unwrap();
    assert!(artifacts.get(&late).await.is_err());
    bench.store.forget_trainer("a").await.unwrap();
    let mut left = audit::keys(&bench.store).await.unwrap();
    left.retain(|key| !clean.contains(key) && !key.ends_with(":totals") && !key.contains(":wake:"));
    assert_eq!(left, [format!("chandler:{{c}}:study:{id}")], "only its tombstone");
    let left_ms: i64 = redis::cmd("PTTL").arg(&left[0]).query(&mut bench.redis.client()).unwrap();
    assert!((1..=limits::IDEMPOTENCY_MS as i64).contains(&left_ms), "{left_ms}");
    bench.jump(2 * limits::LEASE_MS);
    assert_eq!(bench.store.reap().await.unwrap().deleted, []);
}

#[tokio::test]
async fn files_that_cannot_be_removed_keep_their_study_until_they_can() {
    let bench = Bench::new().await;
    let ids = [bench.study(json!({})).await, bench.study(json!({})).await];
    let (folder, artifacts) = artifacts();
    // A file where the folder of the first study would lie.
    let blocked = folder.path().join("studies").join(ids[0].to_string());
    for id in ids {
        artifacts
            .put_model(id, 0, 1, Nonce::from_number(9), bytes::Bytes::from_static(b"weights"))
            .await
            .unwrap();
        bench.store.delete_study(id).await.unwrap();
    }
    let moved = folder.path().join("moved");
    std::fs::rename(&blocked, &moved).unwrap();
    std::os::unix::fs::symlink("/dev/null/nowhere", &blocked).unwrap();
    let mut deleted = bench.store.reap().await.unwrap().deleted;
    deleted.sort();
    assert_eq!(deleted, ids);
    let purged = [
        bench.store.purge(ids[0], &artifacts).await.is_ok(),
        bench.store.purge(ids[1], &artifacts).await.is_ok(),
    ];
    assert_eq!(purged, [false, true]);
    std::fs::remove_file(&blocked).unwrap();
    std::fs::rename(&moved, &blocked).unwrap();
    bench.jump(limits::LEASE_MS);
    assert_eq!(bench.store.reap().await.unwrap().deleted, [ids[0]]);
    bench.store.purge(ids[0], &artifacts).await.unwrap();
    assert!(!blocked.exists());
}

#[tokio::test]
async fn what_trials_leave_behind_is_handed_out_until_it_is_cleared() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"max_trials": 8, "retry": {"max_failures": 1, "max_stalls": 0}})).await;
    let leases = bench.claims("a", 7).await;
    let with_checkpoints =
        async |lease: &Lease, end: End| match bench.store.finish_with_checkpoints(lease, &end).await.unwrap()
        {
            Ack::Accepted { has_ended, .. } => has_ended,
            Ack::Stale => panic!("it is stale"),
        };
    // 0 ends without checkpoints, 1 with some, 2 goes on where it was, 3 waits for another try, 4
    // is cancelled as it waits, 5 as it is handed back, 6 is never heard of again, 7 was never
    // trained.
    bench.finish(&leases[0], completed(0.5)).await;
    assert!(with_checkpoints(&leases[1], completed(0.5)).await);
    bench.finish(&leases[2], End::Released).await;
    assert!(!with_checkpoints(&leases[3], failed(ErrorKind::Io)).await);
    bench.finish(&leases[4], End::Released).await;
    bench.store.cancel_trial(id, 4).await.unwrap();
    bench.store.cancel_trial(id, 5).await.unwrap();
    assert!(with_checkpoints(&leases[5], End::Released).await);
    assert!(with_checkpoints(&leases[5], End::Released).await, "again");
    bench.store.cancel_trial(id, 7).await.unwrap();
    bench.healthy().await;
    assert_eq!(bench.store.reap().await.unwrap().leftovers, [], "who lost its lease may still write");
    bench.pass(limits::LEFTOVER_MS - limits::LEASE_MS / 2).await;
    assert_eq!(bench.trial(id, 6).await.state, TrialState::Failed);
    bench.jump(limits::LEASE_MS / 2);
    assert_eq!(bench.store.reap().await.unwrap().leftovers, [(id, 1), (id, 4), (id, 5)]);
    bench.jump(limits::LEASE_MS / 2);
    assert_eq!(bench.store.reap().await.unwrap().leftovers, []);
    bench.jump(limits::LEASE_MS / 2);
    assert_eq!(
        bench.store.reap().await.unwrap().leftovers,
        [(id, 1), (id, 4), (id, 5), (id, 6)],
        "who was asked first did not do it"
    );
    // Of a trial that went on, all goes only once it has ended.
    let again = bench.claims("a", 2).await;
    assert_eq!(again.iter().map(|lease| lease.number).collect::<Vec<_>>(), [2, 3]);
    bench.store.cancel_study(id).await.unwrap();
    assert!(with_checkpoints(&again[0], End::Cancelled).await);
    assert!(with_checkpoints(&again[1], failed(ErrorKind::Io)).await);
    bench.healthy().await;
    let (folder, artifacts) = artifacts();
    let checkpoints = |number: u64| {
        folder.path().join("studies").join(id.to_string()).join(number.to_string()).join("checkpoints")
    };
    for number in 1..8 {
        std::fs::create_dir_all(checkpoints(number)).unwrap();
        std::fs::write(checkpoints(number).join(".half.safetensors#1"), "half").unwrap();
    }
    bench.pass(limits::LEFTOVER_MS - limits::LEASE_MS).await;
    for _ in 0..4 {
        bench.jump(limits::LEASE_MS / 2);
        assert_eq!(bench.store.tend(&artifacts).await.unwrap().undone, [""; 0]);
    }
    assert_eq!((1..8).filter(|number| checkpoints(*number).exists()).collect::<Vec<_>>(), [7]);
    bench.jump(2 * limits::LEASE_MS);
    assert_eq!(bench.store.reap().await.unwrap().leftovers, []);
    assert!(!audit::keys(&bench.store).await.unwrap().iter().any(|key| key.ends_with(":leftovers")));
}

#[tokio::test]
async fn checkpoints_that_cannot_be_removed_are_tried_again() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"max_trials": 1})).await;
    let lease = bench.claim("a").await.unwrap();
    bench.store.finish_with_checkpoints(&lease, &completed(0.5)).await.unwrap();
    let (folder, artifacts) = artifacts();
    let trial = folder.path().join("studies").join(id.to_string()).join("0");
    std::fs::create_dir_all(trial.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/null/nowhere", &trial).unwrap();
    bench.pass(limits::LEFTOVER_MS - limits::LEASE_MS / 2).await;
    bench.jump(limits::LEASE_MS / 2);
    let undone = bench.store.tend(&artifacts).await.unwrap().undone;
    assert!(
        undone.len() == 1
            && undone[0].starts_with(&format!(
                "Trial 0 of study {id} has ended, but its checkpoints could not be removed yet"
            )),
        "{undone:?}"
    );
    std::fs::remove_file(&trial).unwrap();
    bench.jump(limits::LEASE_MS);
    assert_eq!(bench.store.tend(&artifacts).await.unwrap().undone, [""; 0]);
    bench.jump(limits::LEASE_MS);
    assert_eq!(bench.store.reap().await.unwrap().leftovers, []);
}

#[tokio::test]
async fn a_trial_is_handed_out_again_where_who_has_lost_it_may_have_written_since() {
    let bench = Bench::new().await;
    let (_folder, artifacts) = artifacts();
    let id = bench.study(json!({"max_trials": 3, "retry": {"max_stalls": 1}})).await;
    let deleted = bench.study(json!({"max_trials": 1})).await;
    let lost = bench.claims("a", 3).await;
    let lost_of =
        |study, number| lost.iter().find(|lease| (lease.study, lease.number) == (study, number)).unwrap();
    let leftovers = async || {
        bench.pass(limits::LEFTOVER_MS - limits::LEASE_MS / 2).await;
        bench.jump(limits::LEASE_MS / 2);
        bench.store.reap().await.unwrap().leftovers
    };
    bench.store.delete_study(deleted).await.unwrap();
    bench.pass(limits::LEASE_MS).await;
    bench.store.purge(deleted, &artifacts).await.unwrap();
    let again = bench.claims("b", 3).await;
    assert_eq!(
        again.iter().map(|lease| (lease.number, lease.attempt)).collect::<Vec<_>>(),
        [(0, 2), (1, 2), (2, 1)]
    );
    // One that runs elsewhere is cleared as it ends.
    assert_eq!(
        bench.store.finish_with_checkpoints(lost_of(id, 0), &completed(0.1)).await.unwrap(),
        Ack::Stale
    );
    bench.store.abandon(id, 0).await.unwrap();
    bench.healthy().await;
    // A later attempt cannot speak for the first.
    bench.finish(&again[0], completed(0.5)).await;
    for (lease, has_checkpoints) in [(&again[1], false), (&again[2], true)] {
        match has_checkpoints {
            true => bench.store.finish_with_checkpoints(lease, &completed(0.5)).await.unwrap(),
            false => bench.store.finish(lease, &completed(0.5)).await.unwrap(),
        };
    }
    assert_eq!(leftovers().await, [(id, 0), (id, 1), (id, 2)]);
    for number in 0..3 {
        bench.store.clear(id, number, &artifacts).await.unwrap();
    }
    bench.store.finish(lost_of(id, 0), &completed(0.1)).await.unwrap();
    assert_eq!(leftovers().await, [], "it says that it has written none");
    bench.store.finish_with_checkpoints(lost_of(id, 0), &completed(0.1)).await.unwrap();
    bench.store.abandon(id, 1).await.unwrap();
    bench.store.finish_with_checkpoints(lost_of(deleted, 0), &completed(0.1)).await.unwrap();
    bench.healthy().await;
    assert_eq!(leftovers().await, [(id, 0), (id, 1), (deleted, 0)]);
    bench.store.clear(deleted, 0, &artifacts).await.unwrap();
}

#[tokio::test]
async fn artifacts_that_hang_keep_no_study_waiting() {
    let redis = TestRedis::start_volatile();
    let store = Store::connect(Config { lease_ms: 1_000, ..Config::new(redis.url()) }).await.unwrap();
    let gone = [new_study(json!({})), new_study(json!({}))];
    for new in gone.clone() {
        store.create_study(new.clone(), None).await.unwrap();
        store.delete_study(new.id).await.unwrap();
    }
    let waiting = store.create_study(new_study(json!({"max_trials": 3})), None).await.unwrap().study.id;
    let tended = tokio::time::timeout(Duration::from_secs(30), store.tend(&Artifacts::hanging()))
        .await
        .expect("it ends")
        .unwrap();
    assert_eq!(tended.undone.len(), 2, "{tended:?}");
    assert!(
        tended.undone.iter().all(|undone| undone.ends_with("trying again: it did not finish in time")),
        "{tended:?}"
    );
    assert_eq!(store.study(waiting).await.unwrap().unwrap().counts.get(TrialState::Queued), 3);
}

fn artifacts() -> (tempfile::TempDir, Artifacts) {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open(folder.path().to_str().unwrap()).unwrap();
    (folder, artifacts)
}

#[tokio::test]
async fn the_id_of_a_deleted_study_is_not_used_again() {
    let bench = Bench::new().await;
    let new = new_study(json!({}));
    bench.store.create_study(new.clone(), None).await.unwrap();
    bench.store.delete_study(new.id).await.unwrap();
    for _ in 0..2 {
        assert!(
            matches!(bench.store.create_study(new.clone(), None).await, Err(Error::Deleted(id)) if id == new.id)
        );
        assert!(bench.store.study(new.id).await.unwrap().is_none());
        bench.jump(3_000);
        for id in bench.store.reap().await.unwrap().deleted {
            bench.store.purge(id, &artifacts().1).await.unwrap();
        }
    }
    bench.healthy().await;
}

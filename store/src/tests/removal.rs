//! What is removed: deleted studies, and checkpoints of trials that ended.

use super::*;
use crate::artifact::Artifacts;
use hpo::trial::{ErrorKind, TrialState};

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
async fn a_study_is_handed_out_until_all_of_its_files_are_removed() {
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
async fn checkpoints_of_ended_trials_are_handed_out_until_they_are_cleared() {
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
async fn checkpoints_are_handed_out_again_if_a_trainer_that_lost_the_trial_may_have_written_since() {
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
async fn artifacts_that_hang_do_not_keep_studies_waiting() {
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

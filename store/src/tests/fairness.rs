//! The fair share between studies.

use super::*;

/// Runs two backlogged studies on `slots` slots for a while; the served time of each.
async fn serve(bench: &Bench, ids: [StudyId; 2], durations_ms: [u64; 2], slots: usize) -> [u64; 2] {
    let (mut served, mut running) = ([0; 2], Vec::new());
    for _ in 0..300 {
        for lease in bench.claims("a", slots - running.len()).await {
            let which = usize::from(lease.study == ids[1]);
            running.push((bench.now_ms() + durations_ms[which], which, lease));
        }
        running.sort_by_key(|(end, ..)| std::cmp::Reverse(*end));
        let (end, which, lease) = running.pop().unwrap();
        bench.jump(end - bench.now_ms());
        bench.finish(&lease, completed(0.5)).await;
        bench.store.top_up(lease.study).await.unwrap();
        served[which] += durations_ms[which];
    }
    served
}

#[tokio::test]
async fn two_backlogged_studies_share_time_by_weight() {
    for (weights, durations_ms, slots) in
        [([1.0, 1.0], [10_000, 1_000], 1), ([1.0, 3.0], [2_000, 5_000], 1), ([1.0, 1.0], [7_000, 300], 4)]
    {
        let bench = Bench::new().await;
        let mut ids = Vec::new();
        for weight in weights {
            ids.push(bench.study(json!({"weight": weight, "max_trials": 1_000})).await);
        }
        let served = serve(&bench, [ids[0], ids[1]], durations_ms, slots).await;
        let share = |which: usize| served[which] as f64 / weights[which];
        // At most one trial a slot, by the weight of its study.
        let bound = (0..2).map(|which| durations_ms[which] as f64 / weights[which]).fold(0.0, f64::max)
            * slots as f64;
        assert!(
            (share(0) - share(1)).abs() <= bound,
            "{served:?} for weights {weights:?}, durations {durations_ms:?}"
        );
        bench.healthy().await;
    }
}

#[tokio::test]
async fn a_study_that_had_nothing_to_run_does_not_save_up_time() {
    let bench = Bench::new().await;
    let old = bench.study(json!({"max_trials": 1_000})).await;
    for _ in 0..20 {
        let lease = bench.claim("a").await.unwrap();
        bench.jump(10_000);
        bench.finish(&lease, completed(0.5)).await;
    }
    let young = bench.study(json!({"max_trials": 1_000})).await;
    let served = serve(&bench, [old, young], [1_000, 1_000], 1).await;
    assert!(served[0].abs_diff(served[1]) <= 11_000, "{served:?}");
}

#[tokio::test]
async fn a_lost_lease_is_charged_for_the_time_it_held() {
    let bench = Bench::new().await;
    let ids = [bench.study(json!({})).await, bench.study(json!({})).await];
    assert_eq!(bench.claim("a").await.unwrap().study, ids[0]);
    bench.pass(30_000).await;
    for _ in 0..2 {
        let lease = bench.claim("a").await.unwrap();
        assert_eq!(lease.study, ids[1]);
        bench.jump(10_000);
        bench.finish(&lease, completed(0.5)).await;
    }
}

#[tokio::test]
async fn the_least_served_study_is_first_whatever_its_device_class() {
    let bench = Bench::new().await;
    for devices in [["any", "cpu"], ["cpu", "any"]] {
        let mut ids = Vec::new();
        for device in devices {
            ids.push(bench.study(json!({"device": device})).await);
        }
        let mut claimed = Vec::new();
        for _ in 0..2 {
            let lease = bench.claim("a").await.unwrap();
            bench.jump(1_000);
            bench.finish(&lease, completed(0.5)).await;
            claimed.push(lease.study);
        }
        claimed.sort();
        assert_eq!(claimed, ids);
        for id in ids {
            bench.store.cancel_study(id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn max_parallel_bounds_what_runs() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"max_trials": 10, "max_parallel": 2})).await;
    let leases = bench.claims("a", 5).await;
    assert_eq!(leases.len(), 2);
    bench.finish(&leases[0], completed(0.5)).await;
    assert_eq!(bench.claims("a", 5).await.len(), 1);
    bench.store.update_study(id, Change { max_parallel: Some(Some(4)), ..Change::default() }).await.unwrap();
    assert_eq!(bench.claims("a", 5).await.len(), 2);
    bench.healthy().await;
}

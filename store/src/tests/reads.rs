//! Lists, the best, trainers, metrics.

use super::*;
use hpo::trial::{StudyState, TrialState, WaitingFor};

#[tokio::test]
async fn studies_are_listed_newest_first_in_pages() {
    let bench = Bench::new().await;
    let mut ids = Vec::new();
    for name in ["mnist-a", "iris", "mnist-b", "mnist-c"] {
        ids.insert(0, bench.study(json!({"name": name})).await);
    }
    bench.store.cancel_study(ids[1]).await.unwrap();
    let list = async |page| {
        let (studies, next) = bench.store.list_studies(page).await.unwrap();
        (studies.iter().map(|study| study.id).collect::<Vec<_>>(), next)
    };
    let first = list(StudyPage { limit: 3, ..StudyPage::default() }).await;
    assert_eq!(first.0, ids[..3]);
    assert_eq!(list(StudyPage { cursor: first.1, ..StudyPage::default() }).await, (ids[3..].to_vec(), None));
    assert_eq!(
        list(StudyPage {
            name: Some("mnist".into()),
            state: Some(StudyState::Running),
            ..StudyPage::default()
        })
        .await
        .0,
        [ids[0], ids[3]]
    );
    assert_eq!(list(StudyPage { limit: 4, ..StudyPage::default() }).await.1, None);
    let bad = StudyPage { cursor: Some("x".into()), ..StudyPage::default() };
    assert!(matches!(bench.store.list_studies(bad).await, Err(Error::BadCursor)));
}

#[tokio::test]
async fn trials_are_listed_by_number_and_by_value() {
    let bench = Bench::new().await;
    let id = bench.study(json!({"max_trials": 6, "early_stop": {"max_failures_in_a_row": 10}})).await;
    for end in [completed(0.5), completed(0.9), failed(ErrorKind::Panic), completed(0.5), completed(-0.0)] {
        let lease = bench.claim("a").await.unwrap();
        bench.finish(&lease, end).await;
    }
    let list = async |page: TrialPage| {
        let (trials, next) = bench.store.trials(id, page).await.unwrap();
        (trials.iter().map(|trial| trial.number).collect::<Vec<_>>(), next)
    };
    let by = |sort, limit, cursor: Option<String>| TrialPage { sort, limit, cursor, state: None };
    let (first, next) = list(by(Sort::Value, 4, None)).await;
    assert_eq!(first, [1, 0, 3, 4]);
    assert_eq!(list(by(Sort::Value, 4, next)).await, (vec![2, 5], None));
    let (first, next) = list(by(Sort::Number, 4, None)).await;
    assert_eq!(first, [0, 1, 2, 3]);
    assert_eq!(list(by(Sort::Number, 4, next)).await, (vec![4, 5], None));
    assert_eq!(
        list(TrialPage { state: Some(TrialState::Completed), limit: 2, ..TrialPage::default() }).await.0,
        [0, 1]
    );
    assert_eq!(
        bench.store.best(id, 2).await.unwrap().iter().map(|trial| trial.number).collect::<Vec<_>>(),
        [1, 0]
    );
}

#[tokio::test]
async fn pages_by_value_show_each_trial_once_while_the_study_runs() {
    // Fewer trials than the best that are kept, and more: their scores come from two places.
    for (count, page) in [(12, 5), (130, 60)] {
        let bench = Bench::new().await;
        let id = bench.study(json!({"max_trials": 200, "max_parallel": 200})).await;
        let leases = bench.claims("a", count as usize + 3).await;
        for lease in &leases[..count as usize] {
            bench.store.finish(lease, &completed(f64::from(lease.number as u32 % 7))).await.unwrap();
        }
        let mut last = leases[count as usize..].iter();
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page =
                TrialPage { cursor, limit: page, state: Some(TrialState::Completed), sort: Sort::Value };
            let (trials, next) = bench.store.trials(id, page).await.unwrap();
            seen.extend(trials.iter().map(|trial| trial.number));
            cursor = next;
            if cursor.is_none() {
                break;
            }
            // The best so far: every rank below it moves by one.
            if let Some(lease) = last.next() {
                bench.store.finish(lease, &completed(100.0)).await.unwrap();
            }
        }
        let mut expected: Vec<u64> = (0..count).collect();
        expected.sort_by_key(|number| (std::cmp::Reverse(number % 7), *number));
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn a_cursor_of_one_order_is_refused_by_another() {
    let bench = Bench::new().await;
    let id = bench.study(json!({})).await;
    let lease = bench.claim("a").await.unwrap();
    bench.finish(&lease, completed(-0.5)).await;
    let page = |sort, cursor| TrialPage { sort, limit: 1, cursor, state: None };
    let (_, by_number) = bench.store.trials(id, page(Sort::Number, None)).await.unwrap();
    let (_, by_value) = bench.store.trials(id, page(Sort::Value, None)).await.unwrap();
    let (_, by_value_again) = bench.store.trials(id, page(Sort::Value, by_value.clone())).await.unwrap();
    assert!(by_number.is_some() && by_value.is_some() && by_value_again.is_some());
    let garbage = ["", "1", "n", "n-1", "s", "sfff00000000000001", "s3ff000000000000", "é1", "u1x"]
        .map(|text| Some(text.to_owned()));
    let bad = [(Sort::Number, by_value), (Sort::Number, by_value_again), (Sort::Value, by_number)];
    let bad = bad
        .into_iter()
        .chain(garbage.into_iter().flat_map(|text| [(Sort::Number, text.clone()), (Sort::Value, text)]));
    for (sort, cursor) in bad {
        let answer = bench.store.trials(id, page(sort, cursor.clone())).await;
        assert!(matches!(answer, Err(Error::BadCursor)), "{cursor:?}: {answer:?}");
    }
}

#[tokio::test]
async fn the_best_beyond_those_kept_come_from_the_packed_column() {
    let bench = Bench::new().await;
    let id =
        bench.study(json!({"max_trials": 150, "max_parallel": 150, "objective": {"metric": "val_loss", "direction": "minimize"}})).await;
    for lease in bench.claims("a", 150).await {
        bench.store.finish(&lease, &completed((lease.number * 37 % 50) as f64 - 10.0)).await.unwrap();
    }
    bench.healthy().await;
    let mut expected: Vec<u64> = (0..150).collect();
    expected.sort_by_key(|number| (number * 37 % 50, *number));
    for count in [1, 100, 101, 150] {
        let best = bench.store.best(id, count).await.unwrap();
        assert_eq!(best.iter().map(|trial| trial.number).collect::<Vec<_>>(), expected[..count]);
    }
    let page = TrialPage { sort: Sort::Value, limit: 1_000, ..TrialPage::default() };
    assert_eq!(
        bench.store.trials(id, page).await.unwrap().0.iter().map(|trial| trial.number).collect::<Vec<_>>(),
        expected
    );
}

#[tokio::test]
async fn trainers_are_listed_until_they_leave_or_fall_silent() {
    let bench = Bench::new().await;
    for id in ["b", "a"] {
        bench.store.heartbeat_trainer(&trainer(id)).await.unwrap();
    }
    let listed = async || {
        bench.store.trainers().await.unwrap().into_iter().map(|record| record.trainer.id).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, ["a", "b"]);
    bench.store.forget_trainer("b").await.unwrap();
    assert_eq!(listed().await, ["a"]);
    bench.store.reap().await.unwrap();
    bench.jump(130_000);
    assert_eq!(listed().await, Vec::<String>::new());
    let metrics = bench.store.collect().await.unwrap();
    assert_eq!((metrics.trainers, metrics.slots), (0, 2), "until the reaper forgets it");
    bench.pass(36_000).await;
    assert_eq!(bench.store.collect().await.unwrap().slots, 0);
}

#[tokio::test]
async fn metrics_are_complete_and_follow_the_store() {
    let bench = Bench::new().await;
    bench.store.heartbeat_trainer(&trainer("a")).await.unwrap();
    let id = bench.study(json!({"device": "cpu"})).await;
    let lease = bench.claim("a").await.unwrap();
    bench.jump(31_000);
    let metrics = bench.store.collect().await.unwrap();
    let trials =
        |state| metrics.trials.iter().find(|row| row.0 == DeviceClass::Cpu && row.1 == state).unwrap().2;
    assert_eq!((trials(TrialState::Queued), trials(TrialState::Running)), (2, 1));
    assert_eq!(metrics.trials.len(), DeviceClass::ALL.len() * TrialState::ALL.len());
    assert_eq!((metrics.slots, metrics.trainers, metrics.claims, metrics.lease_overdue_ms), (2, 1, 1, 1_000));
    assert!(metrics.studies.contains(&(StudyState::Running, 1)) && metrics.redis_memory_bytes > 0);
    assert!(metrics.runnable.contains(&(DeviceClass::Cpu, 1)));
    bench.store.report(&lease, &[]).await.unwrap();
    assert_eq!(bench.store.collect().await.unwrap().lease_overdue_ms, 0);
    bench.finish(&lease, completed(0.5)).await;
    bench.store.delete_study(id).await.unwrap();
    let metrics = bench.store.collect().await.unwrap();
    assert!(metrics.studies.iter().all(|row| row.1 == 0) && metrics.trials.iter().all(|row| row.2 == 0));
}

#[tokio::test]
async fn studies_that_wait_are_counted_by_what_they_wait_for() {
    let bench = Bench::new().await;
    let waiting = async |expected: &[(WaitingFor, u64)]| {
        let metrics = bench.store.collect().await.unwrap();
        assert_eq!(
            metrics.waiting.iter().map(|row| row.0).collect::<Vec<_>>(),
            WaitingFor::ALL,
            "each is there, 0 included"
        );
        assert_eq!(metrics.waiting.into_iter().filter(|row| row.1 > 0).collect::<Vec<_>>(), expected);
    };
    waiting(&[]).await;
    bench.study(json!({"device": "cuda"})).await;
    let id = bench.study(json!({})).await;
    waiting(&[(WaitingFor::Trainer, 2)]).await;
    bench.store.heartbeat_trainer(&trainer("a")).await.unwrap();
    waiting(&[(WaitingFor::Device, 1)]).await;
    let dataset_id = bench.record(id).await.dataset_id;
    let lacking = Trainer {
        refused: vec![RefusedDataset { dataset_id, why: "there is no file".into() }],
        ..trainer("a")
    };
    bench.store.heartbeat_trainer(&lacking).await.unwrap();
    waiting(&[(WaitingFor::Device, 1), (WaitingFor::Dataset, 1)]).await;
    // All of its trials run, and none can be handed in.
    assert_eq!(bench.claims("a", 3).await.len(), 3);
    let held = Trainer { running: vec![(id, 0)], faults: vec!["no space left".into()], ..trainer("a") };
    bench.store.heartbeat_trainer(&held).await.unwrap();
    waiting(&[(WaitingFor::Device, 1), (WaitingFor::Artifacts, 1)]).await;
    assert_eq!(
        bench.record(id).await.needs().waiting_for(&bench.store.trainers().await.unwrap()).unwrap().kind,
        WaitingFor::Artifacts
    );
    bench.store.update_study(id, Change { paused: Some(true), ..Change::default() }).await.unwrap();
    waiting(&[(WaitingFor::Device, 1)]).await;
}

#[tokio::test]
async fn a_scrape_looks_at_no_more_studies_than_it_may() {
    let bench = Bench::new().await;
    for _ in 0..limits::WAITING_SCANNED_MAX + 3 {
        bench
            .store
            .top_up(
                bench.store.create_study(new_study(json!({"device": "cuda"})), None).await.unwrap().study.id,
            )
            .await
            .unwrap();
    }
    let metrics = bench.store.collect().await.unwrap();
    assert!(
        metrics.waiting.contains(&(WaitingFor::Trainer, limits::WAITING_SCANNED_MAX)),
        "{:?}",
        metrics.waiting
    );
}

#[tokio::test]
async fn every_script_call_is_observed() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = seen.clone();
    let redis = TestRedis::start_volatile();
    let observe: Observe = Arc::new(move |name, _, ok| sink.lock().unwrap().push((name, ok)));
    let store = Store::connect(Config { observe: Some(observe), ..Config::new(redis.url()) }).await.unwrap();
    store.study(new_id()).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [("studies", true)]);
}

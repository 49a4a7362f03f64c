//! What a trial costs in Redis.

use super::*;

const TRIALS: usize = 2_000;

/// How far the trials get before they are weighed.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Queued,
    Running,
    Finished { epochs: u32 },
}

/// Bytes of Redis that each of 2,000 trials with ten hyperparameters takes: what the server gets
/// back when its data are dropped. So its own memory does not count: buffers of connections,
/// scripts, a histogram of some 20 kB from a command's first use on.
async fn bytes_per_trial(stage: Stage) -> u64 {
    let bench = Bench::new().await;
    let mut space: Vec<Value> = (0..6)
        .map(|n| json!({"name": format!("f{n}"), "type": "float", "min_value": 0.1, "max_value": 0.9}))
        .collect();
    space.extend(
        (0..3).map(|n| json!({"name": format!("i{n}"), "type": "int", "min_value": 1, "max_value": 1_000})),
    );
    space.push(json!({"name": "activation", "type": "choice", "values": ["relu", "tanh"]}));
    let mut network: Vec<Value> =
        (0..3).map(|n| json!({"layer": "Dense", "units": {"hp": format!("i{n}")}, "activation": {"hp": "activation"}})).collect();
    network.extend((0..5).map(|n| json!({"layer": "Dropout", "rate": {"hp": format!("f{n}")}})));
    network.push(json!({"layer": "Dense", "units": 3, "activation": "softmax"}));
    let training = json!({"optimizer": {"name": "adam", "learning_rate": {"hp": "f5"}}, "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], "batch_size": 32, "epochs": 50});
    let study = new_study(
        json!({"space": space, "network": network, "training": training, "max_trials": TRIALS, "max_parallel": TRIALS}),
    );
    let id = bench.store.create_study(study, None).await.unwrap().study.id;
    bench.store.top_up(id).await.unwrap();
    let mut leases = Vec::new();
    while stage != Stage::Queued && leases.len() < TRIALS {
        leases.extend(bench.claims(&format!("{:0>36}", leases.len() % 8), 200).await);
    }
    if let Stage::Finished { epochs } = stage {
        for lease in &leases {
            let points: Vec<_> = (1..=epochs)
                .map(|epoch| EpochMetrics { epoch, values: vec![0.1 / epoch as f32; 4] })
                .collect();
            bench.jump(3_456);
            bench.store.report(lease, &points).await.unwrap();
            bench
                .finish(
                    lease,
                    End::Completed { value: 1.0 / (lease.number + 3) as f64, best_epoch: epochs.max(1) },
                )
                .await;
        }
    }
    let mut client = bench.redis.client();
    let mut used = || {
        let info: String = redis::cmd("INFO").arg("memory").query(&mut client).unwrap();
        info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().parse::<u64>().unwrap()
    };
    let full = used();
    let _: () = redis::cmd("FLUSHALL").arg("SYNC").query(&mut bench.redis.client()).unwrap();
    (full - used()) / TRIALS as u64
}

#[tokio::test]
async fn a_trial_stays_small() {
    let (queued, running) = (bytes_per_trial(Stage::Queued).await, bytes_per_trial(Stage::Running).await);
    let finished = bytes_per_trial(Stage::Finished { epochs: 0 }).await;
    let with_curve = bytes_per_trial(Stage::Finished { epochs: 50 }).await;
    println!(
        "bytes a trial: {queued} queued, {running} running, {finished} finished, {with_curve} with 50 epochs of four metrics"
    );
    assert!(running <= 500, "{running}");
    assert!(finished <= 250, "{finished}");
    assert!(with_curve <= 1_500, "{with_curve}");
}

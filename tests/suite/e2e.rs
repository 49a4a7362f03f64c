//! The whole service with the real binaries.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tests::{Client, Program, TestRedis, eventually, example};

/// `chandler serve` with its own Redis and trainer.
struct Service {
    program: Program,
    client: Client,
}

fn serve(data_dir: &TempDir, more: &[&str]) -> Service {
    let folder = data_dir.path().display().to_string();
    let args = ["serve", "--listen", "127.0.0.1:0", "--data-dir", &folder];
    let program = Program::start("chandler", args.iter().chain(more));
    let base = program.wait_for("Listening on ");
    Service { program, client: Client::new(base) }
}

async fn ended(client: &Client, path: &str) -> Json {
    eventually("the end of the study", || async {
        let view = client.get(path).await.expect(200).json();
        (view["state"] == "completed" || view["state"] == "failed").then_some(view)
    })
    .await
}

fn short_study() -> Json {
    let mut study = example("digits-random");
    study["max_trials"] = json!(4);
    study["training"]["epochs"] = json!(2);
    study
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_runs_end_to_end_on_one_machine() {
    let data_dir = TempDir::new().unwrap();
    let mut service = serve(&data_dir, &["--slots", "2"]);
    let client = &service.client;
    let path = client.post("/v1/studies", &short_study()).await.expect(201).header("location").unwrap().to_owned();
    let view = ended(client, &path).await;
    assert_eq!((view["stop_reason"].as_str(), view["trials"]["completed"].as_u64()), (Some("max_trials"), Some(4)), "{view:#}");
    let trials = client.get(&format!("{path}/trials?sort=value")).await.expect(200).json();
    let values: Vec<f64> = trials["trials"].as_array().unwrap().iter().map(|trial| trial["value"].as_f64().unwrap()).collect();
    assert!(values.is_sorted_by(|a, b| a >= b), "{values:?}");
    assert_eq!(client.get(&format!("{path}/trials/0/curve")).await.expect(200).json()["steps"].as_array().map(Vec::len), Some(2));
    assert!(client.get(&format!("{path}/best/model")).await.expect(200).bytes.len() > 1000);
    let metrics = client.get("/metrics").await.expect(200).text();
    assert!(metrics.contains("chandler_studies{state=\"completed\"} 1"), "{metrics}");
    service.program.signal(libc::SIGTERM);
    assert_eq!(service.program.wait(), Some(0), "{:#?}", service.program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_trainer_s_trial_is_trained_again_to_the_same_bits() {
    let data_dir = TempDir::new().unwrap();
    let redis = TestRedis::start();
    let url = redis.url();
    let service = serve(&data_dir, &["--redis-url", &url, "--lease-seconds", "2"]);
    let client = &service.client;
    let folder = data_dir.path().display().to_string();
    let trainer = || Program::start("chandler-trainer", ["--redis-url", &url, "--data-dir", &folder, "--slots", "1", "--lease-seconds", "2"]);
    let mut study = short_study();
    study["training"]["epochs"] = json!(60);
    study["max_trials"] = json!(2);
    let path = client.post("/v1/studies", &study).await.expect(201).header("location").unwrap().to_owned();
    let first = trainer();
    eventually("a trial in its course", || async {
        let trial = client.get(&format!("{path}/trials/0")).await.expect(200).json();
        (trial["state"] == "running" && trial["step"].as_u64() > Some(2)).then_some(())
    })
    .await;
    first.signal(libc::SIGKILL);
    let _second = trainer();
    let _third = trainer();
    let view = ended(client, &path).await;
    assert_eq!(view["trials"]["completed"], 2, "{view:#}");
    let killed = client.get(&format!("{path}/trials/0")).await.expect(200).json();
    assert_eq!(killed["attempts"].as_array().map(Vec::len), Some(2), "{killed:#}");
    // The same study, undisturbed.
    let again = client.post("/v1/studies", &study).await.expect(201).header("location").unwrap().to_owned();
    ended(client, &again).await;
    let undisturbed = client.get(&format!("{again}/trials/0")).await.expect(200).json();
    assert_eq!((&killed["value"], &killed["hyperparameters"]), (&undisturbed["value"], &undisturbed["hyperparameters"]));
    let curve = |path: String| async move { client.get(&format!("{path}/trials/0/curve")).await.expect(200).json() };
    assert_eq!(curve(path).await, curve(again).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_ends_although_api_and_redis_are_killed_in_its_course() {
    let data_dir = TempDir::new().unwrap();
    let mut redis = TestRedis::start();
    let url = redis.url();
    let args = ["--redis-url", url.as_str(), "--lease-seconds", "2"];
    let service = serve(&data_dir, &args);
    let folder = data_dir.path().display().to_string();
    let _trainer = Program::start("chandler-trainer", ["--redis-url", &url, "--data-dir", &folder, "--slots", "1", "--lease-seconds", "2"]);
    let mut study = short_study();
    study["training"]["epochs"] = json!(30);
    let path = service.client.post("/v1/studies", &study).await.expect(201).header("location").unwrap().to_owned();
    eventually("a trial in its course", || async {
        (service.client.get(&path).await.expect(200).json()["trials"]["running"].as_u64() > Some(0)).then_some(())
    })
    .await;
    service.program.signal(libc::SIGKILL);
    redis.kill();
    tokio::time::sleep(Duration::from_millis(200)).await;
    redis.restart();
    let service = serve(&data_dir, &args);
    let view = ended(&service.client, &path).await;
    assert_eq!(view["trials"]["completed"], 4, "{view:#}");
}

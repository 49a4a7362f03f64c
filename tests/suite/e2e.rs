//! The whole service with the real binaries.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tests::{
    Client, Program, Service, TestRedis, binary, eventually, example, example_datasets, examples,
    start_trainer,
};

/// A study of four trials of two epochs.
fn short_study() -> Json {
    let mut study = example("digits-random");
    study["max_trials"] = json!(4);
    study["training"]["epochs"] = json!(2);
    study
}

/// A study whose trials do not end in the time that a test takes.
fn endless_study() -> Json {
    let mut study = short_study();
    study["training"]["epochs"] = json!(100_000);
    study
}

/// Waits until trial 0 of the study at `path` has finished some epochs.
async fn in_its_course(client: &Client, path: &str) -> Json {
    eventually("a trial in its course", || async {
        let trial = client.get(&format!("{path}/trials/0")).await.expect(200).json();
        (trial["state"] == "running" && trial["step"].as_u64() > Some(2)).then_some(trial)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_runs_end_to_end_on_one_machine() {
    let data_dir = TempDir::new().unwrap();
    let mut service = Service::start(data_dir.path(), &["--slots", "2"]);
    let client = &service.client;
    let path = service.create(&short_study()).await;
    let view = service.ended(&path).await;
    assert_eq!(
        (view["stop_reason"].as_str(), view["trials"]["completed"].as_u64()),
        (Some("max_trials"), Some(4)),
        "{view:#}"
    );
    let trials = client.get(&format!("{path}/trials?sort=value")).await.expect(200).json();
    let values: Vec<f64> =
        trials["trials"].as_array().unwrap().iter().map(|trial| trial["value"].as_f64().unwrap()).collect();
    assert!(values.is_sorted_by(|a, b| a >= b), "{values:?}");
    assert_eq!(
        client.get(&format!("{path}/trials/0/curve")).await.expect(200).json()["steps"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    assert!(client.get(&format!("{path}/best/model")).await.expect(200).bytes.len() > 1000);
    for (format, start) in [("onnx", &b"\x08\x08"[..]), ("keras", b"PK")] {
        let model = client.get(&format!("{path}/best/model?format={format}")).await.expect(200);
        assert!(
            model.header("content-disposition").is_some_and(|name| name.ends_with(&format!(".{format}\""))),
            "{format}"
        );
        assert!(model.bytes.len() > 1000 && model.bytes.starts_with(start), "{format}");
    }
    let metrics = client.get("/metrics").await.expect(200).text();
    assert!(metrics.contains("chandler_studies{state=\"completed\"} 1"), "{metrics}");
    service.program.signal(libc::SIGTERM);
    assert_eq!(service.program.wait(), Some(0), "{:#?}", service.program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_stop_and_a_start() {
    let data_dir = TempDir::new().unwrap();
    let mut service = Service::start(data_dir.path(), &["--slots", "1"]);
    let ended = service.create(&short_study()).await;
    let view = service.ended(&ended).await;
    let before = service.trials(&ended).await;
    let running = service.create(&endless_study()).await;
    in_its_course(&service.client, &running).await;
    service.program.signal(libc::SIGTERM);
    assert_eq!(service.program.wait(), Some(0), "{:#?}", service.program.log());
    let service = Service::start(data_dir.path(), &["--slots", "1"]);
    assert_eq!(service.client.get(&ended).await.expect(200).json(), view);
    assert_eq!(service.trials(&ended).await, before);
    // The stopped trainer handed its trial back: that is no failure, and it is trained again.
    let trial = eventually("the second attempt", || async {
        let trial = service.client.get(&format!("{running}/trials/0")).await.expect(200).json();
        (trial["attempts"].as_array().map(Vec::len) == Some(2)).then_some(trial)
    })
    .await;
    assert_eq!(trial["attempts"][0]["end"], "released", "{trial:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_trial_stops_and_the_others_go_on() {
    let data_dir = TempDir::new().unwrap();
    let service = Service::start(data_dir.path(), &["--slots", "1"]);
    let client = &service.client;
    let path = service.create(&endless_study()).await;
    in_its_course(client, &path).await;
    client.post(&format!("{path}/trials/0/cancel"), &json!({})).await.expect(200);
    eventually("the end of trial 0 and the start of trial 1", || async {
        let trials = service.trials(&path).await;
        (trials[0]["state"] == "cancelled" && trials[1]["state"] == "running").then_some(())
    })
    .await;
    let view = client.post(&format!("{path}/cancel"), &json!({})).await.expect(200).json();
    assert_eq!(
        (&view["state"], &view["stop_reason"]),
        (&json!("cancelled"), &json!("cancelled")),
        "{view:#}"
    );
    eventually("an idle trainer", || async {
        let view = client.get(&path).await.expect(200).json();
        (view["trials"]["cancelled"] == 4).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_trainer_s_trial_is_trained_again_to_the_same_bits() {
    let data_dir = TempDir::new().unwrap();
    let redis = TestRedis::start();
    let url = redis.url();
    let service = Service::start(data_dir.path(), &["--redis-url", &url, "--lease-seconds", "2"]);
    let client = &service.client;
    let trainer = || start_trainer(&url, data_dir.path(), &["--lease-seconds", "2"]);
    let mut study = short_study();
    study["training"]["epochs"] = json!(60);
    study["max_trials"] = json!(2);
    let path = service.create(&study).await;
    let first = trainer();
    in_its_course(client, &path).await;
    first.signal(libc::SIGKILL);
    let _second = trainer();
    let _third = trainer();
    let view = service.ended(&path).await;
    assert_eq!(view["trials"]["completed"], 2, "{view:#}");
    let killed = client.get(&format!("{path}/trials/0")).await.expect(200).json();
    assert_eq!(killed["attempts"].as_array().map(Vec::len), Some(2), "{killed:#}");
    // The same study, undisturbed.
    let again = service.create(&study).await;
    service.ended(&again).await;
    let undisturbed = client.get(&format!("{again}/trials/0")).await.expect(200).json();
    assert_eq!(
        (&killed["value"], &killed["hyperparameters"]),
        (&undisturbed["value"], &undisturbed["hyperparameters"])
    );
    let curve =
        |path: String| async move { client.get(&format!("{path}/trials/0/curve")).await.expect(200).json() };
    assert_eq!(curve(path).await, curve(again).await);
}

/// A study whose epochs depend on all that a checkpoint holds.
fn intricate_study() -> Json {
    let mut study = short_study();
    study["space"] = json!([{"name": "rate", "type": "fixed", "value": 0.01}]);
    study["network"] = json!([
        {"layer": "Flatten"}, {"layer": "Dense", "units": 32, "activation": "relu"}, {"layer": "BatchNormalization"}, {"layer": "Dropout", "rate": 0.2},
        {"layer": "Dense", "units": 10, "activation": "softmax"}
    ]);
    study["training"]["optimizer"] =
        json!({"name": "nadam", "learning_rate": {"hp": "rate"}, "use_ema": true, "ema_momentum": 0.9});
    study["training"]["callbacks"] = json!([{"name": "reduce_lr_on_plateau", "patience": 2}]);
    study["training"]["epochs"] = json!(200);
    study["dataset"] = json!({"source": "builtin:digits", "scale": "unit", "folds": 2});
    study["max_trials"] = json!(1);
    study
}

/// The step of the last whole checkpoint in a folder; a half-written one's name ends otherwise.
fn last_checkpoint(folder: &Path) -> Option<u32> {
    let names =
        std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter(|name| name.ends_with(".safetensors"))
        .filter_map(|name| name.split('-').next()?.parse().ok())
        .max()
}

/// The step from which a trainer went on with a trial.
fn resumed_at(trainer: &Program) -> u32 {
    let rest = trainer.wait_for(" goes on after epoch ");
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_whose_trainer_is_killed_or_stopped_goes_on_from_its_checkpoint_to_the_same_bits() {
    let data_dir = TempDir::new().unwrap();
    let redis = TestRedis::start();
    let url = redis.url();
    let service = Service::start(data_dir.path(), &["--redis-url", &url, "--lease-seconds", "2"]);
    let client = &service.client;
    let trainer =
        || start_trainer(&url, data_dir.path(), &["--lease-seconds", "2", "--checkpoint-seconds", "0"]);
    let study = intricate_study();
    let path = service.create(&study).await;
    let checkpoints =
        data_dir.path().join(format!("artifacts{}/0/checkpoints", path.trim_start_matches("/v1")));
    let first = trainer();
    let kept =
        eventually("a checkpoint", || async { last_checkpoint(&checkpoints).filter(|step| *step > 1) }).await;
    first.signal(libc::SIGKILL);
    drop(first);
    // Further ones that nobody can read are tried first.
    for step in 1..5 {
        std::fs::write(checkpoints.join(format!("999999999{step}-damaged.safetensors")), "damaged").unwrap();
    }
    let mut second = trainer();
    let after_the_kill = resumed_at(&second);
    second.signal(libc::SIGTERM);
    assert_eq!(second.wait(), Some(0), "{:#?}", second.log());
    let third = trainer();
    let after_the_stop = resumed_at(&third);
    assert!(
        after_the_kill >= kept && after_the_stop >= after_the_kill,
        "{kept} {after_the_kill} {after_the_stop}"
    );
    let view = service.ended(&path).await;
    assert_eq!(view["trials"]["completed"], 1, "{view:#}");
    let resumed = client.get(&format!("{path}/trials/0")).await.expect(200).json();
    assert_eq!(resumed["attempts"].as_array().map(Vec::len), Some(3), "{resumed:#}");
    let left = || std::fs::read_dir(&checkpoints).map_or(0, Iterator::count);
    eventually("a trial that has ended leaves no checkpoint", || async { (left() == 0).then_some(()) }).await;
    // The same study, undisturbed.
    let again = service.create(&study).await;
    service.ended(&again).await;
    let undisturbed = client.get(&format!("{again}/trials/0")).await.expect(200).json();
    assert_eq!(
        (&resumed["value"], &resumed["best_step"]),
        (&undisturbed["value"], &undisturbed["best_step"])
    );
    let curve =
        |path: String| async move { client.get(&format!("{path}/trials/0/curve")).await.expect(200).json() };
    let whole = curve(again).await;
    assert_eq!(curve(path).await, whole);
    assert_eq!(whole["steps"].as_array().map(Vec::len), Some(200));
    // Of two folds the means, with their spread.
    let metrics = &whole["steps"][199]["metrics"];
    assert!(
        metrics["val_accuracy"].as_f64() > Some(0.9) && metrics["val_accuracy_std"].as_f64() < Some(0.1),
        "{metrics:#}"
    );
}

/// Puts a file in the place of the artifacts' folder, and back.
fn take_artifacts_away(data_dir: &Path) {
    let place = data_dir.join("artifacts");
    std::fs::rename(&place, place.with_extension("moved")).unwrap();
    std::fs::write(place, "").unwrap();
}

fn bring_artifacts_back(data_dir: &Path) {
    let place = data_dir.join("artifacts");
    std::fs::remove_file(&place).unwrap();
    std::fs::rename(place.with_extension("moved"), place).unwrap();
}

/// The study at `path`, once it waits for `kind`; null: for nothing.
async fn waiting_for(client: &Client, path: &str, kind: Json) -> Json {
    eventually("what the study waits for", || async {
        let view = client.get(path).await.expect(200).json();
        let waiting = &view["waiting_for"];
        (if kind.is_null() { waiting.is_null() } else { waiting["kind"] == kind }).then_some(view)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_artifacts_are_away_a_study_waits_and_says_so_and_then_ends_as_if_nothing_had_been() {
    let data_dir = TempDir::new().unwrap();
    let redis = TestRedis::start();
    let url = redis.url();
    let service = Service::start(data_dir.path(), &["--redis-url", &url, "--lease-seconds", "2"]);
    let client = &service.client;
    let flags = ["--lease-seconds", "2", "--slots", "2", "--metrics-listen", "127.0.0.1:0"];
    let folder = data_dir.path().display().to_string();
    let trainer =
        Program::start("chandler-trainer", ["--redis-url", &url, "--data-dir", &folder].iter().chain(&flags));
    let page = Client::new(trainer.wait_for("Serving metrics on "));
    let mut study = short_study();
    study["max_trials"] = json!(12);
    let path = service.create(&study).await;
    eventually("a first result", || async {
        (client.get(&path).await.expect(200).json()["trials"]["completed"] != 0).then_some(())
    })
    .await;

    take_artifacts_away(data_dir.path());
    let view = waiting_for(client, &path, json!("artifacts")).await;
    let detail = view["waiting_for"]["detail"].as_str().unwrap();
    assert!(view["state"] == "running" && detail.contains("cannot use the artifacts: "), "{view:#}");
    let line = &client.get("/v1/trainers").await.expect(200).json()["trainers"][0];
    assert!(detail.ends_with(line["faults"][0].as_str().unwrap()), "{line:#}");
    let metrics = page.get("/metrics").await.expect(200).text();
    assert!(metrics.contains("chandler_trainer_fault{place=\"artifacts\"} 1"), "{metrics}");
    let metrics = client.get("/metrics").await.expect(200).text();
    assert!(metrics.contains("chandler_studies_waiting{for=\"artifacts\"} 1"), "{metrics}");
    client.get(&format!("{path}/best/model")).await.expect(503);

    bring_artifacts_back(data_dir.path());
    let view = service.ended(&path).await;
    assert_eq!(
        (&view["state"], &view["trials"]["completed"], &view["waiting_for"]),
        (&json!("completed"), &json!(12), &Json::Null),
        "{view:#}"
    );
    for trial in service.trials(&path).await {
        assert_eq!(trial["attempts"].as_array().map(Vec::len), Some(1), "{trial:#}");
        client.get(&format!("{path}/trials/{}/model", trial["number"])).await.expect(200);
    }
    trainer.wait_for("The artifacts can be used again");
    let told = trainer.log().iter().filter(|line| line.contains("The artifacts cannot be used")).count();
    assert_eq!(told, 1, "{:#?}", trainer.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_waits_for_its_checkpoint_while_artifacts_are_away_and_goes_on_from_it() {
    let data_dir = TempDir::new().unwrap();
    let redis = TestRedis::start();
    let url = redis.url();
    let service = Service::start(data_dir.path(), &["--redis-url", &url, "--lease-seconds", "2"]);
    let client = &service.client;
    let trainer =
        || start_trainer(&url, data_dir.path(), &["--lease-seconds", "2", "--checkpoint-seconds", "0"]);
    let path = service.create(&endless_study()).await;
    let mut first = trainer();
    in_its_course(client, &path).await;
    first.signal(libc::SIGTERM);
    assert_eq!(first.wait(), Some(0), "{:#?}", first.log());
    let kept = last_checkpoint(
        &data_dir.path().join(format!("artifacts{}/0/checkpoints", path.trim_start_matches("/v1"))),
    )
    .unwrap();

    // Its next trainer starts while all is well, and gets the trial when it is not.
    let state = |state: &str| json!({"state": state});
    client.send(Method::PATCH, &path, |request| request.json(&state("paused"))).await.expect(200);
    let second = trainer();
    second.wait_for("Training on ");
    take_artifacts_away(data_dir.path());
    client.send(Method::PATCH, &path, |request| request.json(&state("running"))).await.expect(200);
    waiting_for(client, &path, json!("artifacts")).await;
    bring_artifacts_back(data_dir.path());
    assert_eq!(resumed_at(&second), kept);
    waiting_for(client, &path, Json::Null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_whose_file_is_gone_says_so_and_goes_on_once_it_is_back() {
    let data_dir = TempDir::new().unwrap();
    let redis = TestRedis::start();
    let url = redis.url();
    let service = Service::start(data_dir.path(), &["--redis-url", &url]);
    let file = data_dir.path().join("datasets/flowers.csv");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let rows: String = (0..60).map(|row| format!("{},{},{}\n", row % 7, row % 5, row % 3)).collect();
    std::fs::write(&file, format!("a,b,label\n{rows}")).unwrap();
    let mut study = short_study();
    study["space"] = json!([{"name": "units", "type": "int", "min_value": 4, "max_value": 16}]);
    study["network"] = json!([{"layer": "Dense", "units": {"hp": "units"}}, {"layer": "Dense", "units": 3, "activation": "softmax"}]);
    study["training"]["optimizer"] = json!("adam");
    study["dataset"] = json!({"source": "flowers.csv", "label": "label", "validation_split": 0.2});
    let path = service.create(&study).await;
    std::fs::rename(&file, file.with_extension("gone")).unwrap();
    let _trainer = start_trainer(&url, data_dir.path(), &[]);
    let view = waiting_for(&service.client, &path, json!("dataset")).await;
    assert!(
        view["waiting_for"]["detail"].as_str().unwrap().contains("there is no file \"flowers.csv\""),
        "{view:#}"
    );
    let trial = &service.trials(&path).await[0];
    assert_eq!(
        (&trial["state"], &trial["error"]["kind"]),
        (&json!("queued"), &json!("refused")),
        "{trial:#}"
    );
    std::fs::rename(file.with_extension("gone"), &file).unwrap();
    let view = service.ended(&path).await;
    assert_eq!((&view["trials"]["completed"], &view["waiting_for"]), (&json!(4), &Json::Null), "{view:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_ends_although_api_and_redis_are_killed_in_its_course() {
    let data_dir = TempDir::new().unwrap();
    let mut redis = TestRedis::start();
    let url = redis.url();
    let flags = ["--redis-url", url.as_str(), "--lease-seconds", "2"];
    let service = Service::start(data_dir.path(), &flags);
    let _trainer = start_trainer(&url, data_dir.path(), &["--lease-seconds", "2"]);
    let mut study = short_study();
    study["training"]["epochs"] = json!(30);
    let path = service.create(&study).await;
    in_its_course(&service.client, &path).await;
    service.program.signal(libc::SIGKILL);
    redis.kill();
    drop(service);
    redis.restart();
    let service = Service::start(data_dir.path(), &flags);
    let view = service.ended(&path).await;
    assert_eq!(view["trials"]["completed"], 4, "{view:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_embedded_redis_is_started_again_and_nothing_is_lost() {
    let data_dir = TempDir::new().unwrap();
    let service = Service::start(data_dir.path(), &["--slots", "1"]);
    let mut study = short_study();
    study["training"]["epochs"] = json!(60);
    let path = service.create(&study).await;
    in_its_course(&service.client, &path).await;
    let redis =
        eventually("the Redis child", || async { child_called(service.program.pid(), "-server") }).await;
    // SAFETY: kill takes no pointer; the process is a child of the service that this test started.
    unsafe { libc::kill(redis, libc::SIGKILL) };
    service.program.wait_for("The embedded Redis is back");
    let view = service.ended(&path).await;
    assert_eq!(view["trials"]["completed"], 4, "{view:#}");
    for trial in service.trials(&path).await {
        assert_eq!(
            trial["attempts"].as_array().map(Vec::len),
            Some(1),
            "an outage of Redis costs no attempt: {trial:#}"
        );
        let curve =
            service.client.get(&format!("{path}/trials/{}/curve", trial["number"])).await.expect(200).json();
        let steps: Vec<u64> =
            curve["steps"].as_array().unwrap().iter().filter_map(|step| step["step"].as_u64()).collect();
        assert_eq!(steps, (1..=60).collect::<Vec<_>>());
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_service_whose_disk_is_full_answers_reads_refuses_changes_and_goes_on_once_there_is_space()
 {
    let data_dir = TempDir::new().unwrap();
    let mut service = Service::start_on_disk(data_dir.path(), 64 << 20, &["--slots", "1"]);
    let client = service.client.clone();
    let mut study = short_study();
    study["training"]["epochs"] = json!(1_000);
    let path = service.create(&study).await;
    let view = client.get(&path).await.expect(200).json();

    let filler = service.program.on_its_disk(data_dir.path()).join("filler");
    fill(&filler);
    eventually("a service that is not ready", || async {
        (client.get("/readyz").await.status == 503).then_some(())
    })
    .await;
    let change = |method: Method, path: String, body: Json| {
        let client = client.clone();
        async move { client.send(method, &path, |request| request.json(&body)).await }
    };
    let refused_and_read = async || {
        for (method, path, body) in [
            (Method::POST, "/v1/studies".to_owned(), short_study()),
            (Method::PATCH, path.clone(), json!({"max_trials": 5})),
            (Method::POST, format!("{path}/cancel"), json!({})),
            (Method::POST, format!("{path}/trials/3/cancel"), json!({})),
            (Method::DELETE, path.clone(), json!({})),
            (Method::GET, "/readyz".to_owned(), json!({})),
        ] {
            let answer = change(method.clone(), path.clone(), body).await.expect(503);
            let problem = answer.json();
            assert_eq!(
                (&problem["code"], answer.header("retry-after")),
                (&json!("storage_full"), Some("2")),
                "{method} {path}: {problem:#}"
            );
            assert!(
                problem["detail"].as_str().unwrap().starts_with("no space left on the data folder's disk"),
                "{problem:#}"
            );
        }
        let read = client.get(&path).await.expect(200).json();
        assert_eq!(
            (&read["id"], &read["state"], &read["max_trials"]),
            (&view["id"], &json!("running"), &json!(4)),
            "{read:#}"
        );
        for path in [
            "/livez",
            "/v1/studies",
            "/v1/trainers",
            &format!("{path}/trials"),
            &format!("{path}/trials/0/curve"),
        ] {
            client.get(path).await.expect(200);
        }
        change(Method::POST, "/v1/studies?dry_run=true".to_owned(), short_study()).await.expect(200);
        let metrics = client.get("/metrics").await.expect(200).text();
        assert!(metrics.contains("\nchandler_redis_up 1\n"), "{metrics}");
    };
    refused_and_read().await;
    // Deaths on a full disk do not count: more than the five within a minute that would end the
    // service.
    for _ in 0..store::limits::REDIS_DEATHS_MAX + 1 {
        let redis =
            eventually("the Redis child", || async { child_called(service.program.pid(), "-server") }).await;
        // SAFETY: kill takes no pointer; the process is a child of the service that this test
        // started.
        unsafe { libc::kill(redis, libc::SIGKILL) };
        eventually("another Redis child that answers", || async {
            let other = child_called(service.program.pid(), "-server").is_some_and(|child| child != redis);
            (other && client.get("/v1/studies").await.status == 200).then_some(())
        })
        .await;
    }
    refused_and_read().await;
    let said = service.program.log().join("\n");
    assert!(said.contains("No space left on the disk of"), "{said}");

    std::fs::remove_file(&filler).unwrap();
    eventually("a service that is ready", || async {
        (client.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    let after = service.create(&short_study()).await;
    for path in [&path, &after] {
        assert_eq!(service.ended(path).await["trials"]["completed"], 4, "{path}");
    }
    service.program.signal(libc::SIGTERM);
    assert_eq!(service.program.wait(), Some(0), "{:#?}", service.program.log());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_ended_at_a_full_disk_comes_back_read_only_and_takes_changes_again_in_time() {
    let data_dir = TempDir::new().unwrap();
    let service = Service::start_on_disk(data_dir.path(), 64 << 20, &["--slots", "1"]);
    let path = service.create(&endless_study()).await;
    let before = in_its_course(&service.client, &path).await["step"].as_u64().unwrap();
    let redis =
        eventually("the Redis child", || async { child_called(service.program.pid(), "-server") }).await;

    // The service is stopped where it stands and does not see the disk fill up; the trainer goes on
    // and has Redis write.
    service.program.signal(libc::SIGSTOP);
    let filler = service.program.on_its_disk(data_dir.path()).join("filler");
    fill(&filler);
    eventually("the end of Redis", || async { status_of(redis, "State:").starts_with('Z').then_some(()) })
        .await;
    std::fs::remove_file(&filler).unwrap();
    service.program.signal(libc::SIGCONT);

    service.program.wait_for("The embedded Redis is back");
    assert_eq!(
        service.client.get("/readyz").await.expect(503).json()["code"],
        "storage_full",
        "a quota may still be used up"
    );
    assert_eq!(service.client.get(&path).await.expect(200).json()["state"], "running");
    eventually("a service that is ready", || async {
        (service.client.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    eventually("a trial that goes on", || async {
        let trial = service.client.get(&format!("{path}/trials/0")).await.expect(200).json();
        assert_eq!(trial["attempts"].as_array().map(Vec::len), Some(1), "{trial:#}");
        (trial["step"].as_u64() > Some(before)).then_some(())
    })
    .await;
    let said = service.program.log().join("\n");
    assert!(
        said.contains("Short write while writing to the AOF file")
            || said.contains("No space left on device"),
        "{said}"
    );
    assert!(said.contains("No space left on the disk of"), "{said}");
}

/// Writes a file until nothing more fits.
fn fill(file: &Path) {
    let mut file = std::fs::File::create(file).unwrap();
    let full = std::iter::repeat_with(|| file.write_all(&[0; 4 << 10])).find_map(Result::err).unwrap();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
}

/// A field of what Linux says of a process.
fn status_of(pid: i32, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default().trim().to_owned()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_trainer_takes_at_most_half_more_memory_than_the_preflight_says() {
    let data_dir = TempDir::new().unwrap();
    let redis = TestRedis::start();
    let url = redis.url();
    let service = Service::start(data_dir.path(), &["--redis-url", &url]);
    let image = json!({"layer": "Reshape", "target_shape": [8, 8, 1]});
    let convolution = |more: Json| {
        let mut layer = json!({"layer": "Conv2D", "filters": 64, "kernel_size": 3, "padding": "same", "activation": "relu"});
        layer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        layer
    };
    let (means, end) = (
        json!({"layer": "GlobalAveragePooling2D"}),
        json!({"layer": "Dense", "units": 10, "activation": "softmax"}),
    );
    let orthogonal =
        json!({"layer": "Dense", "units": 1280, "activation": "relu", "kernel_initializer": "orthogonal"});
    for (network, batch) in [
        (json!([image, convolution(json!({})), means, end]), 700),
        (json!([image, convolution(json!({})), convolution(json!({"groups": 2})), means, end]), 256),
        (json!([image, convolution(json!({})), convolution(json!({"dilation_rate": 2})), means, end]), 350),
        (json!([{"layer": "Reshape", "target_shape": [8, 8]}, {"layer": "GRU", "units": 512}, end]), 32),
        (json!([{"layer": "Flatten"}, orthogonal, orthogonal, end]), 32),
    ] {
        let mut trainer = start_trainer(&url, data_dir.path(), &["--checkpoint-seconds", "0"]);
        // Held at most, in bytes, after a study of this network; and what the pre-flight says of
        // it.
        let held = async |network: &Json, batch: u64| {
            let mut study = short_study();
            study["space"] = json!([{"name": "rate", "type": "choice", "values": [0.001, 0.01]}]);
            study["network"] = network.clone();
            study["training"]["batch_size"] = json!(batch);
            study["training"]["optimizer"] = json!({"name": "sgd", "learning_rate": {"hp": "rate"}});
            study["max_trials"] = json!(2);
            let path = service.create(&study).await;
            let view = service.ended(&path).await;
            assert_eq!(view["trials"]["completed"], 2, "{view:#}");
            let most: u64 = status_of(trainer.pid(), "VmHWM:").trim_end_matches(" kB").parse().unwrap();
            (1024.0 * most as f64, view["preflight"]["step_bytes"]["max"].as_f64().unwrap())
        };
        let (tiny, _) = held(&json!([{"layer": "Flatten"}, end]), 32).await;
        let (most, estimate) = held(&network, batch).await;
        let ratio = (most - tiny) / estimate;
        assert!(ratio < 1.5 && estimate > 15e6, "{ratio} times {estimate} bytes of {network}");
        trainer.signal(libc::SIGTERM);
        assert_eq!(trainer.wait(), Some(0), "{:#?}", trainer.log());
    }
}

/// The child of process `parent` whose name ends so, as Linux lists it.
fn child_called(parent: i32, ending: &str) -> Option<i32> {
    let processes = std::fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let mut children = processes.filter(|pid| {
        status_of(*pid, "PPid:") == parent.to_string() && status_of(*pid, "Name:").ends_with(ending)
    });
    children.next()
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_serves_as_redis_does() {
    let server = std::env::var_os("CHANDLER_VALKEY_SERVER")
        .expect("CHANDLER_VALKEY_SERVER names a valkey-server; `make test` gets one");
    let redis = TestRedis::start_server(server.into());
    let data_dir = TempDir::new().unwrap();
    let service = Service::start(data_dir.path(), &["--redis-url", &redis.url()]);
    let _trainer = start_trainer(&redis.url(), data_dir.path(), &[]);
    let path = service.create(&short_study()).await;
    let view = service.ended(&path).await;
    assert_eq!(view["trials"]["completed"], 4, "{view:#}");
    let metrics = service.client.get("/metrics").await.expect(200).text();
    assert!(metrics.contains("chandler_trials{device=\"any\",state=\"completed\"} 4"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grid_of_48_points_is_announced_and_each_point_is_trained_once() {
    let data_dir = TempDir::new().unwrap();
    small_mnist(data_dir.path());
    let redis = TestRedis::start();
    let service = Service::start(data_dir.path(), &["--redis-url", &redis.url()]);
    let _trainers = [
        start_trainer(&redis.url(), data_dir.path(), &[]),
        start_trainer(&redis.url(), data_dir.path(), &[]),
    ];
    let study = example("mnist-grid");
    let created = service.client.post("/v1/studies", &study).await.expect(201).json();
    assert_eq!(
        (&created["preflight"]["points"], &created["progress"]["total"]),
        (&json!("48"), &json!(48)),
        "{created:#}"
    );
    let path = format!("/v1/studies/{}", created["id"].as_str().unwrap());
    let view = service.ended(&path).await;
    assert_eq!(
        (view["stop_reason"].as_str(), view["trials"]["completed"].as_u64()),
        (Some("space_exhausted"), Some(48)),
        "{view:#}"
    );
    let mut trained: Vec<(u64, String)> = service
        .trials(&path)
        .await
        .iter()
        .map(|trial| {
            let point = &trial["hyperparameters"];
            (point["units"].as_u64().unwrap(), point["learning_rate"].to_string())
        })
        .collect();
    trained.sort();
    let mut points: Vec<(u64, String)> = (32..=512)
        .step_by(32)
        .flat_map(|units| ["0.01", "0.001", "0.0001"].map(|rate| (units, rate.to_owned())))
        .collect();
    points.sort();
    assert_eq!(trained, points);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_a_study_that_runs() {
    let data_dir = TempDir::new().unwrap();
    small_mnist(data_dir.path());
    example_datasets(data_dir.path());
    let service = Service::start(data_dir.path(), &["--slots", "2"]);
    let mut paths = Vec::new();
    for name in examples() {
        let mut study = example(&name);
        // Shortened: a few trials, and fewer epochs where their number is not what is searched.
        study["max_trials"] = json!(3);
        if study["training"]["epochs"].is_number() {
            study["training"]["epochs"] = json!(2);
        }
        paths.push((name, service.create(&study).await));
    }
    assert!(paths.len() >= 10, "{paths:?}");
    for (name, path) in paths {
        let view = service.ended(&path).await;
        let completed = view["trials"]["completed"].as_u64();
        assert!(
            view["state"] == "completed" && completed >= Some(2) && view["trials"]["failed"] == 0,
            "{name}: {view:#}"
        );
        assert!(
            service.client.get(&format!("{path}/best/model")).await.expect(200).bytes.len() > 100,
            "{name}"
        );
    }
}

#[test]
fn run_prints_the_best_trials_and_its_exit_code_says_whether_they_are_good_enough() {
    let data_dir = TempDir::new().unwrap();
    let run = |study: &Json, more: &[&str]| {
        let file = data_dir.path().join("study.json");
        std::fs::write(&file, study.to_string()).unwrap();
        let mut command = std::process::Command::new(binary("chandler"));
        command
            .arg("run")
            .arg(&file)
            .arg("--data-dir")
            .arg(data_dir.path())
            .args(more)
            .env_remove("REDIS_URL");
        // Meant for a Redis elsewhere.
        command.env("CHANDLER_REDIS_CA", "/nowhere");
        let done = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (done.status.code(), text(done.stdout), text(done.stderr))
    };
    let (code, out, err) = run(&short_study(), &["--slots", "2", "--require-value", "0.5"]);
    assert_eq!(code, Some(0), "{out}{err}");
    for line in
        [" trial   val_accuracy   epoch ", "4 trials in ", "(4 completed); study completed (max_trials)"]
    {
        assert!(out.contains(line), "{line}: {out}");
    }
    let (code, out, _) = run(&short_study(), &["--require-value", "1.01"]);
    assert_eq!((code, out.contains("The best value is not at least 1.01.")), (Some(1), true), "{out}");

    let mut elsewhere = short_study();
    elsewhere["device"] = json!("cuda");
    let (code, _, err) = run(&elsewhere, &[]);
    assert!(
        code == Some(1) && err.contains("needs the device \"cuda\", but the trainer here has any and cpu"),
        "{err}"
    );
    let mut wrong = short_study();
    wrong["training"]["epochs"] = json!(0);
    let (code, _, err) = run(&wrong, &[]);
    assert!(code == Some(1) && err.contains("/training/epochs: "), "{err}");
    for slots in ["0", "257"] {
        let (code, _, err) = run(&short_study(), &["--slots", slots]);
        assert!(code == Some(2) && err.contains("is not in 1..="), "{err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_goes_on_to_its_end_where_its_redis_is_killed() {
    let data_dir = TempDir::new().unwrap();
    let file = data_dir.path().join("study.json");
    let mut study = short_study();
    study["training"]["epochs"] = json!(60);
    std::fs::write(&file, study.to_string()).unwrap();
    let (file, folder) = (file.display().to_string(), data_dir.path().display().to_string());
    let mut program = Program::start("chandler", ["run", &file, "--data-dir", &folder]);
    // The note of the child: its process id, and its socket.
    let note = eventually("the Redis of the run", || async {
        let run = std::fs::read_dir(data_dir.path().join("runs")).ok()?.next()?.ok()?.path();
        let note = std::fs::read_to_string(run.join("redis/child")).ok()?;
        note.ends_with('\n').then_some(note)
    })
    .await;
    let (pid, socket) = note.trim().split_once('\n').unwrap();
    eventually("a trial that runs", || async {
        let store = store::Store::connect(store::Config::new(format!("unix://{socket}"))).await.ok()?;
        let (studies, _) = store.list_studies(store::StudyPage::default()).await.ok()?;
        (studies.first()?.counts.get(hpo::trial::TrialState::Running) > 0).then_some(())
    })
    .await;
    // SAFETY: kill takes no pointer; the process is a child of the program that this test started.
    unsafe { libc::kill(pid.parse().unwrap(), libc::SIGKILL) };
    assert_eq!(program.wait(), Some(0), "{:#?}", program.whole_log());
    assert!(
        program.whole_log().iter().any(|line| line.contains("starting it again")),
        "{:#?}",
        program.log()
    );
}

#[test]
fn run_goes_on_to_its_end_where_nobody_reads_what_it_prints() {
    let data_dir = TempDir::new().unwrap();
    let file = data_dir.path().join("study.json");
    std::fs::write(&file, short_study().to_string()).unwrap();
    let mut command = std::process::Command::new(binary("chandler"));
    command.arg("run").arg(&file).arg("--data-dir").arg(data_dir.path()).env_remove("REDIS_URL");
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(run.stdout.take()); // as head does that has seen enough
    let done = run.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.code() == Some(0) && !err.contains("panicked"), "{err}");
}

/// Puts 60 images in the form and at the place of MNIST into a data folder: a bright square where
/// the digit says.
fn small_mnist(data_dir: &Path) {
    let folder = data_dir.join("datasets/mnist");
    std::fs::create_dir_all(&folder).unwrap();
    let digit = |row: usize| row % 10;
    let pixel = |row: usize, x: usize, y: usize| {
        if (x / 6, y / 12) == (digit(row) % 5, digit(row) / 5) { 250 } else { (row + x * y) as u8 % 20 }
    };
    let idx = |sizes: &[u32], bytes: Vec<u8>| {
        [vec![0, 0, 8, sizes.len() as u8], sizes.iter().flat_map(|size| size.to_be_bytes()).collect(), bytes]
            .concat()
    };
    let pixels = (0..60).flat_map(|row| (0..28 * 28).map(move |at| pixel(row, at % 28, at / 28)));
    std::fs::write(folder.join("train-images-idx3-ubyte"), idx(&[60, 28, 28], pixels.collect())).unwrap();
    std::fs::write(
        folder.join("train-labels-idx1-ubyte"),
        idx(&[60], (0..60).map(|row| digit(row) as u8).collect()),
    )
    .unwrap();
}

/// How many datasets a process reads: each on a thread of its own.
#[cfg(target_os = "linux")]
fn datasets_being_read(program: &Program) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{}/task", program.pid())).unwrap().flatten();
    threads
        .filter(|thread| {
            std::fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.trim() == "dataset")
        })
        .count()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_dataset_delays_nobody_and_is_given_up_when_its_client_leaves() {
    let data_dir = TempDir::new().unwrap();
    let folder = data_dir.path().join("datasets");
    std::fs::create_dir_all(&folder).unwrap();
    // Seconds of reading.
    std::fs::write(folder.join("slow.csv"), format!("a,y\n{}", "1,0\n2,1\n".repeat(12_000_000))).unwrap();
    std::fs::write(folder.join("small.csv"), "a,y\n1,0\n2,1\n3,0\n4,1\n").unwrap();
    let service = Service::start(data_dir.path(), &["--slots", "1"]);
    let of = |name: &str| {
        json!({
            "name": "of a file", "dataset": {"source": name, "label": "y", "validation_split": 0.5}, "objective": {"metric": "val_loss"}, "max_trials": 1,
            "network": [{"layer": "Dense", "units": 2, "activation": "softmax"}],
            "training": {"optimizer": "adam", "loss": "sparse_categorical_crossentropy"}
        })
    };
    let ask = || {
        let client = service.client.clone();
        let study = of("slow.csv");
        tokio::spawn(async move { client.post("/v1/studies?dry_run=true", &study).await })
    };
    let is_read = async |many: usize| {
        eventually("the readings", || async {
            (datasets_being_read(&service.program) == many).then_some(())
        })
        .await;
    };
    let slow = ask();
    is_read(1).await;
    service.client.post("/v1/studies?dry_run=true", &short_study()).await.expect(200);
    service.client.post("/v1/studies?dry_run=true", &of("small.csv")).await.expect(200);
    let list = service.client.get("/v1/datasets").await.expect(200).json();
    let problem =
        list["datasets"].as_array().unwrap().iter().find(|dataset| dataset["source"] == "slow.csv").unwrap();
    assert!(
        problem["problem"].as_str().is_some_and(|problem| problem.starts_with("not read yet")),
        "{problem}"
    );
    assert!(!slow.is_finished(), "the others were answered before");
    slow.abort();
    is_read(0).await;
    // Had it been read to its end, it would be known.
    let again = ask();
    is_read(1).await;
    again.abort();
}

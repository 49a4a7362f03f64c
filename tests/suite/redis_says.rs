//! Answers while Redis refuses, is silent or is full, held against the outcome of each request.

use std::time::{Duration, Instant};

use api::limits;
use reqwest::Method;
use serde_json::{Value as Json, json};
use tests::{Answer, ChaosProxy, Client, Mood, TestApp, TestRedis, eventually, example};

fn study() -> Json {
    example("digits-random")
}

async fn send(client: &Client, method: Method, path: &str, body: Option<Json>) -> Answer {
    client
        .send(method, path, |request| if let Some(body) = &body { request.json(body) } else { request })
        .await
}

/// An API behind a proxy, with a study of its own; its path.
async fn behind_a_proxy() -> (TestApp, ChaosProxy, String) {
    let redis = TestRedis::start();
    let proxy = ChaosProxy::before(&redis).await;
    let app = TestApp::behind(&proxy, redis).await;
    let path = create(&app.client).await;
    (app, proxy, path)
}

async fn create(client: &Client) -> String {
    client.post("/v1/studies", &study()).await.expect(201).header("location").expect("a path").to_owned()
}

/// All requests that change something of the study at `path`, or make one.
fn changes(path: &str) -> Vec<(Method, String, Option<Json>)> {
    vec![
        (Method::POST, "/v1/studies".to_owned(), Some(study())),
        (Method::PATCH, path.to_owned(), Some(json!({"state": "paused", "max_trials": 5}))),
        (Method::POST, format!("{path}/trials/3/cancel"), None),
        (Method::POST, format!("{path}/cancel"), None),
        (Method::DELETE, path.to_owned(), None),
    ]
}

/// How many studies there are.
async fn count(client: &Client) -> usize {
    client.get("/v1/studies").await.expect(200).json()["studies"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_redis_is_a_503_with_its_reason_and_changes_nothing() {
    let (app, proxy, path) = behind_a_proxy().await;
    let before = app.client.get(&path).await.expect(200).json();
    for (said, code, reason) in [
        ("WRONGPASS invalid username-password pair or user is disabled.", "unavailable", "requirepass"),
        ("NOAUTH Authentication required.", "unavailable", "redis://USER:PASSWORD@"),
        (
            "NOPERM User chandler has no permissions to run the 'evalsha' command",
            "unavailable",
            "run the 'evalsha' command",
        ),
        ("DENIED Redis is running in protected mode", "unavailable", "protected-mode"),
        ("ERR max number of clients reached", "unavailable", "maxclients"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "storage_full", "maxmemory"),
        (
            "MISCONF Errors writing to the AOF file: No space left on device",
            "unavailable",
            "No space left on device",
        ),
        ("READONLY You can't write against a read only replica.", "unavailable", "read-only replica"),
        ("NOREPLICAS Not enough good replicas to write.", "unavailable", "min-replicas-to-write"),
        ("LOADING Redis is loading the dataset in memory", "unavailable", "loading"),
        (
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "unavailable",
            "replica-serve-stale-data",
        ),
        ("BUSY Redis is busy running a script.", "unavailable", "busy-reply-threshold"),
        ("MOVED 3999 127.0.0.1:6381", "unavailable", "Cluster"),
        ("CLUSTERDOWN The cluster is down", "unavailable", "Cluster"),
        ("ERR unknown command 'EVALSHA', with args beginning with: 'hush'", "unavailable", "lacks a command"),
        ("NEWWORD of a later version", "unavailable", "NEWWORD"),
    ] {
        proxy.set(Mood::Refuse(said.to_owned()));
        let mut asked = changes(&path);
        asked.extend([
            (Method::GET, path.clone(), None),
            (Method::GET, "/v1/studies".to_owned(), None),
            (Method::GET, format!("{path}/trials"), None),
            (Method::GET, format!("{path}/trials/0/curve"), None),
            (Method::GET, format!("{path}/best"), None),
            (Method::GET, "/v1/trainers".to_owned(), None),
            (Method::GET, "/readyz".to_owned(), None),
        ]);
        for (method, path, body) in asked {
            let answer = send(&app.client, method.clone(), &path, body).await.expect(503);
            let problem = answer.json();
            let detail = problem["detail"].as_str().unwrap();
            assert_eq!(
                (answer.header("retry-after"), problem["code"].as_str()),
                (Some("2"), Some(code)),
                "{said}: {method} {path}"
            );
            assert!(detail.contains(reason) && !detail.contains("hush"), "{said}: {method} {path}: {detail}");
        }
        app.client.get("/livez").await.expect(200);
        let metrics = app.client.get("/metrics").await.expect(200).text();
        assert!(metrics.contains("\nchandler_redis_up 0\n"), "{said}");
        proxy.set(Mood::Pass);
        app.client.get("/readyz").await.expect(200);
        assert_eq!(
            (app.client.get(&path).await.expect(200).json(), count(&app.client).await),
            (before.clone(), 1),
            "{said}"
        );
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_not_answered_is_said_to_be_unknown_and_may_be_repeated() {
    for mood in [Mood::KeepAnswersTo(""), Mood::Hang] {
        let carried_out = mood != Mood::Hang;
        let (app, proxy, path) = behind_a_proxy().await;
        for (method, path, body) in changes(&path) {
            let before = count(&app.client).await;
            proxy.set(mood.clone());
            let answer = send(&app.client, method.clone(), &path, body.clone()).await.expect(503);
            proxy.set(Mood::Pass);
            let problem = answer.json();
            assert_eq!(
                (problem["code"].as_str(), answer.header("retry-after")),
                (Some("outcome_unknown"), Some("2")),
                "{method} {path}: {problem}"
            );
            if path == "/v1/studies" {
                // The study that the request may have made has a name from its first try on, and is
                // made once.
                let maybe = answer.header("location").expect("a Location").to_owned();
                assert!(problem["detail"].as_str().unwrap().contains(&format!("GET {maybe}")), "{problem}");
                app.client.get(&maybe).await.expect(if carried_out { 200 } else { 404 });
                assert_eq!(count(&app.client).await, before + usize::from(carried_out));
                continue;
            }
            // One that was deleted by the first is not there for the second.
            let again = if method == Method::DELETE && carried_out {
                404
            } else if method == Method::DELETE {
                202
            } else {
                200
            };
            send(&app.client, method.clone(), &path, body).await.expect(again);
        }
        app.client.get(&path).await.expect(404);
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_with_a_key_that_is_not_answered_is_repeated_with_the_key() {
    let (app, proxy, _) = behind_a_proxy().await;
    let mut study = study();
    study["name"] = json!("made once");
    let post = || {
        app.client.send(Method::POST, "/v1/studies", |request| {
            request.header("Idempotency-Key", "once").json(&study)
        })
    };
    proxy.set(Mood::KeepAnswersTo("made once"));
    let answer = post().await.expect(503);
    assert_eq!((answer.json()["code"].as_str(), answer.header("location")), (Some("outcome_unknown"), None));
    assert!(answer.json()["detail"].as_str().unwrap().contains("same Idempotency-Key"), "{}", answer.text());
    proxy.set(Mood::Pass);
    let first = post().await.expect(201).json();
    assert_eq!(post().await.expect(201).json()["id"], first["id"]);
    assert_eq!(count(&app.client).await, 2);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_whose_answer_is_lost_with_redis_s_scripts_is_tried_again_and_makes_one_study() {
    let (app, proxy, _) = behind_a_proxy().await;
    let mut study = study();
    study["name"] = json!("made once");
    proxy.set(Mood::KeepAnswersTo("made once"));
    let (answer, ()) = tokio::join!(app.client.post("/v1/studies", &study), async {
        // Asked past the proxy, which is silent on the connection whose answer it kept.
        let stored = || app.redis.command(&["ZCARD", "chandler:{c}:studies"]);
        eventually("the study whose answer is kept", || async {
            (stored() == redis::Value::Int(2)).then_some(())
        })
        .await;
        app.redis.command(&["SCRIPT", "FLUSH"]);
        proxy.set(Mood::Pass);
    });
    answer.expect(201);
    assert_eq!(count(&app.client).await, 2);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_many_trials_that_is_refused_half_way_is_not_said_to_have_changed_nothing() {
    let (app, proxy, _) = behind_a_proxy().await;
    let client = &app.client;
    let mut study = study();
    (study["max_trials"], study["max_parallel"]) = (json!(3_000), json!(3_000));
    let path = client.post("/v1/studies", &study).await.expect(201).header("location").unwrap().to_owned();
    let queued = async || client.get(&path).await.expect(200).json()["trials"]["queued"].as_u64().unwrap();
    assert_eq!(queued().await, 3_000);
    let half_way = Mood::RefuseRepeats {
        part: path.rsplit('/').next().unwrap().to_owned(),
        said: "MISCONF Errors writing to the AOF file: No space left on device".to_owned(),
    };
    let patch = || send(client, Method::PATCH, &path, Some(json!({"max_trials": 10})));
    proxy.set(half_way.clone());
    assert_eq!(patch().await.expect(503).json()["code"], "outcome_unknown");
    proxy.set(Mood::Pass);
    assert!((11..3_000).contains(&queued().await), "a part was taken back");
    patch().await.expect(200);
    assert_eq!(queued().await, 10);

    // A study is cancelled with the first call, and what waits in it by the reaper if need be.
    send(client, Method::PATCH, &path, Some(json!({"max_trials": 3_000}))).await.expect(200);
    proxy.set(half_way);
    let view = send(client, Method::POST, &format!("{path}/cancel"), None).await.expect(200).json();
    assert_eq!(view["state"], "cancelled", "{view}");
    proxy.set(Mood::Pass);
    eventually("the end of what waits", || async { (queued().await == 0).then_some(()) }).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_redis_is_not_there_nothing_was_sent_and_that_is_known() {
    let mut app = TestApp::start().await;
    let path = create(&app.client).await;
    app.redis.kill();
    for (method, path, body) in changes(&path) {
        let answer = send(&app.client, method.clone(), &path, body).await.expect(503);
        assert_eq!(
            (answer.json()["code"].as_str(), answer.header("location")),
            (Some("unavailable"), None),
            "{method} {path}: {}",
            answer.text()
        );
    }
    app.redis.restart();
    let view = app.client.get(&path).await.expect(200).json();
    assert_eq!((view["state"].as_str(), count(&app.client).await), (Some("running"), 1));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_waits_longer_for_a_hung_redis_than_its_kind_may() {
    let (app, proxy, path) = behind_a_proxy().await;
    let client = &app.client;
    let timed = async |method: Method, path: String, body: Option<Json>| {
        let begun = Instant::now();
        send(client, method, &path, body).await.expect(503);
        begun.elapsed()
    };
    proxy.set(Mood::Hang);
    // All at once: none may wait for another either.
    let (read, list, probe, post, patch, delete) = tokio::join!(
        timed(Method::GET, path.clone(), None),
        timed(Method::GET, format!("{path}/trials"), None),
        timed(Method::GET, "/readyz".to_owned(), None),
        timed(Method::POST, "/v1/studies".to_owned(), Some(study())),
        timed(Method::PATCH, path.clone(), Some(json!({"state": "paused"}))),
        timed(Method::DELETE, path.clone(), None),
    );
    for (what, took, ms) in [
        ("a read", read, limits::REDIS_READ_MS),
        ("a list", list, limits::REDIS_READ_MS),
        ("a probe", probe, limits::REDIS_PROBE_MS),
        ("a POST", post, limits::REDIS_CHANGE_MS),
        ("a PATCH", patch, limits::REDIS_CHANGE_MS),
        ("a DELETE", delete, limits::REDIS_CHANGE_MS),
    ] {
        // Half a second of leave for a busy machine.
        assert!(took < Duration::from_millis(ms + 500), "{what} took {took:?}, and may take {ms} ms");
    }
    proxy.set(Mood::Pass);
    client.get(&path).await.expect(200);
    app.stop().await;
}

/// How much memory Redis uses, in bytes.
fn used_memory(redis: &TestRedis) -> i64 {
    let redis::Value::BulkString(info) = redis.command(&["INFO", "memory"]) else {
        panic!("INFO is a string")
    };
    let info = String::from_utf8(info).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("used_memory");
    line.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_edge_of_maxmemory_a_study_is_created_and_said_to_be_or_neither() {
    let app = TestApp::start().await;
    let (mut created, mut refused) = (Vec::new(), 0);
    // From where a study fits with its trials to where nothing fits.
    for room in (-80..20).rev().step_by(2).map(|kilobytes| kilobytes * 1_000) {
        let before = count(&app.client).await;
        // Less than is used at this moment: the connection that asks takes some itself.
        app.redis.command(&["CONFIG", "SET", "maxmemory", &(used_memory(&app.redis) + room).to_string()]);
        let answer = app.client.post("/v1/studies", &study()).await;
        app.redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
        match answer.status {
            201 => created.push(answer.header("location").unwrap().to_owned()),
            503 => {
                refused += 1;
                assert_eq!(answer.json()["code"], "storage_full");
            }
            other => panic!("{other}: {}", answer.text()),
        }
        assert_eq!(count(&app.client).await, before + usize::from(answer.status == 201), "{}", answer.text());
    }
    assert!(!created.is_empty() && refused > 0, "{} created, {refused} refused", created.len());
    // Once there is room again, each gets its trials, with nobody asking for them.
    for path in created {
        eventually("the trials of a study that was created when memory was full", || async {
            (app.client.get(&path).await.expect(200).json()["trials"]["queued"] == 12).then_some(())
        })
        .await;
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_memory_is_full_what_makes_room_works_and_what_was_changed_is_said_to_be() {
    let app = TestApp::start().await;
    let client = &app.client;
    let (path, other) = (create(client).await, create(client).await);
    app.redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let ready = client.get("/readyz").await.expect(503).json();
    assert_eq!(ready["code"], "storage_full", "{ready}");
    client.post("/v1/studies", &study()).await.expect(503);
    let patch = async |body: Json| send(client, Method::PATCH, &path, Some(body)).await.expect(200).json();
    assert_eq!(patch(json!({"state": "paused"})).await["state"], "paused");
    assert_eq!(patch(json!({"state": "running"})).await["state"], "running");
    let raised = patch(json!({"max_trials": 20})).await;
    assert_eq!(
        (raised["max_trials"].as_u64(), raised["trials"]["queued"].as_u64()),
        (Some(20), Some(12)),
        "{raised}"
    );
    assert_eq!(
        client.post(&format!("{path}/trials/0/cancel"), &json!({})).await.expect(200).json()["state"],
        "cancelled"
    );
    assert_eq!(
        client.post(&format!("{other}/cancel"), &json!({})).await.expect(200).json()["state"],
        "cancelled"
    );
    send(client, Method::DELETE, &other, None).await.expect(202);
    client.get(&other).await.expect(404);
    // It is purged although no study can be given trials meanwhile.
    let id = other.rsplit('/').next().unwrap();
    let keys = || match app.redis.command(&["KEYS", &format!("*:trials:{id}")]) {
        redis::Value::Array(keys) => keys.len(),
        other => panic!("{other:?}"),
    };
    eventually("the end of a deleted study's keys", || async { (keys() == 0).then_some(()) }).await;
    app.redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    eventually("the trials that were asked for when memory was full", || async {
        (client.get(&path).await.expect(200).json()["trials"]["queued"] == 19).then_some(())
    })
    .await;
    client.get("/readyz").await.expect(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_redis_that_takes_no_changes_is_read_and_says_why_it_takes_none() {
    let app = TestApp::start_on(TestRedis::start_flags(&[
        "--appendonly",
        "no",
        "--save",
        "3600 1",
        "--enable-protected-configs",
        "local",
    ]))
    .await;
    let (client, path) = (&app.client, create(&app.client).await);
    let refused = async |reason: &str| {
        for answer in [client.get("/readyz").await, client.post("/v1/studies", &study()).await] {
            let problem = answer.expect(503).json();
            assert!(
                problem["code"] == "unavailable" && problem["detail"].as_str().unwrap().contains(reason),
                "{problem}"
            );
        }
        client.get(&path).await.expect(200);
    };
    let taken = async || client.get("/readyz").await.expect(200);

    app.redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    refused("read-only replica").await;
    app.redis.command(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    let problem = client.get(&path).await.expect(503).json();
    assert!(problem["detail"].as_str().unwrap().contains("replica-serve-stale-data"), "{problem}");
    app.redis.command(&["REPLICAOF", "NO", "ONE"]);
    taken().await;

    app.redis.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    refused("min-replicas-to-write").await;
    app.redis.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    taken().await;

    // Its snapshot has no folder to go to.
    app.redis.lose_folder();
    app.redis.command(&["BGSAVE"]);
    eventually("a snapshot that fails", || async {
        (client.get("/readyz").await.status == 503).then_some(())
    })
    .await;
    refused("write to its disk").await;
    assert_eq!(count(client).await, 1);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_changes_under_way_is_told_and_its_return_is_noticed() {
    let redis = TestRedis::start_flags(&["--requirepass", "hush"]);
    let app = TestApp::start_at(redis, |redis| format!("{}?pass=hush", redis.url())).await;
    let client = &app.client;
    create(client).await;
    app.redis.command_as("hush", &["CONFIG", "SET", "requirepass", "new"]);
    app.redis.command_as("new", &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    for path in ["/readyz", "/v1/studies"] {
        let answer = client.get(path).await.expect(503);
        assert!(
            answer.text().contains("does not accept the user and password")
                && !answer.text().contains("hush"),
            "{}",
            answer.text()
        );
    }
    app.redis.command_as("new", &["CONFIG", "SET", "requirepass", ""]);
    assert!(client.get("/readyz").await.expect(503).text().contains("Redis has none"));
    app.redis.command(&["CONFIG", "SET", "requirepass", "hush"]);
    client.get("/readyz").await.expect(200);
    assert_eq!(count(client).await, 1);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_password_in_another_database_finds_the_rights_it_needs_sufficient() {
    let redis = TestRedis::start_flags(&["--requirepass", "hush"]);
    // All that a user of Chandler must be allowed.
    redis.command_as(
        "hush",
        &[
            "ACL",
            "SETUSER",
            "chandler",
            "on",
            ">p@ss",
            "resetkeys",
            "~chandler:*",
            "resetchannels",
            "-@all",
            "+@all",
            "-@dangerous",
            "+info",
        ],
    );
    let app =
        TestApp::start_at(redis, |redis| format!("{}?user=chandler&pass=p%40ss&db=3", redis.url())).await;
    create(&app.client).await;
    app.client.get("/readyz").await.expect(200);
    assert!(app.client.get("/metrics").await.expect(200).text().contains("\nchandler_redis_up 1\n"));
    // A right that is missed in the middle of a script leaves a part of it done, and that is not
    // called nothing.
    app.redis.command_as("hush", &["ACL", "SETUSER", "chandler", "-xadd"]);
    let problem = app.client.post("/v1/studies", &study()).await.expect(503).json();
    assert!(
        problem["code"] == "outcome_unknown"
            && problem["detail"].as_str().unwrap().contains("lacks a permission"),
        "{problem}"
    );
    app.redis.command_as("hush", &["ACL", "SETUSER", "chandler", "-evalsha"]);
    let problem = app.client.get("/readyz").await.expect(503).json();
    assert!(problem["detail"].as_str().unwrap().contains("lacks a permission"), "{problem}");
    app.stop().await;
}

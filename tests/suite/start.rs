//! How the programs start where Redis is not yet, or never, of use to them.

use serde_json::json;
use tempfile::TempDir;
use tests::{ChaosProxy, Mood, Program, Service, TestRedis, example, free_port, start_trainer};

fn serve(data_dir: &TempDir, url: &str) -> Program {
    let folder = data_dir.path().display().to_string();
    Program::start(
        "chandler",
        ["serve", "--listen", "127.0.0.1:0", "--data-dir", &folder, "--redis-url", url],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_will_not_do_ends_both_programs_at_once_with_its_reason() {
    let redis = TestRedis::start_flags(&["--requirepass", "right"]);
    let proxy = ChaosProxy::before(&redis).await;
    let data_dir = TempDir::new().unwrap();
    let in_front = |mood: Mood| {
        proxy.set(mood);
        proxy.url()
    };
    for (url, reason) in [
        (redis.url(), "asks for a password"),
        (format!("{}?pass=hush", redis.url()), "does not accept the user and password"),
        (format!("{}?user=nobody&pass=hush", redis.url()), "does not accept the user and password"),
        (format!("{}?pass=right&db=99", redis.url()), "names a database"),
        ("redis+sentinel://:hush@127.0.0.1:26379/main".to_owned(), "Sentinel"),
        (
            in_front(Mood::TurnAway(
                "DENIED Redis is running in protected mode because protected mode is enabled".to_owned(),
            )),
            "protected mode",
        ),
    ] {
        let mut programs = [serve(&data_dir, &url), start_trainer(&url, data_dir.path(), &[])];
        for program in &mut programs {
            assert_eq!(program.wait(), Some(1), "{url}: {:#?}", program.log());
            let said = program.whole_log().join("\n");
            assert!(said.contains(reason) && !said.contains("hush"), "{url}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_just_starting_is_waited_for_and_the_reason_is_told() {
    let redis = TestRedis::start();
    let proxy = ChaosProxy::before(&redis).await;
    proxy.set(Mood::Refuse("LOADING Redis is loading the dataset in memory".to_owned()));
    let data_dir = TempDir::new().unwrap();
    let (api, trainer) = (serve(&data_dir, &proxy.url()), start_trainer(&proxy.url(), data_dir.path(), &[]));
    for program in [&api, &trainer] {
        let said = program.wait_for("Waiting for Redis: ");
        assert!(said.contains("still loading its data"), "{said}");
    }
    proxy.set(Mood::TurnAway("ERR max number of clients reached".to_owned()));
    for program in [&api, &trainer] {
        program.wait_for("maxclients");
    }
    proxy.set(Mood::Pass);
    api.wait_for("Listening on ");
    trainer.wait_for("Training on ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_runs_on_tcp_and_on_a_socket_each_with_a_user_in_a_database_of_its_own() {
    let port = free_port();
    let redis = TestRedis::start_flags(&["--port", &port.to_string()]);
    redis.command(&["ACL", "SETUSER", "chandler", "on", ">p@ss", "~chandler:*", "+@all"]);
    let socket = redis.socket().display().to_string();
    let mut study = example("digits-random");
    (study["max_trials"], study["training"]["epochs"]) = (json!(1), json!(1));
    for (database, url) in [
        (1, format!("redis://chandler:p%40ss@127.0.0.1:{port}/1")),
        (2, format!("unix://{socket}?user=chandler&pass=p%40ss&db=2")),
        (3, format!("redis+unix://{socket}?db=3")),
        (4, format!("valkey://localhost:{port}/4")),
    ] {
        let data_dir = TempDir::new().unwrap();
        let service = Service::start(data_dir.path(), &["--redis-url", &url]);
        let _trainer = start_trainer(&url, data_dir.path(), &[]);
        let path = service.create(&study).await;
        assert_eq!(service.ended(&path).await["trials"]["completed"], 1, "{url}");
        let redis::Value::BulkString(info) = redis.command(&["INFO", "keyspace"]) else {
            panic!("INFO is a string")
        };
        let info = String::from_utf8(info).unwrap();
        assert!(
            info.contains(&format!("db{database}:")) && !info.contains(&format!("db{}:", database + 1)),
            "{info}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_full_when_the_service_starts_is_served_from() {
    let redis = TestRedis::start();
    let data_dir = TempDir::new().unwrap();
    let service = Service::start(data_dir.path(), &["--redis-url", &redis.url()]);
    let path = service.create(&example("digits-random")).await;
    drop(service);
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let service = Service::start(data_dir.path(), &["--redis-url", &redis.url()]);
    assert!(service.program.wait_for("Redis accepts no changes now").contains("maxmemory"));
    assert_eq!(service.client.get("/readyz").await.expect(503).json()["code"], "storage_full");
    service.client.get(&path).await.expect(200);
    service.client.send(reqwest::Method::DELETE, &path, |request| request).await.expect(202);
}

//! The edges of HTTP: what is announced, encoded, conditional, stuck, or named in another way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use api::limits;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tempfile::TempDir;
use tests::{Service, TestApp, TestRedis, contract, example};

/// A connection to an app, with a bound for each read.
fn connect(app: &TestApp) -> TcpStream {
    let stream = TcpStream::connect(app.client.base().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(tests::PATIENCE)).unwrap();
    stream
}

/// What is answered to these bytes, until the connection is closed.
fn exchange(app: &TestApp, request: &str) -> String {
    let mut stream = connect(app);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer); // A reset ends it as well as an orderly end.
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_announced_as_too_large_is_refused_before_it_is_sent() {
    let app = TestApp::start().await;
    for more in ["", "Expect: 100-continue\r\n"] {
        let began = Instant::now();
        let length = 10_u64 << 30;
        let head = format!(
            "POST /v1/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n"
        );
        let answer = exchange(&app, &head);
        assert!(
            answer.contains("HTTP/1.1 413 ") && answer.contains("\"code\":\"body_too_large\""),
            "{more}{answer}"
        );
        assert!(
            began.elapsed() < Duration::from_secs(limits::HTTP_BODY_SECONDS_MAX / 2),
            "{more}{:?}",
            began.elapsed()
        );
    }
    app.stop().await;
}

/// Whether the system lists a connection from the server's port to that of the client, as
/// established.
fn is_connected(server: u16, client: u16) -> bool {
    let list = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let (from, to) = (format!(":{server:04X}"), format!(":{client:04X}"));
    list.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .any(|line| line[1].ends_with(&from) && line[2].ends_with(&to) && line[3] == "01")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_none_of_its_answers_is_cut_off() {
    let app = TestApp::start().await;
    let mut stream = connect(&app);
    // More than the buffers of both systems hold.
    let requests = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200);
    stream.set_write_timeout(Some(tests::PATIENCE)).unwrap();
    stream.write_all(requests.as_bytes()).unwrap();
    let began = Instant::now();
    let bound = Duration::from_secs(3 * limits::HTTP_STUCK_SECONDS_MAX);
    let (server, client) = (stream.peer_addr().unwrap().port(), stream.local_addr().unwrap().port());
    // Nothing is read, and nothing more is sent: the system's list of connections tells when the
    // server has closed.
    while is_connected(server, client) {
        assert!(began.elapsed() < bound, "still connected after {:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let after = began.elapsed();
    assert!(
        after >= Duration::from_secs(limits::HTTP_STUCK_SECONDS_MAX) / 2,
        "{after:?} is no time for a slow line"
    );
    app.client.get("/v1/studies").await.expect(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_wants_no_encoding_there_is_gets_the_answer_as_it_is() {
    let app = TestApp::start().await;
    for (accepted, encoding) in [
        ("identity;q=0", None),
        ("*;q=0", None),
        ("br, identity;q=0", None),
        ("nonsense", None),
        ("identity;q=0, gzip", Some("gzip")),
        ("gzip", Some("gzip")),
        ("identity", None),
    ] {
        let answer = app
            .client
            .send(Method::GET, "/openapi.json", |request| request.header("accept-encoding", accepted))
            .await
            .expect(200);
        assert_eq!(answer.header("content-encoding"), encoding, "{accepted}");
        assert_eq!(answer.bytes.starts_with(b"{"), encoding.is_none(), "{accepted}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_under_a_condition_that_nobody_looks_at_is_refused_and_changes_nothing() {
    let app = TestApp::start().await;
    let path = app
        .client
        .post("/v1/studies", &example("digits-random"))
        .await
        .expect(201)
        .header("location")
        .unwrap()
        .to_owned();
    let before = app.client.get(&path).await.expect(200).json();
    let cancel = format!("{path}/cancel");
    for header in [
        "if-match",
        "if-none-match",
        "if-unmodified-since",
        "content-range",
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
    ] {
        for (method, path) in [
            (Method::PATCH, path.as_str()),
            (Method::POST, cancel.as_str()),
            (Method::DELETE, path.as_str()),
            (Method::POST, "/v1/studies"),
        ] {
            let with = |request: RequestBuilder| {
                request.header(header, "\"nonsense\"").json(&json!({"state": "paused"}))
            };
            let problem = app.client.send(method.clone(), path, with).await.expect(400).json();
            let said = problem["detail"].as_str().unwrap();
            assert!(
                problem["code"] == "invalid_parameter" && said.contains(header),
                "{method} {path}: {problem}"
            );
        }
        // A read is a whole and right answer whatever it was to depend on.
        app.client
            .send(Method::GET, &path, |request| request.header(header, "\"nonsense\""))
            .await
            .expect(200);
    }
    assert_eq!(app.client.get(&path).await.expect(200).json(), before);
    assert_eq!(
        app.client.get("/v1/studies").await.expect(200).json()["studies"].as_array().map(Vec::len),
        Some(1)
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_and_a_trial_have_one_name() {
    let app = TestApp::start().await;
    let path = app
        .client
        .post("/v1/studies", &example("digits-random"))
        .await
        .expect(201)
        .header("location")
        .unwrap()
        .to_owned();
    app.client.get(&format!("{path}/trials/0")).await.expect(200);
    for number in ["00", "+0", "-0", "0.0", "0x0", "%30%30", "18446744073709551616"] {
        for rest in ["", "/curve", "/model"] {
            let problem = app.client.get(&format!("{path}/trials/{number}{rest}")).await.expect(404).json();
            assert_eq!(problem["code"], "trial_not_found", "{number}{rest}");
        }
    }
    app.client.get(&path.replace("/v1/studies/", "/v1/studies/%20")).await.expect(404);
    app.client
        .get(&format!("/v1/studies/{}", path.trim_start_matches("/v1/studies/").to_lowercase()))
        .await
        .expect(404);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_cannot_be_read_is_not_an_error_of_the_service() {
    let data_dir = TempDir::new().unwrap();
    let redis = TestRedis::start();
    let mut service = Service::start(data_dir.path(), &["--redis-url", &redis.url()]);
    for head in [
        "GET / HTTP/9.9\r\n\r\n",
        "\u{16}\u{3}\u{1}",
        "GET  /\r\nno colon\r\n\r\n",
        "get /livez HTTP/1.1\r\nHost : x\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(service.client.base().trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(tests::PATIENCE)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer}");
    }
    service.program.signal(libc::SIGTERM);
    assert_eq!(service.program.wait(), Some(0));
    let log = service.program.log();
    assert!(log.iter().all(|line| !line.contains("ERROR") && !line.contains("parse error")), "{log:#?}");
}

#[test]
fn the_contract_names_every_closed_set_and_bound_and_says_who_needs_a_key() {
    let contract = contract();
    let set = |name: &str| {
        contract["components"]["schemas"][name]["enum"]
            .as_array()
            .unwrap_or_else(|| panic!("{name} is no enum"))
            .len()
    };
    for (name, all) in [
        ("TrialState", hpo::trial::TrialState::ALL.len()),
        ("StudyState", hpo::trial::StudyState::ALL.len()),
        ("StopReason", hpo::trial::StopReason::ALL.len()),
        ("AttemptEnd", hpo::trial::AttemptEnd::ALL.len()),
        ("ErrorKind", hpo::trial::ErrorKind::ALL.len()),
        ("Sort", hpo::trial::Sort::ALL.len()),
        ("Format", 3),
        ("DeviceKind", 3),
    ] {
        assert_eq!(set(name), all, "{name}");
    }
    assert!(set("Code") >= 20);
    assert_eq!(contract["components"]["securitySchemes"]["api_key"]["scheme"], "bearer");
    assert_eq!(contract["security"], json!([{"api_key": []}]));
    for (path, item) in contract["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let open = matches!(path.as_str(), "/" | "/livez" | "/readyz");
            assert_eq!(operation.get("security"), open.then_some(&json!([{}])), "{method} {path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let (name, mut schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
                if let Some(reference) =
                    schema["$ref"].as_str().or_else(|| schema["oneOf"][1]["$ref"].as_str())
                {
                    schema = contract.pointer(reference.trim_start_matches('#')).unwrap();
                }
                let bounded = match name {
                    "limit" | "count" => schema["minimum"] == 1 && schema["maximum"] == limits::PAGE_MAX,
                    "number" => schema["minimum"] == 0 && schema["maximum"] == limits::TRIALS_MAX - 1,
                    "id" => schema["pattern"].is_string(),
                    "Idempotency-Key" => schema["maxLength"] == limits::IDEMPOTENCY_KEY_BYTES_MAX,
                    "state" | "sort" | "format" => schema["enum"].is_array(),
                    "cursor" | "name" | "dry_run" => true,
                    _ => false,
                };
                assert!(bounded, "{method} {path}: {parameter}");
            }
        }
    }
}

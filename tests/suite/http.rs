//! The HTTP API against a real Redis, without a trainer.

use std::time::Duration;

use hpo::study::DeviceClass;
use reqwest::Method;
use serde_json::{Value as Json, json};
use store::{Claim, End, RefusedDataset, Trainer};
use tests::{API_KEY, TestApp, example};

/// A small valid study, changed by `change`.
fn study(change: impl FnOnce(&mut Json)) -> Json {
    let mut study = example("digits-random");
    change(&mut study);
    study
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_is_created_listed_paused_cancelled_and_deleted() {
    let app = TestApp::start().await;
    let client = &app.client;
    let created =
        client.post("/v1/studies", &study(|study| study["max_parallel"] = json!(2))).await.expect(201);
    let path = created.header("location").expect("a Location").to_owned();
    let view = created.json();
    assert_eq!((view["state"].as_str(), view["progress"]["total"].as_u64()), (Some("running"), Some(12)));
    assert!(view["trials"]["queued"].as_u64() > Some(0), "{view}");

    let listed = client.get("/v1/studies?limit=1").await.expect(200).json();
    assert_eq!(listed["studies"][0]["id"], view["id"]);
    let trials = client.get(&format!("{path}/trials?limit=5")).await.expect(200);
    assert!(trials.header("link").is_some_and(|link| link.ends_with("rel=\"next\"")));
    assert_eq!(trials.json()["trials"].as_array().map(Vec::len), Some(5));
    client.get(&format!("{path}/trials/0")).await.expect(200);
    client.get(&format!("{path}/trials/0/curve")).await.expect(200);
    client.get(&format!("{path}/trials/0/model")).await.expect(404);
    client.get(&format!("{path}/best?count=3")).await.expect(200);
    client.get(&format!("{path}/trials/999999")).await.expect(404);

    let patch = |body: Json| client.send(Method::PATCH, &path, move |request| request.json(&body));
    assert_eq!(patch(json!({"state": "paused"})).await.expect(200).json()["state"], "paused");
    assert_eq!(
        patch(json!({"state": "running", "max_trials": 20})).await.expect(200).json()["progress"]["total"],
        20
    );
    let wrong = patch(json!({"state": "sideways", "max_trials": null, "max_parallel": 0, "colour": 1}))
        .await
        .expect(422)
        .json();
    let pointers: Vec<&str> =
        wrong["errors"].as_array().unwrap().iter().filter_map(|error| error["pointer"].as_str()).collect();
    assert_eq!(pointers.len(), 4, "{wrong}");
    assert!(
        ["/state", "/max_trials", "/max_parallel", "/colour"]
            .iter()
            .all(|pointer| pointers.contains(pointer)),
        "{wrong}"
    );
    patch(json!(["paused", null, null])).await.expect(422);
    patch(json!({"max_parallel": 1})).await.expect(200);
    patch(json!({"max_parallel": null})).await.expect(200);
    patch(json!({"weight": 2})).await.expect(422);
    client.post(&format!("{path}/trials/0/cancel"), &json!({})).await.expect(200);
    assert_eq!(
        client.post(&format!("{path}/cancel"), &json!({})).await.expect(200).json()["state"],
        "cancelled"
    );
    client.send(Method::DELETE, &path, |request| request).await.expect(202);
    client.get(&path).await.expect(404);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_an_idempotency_key_may_be_repeated() {
    let app = TestApp::start().await;
    let post = |body: Json| {
        app.client.send(Method::POST, "/v1/studies", move |request| {
            request.header("Idempotency-Key", "once").json(&body)
        })
    };
    let first = post(study(|_| ())).await.expect(201).json();
    let again = post(study(|_| ())).await.expect(201).json();
    assert_eq!(first["id"], again["id"]);
    let other = post(study(|study| study["name"] = json!("another"))).await.expect(422);
    assert_eq!(other.json()["code"], "idempotency_mismatch");
    app.client
        .send(Method::DELETE, &format!("/v1/studies/{}", first["id"].as_str().unwrap()), |request| request)
        .await
        .expect(202);
    for _ in 0..2 {
        let gone = post(study(|_| ())).await.expect(409);
        assert_eq!(gone.json()["code"], "conflict");
        tokio::time::sleep(Duration::from_millis(1_500)).await; // Before and after its keys are purged.
    }
    let twice = |request: reqwest::RequestBuilder| {
        request.header("Idempotency-Key", "a").header("Idempotency-Key", "b").json(&study(|_| ()))
    };
    app.client.send(Method::POST, "/v1/studies", twice).await.expect(400);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nothing_but_the_probes_is_served_where_keys_are_asked_for() {
    let app = TestApp::with_keys().await;
    app.client.get("/livez").await.expect(200);
    app.client.get("/readyz").await.expect(200);
    for path in ["/v1/studies", "/metrics", "/openapi.json", "/docs/"] {
        app.client.get(path).await.expect(401);
        app.client.with_key("not the right key").get(path).await.expect(401);
    }
    app.client.with_key(API_KEY).get("/v1/studies").await.expect(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_only_loopback_names_are_served() {
    let app = TestApp::start().await;
    let named = |host: &'static str| {
        app.client.send(Method::GET, "/v1/studies", move |request| request.header("host", host))
    };
    named("evil.example").await.expect(403);
    named("localhost:1234").await.expect(200);
    named("[::1]").await.expect(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_a_problem_with_its_place_and_queues_nothing() {
    let app = TestApp::start().await;
    let cases: Vec<(&str, Json, u16, &str)> = vec![
        ("an unknown field", study(|s| s["colour"] = json!(1)), 422, "/colour"),
        ("no name", study(|s| drop(s.as_object_mut().map(|o| o.remove("name")))), 422, ""),
        ("a blank name", study(|s| s["name"] = json!(" ")), 422, "/name"),
        ("a number for a name", study(|s| s["name"] = json!(7)), 422, "/name"),
        ("a negative seed", study(|s| s["seed"] = json!(-1)), 422, "/seed"),
        ("a seed past 53 bits", study(|s| s["seed"] = json!(1u64 << 60)), 422, "/seed"),
        ("a fraction for a seed", study(|s| s["seed"] = json!(0.5)), 422, "/seed"),
        ("a space that is no array", study(|s| s["space"] = json!({})), 422, "/space"),
        (
            "min above max",
            space(json!({"name": "x", "type": "int", "min_value": 10, "max_value": 1})),
            422,
            "/space/0/min_value",
        ),
        ("no max", space(json!({"name": "x", "type": "int", "min_value": 10})), 422, "/space/0"),
        ("an unknown type", space(json!({"name": "x", "type": "integer"})), 422, "/space/0/type"),
        (
            "log from zero",
            space(json!({"name": "x", "type": "float", "min_value": 0, "max_value": 1, "sampling": "log"})),
            422,
            "/space/0/min_value",
        ),
        (
            "a step of zero",
            space(json!({"name": "x", "type": "float", "min_value": 0, "max_value": 1, "step": 0})),
            422,
            "/space/0/step",
        ),
        (
            "a log step of one",
            space(
                json!({"name": "x", "type": "int", "min_value": 1, "max_value": 8, "step": 1, "sampling": "log"}),
            ),
            422,
            "/space/0/step",
        ),
        (
            "an unknown sampling",
            space(json!({"name": "x", "type": "int", "min_value": 1, "max_value": 8, "sampling": "cubic"})),
            422,
            "/space/0/sampling",
        ),
        ("no choices", space(json!({"name": "x", "type": "choice", "values": []})), 422, "/space/0/values"),
        (
            "a choice twice",
            space(json!({"name": "x", "type": "choice", "values": [1, 1]})),
            422,
            "/space/0/values/1",
        ),
        (
            "choices of two types",
            space(json!({"name": "x", "type": "choice", "values": [1, "a"]})),
            422,
            "/space/0/values",
        ),
        (
            "a null choice",
            space(json!({"name": "x", "type": "choice", "values": [null]})),
            422,
            "/space/0/values/0",
        ),
        (
            "ordered words",
            space(json!({"name": "x", "type": "choice", "values": ["a", "b"], "ordered": true})),
            422,
            "/space/0/ordered",
        ),
        (
            "a default outside",
            space(json!({"name": "x", "type": "int", "min_value": 1, "max_value": 8, "default": 9})),
            422,
            "/space/0/default",
        ),
        (
            "a field of another type",
            space(json!({"name": "x", "type": "boolean", "min_value": 1})),
            422,
            "/space/0/min_value",
        ),
        ("an empty name", space(json!({"name": "", "type": "boolean"})), 422, "/space/0/name"),
        (
            "a parent that is not there",
            space(json!({"name": "x", "type": "boolean", "when": {"y": [true]}})),
            422,
            "/space/0/when/y",
        ),
        (
            "per what is not there",
            space(json!({"name": "x", "type": "boolean", "per": "y"})),
            422,
            "/space/0/per",
        ),
        ("a hyperparameter nobody uses", space(json!({"name": "x", "type": "boolean"})), 422, "/space/0"),
        ("no network", network(json!([])), 422, "/network"),
        ("an unknown layer", network(json!([{"layer": "Dens", "units": 10}])), 422, "/network/0/layer"),
        ("no units", network(json!([{"layer": "Dense"}])), 422, "/network/0"),
        ("no unit", network(json!([{"layer": "Dense", "units": 0}])), 422, "/network/0/units"),
        ("half a unit", network(json!([{"layer": "Dense", "units": 1.5}])), 422, "/network/0/units"),
        (
            "an unknown activation",
            network(json!([{"layer": "Dense", "units": 1, "activation": "rellu"}])),
            422,
            "/network/0/activation",
        ),
        (
            "an unknown initialiser",
            network(json!([{"layer": "Dense", "units": 1, "kernel_initializer": "he"}])),
            422,
            "/network/0/kernel_initializer",
        ),
        (
            "an unknown argument",
            network(json!([{"layer": "Dense", "units": 1, "unit": 2}])),
            422,
            "/network/0/unit",
        ),
        ("a dropout of one", network(json!([{"layer": "Dropout", "rate": 1.0}])), 422, "/network/0/rate"),
        (
            "a reference to nothing",
            network(json!([{"layer": "Dense", "units": {"hp": "nothing"}}])),
            422,
            "/network/0/units/hp",
        ),
        (
            "a reference with more",
            network(json!([{"layer": "Dense", "units": {"hp": "units", "x": 1}}])),
            422,
            "/network/0/units/x",
        ),
        (
            "a convolution over a matrix",
            network(
                json!([{"layer": "Conv2D", "filters": 2, "kernel_size": 3}, {"layer": "Flatten"}, {"layer": "Dense", "units": 10, "activation": "softmax"}]),
            ),
            422,
            "/network/0",
        ),
        (
            "a window larger than the image",
            network(
                json!([{"layer": "Reshape", "target_shape": [8, 8, 1]}, {"layer": "Conv2D", "filters": 2, "kernel_size": 9}]),
            ),
            422,
            "/network/1",
        ),
        (
            "a shape that does not divide",
            network(json!([{"layer": "Reshape", "target_shape": [5, -1]}])),
            422,
            "/network/0",
        ),
        (
            "two open dimensions",
            network(json!([{"layer": "Reshape", "target_shape": [-1, -1]}])),
            422,
            "/network/0/target_shape",
        ),
        (
            "an output of another size",
            network(json!([{"layer": "Flatten"}, {"layer": "Dense", "units": 3, "activation": "softmax"}])),
            422,
            "/network/1",
        ),
        (
            "a repeat in a repeat",
            network(json!([{"repeat": 2, "layers": [{"repeat": 2, "layers": []}]}])),
            422,
            "/network/0/layers/0",
        ),
        (
            "a layer of later",
            network(json!([{"layer": "MultiHeadAttention", "num_heads": 3}])),
            422,
            "/network/0/layer",
        ),
        (
            "no loss",
            study(|s| drop(s["training"].as_object_mut().map(|o| o.remove("loss")))),
            422,
            "/training",
        ),
        ("an unknown loss", study(|s| s["training"]["loss"] = json!("l2")), 422, "/training/loss"),
        (
            "a regression loss",
            study(|s| s["training"]["loss"] = json!("mean_squared_error")),
            422,
            "/training/loss",
        ),
        (
            "an unknown optimiser",
            study(|s| s["training"]["optimizer"] = json!("adamm")),
            422,
            "/training/optimizer",
        ),
        (
            "a momentum of adam",
            study(|s| s["training"]["optimizer"] = json!({"name": "adam", "momentum": 0.9})),
            422,
            "/training/optimizer/momentum",
        ),
        (
            "a negative learning rate",
            study(|s| s["training"]["optimizer"] = json!({"name": "adam", "learning_rate": -1})),
            422,
            "/training/optimizer/learning_rate",
        ),
        ("no epoch", study(|s| s["training"]["epochs"] = json!(0)), 422, "/training/epochs"),
        ("no row in a batch", study(|s| s["training"]["batch_size"] = json!(0)), 422, "/training/batch_size"),
        (
            "a metric of numbers",
            study(|s| s["training"]["metrics"] = json!(["accuracy", "mae"])),
            422,
            "/training/metrics/1",
        ),
        (
            "a metric twice",
            study(|s| s["training"]["metrics"] = json!(["accuracy", "accuracy"])),
            422,
            "/training/metrics/1",
        ),
        (
            "a callback of later",
            study(|s| s["training"]["callbacks"] = json!(["model_checkpoint"])),
            422,
            "/training/callbacks/0",
        ),
        ("no dataset", study(|s| s["dataset"] = json!({})), 422, "/dataset"),
        (
            "an unknown dataset",
            study(|s| s["dataset"]["source"] = json!("builtin:digit")),
            422,
            "/dataset/source",
        ),
        (
            "a path out of the folder",
            study(|s| s["dataset"] = json!({"features": "../a", "labels": "b"})),
            422,
            "/dataset/features",
        ),
        (
            "an absolute path",
            study(|s| s["dataset"] = json!({"source": "/etc/passwd", "label": "x"})),
            422,
            "/dataset/source",
        ),
        (
            "a file that is not there",
            study(|s| s["dataset"] = json!({"source": "no.csv", "label": "x", "validation_split": 0.2})),
            422,
            "/dataset/source",
        ),
        (
            "a CSV without a label",
            study(|s| s["dataset"] = json!({"source": "no.csv"})),
            422,
            "/dataset/source",
        ),
        (
            "features without labels",
            study(|s| s["dataset"] = json!({"features": "a"})),
            422,
            "/dataset/features",
        ),
        (
            "a split of one",
            study(|s| s["dataset"]["validation_split"] = json!(1.0)),
            422,
            "/dataset/validation_split",
        ),
        (
            "a split that leaves nothing",
            study(|s| s["dataset"]["validation_split"] = json!(0.9999)),
            422,
            "/dataset/validation_split",
        ),
        ("an unknown scale", study(|s| s["dataset"]["scale"] = json!("units")), 422, "/dataset/scale"),
        (
            "an objective that is not logged",
            study(|s| s["objective"]["metric"] = json!("val_acuracy")),
            422,
            "/objective/metric",
        ),
        ("two objectives", study(|s| s["objective"] = json!([{"metric": "loss"}])), 422, "/objective"),
        (
            "an unknown direction",
            study(|s| s["objective"]["direction"] = json!("up")),
            422,
            "/objective/direction",
        ),
        ("a sampler of later", study(|s| s["sampler"] = json!({"name": "tpe"})), 422, "/sampler/name"),
        ("a pruner of later", study(|s| s["pruner"] = json!({"name": "asha"})), 422, "/pruner/name"),
        ("no trials", study(|s| s["max_trials"] = json!(0)), 422, "/max_trials"),
        ("two million trials", study(|s| s["max_trials"] = json!(2_000_000)), 422, "/max_trials"),
        ("an unknown device", study(|s| s["device"] = json!("tpu")), 422, "/device"),
        ("a priority, of later", study(|s| s["priority"] = json!(1)), 422, "/priority"),
        (
            "retries without end",
            study(|s| s["retry"] = json!({"max_failures": 1_000_000})),
            422,
            "/retry/max_failures",
        ),
        ("a tag that is no string", study(|s| s["tags"] = json!({"a": 1})), 422, "/tags/a"),
    ];
    assert!(cases.len() >= 60);
    for (what, body, status, pointer) in cases {
        let answer = app.client.post("/v1/studies", &body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        let problem = answer.json();
        let pointers: Vec<&str> = problem["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|error| error["pointer"].as_str())
            .collect();
        assert!(pointers.contains(&pointer), "{what}: {pointer} is not among {pointers:?}: {problem}");
        let expected = if what.contains("later") || what == "two objectives" {
            "not_supported"
        } else {
            "invalid_study"
        };
        assert_eq!(problem["code"], expected, "{what}");
    }
    assert_eq!(app.client.get("/v1/studies").await.json()["studies"], json!([]));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_says_why() {
    let app = TestApp::start().await;
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let cases: Vec<(&str, String, &str, u16, &str)> = vec![
        ("no JSON", "{".to_owned(), "application/json", 400, "malformed_json"),
        ("NaN", r#"{"name": NaN}"#.to_owned(), "application/json", 400, "malformed_json"),
        (
            "a number past all bounds",
            r#"{"seed": 1e999}"#.to_owned(),
            "application/json",
            400,
            "malformed_json",
        ),
        (
            "a name twice",
            r#"{"name": "a", "name": "b"}"#.to_owned(),
            "application/json",
            400,
            "malformed_json",
        ),
        ("too deep to read", "[".repeat(10_000), "application/json", 400, "malformed_json"),
        ("deep", deep, "application/json", 422, "invalid_study"),
        ("an array", "[]".to_owned(), "application/json", 422, "invalid_study"),
        ("10 MB", format!("\"{}\"", "x".repeat(10 << 20)), "application/json", 413, "body_too_large"),
        ("text", "{}".to_owned(), "text/plain", 415, "unsupported_media_type"),
        ("a form", "a=b".to_owned(), "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    ];
    for (what, body, media_type, status, code) in cases {
        let answer = app
            .client
            .send(Method::POST, "/v1/studies", |request| {
                request.header("content-type", media_type).body(body)
            })
            .await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (status, Some(code)),
            "{what}: {}",
            answer.text()
        );
    }
    let encoded = |request: reqwest::RequestBuilder| {
        request
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .body(study(|_| ()).to_string())
    };
    let answer = app.client.send(Method::POST, "/v1/studies", encoded).await.expect(415);
    assert_eq!(answer.json()["code"], "unsupported_media_type");
    app.client.get("/v1/studies").await.expect(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_places_and_parameters_are_problems_too() {
    let app = TestApp::start().await;
    let missing = "/v1/studies/01ARZ3NDEKTSV4RRFFQ69G5FAV";
    for (method, path, status, code) in [
        (Method::GET, "/nowhere", 404, "not_found"),
        (Method::PUT, "/v1/studies", 405, "method_not_allowed"),
        (Method::DELETE, "/metrics", 405, "method_not_allowed"),
        (Method::GET, missing, 404, "study_not_found"),
        (Method::GET, "/v1/studies/not-an-id", 404, "study_not_found"),
        (Method::GET, &format!("{missing}/trials"), 404, "study_not_found"),
        (Method::GET, &format!("{missing}/trials/0/curve"), 404, "study_not_found"),
        (Method::DELETE, missing, 404, "study_not_found"),
        (Method::POST, &format!("{missing}/cancel"), 404, "study_not_found"),
        (Method::GET, "/v1/studies?limit=0", 400, "invalid_parameter"),
        (Method::GET, "/v1/studies?limit=x", 400, "invalid_parameter"),
        (Method::GET, "/v1/studies?state=odd", 400, "invalid_parameter"),
        (Method::GET, "/v1/studies?colour=red", 400, "invalid_parameter"),
        (Method::GET, "/v1/studies?cursor=%00", 400, "invalid_parameter"),
        (Method::GET, "/v1/studies/01JD/best/model?format=pickle", 400, "invalid_parameter"),
        (Method::GET, "/v1/datasets?limit=0", 400, "invalid_parameter"),
        (Method::GET, "/v1/datasets?cursor=zz", 400, "invalid_parameter"),
        (Method::GET, "/v1/trainers?colour=red", 400, "invalid_parameter"),
        (Method::GET, &format!("{missing}/trials?sort=value&cursor=n1"), 400, "invalid_parameter"),
        (Method::GET, &format!("{missing}?colour=red"), 400, "invalid_parameter"),
        (Method::POST, &format!("{missing}/cancel?now"), 400, "invalid_parameter"),
        (Method::GET, "/livez?verbose", 400, "invalid_parameter"),
        (Method::GET, "/readyz?verbose", 400, "invalid_parameter"),
        (Method::GET, "/metrics?name=x", 400, "invalid_parameter"),
        (Method::GET, "/openapi.json?v=3", 400, "invalid_parameter"),
        (Method::GET, "/docs/nothing.js", 404, "not_found"),
    ] {
        let answer = app.client.send(method.clone(), path, |request| request).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (status, Some(code)),
            "{method} {path}: {}",
            answer.text()
        );
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_answered_wherever_get_is_and_without_a_body() {
    let app = TestApp::start().await;
    let head = |path: &'static str| app.client.send(Method::HEAD, path, |request| request);
    for path in [
        "/livez",
        "/readyz",
        "/metrics",
        "/v1/studies?limit=1",
        "/v1/datasets",
        "/v1/trainers",
        "/openapi.json",
        "/docs/",
    ] {
        let (get, head) = (app.client.get(path).await.expect(200), head(path).await.expect(200));
        assert!(head.bytes.is_empty() && !get.bytes.is_empty(), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
    assert!(app.client.get("/docs").await.expect(200).text().contains("swagger"));
    head("/nowhere").await.expect(404);
    head("/v1/studies?colour=red").await.expect(400);
    head("/v1/studies/01ARZ3NDEKTSV4RRFFQ69G5FAV/cancel").await.expect(405);
    let put = app.client.send(Method::PUT, "/v1/studies", |request| request).await.expect(405);
    assert_eq!(put.header("allow"), Some("GET, HEAD, POST"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn datasets_and_trainers_are_listed_in_pages_too() {
    let app = TestApp::start().await;
    std::fs::create_dir_all(app.data_dir.path().join("datasets")).unwrap();
    for name in ["b.csv", "a.csv"] {
        std::fs::write(app.data_dir.path().join("datasets").join(name), "x,y\n1,0\n2,1\n").unwrap();
    }
    for id in ["b", "a", "c"] {
        let refused =
            vec![RefusedDataset { dataset_id: "0".into(), why: "there is no file \"x.csv\"".into() }];
        let trainer = Trainer { refused, faults: vec!["no space left".into()], ..trainer(id) };
        app.store.heartbeat_trainer(&trainer).await.unwrap();
    }
    let walk = async |path: &str, list: &str, name: &str| {
        let (mut names, mut next) = (Vec::new(), format!("{path}?limit=2"));
        loop {
            let answer = app.client.get(&next).await.expect(200);
            let page = answer.json();
            let entries = page[list].as_array().unwrap();
            names.extend(entries.iter().map(|entry| entry[name].as_str().unwrap().to_owned()));
            let Some(link) = answer.header("link") else {
                assert!(page["next"].is_null(), "{page}");
                return names;
            };
            assert_eq!(entries.len(), 2);
            next = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
        }
    };
    let datasets =
        ["digits", "iris", "wine", "breast_cancer", "diabetes"].map(|name| format!("builtin:{name}"));
    let datasets = [&datasets[..], &["a.csv".to_owned(), "b.csv".to_owned()]].concat();
    assert_eq!(walk("/v1/datasets", "datasets", "source").await, datasets);
    assert_eq!(walk("/v1/trainers", "trainers", "id").await, ["a", "b", "c"]);
    let first = &app.client.get("/v1/trainers").await.expect(200).json()["trainers"][0];
    let shown = (&first["memory_bytes"], &first["refused"], &first["faults"]);
    assert_eq!(
        shown,
        (&json!(1 << 30), &json!(["there is no file \"x.csv\""]), &json!(["no space left"])),
        "{first}"
    );
    app.stop().await;
}

/// A trainer on a CPU, as it says of itself.
fn trainer(id: &str) -> Trainer {
    Trainer {
        id: id.into(),
        numerics: "cpu-1".into(),
        device: "cpu".into(),
        class: DeviceClass::Cpu,
        slots: 1,
        memory_bytes: 1 << 30,
        running: vec![],
        refused: vec![],
        faults: vec![],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_that_no_trainer_can_run_says_what_it_waits_for() {
    let app = TestApp::start().await;
    let client = &app.client;
    let created =
        client.post("/v1/studies", &study(|study| study["device"] = json!("cuda"))).await.expect(201);
    let path = created.header("location").unwrap().to_owned();
    assert_eq!(created.json()["waiting_for"]["kind"], "trainer");
    app.store.heartbeat_trainer(&trainer("a")).await.unwrap();
    let expected =
        json!({"kind": "device", "detail": "no connected trainer serves cuda; connected are 1 of cpu"});
    assert_eq!(client.get(&path).await.expect(200).json()["waiting_for"], expected);
    assert_eq!(client.get("/v1/studies").await.expect(200).json()["studies"][0]["waiting_for"], expected);
    let metrics = client.get("/metrics").await.expect(200).text();
    for (kind, count) in
        [("trainer", 0), ("device", 1), ("memory", 0), ("dataset", 0), ("artifacts", 0), ("slots", 0)]
    {
        let line = format!("chandler_studies_waiting{{for=\"{kind}\"}} {count}");
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
    let gpu = Trainer { class: DeviceClass::Cuda, memory_bytes: 10, ..trainer("b") };
    app.store.heartbeat_trainer(&gpu).await.unwrap();
    assert_eq!(client.get(&path).await.expect(200).json()["waiting_for"]["kind"], "memory");
    app.store.heartbeat_trainer(&Trainer { memory_bytes: 1 << 30, ..gpu }).await.unwrap();
    assert!(client.get(&path).await.expect(200).json()["waiting_for"].is_null());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_place_is_away_is_unavailable_and_one_that_is_not_there_is_not_found() {
    let app = TestApp::start().await;
    let path = app
        .client
        .post("/v1/studies", &study(|_| ()))
        .await
        .expect(201)
        .header("location")
        .unwrap()
        .to_owned();
    let lease = app.store.claim(&Claim::new(&trainer("a"), vec![], 1)).await.unwrap().remove(0);
    app.store.finish(&lease, &End::Completed { value: 0.5, best_epoch: 1 }).await.unwrap();
    let model = format!("{path}/trials/{}/model", lease.number);
    assert_eq!(app.client.get(&model).await.expect(404).json()["code"], "model_not_found");
    let place = app.data_dir.path().join("artifacts");
    std::fs::remove_dir(&place).unwrap();
    for is_file in [false, true] {
        if is_file {
            std::fs::write(&place, "").unwrap();
        }
        for path in [model.clone(), format!("{path}/best/model")] {
            let answer = app.client.get(&path).await.expect(503);
            assert_eq!(answer.header("retry-after"), Some("2"));
            let problem = answer.json();
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                problem["code"] == "unavailable" && detail.starts_with("the weights cannot be read now: "),
                "{problem}"
            );
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_of_a_hung_redis_says_so_in_time() {
    let app = TestApp::start().await;
    app.redis.pause();
    let begun = std::time::Instant::now();
    let text = app.client.get("/metrics").await.expect(200).text();
    app.client.get("/readyz").await.expect(503);
    assert!(text.contains("\nchandler_redis_up 0\n"), "{text}");
    assert!(
        begun.elapsed() < Duration::from_millis(3 * store::limits::REDIS_PROBE_MS),
        "{:?}",
        begun.elapsed()
    );
    app.redis.resume();
    app.client.get("/readyz").await.expect(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_built_in_dataset_that_is_not_there_is_reported_beside_other_mistakes() {
    let app = TestApp::start().await;
    let wrong = study(|study| study["dataset"] = json!({"source": "builtin:nope", "label": "y"}));
    let problem = app.client.post("/v1/studies", &wrong).await.expect(422).json();
    let mut pointers: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().filter_map(|error| error["pointer"].as_str()).collect();
    pointers.sort_unstable();
    assert!(pointers.starts_with(&["/dataset/label", "/dataset/source"]), "{problem}");
    app.stop().await;
}

fn space(hyperparameter: Json) -> Json {
    study(|study| {
        study["space"] = json!([hyperparameter]);
        study["network"] =
            json!([{"layer": "Flatten"}, {"layer": "Dense", "units": 10, "activation": "softmax"}]);
        study["training"]["optimizer"] = json!("adam");
    })
}

fn network(layers: Json) -> Json {
    study(|study| {
        study["space"] = json!([]);
        study["network"] = layers;
        study["training"]["optimizer"] = json!("adam");
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_are_named_in_order_and_weighed_by_name() {
    let app = TestApp::start().await;
    let folder = app.data_dir.path().join("datasets");
    std::fs::create_dir_all(&folder).unwrap();
    let rows = (0..40).map(|row| format!("{row},{}\n", if row % 4 == 0 { "fraud" } else { "legit" }));
    std::fs::write(folder.join("fraud.csv"), format!("a,y\n{}", rows.collect::<String>())).unwrap();
    let weighed = |class_weight: Json| {
        json!({
            "name": "fraud", "dataset": {"source": "fraud.csv", "label": "y", "validation_split": 0.25},
            "network": [{"layer": "Dense", "units": 1, "activation": "sigmoid"}], "objective": {"metric": "val_recall"}, "max_trials": 1,
            "training": {"optimizer": "adam", "loss": "binary_crossentropy", "metrics": ["recall"], "class_weight": class_weight}
        })
    };
    let study = weighed(json!({"fraud": 5}));
    let dry = app.client.post("/v1/studies?dry_run=true", &study).await.expect(200).json();
    let view = app.client.post("/v1/studies", &study).await.expect(201).json();
    let list = app.client.get("/v1/datasets").await.expect(200).json();
    let listed =
        list["datasets"].as_array().unwrap().iter().find(|dataset| dataset["source"] == "fraud.csv").unwrap();
    for schema in [&dry["dataset"], &view["dataset"], &listed["schema"]] {
        assert_eq!(
            (&schema["class_names"], &schema["positive_class"]),
            (&json!(["fraud", "legit"]), &json!("legit")),
            "{schema}"
        );
    }
    let problem = app.client.post("/v1/studies", &weighed(json!({"frod": 5}))).await.expect(422).json();
    let expect = json!({"pointer": "/training/class_weight/frod", "detail": "there is no class \"frod\"; the classes are 0 (\"fraud\"), 1 (\"legit\")"});
    assert_eq!(problem["errors"], json!([expect]));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn features_that_32_bits_make_equal_are_scaled_or_refused() {
    let app = TestApp::start().await;
    let folder = app.data_dir.path().join("datasets");
    std::fs::create_dir_all(&folder).unwrap();
    let rows = (0..40u64).map(|row| format!("{},{}\n", 1_700_000_000_000 + row * 7, row % 2));
    std::fs::write(folder.join("times.csv"), format!("time_ms,y\n{}", rows.collect::<String>())).unwrap();
    let scaled = |scale: &str| {
        study(|study| {
            study["dataset"] =
                json!({"source": "times.csv", "label": "y", "validation_split": 0.2, "scale": scale});
        })
    };
    let dry = app.client.post("/v1/studies?dry_run=true", &scaled("standardize")).await.expect(200).json();
    assert_eq!(dry["dataset"]["dtype"], "float64");
    let problem = app.client.post("/v1/studies", &scaled("none")).await.expect(422).json();
    let detail = "column \"time_ms\" has numbers that become equal in 32 bits, such as 1700000000000 and 1700000000007; use standardize or min_max, which scale in 64 bits";
    assert_eq!(problem["errors"], json!([{"pointer": "/dataset/scale", "detail": detail}]));
    app.stop().await;
}

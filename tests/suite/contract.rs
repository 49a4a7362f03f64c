//! The committed contract is the served one, and so are its examples.

use tests::{TestApp, example, examples};

#[tokio::test(flavor = "multi_thread")]
async fn the_running_server_serves_the_committed_contract() {
    let app = TestApp::start().await;
    let served = app.client.get("/openapi.json").await.expect(200).json();
    let committed: serde_json::Value = serde_json::from_str(&openapi_text()).expect("openapi.json is JSON");
    assert!(served == committed, "run `make openapi`");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_that_needs_no_file_is_a_valid_study() {
    let app = TestApp::start().await;
    let mut checked = 0;
    for name in examples() {
        let study = example(&name);
        if study["dataset"]["source"].as_str().is_some_and(|source| source.starts_with("builtin:")) {
            let answer = app.client.post("/v1/studies?dry_run=true", &study).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
            checked += 1;
        }
    }
    assert!(checked >= 10, "only {checked} examples were sent");
    app.stop().await;
}

fn openapi_text() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/openapi.json"))
        .expect("openapi.json is there")
}

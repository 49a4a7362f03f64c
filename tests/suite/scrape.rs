//! What Prometheus scrapes from the real programs.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;
use tests::{Client, Service, TestRedis, example, start_trainer};

use crate::deploy::{dashboard_metrics_missing_in, family, listed_metrics};

/// Panics with what `promtool check metrics` finds.
fn assert_promtool_finds_nothing(scrape: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let promtool =
        promtool.as_mut().unwrap_or_else(|error| panic!("promtool: {error}; apt install prometheus"));
    promtool.stdin.take().unwrap().write_all(scrape.as_bytes()).unwrap();
    let status = promtool.wait().unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut promtool.stderr.take().unwrap(), &mut said).unwrap();
    std::io::Read::read_to_string(&mut promtool.stdout.take().unwrap(), &mut said).unwrap();
    assert!(status.success() && said.is_empty(), "{said}\n{scrape}");
}

/// The names of a sample's labels, without the bound of a histogram's bucket.
fn labels_of(sample: &str) -> BTreeSet<String> {
    let mut parts: Vec<&str> = sample.split("=\"").collect();
    parts.pop();
    let names = parts.iter().filter_map(|part| part.rsplit(['{', ',']).next());
    names.filter(|name| *name != "le").map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_of_api_and_trainer_has_every_metric_and_promtool_finds_nothing() {
    let data_dir = TempDir::new().unwrap();
    let redis = TestRedis::start();
    let service = Service::start(data_dir.path(), &["--redis-url", &redis.url()]);
    let trainer = start_trainer(&redis.url(), data_dir.path(), &["--metrics-listen", "127.0.0.1:0"]);
    let page = Client::new(trainer.wait_for("Serving metrics on "));
    let mut study = example("digits-random");
    study["max_trials"] = json!(3);
    let path = service.create(&study).await;
    service.ended(&path).await;
    let api = service.client.get("/metrics").await.expect(200).text();
    let trainer = page.get("/metrics").await.expect(200).text();
    assert_promtool_finds_nothing(&api);
    assert_promtool_finds_nothing(&trainer);
    assert_eq!(dashboard_metrics_missing_in(&[&api, &trainer]), BTreeSet::new());
    // And nothing is scraped that is not listed.
    let listed = listed_metrics();
    for line in api.lines().chain(trainer.lines()) {
        let is_listed = match line.strip_prefix("# TYPE ") {
            Some(metric) => listed.iter().any(|listed| metric == format!("{} {}", listed.name, listed.kind)),
            None if line.starts_with('#') => continue,
            None => {
                let name = family(line.split(['{', ' ']).next().unwrap());
                let labels = labels_of(line);
                listed.iter().any(|listed| listed.name == name && listed.labels == labels)
            }
        };
        assert!(is_listed, "{line} is not in METRICS.txt");
    }
    let id = path.rsplit('/').next().unwrap();
    assert!(!api.contains(id) && !trainer.contains(id), "no label may carry a study");
    assert!(trainer.contains("chandler_trainer_trials_total{end=\"completed\"} 3"), "{trainer}");
}

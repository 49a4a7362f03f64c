//! The harness: real servers for tests, and a client that holds every answer against the contract.
//!
//! [`TestRedis`] is a private Redis, [`ChaosProxy`] stands before one and misbehaves,
//! [`Certificates`] are for one that speaks TLS; [`TestApp`] is the API in this process on a port
//! of its own, [`Program`] one of the real binaries, [`Service`] the whole of them.

mod app;
mod certificates;
mod chaos;
mod client;
mod program;
mod service;

pub use app::{API_KEY, TestApp};
pub use certificates::Certificates;
pub use chaos::{ChaosProxy, Mood};
pub use client::{Answer, Client, contract};
pub use program::{Program, binary};
pub use service::{Service, start_trainer};
pub use store::test_server::TestRedis;

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

/// The most that a test waits for anything: far more than it takes, so that only what never comes
/// is given up.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A port of loopback that was free just now, for a server that cannot choose one itself.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a local address").port()
}

/// What `probe` finds, asked again and again until it finds something. Panics, naming `what`, when
/// patience ends.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut probe: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The names of the studies in `openapi/examples`.
pub fn examples() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/examples");
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let studies = paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "json"));
    studies.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

/// Puts the tables of the examples into the datasets folder of a data folder.
pub fn example_datasets(data_dir: &Path) {
    let from = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/examples/datasets");
    let to = data_dir.join("datasets");
    std::fs::create_dir_all(&to).expect("a made folder");
    for file in std::fs::read_dir(from).expect("the examples' tables are there") {
        let file = file.expect("a readable folder");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("a copied file");
    }
}

/// The study in `openapi/examples/NAME.json`.
pub fn example(name: &str) -> serde_json::Value {
    let path = format!("{}/../openapi/examples/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

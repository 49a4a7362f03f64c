//! `chandler serve` as its users start it, and the trainers beside it.

use std::path::Path;

use serde_json::Value as Json;

use crate::{Client, Program, eventually};

/// What comes before the data folder.
const ARGS: [&str; 4] = ["serve", "--listen", "127.0.0.1:0", "--data-dir"];

/// A running service.
pub struct Service {
    /// The process.
    pub program: Program,
    /// A client of it.
    pub client: Client,
}

impl Service {
    /// Starts `chandler serve` on a free port of loopback with this data folder and these flags;
    /// without `--redis-url` it brings a Redis and a trainer of its own.
    pub fn start(data_dir: &Path, flags: &[&str]) -> Service {
        let folder = data_dir.display().to_string();
        Service::of(Program::start("chandler", [&ARGS[..], &[folder.as_str()], flags].concat()))
    }

    /// The same with a data folder on a disk of so many bytes, as [`Program::start_on_disk`].
    pub fn start_on_disk(data_dir: &Path, bytes: u64, flags: &[&str]) -> Service {
        let folder = data_dir.display().to_string();
        Service::of(Program::start_on_disk(
            "chandler",
            [&ARGS[..], &[folder.as_str()], flags].concat(),
            data_dir,
            bytes,
        ))
    }

    fn of(program: Program) -> Service {
        let base = program.wait_for("Listening on ");
        Service { program, client: Client::new(base) }
    }

    /// The path of the study that this document makes.
    pub async fn create(&self, study: &Json) -> String {
        self.client
            .post("/v1/studies", study)
            .await
            .expect(201)
            .header("location")
            .expect("a path")
            .to_owned()
    }

    /// The study at `path`, once it has ended.
    pub async fn ended(&self, path: &str) -> Json {
        eventually("the end of the study", || async {
            let view = self.client.get(path).await.expect(200).json();
            ["completed", "failed", "cancelled"].contains(&view["state"].as_str()?).then_some(view)
        })
        .await
    }

    /// All trials of the study at `path`, by number.
    pub async fn trials(&self, path: &str) -> Vec<Json> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let mut page = self
                .client
                .get(&format!("{path}/trials?sort=number&limit=100{cursor}"))
                .await
                .expect(200)
                .json();
            all.append(page["trials"].as_array_mut().expect("a list"));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }
}

/// Starts a trainer with one slot and these flags.
pub fn start_trainer(redis_url: &str, data_dir: &Path, flags: &[&str]) -> Program {
    let folder = data_dir.display().to_string();
    let args = ["--redis-url", redis_url, "--data-dir", &folder, "--slots", "1"];
    Program::start("chandler-trainer", args.iter().chain(flags))
}

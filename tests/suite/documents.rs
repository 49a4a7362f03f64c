//! The commands in README.md, CONTRIBUTING.md and docs/: each is run by a test, or names only what
//! there is.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};

use serde_json::Value as Json;
use tempfile::TempDir;
use tests::{TestRedis, binary, eventually, free_port};

const DOCUMENTS: [&str; 6] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/study.md",
    "docs/operating.md",
    "docs/benchmarks.md",
    "docs/decisions.md",
];

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The blocks of a document that hold text to type or to read.
fn blocks(document: &str) -> Vec<String> {
    let text = read(document);
    let blocks = text.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.split_once('\n').map(|(_, lines)| lines.to_owned())).collect()
}

/// The commands in a block: lines that begin with a program, continued lines joined, comments cut.
fn commands(block: &str) -> Vec<String> {
    let programs = ["chandler", "chandler-trainer", "make", "cargo", "docker", "curl", "head", "npm", "sh"];
    let joined = block.replace("\\\n", "");
    let lines = joined.lines().map(|line| line.strip_prefix("$ ").unwrap_or(line));
    let commands = lines.filter(|line| line.split(' ').next().is_some_and(|first| programs.contains(&first)));
    commands.map(|line| line.split(" #").next().unwrap_or(line).trim().to_owned()).collect()
}

/// The word behind each `flag` of a command.
fn behind<'a>(command: &'a str, flag: &str) -> Vec<&'a str> {
    let words: Vec<&str> = command.split_whitespace().collect();
    words.windows(2).filter(|pair| pair[0] == flag).map(|pair| pair[1]).collect()
}

#[test]
fn the_commands_that_build_and_deploy_name_only_what_there_is() {
    let makefile = read("Makefile");
    let mut seen = 0;
    for (document, command) in DOCUMENTS.iter().flat_map(|document| {
        blocks(document)
            .into_iter()
            .flat_map(|block| commands(&block))
            .map(move |command| (document, command))
    }) {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[0] {
            "make" => {
                for target in words[1..].iter().filter(|word| !word.contains('=')) {
                    assert!(makefile.contains(&format!("\n{target}:")), "{document}: {command}");
                }
                for (variable, _) in words[1..].iter().filter_map(|word| word.split_once('=')) {
                    assert!(makefile.contains(&format!("({variable}=")), "{document}: {command}");
                }
            }
            "cargo" => {
                for package in behind(&command, "-p") {
                    assert!(!read(&format!("{package}/Cargo.toml")).is_empty(), "{document}: {command}");
                }
                for feature in behind(&command, "--features") {
                    let package = behind(&command, "-p")[0];
                    let (package, feature) = feature.split_once('/').unwrap_or((package, feature));
                    let manifest = read(&format!("{package}/Cargo.toml"));
                    assert!(manifest.contains(&format!("\n{feature} = [")), "{document}: {command}");
                }
            }
            "docker" => {
                let compose = read(behind(&command, "-f")[0]);
                for service in behind(&command, "exec") {
                    assert!(compose.contains(&format!("\n  {service}:\n")), "{document}: {command}");
                }
            }
            _ => continue,
        }
        seen += 1;
    }
    assert!(seen >= 12, "only {seen} commands were found");
}

/// A command of a document in a shell; it is killed with the value.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn shell(command: &str, folder: &Path) -> Command {
    let programs = binary("chandler");
    let path = format!(
        "{}:{}",
        programs.parent().expect("a folder").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut shell = Command::new("sh");
    shell.args(["-euc", command]).current_dir(folder).env("PATH", path).env_remove("REDIS_URL");
    shell
}

/// Every block that starts a service on a Redis of the user's own is run as it stands, with the
/// addresses and the folder of the test in the place of those that stand for the user's; then the
/// block that uses an API key.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_for_more_machines_and_for_keys_work_as_they_are_written() {
    let keys = blocks("docs/operating.md").into_iter().find(|block| block.contains("> keys.txt"));
    let keys = commands(&keys.expect("operating.md makes a key"));
    let mut ran = 0;
    for block in ["README.md", "docs/operating.md"].iter().flat_map(|document| blocks(document)) {
        if !block.contains("chandler serve --redis-url") {
            continue;
        }
        let (redis, folder, port) = (TestRedis::start(), TempDir::new().unwrap(), free_port());
        let ours = |command: &str| {
            let ours = command.replace("redis://HOST:6379", &redis.url());
            let ours = ours.replace("0.0.0.0:8080", &format!("127.0.0.1:{port}"));
            let ours = ours.replace("HOST:8080", &format!("127.0.0.1:{port}"));
            ours.replace("/shared/artifacts", &folder.path().join("shared").display().to_string())
        };
        let made = shell(&ours(&keys[0]), folder.path()).status().unwrap();
        assert!(made.success(), "{}", keys[0]);
        let mut running = Vec::new();
        for command in commands(&block) {
            let command = ours(&command);
            assert!(!command.contains("HOST"), "{command}");
            running.push(Shell(shell(&format!("exec {command}"), folder.path()).spawn().unwrap()));
        }
        assert_eq!(running.len(), 2, "{block}");
        eventually("the API", || async { TcpStream::connect(("127.0.0.1", port)).ok() }).await;
        let list = ours(&keys[1]).replace("curl ", "curl -fsS ").replace("/v1/studies", "/v1/trainers");
        eventually("the trainer in a list that the key opens", || async {
            let answer = shell(&list, folder.path()).output().unwrap();
            assert!(answer.status.success(), "{list}: {}", String::from_utf8_lossy(&answer.stderr));
            let answer: Json = serde_json::from_slice(&answer.stdout).unwrap();
            (answer["trainers"].as_array()?.len() == 1).then_some(())
        })
        .await;
        ran += 1;
    }
    assert_eq!(ran, 2);
}

//! The README's session with curl, run as it is written.

use std::process::Command;

use serde_json::Value as Json;
use tempfile::TempDir;
use tests::Service;

const MARK: &str = "---8<---";

/// The commands of the README's session.
fn session() -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let (_, section) = readme.split_once("## A session").expect("the README has a session");
    let (_, block) = section.split_once("```sh\n").expect("the session has commands");
    let (block, _) = block.split_once("```").expect("the block ends");
    block.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_of_the_readme_works_as_it_is_written() {
    let data_dir = TempDir::new().unwrap();
    let service = Service::start(data_dir.path(), &["--slots", "2"]);
    let commands = session();
    let script: String = commands.iter().map(|command| format!("{command}\necho '\n{MARK}'\n")).collect();
    assert!(script.contains("http://127.0.0.1:8080"), "{script}");
    let script = script.replace("http://127.0.0.1:8080", service.client.base());
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let script = ["best.safetensors", "best.onnx"]
        .iter()
        .fold(script, |script, file| script.replace(file, &data_dir.path().join(file).display().to_string()));
    let done = Command::new("sh").args(["-euc", &script]).current_dir(root).output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{script}\n{said}\n{complained}");
    let answers: Vec<&str> = said.split(MARK).map(str::trim).collect();
    let answer_to = |part: &str| {
        let command = commands
            .iter()
            .position(|command| command.contains(part))
            .unwrap_or_else(|| panic!("no command has {part}"));
        answers[command]
    };
    let json = |part: &str| {
        serde_json::from_str::<Json>(answer_to(part))
            .unwrap_or_else(|error| panic!("{part}: {error}: {}", answer_to(part)))
    };
    assert_eq!(json("curl -fsS $STUDY ")["name"], "everything");
    let best = json("sort=value");
    let values: Vec<f64> =
        best["trials"].as_array().unwrap().iter().filter_map(|trial| trial["value"].as_f64()).collect();
    assert!(!values.is_empty() && values.is_sorted_by(|a, b| a >= b), "{best:#}");
    assert!(json("/curve")["steps"][0]["metrics"]["val_accuracy"].is_number());
    assert_eq!(json("/cancel")["state"], "cancelled");
    assert!(answer_to("/metrics").contains("chandler_trials{device=\"any\",state=\"completed\"}"));
}

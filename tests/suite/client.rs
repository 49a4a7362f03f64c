//! The commands as a newcomer runs them: `chandler serve`, `submit`, `status`, `best`, `run` and
//! `export`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tests::{API_KEY, Client, Service, TestApp, binary, example, free_port};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What a command printed, and how it ended.
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

/// `chandler` with these arguments, in the root of the repository and without an environment of
/// its own.
fn chandler(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("chandler"));
    command.args(arguments).current_dir(ROOT).env_remove("REDIS_URL");
    for variable in ["CHANDLER_SERVER", "CHANDLER_API_KEY", "CHANDLER_API_KEY_FILE", "CHANDLER_DATASETS"] {
        command.env_remove(variable);
    }
    command
}

fn done(mut command: Command) -> Done {
    let output = command.stdin(Stdio::null()).output().expect("a started program");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs `chandler` against the service that `client` reaches.
async fn at(client: &Client, arguments: &[&str]) -> Done {
    let mut command = chandler(arguments);
    command.env("CHANDLER_SERVER", client.base());
    // The service may be served by this thread.
    tokio::task::spawn_blocking(|| done(command)).await.unwrap()
}

fn short_study() -> Json {
    let mut study = example("digits-random");
    (study["max_trials"], study["training"]["epochs"]) = (json!(3), json!(2));
    study
}

fn written(folder: &Path, study: &Json) -> String {
    let file = folder.join("study.json");
    std::fs::write(&file, study.to_string()).unwrap();
    file.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_is_submitted_followed_and_its_best_model_saved_by_three_commands() {
    let folder = TempDir::new().unwrap();
    let service = Service::start(folder.path(), &["--slots", "2"]);
    let (client, file) = (&service.client, written(folder.path(), &short_study()));

    let none = at(client, &["status"]).await;
    assert!(none.code == Some(0) && none.out.contains("no studies yet"), "{}{}", none.out, none.err);
    let submitted = at(client, &["submit", "--wait", &file]).await;
    assert_eq!(submitted.code, Some(0), "{}", submitted.err);
    let id = submitted.out.strip_suffix('\n').expect("a line");
    assert_eq!(id.len(), 26, "only the id is on stdout: {}", submitted.out);
    for said in [
        format!("  chandler status {id}\n"),
        format!("  chandler best {id} --output best.onnx\n"),
        "\n3/3 trials  best 0.".to_owned(),
        "  state    completed (max_trials)\n".to_owned(),
    ] {
        assert!(submitted.err.contains(&said), "{said:?}: {}", submitted.err);
    }

    let path = format!("/v1/studies/{id}");
    let view = client.get(&path).await.expect(200);
    let listed = at(client, &["status"]).await.out;
    assert!(listed.lines().any(|line| line.contains(id) && line.contains("3/3")), "{listed}");
    let status = at(client, &["status", id]).await.out;
    assert!(
        status.contains("3 of 3 have ended: 3 completed") && status.contains("val_accuracy 0."),
        "{status}"
    );
    let as_it_is = at(client, &["status", id, "--json"]).await.out;
    assert_eq!(as_it_is.trim_end().as_bytes(), view.bytes);

    let best = at(client, &["best", id]).await;
    let number = &view.json()["best"]["number"];
    assert!(
        best.out.starts_with(&format!("Trial {number} of digits-random: val_accuracy 0.")),
        "{}",
        best.out
    );
    assert!(best.out.contains("\n  units  ") && best.out.contains("\n  learning_rate  "), "{}", best.out);
    for format in ["safetensors", "onnx", "keras"] {
        let model = folder.path().join(format!("best.{format}"));
        let saved = at(client, &["best", id, "--output", &model.display().to_string()]).await;
        assert!(saved.code == Some(0) && saved.err.starts_with("Wrote "), "{}", saved.err);
        let served = client.get(&format!("{path}/best/model?format={format}")).await.expect(200);
        assert!(std::fs::read(&model).unwrap() == served.bytes, "{format}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_explained_and_the_exit_code_tells_it_from_wrong_usage() {
    let app = TestApp::start().await;
    let (folder, client) = (TempDir::new().unwrap(), &app.client);
    let mut wrong = short_study();
    wrong["training"]["epoch"] = json!(15);
    wrong["space"][0]["min_value"] = json!(999);
    let file = written(folder.path(), &wrong);
    let refused = at(client, &["submit", &file]).await;
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""));
    for line in [
        "chandler: The study is not valid\n",
        "\n  /training/epoch: unknown field \"epoch\"; did you mean epochs?\n",
        "\n  /space/0/min_value: ",
    ] {
        assert!(refused.err.contains(line), "{line:?}: {}", refused.err);
    }
    let refused = at(client, &["submit", &file, "--json"]).await;
    assert_eq!(serde_json::from_str::<Json>(&refused.out).unwrap()["code"], "invalid_study");

    let path = client.post("/v1/studies", &short_study()).await.expect(201).json();
    let id = path["id"].as_str().unwrap();
    let folder_that_is_not = folder.path().join("none/best.onnx").display().to_string();
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    for (arguments, code, said) in [
        (&["best", id][..], 1, "no trial of study"),
        (&["best", id, "--output", &folder_that_is_not], 1, "there is no folder"),
        (&["status", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], 1, "There is no such study: there is no study 01ARZ3"),
        (&["status", "--server", &nowhere], 1, "start it with `chandler serve`"),
        (&["submit", "nothing.json"], 1, "cannot read nothing.json"),
        (&["submit", "-"], 1, "The body is not JSON"),
        (&["status", "no-id"], 2, "26 characters"),
        (&["best", id, "--output", "best.h5"], 2, ".safetensors, .onnx or .keras"),
        (&["status", "--server", "localhost"], 2, "http:// or https://"),
    ] {
        let done = at(client, arguments).await;
        assert!(
            done.code == Some(code) && done.err.contains(said) && done.out.is_empty(),
            "{arguments:?}: {:?} {}{}",
            done.code,
            done.out,
            done.err
        );
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_comes_from_a_file_or_the_environment() {
    let app = TestApp::with_keys().await;
    let (folder, client) = (TempDir::new().unwrap(), &app.client);
    let without = at(client, &["status"]).await;
    assert!(without.code == Some(1) && without.err.contains("--api-key-file"), "{}", without.err);
    let file = folder.path().join("keys.txt");
    std::fs::write(&file, format!("# keys\n\n{API_KEY}\nanother-key-of-the-file\n")).unwrap();
    let with = at(client, &["status", "--api-key-file", &file.display().to_string()]).await;
    assert_eq!(with.code, Some(0), "{}", with.err);
    for (key, code, said) in [
        (API_KEY, 0, ""),
        ("another-key-of-nobody", 1, "An API key is needed"),
        ("two words that are no key", 1, "CHANDLER_API_KEY: an API key has no spaces"),
    ] {
        let mut command = chandler(&["status"]);
        command.env("CHANDLER_SERVER", client.base()).env("CHANDLER_API_KEY", key);
        let done = tokio::task::spawn_blocking(|| done(command)).await.unwrap();
        assert!(done.code == Some(code) && done.err.contains(said), "{key}: {}", done.err);
    }
    app.stop().await;
}

/// Answers one request after the other with these responses, none for a connection that is closed
/// without one; returns the requests' heads.
fn answering(listener: TcpListener, responses: Vec<Option<String>>) -> std::thread::JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let answer = |response: Option<String>| {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let head = head.to_ascii_lowercase();
            if let Some((_, rest)) = head.split_once("content-length: ") {
                length = rest.split("\r\n").next().unwrap().parse().unwrap();
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            if let Some(response) = response {
                reader.get_mut().write_all(response.as_bytes()).unwrap();
            }
            head
        };
        responses.into_iter().map(answer).collect()
    })
}

fn response(status: &str, header: &str, body: &Json) -> Option<String> {
    let body = body.to_string();
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\n{header}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_whose_answer_is_lost_is_sent_again_under_the_same_key() {
    let app = TestApp::start().await;
    let created = app.client.post("/v1/studies", &short_study()).await.expect(201).json();
    app.stop().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let unknown = json!({"code": "outcome_unknown", "title": "It is not known", "detail": "send it again"});
    let away = json!({"code": "unavailable", "title": "Away", "detail": "Redis is away"});
    let server = answering(
        listener,
        vec![
            response("503 Service Unavailable", "Retry-After: 0", &unknown),
            response("503 Service Unavailable", "Retry-After: 0", &away),
            None,
            response("201 Created", "Location: /v1/studies/1", &created),
        ],
    );
    let submitted = done(chandler(&["submit", "openapi/examples/digits-random.json", "--server", &url]));
    assert_eq!(submitted.code, Some(0), "{}", submitted.err);
    assert_eq!(submitted.out.trim_end(), created["id"]);
    let heads = server.join().unwrap();
    let keys: Vec<&str> = heads
        .iter()
        .filter_map(|head| head.split_once("idempotency-key: ")?.1.split("\r\n").next())
        .collect();
    assert!(keys.len() == 4 && keys.iter().all(|key| *key == keys[0]), "{heads:?}");
    assert!(submitted.err.contains(&format!("chandler status {} --server {url}", submitted.out.trim_end())));
}

#[test]
fn run_saves_the_best_model_or_names_the_command_that_exports_it() {
    let folder = TempDir::new().unwrap();
    let file = written(folder.path(), &short_study());
    let data_dir = folder.path().join("data").display().to_string();
    let run = |more: &[&str]| done(chandler(&[&["run", &file, "--data-dir", &data_dir], more].concat()));
    let onnx = folder.path().join("best.onnx").display().to_string();

    let plain = run(&[]);
    assert_eq!(plain.code, Some(0), "{}{}", plain.out, plain.err);
    let command = plain.out.lines().last().unwrap().trim();
    let arguments: Vec<&str> = command.strip_prefix("chandler ").unwrap().split(' ').collect();
    assert_eq!((arguments[0], arguments[2]), ("export", "best.onnx"), "{command}");
    let exported = done(chandler(&["export", arguments[1], &onnx]));
    assert!(exported.code == Some(0) && exported.out.starts_with("Wrote "), "{}", exported.err);
    let by_export = std::fs::read(&onnx).unwrap();

    std::fs::remove_file(&onnx).unwrap();
    let saving = run(&["--output", &onnx]);
    assert!(saving.code == Some(0) && saving.out.contains(&format!("Wrote {onnx}")), "{}", saving.out);
    // The file names its study, which is another one.
    assert_eq!(std::fs::read(&onnx).unwrap().len(), by_export.len());

    let nowhere = folder.path().join("none/best.onnx").display().to_string();
    for (output, code, said) in
        [("best.h5", 2, ".safetensors, .onnx or .keras"), (&nowhere, 1, "there is no folder")]
    {
        let refused = run(&["--output", output]);
        assert!(refused.code == Some(code) && refused.err.contains(said), "{}{}", refused.out, refused.err);
        assert_eq!(refused.out, "", "nothing was searched");
    }
    let no_model = done(chandler(&["export", &file, &onnx]));
    assert!(no_model.code == Some(1) && no_model.err.contains("cannot read "), "{}", no_model.err);
}

#[test]
fn the_example_with_a_table_runs_by_one_command() {
    let data_dir = TempDir::new().unwrap();
    let mut command = chandler(&[
        "run",
        "openapi/examples/fruit-csv.json",
        "--datasets",
        "openapi/examples/datasets",
        "--require-value",
        "0.3",
    ]);
    command.env("CHANDLER_DATA_DIR", data_dir.path());
    let run = done(command);
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert!(run.out.contains("8 trials in ") && run.out.contains(" val_loss "), "{}", run.out);
    assert!(!Path::new(ROOT).join("openapi/examples/runs").exists());
    let mut mistyped = chandler(&["run", "openapi/examples/fruit-csv.json", "--datasets", "no-such-folder"]);
    mistyped.env("CHANDLER_DATA_DIR", data_dir.path());
    let refused = done(mistyped);
    assert!(
        refused.code == Some(1) && refused.err.contains("there is no folder no-such-folder"),
        "{}",
        refused.err
    );
}

#[test]
fn serve_makes_its_datasets_folder_and_its_first_lines_lead_to_a_first_study() {
    let data_dir = TempDir::new().unwrap();
    let folder = data_dir.path().display().to_string();
    let mut command = chandler(&["serve", "--listen", "127.0.0.1:0", "--data-dir", &folder, "--slots", "1"]);
    let mut service = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(service.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said: Vec<String> = lines.take(4).collect();
    let behind = |mark: &str| {
        let line = said.iter().find_map(|line| line.trim().strip_prefix(mark));
        line.unwrap_or_else(|| panic!("{mark}: {said:?}")).trim()
    };
    assert!(behind("Chandler serves ").starts_with("http://127.0.0.1:"), "{said:?}");
    assert!(behind("documentation").ends_with("/docs/"), "{said:?}");
    assert!(Path::new(behind("datasets")).is_dir(), "{said:?}");
    let first: Vec<&str> = behind("to begin").strip_prefix("chandler ").unwrap().split(' ').collect();
    let submitted = done(chandler(&first));
    assert!(submitted.code == Some(0) && submitted.out.trim_end().len() == 26, "{}", submitted.err);
    // SAFETY: kill takes no pointer; the process is a child that was not waited for.
    unsafe { libc::kill(service.id() as i32, libc::SIGTERM) };
    assert_eq!(service.wait().unwrap().code(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn the_progress_bar_keeps_its_width_on_a_wide_terminal() {
    let data_dir = TempDir::new().unwrap();
    let file = written(data_dir.path(), &short_study());
    let run = format!(
        "stty cols 240 && exec {} run {file} --data-dir {}",
        binary("chandler").display(),
        data_dir.path().display()
    );
    let mut script = Command::new("script");
    script.args(["-qec", &run, "/dev/null"]).env_remove("REDIS_URL").env("TERM", "xterm");
    let shown = done(script);
    assert_eq!(shown.code, Some(0), "{}{}", shown.out, shown.err);
    let bars = shown.out.split(|character| !"█░".contains(character)).map(|bar| bar.chars().count());
    assert_eq!(bars.max(), Some(api::limits::PROGRESS_BAR_COLUMNS), "{}", shown.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_front_page_leads_a_browser_and_a_program_to_everything() {
    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let app = TestApp::start().await;
    let front = |client: &Client, accept: &str| {
        let (client, accept) = (client.clone(), accept.to_owned());
        async move { client.send(reqwest::Method::GET, "/", |request| request.header("accept", accept)).await }
    };
    for accept in ["*/*", "application/json", "text/html;q=0.1, application/json", "nonsense"] {
        let answer = front(&app.client, accept).await.expect(200);
        assert_eq!(
            (answer.json()["studies"].as_str(), answer.header("vary").is_some()),
            (Some("/v1/studies"), true)
        );
    }
    let page = front(&app.client, BROWSER).await.expect(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(
        page.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none'"))
    );
    let text = page.text();
    for not in ["<script", "<style", "style=", "src=", "://", "API key"] {
        assert!(!text.contains(not), "{not}: {text}");
    }
    let links: Vec<&str> = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(links.len(), 7, "{text}");
    for link in links {
        app.client.get(link).await.expect(200);
    }
    app.client.get("/?page=2").await.expect(400);
    let elsewhere = |request: reqwest::RequestBuilder| request.header("host", "example.com");
    app.client.send(reqwest::Method::GET, "/", elsewhere).await.expect(403);
    app.stop().await;

    let app = TestApp::with_keys().await;
    let page = front(&app.client, BROWSER).await.expect(200).text();
    assert!(page.contains("Bearer KEY") && !page.contains(API_KEY), "{page}");
    assert_eq!(front(&app.client, "*/*").await.expect(200).json()["needs_api_key"], true);
    app.client.get("/v1/studies").await.expect(401);
    app.stop().await;
}

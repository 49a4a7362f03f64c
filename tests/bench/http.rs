//! Requests per second, and the latency that all but one in a hundred stay below.
//!
//! The real `chandler serve` with its embedded Redis, over loopback: a POST is answered when its
//! study and its twelve trials are on the disk (`appendfsync always`; the study is `digits-random`
//! of the examples), a GET shows one of a hundred studies. Each connection is kept alive and sends
//! its next request when the last is answered with 2xx. Server, Redis and this client share the
//! machine's cores. Each turn has a service and a folder of its own; printed is the median of the
//! turns.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tests::Program;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::{TURNS, figure, median, quantile};

const CONNECTIONS: usize = 16;
const POSTS: usize = 4_000;
const GETS: usize = 40_000;
const STUDIES_SHOWN: usize = 100;

/// What a load of requests showed.
struct Load {
    per_second: f64,
    p99_ms: f64,
    /// The heads of the answers.
    heads: Vec<String>,
}

/// Prints the figures of GET and POST.
pub(crate) fn measure() -> anyhow::Result<()> {
    // One thread, so that the client leaves the server what it can.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let turns = (0..TURNS).map(|_| runtime.block_on(turn())).collect::<anyhow::Result<Vec<_>>>()?;
    for (index, name) in ["http_get_study", "http_post_study"].into_iter().enumerate() {
        let median =
            |of: fn(&Load) -> f64| median(&turns.iter().map(|turn| of(&turn[index])).collect::<Vec<_>>());
        figure(name, median(|load| load.per_second), "req/s");
        figure(&format!("{name}_p99"), median(|load| load.p99_ms), "ms");
    }
    Ok(())
}

/// GET and POST on a fresh service.
async fn turn() -> anyhow::Result<[Load; 2]> {
    let program = std::env::current_exe()?.with_file_name("chandler");
    ensure!(program.is_file(), "{} is not built: run `make bench`", program.display());
    let data_dir = TempDir::new()?;
    let folder = data_dir.path().display().to_string();
    let mut service = Program::start(
        &program.display().to_string(),
        ["serve", "--listen", "127.0.0.1:0", "--data-dir", &folder],
    );
    let address = service.wait_for("Listening on http://").parse()?;

    let mut study = tests::example("digits-random");
    // The service's own trainer has no such device: it waits, and takes no core.
    study["device"] = "cuda".into();
    let post = Arc::new(vec![request("POST", "/v1/studies", &study.to_string())]);
    load(address, post.clone(), POSTS / 10).await?;
    let posts = load(address, post, POSTS).await?;

    let paths =
        posts.heads.iter().take(STUDIES_SHOWN).map(|head| header(head, "location").context("no Location"));
    let gets: Arc<Vec<_>> =
        Arc::new(paths.map(|path| Ok(request("GET", path?, ""))).collect::<anyhow::Result<_>>()?);
    load(address, gets.clone(), GETS / 10).await?;
    let gets = load(address, gets, GETS).await?;

    service.signal(libc::SIGTERM);
    ensure!(service.wait() == Some(0), "the service did not end well: {:#?}", service.log());
    Ok([gets, posts])
}

/// Sends `count` requests over all connections, those of `requests` in turn.
async fn load(address: SocketAddr, requests: Arc<Vec<Vec<u8>>>, count: usize) -> anyhow::Result<Load> {
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let begun = Instant::now();
    let mut connections = JoinSet::new();
    for (index, mut stream) in streams.into_iter().enumerate() {
        let requests = requests.clone();
        connections.spawn(async move {
            let mut answers = Vec::new();
            for turn in (index..count).step_by(CONNECTIONS) {
                let sent = Instant::now();
                let head = answer(&mut stream, &requests[turn % requests.len()]).await?;
                answers.push((sent.elapsed().as_secs_f64() * 1e3, head));
            }
            anyhow::Ok(answers)
        });
    }
    let mut answers = Vec::new();
    while let Some(ended) = connections.join_next().await {
        answers.extend(ended??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let (latencies, heads): (Vec<f64>, Vec<String>) = answers.into_iter().unzip();
    Ok(Load { per_second: count as f64 / seconds, p99_ms: quantile(&latencies, 0.99), heads })
}

/// The head of the answer to a request, once its body is there too. An error unless it is 2xx.
async fn answer(stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<String> {
    stream.write_all(request).await?;
    let mut received = Vec::with_capacity(8 << 10);
    let end = loop {
        ensure!(stream.read_buf(&mut received).await? > 0, "the server hung up");
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let length: usize = header(&head, "content-length").context("no Content-Length")?.parse()?;
    while received.len() < end + length {
        ensure!(stream.read_buf(&mut received).await? > 0, "the server hung up");
    }
    ensure!(head.starts_with("HTTP/1.1 2"), "{}", String::from_utf8_lossy(&received));
    Ok(head)
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let content = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
    };
    format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{content}\r\n{body}").into_bytes()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

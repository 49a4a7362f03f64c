//! A Redis that speaks TLS, and the programs on it.

use serde_json::json;
use tempfile::TempDir;
use tests::{Certificates, Program, Service, TestRedis, example, free_port, start_trainer};

/// A Redis that speaks TLS with these certificates, and its URL. `clients` is its setting
/// tls-auth-clients.
fn start_redis(certificates: &Certificates, clients: &str) -> (TestRedis, String) {
    let port = free_port();
    let (ca, cert, key) = (certificates.ca(), certificates.cert(), certificates.key());
    let redis = TestRedis::start_flags(&[
        "--tls-port",
        &port.to_string(),
        "--tls-ca-cert-file",
        &ca,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        clients,
        "--requirepass",
        "hush",
    ]);
    (redis, format!("rediss://:hush@localhost:{port}/2"))
}

/// The last line of what a program says that does not start; it must end by itself, and say no
/// password.
fn refused(name: &str, args: &[&str]) -> String {
    let data_dir = TempDir::new().unwrap();
    let folder = data_dir.path().display().to_string();
    let mut program = Program::start(name, args.iter().copied().chain(["--data-dir", &folder]));
    assert_eq!(program.wait(), Some(1), "{args:?}: {:#?}", program.log());
    let said = program.whole_log().join("\n");
    assert!(!said.contains("hush") && !said.contains("panicked"), "{args:?}: {said}");
    said
}

/// What `chandler serve` and `chandler-trainer` say of a Redis that they cannot use.
fn both_refuse(flags: &[&str], reason: &str) {
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    for said in [refused("chandler", &[&serve, flags].concat()), refused("chandler-trainer", flags)] {
        assert!(said.contains(reason), "{flags:?}: {reason:?} is not in {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_runs_on_a_redis_that_speaks_tls_and_asks_for_certificates() {
    let certificates = Certificates::make();
    for clients in ["no", "yes"] {
        let (_redis, url) = start_redis(&certificates, clients);
        let (ca, cert, key) = (certificates.ca(), certificates.cert(), certificates.key());
        let mut flags = vec!["--redis-ca", &ca];
        if clients == "yes" {
            flags.extend(["--redis-cert", &cert, "--redis-key", &key]);
        }
        let data_dir = TempDir::new().unwrap();
        let service = Service::start(data_dir.path(), &[&["--redis-url", &url], flags.as_slice()].concat());
        let _trainer = start_trainer(&url, data_dir.path(), &flags);
        let mut study = example("digits-random");
        (study["max_trials"], study["training"]["epochs"]) = (json!(2), json!(1));
        let path = service.create(&study).await;
        let view = service.ended(&path).await;
        assert_eq!(view["trials"]["completed"], 2, "{clients}: {view:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_whose_certificate_will_not_do_is_refused_with_what_to_do() {
    let (certificates, others) = (Certificates::make(), Certificates::make());
    let (_redis, url) = start_redis(&certificates, "yes");
    let (ca, cert, key) = (certificates.ca(), certificates.cert(), certificates.key());
    both_refuse(&["--redis-url", &url], "--redis-ca");
    both_refuse(
        &["--redis-url", &url, "--redis-ca", &others.ca()],
        "give the file of its authority with --redis-ca",
    );
    both_refuse(
        &["--redis-url", &url, "--redis-ca", &ca],
        "asks for a client certificate: give it with --redis-cert and --redis-key",
    );
    both_refuse(
        &[
            "--redis-url",
            &url,
            "--redis-ca",
            &ca,
            "--redis-cert",
            &others.cert(),
            "--redis-key",
            &others.key(),
        ],
        "does not accept the certificate of --redis-cert",
    );
    both_refuse(
        &["--redis-url", &url, "--redis-ca", &ca, "--redis-cert", &cert, "--redis-key", &others.key()],
        "do not belong together",
    );
    both_refuse(&["--redis-url", &url, "--redis-ca", &ca, "--redis-cert", &cert], "--redis-key");
    both_refuse(&["--redis-url", "redis://127.0.0.1:1", "--redis-ca", &ca], "for rediss:// URLs");
    let wrong = url.replace("hush", "hushhush");
    both_refuse(
        &["--redis-url", &wrong, "--redis-ca", &ca, "--redis-cert", &cert, "--redis-key", &key],
        "does not accept the user and password",
    );
    let said = refused("chandler", &["serve", "--listen", "127.0.0.1:0", "--redis-ca", &ca]);
    assert!(said.contains("--redis-ca is for rediss:// URLs"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_and_a_port_without_tls_are_told_apart() {
    let certificates = Certificates::make_for(&["redis.example"]);
    let (_redis, url) = start_redis(&certificates, "no");
    both_refuse(&["--redis-url", &url, "--redis-ca", &certificates.ca()], "is for other names");
    // No Redis at all, as a wrong port may well be: it answers whatever it gets.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    both_refuse(&["--redis-url", &format!("rediss://127.0.0.1:{port}")], "does not speak TLS");
    both_refuse(&["--redis-url", &format!("redis://127.0.0.1:{port}")], "is not a Redis");
}

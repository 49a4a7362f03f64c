//! Against a real server: what must hold when anybody dies.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::child::{ask, signal};
use super::folder::{find_server, runtime_folder};
use super::*;

/// One RESP command on the embedded server, by the crate the store uses.
fn command(redis: &Embedded, words: &[&str]) -> redis::RedisResult<redis::Value> {
    let mut connection = redis::Client::open(redis.url())?.get_connection()?;
    redis::cmd(words[0]).arg(&words[1..]).query(&mut connection)
}

fn get(redis: &Embedded, key: &str) -> Option<String> {
    redis::from_redis_value(command(redis, &["GET", key]).unwrap()).unwrap()
}

fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists() || unsafe { libc::kill(pid as libc::pid_t, 0) == 0 }
}

/// Waits for an event that must come, for at most ten seconds.
fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let since = Instant::now();
    while !happened() {
        assert!(since.elapsed() < Duration::from_secs(10), "{what} did not happen");
        thread::sleep(TICK);
    }
}

#[test]
fn data_survives_a_restart_and_no_child_is_left_after_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Embedded::start(dir.path()).unwrap();
    let (pid, socket) = (redis.pid(), PathBuf::from(redis.url().strip_prefix("unix://").unwrap()));
    assert_eq!(
        unsafe { libc::getpgid(pid as libc::pid_t) },
        pid as libc::pid_t,
        "a process group of its own"
    );
    command(&redis, &["SET", "key", "value"]).unwrap();
    drop(redis);
    assert!(!lives(pid) && !socket.parent().unwrap().exists() && !dir.path().join("redis/child").exists());

    let redis = Embedded::start(dir.path()).unwrap();
    assert_eq!(get(&redis, "key").as_deref(), Some("value"));
}

#[test]
fn a_killed_child_comes_back_at_the_same_place_with_nothing_lost() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Embedded::start(dir.path()).unwrap();
    for n in 0..200 {
        command(&redis, &["SET", &format!("key{n}"), "value"]).unwrap();
    }
    let killed = redis.pid();
    signal(killed, libc::SIGKILL);
    eventually("the restart", || {
        redis.pid() != killed && matches!(command(&redis, &["PING"]), Ok(redis::Value::SimpleString(_)))
    });
    assert_eq!(command(&redis, &["DBSIZE"]).unwrap(), redis::Value::Int(200));
}

#[tokio::test]
async fn five_deaths_within_a_minute_are_reported_with_the_last_lines() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Embedded::start(dir.path()).unwrap();
    // The append-only file can't be read from now on, so each restart is a death.
    for file in fs::read_dir(dir.path().join("redis/appendonlydir")).unwrap().map(|f| f.unwrap().path()) {
        fs::write(&file, "no such record\n").unwrap();
    }
    signal(redis.pid(), libc::SIGKILL);
    let error = tokio::time::timeout(Duration::from_secs(20), redis.failed()).await.unwrap().to_string();
    assert!(
        error.starts_with("Redis stopped 5 times within a minute") && error.contains("manifest"),
        "{error}"
    );
    assert_eq!(redis.pid(), 0);
    redis.stop().await;
}

#[test]
fn data_that_redis_refuses_is_an_error_with_its_own_words() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("redis/appendonlydir")).unwrap();
    fs::write(dir.path().join("redis/appendonlydir/appendonly.aof.manifest"), "no such record\n").unwrap();
    let error = Embedded::start(dir.path()).unwrap_err().to_string();
    assert!(error.contains("ended (exit status: 1)") && error.contains("manifest"), "{error}");
}

#[test]
fn a_read_only_child_refuses_each_write_and_takes_them_again_once_told() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime_folder().unwrap();
    let (folder, socket) = (dir.path().join("redis"), runtime.path().join("r.sock"));
    fs::create_dir(&folder).unwrap();
    let supervisor = Supervisor {
        server: server().unwrap(),
        folder,
        socket,
        pid: Arc::default(),
        disk_full: Arc::default(),
    };
    let (_go_on, stopped) = mpsc::channel();
    let said = |command: &str| ask(&supervisor.socket, command).unwrap();
    let aof =
        || fs::metadata(dir.path().join("redis/appendonlydir/appendonly.aof.1.incr.aof")).unwrap().len();

    let mut redis = supervisor.launch(Mode::Writable, &stopped).unwrap();
    assert_eq!(
        (said("SET key value"), said("SET short-lived value PX 1")),
        ("+OK\r\n".into(), "+OK\r\n".into())
    );
    assert!(supervisor.set_mode(&mut redis, Mode::ReadOnly));
    let before = aof();
    let begun = std::time::Instant::now();
    while said("GET short-lived") != "$-1\r\n" {
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(10),
            "what has expired is not there any more"
        );
    }
    for mode in [Mode::ReadOnly, Mode::Writable] {
        if mode == Mode::Writable {
            supervisor.end(&mut redis);
            redis = supervisor.launch(Mode::ReadOnly, &stopped).unwrap();
        }
        assert!(
            said("SET key other").starts_with("-READONLY") && said("BLPOP list 1").starts_with("-READONLY")
        );
        assert_eq!((said("GET key"), said("GET short-lived")), ("$5\r\nvalue\r\n".into(), "$-1\r\n".into()));
        assert_eq!(aof(), before, "not even what expires is written down");
    }
    assert!(supervisor.set_mode(&mut redis, Mode::Writable));
    assert_eq!(said("SET key other"), "+OK\r\n");
    supervisor.end(&mut redis);
}

#[test]
fn what_an_unfinished_rewrite_left_is_removed_at_a_start() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("redis")).unwrap();
    let left = dir.path().join("redis/temp-rewriteaof-bg-12345.aof");
    fs::write(&left, "half of a file").unwrap();
    let _redis = Embedded::start(dir.path()).unwrap();
    assert!(!left.exists());
}

#[test]
fn a_second_start_on_the_same_folder_is_refused_with_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let first = Embedded::start(dir.path()).unwrap();
    let error = Embedded::start(dir.path()).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }));
    let line = format!(
        "{}/redis is in use by another chandler (process {})",
        dir.path().display(),
        std::process::id()
    );
    assert!(error.to_string().ends_with(&line), "{error}");
    assert!(lives(first.pid()), "the first is left alone");
}

#[test]
fn a_child_left_behind_is_shut_down_and_its_data_kept() {
    // As where no PDEATHSIG exists: a server whose chandler is gone, known only by the note.
    for stuck in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let runtime = runtime_folder().unwrap();
        let folder = dir.path().join("redis");
        fs::create_dir(&folder).unwrap();
        let supervisor = Supervisor {
            server: server().unwrap(),
            folder,
            socket: runtime.path().join("r.sock"),
            pid: Arc::default(),
            disk_full: Arc::default(),
        };
        let (_go_on, stopped) = mpsc::channel();
        let mut stale = supervisor.launch(Mode::Writable, &stopped).unwrap();
        ask(&supervisor.socket, "SET key value").unwrap();
        if stuck {
            signal(stale.child.id(), libc::SIGSTOP);
        }
        let reaped = thread::spawn(move || stale.child.wait());

        let redis = Embedded::start(dir.path()).unwrap();
        assert_eq!(get(&redis, "key").as_deref(), Some("value"));
        assert_eq!(
            reaped.join().unwrap().unwrap().success(),
            !stuck,
            "in order where it listens, by force where it doesn't"
        );
    }
}

#[test]
fn a_note_about_somebody_elses_process_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("redis")).unwrap();
    for note in [
        format!("{}\n/tmp/chandler-gone/r.sock\n", std::process::id()),
        "0\n\n".into(),
        "\u{0}".into(),
        "-1\nx".into(),
    ] {
        fs::write(dir.path().join("redis/child"), note).unwrap();
        Embedded::start(dir.path()).unwrap();
    }
}

/// Not a test by itself: the process that the next test kills. Does nothing when run with the
/// others.
#[test]
fn holder_of_a_redis_for_the_next_test() {
    if let Some(dir) = std::env::var_os("CHANDLER_TEST_HOLD") {
        let redis = Embedded::start(Path::new(&dir)).unwrap();
        command(&redis, &["SET", "key", "value"]).unwrap();
        fs::write(Path::new(&dir).join("held"), redis.pid().to_string()).unwrap();
        thread::sleep(Duration::from_secs(60));
    }
}

#[test]
fn a_killed_parent_takes_its_redis_along_and_the_next_one_has_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap());
    holder
        .args(["--exact", "embedded::tests::holder_of_a_redis_for_the_next_test"])
        .env("CHANDLER_TEST_HOLD", dir.path());
    let mut holder = holder.stdout(Stdio::null()).spawn().unwrap();
    eventually("a Redis in the other process", || dir.path().join("held").exists());
    let pid: u32 = fs::read_to_string(dir.path().join("held")).unwrap().parse().unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();

    if cfg!(target_os = "linux") {
        eventually("the end of the child by itself", || !lives(pid) || zombie(pid));
    }

    let redis = Embedded::start(dir.path()).unwrap();
    assert_eq!(get(&redis, "key").as_deref(), Some("value"));
}

/// Whether it has ended and only waits to be noticed by the first process of the machine.
fn zombie(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| command.is_empty())
}

#[test]
fn the_server_is_the_named_one_or_the_first_on_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str, mode| {
        let file = dir.path().join(name);
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        file
    };
    let path = || Some(dir.path().as_os_str().to_owned());
    assert!(matches!(find_server(None, path()), Err(Error::NotInstalled)));
    assert!(matches!(find_server(None, None), Err(Error::NotInstalled)));
    let valkey = place("valkey-server", 0o755);
    assert_eq!(find_server(None, path()).unwrap(), valkey);
    place("redis-server", 0o644);
    assert_eq!(find_server(Some("".into()), path()).unwrap(), valkey, "a file that can't run is passed over");
    let redis = place("redis-server", 0o755);
    assert_eq!(find_server(None, path()).unwrap(), redis);
    assert_eq!(find_server(Some(valkey.clone().into()), path()).unwrap(), valkey);
    let error = find_server(Some("/no/such".into()), path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the embedded Redis: CHANDLER_REDIS_SERVER is /no/such, which is not an executable file"
    );
}

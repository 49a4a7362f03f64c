//! For tests: a private Redis on a unix socket.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::embedded;

/// Far longer than a server takes to come up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running server; it is killed when the value is dropped.
pub struct TestRedis {
    folder: TempDir,
    server: PathBuf,
    flags: Vec<String>,
    child: Child,
}

impl TestRedis {
    /// Starts the server that an embedded Redis would be. What it acknowledges survives a kill.
    pub fn start() -> TestRedis {
        TestRedis::start_flags(&[])
    }

    /// As [`TestRedis::start`], but nothing survives, which is faster.
    pub fn start_volatile() -> TestRedis {
        TestRedis::start_flags(&["--appendonly", "no"])
    }

    /// Starts this server program.
    pub fn start_server(server: PathBuf) -> TestRedis {
        TestRedis::start_with(server, &[])
    }

    /// Starts the server that an embedded Redis would be with more flags, which outweigh those that
    /// tests have.
    pub fn start_flags(flags: &[&str]) -> TestRedis {
        TestRedis::start_with(server(), flags)
    }

    fn start_with(server: PathBuf, flags: &[&str]) -> TestRedis {
        let folder = TempDir::new().expect("a temporary folder");
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let child = spawn(&server, &folder, &flags);
        TestRedis { folder, server, flags, child }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("r.sock")
    }

    /// A connection of the crate's own client.
    pub fn client(&self) -> redis::Connection {
        connect(self.url())
    }

    /// The answer to a command, by the crate's own client. Panics where it is refused.
    pub fn command(&self, words: &[&str]) -> redis::Value {
        ask(self.url(), words)
    }

    /// As [`TestRedis::command`], with a password.
    pub fn command_as(&self, password: &str, words: &[&str]) -> redis::Value {
        ask(format!("{}?pass={password}", self.url()), words)
    }

    /// Takes the folder away under it, so that it cannot write a file.
    pub fn lose_folder(&self) {
        let lost = self.folder.path().join("lost");
        std::fs::create_dir(&lost).expect("a folder");
        self.command(&["CONFIG", "SET", "dir", &lost.display().to_string()]);
        std::fs::remove_dir(&lost).expect("a folder that is empty");
    }

    /// Kills it without a word.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it where it stands, so that it takes connections and answers nothing.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: kill takes two numbers and touches no memory, and the child is ours.
        unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
    }

    /// Starts it again on its data.
    pub fn restart(&mut self) {
        self.child = spawn(&self.server, &self.folder, &self.flags);
    }
}

fn connect(url: String) -> redis::Connection {
    redis::Client::open(url).expect("a URL").get_connection().expect("a connection")
}

/// The server that an embedded Redis would be.
fn server() -> PathBuf {
    embedded::server().unwrap_or_else(|missing| panic!("{missing}"))
}

/// The answer of the Redis at `url`.
fn ask(url: String, words: &[&str]) -> redis::Value {
    redis::cmd(words[0])
        .arg(&words[1..])
        .query(&mut connect(url))
        .unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(server: &PathBuf, folder: &TempDir, flags: &[String]) -> Child {
    let socket = folder.path().join("r.sock");
    let _ = std::fs::remove_file(&socket);
    let mut command = Command::new(server);
    command.args([
        "--port",
        "0",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--save",
        "",
        "--maxmemory-policy",
        "noeviction",
        "--unixsocket",
    ]);
    command.arg(&socket).arg("--dir").arg(folder.path()).args(flags).stdout(Stdio::null());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", server.display()));
    let deadline = Instant::now() + PATIENCE;
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        if let Ok(Some(status)) = child.try_wait() {
            panic!(
                "{} ended at once ({status}) with {flags:?}; one without TLS does not know tls-port: apt install redis-server",
                server.display()
            );
        }
        assert!(Instant::now() < deadline, "Redis did not come up");
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

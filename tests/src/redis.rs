//! A private Redis on a unix socket, with an append-only file that survives a kill.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

/// A running server; it ends with the value.
pub struct TestRedis {
    folder: TempDir,
    server: PathBuf,
    child: Child,
}

impl TestRedis {
    /// Starts the server that an embedded Redis would be.
    pub fn start() -> TestRedis {
        TestRedis::start_server(store::embedded::server().expect("a Redis server"))
    }

    /// Starts this server program.
    pub fn start_server(server: PathBuf) -> TestRedis {
        let folder = TempDir::new().expect("a temporary folder");
        let child = spawn(&server, &folder);
        TestRedis { folder, server, child }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("unix://{}", self.folder.path().join("r.sock").display())
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
        self.child = spawn(&self.server, &self.folder);
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(server: &PathBuf, folder: &TempDir) -> Child {
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
    command.arg(&socket).arg("--dir").arg(folder.path()).stdout(Stdio::null());
    let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", server.display()));
    let deadline = Instant::now() + crate::PATIENCE;
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(Instant::now() < deadline, "Redis did not come up");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child
}

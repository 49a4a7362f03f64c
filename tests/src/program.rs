//! The real binaries, as a user starts them.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// A running program; it is killed with the value.
pub struct Program {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

/// The binary called `name`, built beside this program, or, where this is a test in
/// target/PROFILE/deps, one folder up.
pub fn binary(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this test is a file");
    let found = this.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "{name} is not built beside {}; run `make test`, or `cargo build --bins` first",
            this.display()
        )
    })
}

impl Program {
    /// Starts the binary called `name`; what it logs is kept.
    pub fn start<A: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = A>) -> Program {
        Program::start_by(Command::new(binary(name)), args)
    }

    /// Starts the binary called `name` with a disk of so many bytes at `folder`, which only it and
    /// its children see; others reach it by [`Program::on_its_disk`]. Needs util-linux, and a
    /// kernel that lets this user mount in a namespace of its own.
    pub fn start_on_disk<A: AsRef<OsStr>>(
        name: &str,
        args: impl IntoIterator<Item = A>,
        folder: &Path,
        bytes: u64,
    ) -> Program {
        let mut command = Command::new("unshare");
        let mount = format!("mount -t tmpfs -o size={bytes} chandler-test \"$0\" && exec \"$@\"");
        command.args(["--map-root-user", "--mount", "sh", "-euc", &mount]).arg(folder).arg(binary(name));
        Program::start_by(command, args)
    }

    /// The path by which this process reaches what the program sees at `path`.
    pub fn on_its_disk(&self, path: &Path) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.pid(), path.display()))
    }

    fn start_by<A: AsRef<OsStr>>(mut command: Command, args: impl IntoIterator<Item = A>) -> Program {
        let mut child = command
            .args(args)
            .env_remove("REDIS_URL")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a started program");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, sink) = (BufReader::new(child.stderr.take().expect("a piped stderr")), log.clone());
        let reader = std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Program { child, log, reader: Some(reader) }
    }

    /// What stands behind `marker` in the first log line that has it.
    pub fn wait_for(&self, marker: &str) -> String {
        let deadline = Instant::now() + crate::PATIENCE;
        loop {
            let found = self
                .log()
                .iter()
                .find_map(|line| line.split_once(marker).map(|(_, rest)| rest.trim().to_owned()));
            if let Some(found) = found {
                return found;
            }
            assert!(Instant::now() < deadline, "waited in vain for {marker:?} in {:#?}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// What it has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that it has logged, once it has ended.
    pub fn whole_log(&mut self) -> Vec<String> {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("its log is read");
        }
        self.log()
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill takes no pointer; the child is not waited for while the value lives.
        unsafe { libc::kill(self.pid(), signal) };
    }

    /// Waits for its end; returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("a waited-for program").code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

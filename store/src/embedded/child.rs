//! One Redis child: spawned so that it cannot outlive this process, awaited until it answers,
//! stopped, and its last log lines.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::limits;

use super::{Error, STOP, TICK};

const READY: Duration = Duration::from_secs(limits::REDIS_READY_SECONDS_MAX);
const ANSWER: Duration = Duration::from_millis(limits::REDIS_CHILD_ANSWER_MS);

/// The primary of a read-only child: the broadcast address, to which no connection can be made, so
/// that no server can ever answer there with other data.
const NO_PRIMARY: [&str; 2] = ["255.255.255.255", "1"];

/// Whether a child takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It does.
    Writable,
    /// It answers reads and refuses writes. It is a replica without a primary, because only then
    /// does Redis itself write nothing. (A primary logs which keys have expired.)
    ReadOnly,
}

/// Starts, watches and stops the children of one service, one after the other.
pub(super) struct Supervisor {
    pub(super) server: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) pid: Arc<AtomicU32>,
    pub(super) disk_full: Arc<AtomicBool>,
}

/// One child and its last log lines.
pub(super) struct Redis {
    pub(super) child: Child,
    pub(super) mode: Mode,
    log: Arc<Mutex<VecDeque<String>>>,
    reader: JoinHandle<()>,
}

impl Supervisor {
    /// The note beside the data by which the next start finds a child that is left over: its
    /// process id and its socket.
    pub(super) fn note(&self) -> PathBuf {
        self.folder.join("child")
    }

    /// Starts a child and waits until it answers PING. If it does not, it is stopped and the error
    /// has its log.
    pub(super) fn launch(&self, mode: Mode, stopped: &mpsc::Receiver<()>) -> Result<Redis, Error> {
        self.remove_unfinished_rewrites();
        let mut redis = self
            .spawn(mode)
            .map_err(|e| Error::Io(format!("cannot start {}: {e}", self.server.display())))?;
        let since = Instant::now();
        let misfit = loop {
            match ask(&self.socket, "PING").as_deref() {
                Ok("+PONG\r\n") => match unfit(&self.socket) {
                    None => return Ok(redis),
                    Some(why) => break why,
                },
                _ if stopped.try_recv() != Err(TryRecvError::Empty) => {
                    break "was no longer needed".into();
                }
                _ if since.elapsed() > READY => break format!("gave no answer within {} s", READY.as_secs()),
                _ => thread::sleep(TICK), // not listening yet, or still loading its data
            }
            if let Ok(Some(status)) = redis.child.try_wait() {
                break format!("ended ({status})");
            }
        };
        self.end(&mut redis);
        Err(Error::Failed(format!("{} {}", self.server.display(), redis.obituary(&misfit))))
    }

    /// Puts a running child into a mode, and returns whether it is in that mode.
    pub(super) fn set_mode(&self, redis: &mut Redis, mode: Mode) -> bool {
        let [host, port] = if mode == Mode::ReadOnly { NO_PRIMARY } else { ["NO", "ONE"] };
        if redis.mode != mode
            && ask(&self.socket, &format!("REPLICAOF {host} {port}"))
                .is_ok_and(|answer| answer.starts_with("+OK"))
        {
            redis.mode = mode;
        }
        redis.mode == mode
    }

    /// Removes what killed servers left of rewrites of the append-only file; a server removes only
    /// its own.
    fn remove_unfinished_rewrites(&self) {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let unfinished =
            files.filter(|file| file.file_name().to_string_lossy().starts_with("temp-rewriteaof-"));
        unfinished.for_each(|file| drop(fs::remove_file(file.path())));
    }

    /// Writes the note over the last one, byte for byte, which works on a full disk.
    fn write_note(&self, pid: u32) -> io::Result<()> {
        let mut note = File::options().write(true).create(true).truncate(false).open(self.note())?;
        write!(note, "{pid:>10}\n{}\n", self.socket.display())
    }

    fn spawn(&self, mode: Mode) -> io::Result<Redis> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(&self.server);
        command.args(["--port", "0", "--unixsocketperm", "700", "--unixsocket"]).arg(&self.socket);
        // With this frequency it notices within 20 ms, not 100, that it is to stop.
        command.args(["--hz", "50"]);
        // Every acknowledged write is on disk. Snapshots would only cost time: the append-only file
        // is what is loaded.
        command.args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--save",
            "",
            "--maxmemory-policy",
            "noeviction",
        ]);
        if mode == Mode::ReadOnly {
            command.arg("--replicaof").args(NO_PRIMARY);
        }
        // Its folder is its working directory, so that no character of the path can be misread as
        // configuration.
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        command.process_group(0); // or Ctrl-C would stop it before the trainers have handed back their trials
        #[cfg(target_os = "linux")]
        end_with_parent(&mut command);
        let child = command.spawn()?;
        drop(command); // with our end of the pipe, or its reader would never reach the end
        self.pid.store(child.id(), Ordering::Release);
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let reader = thread::spawn({
            let log = log.clone();
            move || keep_last_lines(reader, &log)
        });
        let mut redis = Redis { child, mode, log, reader };
        if let Err(error) = self.write_note(redis.child.id()) {
            self.end(&mut redis);
            return Err(error);
        }
        Ok(redis)
    }

    /// Stops a child: SIGTERM is Redis's own SHUTDOWN. SIGKILL follows only if that takes too long.
    pub(super) fn end(&self, redis: &mut Redis) {
        let since = Instant::now();
        // It was not waited for yet, so that the id cannot be that of another process.
        signal(redis.child.id(), libc::SIGTERM);
        while let Ok(None) = redis.child.try_wait() {
            if since.elapsed() > STOP {
                tracing::warn!("The embedded Redis did not end within {} s and was killed", STOP.as_secs());
                let _ = redis.child.kill();
                let _ = redis.child.wait();
            }
            thread::sleep(TICK);
        }
        self.pid.store(0, Ordering::Release);
    }
}

impl Redis {
    /// What happened, with the last log lines of the child.
    pub(super) fn obituary(&self, what: &str) -> String {
        let since = Instant::now();
        while !self.reader.is_finished() && since.elapsed() < ANSWER {
            thread::sleep(TICK);
        }
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().fold(what.to_string(), |text, line| text + "\n  " + line)
    }
}

/// One inline command and the first piece of its answer.
pub(super) fn ask(socket: &Path, command: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = [0; 16 << 10];
    let n = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..n]).into_owned())
}

/// Why this server cannot be used, if it cannot: the scripts declare flags, which Redis knows from
/// 7.0 on (every Valkey says 7.2).
fn unfit(socket: &Path) -> Option<String> {
    let info = ask(socket, "INFO server").ok()?;
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"))?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major < 7).then(|| format!("is Redis {version}; chandler needs 7.0 or newer, or Valkey"))
}

fn keep_last_lines(reader: impl Read, log: &Mutex<VecDeque<String>>) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    // A line longer than the bound continues as the next one.
    while matches!(reader.by_ref().take(limits::REDIS_LOG_LINE_BYTES_MAX as u64).read_until(b'\n', &mut line), Ok(n) if n > 0)
    {
        let text = String::from_utf8_lossy(&line).trim().to_string();
        line.clear();
        if text.contains(" to MASTER") || text.contains(" to PRIMARY") {
            continue; // each second a read-only child says that it cannot reach its primary
        }
        tracing::debug!(target: "redis", "{text}");
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == limits::REDIS_LOG_LINES_MAX {
            log.pop_front();
        }
        log.push_back(text);
    }
}

/// Has the system send SIGTERM when the spawning thread ends, even by SIGKILL.
#[cfg(target_os = "linux")]
fn end_with_parent(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; prctl and getppid
    // are, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            let set = libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM as libc::c_ulong);
            // The parent may have died before the call: then the signal would never be sent.
            if set == 0 && libc::getppid() as u32 == parent {
                Ok(())
            } else {
                Err(io::Error::from_raw_os_error(libc::ESRCH))
            }
        });
    }
}

pub(super) fn signal(pid: u32, signal: libc::c_int) {
    // SAFETY: kill takes two numbers and touches no memory. A pid of ours is never 0 or negative,
    // which would mean a group.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

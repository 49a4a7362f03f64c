//! What a child needs: the program, the lock on its data, a folder for its socket, and the end of a
//! child that is left over.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use crate::limits;

use super::child::{ask, signal};
use super::{Error, STOP, TICK};

/// The server to start: `named` if it is given, otherwise the first in `path`.
pub(super) fn find_server(named: Option<OsString>, path: Option<OsString>) -> Result<PathBuf, Error> {
    let runs =
        |file: &PathBuf| fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let found = match named.filter(|name| !name.is_empty()).map(PathBuf::from) {
        Some(name) if !runs(&name) => {
            return Err(Error::Io(format!(
                "CHANDLER_REDIS_SERVER is {}, which is not an executable file",
                name.display()
            )));
        }
        Some(name) => name,
        None => {
            let folders: Vec<PathBuf> = std::env::split_paths(&path.unwrap_or_default()).collect();
            let names = ["redis-server", "valkey-server"]
                .iter()
                .flat_map(|name| folders.iter().map(move |dir| dir.join(name)));
            names.into_iter().find(runs).ok_or(Error::NotInstalled)?
        }
    };
    std::path::absolute(found).map_err(|e| Error::Io(e.to_string())) // the child starts in another folder
}

/// Takes the lock on the folder; the system releases it however this process ends.
pub(super) fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let refused = |e: io::Error| Error::Io(format!("cannot lock {}: {e}", path.display()));
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(refused)?;
            Ok(file)
        }
        Err(fs::TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path)
                .ok()
                .filter(|pid| !pid.is_empty())
                .map(|pid| format!(" (process {pid})"));
            Err(Error::InUse { folder: folder.to_path_buf(), holder: holder.unwrap_or_default() })
        }
        Err(fs::TryLockError::Error(e)) => Err(refused(e)),
    }
}

/// Shuts down a child whose parent died without doing so. We hold the lock, so that no running
/// chandler owns it.
pub(super) fn end_stale_child(folder: &Path) -> Result<(), Error> {
    let note = folder.join("child");
    let Ok(text) = fs::read_to_string(&note) else { return Ok(()) };
    if let Some((pid, socket)) = text
        .split_once('\n')
        .and_then(|(pid, socket)| Some((pid.trim().parse().ok()?, Path::new(socket.trim_end()))))
    {
        let since = Instant::now();
        let mut asked = false;
        while is_redis_on(pid, socket) {
            if !asked {
                tracing::warn!(redis.pid = pid, "Shutting down a Redis that an earlier chandler left behind");
                let _ = ask(socket, "SHUTDOWN"); // it closes the connection without an answer; one that is stopped or hangs does not react
                asked = true;
            } else if since.elapsed() > STOP * 2 {
                return Err(Error::Io(format!(
                    "a Redis left behind by an earlier chandler (process {pid}) cannot be stopped"
                )));
            } else if since.elapsed() > STOP {
                signal(pid, libc::SIGKILL);
            }
            thread::sleep(TICK);
        }
        let _ = fs::remove_file(socket);
        let _ = socket.parent().map(fs::remove_dir);
    }
    fs::remove_file(&note).map_err(|e| Error::Io(format!("cannot remove {}: {e}", note.display())))
}

/// Whether `pid` is a running server on exactly this socket, whose name is random: process ids are
/// used again, our sockets are not.
fn is_redis_on(pid: u32, socket: &Path) -> bool {
    let socket = socket.display().to_string();
    let command = match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(command) => command, // empty for a zombie
        Err(_) if cfg!(target_os = "linux") => return false,
        Err(_) => Command::new("ps")
            .args(["-o", "command=", "-p", &pid.to_string()])
            .output()
            .map(|o| o.stdout)
            .unwrap_or_default(),
    };
    !socket.is_empty() && String::from_utf8_lossy(&command).contains(&socket)
}

/// A fresh folder that only this user can enter, with a path short enough for a socket in it.
pub(super) fn runtime_folder() -> Result<tempfile::TempDir, Error> {
    let plain = |path: &Path| {
        path.to_str().is_some_and(|p| p.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.".contains(&b)))
    };
    let short = |path: &Path| {
        path.as_os_str().len() + "/chandler-123456/r.sock".len() <= limits::SOCKET_PATH_BYTES_MAX
    };
    let home = Some(std::env::temp_dir())
        .filter(|dir| dir.is_absolute() && short(dir) && plain(dir))
        .unwrap_or_else(|| "/tmp".into());
    let private = fs::Permissions::from_mode(0o700);
    let folder = tempfile::Builder::new().prefix("chandler-").permissions(private).tempdir_in(&home);
    folder.map_err(|e| Error::Io(format!("cannot make a folder in {}: {e}", home.display())))
}

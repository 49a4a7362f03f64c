//! The process as a whole: its name, its parent, and the log of a panic.

use std::panic;

use store::Nonce;
use sysinfo::System;

/// Has the system send SIGTERM when the parent ends, even by SIGKILL; call it from the main thread.
/// Errors: the parent has ended already. On systems other than Linux it does nothing: the parent has
/// to stop its trainer itself.
pub fn end_with_parent() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: the calls take and return numbers and touch no memory.
        let (set, parent, session) = unsafe {
            (
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM as libc::c_ulong),
                libc::getppid(),
                libc::getsid(0),
            )
        };
        if set != 0 {
            return Err(std::io::Error::last_os_error());
        }
        // If the parent died before the call, the signal would never come. In a container, though,
        // process 1 is the parent that started us, and its session is ours.
        if parent == 1 && session != 1 {
            return Err(std::io::Error::other("the parent process has ended"));
        }
    }
    Ok(())
}

/// Has panics logged in one line, with their thread: a panic of a training thread is the error of its
/// trial, not the end of the process.
pub fn log_panics_in_one_line() {
    panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let place = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        let message = message(info.payload()).replace('\n', " ");
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), place, "Panic: {message}");
    }));
}

/// The message of a panic.
pub(crate) fn message(payload: &(dyn std::any::Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "no message".to_owned(),
    }
}

/// A name for this process among all trainers: that of the machine, the process's number, and some
/// random digits.
pub(crate) fn name() -> String {
    let host = System::host_name().unwrap_or_default();
    format!("{host}-{}-{}", std::process::id(), &Nonce::random().to_string()[..6])
}

//! What concerns the process as a whole: its parent, and what a panic prints.

use std::panic;

/// Has the system send SIGTERM when the parent ends, were it by SIGKILL; call it from the main
/// thread. An error where the parent is gone already. Elsewhere than on Linux it does nothing: the
/// parent has to stop its trainer itself.
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
        // The parent may have died before the call; then nobody would ever send the signal. In a
        // container, though, process 1 is the parent that started us, and its session is ours.
        if parent == 1 && session != 1 {
            return Err(std::io::Error::other("the parent process has ended"));
        }
    }
    Ok(())
}

/// Has a panic logged in one line, with its thread: a training thread's is the error of its trial,
/// not the end of the process.
pub fn log_panics_in_one_line() {
    panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let place = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        let message = message(info.payload()).replace('\n', " ");
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), place, "Panic: {message}");
    }));
}

/// What a panic said.
pub(crate) fn message(payload: &(dyn std::any::Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "it gave no message".to_owned(),
    }
}

/// The name of this machine, for people; empty where it has none.
pub(crate) fn host_name() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the buffer is ours and its length is right; the last byte stays 0.
    let found = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let length = name.iter().position(|byte| *byte == 0).unwrap_or(0);
    if found == 0 { String::from_utf8_lossy(&name[..length]).into_owned() } else { String::new() }
}

//! The disk of the embedded Redis. With an fsync for each write, Redis ends at the first write that
//! fails, so that none may reach it once space runs short.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::limits;

use super::child::Mode;

/// What is known of the disk.
#[derive(Debug, Default)]
pub(super) struct Disk {
    is_short: bool,
    /// A write has failed: none is tried until then, however much space seems free. A user's quota,
    /// for example, is not seen.
    failed_until: Option<Instant>,
}

impl Disk {
    /// The mode that Redis may be in with this number of free bytes.
    pub(super) fn mode(&mut self, free: u64, now: Instant) -> Mode {
        // With one bound, a disk at the edge would make Redis change its mode all the time.
        let least =
            if self.is_short { limits::REDIS_DISK_BYTES_RESUME } else { limits::REDIS_DISK_BYTES_MIN };
        self.is_short = free < least;
        let has_failed = self.failed_until.is_some_and(|until| now < until);
        if self.is_short || has_failed { Mode::ReadOnly } else { Mode::Writable }
    }

    /// Notes how Redis ended, by its last log lines and the free bytes, and returns whether the
    /// disk was the reason.
    pub(super) fn has_ended_it(&mut self, obituary: &str, free: u64, now: Instant) -> bool {
        self.mode(free, now);
        let is_reason = self.is_short || FULL.iter().any(|words| obituary.contains(words));
        if is_reason {
            self.failed_until = Some(now + Duration::from_millis(limits::REDIS_DISK_RETRY_MS));
        }
        is_reason
    }
}

/// Messages about a full disk: by the system, by its quota of a user, and by Redis if only a part
/// of a write was done.
const FULL: [&str; 3] =
    ["No space left on device", "Disk quota exceeded", "Short write while writing to the AOF file"];

/// The bytes that are free for this process on the disk of `folder`.
pub(super) fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: u64 = limits::REDIS_DISK_BYTES_MIN;
    const RESUME: u64 = limits::REDIS_DISK_BYTES_RESUME;

    #[test]
    fn writes_end_below_the_reserve_and_begin_again_well_above_it() {
        let (mut disk, now) = (Disk::default(), Instant::now());
        let free = [u64::MAX, MIN, MIN - 1, 0, MIN, RESUME - 1, RESUME, MIN, MIN - 1];
        let modes = free.map(|free| disk.mode(free, now) == Mode::Writable);
        assert_eq!(modes, [true, true, false, false, false, false, true, true, false]);
    }

    #[test]
    fn after_a_write_that_failed_none_is_tried_for_a_while_whatever_is_free() {
        let now = Instant::now();
        for words in [
            "ended (exit status: 1)\n  # Short write while writing to the AOF file: (nwritten=3044, expected=10030)",
            "ended (exit status: 1)\n  # Error writing to the AOF file: No space left on device",
            "did not start: cannot start redis-server: Disk quota exceeded (os error 122)",
        ] {
            let mut disk = Disk::default();
            assert!(disk.has_ended_it(words, u64::MAX, now), "{words}");
            let later = now + Duration::from_millis(limits::REDIS_DISK_RETRY_MS);
            assert_eq!(
                [now, later].map(|at| disk.mode(u64::MAX, at)),
                [Mode::ReadOnly, Mode::Writable],
                "{words}"
            );
        }
    }

    #[test]
    fn another_end_is_that_of_the_disk_only_while_space_is_short() {
        let (mut disk, now) = (Disk::default(), Instant::now());
        assert!(!disk.has_ended_it("ended (signal: 9 (SIGKILL))", MIN, now));
        assert_eq!(disk.mode(MIN, now), Mode::Writable);
        assert!(disk.has_ended_it("ended (signal: 9 (SIGKILL))", 0, now));
    }

    #[test]
    fn the_free_space_is_that_of_a_disk() {
        let folder = tempfile::tempdir().unwrap();
        assert!((1..1 << 60).contains(&free_bytes(folder.path()).unwrap()));
        assert!(free_bytes(&folder.path().join("none")).is_err());
    }
}

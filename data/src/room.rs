//! How much of the machine's memory a dataset may take.

use hpo::limits;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::Error;

/// Bytes of memory that are free in this machine, or in this container, now.
pub fn free_memory() -> u64 {
    let system = System::new_with_specifics(RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram()));
    // Not `free_memory`: that counts the cache of files, which the kernel gives back, as taken.
    let container = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory.saturating_sub(limits.rss));
    system.available_memory().min(container)
}

/// The bytes that a dataset may take, and what of them is left while it is read.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    all: u64,
    left: u64,
}

impl Room {
    /// What a dataset may take where so much memory is free: half of it, for values may stand there twice while they are read; and never more than
    /// [`limits::DATASET_BYTES_MAX`].
    pub(crate) fn in_memory(free: u64) -> Room {
        Room::of((free / 2).min(limits::DATASET_BYTES_MAX))
    }

    /// So many bytes.
    pub(crate) fn of(all: u64) -> Room {
        Room { all, left: all }
    }

    /// What is left.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Takes so many bytes, if they are left.
    pub(crate) fn take(&mut self, bytes: u128) -> bool {
        let fits = bytes <= u128::from(self.left);
        if fits {
            self.left -= bytes as u64;
        }
        fits
    }

    /// Whether something was taken.
    pub(crate) fn is_used(&self) -> bool {
        self.left < self.all
    }

    /// The error that `what` of the file at `path` is more than the room.
    pub(crate) fn exceeded(&self, path: &str, what: String) -> Error {
        let (path, max) = (path.to_owned(), self.all);
        if max < limits::DATASET_BYTES_MAX { Error::Memory { path, what, max } } else { Error::TooLarge { path, what, max } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_in_half_of_what_is_free_up_to_the_bound() {
        assert!(free_memory() > 1 << 20);
        assert_eq!([0, 1_000, u64::MAX].map(|free| Room::in_memory(free).left()), [0, 500, limits::DATASET_BYTES_MAX]);
    }

    #[test]
    fn what_is_taken_is_taken_whole_or_not_at_all() {
        let mut room = Room::of(10);
        assert!(!room.take(11) && !room.is_used() && room.take(10) && room.is_used() && room.take(0) && !room.take(1));
    }
}

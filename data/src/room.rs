//! The memory that datasets may take while they are read.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::{Error, limits};

/// The bytes of memory that are free now on this machine, or in this container.
pub fn free_memory() -> u64 {
    let system = System::new_with_specifics(
        RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram()),
    );
    // Not `free_memory`, which counts the kernel's cache of files as used.
    let container =
        system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory.saturating_sub(limits.rss));
    system.available_memory().min(container)
}

/// The bytes that all datasets being read may still take together. Clones share the same memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(Arc<AtomicU64>);

impl Memory {
    /// Allows half of the memory that is `free`, since values may be in memory twice while they are
    /// read. While other datasets are read, the allowance can only shrink: memory that they have taken
    /// but not yet filled looks free.
    pub(crate) fn measure(&self, free: u64, others_are_read: bool) {
        if others_are_read {
            self.0.fetch_min(free / 2, Ordering::Relaxed);
        } else {
            self.0.store(free / 2, Ordering::Relaxed);
        }
    }

    /// Allows half of the bytes that were `freed`.
    pub(crate) fn gain(&self, freed: u64) {
        self.0.fetch_add(freed / 2, Ordering::Relaxed);
    }

    fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The part of the [`Memory`] that one dataset takes while it is read: at most
/// [`limits::DATASET_BYTES_MAX`]. All of it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    memory: Memory,
    held: Cell<u64>,
}

impl Room {
    /// A part that holds nothing yet.
    pub(crate) fn in_memory(memory: &Memory) -> Room {
        Room { memory: memory.clone(), held: Cell::new(0) }
    }

    /// Room for this many bytes, shared with nobody.
    #[cfg(test)]
    pub(crate) fn of(bytes: u64) -> Room {
        let memory = Memory::default();
        memory.give_back(bytes);
        Room::in_memory(&memory)
    }

    /// The bytes that it could take in addition to those that it holds.
    pub(crate) fn left(&self) -> u64 {
        self.memory.left().min(limits::DATASET_BYTES_MAX.saturating_sub(self.held.get()))
    }

    /// The bytes that it could hold in all.
    pub(crate) fn max(&self) -> u64 {
        self.held.get() + self.left()
    }

    /// Whether it holds any bytes.
    pub(crate) fn is_used(&self) -> bool {
        self.held.get() > 0
    }

    /// Takes or gives back memory so that it holds exactly `bytes`; returns false and changes
    /// nothing if there is not enough.
    pub(crate) fn hold(&self, bytes: u128) -> bool {
        let held = self.held.get();
        if bytes > u128::from(limits::DATASET_BYTES_MAX) {
            return false;
        }
        let bytes = bytes as u64;
        let fits = match bytes.checked_sub(held) {
            Some(more) => more == 0 || self.memory.take(more),
            None => {
                self.memory.give_back(held - bytes);
                true
            }
        };
        if fits {
            self.held.set(bytes);
        }
        fits
    }

    /// Takes `bytes` more, if they are left.
    pub(crate) fn take(&self, bytes: u128) -> bool {
        self.hold(bytes.saturating_add(self.held.get().into()))
    }

    /// The error that `what` of the file at `path` is more than it can hold.
    pub(crate) fn exceeded(&self, path: &str, what: String) -> Error {
        let (path, max) = (path.to_owned(), self.max());
        if max < limits::DATASET_BYTES_MAX {
            Error::Memory { path, what, max }
        } else {
            Error::TooLarge { path, what, max }
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.memory.give_back(self.held.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_in_half_of_what_is_free_up_to_the_bound() {
        assert!(free_memory() > 1 << 20);
        let left = |free| {
            let memory = Memory::default();
            memory.measure(free, false);
            Room::in_memory(&memory).left()
        };
        assert_eq!([0, 1_000, u64::MAX].map(left), [0, 500, limits::DATASET_BYTES_MAX]);
    }

    #[test]
    fn what_is_taken_is_taken_whole_or_not_at_all() {
        let room = Room::of(10);
        assert!(
            !room.take(11)
                && !room.is_used()
                && room.take(10)
                && room.is_used()
                && room.take(0)
                && !room.take(1)
        );
        assert!(room.hold(4) && room.left() == 6 && !room.hold(11) && room.max() == 10);
        assert!(!Room::of(u64::MAX).hold(u128::from(limits::DATASET_BYTES_MAX) + 1));
    }

    #[test]
    fn two_that_are_read_at_once_share_what_is_free() {
        let memory = Memory::default();
        memory.measure(1_000, false);
        let first = Room::in_memory(&memory);
        assert!(first.take(400));
        // Not filled yet, so the machine reports that all is free.
        memory.measure(1_000, true);
        let second = Room::in_memory(&memory);
        assert!(!second.take(101) && second.take(100) && !first.take(1));
        drop(first);
        assert!(second.take(400));
        // The first stays in memory.
        drop(second);
        memory.measure(600, true);
        assert_eq!(Room::in_memory(&memory).left(), 300);
        memory.gain(200);
        assert_eq!(Room::in_memory(&memory).left(), 400);
    }
}

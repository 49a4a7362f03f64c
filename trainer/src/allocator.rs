//! The allocator of the programs that train, and what it is told.

/// Allocates all memory of a program that trains.
pub type Allocator = tikv_jemallocator::Jemalloc;

/// What a program that has the [`Allocator`] puts under the name `_rjem_malloc_conf`, which
/// jemalloc reads as it starts; `_RJEM_MALLOC_CONF` in the environment comes after it.
///
/// Huge pages, where the system leaves the choice to programs: products and convolutions are up to
/// twice as fast with them. Memory that is given back is kept for a second, for the next step asks
/// for the same again; blocks of 2 MiB and more go back at once, for what is kept of those would be
/// as large as a trial, and a step of the bench is no slower for it. A thread of its own gives back
/// where no other comes by.
pub const OPTIONS: &[u8; 98] =
    b"thp:always,oversize_threshold:2097152,dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true\0";

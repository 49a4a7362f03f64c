//! The allocator of the programs that train, and its options.

/// Allocates all memory of a program that trains.
pub type Allocator = tikv_jemallocator::Jemalloc;

/// Options of the [`Allocator`]: a program exports them under the name `_rjem_malloc_conf`, which
/// jemalloc reads as it starts. `_RJEM_MALLOC_CONF` in the environment is read after it.
///
/// Huge pages are used if the system leaves the choice to programs: products and convolutions are up
/// to twice as fast with them. Freed memory is kept for a second, since the next step asks for the
/// same again. Blocks of 2 MiB and more go back at once: those kept would be as large as a trial,
/// and a step of the bench is no slower. A background thread gives memory back.
pub const OPTIONS: &[u8; 98] =
    b"thp:always,oversize_threshold:2097152,dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true\0";

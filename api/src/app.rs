//! The data that all handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::limits;
use data::Catalog;
use store::Store;
use store::artifact::Artifacts;

use crate::auth::Keys;
use crate::error::Error;
use crate::metrics::Metrics;

/// The shared data of a server. A clone shares everything.
#[derive(Clone)]
pub struct App {
    /// The queue and the results.
    pub store: Store,
    /// The datasets.
    pub catalog: Arc<Catalog>,
    /// The weights of trials.
    pub artifacts: Artifacts,
    /// The accepted API keys; none: only loopback is served.
    pub keys: Option<Arc<Keys>>,
    /// The metrics of this process.
    pub metrics: Arc<Metrics>,
    /// Whether the server is shutting down.
    pub draining: Arc<AtomicBool>,
    /// Whether there is no space left on the disk of the embedded Redis.
    pub disk_full: Arc<AtomicBool>,
}

impl App {
    /// The store for a request that only reads: all that it asks of Redis ends within
    /// [`limits::REDIS_READ_MS`] from now.
    pub(crate) fn reads(&self) -> Store {
        self.store.within(limits::REDIS_READ_MS)
    }

    /// The store for a request that changes something: all that it asks of Redis ends within
    /// [`limits::REDIS_CHANGE_MS`] from now. Errors as [`App::accepts_changes`].
    pub(crate) fn changes(&self) -> Result<Store, Error> {
        self.accepts_changes()?;
        Ok(self.store.within(limits::REDIS_CHANGE_MS))
    }

    /// Whether the server is shutting down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Refuses a request that changes something while nothing can be changed. Errors:
    /// [`Error::Unavailable`] if the server is shutting down, [`Error::StorageFull`] if there is no
    /// space left on the disk.
    pub(crate) fn accepts_changes(&self) -> Result<(), Error> {
        if self.is_draining() {
            return Err(Error::Unavailable("the server is shutting down".to_owned()));
        }
        if self.disk_full.load(Ordering::Acquire) {
            let mib = limits::REDIS_DISK_BYTES_RESUME >> 20;
            let what = format!(
                "no space left on the data folder's disk: nothing can be changed until at least {mib} MiB are free; free some"
            );
            return Err(Error::StorageFull(what));
        }
        Ok(())
    }
}

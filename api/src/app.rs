//! The one piece of data that all handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use data::Catalog;
use hpo::limits;
use store::Store;
use store::artifact::Artifacts;

use crate::auth::Keys;
use crate::metrics::Metrics;

/// What a handler can reach. A clone shares everything.
#[derive(Clone)]
pub struct App {
    /// The queue and the results.
    pub store: Store,
    /// What there is to train on.
    pub catalog: Arc<Catalog>,
    /// Weights.
    pub artifacts: Artifacts,
    /// Who may call; none on loopback only.
    pub keys: Option<Arc<Keys>>,
    /// What this process counts.
    pub metrics: Arc<Metrics>,
    /// Whether the server is about to stop.
    pub draining: Arc<AtomicBool>,
}

impl App {
    /// The store for a request that only reads: all that it asks of Redis ends within [`limits::REDIS_READ_MS`] from now.
    pub(crate) fn reads(&self) -> Store {
        self.store.within(limits::REDIS_READ_MS)
    }

    /// The store for a request that changes something: all that it asks of Redis ends within [`limits::REDIS_CHANGE_MS`] from now.
    pub(crate) fn changes(&self) -> Store {
        self.store.within(limits::REDIS_CHANGE_MS)
    }

    /// Whether the server is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

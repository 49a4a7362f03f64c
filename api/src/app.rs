//! The one piece of data that all handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use data::Catalog;
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
    /// Whether the server is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

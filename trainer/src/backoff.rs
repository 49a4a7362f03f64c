//! The pause between tries.

use std::time::Duration;

use store::jittered;

use crate::limits;

/// The pause before the next try while Redis does not answer.
pub(crate) fn retry() -> Duration {
    jittered(Duration::from_millis(limits::TRAINER_RETRY_MS))
}

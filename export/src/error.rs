//! Why a model cannot be exported.

use crate::limits::EXPORT_BYTES_MAX;

/// Why a model cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not a model that a trainer wrote.
    #[error("the model cannot be read: {0}")]
    Unreadable(String),
    /// The model is larger than the bound for a conversion in memory.
    #[error("the model has {0} bytes; up to {EXPORT_BYTES_MAX} are exported")]
    TooLarge(usize),
    /// The writer of a container failed: a bug here.
    #[error("the export could not be written: {0}")]
    Write(String),
}

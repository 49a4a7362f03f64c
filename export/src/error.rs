//! Why a model cannot be exported.

use crate::limits::EXPORT_BYTES_MAX;

/// Why a model cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are no model of ours.
    #[error("the model cannot be read: {0}")]
    Unreadable(String),
    /// The model is larger than what is converted in memory.
    #[error("the model has {0} bytes; up to {EXPORT_BYTES_MAX} are exported")]
    TooLarge(usize),
    /// A writer of a container refused: a mistake of ours.
    #[error("the export could not be written: {0}")]
    Write(String),
}

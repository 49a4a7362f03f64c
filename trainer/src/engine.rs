//! A network and its training step on candle's tensors and autograd.
//!
//! In reading order: [`Model`] is built from layers as data and trains one step at a time; `builder`
//! makes the `layers` with their weights, which `init` draws; `loss` and `meters` have losses and
//! metrics; `optimizer` moves the weights; `state` is all that a checkpoint needs; `ops` chooses
//! between [`crate::kernels`] on the CPU and `composed`, which says the same in candle's own
//! operations, for other devices.

mod builder;
mod composed;
mod init;
mod layers;
mod loss;
mod meters;
mod model;
mod ops;
mod optimizer;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod weight;

#[cfg(test)]
pub(crate) use loss::takes_over;
pub use meters::Totals;
pub use model::Model;
pub(crate) use ops::Ops;
pub use state::{Part, Read};

pub use crate::targets::{Labels, RowWeights, Targets};

/// Why a network cannot be built or trained.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The layers, the loss or the labels don't fit each other: the end of a sentence about the
    /// network.
    #[error("{0}")]
    Invalid(String),
    /// The device has no memory left.
    #[error("the device is out of memory: {0}")]
    OutOfMemory(String),
    /// candle refused an operation.
    #[error("candle: {0}")]
    Candle(candle_core::Error),
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Error {
        let text = error.to_string();
        if NO_MEMORY.iter().any(|said| text.contains(said)) {
            Error::OutOfMemory(text)
        } else {
            Error::Candle(error)
        }
    }
}

/// The texts of CUDA, cuBLAS and Metal (for a buffer, and for a command) when memory is short, which
/// candle passes on.
const NO_MEMORY: [&str; 4] = [
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "Failed to create metal resource: Buffer",
    "ErrorOutOfMemory",
];

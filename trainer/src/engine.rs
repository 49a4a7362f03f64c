//! A network and its training step on candle's tensors and autograd.
//!
//! In reading order: [`Model`] is built from layers as data and does a step at a time; `builder`
//! makes `layers` of them, with weights that `init` draws; `judge` and `meters` have losses and
//! metrics; `optimizer` moves the weights; `state` is what all of it goes on from; `ops` chooses
//! between [`crate::kernels`] on the CPU and `composed`, which says the same in candle's own
//! operations, for other devices.

mod builder;
mod composed;
mod init;
mod judge;
mod layers;
mod meters;
mod model;
mod ops;
mod optimizer;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod weight;
mod window;

#[cfg(test)]
pub(crate) use judge::takes_over;
pub use judge::{Labels, RowWeights, Targets};
pub use meters::Totals;
pub use model::Model;
pub(crate) use ops::Ops;
pub use state::{Part, Read};
pub(crate) use window::Window;

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

/// How CUDA, cuBLAS and Metal (a buffer at its making, a command in its course) say that memory is
/// short; candle passes it on as text.
const NO_MEMORY: [&str; 4] = [
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "Failed to create metal resource: Buffer",
    "ErrorOutOfMemory",
];

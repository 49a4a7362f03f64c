//! TrainedLayer models in the formats of other programs: bytes in, bytes out. No I/O, no clock, no threads.
//!
//! In reading order: [`model`] reads the artifact of a trainer (safetensors, with the network's
//! document in the metadata); `onnx` writes it as ONNX, `keras` as a `.keras` file.
//!
//! Only the network is exported. If the study scales its features (`scale`), the model expects
//! scaled features, as the network does in training: the artifact has the numbers for that as the
//! tensors `scale.shift` and `scale.divisor`, the exports do not.

mod error;
mod keras;
mod limits;
pub mod model;
mod onnx;

pub use error::Error;
pub use model::Model;

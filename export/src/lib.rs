//! A trained model in other people's formats: bytes in, bytes out. No I/O, no clock, no threads.
//!
//! In reading order: [`model`] reads what a trainer left (safetensors, the network's document in
//! the metadata); `onnx` writes it as ONNX, `keras` as a `.keras` file.
//!
//! The network alone is exported. Where the study scales its features (`scale`), the model expects
//! scaled ones, as the network did in training: the artifact has the numbers as the tensors
//! `scale.shift` and `scale.divisor`, the exports do not.

mod error;
mod keras;
mod limits;
pub mod model;
mod onnx;

pub use error::Error;
pub use model::Model;

//! A trained model in other people's formats: bytes in, bytes out. No I/O, no clock, no threads.
//!
//! In reading order: [`model`] reads what a trainer left (safetensors, the network's document in the metadata); `onnx` writes it as ONNX,
//! `keras` as a `.keras` file.
//!
//! What is exported is the network alone. Where the study scales its features (`scale`), the model expects scaled ones, as the network did
//! in training; what they were scaled by depends on the training rows and is not in the artifact.

mod error;
mod keras;
pub mod model;
mod onnx;

pub use error::Error;
pub use model::Model;

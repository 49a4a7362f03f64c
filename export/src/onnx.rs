//! ONNX: a graph of operations on f32 tensors (<https://onnx.ai/onnx/operators/>).
//!
//! Our rows are channels last; ONNX convolves and pools channels first. [`Flow`] keeps the layout of
//! the tensor and transposes it only when an operation needs the other one, so that a chain of
//! convolutions, normalisations and poolings has one Transpose at each end.

mod activation;
mod flow;
mod graph;
mod layer;
mod proto;
mod recurrent;
mod scan;
mod window;

use prost::Message;

use crate::limits::EXPORT_BYTES_MAX;
use crate::{Error, Model};
use flow::Flow;
use graph::value_info;
use proto::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto};

/// The first opset with LayerNormalization; every runtime of the last years understands it.
const OPSET: i64 = 17;
/// The version of the file format that came with it.
const IR_VERSION: i64 = 8;

impl Model {
    /// The model as ONNX (opset 17): one input `input` of `(batch, …)` and one output `output`,
    /// both f32, with any batch.
    ///
    /// Rows have the form that they have in training (channels last). Layers that act in training
    /// only are left out. The document of the model is in the metadata under `chandler`.
    pub fn to_onnx(&self) -> Result<Vec<u8>, Error> {
        let mut flow = Flow::new(&self.input_shape);
        for (index, trained) in self.layers.iter().enumerate() {
            layer::add(&mut flow, index, trained);
        }
        let (output_shape, graph) = flow.finish();
        let graph = GraphProto {
            node: graph.nodes,
            name: "chandler".to_owned(),
            initializer: graph.constants,
            input: vec![value_info("input", &self.input_shape)],
            output: vec![value_info("output", &output_shape)],
        };
        let file = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "chandler".to_owned(),
            graph: Some(graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            metadata_props: vec![StringStringEntryProto {
                key: "chandler".to_owned(),
                value: self.document.to_string(),
            }],
        };
        // Constants made on the way, such as the zeros beside a bias, add to the weights.
        match file.encoded_len() {
            length if length > 2 * EXPORT_BYTES_MAX - 1 => Err(Error::TooLarge(length)),
            _ => Ok(file.encode_to_vec()),
        }
    }
}

#[cfg(test)]
mod tests;

//! The weights of the best epoch: kept in memory while a trial runs, written as safetensors when it ends.

use std::collections::HashMap;

use bytes::Bytes;
use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value as Json;

use crate::engine::{Error, Model};

/// A copy of a network's weights.
#[derive(Debug)]
pub(crate) struct Weights(Vec<(String, Tensor)>);

impl Weights {
    /// The weights as they are now.
    pub(crate) fn copy(model: &Model) -> Result<Weights, Error> {
        let copy = |(name, weight): (&str, &Tensor)| Ok((name.to_owned(), weight.detach().copy()?));
        model.weights().map(copy).collect::<Result<_, Error>>().map(Weights)
    }

    /// A safetensors file (f32, names such as `layers.1.kernel`) with `document` as JSON under `chandler` in its metadata.
    pub(crate) fn serialize(&self, document: &Json) -> Result<Bytes, String> {
        let bytes = |tensor: &Tensor| -> candle_core::Result<Vec<u8>> {
            let numbers = tensor.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
            Ok(numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
        };
        let buffers: Vec<Vec<u8>> =
            self.0.iter().map(|(_, tensor)| bytes(tensor)).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        let views = self.0.iter().zip(&buffers).map(|((name, tensor), bytes)| {
            let view = TensorView::new(Dtype::F32, tensor.dims().to_vec(), bytes).map_err(|error| error.to_string())?;
            Ok((name.as_str(), view))
        });
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned()), ("chandler".to_owned(), document.to_string())]);
        let file = safetensors::serialize(views.collect::<Result<Vec<_>, String>>()?, Some(metadata));
        file.map(Bytes::from).map_err(|error| error.to_string())
    }
}

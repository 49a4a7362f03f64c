//! The weights of the best epoch: kept in memory while a trial runs, written as safetensors when it ends.

use std::collections::HashMap;

use bytes::Bytes;
use candle_core::{Device, Tensor};
use serde_json::Value as Json;

use crate::engine::{Error, Model};

/// A copy of a network's weights, in the machine's memory.
#[derive(Debug)]
pub(crate) struct Weights(Vec<(String, Tensor)>);

impl Weights {
    /// The weights as they are now.
    pub(crate) fn copy(model: &Model) -> Result<Weights, Error> {
        let copy = |(name, weight): (&str, &Tensor)| {
            let weight = weight.detach();
            Ok((name.to_owned(), if weight.device().is_cpu() { weight.copy()? } else { weight.to_device(&Device::Cpu)? }))
        };
        model.weights().map(copy).collect::<Result<_, Error>>().map(Weights)
    }

    /// These weights, in the order of their names.
    pub(crate) fn of(mut weights: Vec<(String, Tensor)>) -> Weights {
        weights.sort_by(|(a, _), (b, _)| a.cmp(b));
        Weights(weights)
    }

    /// The weights with their names.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// A safetensors file (f32, names such as `layers.1.kernel`) with `document` as JSON under `chandler` in its metadata.
    pub(crate) fn serialize(&self, document: &Json) -> Result<Bytes, String> {
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned()), ("chandler".to_owned(), document.to_string())]);
        let file = safetensors::serialize(self.named(), Some(metadata));
        file.map(Bytes::from).map_err(|error| error.to_string())
    }
}

//! The weights of the best epoch: kept in memory while a trial runs, written as safetensors when it
//! ends.

use std::collections::HashMap;

use bytes::Bytes;
use candle_core::{Device, Tensor};
use data::{Affine, Scaled};
use serde_json::Value as Json;

use crate::engine::{Error, Model};

/// The best epoch so far.
#[derive(Debug)]
pub(crate) struct Best {
    /// The objective.
    pub(crate) value: f64,
    pub(crate) epoch: u32,
    pub(crate) weights: Weights,
}

/// A copy of a network's weights, in the machine's memory.
#[derive(Debug)]
pub(crate) struct Weights(Vec<(String, Tensor)>);

impl Weights {
    /// The weights as they are now.
    pub(crate) fn copy(model: &Model) -> Result<Weights, Error> {
        let copy = |(name, weight): (&str, &Tensor)| {
            let weight = weight.detach();
            Ok((
                name.to_owned(),
                if weight.device().is_cpu() { weight.copy()? } else { weight.to_device(&Device::Cpu)? },
            ))
        };
        model.weights().map(copy).collect::<Result<_, Error>>().map(Weights)
    }

    /// Adds the scaling of the input, `(x - scale.shift) / scale.divisor`: each has one number, or the
    /// shape of a row. It is computed with as many bits as they have, then rounded to 32.
    pub(crate) fn with_scaling(mut self, data: &Scaled) -> Result<Weights, Error> {
        let shape = data.dataset().schema.shape.as_slice();
        let mut push = |name: &str, tensor: Tensor| self.0.push((name.to_owned(), tensor));
        match data.scaling() {
            None => {}
            Some(Affine::F32 { shift, divisor }) => {
                let shape = if shift.len() == 1 { &[1] } else { shape };
                push("scale.shift", Tensor::from_vec(shift, shape, &Device::Cpu)?);
                push("scale.divisor", Tensor::from_vec(divisor, shape, &Device::Cpu)?);
            }
            Some(Affine::F64 { shift, divisor }) => {
                push("scale.shift", Tensor::from_vec(shift, shape, &Device::Cpu)?);
                push("scale.divisor", Tensor::from_vec(divisor, shape, &Device::Cpu)?);
            }
        }
        Ok(self)
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

    /// A safetensors file (f32, with names such as `layers.1.kernel` and `scale.shift`, which is f64 if
    /// the features are) with `document` as JSON under `chandler` in its metadata.
    pub(crate) fn serialize(&self, document: &Json) -> Result<Bytes, String> {
        // One entry: the order of several, and so the bytes of the file, would differ each time.
        let metadata = HashMap::from([("chandler".to_owned(), document.to_string())]);
        let file = safetensors::serialize(self.named(), Some(metadata));
        file.map(Bytes::from).map_err(|error| error.to_string())
    }
}

//! Everything that a trial's next epoch depends on, as a safetensors file: with it, another process goes on to the same bits.

use std::collections::HashMap;

use bytes::Bytes;
use candle_core::{Device, Tensor};
use hpo::training::{Patience, Plateau};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::engine::Error;
use crate::run::Best;
use crate::weights::Weights;

/// A trial after an epoch.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    /// The state of each run's model, by name.
    pub(crate) models: Vec<HashMap<String, Tensor>>,
    /// The best epoch so far.
    pub(crate) best: Option<Best>,
    /// The rest.
    pub(crate) progress: Progress,
}

/// What is not a tensor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Epochs done.
    pub(crate) step: u32,
    /// What has been reported, an epoch each; f32 as bits.
    pub(crate) curve: Vec<Vec<u32>>,
    /// What early stopping has seen.
    pub(crate) patience: Patience,
    /// What the learning rate's reduction has seen.
    pub(crate) plateau: Plateau,
    /// Whether a callback has ended the training.
    pub(crate) is_over: bool,
}

/// The metadata of the file.
#[derive(Serialize, Deserialize)]
struct Head {
    /// Whose bits these are: see [`crate::device::DeviceInfo::numerics`].
    numerics: String,
    /// The hash of the dataset.
    dataset: String,
    runs: usize,
    /// Value as bits, and step, of the best.
    best: Option<(u64, u32)>,
    progress: Progress,
}

/// The key of the head in the metadata.
const HEAD: &str = "chandler-checkpoint";

impl Checkpoint {
    /// A safetensors file. `numerics` and `dataset` say for whom.
    pub(crate) fn serialize(&self, numerics: &str, dataset: &str) -> Result<Bytes, Error> {
        let mut tensors: Vec<(String, Tensor)> = Vec::new();
        for (run, model) in self.models.iter().enumerate() {
            tensors.extend(model.iter().map(|(name, tensor)| (format!("runs.{run}.{name}"), tensor.clone())));
        }
        if let Some(best) = &self.best {
            tensors.extend(best.weights.named().map(|(name, tensor)| (format!("best.{name}"), tensor.clone())));
        }
        // In one order, so that the same checkpoint is the same file.
        tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        let head = Head {
            numerics: numerics.to_owned(),
            dataset: dataset.to_owned(),
            runs: self.models.len(),
            best: self.best.as_ref().map(|best| (best.value.to_bits(), best.step)),
            progress: self.progress.clone(),
        };
        let head = serde_json::to_string(&head).map_err(|error| Error::Invalid(error.to_string()))?;
        let tensors = tensors.into_iter().map(|(name, tensor)| Ok((name, tensor.to_device(&Device::Cpu)?.contiguous()?)));
        let tensors = tensors.collect::<Result<Vec<_>, Error>>()?;
        let views = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let file = safetensors::serialize(views, Some(HashMap::from([(HEAD.to_owned(), head)])));
        file.map(Bytes::from).map_err(|error| Error::Invalid(error.to_string()))
    }

    /// The checkpoint in a file; none where it is for another numerics class or dataset, or no checkpoint.
    pub(crate) fn read(bytes: &[u8], numerics: &str, dataset: &str) -> Option<Checkpoint> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
        let head: Head = serde_json::from_str(metadata.metadata().as_ref()?.get(HEAD)?).ok()?;
        if head.numerics != numerics || head.dataset != dataset {
            return None;
        }
        let mut models = vec![HashMap::new(); head.runs];
        let mut weights = Vec::new();
        for (name, tensor) in candle_core::safetensors::load_buffer(bytes, &Device::Cpu).ok()? {
            if let Some(name) = name.strip_prefix("best.") {
                weights.push((name.to_owned(), tensor));
            } else {
                let (run, name) = name.strip_prefix("runs.")?.split_once('.')?;
                models.get_mut(run.parse::<usize>().ok()?)?.insert(name.to_owned(), tensor);
            }
        }
        let best = head.best.map(|(value, step)| Best { value: f64::from_bits(value), step, weights: Weights::of(weights) });
        Some(Checkpoint { models, best, progress: head.progress })
    }
}

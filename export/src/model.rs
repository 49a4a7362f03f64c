//! A trained model: its layers with their shapes and weights.

use hpo::network::Layer;
use hpo::shape::output_shape;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value as Json;

use crate::Error;
use crate::limits::{EXPORT_BYTES_MAX, FLAT_LAYERS_MAX, RANK_MAX, ROW_ELEMENTS_MAX};

/// A trained model, as a trainer left it.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The shape of a row.
    pub(crate) input_shape: Vec<usize>,
    /// In order.
    pub(crate) layers: Vec<TrainedLayer>,
    /// The document beside the weights: the study, the trial, its hyperparameters and the network.
    pub(crate) document: Json,
}

/// One layer of a trained model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrainedLayer {
    pub(crate) layer: Layer,
    /// The shape of a row of its input.
    pub(crate) input: Vec<usize>,
    /// The shape of a row of its output.
    pub(crate) output: Vec<usize>,
    /// In Keras's order.
    pub(crate) weights: Vec<Weight>,
}

/// One weight of a layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weight {
    /// Its name in the layer, such as `kernel`.
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    /// Row by row.
    pub(crate) numbers: Vec<f32>,
}

impl Model {
    /// The model in a safetensors file of ours: f32 tensors called `layers.{index}.{weight}`, and
    /// under `chandler` in the metadata a document with `input_shape` and the concrete layers as
    /// `network`.
    pub fn read(safetensors: &[u8]) -> Result<Model, Error> {
        if safetensors.len() > EXPORT_BYTES_MAX {
            return Err(Error::TooLarge(safetensors.len()));
        }
        let unreadable = |error: &dyn std::fmt::Display| Error::Unreadable(error.to_string());
        let (_, header) = SafeTensors::read_metadata(safetensors).map_err(|error| unreadable(&error))?;
        let tensors = SafeTensors::deserialize(safetensors).map_err(|error| unreadable(&error))?;
        let text = header.metadata().as_ref().and_then(|metadata| metadata.get("chandler"));
        let text = text.ok_or_else(|| unreadable(&"its metadata has no document of the network"))?;
        let document: Json = serde_json::from_str(text).map_err(|error| unreadable(&error))?;

        let input_shape = shape(&document["input_shape"])
            .ok_or_else(|| unreadable(&"its document has no valid input_shape"))?;
        let network = document["network"].as_array().filter(|network| network.len() <= FLAT_LAYERS_MAX);
        let network = network.ok_or_else(|| unreadable(&"its document has no network within bounds"))?;
        let mut layers = Vec::with_capacity(network.len());
        let mut input = input_shape.clone();
        for (index, document) in network.iter().enumerate() {
            let trained = TrainedLayer::read(index, document, input, &tensors)?;
            input = trained.output.clone();
            layers.push(trained);
        }
        Ok(Model { input_shape, layers, document })
    }
}

impl TrainedLayer {
    fn read(
        index: usize,
        document: &Json,
        input: Vec<usize>,
        tensors: &SafeTensors,
    ) -> Result<TrainedLayer, Error> {
        let unreadable = |why: String| Error::Unreadable(format!("layer {index}: {why}"));
        let layer = Layer::from_document(document).map_err(|problems| {
            let problems: Vec<String> =
                problems.iter().map(|problem| format!("{} {}", problem.pointer, problem.detail)).collect();
            unreadable(problems.join("; "))
        })?;
        let output = output_shape(&layer, &input).map_err(unreadable)?;
        let mut weights = Vec::new();
        for weight in layer.weights(&input) {
            let name = format!("layers.{index}.{}", weight.name);
            let tensor = tensors.tensor(&name).map_err(|error| Error::Unreadable(error.to_string()))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != weight.shape {
                let (dtype, shape) = (tensor.dtype(), tensor.shape());
                return Err(Error::Unreadable(format!(
                    "{name} is {dtype:?} {shape:?}, not F32 {:?}",
                    weight.shape
                )));
            }
            let numbers = tensor
                .data()
                .chunks_exact(4)
                .map(|number| f32::from_le_bytes([number[0], number[1], number[2], number[3]]))
                .collect();
            weights.push(Weight { name: weight.name, shape: weight.shape, numbers });
        }
        Ok(TrainedLayer { layer, input, output, weights })
    }

    /// The weight of that name, if the layer has it.
    pub(crate) fn weight(&self, name: &str) -> Option<&Weight> {
        self.weights.iter().find(|weight| weight.name == name)
    }
}

/// A row's shape, if `json` is one.
fn shape(json: &Json) -> Option<Vec<usize>> {
    let sizes = json.as_array().filter(|sizes| sizes.len() <= RANK_MAX)?;
    sizes
        .iter()
        .map(|size| {
            size.as_u64().filter(|size| (1..=ROW_ELEMENTS_MAX).contains(size)).map(|size| size as usize)
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use safetensors::tensor::TensorView;
    use serde_json::json;
    use sha2::{Digest, Sha256};

    use super::*;

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden");

    /// The models that `tests/golden/export.py` made, by name.
    pub(crate) fn golden() -> impl Iterator<Item = (String, Model)> {
        let mut paths: Vec<_> = std::fs::read_dir(Path::new(GOLDEN).join("export"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        assert!(!paths.is_empty());
        paths.into_iter().map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let model =
                Model::read(&std::fs::read(&path).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, model)
        })
    }

    /// A safetensors file as a trainer writes it.
    fn artifact(document: Option<Json>, weights: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
        let bytes: Vec<Vec<u8>> = weights
            .iter()
            .map(|(_, _, numbers)| numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
            .collect();
        let views = weights.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
            (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
        });
        let metadata =
            document.map(|document| HashMap::from([("chandler".to_owned(), document.to_string())]));
        safetensors::serialize(views, metadata).unwrap()
    }

    pub(crate) fn model(input_shape: &[usize], network: Json, weights: &[(&str, &[usize], &[f32])]) -> Model {
        let document =
            json!({"study": "test", "input_shape": input_shape, "network": network, "scale": "none"});
        Model::read(&artifact(Some(document), weights)).unwrap()
    }

    /// `make export-check` ran these bytes through onnxruntime and Keras, and both computed the
    /// outputs of the model to 1e-5.
    #[test]
    fn the_exports_are_those_that_onnxruntime_and_keras_were_given() {
        let table: Json =
            serde_json::from_slice(&std::fs::read(Path::new(GOLDEN).join("export.json")).unwrap()).unwrap();
        let mut models = 0;
        for (name, model) in golden() {
            for (format, bytes) in [("onnx", model.to_onnx().unwrap()), ("keras", model.to_keras().unwrap())]
            {
                let sum = hex::encode(Sha256::digest(&bytes));
                let proven = &table[&name][format];
                assert_eq!(
                    proven["sha256"], sum,
                    "{name}.{format} is new: run `make export-check PYTHON=…`, which needs keras and onnxruntime"
                );
                assert!(
                    proven["difference"].as_f64().is_some_and(|difference| difference <= 1e-5),
                    "{name}.{format}: {proven}"
                );
            }
            models += 1;
        }
        assert_eq!(table.as_object().map(serde_json::Map::len), Some(models));
    }

    #[test]
    fn a_file_that_is_not_a_model_is_refused_with_the_reason() {
        let document = |network: Json| Some(json!({"input_shape": [2], "network": network}));
        let dense = json!([{"layer": "Dense", "units": 1}]);
        let kernel: (&str, &[usize], &[f32]) = ("layers.0.kernel", &[2, 1], &[1.0, 2.0]);
        for (bytes, why) in [
            (b"safetensors".to_vec(), "cannot be read"),
            (artifact(None, &[]), "its metadata has no document of the network"),
            (
                artifact(Some(json!({"input_shape": [0], "network": []})), &[]),
                "its document has no valid input_shape",
            ),
            (artifact(Some(json!({"input_shape": [2]})), &[]), "its document has no network within bounds"),
            (
                artifact(document(json!([{"layer": "Dense", "units": 0}])), &[]),
                "layer 0: /units must be between",
            ),
            (artifact(document(json!([{"layer": "GRU", "units": 1}])), &[]), "layer 0: GRU"),
            (artifact(document(dense.clone()), &[kernel]), "layers.0.bias"),
            (
                artifact(document(dense), &[("layers.0.kernel", &[1, 2], &[1.0, 2.0])]),
                "layers.0.kernel is F32 [1, 2], not F32 [2, 1]",
            ),
        ] {
            let error = Model::read(&bytes).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}

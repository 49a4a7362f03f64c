//! `config.json`: a Sequential as Keras serialises it, from the documents of the layers, whose
//! names and arguments are Keras's.

use hpo::network::Layer;
use serde_json::{Map, Value as Json, json};

use crate::Model;
use crate::model::TrainedLayer;

/// The model.
pub(crate) fn model(model: &Model, names: &[String]) -> Json {
    let input_shape = batch_shape(&model.input_shape);
    let input = json!({
        "module": "keras.layers", "class_name": "InputLayer", "registered_name": null,
        "config": {"batch_shape": input_shape, "dtype": "float32", "sparse": false, "name": "input_layer"},
    });
    let layers = model.layers.iter().zip(names).map(|(trained, name)| layer(trained, name));
    let layers: Vec<Json> = std::iter::once(input).chain(layers).collect();
    json!({
        "module": "keras", "class_name": "Sequential", "registered_name": null,
        "config": {"name": "chandler", "trainable": true, "dtype": policy(), "layers": layers, "build_input_shape": input_shape},
        "build_config": {"input_shape": input_shape},
    })
}

fn layer(trained: &TrainedLayer, name: &str) -> Json {
    let document = trained.layer.to_document();
    serialized(trained.layer.class(), arguments(&document, name), &trained.input)
}

/// What Keras makes a layer from, and what builds its weights.
fn serialized(class: &str, config: Map<String, Json>, input: &[usize]) -> Json {
    json!({
        "module": "keras.layers", "class_name": class, "registered_name": null, "config": config,
        "build_config": {"input_shape": batch_shape(input)},
    })
}

/// The arguments of a document as those of Keras.
fn arguments(document: &Json, name: &str) -> Map<String, Json> {
    // `trainable` is left at its default: SpatialDropout2D does not take it.
    let mut config = Map::from_iter([("name".to_owned(), json!(name)), ("dtype".to_owned(), policy())]);
    for (argument, value) in
        document.as_object().into_iter().flatten().filter(|(argument, _)| *argument != "layer")
    {
        if argument == "wrapped" {
            config.extend(directions(value));
            continue;
        }
        let (argument, value) = match argument.rsplit('_').next() {
            Some("initializer") => (argument.as_str(), object("keras.initializers", value)),
            Some("regularizer") => (argument.as_str(), object("keras.regularizers", value)),
            Some("constraint") => (argument.as_str(), object("keras.constraints", value)),
            _ if argument == "shared_axes" && value.as_array().is_some_and(Vec::is_empty) => {
                ("shared_axes", Json::Null)
            }
            _ => (argument.as_str(), value.clone()),
        };
        config.insert(argument.to_owned(), value);
    }
    config
}

/// The two layers in a Bidirectional. Keras would make the backward layer itself, but it looks up
/// the copy of the forward layer by an address that another object may have by then: now and then
/// it finds that object, which goes forward.
fn directions(document: &Json) -> [(String, Json); 2] {
    let class = document["layer"].as_str().unwrap_or_default();
    let direction = |argument: &str, direction: &str| {
        let mut config = arguments(document, &format!("{direction}_{}", super::snake_case(class)));
        config.insert("go_backwards".to_owned(), json!(direction == "backward"));
        let layer =
            json!({"module": "keras.layers", "class_name": class, "registered_name": null, "config": config});
        (argument.to_owned(), layer)
    };
    [direction("layer", "forward"), direction("backward_layer", "backward")]
}

/// A named thing such as `"glorot_uniform"` or `{"name": "l1_l2", "l1": 0.1, "l2": 0}` as Keras
/// serialises it.
fn object(module: &str, value: &Json) -> Json {
    let name = value.as_str().or_else(|| value["name"].as_str());
    let Some(name) = name else { return Json::Null };
    let mut config = value.as_object().cloned().unwrap_or_default();
    config.remove("name");
    json!({"module": module, "class_name": camel_case(name), "config": config, "registered_name": null})
}

/// `glorot_uniform` as `GlorotUniform`.
fn camel_case(name: &str) -> String {
    name.split('_')
        .flat_map(|word| {
            word.chars().take(1).map(|letter| letter.to_ascii_uppercase()).chain(word.chars().skip(1))
        })
        .collect()
}

fn policy() -> Json {
    json!({"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": null})
}

/// A row's shape below a batch of any size.
fn batch_shape(shape: &[usize]) -> Json {
    std::iter::once(Json::Null).chain(shape.iter().map(|size| json!(size))).collect()
}

/// The class of the cell inside a recurrent layer, which holds its weights.
pub(crate) fn cell(layer: &Layer) -> Option<&'static str> {
    match layer {
        Layer::SimpleRNN(_) => Some("simple_rnn_cell"),
        Layer::LSTM(_) => Some("lstm_cell"),
        Layer::GRU(_) => Some("gru_cell"),
        _ => None,
    }
}

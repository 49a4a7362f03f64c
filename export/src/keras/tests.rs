use std::io::{Cursor, Read};

use hdf5_reader::Hdf5File;
use serde_json::{Value as Json, json};
use zip::ZipArchive;

use super::{config, snake_case};
use crate::model::tests::{golden, model};
use crate::{Error, Model};

/// A member of the file of a model.
fn member(model: &Model, name: &str) -> Vec<u8> {
    let mut zip = ZipArchive::new(Cursor::new(model.to_keras().unwrap())).unwrap();
    let mut bytes = Vec::new();
    zip.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn named(name: &str) -> Model {
    golden().find(|(model, _)| *model == name).unwrap().1
}

#[test]
fn names_are_made_of_classes_as_keras_makes_them() {
    for (class, name) in [
        ("Dense", "dense"),
        ("Conv2D", "conv2d"),
        ("LeakyReLU", "leaky_re_lu"),
        ("PReLU", "p_re_lu"),
        ("SimpleRNN", "simple_rnn"),
        ("LSTM", "lstm"),
        ("GlobalAveragePooling2D", "global_average_pooling2d"),
        ("SeparableConv2D", "separable_conv2d"),
    ] {
        assert_eq!(snake_case(class), name);
    }
    let dense = json!({"layer": "Flatten"});
    assert_eq!(
        super::layer_names(&model(&[2], json!([dense, {"layer": "Dropout", "rate": 0.1}, dense]), &[])),
        ["flatten", "dropout", "flatten_1"]
    );
}

#[test]
fn a_layer_is_configured_by_its_document() {
    let network = json!([{
        "layer": "Dense", "units": 1, "use_bias": false, "kernel_initializer": {"name": "variance_scaling", "scale": 2}, "kernel_regularizer": "l2",
        "kernel_constraint": {"name": "max_norm", "max_value": 3, "axis": [0]}
    }]);
    let model = model(&[2], network, &[("layers.0.kernel", &[2, 1], &[1.0, 2.0])]);
    let config = config::model(&model, &["dense".to_owned()]);
    let layer = &config["config"]["layers"][1];
    assert_eq!(layer["build_config"], json!({"input_shape": [null, 2]}));
    let of = |argument: &str| {
        (layer["config"][argument]["class_name"].clone(), layer["config"][argument]["config"].clone())
    };
    assert_eq!(
        of("kernel_initializer"),
        (
            json!("VarianceScaling"),
            json!({"scale": 2.0, "mode": "fan_in", "distribution": "truncated_normal"})
        )
    );
    assert_eq!(of("kernel_regularizer"), (json!("L1L2"), json!({"l1": 0.0, "l2": 0.01})));
    assert_eq!(of("kernel_constraint"), (json!("MaxNorm"), json!({"max_value": 3.0, "axis": [0]})));
    assert_eq!((&layer["config"]["units"], &layer["config"]["layer"]), (&json!(1), &Json::Null));
}

#[test]
fn the_weights_read_back_from_where_keras_looks_for_them() {
    for (name, model) in golden() {
        let file = Hdf5File::from_vec(member(&model, "model.weights.h5")).unwrap();
        for (trained, layer) in model.layers.iter().zip(super::layer_names(&model)) {
            let cell = if super::config::cell(&trained.layer).is_some() { "cell/" } else { "" };
            for (index, weight) in trained.weights.iter().enumerate() {
                let half = trained.weights.len() / 2;
                let path = match weight.name.split_once('.') {
                    Some((direction, _)) => {
                        format!("layers/{layer}/{direction}_layer/cell/vars/{}", index % half)
                    }
                    None => format!("layers/{layer}/{cell}vars/{index}"),
                };
                let dataset = file.dataset(&path).unwrap_or_else(|error| panic!("{name}: {path}: {error}"));
                assert_eq!(
                    dataset.shape(),
                    weight.shape.iter().map(|size| *size as u64).collect::<Vec<_>>(),
                    "{path}"
                );
                let bytes: Vec<u8> = weight.numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                assert_eq!(dataset.read_raw_bytes().unwrap(), bytes, "{path}");
            }
        }
    }
}

/// Without the backward layer, Keras sometimes fails to make it.
#[test]
fn a_bidirectional_gets_both_of_its_layers() {
    let config: Json = serde_json::from_slice(&member(&named("words"), "config.json")).unwrap();
    let bidirectional = &config["config"]["layers"][2]["config"];
    assert_eq!((&bidirectional["merge_mode"], bidirectional.get("wrapped")), (&json!("concat"), None));
    for (layer, name, go_backwards) in
        [("layer", "forward_lstm", false), ("backward_layer", "backward_lstm", true)]
    {
        let Json::Object(layer) = &bidirectional[layer] else { panic!("{layer}") };
        assert_eq!((&layer["class_name"], &layer["config"]["name"]), (&json!("LSTM"), &json!(name)));
        assert_eq!(
            (&layer["config"]["go_backwards"], &layer["config"]["units"]),
            (&json!(go_backwards), &json!(4))
        );
    }
}

#[test]
fn the_weights_of_the_deepest_network_read_back() {
    // A group of HDF5 is a list of links, and long ones are where writers fail.
    let layers: Vec<Json> =
        (0..crate::limits::FLAT_LAYERS_MAX).map(|_| json!({"layer": "Dense", "units": 1})).collect();
    let names: Vec<String> = (0..layers.len())
        .flat_map(|at| [format!("layers.{at}.kernel"), format!("layers.{at}.bias")])
        .collect();
    let shapes: [&[usize]; 2] = [&[1, 1], &[1]];
    let weights: Vec<(&str, &[usize], &[f32])> =
        names.iter().enumerate().map(|(at, name)| (name.as_str(), shapes[at % 2], &[0.5][..])).collect();
    let model = model(&[1], Json::Array(layers), &weights);
    let file = Hdf5File::from_vec(member(&model, "model.weights.h5")).unwrap();
    assert_eq!(file.dataset("layers/dense_1999/vars/1").unwrap().shape(), [1]);
}

#[test]
fn the_same_model_gives_the_same_bytes() -> Result<(), Error> {
    assert_eq!(named("mlp").to_keras()?, named("mlp").to_keras()?);
    Ok(())
}

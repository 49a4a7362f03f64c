//! The schema of the study document against its parser: the same names, the same bounds, and every
//! study that parses is valid.

use std::collections::{BTreeMap, BTreeSet};

use hpo::{Problem, Study};
use jsonschema::Validator;
use serde_json::{Value as Json, json};

/// Each object that a study may hold, at its place in [`whole`].
const PLACES: &[(&str, &str)] = &[
    ("Study", ""),
    ("IntHyperparameter", "/space/0"),
    ("FloatHyperparameter", "/space/1"),
    ("ChoiceHyperparameter", "/space/2"),
    ("BooleanHyperparameter", "/space/3"),
    ("FixedHyperparameter", "/space/4"),
    ("Repeat", "/network/0"),
    ("LayerCases", "/network/1"),
    ("FlattenLayer", "/network/0/layers/0"),
    ("ReshapeLayer", "/network/2"),
    ("RescalingLayer", "/network/3"),
    ("DenseLayer", "/network/4"),
    ("ActivationLayer", "/network/5"),
    ("DropoutLayer", "/network/6"),
    ("Conv2DLayer", "/network/7"),
    ("MaxPooling2DLayer", "/network/8"),
    ("PermuteLayer", "/network/9"),
    ("ZeroPadding2DLayer", "/network/10"),
    ("Conv1DLayer", "/network/11"),
    ("DepthwiseConv2DLayer", "/network/12"),
    ("SeparableConv2DLayer", "/network/13"),
    ("MaxPooling1DLayer", "/network/14"),
    ("AveragePooling1DLayer", "/network/15"),
    ("AveragePooling2DLayer", "/network/16"),
    ("GlobalAveragePooling1DLayer", "/network/17"),
    ("GlobalAveragePooling2DLayer", "/network/18"),
    ("GlobalMaxPooling1DLayer", "/network/19"),
    ("GlobalMaxPooling2DLayer", "/network/20"),
    ("LeakyReLULayer", "/network/21"),
    ("PReLULayer", "/network/22"),
    ("SpatialDropout2DLayer", "/network/23"),
    ("GaussianNoiseLayer", "/network/24"),
    ("BatchNormalizationLayer", "/network/25"),
    ("LayerNormalizationLayer", "/network/26"),
    ("EmbeddingLayer", "/network/27"),
    ("SimpleRNNLayer", "/network/28"),
    ("LSTMLayer", "/network/29"),
    ("GRULayer", "/network/30"),
    ("BidirectionalLayer", "/network/31"),
    ("WrappedGRU", "/network/31/wrapped"),
    ("VarianceScalingInitializer", "/network/4/kernel_initializer"),
    ("ConstantInitializer", "/network/4/bias_initializer"),
    ("L1L2Regularizer", "/network/4/kernel_regularizer"),
    ("L1Regularizer", "/network/4/bias_regularizer"),
    ("L2Regularizer", "/network/4/activity_regularizer"),
    ("MaxNormConstraint", "/network/4/kernel_constraint"),
    ("UnitNormConstraint", "/network/4/bias_constraint"),
    ("RandomNormalInitializer", "/network/7/kernel_initializer"),
    ("PlainInitializer", "/network/7/bias_initializer"),
    ("NonNegConstraint", "/network/7/kernel_constraint"),
    ("RandomUniformInitializer", "/network/11/kernel_initializer"),
    ("TruncatedNormalInitializer", "/network/11/bias_initializer"),
    ("OrthogonalInitializer", "/network/28/recurrent_initializer"),
    ("Reference", "/network/6/rate"),
    ("Training", "/training"),
    ("OptimizerReference", "/training/optimizer"),
    ("AdamOptimizer", "/training/optimizer/cases/true"),
    ("SgdOptimizer", "/training/optimizer/cases/false"),
    ("CosineDecay", "/training/optimizer/cases/true/learning_rate"),
    ("ExponentialDecay", "/training/optimizer/cases/false/learning_rate"),
    ("SparseCategoricalCrossentropy", "/training/loss"),
    ("PlainMetric", "/training/metrics/0"),
    ("TopKMetric", "/training/metrics/1"),
    ("EarlyStopping", "/training/callbacks/0"),
    ("TerminateOnNan", "/training/callbacks/1"),
    ("IdxDataset", "/dataset"),
    ("DatasetFiles", "/dataset/validation"),
    ("Objective", "/objective"),
    ("Sampler", "/sampler"),
    ("Pruner", "/pruner"),
    ("Retry", "/retry"),
    ("EarlyStop", "/early_stop"),
];

/// Objects that exclude one of [`whole`]: what they are, where they stand instead, and such an
/// object.
const INSTEAD: &[(&str, &str, &str)] = &[
    (
        "WrappedSimpleRNN",
        "/network/31/wrapped",
        r#"{"layer": "SimpleRNN", "units": 3, "activation": "relu"}"#,
    ),
    ("WrappedLSTM", "/network/31/wrapped", r#"{"layer": "LSTM", "units": 3, "unit_forget_bias": false}"#),
    (
        "RmspropOptimizer",
        "/training/optimizer/cases/true",
        r#"{"name": "rmsprop", "rho": 0.8, "momentum": 0.1, "centered": true, "epsilon": 1e-6}"#,
    ),
    (
        "AdamwOptimizer",
        "/training/optimizer/cases/true",
        r#"{"name": "adamw", "weight_decay": 0.1, "amsgrad": true, "use_ema": true}"#,
    ),
    (
        "NadamOptimizer",
        "/training/optimizer/cases/true",
        r#"{"name": "nadam", "beta_1": 0.8, "clipvalue": 1}"#,
    ),
    ("AdamaxOptimizer", "/training/optimizer/cases/true", r#"{"name": "adamax", "beta_2": 0.9}"#),
    (
        "AdagradOptimizer",
        "/training/optimizer/cases/true",
        r#"{"name": "adagrad", "initial_accumulator_value": 0.2}"#,
    ),
    (
        "AdadeltaOptimizer",
        "/training/optimizer/cases/true",
        r#"{"name": "adadelta", "rho": 0.9, "weight_decay": null}"#,
    ),
    ("LionOptimizer", "/training/optimizer/cases/true", r#"{"name": "lion", "beta_1": 0.8, "beta_2": 0.9}"#),
    (
        "PolynomialDecay",
        "/training/optimizer/cases/true/learning_rate",
        r#"{"name": "polynomial_decay", "initial_learning_rate": 1, "decay_steps": 9, "end_learning_rate": 0.1, "power": 2, "cycle": true}"#,
    ),
    (
        "InverseTimeDecay",
        "/training/optimizer/cases/true/learning_rate",
        r#"{"name": "inverse_time_decay", "initial_learning_rate": 1, "decay_steps": 9, "decay_rate": 0.5, "staircase": true}"#,
    ),
    (
        "PiecewiseConstantDecay",
        "/training/optimizer/cases/true/learning_rate",
        r#"{"name": "piecewise_constant_decay", "boundaries": [9], "values": [1, 0.5]}"#,
    ),
    (
        "CosineDecayRestarts",
        "/training/optimizer/cases/true/learning_rate",
        r#"{"name": "cosine_decay_restarts", "initial_learning_rate": 1, "first_decay_steps": 9, "t_mul": 1, "m_mul": 0.5, "alpha": 0.1}"#,
    ),
    ("PlainLoss", "/training/loss", r#"{"name": "kl_divergence"}"#),
    (
        "CategoricalCrossentropy",
        "/training/loss",
        r#"{"name": "categorical_crossentropy", "from_logits": true, "label_smoothing": 0.1}"#,
    ),
    (
        "BinaryCrossentropy",
        "/training/loss",
        r#"{"name": "binary_crossentropy", "from_logits": true, "label_smoothing": 0.1}"#,
    ),
    ("Huber", "/training/loss", r#"{"name": "huber", "delta": 2}"#),
    (
        "ReduceLrOnPlateau",
        "/training/callbacks/0",
        r#"{"name": "reduce_lr_on_plateau", "monitor": "val_loss", "factor": 0.5, "patience": 2, "mode": "min", "min_delta": 0, "cooldown": 1, "min_lr": 0}"#,
    ),
];

/// Each object that a study may hold: what it is, where it stands, and a study with it.
fn places() -> Vec<(&'static str, &'static str, Json)> {
    let instead = INSTEAD.iter().map(|(name, pointer, object)| {
        let mut document = whole();
        if *name == "ReduceLrOnPlateau" {
            document["training"]["optimizer"] = json!("adam"); // Without a schedule.
        }
        *document.pointer_mut(pointer).unwrap() = serde_json::from_str(object).unwrap();
        (*name, *pointer, document)
    });
    PLACES.iter().map(|(name, pointer)| (*name, *pointer, whole())).chain(instead).collect()
}

/// A study with an object of each kind and all their fields, but for those that exclude each other.
fn whole() -> Json {
    let dense = json!({
        "layer": "Dense", "units": 10, "activation": "softmax", "use_bias": true, "when": {"deep": [true]},
        "kernel_initializer": {"name": "variance_scaling", "scale": 2, "mode": "fan_avg", "distribution": "uniform"}, "bias_initializer": {"name": "constant", "value": 1},
        "kernel_regularizer": {"name": "l1_l2", "l1": 0.1, "l2": {"hp": "rate"}}, "bias_regularizer": {"name": "l1", "l1": 0.1}, "activity_regularizer": {"name": "l2", "l2": 0.1},
        "kernel_constraint": {"name": "max_norm", "max_value": 3, "axis": [0]}, "bias_constraint": {"name": "unit_norm", "axis": 0}
    });
    let recurrent = |class: &str| json!({"layer": class, "units": 3, "dropout": 0.1, "return_sequences": true, "recurrent_initializer": {"name": "orthogonal", "gain": 1}, "stateful": false});
    let network = json!([
        {"repeat": {"hp": "count"}, "when": {"always": [3]}, "layers": [{"layer": "Flatten", "when": {"deep": [true]}}, {"layer": "Dense", "units": {"hp": "units"}}]},
        {"hp": "deep", "cases": {"true": {"layer": "Flatten"}, "false": null}},
        {"layer": "Reshape", "target_shape": [2, -1, {"hp": "always"}], "when": {"deep": [true]}},
        {"layer": "Rescaling", "scale": 0.5, "offset": 1, "when": {"deep": [true]}},
        dense,
        {"layer": "Activation", "activation": "relu", "when": {"deep": [true]}},
        {"layer": "Dropout", "rate": {"hp": "deep", "cases": {"true": {"hp": "rate"}, "false": 0.1}}, "when": {"deep": [true, false]}},
        {"layer": "Conv2D", "filters": 3, "kernel_size": [3, 3], "strides": 1, "padding": "same", "activation": "relu", "use_bias": false,
         "kernel_initializer": {"name": "random_normal", "mean": 0, "stddev": 0.1}, "bias_initializer": {"name": "ones"}, "kernel_constraint": {"name": "non_neg"},
         "groups": 3, "dilation_rate": [1, 1], "activity_regularizer": null, "when": {"deep": [true]}},
        {"layer": "MaxPooling2D", "pool_size": 2, "strides": null, "padding": "valid", "when": {"deep": [true]}},
        {"layer": "Permute", "dims": [2, 1]},
        {"layer": "ZeroPadding2D", "padding": [[1, 2], 3]},
        {"layer": "Conv1D", "filters": 3, "kernel_size": [3], "kernel_initializer": {"name": "uniform", "minval": -1, "maxval": 1}, "bias_initializer": {"name": "truncated_normal", "mean": 0, "stddev": 0.1}},
        {"layer": "DepthwiseConv2D", "kernel_size": 3, "depth_multiplier": 2, "depthwise_initializer": "he_normal"},
        {"layer": "SeparableConv2D", "filters": 3, "kernel_size": 3, "pointwise_regularizer": "l2"},
        {"layer": "MaxPooling1D", "pool_size": [2], "strides": 1},
        {"layer": "AveragePooling1D"},
        {"layer": "AveragePooling2D", "pool_size": 2},
        {"layer": "GlobalAveragePooling1D", "keepdims": false},
        {"layer": "GlobalAveragePooling2D", "keepdims": true},
        {"layer": "GlobalMaxPooling1D", "keepdims": {"hp": "deep"}},
        {"layer": "GlobalMaxPooling2D"},
        {"layer": "LeakyReLU", "negative_slope": 0.1},
        {"layer": "PReLU", "alpha_initializer": "zeros", "shared_axes": [1]},
        {"layer": "SpatialDropout2D", "rate": 0.1},
        {"layer": "GaussianNoise", "stddev": 0.1},
        {"layer": "BatchNormalization", "axis": -1, "momentum": 0.9, "epsilon": 0.001, "center": true, "scale": false, "moving_mean_initializer": "zeros"},
        {"layer": "LayerNormalization", "gamma_constraint": "non_neg"},
        {"layer": "Embedding", "input_dim": 10, "output_dim": 3, "mask_zero": false},
        recurrent("SimpleRNN"),
        recurrent("LSTM"),
        recurrent("GRU"),
        {"layer": "Bidirectional", "wrapped": recurrent("GRU"), "merge_mode": "sum"}
    ]);
    let training = json!({
        "optimizer": {"hp": "deep", "cases": {
            "true": {"name": "adam", "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": false, "weight_decay": 0.1, "clipnorm": 1, "use_ema": true, "ema_momentum": 0.9,
                     "learning_rate": {"name": "cosine_decay", "initial_learning_rate": 0.1, "decay_steps": 9, "alpha": 0, "warmup_target": null, "warmup_steps": 0}},
            "false": {"name": "sgd", "momentum": 0.5, "nesterov": true,
                      "learning_rate": {"name": "exponential_decay", "initial_learning_rate": {"hp": "rate"}, "decay_steps": 9, "decay_rate": 0.5, "staircase": false}}
        }},
        "loss": {"name": "sparse_categorical_crossentropy", "from_logits": false},
        "metrics": [{"name": "accuracy"}, {"name": "top_k_categorical_accuracy", "k": 3}, "auc"], "batch_size": 32, "epochs": {"hp": "always"},
        "callbacks": [
            {"name": "early_stopping", "monitor": "val_accuracy", "mode": "max", "min_delta": 0.1, "patience": {"hp": "always"}, "baseline": null,
             "restore_best_weights": true, "start_from_epoch": 1},
            {"name": "terminate_on_nan"}
        ],
        "class_weight": {"0": 1, "1": {"hp": "rate"}}
    });
    json!({
        "name": "whole", "seed": 1, "max_trials": 3, "max_parallel": 2, "executions_per_trial": 2, "max_trial_seconds": 60.5, "device": "cpu", "weight": 2, "tags": {"by": "me"},
        "space": [
            {"name": "count", "type": "int", "min_value": 1, "max_value": 3, "step": 1, "sampling": "linear", "default": 2},
            {"name": "rate", "type": "float", "min_value": 0.1, "max_value": 0.5, "step": 0.1, "sampling": "linear", "default": 0.2},
            {"name": "units", "type": "choice", "values": [8, 16], "per": "count"},
            {"name": "deep", "type": "boolean", "when": {"count": [1, 2, 3]}},
            {"name": "always", "type": "fixed", "value": 3}
        ],
        "network": network, "training": training,
        "dataset": {"features": "x", "labels": "y", "validation": {"features": "vx", "labels": "vy"}, "shuffle": true, "scale": "none"},
        "objective": {"metric": "val_accuracy", "direction": "maximize"},
        "sampler": {"name": "random"}, "pruner": {"name": "none"},
        "retry": {"max_failures": 1, "max_stalls": 2, "backoff_seconds": 0.5}, "early_stop": {"max_failures_in_a_row": 2}
    })
}

/// The committed contract, as a validator of the schema called `name` in it.
fn validator(name: &str) -> Validator {
    let mut schema = contract();
    schema["$ref"] = json!(format!("#/components/schemas/{name}"));
    jsonschema::draft202012::new(&schema).unwrap()
}

fn contract() -> Json {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn examples() -> Vec<(String, Json)> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    paths
        .map(|path| {
            (path.display().to_string(), serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
        })
        .collect()
}

fn problems(document: &Json) -> Vec<Problem> {
    Study::parse(document).err().unwrap_or_default()
}

/// `document` with `value` as the member `name` of the object at `pointer`; none takes the member
/// away.
fn with(document: &Json, pointer: &str, name: &str, value: Option<Json>) -> Json {
    let mut document = document.clone();
    let object = document.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => drop(object.insert(name.to_owned(), value)),
        None => drop(object.shift_remove(name)),
    }
    document
}

/// The names after the last colon, split at commas.
fn known(problem: &Problem) -> BTreeSet<&str> {
    problem.detail.rsplit_once(": ").map_or(BTreeSet::new(), |(_, names)| names.split(", ").collect())
}

#[test]
fn every_example_is_valid() {
    let validator = validator("Study");
    for (name, example) in examples().into_iter().chain([("the whole".to_owned(), whole())]) {
        assert_eq!(problems(&example), [], "{name}");
        let errors: Vec<String> = validator
            .iter_errors(&example)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

#[test]
fn what_is_not_a_study_is_invalid() {
    let validator = validator("Study");
    let check = |pointer: &str, name: &str, value: Option<Json>| {
        let document = with(&whole(), pointer, name, value);
        assert!(
            !validator.is_valid(&document),
            "{pointer}/{name} passes as {:?}",
            document.pointer(&format!("{pointer}/{name}"))
        );
        assert!(!problems(&document).is_empty(), "{pointer}/{name} parses");
    };
    check("", "training", None);
    check("", "network", Some(json!([])));
    check("", "network", Some(json!([{"layer": "Dens", "units": 3}])));
    check("", "network", Some(json!([{"layer": "Dense", "units": 3, "filters": 3}])));
    check("", "seed", Some(json!("1")));
    check("", "tags", Some(json!({"a": 1})));
    check("/space/0", "type", Some(json!("integer")));
    check("/space/0", "values", Some(json!([1, 2])));
    check("/space/1", "sampling", Some(json!("logarithmic")));
    check("/space/2", "values", Some(json!([1, 1])));
    check("/space/3", "when", Some(json!({"count": 1})));
    check("/network/0", "repeat", Some(json!(0)));
    check("/network/2", "target_shape", Some(json!([0])));
    check("/network/4", "units", Some(json!("many")));
    check("/network/7", "kernel_size", Some(json!([3, 3, 3])));
    check("/training", "optimizer", Some(json!("ftrl")));
    check("/training", "optimizer", Some(json!({"name": "adamw", "weight_decay": null})));
    check("/training", "loss", Some(json!({"name": "huber", "from_logits": true})));
    check("/training", "class_weight", Some(json!({"first": -1})));
    check("/training/callbacks/0", "mode", Some(json!("maximize")));
    check("/network/4", "kernel_initializer", Some(json!({"name": "zeros", "gain": 1})));
    check("/network/11", "kernel_size", Some(json!([3, 3])));
    check("/network/31", "wrapped", Some(json!({"layer": "Dense", "units": 3})));
    check("/training", "metrics", Some(json!(["accuracy", "accuracy"])));
    check("/training/optimizer/cases/true", "beta_1", Some(json!(1)));
    check("/dataset", "source", Some(json!("builtin:digits")));
    check("/dataset", "labels", None);
    check("/objective", "metric", Some(json!("val_acc")));
}

/// Objects that stand where [`whole`] has another of their kind: the parser reads them by the same
/// fields.
const OTHER_DATASETS: [&str; 6] =
    ["BuiltinDataset", "CsvDataset", "ParquetDataset", "ArraysDataset", "ImagesDataset", "DatasetArrays"];

#[test]
fn every_kind_of_dataset_is_valid_by_schema_and_parser() {
    let validator = validator("Study");
    let check = |dataset: Json, valid: bool| {
        let document = with(&whole(), "", "dataset", Some(dataset.clone()));
        assert_eq!(
            (validator.is_valid(&document), problems(&document).is_empty()),
            (valid, valid),
            "{dataset}"
        );
    };
    check(json!({"source": "builtin:iris", "folds": 5}), true);
    check(
        json!({"source": "a.csv", "label": "y", "folds": 5, "sample_weight": "w", "one_hot": ["a", "b"]}),
        true,
    );
    check(json!({"source": "a.parquet", "label": "y", "validation_split": 0.2, "one_hot": ["a"]}), true);
    let arrays = json!({"features": "x_test", "labels": "y_test"});
    check(
        json!({"source": "mnist.npz", "features": "x_train", "labels": "y_train", "validation": arrays, "sample_weight": "w"}),
        true,
    );
    check(json!({"source": "a/b.safetensors", "features": "x", "labels": "y", "folds": 2}), true);
    check(json!({"source": "flowers/", "validation_split": 0.2}), true);
    check(json!({"source": "flowers/", "label": "y", "validation_split": 0.2}), false);
    check(json!({"source": "mnist.npz", "label": "y", "validation_split": 0.2}), false);
    check(json!({"source": "a.parquet", "validation_split": 0.2}), false);
    check(json!({"source": "a.csv", "label": "y", "folds": 1}), false);
    check(json!({"source": "builtin:iris", "sample_weight": "w", "folds": 5}), false);
    let files = json!({"features": "x_test", "labels": "y_test"});
    check(json!({"features": "x", "labels": "y", "validation": files}), true);
    for source in [
        json!({"source": "builtin:iris"}),
        json!({"source": "flowers/"}),
        json!({"source": "a.csv", "label": "y"}),
    ] {
        check(with(&source, "", "validation", Some(files.clone())), false);
    }
}

#[test]
fn the_schema_and_the_parser_know_the_same_fields() {
    let contract = contract();
    let validator = validator("Study");
    let schemas = contract["components"]["schemas"].as_object().unwrap();
    for (name, pointer, document) in places() {
        let document = with(&document, pointer, "☃☃☃☃", Some(json!(1))); // Near no name.
        assert!(!validator.is_valid(&document), "{name} takes an unknown field");
        let problems = problems(&document);
        let unknown = problems.iter().find(|problem| problem.pointer == format!("{pointer}/☃☃☃☃"));
        let parsed =
            known(unknown.unwrap_or_else(|| panic!("{name} parses an unknown field: {problems:#?}")));
        let mut documented: BTreeSet<&str> =
            schemas[name]["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        if name == "IdxDataset" {
            documented.extend(["source", "label", "sample_weight", "one_hot"]); // Of the other kinds of dataset.
        }
        assert_eq!(parsed, documented, "{name}");
    }
    // No object is left out.
    let placed: BTreeSet<&str> = places().into_iter().map(|(name, ..)| name).chain(OTHER_DATASETS).collect();
    let mut reached = BTreeMap::new();
    reach("Study", &contract, &mut reached);
    let objects: BTreeSet<&str> = reached
        .iter()
        .filter(|(_, schema)| schema.get("properties").is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(objects, placed);
}

/// What `name` refers to, itself included.
fn reach<'a>(name: &str, contract: &'a Json, reached: &mut BTreeMap<String, &'a Json>) {
    let schema = &contract["components"]["schemas"][name];
    if reached.insert(name.to_owned(), schema).is_none() {
        let text = schema.to_string();
        text.split("\"$ref\":\"#/components/schemas/")
            .skip(1)
            .for_each(|rest| reach(rest.split('"').next().unwrap(), contract, reached));
    }
}

#[test]
fn the_schema_and_the_parser_know_the_same_names_and_bounds() {
    let contract = contract();
    let schemas = &contract["components"]["schemas"];
    let mut checked = (0, 0);
    for (component, pointer, document) in places() {
        for (name, property) in schemas[component]["properties"].as_object().unwrap() {
            let at = format!("{pointer}/{name}");
            let found = |value: Json| {
                problems(&with(&document, pointer, name, Some(value)))
                    .into_iter()
                    .find(|problem| problem.pointer == at)
            };
            let bounds = |detail: &str| {
                ["must be between", "must be an integer", "must be at least"]
                    .iter()
                    .any(|words| detail.contains(words))
            };
            // The schema of the plain value, where a hyperparameter may stand for it.
            let mut plain = property;
            while plain["oneOf"].is_array() || plain["$ref"].is_string() {
                let named = plain["$ref"]
                    .as_str()
                    .and_then(|place| place.rsplit('/').next())
                    .map(|name| &schemas[name]);
                plain = named.unwrap_or(&plain["oneOf"][0]);
            }
            for (bound, outward) in [("minimum", -1.0), ("maximum", 1.0)] {
                let Some(limit) = plain[bound].as_f64() else { continue };
                let outside = if plain["type"] == "integer" {
                    json!(limit as i64 + outward as i64)
                } else {
                    json!(limit + outward * 1e-3 * limit.abs().max(1e-9))
                };
                let inside = found(plain[bound].clone());
                assert!(
                    inside.as_ref().is_none_or(|problem| !bounds(&problem.detail)),
                    "{at}: {bound} {limit} is refused: {inside:?}"
                );
                // An int's step and early_stop's count are refused with other words, or at another
                // place.
                let refused = problems(&with(&document, pointer, name, Some(outside.clone())));
                assert!(!refused.is_empty(), "{at}: {outside} is beyond the {bound} and parses");
                checked.0 += 1;
            }
            if let (Some(names), "string") =
                (plain["enum"].as_array(), plain["type"].as_str().unwrap_or("string"))
            {
                let documented: BTreeSet<&str> = names.iter().filter_map(Json::as_str).collect();
                let refused = found(json!("☃")).unwrap_or_else(|| panic!("{at} may be a ☃"));
                let parsed = known(&refused);
                let one_kind = matches!(name.as_str(), "type" | "layer" | "name");
                assert!(
                    parsed == documented
                        || (one_kind && parsed.is_superset(&documented))
                        || matches!(name.as_str(), "metric" | "monitor"),
                    "{at}: {parsed:?}, not {documented:?}"
                );
                checked.1 += 1;
            }
        }
    }
    assert!(checked.0 >= 200 && checked.1 >= 150, "only {checked:?}");
    // Every layer that is built is documented.
    let refused = problems(&with(&whole(), "/network/4", "layer", Some(json!("☃"))));
    let documented: BTreeSet<&str> = schemas["Layer"]["discriminator"]["mapping"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(known(&refused[0]), documented);
}

#[test]
fn every_document_that_parses_is_valid() {
    let validator = validator("Study");
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(2.0),
        json!(2.5),
        json!(1e300),
        json!(""),
        json!("relu"),
        json!("adam"),
        json!("count"),
        json!([]),
        json!([1]),
        json!([3, 3]),
        json!({}),
        json!({"hp": "always"}),
        json!({"hp": "count"}),
        json!({"deep": [true]}),
        json!({"hp": "deep", "cases": {"true": 1, "false": {"hp": "always"}}}),
        json!({"hp": "deep", "cases": {"true": null, "false": null}}),
    ];
    let (mut parsed, mut refused) = (0, 0);
    // Of the objects that stand instead of others, what is in them.
    let below = |(_, place, document): (&str, &str, Json)| {
        let inside: Vec<String> =
            pointers(&document).into_iter().filter(|pointer| pointer.starts_with(place)).collect();
        inside.into_iter().map(move |pointer| (document.clone(), pointer)).collect::<Vec<_>>()
    };
    let instead = places().into_iter().skip(PLACES.len()).flat_map(below);
    for (document, pointer) in pointers(&whole()).into_iter().map(|pointer| (whole(), pointer)).chain(instead)
    {
        for value in &values {
            let mut document = document.clone();
            *document.pointer_mut(&pointer).unwrap() = value.clone();
            if problems(&document).is_empty() {
                assert!(validator.is_valid(&document), "{pointer} may be {value}, but not by the schema");
                parsed += 1;
            } else {
                refused += usize::from(!validator.is_valid(&document));
            }
        }
    }
    // Most of what the parser refuses, the schema refuses as well.
    assert!(parsed >= 200 && refused >= 2_000, "{parsed} documents parsed, {refused} refused by both");
}

/// A pointer to every value below `json`.
fn pointers(json: &Json) -> Vec<String> {
    let children: Vec<(String, &Json)> = match json {
        Json::Object(members) => members.iter().map(|(name, member)| (name.clone(), member)).collect(),
        Json::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        _ => Vec::new(),
    };
    children
        .into_iter()
        .flat_map(|(name, child)| {
            std::iter::once(format!("/{name}"))
                .chain(pointers(child).into_iter().map(move |below| format!("/{name}{below}")))
        })
        .collect()
}

//! The schema of the study document against its parser: the same names, the same bounds, and every study that parses is valid.

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
    ("Reference", "/network/6/rate"),
    ("Training", "/training"),
    ("OptimizerReference", "/training/optimizer"),
    ("AdamOptimizer", "/training/optimizer/cases/true"),
    ("SgdOptimizer", "/training/optimizer/cases/false"),
    ("IdxDataset", "/dataset"),
    ("DatasetFiles", "/dataset/validation"),
    ("Objective", "/objective"),
    ("Sampler", "/sampler"),
    ("Pruner", "/pruner"),
    ("Retry", "/retry"),
    ("EarlyStop", "/early_stop"),
];

/// A study with an object of each kind and all their fields, but for those that exclude each other.
fn whole() -> Json {
    let dense = json!({"layer": "Dense", "units": 10, "activation": "softmax", "use_bias": true, "kernel_initializer": "ones", "bias_initializer": "zeros", "when": {"deep": [true]}});
    json!({
        "name": "whole", "seed": 1, "max_trials": 3, "max_parallel": 2, "max_trial_seconds": 60.5, "device": "cpu", "weight": 2, "tags": {"by": "me"},
        "space": [
            {"name": "count", "type": "int", "min_value": 1, "max_value": 3, "step": 1, "sampling": "linear", "default": 2},
            {"name": "rate", "type": "float", "min_value": 0.1, "max_value": 0.5, "step": 0.1, "sampling": "linear", "default": 0.2},
            {"name": "units", "type": "choice", "values": [8, 16], "ordered": true, "default": 8, "per": "count"},
            {"name": "deep", "type": "boolean", "default": true, "when": {"count": [1, 2, 3]}},
            {"name": "always", "type": "fixed", "value": 3, "default": 3}
        ],
        "network": [
            {"repeat": {"hp": "count"}, "when": {"always": [3]}, "layers": [{"layer": "Flatten", "when": {"deep": [true]}}, {"layer": "Dense", "units": {"hp": "units"}}]},
            {"hp": "deep", "cases": {"true": {"layer": "Flatten"}, "false": null}},
            {"layer": "Reshape", "target_shape": [2, -1, {"hp": "always"}], "when": {"deep": [true]}},
            {"layer": "Rescaling", "scale": 0.5, "offset": 1, "when": {"deep": [true]}},
            dense,
            {"layer": "Activation", "activation": "relu", "when": {"deep": [true]}},
            {"layer": "Dropout", "rate": {"hp": "deep", "cases": {"true": {"hp": "rate"}, "false": 0.1}}, "when": {"deep": [true, false]}},
            {"layer": "Conv2D", "filters": 3, "kernel_size": [3, 3], "strides": 1, "padding": "same", "activation": "relu", "use_bias": false,
             "kernel_initializer": "he_normal", "bias_initializer": "ones", "when": {"deep": [true]}},
            {"layer": "MaxPooling2D", "pool_size": 2, "strides": null, "padding": "valid", "when": {"deep": [true]}}
        ],
        "training": {
            "optimizer": {"hp": "deep", "cases": {
                "true": {"name": "adam", "learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
                "false": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.5}
            }},
            "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], "batch_size": 32, "epochs": {"hp": "always"}
        },
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
    let paths = folder.map(|entry| entry.unwrap().path());
    paths.map(|path| (path.display().to_string(), serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())).collect()
}

fn problems(document: &Json) -> Vec<Problem> {
    Study::parse(document).err().unwrap_or_default()
}

/// `document` with `value` as the member `name` of the object at `pointer`; none takes the member away.
fn with(document: &Json, pointer: &str, name: &str, value: Option<Json>) -> Json {
    let mut document = document.clone();
    let object = document.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => drop(object.insert(name.to_owned(), value)),
        None => drop(object.shift_remove(name)),
    }
    document
}

/// The numbers after `known are`, split at commas.
fn known(problem: &Problem) -> BTreeSet<&str> {
    problem.detail.rsplit_once("known are ").map_or(BTreeSet::new(), |(_, names)| names.split(", ").collect())
}

#[test]
fn every_example_is_valid() {
    let validator = validator("Study");
    for (name, example) in examples().into_iter().chain([("the whole".to_owned(), whole())]) {
        assert_eq!(problems(&example), [], "{name}");
        let errors: Vec<String> = validator.iter_errors(&example).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

#[test]
fn what_is_not_a_study_is_invalid() {
    let validator = validator("Study");
    let check = |pointer: &str, name: &str, value: Option<Json>| {
        let document = with(&whole(), pointer, name, value);
        assert!(!validator.is_valid(&document), "{pointer}/{name} passes as {:?}", document.pointer(&format!("{pointer}/{name}")));
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
    check("/training", "optimizer", Some(json!("rmsprop")));
    check("/training", "metrics", Some(json!(["accuracy", "accuracy"])));
    check("/training/optimizer/cases/true", "beta_1", Some(json!(1)));
    check("/dataset", "source", Some(json!("builtin:digits")));
    check("/dataset", "labels", None);
    check("/objective", "metric", Some(json!("val_acc")));
}

/// Objects that stand where [`whole`] has another of their kind: the parser reads them by the same fields.
const OTHER_DATASETS: [&str; 6] = ["BuiltinDataset", "CsvDataset", "ParquetDataset", "ArraysDataset", "ImagesDataset", "DatasetArrays"];

#[test]
fn every_kind_of_dataset_is_valid_by_schema_and_parser() {
    let validator = validator("Study");
    let check = |dataset: Json, valid: bool| {
        let document = with(&whole(), "", "dataset", Some(dataset.clone()));
        assert_eq!((validator.is_valid(&document), problems(&document).is_empty()), (valid, valid), "{dataset}");
    };
    check(json!({"source": "builtin:iris", "folds": 5}), true);
    check(json!({"source": "a.csv", "label": "y", "folds": 5, "sample_weight": "w", "one_hot": ["a", "b"]}), true);
    check(json!({"source": "a.parquet", "label": "y", "validation_split": 0.2, "one_hot": ["a"]}), true);
    let arrays = json!({"features": "x_test", "labels": "y_test"});
    check(json!({"source": "mnist.npz", "features": "x_train", "labels": "y_train", "validation": arrays, "sample_weight": "w"}), true);
    check(json!({"source": "a/b.safetensors", "features": "x", "labels": "y", "folds": 2}), true);
    check(json!({"source": "flowers/", "validation_split": 0.2}), true);
    check(json!({"source": "flowers/", "label": "y", "validation_split": 0.2}), false);
    check(json!({"source": "mnist.npz", "label": "y", "validation_split": 0.2}), false);
    check(json!({"source": "a.parquet", "validation_split": 0.2}), false);
    check(json!({"source": "a.csv", "label": "y", "folds": 1}), false);
    check(json!({"source": "builtin:iris", "sample_weight": "w", "folds": 5}), false);
}

#[test]
fn the_schema_and_the_parser_know_the_same_fields() {
    let contract = contract();
    let validator = validator("Study");
    let schemas = contract["components"]["schemas"].as_object().unwrap();
    for (name, pointer) in PLACES {
        let document = with(&whole(), pointer, "☃", Some(json!(1)));
        assert!(!validator.is_valid(&document), "{name} takes an unknown field");
        let problems = problems(&document);
        let unknown = problems.iter().find(|problem| problem.pointer == format!("{pointer}/☃"));
        let parsed = known(unknown.unwrap_or_else(|| panic!("{name} parses an unknown field: {problems:#?}")));
        let mut documented: BTreeSet<&str> = schemas[*name]["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        if *name == "IdxDataset" {
            documented.extend(["source", "label", "sample_weight", "one_hot"]); // Of the other kinds of dataset.
        }
        assert_eq!(parsed, documented, "{name}");
    }
    // No object is left out.
    let placed: BTreeSet<&str> = PLACES.iter().map(|(name, _)| *name).chain(OTHER_DATASETS).collect();
    let mut reached = BTreeMap::new();
    reach("Study", &contract, &mut reached);
    let objects: BTreeSet<&str> =
        reached.iter().filter(|(_, schema)| schema.get("properties").is_some()).map(|(name, _)| name.as_str()).collect();
    assert_eq!(objects, placed);
}

/// What `name` refers to, itself included.
fn reach<'a>(name: &str, contract: &'a Json, reached: &mut BTreeMap<String, &'a Json>) {
    let schema = &contract["components"]["schemas"][name];
    if reached.insert(name.to_owned(), schema).is_none() {
        let text = schema.to_string();
        text.split("\"$ref\":\"#/components/schemas/").skip(1).for_each(|rest| reach(rest.split('"').next().unwrap(), contract, reached));
    }
}

#[test]
fn the_schema_and_the_parser_know_the_same_names_and_bounds() {
    let contract = contract();
    let schemas = &contract["components"]["schemas"];
    let mut checked = (0, 0);
    for (component, pointer) in PLACES {
        for (name, property) in schemas[*component]["properties"].as_object().unwrap() {
            let at = format!("{pointer}/{name}");
            let found =
                |value: Json| problems(&with(&whole(), pointer, name, Some(value))).into_iter().find(|problem| problem.pointer == at);
            let bounds =
                |detail: &str| ["must lie between", "must be an integer", "must be at least"].iter().any(|words| detail.contains(words));
            // The schema of the plain value, where a hyperparameter may stand for it.
            let plain = property["oneOf"].as_array().map_or(property, |any| &any[0]);
            for (bound, outward) in [("minimum", -1.0), ("maximum", 1.0)] {
                let Some(limit) = plain[bound].as_f64() else { continue };
                let outside = if plain["type"] == "integer" {
                    json!(limit as i64 + outward as i64)
                } else {
                    json!(limit + outward * 1e-3 * limit.abs().max(1e-9))
                };
                let inside = found(plain[bound].clone());
                assert!(inside.as_ref().is_none_or(|problem| !bounds(&problem.detail)), "{at}: {bound} {limit} is refused: {inside:?}");
                // An int's step and early_stop's count are refused with other words, or at another place.
                let refused = problems(&with(&whole(), pointer, name, Some(outside.clone())));
                assert!(!refused.is_empty(), "{at}: {outside} is beyond the {bound} and parses");
                checked.0 += 1;
            }
            if let (Some(names), "string") = (plain["enum"].as_array(), plain["type"].as_str().unwrap_or("string")) {
                let documented: BTreeSet<&str> = names.iter().filter_map(Json::as_str).collect();
                let refused = found(json!("☃")).unwrap_or_else(|| panic!("{at} may be a ☃"));
                let parsed = known(&refused);
                let one_kind = matches!(name.as_str(), "type" | "layer") || component.ends_with("Optimizer");
                assert!(
                    parsed == documented || (one_kind && parsed.is_superset(&documented)) || name == "metric",
                    "{at}: {parsed:?}, not {documented:?}"
                );
                checked.1 += 1;
            }
        }
    }
    assert!(checked.0 >= 40 && checked.1 >= 30, "only {checked:?}");
    // Every layer that is built is documented.
    let refused = problems(&with(&whole(), "/network/4", "layer", Some(json!("☃"))));
    let documented: BTreeSet<&str> = schemas["Layer"]["discriminator"]["mapping"].as_object().unwrap().keys().map(String::as_str).collect();
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
    for pointer in pointers(&whole()) {
        for value in &values {
            let mut document = whole();
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
        Json::Array(items) => items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect(),
        _ => Vec::new(),
    };
    children
        .into_iter()
        .flat_map(|(name, child)| {
            std::iter::once(format!("/{name}")).chain(pointers(child).into_iter().map(move |below| format!("/{name}{below}")))
        })
        .collect()
}

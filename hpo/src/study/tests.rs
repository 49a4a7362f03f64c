use serde_json::json;

use super::*;
use crate::dataset::{DatasetSchema, Findings};
use crate::document::ProblemKind;
use crate::preflight::Preflight;
use crate::training::{Callbacks, ClassWeight, Rule, Schedule};

/// The studies of `openapi/examples`, by name.
pub(crate) fn examples() -> Vec<(String, Json)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/examples");
    let mut examples: Vec<(String, Json)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            (
                path.file_stem().unwrap().to_str().unwrap().to_owned(),
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(),
            )
        })
        .collect();
    examples.sort_by(|a, b| a.0.cmp(&b.0));
    examples
}

/// The schemas of the datasets in the examples.
pub(crate) fn schema_of(study: &Study) -> DatasetSchema {
    let (shape, rows, classes, scale_max) = match &study.dataset.source {
        crate::dataset::Source::Builtin(name) => match name.as_str() {
            "digits" => (vec![8, 8], 1_797, Some(10), Some(16.0)),
            "iris" => (vec![4], 150, Some(3), None),
            "wine" => (vec![13], 178, Some(3), None),
            "breast_cancer" => (vec![30], 569, Some(2), None),
            "diabetes" => (vec![10], 442, None, None),
            other => panic!("no schema of {other}"),
        },
        crate::dataset::Source::Table { .. } => (vec![6], 180, Some(3), None),
        _ => (vec![28, 28], 60_000, Some(10), Some(255.0)),
    };
    DatasetSchema { shape, dtype: "float32".to_owned(), rows, classes, scale_max, ..DatasetSchema::default() }
}

/// The pre-flight on features that are valid ids for every table.
pub(crate) fn preflight(study: &Study, dataset: &DatasetSchema) -> Result<Preflight, Vec<Problem>> {
    crate::preflight::preflight(study, dataset, &Findings::default())
}

/// The smallest possible study.
pub(crate) fn smallest() -> Json {
    json!({
        "name": "smallest", "seed": 1,
        "network": [{"layer": "Dense", "units": 3, "activation": "softmax"}],
        "training": {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]},
        "dataset": {"source": "builtin:iris", "validation_split": 0.2},
        "objective": {"metric": "val_accuracy"}
    })
}

/// `document` with `value` at `pointer`, whose parent exists.
pub(crate) fn with(mut document: Json, pointer: &str, value: Json) -> Json {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Json::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        Json::Object(members) => drop(members.insert(key.replace("~1", "/").replace("~0", "~"), value)),
        other => panic!("{other} has no {key}"),
    }
    document
}

fn without(mut document: Json, field: &str) -> Json {
    document.as_object_mut().unwrap().shift_remove(field);
    document
}

/// Asserts that exactly these problems are reported, in any order: each a pointer and a part of its
/// detail.
#[track_caller]
pub(crate) fn check(document: &Json, expect: &[(&str, &str)]) {
    let problems = Study::parse(document).map(|_| Vec::new()).unwrap_or_else(|problems| problems);
    let met = |(pointer, fragment): &(&str, &str)| {
        problems.iter().any(|problem| problem.pointer == *pointer && problem.detail.contains(fragment))
    };
    assert!(
        problems.len() == expect.len() && expect.iter().all(met),
        "expected {expect:#?}\ngot {problems:#?}\nof {document}"
    );
}

#[track_caller]
fn check_field(pointer: &str, value: Json, fragment: &str) {
    check(&with(smallest(), pointer, value), &[(pointer, fragment)]);
}

#[test]
fn every_example_is_a_study_that_works_on_its_dataset() {
    let examples = examples();
    assert!(examples.len() >= 16, "only {} examples", examples.len());
    for (name, document) in examples {
        let study = Study::parse(&document).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
        assert_eq!(study.name, name);
        let preflight =
            preflight(&study, &schema_of(&study)).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
        assert_eq!(preflight.shapes, "complete", "{name}");
        let mut sampler = crate::sampler::Sampler::new(study.sampler, &study.space, study.seed);
        for number in 0..20 {
            let Some(point) = sampler.suggest(number) else { break };
            study.plan(&point).unwrap_or_else(|problems| panic!("{name}, trial {number}: {problems:#?}"));
        }
    }
}

#[test]
fn the_seed_tutorials_grid_has_48_points() {
    let (_, document) = examples().into_iter().find(|(name, _)| name == "mnist-grid").unwrap();
    let study = Study::parse(&document).unwrap();
    assert_eq!((study.points(), study.max_trials), (Some(48u32.into()), None));
}

#[test]
fn what_is_left_out_has_its_default() {
    let study = Study::parse(&smallest()).unwrap();
    assert_eq!(
        (study.sampler, study.max_trials, study.max_parallel, study.max_trial_seconds),
        (SamplerName::Random, Some(10), None, None)
    );
    assert_eq!((study.device, study.weight), (DeviceClass::Any, 1.0));
    assert_eq!(study.retry, Retry { max_failures: 0, max_stalls: 3, backoff_seconds: 1.0 });
    assert_eq!(study.early_stop, EarlyStop { max_failures_in_a_row: 3 });
    assert_eq!(study.objective.direction, Direction::Maximize);
    assert!(study.tags.is_empty() && study.dataset.shuffle);
    let plan = study.plan(&Point::default()).unwrap();
    assert_eq!((plan.training.batch_size, plan.training.epochs, plan.scale), (32, 1, Scale::None));
    assert_eq!(
        plan.training.optimizer.rule,
        Rule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false }
    );
    assert_eq!(plan.training.optimizer.learning_rate, Schedule::Constant(0.001));
    assert_eq!(
        (plan.training.callbacks, plan.training.class_weight),
        (Callbacks::default(), ClassWeight::None)
    );
    assert_eq!(study.executions_per_trial, 1);
    assert_eq!(study.logged(), ["loss", "accuracy", "val_loss", "val_accuracy"]);
}

#[test]
fn seed_zero_is_a_seed() {
    assert_eq!(Study::parse(&with(smallest(), "/seed", json!(0))).unwrap().seed, 0);
    assert_eq!(
        Study::parse(&with(smallest(), "/seed", json!((1i64 << 53) - 1))).unwrap().seed,
        (1 << 53) - 1
    );
    check_field("/seed", json!(1i64 << 53), "must be between 0 and 9007199254740991");
    check_field("/seed", json!(-1), "must be between");
    check_field("/seed", json!(1.5), "must be an integer, not 1.5");
    check_field("/seed", json!(u64::MAX), "must be an integer");
    check(&without(smallest(), "seed"), &[("", "the field `seed` is missing")]);
}

#[test]
fn a_direction_that_is_not_given_is_inferred_as_keras_tuner_does() {
    let infer = |metric: &str| {
        Study::parse(&with(smallest(), "/objective", json!({"metric": metric}))).unwrap().objective.direction
    };
    assert_eq!(infer("val_accuracy"), Direction::Maximize);
    assert_eq!(infer("accuracy"), Direction::Maximize);
    assert_eq!(infer("val_loss"), Direction::Minimize);
    let given = json!({"metric": "val_loss", "direction": "maximize"});
    assert_eq!(
        Study::parse(&with(smallest(), "/objective", given)).unwrap().objective.direction,
        Direction::Maximize
    );
}

#[test]
fn every_field_has_its_bounds() {
    check_field("/name", json!(""), "must have 1 to 100 bytes");
    check_field("/name", json!("  "), "not all of them blank");
    check_field("/name", json!("x".repeat(101)), "must have 1 to 100 bytes");
    check_field("/name", json!("a\nb"), "no control characters");
    check_field("/name", json!(5), "must be a string, not 5");
    check_field("/max_trials", json!(0), "must be between 1 and 1000000, not 0");
    check_field("/max_trials", json!(1_000_001), "must be between 1 and 1000000");
    check_field("/max_trials", json!(null), "must be an integer, not null");
    check_field("/max_parallel", json!(10_001), "must be between 1 and 10000");
    check_field("/max_trial_seconds", json!(0), "must be between 0.001 and 2592000");
    check_field("/max_trial_seconds", json!("60"), "must be a finite number, not \"60\"");
    check_field("/weight", json!(0), "must be between 0.001 and 1000");
    check_field("/device", json!("gpu"), "known names: any, cpu, cuda, metal");
    check_field("/retry", json!(3), "must be an object, not a number");
    check(
        &with(smallest(), "/retry", json!({"max_failures": 101, "max_stalls": -1, "backoff_seconds": 1e6})),
        &[
            ("/retry/max_failures", "must be between 0 and 100"),
            ("/retry/max_stalls", "must be between 0 and 100"),
            ("/retry/backoff_seconds", "must be between 0 and 86400"),
        ],
    );
    check(
        &with(smallest(), "/early_stop", json!({"max_failures_in_a_row": 0})),
        &[("/early_stop/max_failures_in_a_row", "must be between 1 and 100, not 0")],
    );
    check(&with(smallest(), "/tags", json!({"a/b": 1})), &[("/tags/a~1b", "must be a string, not 1")]);
    check_field("/tags", json!([]), "must be an object of strings");
    check_field(
        "/tags",
        (0..21).map(|i| (i.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>().into(),
        "has 21 tags; at most 20",
    );
    check(&with(smallest(), "/tags", json!({"": "x"})), &[("/tags/", "a tag needs a key of 1 to 100 bytes")]);
    check(
        &with(smallest(), "/training/batch_size", json!(0)),
        &[("/training/batch_size", "must be between 1 and 1048576, not 0")],
    );
    check(
        &with(smallest(), "/training/epochs", json!(1e9)),
        &[("/training/epochs", "must be between 1 and 100000")],
    );
    check(
        &with(smallest(), "/training/epochs", json!(2.5)),
        &[("/training/epochs", "must be an integer, not 2.5")],
    );
    check(
        &with(smallest(), "/training/metrics", json!(["accuracy", "accuracy"])),
        &[("/training/metrics/1", "accuracy is listed twice")],
    );
    check(
        &with(
            smallest(),
            "/training/optimizer",
            json!({"name": "adam", "learning_rate": -1, "beta_1": 1, "epsilon": 0}),
        ),
        &[
            ("/training/optimizer/learning_rate", "must be between 0 and 1000, not -1"),
            ("/training/optimizer/beta_1", "must be between 0 and 0.999999999, not 1"),
            ("/training/optimizer/epsilon", "must be between"),
        ],
    );
    assert_eq!(
        Study::parse(&with(smallest(), "/training/epochs", json!(2.0)))
            .unwrap()
            .plan(&Point::default())
            .unwrap()
            .training
            .epochs,
        2
    );
}

#[test]
fn a_dataset_comes_from_one_place() {
    let dataset = |value: Json, expect: &[(&str, &str)]| check(&with(smallest(), "/dataset", value), expect);
    let both = json!({"source": "builtin:iris", "features": "a", "labels": "b", "validation_split": 0.2});
    dataset(
        both,
        &[
            ("/dataset/features", "is for a pair of IDX files or an .npz or .safetensors file"),
            ("/dataset/labels", "is for a pair of IDX files or an .npz or .safetensors file"),
        ],
    );
    dataset(json!({"features": "a", "validation_split": 0.2}), &[("/dataset/features", "go together")]);
    dataset(json!({"validation_split": 0.2}), &[("/dataset", "name a `source`")]);
    dataset(
        json!({"source": "a.csv", "validation_split": 0.2}),
        &[("/dataset/source", "a CSV or Parquet file needs a `label`")],
    );
    dataset(
        json!({"source": "builtin:iris", "label": "x", "validation_split": 0.2}),
        &[("/dataset/label", "has its labels already")],
    );
    dataset(
        json!({"source": "builtin:iris", "validation_split": 1.0}),
        &[("/dataset/validation_split", "less than 1, not 1")],
    );
    let files = json!({"features": "a", "labels": "b"});
    dataset(
        json!({"features": "a", "labels": "b", "validation_split": 0.2, "validation": files}),
        &[("/dataset/validation_split", "exclude each other")],
    );
    dataset(
        json!({"source": "builtin:iris", "validation_split": 0.2, "scale": "zscore"}),
        &[("/dataset/scale", "unknown name \"zscore\"")],
    );
    dataset(
        json!({"source": "builtin:iris"}),
        &[("/objective/metric", "\"val_accuracy\" is not logged; logged: loss, accuracy")],
    );
    for path in
        ["../x.csv", "/etc/passwd", "a/../b.csv", "a//b.csv", "./a.csv", "a\\b.csv", "a\0b", "..", "a/."]
    {
        dataset(
            json!({"source": path, "label": "y", "validation_split": 0.2}),
            &[("/dataset/source", "must be a relative path below the datasets folder")],
        );
    }
    dataset(
        json!({"source": "", "label": "y", "validation_split": 0.2}),
        &[("/dataset/source", "must have 1 to 512 bytes")],
    );
}

#[test]
fn the_end_of_a_source_says_what_it_is_and_what_it_needs() {
    let source = |value: Json| Study::parse(&with(smallest(), "/dataset", value)).unwrap().dataset.source;
    let arrays = || crate::dataset::Files { features: "x".into(), labels: "y".into() };
    use crate::dataset::{ArrayFormat, Source::*, TableFormat};
    let named = |path: &str| json!({"source": path, "features": "x", "labels": "y", "validation_split": 0.2});
    assert_eq!(
        source(named("a/mnist.npz")),
        Arrays { path: "a/mnist.npz".into(), format: ArrayFormat::Npz, arrays: arrays() }
    );
    assert_eq!(
        source(named("a.safetensors")),
        Arrays { path: "a.safetensors".into(), format: ArrayFormat::Safetensors, arrays: arrays() }
    );
    let table = |path: &str| json!({"source": path, "label": "y", "validation_split": 0.2});
    assert_eq!(
        source(table("a.parquet")),
        Table { path: "a.parquet".into(), format: TableFormat::Parquet, label: "y".into() }
    );
    assert_eq!(
        source(table("a.data")),
        Table { path: "a.data".into(), format: TableFormat::Csv, label: "y".into() }
    );
    assert_eq!(source(json!({"source": "a/flowers/", "validation_split": 0.2})), Images("a/flowers".into()));

    let dataset = |value: Json, expect: &[(&str, &str)]| check(&with(smallest(), "/dataset", value), expect);
    let held_out = |mut value: Json, more: Json| {
        value["validation_split"] = json!(0.2);
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        value
    };
    dataset(
        held_out(json!({"source": "a.npz"}), json!({})),
        &[("/dataset/source", "needs `features` and `labels`")],
    );
    dataset(
        held_out(json!({"source": "a.npz"}), json!({"label": "y"})),
        &[("/dataset/label", "with `features` and `labels`"), ("/dataset/source", "")],
    );
    dataset(
        held_out(json!({"source": "../a.npz"}), json!({"features": "x", "labels": "y"})),
        &[("/dataset/source", "relative path")],
    );
    dataset(held_out(json!({"source": "a/../"}), json!({})), &[("/dataset/source", "relative path")]);
    dataset(held_out(json!({"source": "/"}), json!({})), &[("/dataset/source", "relative path")]);
    dataset(
        held_out(json!({"source": "a/"}), json!({"label": "y"})),
        &[("/dataset/label", "classes of a folder of images")],
    );
    dataset(
        held_out(json!({"source": "a/"}), json!({"features": "y"})),
        &[("/dataset/features", "is for a pair of IDX files or an .npz or .safetensors file")],
    );
    dataset(
        held_out(json!({"label": "y"}), json!({"features": "x", "labels": "y"})),
        &[("/dataset/label", "needs a CSV or Parquet file as `source`")],
    );
    let names = json!({"features": "../x", "labels": "y"});
    let both = json!({"source": "a.npz", "features": "x", "labels": "y", "validation": names});
    assert!(Study::parse(&with(smallest(), "/dataset", both)).is_ok(), "the name of an array is no path");
}

#[test]
fn folds_validate_and_exclude_other_validation() {
    let dataset = |value: Json, expect: &[(&str, &str)]| check(&with(smallest(), "/dataset", value), expect);
    let study =
        Study::parse(&with(smallest(), "/dataset", json!({"source": "builtin:iris", "folds": 5}))).unwrap();
    assert!(study.dataset.folds == Some(5) && study.dataset.has_validation());
    let folds = |folds: Json, expect: &str| {
        dataset(json!({"source": "builtin:iris", "folds": folds}), &[("/dataset/folds", expect)]);
    };
    folds(json!(1), "must be between 2 and 100, not 1");
    folds(json!(101), "must be between 2 and 100, not 101");
    folds(json!(2.5), "must be an integer");
    folds(json!({"hp": "x"}), "this cannot be a hyperparameter");
    let other = "excludes `validation_split` and `validation`";
    dataset(
        json!({"source": "builtin:iris", "folds": 5, "validation_split": 0.2}),
        &[("/dataset/folds", other)],
    );
    let files = json!({"features": "a", "labels": "b"});
    dataset(
        json!({"features": "a", "labels": "b", "folds": 5, "validation": files}),
        &[("/dataset/folds", other)],
    );
}

#[test]
fn a_source_takes_its_own_kind_of_validation_or_says_what_to_do_instead() {
    let pair = json!({"features": "v", "labels": "w"});
    let tried = [
        json!("valid.csv"),
        json!("valid/"),
        json!({"source": "valid.csv", "label": "y"}),
        pair.clone(),
        json!(["a", "b"]),
        json!(null),
    ];
    let sources = [
        (
            json!({"source": "a.csv", "label": "y"}),
            "a table has no validation file yet; put its rows last in the source and use `validation_split` with `shuffle` false",
        ),
        (json!({"source": "a.parquet", "label": "y"}), "a table has no validation file yet"),
        (
            json!({"source": "flowers/"}),
            "no validation folder yet; put its images into the folders of the classes and use `validation_split`",
        ),
        (
            json!({"source": "builtin:iris"}),
            "a built-in dataset has no validation files; use `validation_split` or `folds`",
        ),
        (
            json!({"source": "a.npz", "features": "x", "labels": "y"}),
            "must name two arrays of the source's file",
        ),
        (
            json!({"source": "a.safetensors", "features": "x", "labels": "y"}),
            "must name two arrays of the source's file",
        ),
        (json!({"features": "x", "labels": "y"}), "must name a pair of IDX files"),
    ];
    for (source, words) in sources {
        for validation in &tried {
            let document =
                with(with(smallest(), "/dataset", source.clone()), "/dataset/validation", validation.clone());
            if words.starts_with("must name") && *validation == pair {
                assert!(Study::parse(&document).is_ok(), "{document}");
            } else {
                check(&document, &[("/dataset/validation", words)]);
            }
        }
    }
}

#[test]
fn the_positive_class_is_named_as_it_stands_in_the_source() {
    let read = |class: Json| {
        Study::parse(&with(smallest(), "/dataset/positive_class", class)).unwrap().dataset.positive_class
    };
    assert_eq!(
        [read(json!("fraud")), read(json!(0)), read(json!("0"))],
        [Some("fraud".into()), Some("0".into()), Some("0".into())]
    );
    assert_eq!(Study::parse(&smallest()).unwrap().dataset.positive_class, None);
    check_field("/dataset/positive_class", json!(""), "must have 1 to 1000 bytes");
    check_field("/dataset/positive_class", json!(-1), "must be a string, not -1");
    check_field("/dataset/positive_class", json!({"hp": "x"}), "this cannot be a hyperparameter");
}

#[test]
fn weights_and_categories_need_names() {
    let dataset = |value: Json, expect: &[(&str, &str)]| check(&with(smallest(), "/dataset", value), expect);
    let table = |more: Json| {
        let mut value = json!({"source": "a.csv", "label": "y", "validation_split": 0.2});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        value
    };
    let study = Study::parse(&with(
        smallest(),
        "/dataset",
        table(json!({"sample_weight": "w", "one_hot": ["a", "b"]})),
    ))
    .unwrap();
    assert_eq!(
        (study.dataset.sample_weight.as_deref(), study.dataset.one_hot),
        (Some("w"), vec!["a".to_owned(), "b".to_owned()])
    );
    dataset(
        table(json!({"sample_weight": "y"})),
        &[("/dataset/sample_weight", "\"y\" is already the label or the features")],
    );
    dataset(table(json!({"one_hot": ["y"]})), &[("/dataset/one_hot/0", "is the label")]);
    dataset(
        table(json!({"sample_weight": "w", "one_hot": ["a", "w"]})),
        &[("/dataset/one_hot/1", "is the sample_weight")],
    );
    dataset(table(json!({"one_hot": ["a", "a"]})), &[("/dataset/one_hot/1", "is listed twice")]);
    dataset(table(json!({"one_hot": "a"})), &[("/dataset/one_hot", "must be an array")]);
    let iris = |more: (&str, Json)| {
        let mut value = json!({"source": "builtin:iris", "validation_split": 0.2});
        value[more.0] = more.1;
        value
    };
    dataset(
        iris(("sample_weight", json!("w"))),
        &[("/dataset/sample_weight", "needs a column of a CSV or Parquet file, or an array of an .npz")],
    );
    dataset(iris(("one_hot", json!(["a"]))), &[("/dataset/one_hot", "needs a CSV or Parquet file")]);
    let arrays = json!({"source": "a.npz", "features": "x", "labels": "y", "sample_weight": "x", "validation_split": 0.2});
    dataset(arrays, &[("/dataset/sample_weight", "is already the label or the features")]);
}

#[test]
fn an_unknown_field_is_invalid_and_a_later_one_not_supported() {
    let kind_at = |document: &Json| {
        let problems = Study::parse(document).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        (problems[0].pointer.clone(), problems[0].kind)
    };
    use ProblemKind::*;
    check_field("/max_trails", json!(3), "unknown field \"max_trails\"; did you mean max_trials?");
    for (pointer, value, kind) in [
        ("/nonsense", json!(1), Invalid),
        ("/priority", json!(1), NotSupported),
        ("/training/sample_weight", json!([]), NotSupported),
        ("/training/optimizer", json!("ftrl"), NotSupported),
        ("/training/optimizer", json!("adamm"), Invalid),
        ("/training/loss", json!("squared_hinge"), NotSupported),
        ("/training/metrics/0", json!("fbeta_score"), NotSupported),
        ("/dataset/class_weight", json!({}), NotSupported),
        ("/objective", json!([]), NotSupported),
        ("/network/0/activation", json!("mish"), NotSupported),
        ("/network/0/kernel_regularizer", json!("orthogonal_regularizer"), NotSupported),
        ("/network/0/kernel_initializer", json!("identity"), NotSupported),
        ("/network/0/kernel_constraint", json!("min_max_norm"), NotSupported),
        ("/network/0/unit", json!(5), Invalid),
    ] {
        assert_eq!(kind_at(&with(smallest(), pointer, value)), (pointer.to_owned(), kind));
    }
    assert_eq!(
        kind_at(&with(smallest(), "/network/0", json!({"layer": "MultiHeadAttention", "num_heads": 3}))),
        ("/network/0/layer".to_owned(), NotSupported)
    );
    assert_eq!(
        kind_at(&with(smallest(), "/sampler", json!({"name": "tpe"}))),
        ("/sampler/name".to_owned(), NotSupported)
    );
    assert_eq!(
        kind_at(&with(smallest(), "/pruner", json!({"name": "median"}))),
        ("/pruner/name".to_owned(), NotSupported)
    );
    assert!(Study::parse(&with(smallest(), "/pruner", json!({"name": "none"}))).is_ok());
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let mut document = smallest();
    for (pointer, value) in [
        ("/name", json!(1)),
        ("/seed", json!("x")),
        (
            "/space",
            json!([{"name": "a", "type": "int", "min_value": 5, "max_value": 1}, {"name": "b", "type": "floot"}]),
        ),
        (
            "/network",
            json!([{"layer": "Dense", "units": {"hp": "a"}}, {"layer": "Dens", "units": 3}, {"layer": "Dense", "units": {"hp": "ghost"}}]),
        ),
        ("/training/loss", json!("sparse")),
        ("/training/epochs", json!(0)),
        ("/dataset/source", json!("../x")),
        ("/objective/metric", json!("val_acc")),
        ("/objective/direction", json!("up")),
        ("/sampler", json!({})),
        ("/surprise", json!(1)),
    ] {
        document = with(document, pointer, value);
    }
    // References to a hyperparameter whose declaration is wrong are not reported.
    check(
        &document,
        &[
            ("/name", "must be a string"),
            ("/seed", "must be an integer"),
            ("/space/0/min_value", "min_value (5) must not exceed max_value (1)"),
            ("/space/1/type", "unknown name \"floot\"; did you mean float?"),
            ("/network/1/layer", "unknown layer; did you mean Dense?"),
            ("/network/2/units/hp", "there is no hyperparameter \"ghost\""),
            ("/training/loss", "unknown name"),
            ("/training/epochs", "must be between"),
            ("/dataset/source", "a relative path"),
            ("/objective/direction", "unknown name \"up\""),
            ("/sampler", "the field `name` is missing"),
            ("/surprise", "unknown field"),
        ],
    );
}

#[test]
fn a_hyperparameter_that_nobody_uses_is_a_mistake() {
    let space = json!([{"name": "a", "type": "boolean"}, {"name": "b", "type": "int", "min_value": 1, "max_value": 9, "when": {"a": [true]}}]);
    check(&with(smallest(), "/space", space.clone()), &[("/space/1", "the hyperparameter b is never used")]);
    let document = with(with(smallest(), "/space", space), "/network/0/when", json!({"b": [3]}));
    assert!(Study::parse(&document).is_ok());
}

#[test]
fn what_is_the_same_for_all_trials_takes_no_hyperparameter() {
    let base = with(smallest(), "/space", json!([{"name": "a", "type": "choice", "values": [1, 2]}]));
    let base = with(base, "/training/epochs", json!({"hp": "a"}));
    let fragment = "this cannot be a hyperparameter";
    for pointer in [
        "/seed",
        "/name",
        "/max_trials",
        "/dataset/validation_split",
        "/dataset/source",
        "/dataset/shuffle",
        "/training/metrics/0",
        "/objective/metric",
        "/network/0/layer",
    ] {
        check(&with(base.clone(), pointer, json!({"hp": "a"})), &[(pointer, fragment)]);
    }
    assert!(Study::parse(&with(base, "/training/batch_size", json!({"hp": "a"}))).is_ok());
}

#[test]
fn a_grid_past_the_bound_asks_for_max_trials() {
    let space: Vec<Json> = (0..18)
        .map(|i| json!({"name": format!("h{i}"), "type": "int", "min_value": 1, "max_value": 10}))
        .collect();
    let layers: Vec<Json> = (0..18)
        .map(|i| json!({"layer": "Dense", "units": {"hp": format!("h{i}")}}))
        .chain([smallest()["network"][0].clone()])
        .collect();
    let document = with(
        with(with(smallest(), "/space", json!(space)), "/network", json!(layers)),
        "/sampler",
        json!({"name": "grid"}),
    );
    check(&document, &[("", "the field `max_trials` is missing: the grid has 1000000000000000000 points")]);
    let study = Study::parse(&with(document, "/max_trials", json!(7))).unwrap();
    assert_eq!(
        (study.max_trials, study.points().unwrap().to_string()),
        (Some(7), "1000000000000000000".to_owned())
    );
}

#[test]
fn cases_choose_whole_subtrees() {
    let (_, document) = examples().into_iter().find(|(name, _)| name == "everything").unwrap();
    let study = Study::parse(&document).unwrap();
    let mut sampler = crate::sampler::Sampler::new(study.sampler, &study.space, study.seed);
    let mut seen = (false, false);
    for number in 0..30 {
        let point = sampler.suggest(number).unwrap();
        let shown = study.space.to_json(&point);
        let plan = study.plan(&point).unwrap();
        match plan.training.optimizer.rule {
            Rule::Adam { .. } => {
                let rate = shown["learning_rate"].as_f64().map(Schedule::Constant);
                assert_eq!(
                    (&shown["optimizer"], rate),
                    (&json!("adam"), Some(plan.training.optimizer.learning_rate))
                );
                assert!(!shown.contains_key("momentum"));
                seen.0 = true;
            }
            Rule::Sgd { momentum, .. } => {
                assert_eq!(
                    (&shown["optimizer"], shown["momentum"].as_f64()),
                    (&json!("sgd"), Some(momentum))
                );
                seen.1 = true;
            }
            other => panic!("{other:?}"),
        }
        let hidden = shown["layers"].as_u64().unwrap() as usize;
        assert_eq!(shown.keys().filter(|name| name.starts_with("units_")).count(), hidden);
        let dropouts = if shown["dropout"] == json!(true) { hidden } else { 0 };
        assert_eq!(plan.layers.len(), 2 + hidden + dropouts);
    }
    assert_eq!(seen, (true, true));
}

#[test]
fn deep_nesting_is_refused() {
    let deep = (0..limits::NESTING_MAX).fold(json!(1), |json, _| json!([json]));
    check(&with(smallest(), "/network/0/units", deep), &[("", "is nested more than 64 levels deep")]);
    for root in [json!(null), json!([]), json!("x"), json!(1)] {
        check(&root, &[("", "must be an object")]);
    }
}

#[test]
fn no_more_problems_than_the_bound_are_reported() {
    let layers: Vec<Json> = (0..200).map(|_| json!({"layer": "Dense", "units": -1})).collect();
    assert_eq!(
        Study::parse(&with(smallest(), "/network", json!(layers))).unwrap_err().len(),
        limits::PROBLEMS_MAX
    );
}

#[test]
fn nothing_long_is_echoed() {
    let long = "x".repeat(100_000);
    for (pointer, value) in [
        ("/name", json!(long)),
        ("/seed", json!([long])),
        ("/objective/metric", json!(long)),
        ("/network/0/layer", json!(long)),
        ("/network/0/units", json!({"hp": long})),
        ("/training/loss", json!(long)),
        ("/dataset/source", json!(long)),
        ("/space", json!([{"name": "a", "type": "int", "min_value": 1, "max_value": 2, "default": long}])),
    ] {
        for problem in Study::parse(&with(smallest(), pointer, value)).unwrap_err() {
            assert!(
                problem.detail.len() < 1_000 && problem.pointer.len() < 100,
                "{} has {} bytes",
                problem.pointer,
                problem.detail.len()
            );
        }
    }
}

/// The smallest study with `hyperparameter`, called c, at `pointer` of its network of `layers` or
/// of its training.
fn with_c(hyperparameter: Json, layers: Json, pointer: &str) -> Json {
    let mut c = hyperparameter;
    c["name"] = json!("c");
    let document = with(with(smallest(), "/network", layers), "/space", json!([c]));
    with(document, pointer, json!({"hp": "c"}))
}

fn float(min: f64, max: f64, step: Option<f64>, sampling: &str) -> Json {
    let mut float = json!({"type": "float", "min_value": min, "max_value": max, "sampling": sampling});
    step.inspect(|step| float["step"] = json!(step));
    float
}

#[test]
fn a_float_that_takes_fractions_is_no_integer_though_its_ends_are_whole() {
    let layers = json!([{"layer": "Reshape", "target_shape": [2, 2, 1]}, {"layer": "Conv2D", "filters": 2, "kernel_size": [2, 2]}, {"layer": "Dense", "units": 3}]);
    let places = [
        "/network/2/units",
        "/network/1/kernel_size",
        "/network/1/kernel_size/1",
        "/network/0/target_shape/0",
        "/training/batch_size",
        "/training/epochs",
    ];
    let floats = [
        float(8.0, 128.0, None, "log"),
        float(8.0, 9.0, None, "linear"),
        float(1.0, 2.0, Some(0.5), "linear"),
        float(16.0, 130.0, Some(1.5), "log"),
        float(16.0, 130.0, Some(1.5), "reverse_log"),
    ];
    for (pointer, float) in places.iter().flat_map(|pointer| floats.iter().map(move |float| (pointer, float)))
    {
        check(&with_c(float.clone(), layers.clone(), pointer), &[(pointer, "must be an integer, not ")]);
    }
    check(
        &with_c(float(8.0, 128.0, None, "log"), layers.clone(), places[0]),
        &[(places[0], "must be an integer, not 8.5 (the hyperparameter c can be 8.5)")],
    );
    for whole in [
        float(1.0, 3.0, Some(1.0), "linear"),
        float(1.0, 8.0, Some(2.0), "log"),
        float(2.0, 2.0, None, "linear"),
    ] {
        check(&with_c(whole, layers.clone(), places[0]), &[]);
    }
}

#[test]
fn a_range_over_a_hole_is_refused_for_the_value_in_it() {
    let layers = json!([{"layer": "Reshape", "target_shape": [2, 2]}, {"layer": "Flatten"}, {"layer": "Dense", "units": 3}]);
    let pointer = "/network/0/target_shape/1";
    for int in [json!({"min_value": -1, "max_value": 1}), json!({"min_value": -1, "max_value": 1_000_000})] {
        let int = with(int, "/type", json!("int"));
        check(
            &with_c(int, layers.clone(), pointer),
            &[(pointer, "must be -1 or at least 1 (the hyperparameter c can be 0)")],
        );
    }
    check(&with_c(json!({"type": "int", "min_value": -1, "max_value": 1, "step": 2}), layers, pointer), &[]);
}

#[test]
fn a_point_that_does_not_fit_says_what_does_not() {
    let layers = json!([{"layer": "Reshape", "target_shape": [2, 2]}, {"layer": "Permute", "dims": [2, 1]}, {"layer": "Flatten"}, {"layer": "Dense", "units": 3}]);
    let study = Study::parse(&with_c(
        json!({"type": "int", "min_value": 1, "max_value": 2}),
        layers,
        "/network/1/dims/0",
    ))
    .unwrap();
    let point = |c| Point::default().with(0, crate::value::Value::Int(c));
    assert!(study.plan(&point(2)).is_ok());
    let problems = study.plan(&point(1)).unwrap_err();
    assert_eq!(problems[0].pointer, "/network/1/dims");
    assert!(problems[0].detail.contains("must be a permutation"), "{problems:?}");
    // The pre-flight, which visits every value of a dimension, does the same.
    let problems = preflight(&study, &schema_of(&study)).unwrap_err();
    assert_eq!(problems[0].pointer, "/network/1");
    assert!(
        problems[0].detail.starts_with("dims must be a permutation")
            && problems[0].detail.ends_with("when c is 1"),
        "{problems:?}"
    );
}

#[test]
fn a_space_that_cannot_be_read_is_one_mistake_and_not_one_for_each_reference() {
    let layers: Vec<Json> = (0..100).map(|_| json!({"layer": "Dense", "units": {"hp": "h0"}})).collect();
    let document = with(smallest(), "/network", json!(layers));
    let space = |count: usize| -> Json {
        (0..count).map(|n| json!({"name": format!("h{n}"), "type": "boolean"})).collect()
    };
    check(
        &with(document.clone(), "/space", space(201)),
        &[("/space", "has 201 items; at most 200 are allowed")],
    );
    check(
        &with(document.clone(), "/space", json!({"h0": {"type": "boolean"}})),
        &[("/space", "must be an array")],
    );
    let mut repeated = vec![json!({"name": "count", "type": "int", "min_value": 1, "max_value": 64})];
    repeated.extend((1..20).map(|n| json!({"name": format!("r{n}"), "type": "boolean", "per": "count"})));
    repeated.push(json!({"name": "h0", "type": "int", "min_value": 1, "max_value": 2}));
    check(&with(document, "/space", json!(repeated)), &[("/space", "has more than 1000 hyperparameters")]);
}

#[test]
fn channels_last_may_be_said_as_in_keras_and_nothing_else() {
    let layers = |layout: &str| json!([{"layer": "Conv2D", "filters": 2, "kernel_size": 2, "data_format": layout}, {"layer": "Flatten", "data_format": layout}]);
    check(&with(smallest(), "/network", layers("channels_last")), &[]);
    let refused = ["/network/0/data_format", "/network/1/data_format"]
        .map(|pointer| (pointer, "is not supported yet; supported: channels_last"));
    let first = with(smallest(), "/network", layers("channels_first"));
    check(&first, &refused);
    assert!(
        Study::parse(&first).unwrap_err().iter().all(|problem| problem.kind == ProblemKind::NotSupported)
    );
    check(
        &with(smallest(), "/network/0/data_format", json!("channels_last")),
        &[("/network/0/data_format", "unknown field")],
    );
}

#[test]
fn a_study_says_what_was_inferred_for_what_it_leaves_out() {
    let said = |document: Json| Study::parse(&document).unwrap().document().clone();
    let document = said(smallest());
    for (pointer, value) in [
        ("/objective/direction", json!("maximize")),
        ("/sampler", json!({"name": "random"})),
        ("/pruner", json!({"name": "none"})),
        ("/max_trials", json!(10)),
        ("/executions_per_trial", json!(1)),
        ("/device", json!("any")),
        ("/weight", json!(1.0)),
        ("/retry", json!({"max_failures": 0, "max_stalls": 3, "backoff_seconds": 1.0})),
        ("/early_stop", json!({"max_failures_in_a_row": 3})),
        ("/training/batch_size", json!(32)),
        ("/training/epochs", json!(1)),
        ("/dataset/shuffle", json!(true)),
        ("/dataset/scale", json!("none")),
    ] {
        assert_eq!(document.pointer(pointer), Some(&value), "{pointer}");
    }
    assert_eq!(said(document.clone()), document);
    let given =
        with(with(smallest(), "/objective/direction", json!("minimize")), "/retry", json!({"max_stalls": 1}));
    let given = with(given, "/training/batch_size", json!(7));
    let document = said(given);
    assert_eq!(
        (&document["objective"]["direction"], &document["training"]["batch_size"]),
        (&json!("minimize"), &json!(7))
    );
    assert_eq!(document["retry"], json!({"max_stalls": 1, "max_failures": 0, "backoff_seconds": 1.0}));
    let mut loss = with(smallest(), "/objective", json!({"metric": "val_loss"}));
    loss["sampler"] = json!({"name": "grid"});
    let document = said(loss);
    assert_eq!((&document["objective"]["direction"], document.get("max_trials")), (&json!("minimize"), None));
}

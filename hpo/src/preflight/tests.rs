mod ids;

use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::json;

use super::*;
use crate::dataset::{Collapse, WorstId};
use crate::grid::Enumeration;
use crate::network::{Activation, Layer};
use crate::shape::{cost, output_shape};
use crate::study::tests::{preflight, schema_of, smallest, with};
use crate::training::{Class, ClassWeight};

/// Hyperparameters that the layers below refer to; a study declares those it needs.
fn pool() -> Vec<Json> {
    vec![
        json!({"name": "count", "type": "int", "min_value": 0, "max_value": 2}),
        json!({"name": "each", "type": "int", "min_value": 2, "max_value": 3, "per": "count"}),
        json!({"name": "flat", "type": "boolean"}),
        json!({"name": "kind", "type": "choice", "values": ["dense", "conv", "none"]}),
        json!({"name": "channels", "type": "choice", "values": [1, 4], "when": {"kind": ["conv"]}}),
        json!({"name": "size", "type": "int", "min_value": 1, "max_value": 5, "step": 2}),
        json!({"name": "kernel", "type": "choice", "values": [1, 2, 7]}),
        json!({"name": "edges", "type": "choice", "values": ["valid", "same"]}),
        json!({"name": "width", "type": "choice", "values": [1, 4, 5, 6]}),
        json!({"name": "drop", "type": "float", "min_value": 0.0, "max_value": 0.5, "step": 0.25}),
        json!({"name": "bias", "type": "boolean", "when": {"flat": [true]}}),
        json!({"name": "axis", "type": "int", "min_value": 1, "max_value": 3}),
        json!({"name": "groups", "type": "choice", "values": [1, 2, 3]}),
        json!({"name": "all", "type": "boolean"}),
        json!({"name": "gate", "type": "choice", "values": ["lstm", "gru"]}),
        json!({"name": "bent", "type": "choice", "values": ["relu", "gelu", "tanh"]}),
        json!({"name": "kept", "type": "choice", "values": [0.0, 0.5]}),
        json!({"name": "rows", "type": "int", "min_value": 3, "max_value": 13, "step": 5}),
    ]
}

fn layers() -> Vec<Json> {
    vec![
        json!({"layer": "Flatten"}),
        json!({"layer": "Flatten", "when": {"flat": [true]}}),
        json!({"layer": "Reshape", "target_shape": [6, 6, 1]}),
        json!({"layer": "Reshape", "target_shape": [-1, {"hp": "width"}]}),
        json!({"layer": "Reshape", "target_shape": [3, -1, 2], "when": {"flat": [false]}}),
        json!({"layer": "Dense", "units": {"hp": "size"}}),
        json!({"layer": "Dense", "units": {"hp": "flat", "cases": {"true": {"hp": "size"}, "false": 36}}, "use_bias": false}),
        json!({"layer": "Dense", "units": 2, "use_bias": {"hp": "bias"}, "when": {"flat": [true]}}),
        json!({"repeat": {"hp": "count"}, "layers": [{"layer": "Dense", "units": {"hp": "each"}, "activation": "relu"}, {"layer": "Dropout", "rate": {"hp": "drop"}}]}),
        json!({"repeat": 2, "layers": [{"layer": "Conv2D", "filters": 2, "kernel_size": {"hp": "kernel"}, "strides": 2, "padding": "same"}]}),
        json!({"layer": "Conv2D", "filters": {"hp": "size"}, "kernel_size": [{"hp": "kernel"}, 2], "padding": {"hp": "edges"}}),
        json!({"layer": "MaxPooling2D", "pool_size": {"hp": "kernel"}, "padding": {"hp": "edges"}}),
        json!({"layer": "MaxPooling2D", "when": {"flat": [false]}}),
        json!({"hp": "kind", "cases": {"dense": {"layer": "Dense", "units": 4}, "conv": {"layer": "Conv2D", "filters": {"hp": "channels"}, "kernel_size": 3}, "none": null}}),
        json!({"layer": "Activation", "activation": "tanh"}),
        json!({"layer": "Dense", "units": 5, "activation": {"hp": "bent"}}),
        json!({"layer": "Dense", "units": 5, "activation": {"hp": "flat", "cases": {"true": "swish", "false": "relu"}}}),
        json!({"layer": "LSTM", "units": 2, "recurrent_activation": {"hp": "bent"}}),
        json!({"layer": "Conv2D", "filters": 6, "kernel_size": 2, "groups": {"hp": "groups"}}),
        json!({"layer": "Conv2D", "filters": 2, "kernel_size": {"hp": "kernel"}, "dilation_rate": [{"hp": "groups"}, 1], "strides": [1, 1]}),
        json!({"layer": "Conv1D", "filters": {"hp": "size"}, "kernel_size": {"hp": "kernel"}, "padding": {"hp": "edges"}, "strides": {"hp": "groups"}}),
        json!({"layer": "DepthwiseConv2D", "kernel_size": {"hp": "kernel"}, "depth_multiplier": {"hp": "size"}}),
        json!({"layer": "SeparableConv2D", "filters": 3, "kernel_size": 2, "depth_multiplier": {"hp": "size"}, "padding": "same"}),
        json!({"layer": "AveragePooling1D", "pool_size": {"hp": "kernel"}, "strides": null}),
        json!({"layer": "GlobalAveragePooling2D", "keepdims": {"hp": "all"}}),
        json!({"layer": "GlobalMaxPooling1D"}),
        json!({"layer": "ZeroPadding2D", "padding": [[{"hp": "size"}, 0], {"hp": "groups"}]}),
        json!({"layer": "Permute", "dims": [2, 1]}),
        json!({"layer": "PReLU", "shared_axes": [{"hp": "axis"}], "when": {"flat": [true]}}),
        json!({"layer": "BatchNormalization", "scale": {"hp": "all"}, "momentum": 0.9}),
        json!({"layer": "LayerNormalization", "center": {"hp": "all"}}),
        json!({"layer": "Embedding", "input_dim": 9, "output_dim": {"hp": "size"}}),
        json!({"layer": "Embedding", "input_dim": {"hp": "rows"}, "output_dim": 2}),
        json!({"layer": "Embedding", "input_dim": {"hp": "size"}, "output_dim": {"hp": "size"}}),
        json!({"layer": "Embedding", "input_dim": {"hp": "kind", "cases": {"dense": {"hp": "rows"}, "conv": 9}}, "output_dim": 2, "when": {"kind": ["dense", "conv"]}}),
        json!({"hp": "kind", "cases": {
            "dense": {"layer": "Dropout", "rate": {"hp": "kind", "cases": {"dense": 0.0}}}, "conv": {"layer": "Activation", "activation": {"hp": "bent"}},
            "none": {"layer": "Embedding", "input_dim": {"hp": "kind", "cases": {"none": 9}}, "output_dim": 2}
        }}),
        json!({"layer": "Rescaling", "scale": {"hp": "groups"}, "offset": {"hp": "size"}}),
        json!({"layer": "Rescaling", "scale": -1, "offset": 8, "when": {"flat": [true]}}),
        json!({"layer": "Rescaling", "scale": {"hp": "kept"}, "offset": 1}),
        json!({"layer": "Dropout", "rate": {"hp": "kept"}}),
        json!({"layer": "Activation", "activation": {"hp": "flat", "cases": {"true": "linear", "false": "relu"}}}),
        json!({"layer": "LeakyReLU"}),
        json!({"layer": "SimpleRNN", "units": {"hp": "size"}, "return_sequences": {"hp": "all"}}),
        json!({"layer": "GRU", "units": 2, "reset_after": {"hp": "all"}, "dropout": {"hp": "drop"}}),
        json!({"layer": "Bidirectional", "merge_mode": "concat", "wrapped": {"hp": "gate", "cases": {
            "lstm": {"layer": "LSTM", "units": {"hp": "size"}, "dropout": {"hp": "drop"}}, "gru": {"layer": "GRU", "units": 3, "return_sequences": {"hp": "all"}}
        }}}),
    ]
}

/// A study with some of [`layers`], a dense output, and the hyperparameters they mention; with
/// `folds` if not 0.
fn study(
    picks: &[prop::sample::Index],
    flattened: bool,
    momentum: bool,
    (folds, executions): (u64, u64),
) -> Study {
    let mut network: Vec<Json> = picks.iter().map(|pick| pick.get(&layers()).clone()).collect();
    if flattened {
        network.push(json!({"layer": "Flatten"}));
    }
    network.push(json!({"layer": "Dense", "units": 3, "activation": "softmax"}));
    let mut space: Vec<Json> = Vec::new();
    for hyperparameter in pool().into_iter().rev() {
        let name = &hyperparameter["name"];
        let by = |json: &Json| json.to_string().contains(&name.to_string());
        if network.iter().any(by)
            || (momentum && name == "kept")
            || space.iter().any(|child| by(&child["when"]) || by(&child["per"]))
        {
            space.insert(0, hyperparameter);
        }
    }
    space.push(json!({"name": "batch", "type": "choice", "values": [8, 64]}));
    let optimizer = if momentum {
        json!({"name": "sgd", "momentum": {"hp": "kept"}, "use_ema": true})
    } else {
        json!("adam")
    };
    let mut document = with(with(smallest(), "/network", json!(network)), "/space", json!(space));
    document = with(
        with(document, "/training/batch_size", json!({"hp": "batch"})),
        "/training/optimizer",
        optimizer,
    );
    document["executions_per_trial"] = json!(executions);
    if folds > 0 {
        document["dataset"] = json!({"source": "builtin:iris", "folds": folds});
    }
    Study::parse(&document).unwrap_or_else(|problems| panic!("{problems:#?} of {document}"))
}

/// The findings on a dataset whose worst id is this one.
fn findings(worst_id: WorstId) -> Findings {
    Findings { worst_id, ..Findings::default() }
}

fn dataset(shape: &[usize]) -> DatasetSchema {
    DatasetSchema {
        shape: shape.to_vec(),
        dtype: "float32".to_owned(),
        rows: 50,
        classes: Some(3),
        ..DatasetSchema::default()
    }
}

/// The result of enumerating every point on features with this `worst` id: the least and greatest
/// (parameters, FLOPs, bytes of a step), and the places where points fail.
fn brute_force(study: &Study, dataset: &DatasetSchema, worst: f32) -> ([(u64, u64); 3], BTreeSet<String>) {
    let (mut bounds, mut failures) = ([(u64::MAX, 0); 3], BTreeSet::new());
    let mut grid = Enumeration::grid(&study.space).unwrap();
    for point in (0u32..).map_while(|index| grid.point(&index.into())) {
        let plan = study.plan(&point).unwrap();
        let there: Vec<&str> = study
            .network
            .layers
            .iter()
            .filter(|layer| study.space.holds(&layer.when, &point))
            .map(|layer| layer.pointer.as_str())
            .collect();
        match concrete(study, dataset, &plan) {
            Ok(totals) => bounds
                .iter_mut()
                .zip(totals)
                .for_each(|(bound, total)| *bound = (bound.0.min(total), bound.1.max(total))),
            Err(at) => _ = failures.insert(there[at].to_owned()),
        }
        failures.extend(misled(&plan.layers, worst).into_iter().map(|at| there[at].to_owned()));
    }
    (bounds, failures)
}

/// The Embeddings without a row for the number that earlier layers make from the feature `worst`.
fn misled(layers: &[Layer], worst: f32) -> Vec<usize> {
    let moves = ["Flatten", "Reshape", "Permute", "ZeroPadding2D", "MaxPooling2D", "GlobalMaxPooling1D"];
    let (mut id, mut misled) = (Some(worst).filter(|worst| worst.fract() == 0.0), Vec::new());
    for (at, layer) in layers.iter().enumerate() {
        id = match layer {
            Layer::Embedding(table) => {
                misled.extend((!id.is_some_and(|id| 0.0 <= id && id < table.input_dim as f32)).then_some(at));
                None
            }
            Layer::Rescaling { scale, offset } if scale.fract() == 0.0 => {
                id.map(|id| id * *scale as f32 + *offset as f32)
            }
            Layer::LeakyReLU { .. }
            | Layer::PReLU(_)
            | Layer::Activation { activation: Activation::Relu } => id.filter(|id| *id >= 0.0),
            Layer::Activation { activation: Activation::Linear } | Layer::Dropout { rate: 0.0 } => id,
            layer => id.filter(|_| moves.contains(&layer.class())),
        }
    }
    misled
}

/// The totals of one concrete network, or which of its layers does not fit.
fn concrete(study: &Study, dataset: &DatasetSchema, plan: &crate::study::Plan) -> Result<[u64; 3], usize> {
    let (mut shape, mut parameters, mut flops, mut activations, mut joined) =
        (dataset.shape.clone(), 0, 0, 0, 0);
    for (at, layer) in plan.layers.iter().enumerate() {
        let output = output_shape(layer, &shape).map_err(|_| at)?;
        let Cost { parameters: p, flops: f, activations: a, joined: j } = cost(layer, &shape, &output);
        (parameters, flops, activations, joined) = (parameters + p, flops + f, activations + a, joined + j);
        shape = output;
    }
    if shape != [3] {
        return Err(plan.layers.len() - 1);
    }
    assert!(study.metrics.len() == 1, "the loss of these studies is that of classes");
    // All runs have weights and moments, one has gradients and activations, and the best weights
    // are kept. A fifth of the 50 rows validates, or a fold.
    let json = |pointer: &str| study.document().pointer(pointer).and_then(Json::as_u64);
    let (folds, executions) = (json("/dataset/folds"), json("/executions_per_trial").unwrap());
    let numbers = folds.unwrap_or(1) * executions * (1 + plan.training.optimizer.slots().len() as u64) + 2;
    let rows = (plan.training.batch_size as u64).min(folds.map_or(40, |folds| 50 - 50 / folds));
    let input = dataset.elements() * rows.max(128.min(2 * rows)) + dataset.rows * (2 + folds.unwrap_or(1));
    Ok([parameters, flops, 4 * (numbers * parameters + 3 * joined + rows * 4 * activations + input)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_verdict_and_the_bounds_are_those_of_every_point(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        shape in prop::sample::select(vec![vec![6usize, 6, 1], vec![6, 6], vec![36], vec![8, 8, 2]]),
        flattened in prop::bool::weighted(0.8),
        momentum in any::<bool>(),
        runs in prop::sample::select(vec![(0, 1), (0, 3), (2, 1), (7, 2)]),
        worst in prop::sample::select(vec![0.0f32, 2.0, 4.0, 8.0, 0.5, -1.0]),
    ) {
        let (study, dataset) = (study(&picks, flattened, momentum, runs), dataset(&shape));
        let ([parameters, flops, step_bytes], failures) = brute_force(&study, &dataset, worst);
        let recipe = Recipe::of(&study, &dataset);
        match super::preflight(&study, &dataset, &findings(WorstId { value: worst, place: String::new() })) {
            Ok(found) => {
                prop_assert!(failures.is_empty(), "{:?} fail in {}", failures, study.document());
                prop_assert_eq!(found.shapes, "complete");
                let exact = |(min, max)| Bounds { min, max, exact: true };
                prop_assert_eq!(found.parameters, exact(parameters), "{}", study.document());
                prop_assert_eq!(found.flops_per_sample, exact(flops));
                prop_assert_eq!(found.weight_bytes, exact((4 * parameters.0, 4 * parameters.1)));
                let is_exact = !study.network.layers.iter().any(|layer| layer.may_need_input);
                let Bounds { min, max, exact: said } = found.step_bytes;
                prop_assert!(said == is_exact && min <= step_bytes.0 && step_bytes.1 <= max, "{}", study.document());
                prop_assert!(!is_exact || (min, max) == step_bytes, "{}", study.document());
                prop_assert_eq!(found.points, study.points().map(|points| points.to_string()));
            }
            Err(problems) => {
                let reported: BTreeSet<String> = problems.iter().map(|problem| problem.pointer.trim_end_matches("/input_dim").to_owned()).collect();
                prop_assert_eq!(reported, failures, "{}", study.document());
            }
        }
        // Intervals would enclose the same totals if there were too many states.
        if parameters.0 <= parameters.1 {
            let wide = bounds::enclose(&study, &dataset, &recipe);
            for ((low, high), (min, max)) in [(wide.parameters, parameters), (wide.flops, flops), (wide.step_bytes, step_bytes)] {
                prop_assert!(low <= min && max <= high, "{low}..{high} does not enclose {min}..{max} of {}", study.document());
            }
        }
    }
}

#[test]
fn the_random_studies_are_of_all_kinds() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut verdicts = HashSet::new();
    for _ in 0..200 {
        let picks = prop::collection::vec(any::<prop::sample::Index>(), 0..5)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let study = study(&picks, true, false, (0, 1));
        let dataset = dataset(&[6, 6, 1]);
        let ([(least, most), ..], failures) = brute_force(&study, &dataset, 0.0);
        verdicts.insert((failures.is_empty(), least < most));
    }
    // Every combination of working or not with one size or several.
    assert_eq!(verdicts.len(), 4, "{verdicts:?}");
}

/// A study of 30 layers, each with a size of its own: far too many combinations to follow if a
/// later layer mentions all of them.
#[test]
fn past_the_bound_shapes_are_partial_and_bounds_inexact() {
    let space: Vec<Json> = (0..30)
        .map(|i| json!({"name": format!("u{i}"), "type": "int", "min_value": 1, "max_value": 100}))
        .collect();
    let mut network: Vec<Json> =
        (0..30).map(|i| json!({"layer": "Dense", "units": {"hp": format!("u{i}")}})).collect();
    network.push(json!({"layer": "Dense", "units": 3, "activation": "softmax"}));
    let merged = with(with(smallest(), "/space", json!(space)), "/network", json!(network));
    let found = preflight(&Study::parse(&merged).unwrap(), &dataset(&[4])).unwrap();
    // Sizes that nothing mentions later are merged: 100^30 networks are followed exactly.
    assert_eq!((found.shapes, found.parameters.exact, found.points.unwrap().len()), ("complete", true, 61));
    assert_eq!(found.parameters.min, 4 + 1 + 29 * 2 + 6);
    network.extend((0..30).map(|i| json!({"layer": "Dense", "units": {"hp": format!("u{i}")}})));
    network.push(json!({"layer": "Dense", "units": 3, "activation": "softmax"}));
    let mentioned = with(merged, "/network", json!(network));
    let found = preflight(&Study::parse(&mentioned).unwrap(), &dataset(&[4])).unwrap();
    assert_eq!((found.shapes, found.parameters.exact), ("partial", false));
    assert!(found.parameters.min <= 200 && found.parameters.max >= 58 * 10_100);
}

#[test]
fn a_reshape_whose_largest_size_fits_nowhere_is_enclosed_with_those_that_do() {
    let space = json!([{"name": "width", "type": "choice", "values": [1, 5, 6]}]);
    let reshape = json!({"layer": "Reshape", "target_shape": [-1, {"hp": "width"}]});
    let network = json!([{"layer": "Dense", "units": 5}, reshape, {"layer": "Dense", "units": 3, "activation": "softmax"}]);
    let study = Study::parse(&with(with(smallest(), "/space", space), "/network", network)).unwrap();
    let wide = bounds::enclose(&study, &dataset(&[4]), &Recipe::of(&study, &dataset(&[4])));
    // 4 to 5 units, then 1 or 5 to 3: 6 does not divide 5.
    assert!(wide.parameters.0 <= 25 + 6 && 25 + 18 <= wide.parameters.1, "{wide:?}");
}

#[test]
fn a_branch_that_cannot_work_is_named_unless_the_search_stays_out_of_it() {
    let last = json!({"layer": "Dense", "units": 3, "activation": "softmax"});
    let network = json!([{"layer": "Conv2D", "filters": 2, "kernel_size": {"hp": "kernel"}}, {"layer": "Flatten"}, last]);
    let space = |values: Json| json!([{"name": "kernel", "type": "choice", "values": values}]);
    let study = |values| {
        Study::parse(&with(with(smallest(), "/space", space(values)), "/network", network.clone())).unwrap()
    };
    let problems = preflight(&study(json!([3, 9])), &dataset(&[8, 8, 1])).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].pointer, "/network/0");
    assert!(
        problems[0].detail.contains("window of 9 on an axis of 8")
            && problems[0].detail.ends_with("when kernel is 9"),
        "{problems:?}"
    );
    assert!(preflight(&study(json!([3, 8])), &dataset(&[8, 8, 1])).is_ok());
}

#[test]
fn a_network_larger_than_an_artifact_is_refused_where_a_branch_has_it() {
    let refused = |units: Json| {
        let space = json!([{"name": "units", "type": "choice", "values": [8, 1_048_576]}]);
        let dense = |units: &Json| json!({"layer": "Dense", "units": units});
        let network = json!([{"layer": "Flatten"}, dense(&units), dense(&units), {"layer": "Dense", "units": 10, "activation": "softmax"}]);
        let document = with(smallest(), "/network", network);
        let document = if units.is_object() { with(document, "/space", space) } else { document };
        let study = Study::parse(&document).unwrap();
        preflight(&study, &schema_of(&study)).err().map(|problems| problems[0].pointer.clone())
    };
    assert_eq!(refused(json!(1_048_576)).as_deref(), Some("/network"));
    assert_eq!(refused(json!({"hp": "units"})).as_deref(), Some("/network"));
    assert_eq!(refused(json!(16_384)), None);
}

#[test]
fn the_memory_of_one_trial_is_what_the_space_of_one_point_needs() {
    let study = Study::parse(&smallest()).unwrap();
    let found = preflight(&study, &schema_of(&study)).unwrap();
    let plan = study.plan(&Point::default()).unwrap();
    let memory = memory(&study, &plan, &schema_of(&study)).unwrap();
    assert_eq!(memory, (found.weight_bytes.max, found.step_bytes.max));
}

#[test]
fn folds_and_executions_train_in_lockstep_and_each_keeps_a_model() {
    // Iris has 150 rows, its network 15 weights, Adam two moments.
    let sizes = |runs: Json| {
        let mut document = with(smallest(), "/training/batch_size", json!(1_000));
        runs.as_object().unwrap().iter().for_each(|(name, value)| document[name] = value.clone());
        let study = Study::parse(&document).unwrap();
        let found = preflight(&study, &schema_of(&study)).unwrap();
        let plan = study.plan(&Point::default()).unwrap();
        assert_eq!(
            memory(&study, &plan, &schema_of(&study)).unwrap(),
            (found.weight_bytes.max, found.step_bytes.max)
        );
        found.step_bytes.max
    };
    let bytes = |runs: u64, folds: u64, rows: u64| {
        4 * (15 * (runs * 3 + 2) + rows * 4 * 3 + 4 * rows.max(128) + 150 * (2 + folds))
    };
    let folds = |folds: u64| json!({"source": "builtin:iris", "folds": folds});
    assert_eq!(sizes(json!({})), bytes(1, 1, 120));
    assert_eq!(sizes(json!({"executions_per_trial": 4})), bytes(4, 1, 120));
    assert_eq!(sizes(json!({"dataset": folds(5)})), bytes(5, 5, 120));
    // Folds of 22 and of 21 rows.
    assert_eq!(sizes(json!({"dataset": folds(7), "executions_per_trial": 2})), bytes(14, 7, 129));
    assert_eq!(
        sizes(json!({"dataset": {"source": "builtin:iris"}, "objective": {"metric": "accuracy"}})),
        bytes(1, 1, 150)
    );
}

#[test]
fn more_folds_than_rows_are_refused() {
    let study =
        Study::parse(&with(smallest(), "/dataset", json!({"source": "builtin:iris", "folds": 51}))).unwrap();
    let problems = preflight(&study, &dataset(&[4])).unwrap_err();
    assert_eq!(
        (problems[0].pointer.as_str(), problems[0].detail.as_str()),
        ("/dataset/folds", "51 folds of 50 rows would leave a fold empty; use fewer")
    );
}

/// Checks that a study whose network ends with `units` has exactly these problems on a dataset of
/// this many classes.
#[track_caller]
fn check_goal(training: Json, units: usize, classes: Option<u32>, expect: &[(&str, &str)]) {
    let metric = training["metrics"].as_array().and_then(|metrics| metrics.first()).cloned();
    let end = match training["loss"].as_str() {
        Some("kl_divergence") => "softmax",
        Some("hinge") => "tanh",
        _ => "sigmoid",
    };
    let mut document =
        with(smallest(), "/network", json!([{"layer": "Dense", "units": units, "activation": end}]));
    for (name, value) in training.as_object().unwrap() {
        document["training"][name] = value.clone();
    }
    document["objective"]["metric"] =
        metric.map_or(json!("loss"), |metric| json!(format!("val_{}", metric.as_str().unwrap())));
    let study = Study::parse(&document).unwrap_or_else(|problems| panic!("{problems:#?} of {document}"));
    let problems = preflight(&study, &DatasetSchema { classes, ..dataset(&[4]) }).err().unwrap_or_default();
    let met = |(pointer, words): &(&str, &str)| {
        problems.iter().any(|problem| problem.pointer == *pointer && problem.detail.contains(words))
    };
    assert!(
        problems.len() == expect.len() && expect.iter().all(met),
        "expected {expect:#?}\ngot {problems:#?}\nof {document}"
    );
}

#[test]
fn loss_output_and_labels_go_together_or_say_why_not() {
    let sound: &[_] = &[];
    let of = |loss: &str| json!({"loss": loss, "metrics": []});
    for (loss, units, classes, expect) in [
        ("sparse_categorical_crossentropy", 5, Some(3), sound),
        (
            "sparse_categorical_crossentropy",
            2,
            Some(3),
            &[("/network/0", "needs one probability for each of 3 classes: (3)")],
        ),
        (
            "categorical_crossentropy",
            5,
            Some(3),
            &[("/network/0", "the output of the network is (5), but categorical_crossentropy needs one")],
        ),
        ("kl_divergence", 3, Some(3), sound),
        ("binary_crossentropy", 1, Some(2), sound),
        ("binary_crossentropy", 2, Some(2), sound),
        ("binary_crossentropy", 3, Some(3), sound),
        (
            "binary_crossentropy",
            1,
            Some(3),
            &[("/network/0", "binary_crossentropy needs one probability for each of 3 classes")],
        ),
        (
            "binary_crossentropy",
            3,
            Some(2),
            &[("/network/0", "needs the probability of the second class, (1), or that of both: (2)")],
        ),
        ("hinge", 1, Some(2), sound),
        ("hinge", 1, Some(3), &[("/training/loss", "hinge compares two classes, but the dataset has 3")]),
        ("hinge", 2, Some(2), &[("/network/0", "it with -1 and 1, so it must be (1)")]),
        (
            "hinge",
            1,
            None,
            &[(
                "/training/loss",
                "numbers, not classes (classes are whole numbers from 0 to k-1, or texts); number the classes from 0, or use mean_squared_error",
            )],
        ),
        ("poisson", 1, None, sound),
        (
            "huber",
            2,
            None,
            &[("/network/0", "huber compares it with one number for each row, so it must be (1)")],
        ),
        (
            "log_cosh",
            1,
            Some(2),
            &[("/training/loss", "log_cosh compares numbers, but the labels of the dataset are classes")],
        ),
    ] {
        check_goal(of(loss), units, classes, expect);
    }
}

#[test]
fn metrics_and_class_weights_need_the_labels_and_outputs_they_measure() {
    let two = "binary_crossentropy";
    let of = |loss: &str, metric: &str| json!({"loss": loss, "metrics": [metric]});
    check_goal(of(two, "binary_accuracy"), 1, Some(2), &[]);
    check_goal(
        of(two, "binary_accuracy"),
        2,
        Some(2),
        &[(
            "/training/metrics/0",
            "binary_accuracy needs one output, but the network makes (2); use accuracy",
        )],
    );
    check_goal(
        of(two, "top_k"),
        1,
        Some(2),
        &[(
            "/training/metrics/0",
            "needs an output for each class, but the network makes (1); use binary_accuracy",
        )],
    );
    check_goal(of(two, "auc"), 1, Some(2), &[]);
    check_goal(
        of(two, "rmse"),
        1,
        Some(2),
        &[("/training/metrics/0", "rmse cannot be measured: the labels of the dataset are classes")],
    );
    check_goal(
        of("mse", "f1"),
        1,
        None,
        &[(
            "/training/metrics/0",
            "f1_score cannot be measured: the labels of the dataset are numbers, not classes (classes are whole numbers from 0 to k-1, or texts)",
        )],
    );
    check_goal(of("mse", "r2"), 1, None, &[]);
    // Its k is 5.
    let of_classes = |classes| {
        check_goal(
            of("kl_divergence", "top_k_categorical_accuracy"),
            classes as usize,
            Some(classes),
            if classes > 5 {
                &[]
            } else {
                &[("/training/metrics/0", "would always be 1: k is 5, but the dataset has")]
            },
        )
    };
    (4..=7).for_each(of_classes);
    let weighted = |loss: &str, weight: Json| json!({"loss": loss, "metrics": [], "class_weight": weight});
    check_goal(weighted(two, json!("balanced")), 1, Some(2), &[]);
    check_goal(
        weighted(two, json!({"0": 1, "2": 3})),
        1,
        Some(2),
        &[("/training/class_weight/2", "there is no class 2; the classes are 0 to 1")],
    );
    check_goal(
        weighted("mse", json!("balanced")),
        1,
        None,
        &[("/training/class_weight", "the labels of the dataset are numbers")],
    );
}

#[test]
fn class_weights_name_classes_as_the_dataset_does() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
    let (texts, folders) = (names(&["fraud", "a/b", "legit"]), names(&["0", "1", "10", "2"]));
    let found = |weight: Json, names: &[String]| {
        let mut document = with(smallest(), "/network/0/units", json!(names.len()));
        document["training"]["class_weight"] = weight;
        let schema = DatasetSchema { classes: Some(names.len() as u32), ..dataset(&[4]) };
        let findings = Findings { class_names: names.into(), ..Findings::default() };
        let problems =
            super::preflight(&Study::parse(&document).unwrap(), &schema, &findings).err().unwrap_or_default();
        problems.into_iter().map(|problem| (problem.pointer, problem.detail)).collect::<Vec<_>>()
    };
    assert_eq!(found(json!({"fraud": 5, "a/b": 2, "2": 1}), &texts), []);
    let at = |class: &str| format!("/training/class_weight/{class}");
    let they_are = "the classes are 0 (\"fraud\"), 1 (\"a/b\"), 2 (\"legit\")";
    assert_eq!(
        found(json!({"frau/d": 5, "3": 1}), &texts),
        [
            (at("3"), format!("there is no class 3; {they_are}")),
            (at("frau~1d"), format!("there is no class \"frau/d\"; {they_are}"))
        ]
    );
    assert_eq!(
        found(json!({"0": 5, "fraud": 1}), &texts),
        [(at("fraud"), "class 0 already has a weight, by its number".to_owned())]
    );
    // The folder called 2 is the fourth, and none is called 3.
    assert_eq!(found(json!({"2": 5, "10": 1}), &folders), []);
    let weight = ClassWeight::Given(vec![(Class::Number(2), 5.0), (Class::Name("x".into()), 1.0)]);
    assert_eq!(
        weight.numbered(&folders),
        ClassWeight::Given(vec![(Class::Number(3), 5.0), (Class::Name("x".into()), 1.0)])
    );
    assert_eq!(weight.numbered(&[]), weight);
}

#[test]
fn labels_that_are_classes_by_how_they_stand_in_the_source_can_be_values() {
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let texts = "the labels of the dataset are classes; use sparse";
    for (source, class_names, words) in [
        (
            json!({"source": "a.csv", "label": "y"}),
            names(&["0", "1", "2"]),
            "classes (whole numbers from 0 to 2); write the labels as 3.0 in the CSV, not 3, or use sparse_",
        ),
        (json!({"source": "a.csv", "label": "y"}), names(&["a", "b", "c"]), texts),
        (
            json!({"source": "a.parquet", "label": "y"}),
            names(&["0", "1", "2"]),
            "store the label column as floats in the Parquet file, or use",
        ),
        (
            json!({"source": "a.npz", "features": "x", "labels": "y"}),
            names(&["0", "1", "2"]),
            "store the labels as floats in the file, or use",
        ),
        (
            json!({"features": "x", "labels": "y"}),
            names(&["0", "1", "2"]),
            "as floats (type 0x0d or 0x0e) in the IDX file, or use",
        ),
        (json!({"source": "flowers/"}), names(&["a", "b", "c"]), texts),
        (json!({"source": "builtin:iris"}), names(&["0", "1", "2"]), texts),
    ] {
        for loss in ["poisson", "mse", "huber"] {
            let mut document =
                with(with(smallest(), "/dataset", source.clone()), "/dataset/validation_split", json!(0.2));
            document["training"] = json!({"optimizer": "adam", "loss": loss});
            document["objective"] = json!({"metric": "val_loss"});
            let schema = DatasetSchema { class_names: class_names.clone(), ..dataset(&[4]) };
            let problems = preflight(&Study::parse(&document).unwrap(), &schema).unwrap_err();
            let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
            assert!(
                problem.pointer == "/training/loss" && problem.detail.contains(words),
                "{source}: {}",
                problem.detail
            );
        }
    }
}

#[test]
fn features_that_32_bits_make_equal_must_be_scaled() {
    let collapse = Some(Collapse {
        feature: "column \"time\"".into(),
        values: [1_700_000_000_001.0, 1_700_000_000_002.0],
    });
    let findings = Findings { collapse, ..Findings::default() };
    let pointers = |document: Json| {
        let problems = super::preflight(&Study::parse(&document).unwrap(), &dataset(&[4]), &findings)
            .err()
            .unwrap_or_default();
        problems.into_iter().map(|problem| (problem.pointer, problem.detail)).collect::<Vec<_>>()
    };
    let detail = "column \"time\" has numbers that become equal in 32 bits, such as 1700000000001 and 1700000000002; use standardize or min_max, which scale in 64 bits";
    assert_eq!(pointers(smallest()), [("/dataset/scale".to_owned(), detail.to_owned())]);
    let scaled = |scale: Json| with(smallest(), "/dataset/scale", scale);
    assert_eq!(pointers(scaled(json!("none"))), [("/dataset/scale".to_owned(), detail.to_owned())]);
    assert_eq!([pointers(scaled(json!("standardize"))), pointers(scaled(json!("min_max")))], [[], []]);
    let searched = with(
        scaled(json!({"hp": "scale"})),
        "/space",
        json!([{"name": "scale", "type": "choice", "values": ["none", "min_max"]}]),
    );
    assert_eq!(pointers(searched), [("/dataset/scale".to_owned(), detail.to_owned())]);
}

#[test]
fn the_share_of_a_variance_that_there_is_not_is_refused() {
    let said = |split: Json, labels_are_equal: bool| {
        let mut document = with(smallest(), "/network/0", json!({"layer": "Dense", "units": 1}));
        document["training"] = json!({"optimizer": "adam", "loss": "mse", "metrics": ["rmse", "r2"]});
        document["dataset"] = split;
        document["objective"] = json!({"metric": "rmse"});
        let schema = DatasetSchema { classes: None, ..dataset(&[4]) };
        let findings = Findings { labels_are_equal, ..Findings::default() };
        super::preflight(&Study::parse(&document).unwrap(), &schema, &findings)
            .err()
            .map(|problems| problems[0].clone())
    };
    let split = |name: &str, value: Json| {
        let mut dataset = json!({"source": "builtin:iris"});
        dataset[name] = value;
        dataset
    };
    // Of 50 rows.
    for sound in
        [split("validation_split", json!(0.04)), split("folds", json!(25)), split("shuffle", json!(true))]
    {
        assert_eq!(said(sound.clone(), false), None, "{sound}");
        let problem = said(sound, true).unwrap();
        assert_eq!(
            (problem.pointer.as_str(), problem.detail.contains("all labels are equal")),
            ("/training/metrics/1", true)
        );
    }
    for one in [split("validation_split", json!(0.02)), split("folds", json!(50))] {
        let problem = said(one.clone(), false).unwrap_or_else(|| panic!("{one}"));
        assert_eq!(
            (problem.pointer.as_str(), problem.detail.contains("with one validation row")),
            ("/training/metrics/1", true)
        );
    }
}

#[test]
fn a_continuous_argument_of_the_loss_leaves_shapes_complete() {
    let smoothing = json!([{"name": "smoothing", "type": "float", "min_value": 0.0, "max_value": 0.3}]);
    let loss = json!({"name": "categorical_crossentropy", "label_smoothing": {"hp": "smoothing"}});
    let document = with(with(smallest(), "/space", smoothing), "/training/loss", loss);
    let found = preflight(&Study::parse(&document).unwrap(), &dataset(&[4])).unwrap();
    assert_eq!((found.shapes, found.step_bytes.exact), ("complete", true));
}

/// Checks the problem reported for the end of a network on three classes, or two if it has one
/// unit: a pointer and a part of the words, or none.
#[track_caller]
fn check_end(space: Json, network: Json, loss: Json, expect: &[(&str, &str)]) {
    let mut document =
        with(with(smallest(), "/network", network), "/training", json!({"optimizer": "adam", "loss": loss}));
    document["objective"] = json!({"metric": "loss"});
    document["space"] = space;
    let study = Study::parse(&document).unwrap_or_else(|problems| panic!("{problems:#?} of {document}"));
    let one = study
        .document()
        .pointer("/network")
        .and_then(Json::as_array)
        .is_some_and(|layers| layers[0]["units"] == 1);
    let problems =
        preflight(&study, &DatasetSchema { classes: Some(if one { 2 } else { 3 }), ..dataset(&[4]) })
            .err()
            .unwrap_or_default();
    let met = |(pointer, words): &(&str, &str)| {
        problems.iter().any(|problem| problem.pointer == *pointer && problem.detail.contains(words))
    };
    assert!(
        problems.len() == expect.len() && expect.iter().all(met),
        "expected {expect:#?}\ngot {problems:#?}\nof {document}"
    );
}

#[test]
fn an_activation_that_the_loss_cannot_mean_is_refused() {
    let [sparse, categorical, binary] =
        ["sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"];
    let all = crate::network::Activation::ALL.iter().map(|activation| activation.as_str());
    for (loss, probabilities, no_logits) in [
        (
            sparse,
            &["sigmoid", "hard_sigmoid", "softmax", "softplus", "exponential"][..],
            &["sigmoid", "hard_sigmoid", "softmax"][..],
        ),
        (
            categorical,
            &["sigmoid", "hard_sigmoid", "softmax", "softplus", "exponential"],
            &["sigmoid", "hard_sigmoid", "softmax"],
        ),
        (
            binary,
            &["sigmoid", "hard_sigmoid", "softmax"],
            &["sigmoid", "hard_sigmoid", "softmax", "log_softmax"],
        ),
    ] {
        for activation in all.clone() {
            let network = json!([{"layer": "Dense", "units": 3, "activation": activation}]);
            let said = format!("{loss} needs probabilities, but the network ends with {activation}");
            let wrong = [("/network/0/activation", said.as_str())];
            check_end(
                json!([]),
                network.clone(),
                json!(loss),
                if probabilities.contains(&activation) { &[] } else { &wrong },
            );
            let said =
                format!("{loss} with from_logits needs logits, but the network ends with {activation}");
            let wrong = [("/training/loss/from_logits", said.as_str())];
            let from_logits = json!({"name": loss, "from_logits": true});
            check_end(
                json!([]),
                network,
                from_logits,
                if no_logits.contains(&activation) { &wrong } else { &[] },
            );
        }
    }
    let two_sided = ["linear", "leaky_relu", "elu", "selu", "gelu", "silu", "softsign", "tanh"];
    for activation in all {
        let network = |units: u32| json!([{"layer": "Dense", "units": units, "activation": activation}]);
        let said = format!(
            "kl_divergence needs probabilities that sum to 1, but the network ends with {activation}"
        );
        let wrong = [("/network/0/activation", said.as_str())];
        check_end(
            json!([]),
            network(3),
            json!("kl_divergence"),
            if activation == "softmax" { &[] } else { &wrong },
        );
        if ["softmax", "log_softmax"].contains(&activation) {
            continue; // With one number the layer itself is refused.
        }
        let said = format!("hinge needs outputs on both sides of 0, but the network ends with {activation}");
        let wrong = [("/network/0/activation", said.as_str())];
        check_end(
            json!([]),
            network(1),
            json!("hinge"),
            if two_sided.contains(&activation) { &[] } else { &wrong },
        );
    }
}

/// Checks the problem reported for a network before a valid end, on rows of 8 numbers: a pointer
/// and a part of the words, or none.
#[track_caller]
fn check_layers(space: Json, mut layers: Vec<Json>, expect: &[(&str, &str)]) {
    layers.extend([
        json!({"layer": "Flatten"}),
        json!({"layer": "Dense", "units": 3, "activation": "softmax"}),
    ]);
    let study = Study::parse(&with(with(smallest(), "/network", json!(layers)), "/space", space))
        .unwrap_or_else(|problems| panic!("{problems:#?} of {layers:?}"));
    let problems = preflight(&study, &dataset(&[8])).err().unwrap_or_default();
    let met = |(pointer, words): &(&str, &str)| {
        problems.iter().any(|problem| problem.pointer == *pointer && problem.detail.contains(words))
    };
    assert!(
        problems.len() == expect.len() && expect.iter().all(met),
        "expected {expect:#?}\ngot {problems:#?}\nof {layers:?}"
    );
}

#[test]
fn what_goes_over_one_number_alone_is_the_same_whatever_comes_in() {
    let reshape = |shape: Json| json!({"layer": "Reshape", "target_shape": shape});
    let (steps, image) = (reshape(json!([4, 2])), reshape(json!([2, 2, 2])));
    // Layers that make rows whose last dimension has as many numbers as their size says; the last
    // takes the activation as its argument.
    let table = |size: u32| {
        let convolution = |class: &str| json!({"layer": class, "filters": size, "kernel_size": 2});
        let recurrent = |class: &str| json!({"layer": class, "units": size});
        [
            (vec![json!({"layer": "Dense", "units": size})], "activation"),
            (vec![reshape(json!([-1, size])), json!({"layer": "Activation"})], "activation"),
            (vec![steps.clone(), convolution("Conv1D")], "activation"),
            (vec![image.clone(), convolution("Conv2D")], "activation"),
            (vec![image.clone(), convolution("SeparableConv2D")], "activation"),
            (
                vec![
                    reshape(json!([2, -1, size])),
                    json!({"layer": "DepthwiseConv2D", "kernel_size": [2, 1]}),
                ],
                "activation",
            ),
            (vec![steps.clone(), recurrent("SimpleRNN")], "activation"),
            (vec![steps.clone(), recurrent("LSTM")], "activation"),
            (vec![steps.clone(), recurrent("GRU")], "recurrent_activation"),
        ]
    };
    for activation in ["softmax", "log_softmax", "sigmoid"] {
        let with_activation = |(mut layers, argument): (Vec<Json>, &'static str)| {
            layers.last_mut().unwrap()[argument] = json!(activation);
            (layers, argument)
        };
        table(2)
            .map(with_activation)
            .into_iter()
            .for_each(|(layers, _)| check_layers(json!([]), layers, &[]));
        for (layers, argument) in table(1).map(with_activation) {
            let pointer = format!("/network/{}/{argument}", layers.len() - 1);
            let problem = [(pointer.as_str(), format!("computes the {activation} of one number"))];
            let problem = problem.each_ref().map(|(pointer, words)| (*pointer, words.as_str()));
            check_layers(json!([]), layers, if activation == "sigmoid" { &[] } else { &problem });
        }
    }
    // A Bidirectional makes two numbers, but each half makes one.
    let both = |activation: &str| json!({"layer": "Bidirectional", "wrapped": {"layer": "GRU", "units": 1, "activation": activation}});
    check_layers(json!([]), vec![steps.clone(), both("tanh")], &[]);
    check_layers(
        json!([]),
        vec![steps, both("softmax")],
        &[("/network/1/wrapped/activation", "GRU computes the softmax of one number")],
    );
    let normalization = json!({"layer": "LayerNormalization"});
    check_layers(json!([]), vec![normalization.clone()], &[]);
    check_layers(
        json!([]),
        vec![reshape(json!([8, 1])), normalization],
        &[("/network/1", "so the output is always beta")],
    );
}

#[test]
fn an_activation_over_one_number_is_found_in_the_branch_that_has_it() {
    let space = json!([{"name": "units", "type": "int", "min_value": 1, "max_value": 3}, {"name": "act", "type": "choice", "values": ["relu", "softmax"]}]);
    let dense = json!({"layer": "Dense", "units": {"hp": "units"}, "activation": {"hp": "act"}});
    check_layers(space.clone(), vec![dense], &[("/network/0/activation", "units is 1 and act is softmax")]);
    let cases = json!({"hp": "act", "cases": {"relu": "relu", "softmax": "log_softmax"}});
    let dense = json!({"layer": "Dense", "units": {"hp": "units"}, "activation": cases});
    check_layers(space, vec![dense], &[("/network/0/activation", "units is 1 and act is softmax")]);
}

#[test]
fn the_layer_that_makes_the_output_is_found_behind_those_that_pass_it_on() {
    let sparse = || json!("sparse_categorical_crossentropy");
    let dense = |activation: &str| json!({"layer": "Dense", "units": 3, "activation": activation});
    let check = |network: Json, expect: &[(&str, &str)]| check_end(json!([]), network, sparse(), expect);
    check(
        json!([dense("softmax"), {"layer": "Dropout", "rate": 0.1}, {"layer": "Activation", "activation": "linear"}]),
        &[],
    );
    check(
        json!([dense("tanh"), {"layer": "Dropout", "rate": 0.1}, {"layer": "Flatten"}]),
        &[("/network/0/activation", "but the network ends with tanh")],
    );
    check(
        json!([dense("softmax"), {"layer": "Dense", "units": 3}]),
        &[("/network/1", "but the network ends with linear")],
    );
    check(json!([{"layer": "Dense", "units": 3}, {"layer": "Activation", "activation": "softmax"}]), &[]);
    check(
        json!([dense("softmax"), {"layer": "LeakyReLU"}]),
        &[("/network/1", "but the network ends with LeakyReLU")],
    );
    check(
        json!([dense("softmax"), {"layer": "BatchNormalization"}]),
        &[("/network/1", "but the network ends with BatchNormalization")],
    );
    check(json!([dense("softmax"), {"layer": "Rescaling", "scale": 0.5}]), &[]);
    let sequence = json!({"layer": "Reshape", "target_shape": [4, 1]});
    check(
        json!([sequence, {"layer": "LSTM", "units": 3}]),
        &[("/network/1", "but the network ends with tanh")],
    );
    let both = json!({"layer": "Bidirectional", "merge_mode": "ave", "wrapped": {"layer": "GRU", "units": 3, "activation": "sigmoid"}});
    check(json!([sequence, both]), &[]);
    // Losses that compare numbers take any end.
    let regression = with(smallest(), "/network", json!([{"layer": "Dense", "units": 1}]));
    let regression = with(
        with(regression, "/training", json!({"optimizer": "adam", "loss": "mse"})),
        "/objective",
        json!({"metric": "loss"}),
    );
    assert!(
        preflight(&Study::parse(&regression).unwrap(), &DatasetSchema { classes: None, ..dataset(&[4]) })
            .is_ok()
    );
}

#[test]
fn every_end_that_a_search_may_meet_is_judged() {
    let choice = |name: &str, values: Json| json!({"name": name, "type": "choice", "values": values});
    let last = |activation: Json| json!([{"layer": "Dense", "units": {"hp": "units"}}, {"layer": "Dense", "units": 3, "activation": activation}]);
    let units = || json!({"name": "units", "type": "int", "min_value": 1, "max_value": 1_000_000});
    let rate = json!({"name": "rate", "type": "float", "min_value": 0.0, "max_value": 0.5});
    let sparse =
        |from_logits: Json| json!({"name": "sparse_categorical_crossentropy", "from_logits": from_logits});
    let ends = |values: Json| json!([units(), choice("end", values)]);
    check_end(ends(json!(["softmax", "sigmoid"])), last(json!({"hp": "end"})), sparse(json!(false)), &[]);
    let where_relu = [(
        "/network/1/activation",
        "but the network ends with relu; end it with softmax, or set from_logits in the loss when end is relu",
    )];
    check_end(
        ends(json!(["softmax", "relu"])),
        last(json!({"hp": "end"})),
        sparse(json!(false)),
        &where_relu,
    );
    // The loss fits the end in some trials and not in others.
    let space = || json!([units(), {"name": "logits", "type": "boolean"}]);
    let by = |on: &str, off: &str| json!({"hp": "logits", "cases": {"true": on, "false": off}});
    check_end(space(), last(by("linear", "softmax")), sparse(json!({"hp": "logits"})), &[]);
    let swapped = [
        (
            "/training/loss/from_logits",
            "but the network ends with softmax; end it with linear, or remove from_logits",
        ),
        ("/network/1/activation", "but the network ends with linear"),
    ];
    check_end(space(), last(by("softmax", "linear")), sparse(json!({"hp": "logits"})), &swapped);
    // A linear Activation passes on what an earlier layer makes, whichever of its values comes
    // first.
    for values in [json!(["linear", "softmax"]), json!(["softmax", "linear"])] {
        let network = json!([{"layer": "Dense", "units": 3, "activation": "tanh"}, {"layer": "Activation", "activation": {"hp": "end"}}]);
        let passed = [("/network/0/activation", "or set from_logits in the loss when end is linear")];
        check_end(json!([choice("end", values)]), network, sparse(json!(false)), &passed);
    }
    // In the only case that is possible at this place.
    let space = json!([choice("kind", json!(["a", "b"])), choice("end", json!(["relu", "softmax"]))]);
    let only = json!({"hp": "kind", "cases": {"a": {"hp": "end"}}});
    let network = json!([{"layer": "Dense", "units": 3, "activation": "softmax"}, {"layer": "Dense", "units": 3, "activation": only, "when": {"kind": ["a"]}}]);
    let passed = [(
        "/network/1/activation",
        "but the network ends with relu; end it with softmax, or set from_logits in the loss when kind is a and end is relu",
    )];
    check_end(space, network, sparse(json!(false)), &passed);
    // A layer that only some trials have, one that may pass on its input, and repetitions.
    let space = json!([units(), rate, {"name": "more", "type": "boolean"}, choice("end", json!(["linear", "softmax"])), {"name": "count", "type": "int", "min_value": 0, "max_value": 2}]);
    let network = |end: Json| {
        json!([
            {"layer": "Dense", "units": {"hp": "units"}}, {"layer": "Dense", "units": 3, "activation": "softmax"},
            {"repeat": {"hp": "count"}, "layers": [{"layer": "Dropout", "rate": {"hp": "rate"}}]},
            {"layer": "Activation", "activation": {"hp": "end"}},
            {"layer": "Dense", "units": 3, "activation": end, "when": {"more": [true]}}
        ])
    };
    check_end(space.clone(), network(json!("softmax")), sparse(json!(false)), &[]);
    check_end(
        space,
        network(json!("elu")),
        sparse(json!(false)),
        &[(
            "/network/4/activation",
            "but the network ends with elu; end it with softmax, or set from_logits in the loss when more is true",
        )],
    );
}

/// Checks that the pre-flight of a network over `shape` reports the expected problems: a pointer
/// and words of the detail.
#[track_caller]
fn check_network(shape: &[usize], network: Json, space: Json, expect: &[(&str, &str)]) {
    let (document, worst) = (
        with(with(smallest(), "/network", network), "/space", space),
        WorstId { value: 12.0, place: "w.csv, row 3".into() },
    );
    check_document(shape, document, &worst, expect);
}

#[track_caller]
fn check_document(shape: &[usize], document: Json, worst: &WorstId, expect: &[(&str, &str)]) {
    let study = Study::parse(&document).unwrap_or_else(|problems| panic!("{problems:#?} of {document}"));
    let problems =
        super::preflight(&study, &dataset(shape), &findings(worst.clone())).err().unwrap_or_default();
    let met = |(pointer, words): &(&str, &str)| {
        problems.iter().any(|problem| problem.pointer == *pointer && problem.detail.contains(words))
    };
    assert!(
        problems.len() == expect.len() && expect.iter().all(met),
        "expected {expect:#?}\ngot {problems:#?}\nof {document}"
    );
}

#[test]
fn a_weight_of_one_dimension_cannot_start_orthogonal_anywhere_in_the_space() {
    let end = json!({"layer": "Dense", "units": 3, "activation": "softmax"});
    let network = |layer: Json| json!([layer, {"layer": "Flatten"}, end]);
    let check = |layer: Json, space: Json, expect: &[(&str, &str)]| {
        check_network(&[5, 4], network(layer), space, expect)
    };
    let sound: &[_] = &[];
    let choice = |values: Json| json!([{"name": "start", "type": "choice", "values": values}]);
    for (layer, pointer, words) in [
        (
            json!({"layer": "Dense", "units": 7, "bias_initializer": "orthogonal"}),
            "/network/0/bias_initializer",
            "orthogonal initializer for its bias (7)",
        ),
        (
            json!({"layer": "Conv1D", "filters": 2, "kernel_size": 2, "bias_initializer": {"name": "orthogonal", "gain": 2}}),
            "/network/0/bias_initializer",
            "needs two dimensions",
        ),
        (
            json!({"layer": "LSTM", "units": 2, "bias_initializer": "orthogonal"}),
            "/network/0/bias_initializer",
            "(8)",
        ),
        (
            json!({"layer": "GRU", "units": 2, "reset_after": false, "bias_initializer": "orthogonal"}),
            "/network/0/bias_initializer",
            "(6)",
        ),
        (
            json!({"layer": "BatchNormalization", "moving_mean_initializer": "orthogonal"}),
            "/network/0/moving_mean_initializer",
            "moving_mean (4)",
        ),
        (
            json!({"layer": "LayerNormalization", "gamma_initializer": "orthogonal"}),
            "/network/0/gamma_initializer",
            "gamma (4)",
        ),
        (
            json!({"layer": "Bidirectional", "wrapped": {"layer": "LSTM", "units": 2, "bias_initializer": "orthogonal"}}),
            "/network/0/wrapped/bias_initializer",
            "forward.bias (8)",
        ),
    ] {
        check(layer, json!([]), &[(pointer, words)]);
    }
    // Kernels, absent weights, the two biases of a GRU, and slopes of more than one dimension.
    check(
        json!({"layer": "Dense", "units": 7, "use_bias": false, "bias_initializer": "orthogonal", "kernel_initializer": "orthogonal"}),
        json!([]),
        sound,
    );
    check(json!({"layer": "GRU", "units": 2, "bias_initializer": "orthogonal"}), json!([]), sound);
    check(json!({"layer": "PReLU", "alpha_initializer": "orthogonal"}), json!([]), sound);
    let flat = json!([{"layer": "Flatten"}, {"layer": "PReLU", "alpha_initializer": "orthogonal"}, end]);
    check_network(
        &[5, 4],
        flat,
        json!([]),
        &[("/network/1/alpha_initializer", "orthogonal initializer for its alpha (20)")],
    );
    // Any value of a hyperparameter, and any of its cases; a range keeps the shapes complete.
    for values in [
        json!(["orthogonal", "zeros"]),
        json!(["zeros", "orthogonal"]),
        json!(["zeros", "orthogonal", "ones"]),
    ] {
        let dense = json!({"layer": "Dense", "units": 7, "bias_initializer": {"hp": "start"}});
        check(
            dense,
            choice(values),
            &[("/network/0/bias_initializer", "use another initializer when start is orthogonal")],
        );
    }
    let cases = json!({"hp": "start", "cases": {"a": {"name": "orthogonal", "gain": 0.5}, "b": {"name": "constant", "value": {"hp": "value"}}}});
    let mut space = choice(json!(["a", "b"]));
    space
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "value", "type": "float", "min_value": 0, "max_value": 1}));
    let dense = json!({"layer": "Dense", "units": 7, "bias_initializer": cases});
    check(dense, space, &[("/network/0/bias_initializer", "when start is a")]);
    let dense = json!([{"layer": "Dense", "units": 3, "bias_initializer": {"name": "constant", "value": {"hp": "value"}}, "activation": "softmax"}]);
    let space = json!([{"name": "value", "type": "float", "min_value": 0, "max_value": 1}]);
    let study = Study::parse(&with(with(smallest(), "/network", dense), "/space", space)).unwrap();
    assert_eq!(preflight(&study, &dataset(&[4])).unwrap().shapes, "complete");
}

#[test]
fn a_constraint_on_a_dimension_that_a_weight_lacks_is_found_anywhere_in_the_space() {
    let end = json!({"layer": "Dense", "units": 3, "activation": "softmax"});
    let check = |layer: Json, space: Json, expect: &[(&str, &str)]| {
        check_network(&[5, 4], json!([layer, {"layer": "Flatten"}, end]), space, expect);
    };
    let lacks = "constrains a dimension that its kernel (4, 7) does not have";
    let norm = |axis: Json| json!({"name": "max_norm", "max_value": {"hp": "norm"}, "axis": axis});
    let space = |hyperparameter: Json| json!([hyperparameter, {"name": "norm", "type": "float", "min_value": 1, "max_value": 2}]);
    let dense = |constraint: Json| json!({"layer": "Dense", "units": 7, "kernel_constraint": constraint});

    check(
        dense(norm(json!([0, 2]))),
        json!([{"name": "norm", "type": "float", "min_value": 1, "max_value": 2}]),
        &[("/network/0/kernel_constraint", lacks)],
    );
    let axis = json!({"name": "axis", "type": "int", "min_value": 0, "max_value": 3});
    check(
        dense(norm(json!({"hp": "axis"}))),
        space(axis),
        &[("/network/0/kernel_constraint", "does not have when axis is 2")],
    );
    let axis = json!({"name": "axis", "type": "int", "min_value": 0, "max_value": 1});
    check(dense(norm(json!([{"hp": "axis"}]))), space(axis), &[]);
    let kept = json!({"name": "kept", "type": "choice", "values": ["free", "wide"]});
    let cases = json!({"hp": "kept", "cases": {"free": null, "wide": norm(json!(2))}});
    check(
        dense(cases.clone()),
        space(kept.clone()),
        &[("/network/0/kernel_constraint", "does not have when kept is wide")],
    );
    let wrapped = json!({"layer": "Bidirectional", "wrapped": {"layer": "LSTM", "units": 2, "return_sequences": true, "kernel_constraint": cases}});
    check(
        wrapped,
        space(kept),
        &[("/network/0/wrapped/kernel_constraint", "does not have when kept is wide")],
    );
}

use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::json;

use super::*;
use crate::grid::Enumeration;
use crate::shape::{cost, output_shape};
use crate::study::tests::{schema_of, smallest, with};

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
    ]
}

/// A study of those of [`layers`], a dense output, and the hyperparameters they mention.
fn study(picks: &[prop::sample::Index], flattened: bool, momentum: bool) -> Study {
    let mut network: Vec<Json> = picks.iter().map(|pick| pick.get(&layers()).clone()).collect();
    if flattened {
        network.push(json!({"layer": "Flatten"}));
    }
    network.push(json!({"layer": "Dense", "units": 3, "activation": "softmax"}));
    let mut space: Vec<Json> = Vec::new();
    for hyperparameter in pool().into_iter().rev() {
        let name = &hyperparameter["name"];
        let by = |json: &Json| json.to_string().contains(&name.to_string());
        if network.iter().any(by) || space.iter().any(|child| by(&child["when"]) || by(&child["per"])) {
            space.insert(0, hyperparameter);
        }
    }
    space.push(json!({"name": "batch", "type": "choice", "values": [8, 64]}));
    let optimizer = if momentum { json!({"name": "sgd", "momentum": 0.5}) } else { json!("adam") };
    let mut document = with(with(smallest(), "/network", json!(network)), "/space", json!(space));
    document = with(with(document, "/training/batch_size", json!({"hp": "batch"})), "/training/optimizer", optimizer);
    Study::parse(&document).unwrap_or_else(|problems| panic!("{problems:#?} of {document}"))
}

fn dataset(shape: &[usize]) -> DatasetSchema {
    DatasetSchema { shape: shape.to_vec(), dtype: "float32".to_owned(), rows: 50, classes: Some(3), scale_max: None, hash: String::new() }
}

/// What enumerating every point says: the least and greatest (parameters, FLOPs, bytes of a step), and where points fail.
fn brute_force(study: &Study, dataset: &DatasetSchema) -> ([(u64, u64); 3], BTreeSet<String>) {
    let (mut bounds, mut failures) = ([(u64::MAX, 0); 3], BTreeSet::new());
    let mut grid = Enumeration::grid(&study.space).unwrap();
    for point in (0u32..).map_while(|index| grid.point(&index.into())) {
        let plan = study.plan(&point).unwrap();
        match concrete(study, dataset, &plan) {
            Ok(totals) => bounds.iter_mut().zip(totals).for_each(|(bound, total)| *bound = (bound.0.min(total), bound.1.max(total))),
            Err(at) => {
                let there: Vec<&str> = study
                    .network
                    .layers
                    .iter()
                    .filter(|layer| study.space.holds(&layer.when, &point))
                    .map(|layer| layer.pointer.as_str())
                    .collect();
                failures.insert(there[at].to_owned());
            }
        }
    }
    (bounds, failures)
}

/// The totals of one concrete network, or which of its layers does not fit.
fn concrete(study: &Study, dataset: &DatasetSchema, plan: &crate::study::Plan) -> Result<[u64; 3], usize> {
    let (mut shape, mut parameters, mut flops, mut activations) = (dataset.shape.clone(), 0, 0, 0);
    for (at, layer) in plan.layers.iter().enumerate() {
        let output = output_shape(layer, &shape).map_err(|_| at)?;
        let Cost { parameters: p, flops: f, activations: a } = cost(layer, &shape, &output);
        (parameters, flops, activations) = (parameters + p, flops + f, activations + a);
        shape = output;
    }
    if shape != [3] {
        return Err(plan.layers.len() - 1);
    }
    assert!(study.metrics.len() == 1, "the loss of these studies is that of classes");
    let numbers = 2 + plan.training.optimizer.slots();
    let rows = plan.training.batch_size.min(50) as u64;
    Ok([parameters, flops, 4 * (numbers * parameters + 2 * rows * activations)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_verdict_and_the_bounds_are_those_of_every_point(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        shape in prop::sample::select(vec![vec![6usize, 6, 1], vec![6, 6], vec![36], vec![8, 8, 2]]),
        flattened in prop::bool::weighted(0.8),
        momentum in any::<bool>(),
    ) {
        let (study, dataset) = (study(&picks, flattened, momentum), dataset(&shape));
        let ([parameters, flops, step_bytes], failures) = brute_force(&study, &dataset);
        let recipe = Recipe::of(&study, &dataset);
        match preflight(&study, &dataset) {
            Ok(found) => {
                prop_assert!(failures.is_empty(), "{:?} fail in {}", failures, study.document());
                prop_assert_eq!(found.shapes, "complete");
                let exact = |(min, max)| Bounds { min, max, exact: true };
                prop_assert_eq!(found.parameters, exact(parameters), "{}", study.document());
                prop_assert_eq!(found.flops_per_sample, exact(flops));
                prop_assert_eq!(found.weight_bytes, exact((4 * parameters.0, 4 * parameters.1)));
                prop_assert_eq!(found.step_bytes, exact(step_bytes));
                prop_assert_eq!(found.points, study.points().map(|points| points.to_string()));
            }
            Err(problems) => {
                let reported: BTreeSet<String> = problems.into_iter().map(|problem| problem.pointer).collect();
                prop_assert_eq!(reported, failures, "{}", study.document());
            }
        }
        // Where there were too many states, intervals would enclose the same.
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
        let picks = prop::collection::vec(any::<prop::sample::Index>(), 0..5).new_tree(&mut runner).unwrap().current();
        let study = study(&picks, true, false);
        let dataset = dataset(&[6, 6, 1]);
        let ([(least, most), ..], failures) = brute_force(&study, &dataset);
        verdicts.insert((failures.is_empty(), least < most));
    }
    // Works or not, one size or several, each with each.
    assert_eq!(verdicts.len(), 4, "{verdicts:?}");
}

/// A study of 30 layers, each with a size of its own: far too many combinations to follow where a later layer mentions them all.
#[test]
fn past_the_bound_shapes_are_partial_and_bounds_inexact() {
    let space: Vec<Json> = (0..30).map(|i| json!({"name": format!("u{i}"), "type": "int", "min_value": 1, "max_value": 100})).collect();
    let mut network: Vec<Json> = (0..30).map(|i| json!({"layer": "Dense", "units": {"hp": format!("u{i}")}})).collect();
    network.push(json!({"layer": "Dense", "units": 3}));
    let merged = with(with(smallest(), "/space", json!(space)), "/network", json!(network));
    let found = preflight(&Study::parse(&merged).unwrap(), &dataset(&[4])).unwrap();
    // Sizes that nothing mentions later are merged: 100^30 networks are followed exactly.
    assert_eq!((found.shapes, found.parameters.exact, found.points.unwrap().len()), ("complete", true, 61));
    assert_eq!(found.parameters.min, 4 + 1 + 29 * 2 + 6);
    network.extend((0..30).map(|i| json!({"layer": "Dense", "units": {"hp": format!("u{i}")}})));
    network.push(json!({"layer": "Dense", "units": 3}));
    let mentioned = with(merged, "/network", json!(network));
    let found = preflight(&Study::parse(&mentioned).unwrap(), &dataset(&[4])).unwrap();
    assert_eq!((found.shapes, found.parameters.exact), ("partial", false));
    assert!(found.parameters.min <= 200 && found.parameters.max >= 58 * 10_100);
}

#[test]
fn a_branch_that_cannot_work_is_named_unless_the_search_stays_out_of_it() {
    let network =
        json!([{"layer": "Conv2D", "filters": 2, "kernel_size": {"hp": "kernel"}}, {"layer": "Flatten"}, {"layer": "Dense", "units": 3}]);
    let space = |values: Json| json!([{"name": "kernel", "type": "choice", "values": values}]);
    let study = |values| Study::parse(&with(with(smallest(), "/space", space(values)), "/network", network.clone())).unwrap();
    let problems = preflight(&study(json!([3, 9])), &dataset(&[8, 8, 1])).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].pointer, "/network/0");
    assert!(
        problems[0].detail.contains("window of 9 over an axis of 8") && problems[0].detail.ends_with("where kernel is 9"),
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
    let memory = memory(&plan.layers, &plan.training, &schema_of(&study).shape, schema_of(&study).rows).unwrap();
    assert_eq!(memory, (found.weight_bytes.max, found.step_bytes.max));
}

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::space::tests::{brute_force, build, parse, recipes};

fn grid(document: &Json) -> Enumeration {
    Enumeration::grid(&parse(document)).unwrap()
}

fn all_points(grid: &mut Enumeration) -> Vec<Point> {
    (0u32..).map_while(|index| grid.point(&index.into())).collect()
}

#[track_caller]
fn check_size(document: Json, expect: &str) {
    assert_eq!(grid(&document).size().to_string(), expect, "{document}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_grid_is_what_brute_force_finds_in_the_same_order(recipes in recipes(7)) {
        let (document, plain) = build(&recipes);
        let Some(expect) = brute_force(&plain, |plain| &plain.grid, 3_000) else { return Ok(()) };
        let mut grid = grid(&document);
        prop_assert_eq!(grid.size(), &BigUint::from(expect.len()));
        prop_assert_eq!(grid.point(&expect.len().into()), None);
        for (index, expect) in expect.iter().enumerate() {
            let point = grid.point(&index.into()).unwrap();
            prop_assert_eq!(&parse(&document).to_json(&point), expect, "point {} of {}", index, &document);
            prop_assert_eq!(grid.index(&point), Some(index.into()));
        }
    }

    #[test]
    fn in_a_large_space_an_index_survives_the_way_to_its_point_and_back(recipes in recipes(40), picks in prop::collection::vec(any::<u64>(), 4)) {
        let Ok(mut grid) = Enumeration::grid(&parse(&build(&recipes).0)) else { return Ok(()) };
        let size = grid.size().clone();
        for index in picks.into_iter().map(|pick| (BigUint::from(pick) * &size) >> 64).chain([BigUint::ZERO, &size - 1u8]) {
            let point = grid.point(&index).unwrap();
            prop_assert_eq!(grid.index(&point), Some(index));
        }
        prop_assert_eq!(grid.point(&size), None);
    }
}

#[test]
fn a_quintillion_points_are_counted_and_found_at_once() {
    let ints: Vec<Json> = (0..18)
        .map(|i| json!({"name": format!("h{i}"), "type": "int", "min_value": 0, "max_value": 9}))
        .collect();
    let mut grid = grid(&json!(ints));
    let size = BigUint::from(10u64.pow(18));
    assert_eq!(*grid.size(), size);
    // With ten values each, a point is its index in decimal.
    for index in [0u64, 1, 123_456_789_012_345_678, 5 * 10u64.pow(17), 10u64.pow(18) - 1] {
        let point = grid.point(&index.into()).unwrap();
        let digits: String = (0..18).map(|at| point.get(at).unwrap().to_string()).collect();
        assert_eq!(digits, format!("{index:018}"));
        assert_eq!(grid.index(&point), Some(index.into()));
    }
    assert_eq!(grid.point(&size), None);
}

#[test]
fn a_condition_counts_where_it_holds() {
    let int = |name: &str, max: u32| json!({"name": name, "type": "int", "min_value": 1, "max_value": max});
    let when = |mut declaration: Json, parent: &str, value: Json| {
        declaration["when"] = json!({parent: [value]});
        declaration
    };
    let boolean = |name: &str| json!({"name": name, "type": "boolean"});
    // From KerasTuner's gridsearch_test.py: 3 points with false, 3 x 3 with true.
    check_size(json!([boolean("p"), int("a", 3), when(int("b", 3), "p", json!(true))]), "12");
    // Two independent scopes, each of two branches with two values.
    let scope = |name: &str| {
        [
            boolean(name),
            when(int(&format!("{name}1"), 2), name, json!(true)),
            when(int(&format!("{name}2"), 2), name, json!(false)),
        ]
    };
    check_size(json!([scope("p"), scope("q")].concat()), "16");
    // A chain in which each boolean needs the one before: n + 1 points.
    let chain = |at: usize| {
        if at == 0 {
            boolean("c0")
        } else {
            when(boolean(&format!("c{at}")), &format!("c{}", at - 1), json!(true))
        }
    };
    check_size((0..100).map(chain).collect(), "101");
    // A sum over the count of 10^count.
    check_size(
        json!([int("n", 64), {"name": "u", "type": "int", "min_value": 1, "max_value": 10, "per": "n"}]),
        &format!("{}0", "1".repeat(64)),
    );
}

#[test]
fn a_continuum_is_cut_into_ten_rising_bucket_centres_and_a_default_comes_first() {
    let values = |document: Json| -> Vec<f64> {
        let mut grid = grid(&document);
        all_points(&mut grid).iter().map(|point| point.get(0).unwrap().as_f64().unwrap()).collect()
    };
    let float = json!({"name": "x", "type": "float", "min_value": 0.0, "max_value": 10.0});
    assert_eq!(values(json!([float])), (0..10).map(|i| i as f64 + 0.5).collect::<Vec<_>>());
    // In KerasTuner their order is that of a Python set.
    let log = json!({"name": "x", "type": "float", "min_value": 1e-4, "max_value": 1.0, "sampling": "log"});
    assert!(values(json!([log])).is_sorted());
    let mut given = float.clone();
    given["default"] = json!(2.0);
    assert_eq!(values(json!([given]))[..2], [2.0, 0.5]);
    // From gridsearch_test.py, test_int_and_float: 5 x (10 + 1); KerasTuner's default is min_value.
    let mut default = float.clone();
    default["default"] = json!(0.0);
    check_size(json!([{"name": "n", "type": "int", "min_value": 1, "max_value": 5}, default]), "55");
    check_size(json!([{"name": "n", "type": "int", "min_value": 1, "max_value": 3, "sampling": "log"}]), "3");
}

#[test]
fn keras_tuners_grid_is_serial_and_ours_knows_any_point_at_once() {
    let document = json!([{"name": "p", "type": "boolean"}, {"name": "a", "type": "int", "min_value": 1, "max_value": 1_000_000, "when": {"p": [true]}}]);
    let point = grid(&document).point(&777_777u32.into()).unwrap();
    assert_eq!(json!(parse(&document).to_json(&point)), json!({"p": true, "a": 777_777}));
}

#[test]
fn vizier_wraps_around_at_the_end_of_a_grid_and_ours_ends() {
    let mut grid = grid(&json!([{"name": "p", "type": "boolean"}]));
    assert_eq!(all_points(&mut grid).len(), 2);
    assert!((2u32..9).all(|index| grid.point(&index.into()).is_none()));
}

#[test]
fn optunas_workers_may_take_the_same_grid_point_and_ours_never_do() {
    let document = json!([{"name": "p", "type": "boolean"}, {"name": "a", "type": "int", "min_value": 1, "max_value": 9, "when": {"p": [true]}}]);
    // Each worker has its own enumeration and takes different numbers.
    let mut workers = [grid(&document), grid(&document)];
    let points: HashSet<Point> =
        (0..10usize).map(|number| workers[number % 2].point(&number.into()).unwrap()).collect();
    assert_eq!(points.len(), 10);
}

#[test]
fn a_point_of_another_space_has_no_index() {
    let mut small = grid(&json!([{"name": "a", "type": "int", "min_value": 1, "max_value": 3}]));
    let other = grid(&json!([{"name": "a", "type": "int", "min_value": 7, "max_value": 9}]))
        .point(&0u32.into())
        .unwrap();
    assert_eq!(small.index(&other), None);
}

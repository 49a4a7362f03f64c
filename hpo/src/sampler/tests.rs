use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::random::Random;
use super::*;
use crate::space::SearchSpace;
use crate::space::tests::{brute_force, build, parse, recipes};
use crate::value::Value;

/// Makes any space infinite, so that no draw is repeated because its point was already suggested.
fn noise() -> Json {
    json!({"name": "noise", "type": "float", "min_value": 0, "max_value": 1})
}

fn suggestions(space: &SearchSpace, seed: u64, count: u64) -> Vec<Point> {
    let mut random = Random::new(space, seed);
    (0..count).map_while(|number| random.suggest(number)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_finite_space_is_exhausted_exactly_once(recipes in recipes(6), seed in any::<u64>()) {
        let (document, plain) = build(&recipes);
        let finite = plain.iter().all(|plain| plain.all.is_some());
        let Some(all) = brute_force(&plain, |plain| plain.all.as_deref().unwrap_or_default(), 1_000).filter(|_| finite) else { return Ok(()) };
        let space = parse(&document);
        let points = suggestions(&space, seed, 2_000);
        let shown: HashSet<String> = points.iter().map(|point| Json::from(space.to_json(point)).to_string()).collect();
        prop_assert_eq!(points.len(), all.len(), "{}", &document);
        prop_assert_eq!(shown, all.into_iter().map(|point| Json::from(point).to_string()).collect::<HashSet<_>>());
    }

    #[test]
    fn a_point_is_a_function_of_space_seed_and_number_and_survives_packing(recipes in recipes(6), seed in any::<u64>()) {
        let space = parse(&build(&recipes).0);
        let points = suggestions(&space, seed, 20);
        for (number, point) in points.iter().enumerate().rev() {
            // As in another process that starts with this number.
            prop_assert_eq!(Random::new(&space, seed).suggest(number as u64), Some(point.clone()));
            prop_assert_eq!(space.unpack(&space.pack(point)), Ok(point.clone()));
        }
    }
}

#[test]
fn other_seeds_and_numbers_draw_other_points() {
    let space = parse(&json!([noise()]));
    let points: HashSet<Point> = (0..50).flat_map(|seed| suggestions(&space, seed, 50)).collect();
    assert_eq!(points.len(), 50 * 50);
}

/// Draws the last hyperparameter of `space` 20,000 times and compares how often each value (by
/// `bin`) came with the `expect`ed shares.
#[track_caller]
fn check_shares(declarations: &[Json], bin: impl Fn(&Value) -> usize, expect: &[f64]) {
    let space = parse(&declarations.iter().cloned().chain([noise()]).collect());
    let at = declarations.len() - 1;
    let mut counts = vec![0.0; expect.len()];
    for point in suggestions(&space, 7, 20_000) {
        if let Some(value) = point.get(at) {
            counts[bin(value)] += 1.0;
        }
    }
    let draws: f64 = counts.iter().sum();
    let total: f64 = expect.iter().sum();
    let chi_square: f64 = counts
        .iter()
        .zip(expect)
        .map(|(count, share)| (count - draws * share / total).powi(2) / (draws * share / total))
        .sum();
    // Mean and standard deviation of the distribution are k and sqrt(2 k); five standard deviations
    // are never exceeded by chance.
    let freedom = (expect.len() - 1).max(1) as f64;
    assert!(
        draws > 1_000.0 && chi_square < freedom + 5.0 * (2.0 * freedom).sqrt(),
        "chi-square {chi_square} of {counts:?} in {declarations:?}"
    );
}

fn int(value: &Value) -> usize {
    value.as_f64().unwrap() as usize
}

#[test]
fn each_value_comes_as_often_as_its_prior_says() {
    check_shares(
        &[json!({"name": "x", "type": "int", "min_value": 6, "max_value": 13, "step": 3})],
        |value| int(value) / 3 - 2,
        &[1.0; 3],
    );
    check_shares(&[json!({"name": "x", "type": "int", "min_value": 0, "max_value": 9})], int, &[1.0; 10]);
    check_shares(
        &[json!({"name": "x", "type": "float", "min_value": 0, "max_value": 1, "step": 0.2})],
        |value| (value.as_f64().unwrap() * 5.0).round() as usize,
        &[1.0; 6],
    );
    check_shares(
        &[json!({"name": "x", "type": "float", "min_value": 0, "max_value": 1, "step": 0.3})],
        |value| (value.as_f64().unwrap() / 0.3).round() as usize,
        &[1.0; 4],
    );
    check_shares(
        &[json!({"name": "x", "type": "boolean"})],
        |value| usize::from(*value == Value::Bool(true)),
        &[1.0; 2],
    );
    check_shares(&[json!({"name": "x", "type": "choice", "values": [0, 1, 2]})], int, &[1.0; 3]);
    // A continuum, in ten parts with equal shares.
    check_shares(
        &[json!({"name": "x", "type": "float", "min_value": 5, "max_value": 15})],
        |value| int(value) - 5,
        &[1.0; 10],
    );
    let log = json!({"name": "x", "type": "float", "min_value": 1e-5, "max_value": 1.0, "sampling": "log"});
    check_shares(&[log], |value| (value.as_f64().unwrap().log10() * 2.0 + 10.0) as usize, &[1.0; 10]);
    let reverse =
        json!({"name": "x", "type": "float", "min_value": 1e-5, "max_value": 1.0, "sampling": "reverse_log"});
    check_shares(
        &[reverse],
        |value| ((1.0 + 1e-5 - value.as_f64().unwrap()).log10() * 2.0 + 10.0) as usize,
        &[1.0; 10],
    );
}

#[test]
fn a_logarithmic_int_has_the_share_of_its_interval() {
    let share = |value: i32| f64::from(value + 1).ln() - f64::from(value).ln();
    let log: Vec<f64> = (1..=20).map(share).collect();
    check_shares(
        &[json!({"name": "x", "type": "int", "min_value": 1, "max_value": 20, "sampling": "log"})],
        |value| int(value) - 1,
        &log,
    );
    let reverse: Vec<f64> = log.iter().rev().copied().collect();
    check_shares(
        &[json!({"name": "x", "type": "int", "min_value": 1, "max_value": 20, "sampling": "reverse_log"})],
        |value| int(value) - 1,
        &reverse,
    );
    // With a step, all powers are equally frequent.
    let steps =
        json!({"name": "x", "type": "int", "min_value": 1, "max_value": 32, "step": 2, "sampling": "log"});
    check_shares(&[steps], |value| int(value).ilog2() as usize, &[1.0; 6]);
}

#[test]
fn what_depends_on_a_parent_does_not_bias_it() {
    let parent = json!({"name": "p", "type": "boolean"});
    let child = json!({"name": "c", "type": "int", "min_value": 0, "max_value": 99, "when": {"p": [true]}});
    let space = parse(&json!([parent, child, noise()]));
    let with_child = suggestions(&space, 3, 10_000).iter().filter(|point| point.get(1).is_some()).count();
    assert!(
        (4_750..5_250).contains(&with_child),
        "{with_child} of 10,000, though true has a hundred times as many points"
    );
    check_shares(&[parent, child], int, &[1.0; 100]);
}

#[test]
fn keras_tuners_random_search_stops_after_twenty_collisions_and_ours_takes_every_point() {
    // The largest comes once in about 15,000 draws.
    let document =
        json!([{"name": "p", "type": "int", "min_value": 1, "max_value": 2_000, "sampling": "log"}]);
    for seed in 0..3 {
        assert_eq!(suggestions(&parse(&document), seed, 5_000).iter().collect::<HashSet<_>>().len(), 2_000);
    }
}

#[test]
fn keras_tuner_takes_seed_zero_for_none_and_ours_repeats_it() {
    let space = parse(&json!([noise()]));
    assert_eq!(suggestions(&space, 0, 5), suggestions(&space, 0, 5));
    assert_ne!(suggestions(&space, 0, 5), suggestions(&space, 1, 5));
}

#[test]
fn keras_tuner_fills_missing_values_without_a_seed_and_ours_from_the_trials_stream() {
    let space = parse(
        &json!([{"name": "p", "type": "boolean"}, {"name": "c", "type": "float", "min_value": 0, "max_value": 1, "when": {"p": [true]}}]),
    );
    let points = suggestions(&space, 11, 40);
    assert_eq!(points, suggestions(&space, 11, 40));
    assert!(points.iter().all(|point| point.get(1).is_some() == (point.get(0) == Some(&Value::Bool(true)))));
}

#[test]
fn nnis_deduplicator_forgets_on_resume_and_ours_knows_what_lower_numbers_had() {
    let space = parse(&json!([{"name": "p", "type": "int", "min_value": 1, "max_value": 6}]));
    let before = suggestions(&space, 2, 5);
    let resumed = Random::new(&space, 2).suggest(5).unwrap();
    assert!(!before.contains(&resumed));
}

#[test]
fn keras_tuner_takes_two_points_for_one_and_ours_tells_them_apart() {
    // Its key joins name=value without a separator: both are a=xb=y.
    let space = parse(&json!([
        {"name": "a", "type": "choice", "values": ["x", "xb=y"]},
        {"name": "b", "type": "fixed", "value": "y", "when": {"a": ["x"]}}
    ]));
    assert_eq!(suggestions(&space, 1, 10).len(), 2);
}

#[test]
fn a_space_without_hyperparameters_has_one_point() {
    assert_eq!(suggestions(&SearchSpace::default(), 5, 10), [Point::default()]);
}

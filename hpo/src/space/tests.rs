use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::document::Reading;

/// The description of a random hyperparameter. Shrinks towards few, small and unconditional ones.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    kind: u8,
    low: i64,
    span: i64,
    with_default: bool,
    per: Option<prop::sample::Index>,
    /// Parents, each with a mask of its values.
    parents: Vec<(prop::sample::Index, u8)>,
}

const INT: u8 = 0;
const FLOAT: u8 = 8;

/// Up to `max` random hyperparameters, continua included.
pub(crate) fn recipes(max: usize) -> impl Strategy<Value = Vec<Recipe>> {
    let parents = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    let per = prop::option::weighted(0.3, any::<prop::sample::Index>());
    let recipe = (INT..=FLOAT, 0..3i64, 0..4i64, any::<bool>(), per, parents);
    let recipe = recipe.prop_map(|(kind, low, span, with_default, per, parents)| Recipe {
        kind,
        low,
        span,
        with_default,
        per,
        parents,
    });
    prop::collection::vec(recipe, 1..=max)
}

/// A declaration, and an independent reading of it.
#[derive(Debug)]
struct Declared {
    json: Json,
    grid: Vec<Json>,
    /// All values; none for a continuum.
    all: Option<Vec<Json>>,
    when: Vec<(usize, Vec<Json>)>,
    per: Option<usize>,
}

/// A hyperparameter, one for each repetition.
#[derive(Debug)]
pub(crate) struct Plain {
    name: String,
    pub(crate) grid: Vec<Json>,
    pub(crate) all: Option<Vec<Json>>,
    when: Vec<(usize, Vec<Json>)>,
}

/// The document of a random space, and an independent reading of it.
pub(crate) fn build(recipes: &[Recipe]) -> (Json, Vec<Plain>) {
    let mut declared: Vec<Declared> = Vec::new();
    for (index, recipe) in recipes.iter().enumerate() {
        let next = declare(recipe, index, &declared);
        declared.push(next);
    }
    let mut plain: Vec<Plain> = Vec::new();
    let mut first = Vec::new();
    for one in &declared {
        first.push(plain.len());
        let name = one.json["name"].as_str().unwrap();
        // The position of the same repetition of a `per` parent, or of the parent.
        let place = |parent: usize, repetition: usize| {
            first[parent] + if declared[parent].per.is_some() { repetition } else { 0 }
        };
        let conditions = |repetition| {
            one.when
                .iter()
                .map(move |(parent, values)| (place(*parent, repetition), values.clone()))
                .collect::<Vec<_>>()
        };
        let (grid, all) = (one.grid.clone(), one.all.clone());
        match one.per {
            None => plain.push(Plain { name: name.to_owned(), grid, all, when: conditions(0) }),
            Some(count) => {
                for repetition in 0..declared[count].json["max_value"].as_u64().unwrap() {
                    let reached = declared[count]
                        .grid
                        .iter()
                        .filter(|value| value.as_u64() > Some(repetition))
                        .cloned()
                        .collect();
                    let when = [vec![(first[count], reached)], conditions(repetition as usize)].concat();
                    plain.push(Plain {
                        name: format!("{name}_{repetition}"),
                        grid: grid.clone(),
                        all: all.clone(),
                        when,
                    });
                }
            }
        }
    }
    (declared.into_iter().map(|one| one.json).collect(), plain)
}

fn declare(recipe: &Recipe, index: usize, before: &[Declared]) -> Declared {
    let Recipe { kind, low, span, .. } = *recipe;
    let ints = |values: Vec<i64>| values.into_iter().map(Json::from).collect::<Vec<_>>();
    let floats = |values: Vec<f64>| values.into_iter().map(Json::from).collect::<Vec<_>>();
    let (least, high) = (low + 1, low + 1 + span);
    let (mut json, mut grid, all) = match kind {
        INT => (
            json!({"type": "int", "min_value": low, "max_value": low + span}),
            ints((low..=low + span).collect()),
            None,
        ),
        1 => (
            json!({"type": "int", "min_value": -low, "max_value": 2 * span, "step": 2}),
            ints((-low..=2 * span).step_by(2).collect()),
            None,
        ),
        2 => {
            let powers = (0..=span).map(|i| least * 2i64.pow(i as u32)).collect();
            (
                json!({"type": "int", "min_value": least, "max_value": least * 2i64.pow(span as u32), "step": 2, "sampling": "log"}),
                ints(powers),
                None,
            )
        }
        3 => {
            // KerasTuner's prob_to_value at the centres of ten buckets.
            let centre = |bucket: i64| {
                least as f64 * libm::pow((high + 1) as f64 / least as f64, (bucket as f64 + 0.5) / 10.0)
            };
            let mut centres: Vec<i64> = (0..10).map(|bucket| centre(bucket) as i64).collect();
            centres.dedup();
            (
                json!({"type": "int", "min_value": least, "max_value": high, "sampling": "log"}),
                ints(centres),
                Some(ints((least..=high).collect())),
            )
        }
        4 => {
            let values = (0..=span).map(|i| low as f64 + 0.25 * i as f64).collect();
            // The last step is shortened if it would pass the end.
            (
                json!({"type": "float", "min_value": low, "max_value": low as f64 + 0.25 * span as f64 + 0.2, "step": 0.25}),
                floats(values),
                None,
            )
        }
        5 => {
            let values: Vec<Json> = (0..=span).map(|i| json!(format!("v{i}"))).collect();
            (json!({"type": "choice", "values": values}), values, None)
        }
        6 => (json!({"type": "boolean"}), vec![json!(false), json!(true)], None),
        7 => (json!({"type": "fixed", "value": low}), vec![json!(low)], None),
        _ => (
            json!({"type": "float", "min_value": 0, "max_value": 1}),
            floats((0..10).map(|i| (i as f64 + 0.5) / 10.0).collect()),
            Some(Vec::new()),
        ),
    };
    let all = all.unwrap_or_else(|| grid.clone());
    if recipe.with_default {
        let default = if kind == FLOAT { json!(0.5) } else { all[all.len() / 2].clone() };
        json["default"] = default.clone();
        if matches!(kind, 3 | FLOAT) && !grid.contains(&default) {
            grid.insert(0, default);
        }
    }
    json["name"] = json!(format!("h{index}"));
    let counts = |one: &Declared| {
        one.per.is_none()
            && one.json["type"] == "int"
            && one.json["min_value"].as_i64() >= Some(0)
            && one.json["max_value"].as_i64() >= Some(1)
    };
    let counting: Vec<usize> = (0..before.len()).filter(|at| counts(&before[*at])).collect();
    let per = recipe.per.filter(|_| !counting.is_empty()).map(|pick| *pick.get(&counting));
    if let Some(count) = per {
        json["per"] = before[count].json["name"].clone();
    }
    let mut when: Vec<(usize, Vec<Json>)> = Vec::new();
    for (pick, mask) in recipe.parents.iter().filter(|_| !before.is_empty()) {
        let parent = pick.index(before.len());
        let values: Vec<Json> = before[parent]
            .all
            .iter()
            .flatten()
            .enumerate()
            .filter(|(at, _)| mask >> (at % 8) & 1 == 1)
            .map(|(_, value)| value.clone())
            .collect();
        let in_reach = before[parent].per.is_none() || before[parent].per == per;
        if before[parent].json["type"] != "float"
            && in_reach
            && !values.is_empty()
            && when.iter().all(|(known, _)| *known != parent)
        {
            json["when"][before[parent].json["name"].as_str().unwrap()] = json!(values);
            when.push((parent, values));
        }
    }
    let all = (kind != FLOAT).then_some(all);
    Declared { json, grid, all, when, per }
}

/// Every combination of `values` in which exactly the active hyperparameters have one; the last
/// varies fastest. None if there are more than `max`.
pub(crate) fn brute_force(
    space: &[Plain],
    values: fn(&Plain) -> &[Json],
    max: usize,
) -> Option<Vec<Map<String, Json>>> {
    let mut points = vec![Map::new()];
    for plain in space {
        let holds = |point: &Map<String, Json>| {
            plain.when.iter().all(|(parent, allowed)| {
                point.get(&space[*parent].name).is_some_and(|value| allowed.contains(value))
            })
        };
        let extend = |point: Map<String, Json>| -> Vec<Map<String, Json>> {
            if !holds(&point) {
                return vec![point];
            }
            values(plain)
                .iter()
                .map(|value| {
                    point
                        .iter()
                        .map(|(name, known)| (name.clone(), known.clone()))
                        .chain([(plain.name.clone(), value.clone())])
                        .collect()
                })
                .collect()
        };
        points = points.into_iter().flat_map(extend).collect();
        if points.len() > max {
            return None;
        }
    }
    Some(points)
}

/// The space declared by `document`.
#[track_caller]
pub(crate) fn parse(document: &Json) -> SearchSpace {
    let reading = Reading::default();
    SearchSpace::parse(&reading.root(document, None))
        .unwrap_or_else(|| panic!("{:#?} of {document}", reading.into_problems()))
}

/// The domain of the hyperparameter that `declaration` makes.
fn domain(mut declaration: Json) -> Domain {
    declaration["name"] = json!("x");
    parse(&json!([declaration])).hyperparameters()[0].domain.clone()
}

#[track_caller]
fn check_values(declaration: Json, expect: Json) {
    let domain = domain(declaration);
    let values: Vec<Value> = (0..domain.count().unwrap()).map(|index| domain.value(index)).collect();
    assert_eq!(values.iter().map(Value::to_json).collect::<Json>(), expect);
    for (index, value) in values.iter().enumerate() {
        assert_eq!(domain.position(value), Some(index as u64));
    }
}

#[test]
fn ranges_include_their_end_where_a_step_reaches_it() {
    check_values(json!({"type": "int", "min_value": 6, "max_value": 13, "step": 3}), json!([6, 9, 12]));
    check_values(json!({"type": "int", "min_value": 6, "max_value": 12, "step": 3}), json!([6, 9, 12]));
    check_values(
        json!({"type": "int", "min_value": 2, "max_value": 32, "step": 2, "sampling": "log"}),
        json!([2, 4, 8, 16, 32]),
    );
    check_values(
        json!({"type": "int", "min_value": 2, "max_value": 31, "step": 2, "sampling": "log"}),
        json!([2, 4, 8, 16]),
    );
    check_values(
        json!({"type": "int", "min_value": 2, "max_value": 32, "step": 2, "sampling": "reverse_log"}),
        json!([2, 18, 26, 30, 32]),
    );
    check_values(
        json!({"type": "float", "min_value": 0.1, "max_value": 0.5, "step": 0.1}),
        json!([0.1, 0.2, 0.3, 0.4, 0.5]),
    );
    check_values(
        json!({"type": "float", "min_value": 0, "max_value": 1, "step": 0.3}),
        json!([0.0, 0.3, 0.6, 0.9]),
    );
    check_values(
        json!({"type": "float", "min_value": 1e-4, "max_value": 0.1, "step": 10, "sampling": "log"}),
        json!([1e-4, 1e-3, 1e-2, 0.1]),
    );
    check_values(json!({"type": "int", "min_value": 5, "max_value": 5}), json!([5]));
    check_values(json!({"type": "float", "min_value": 0.5, "max_value": 0.5}), json!([0.5]));
}

#[test]
fn keras_tuner_loses_the_last_value_of_a_float_with_step_and_we_do_not() {
    check_values(
        json!({"type": "float", "min_value": 0, "max_value": 1, "step": 0.2}),
        json!([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    );
}

#[test]
fn keras_tuners_wire_form_turns_booleans_of_a_choice_into_ints_and_ours_does_not() {
    check_values(json!({"type": "choice", "values": [true, false]}), json!([true, false]));
}

#[test]
fn a_range_too_fine_or_too_wide_for_doubles_is_refused() {
    let refuse = |declaration: Json| {
        let document = json!([declaration]);
        let reading = Reading::default();
        assert!(
            SearchSpace::parse(&reading.root(&document, None)).is_none() && !reading.is_clean(),
            "{document} parses"
        );
    };
    refuse(json!({"name": "x", "type": "float", "min_value": 0.1, "max_value": 1e300, "step": 0.1}));
    refuse(json!({"name": "x", "type": "float", "min_value": -1e308, "max_value": 1e308}));
    refuse(json!({"name": "x", "type": "float", "min_value": 1e-300, "max_value": 1e300, "sampling": "log"}));
    refuse(
        json!({"name": "x", "type": "float", "min_value": 1e-300, "max_value": 1e300, "sampling": "log", "step": 2}),
    );
    refuse(json!({"name": "x", "type": "float", "min_value": 0, "max_value": 1, "step": 1e-300}));
}

#[test]
fn keras_tuners_wire_form_sorts_by_kind_and_ours_keeps_parents_before_children() {
    let space = parse(&json!([
        {"name": "a", "type": "choice", "values": ["x", "y"]},
        {"name": "b", "type": "fixed", "value": 1, "when": {"a": ["x"]}}
    ]));
    let names: Vec<&str> =
        space.hyperparameters().iter().map(|hyperparameter| hyperparameter.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::*;
use crate::sampler::Sampler;
use crate::study::Study;
use crate::study::tests::{check, examples, preflight, schema_of, smallest, with};

/// A change of a document at one of its places.
#[derive(Debug, Clone)]
enum Mutation {
    Delete,
    Replace(Json),
    /// Replaces it with a copy of another place.
    Copy(Index),
    /// Adds another key to the same object, or repeats an item of its array.
    Repeat(String),
}

fn mutations() -> impl Strategy<Value = Vec<(Index, Mutation)>> {
    let deep = |levels: usize, object: bool| {
        (0..levels).fold(json!(1), |inner, _| if object { json!({"when": inner}) } else { json!([inner]) })
    };
    let nasty = vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1),
        json!(3.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(1e308),
        json!(-1e308),
        json!(5e-324),
        json!(1e18),
        json!(""),
        json!("\u{0}"),
        json!("layers"),
        json!("é".repeat(5_000)),
        json!([]),
        json!({}),
        json!(vec![0; 5_000]),
        json!([[1]]),
        deep(63, false),
        deep(120, true),
        json!({"hp": "units"}),
        json!({"hp": "layers"}),
        json!({"hp": 3}),
        json!({"hp": "activation", "cases": {}}),
        json!({"a": [1], "b": 2}),
        json!({"hp": "optimizer", "cases": {"adam": {"hp": "units"}, "sgd": null}}),
        json!({"repeat": 64, "layers": []}),
        json!("log"),
        json!("reverse_log"),
        json!("layer"),
    ];
    let key = prop::sample::select(vec![
        "hp", "cases", "when", "per", "step", "default", "repeat", "~/\u{7f}", "layers", "name",
    ]);
    let mutation = prop_oneof![
        2 => Just(Mutation::Delete),
        5 => prop::sample::select(nasty).prop_map(Mutation::Replace),
        3 => any::<Index>().prop_map(Mutation::Copy),
        2 => key.prop_map(|key| Mutation::Repeat(key.to_owned())),
    ];
    prop::collection::vec((any::<Index>(), mutation), 1..4)
}

fn mutate(document: &mut Json, at: &Index, mutation: &Mutation) {
    let places = pointers(document, String::new());
    let Some((parent, key)) = at
        .get(&places)
        .rsplit_once('/')
        .map(|(parent, key)| (parent.to_owned(), key.replace("~1", "/").replace("~0", "~")))
    else {
        return;
    };
    let copied = match mutation {
        Mutation::Copy(from) => document.pointer(from.get(&places).as_str()).cloned(),
        _ => None,
    };
    match (document.pointer_mut(&parent).unwrap(), mutation) {
        (Json::Object(members), Mutation::Delete) => drop(members.shift_remove(&key)),
        (Json::Array(items), Mutation::Delete) => drop(items.remove(key.parse().unwrap())),
        (Json::Object(members), Mutation::Repeat(name)) => {
            drop(members.insert(name.clone(), members[&key].clone()))
        }
        (Json::Array(items), Mutation::Repeat(_)) => items.push(items[key.parse::<usize>().unwrap()].clone()),
        (Json::Object(members), Mutation::Replace(value)) => drop(members.insert(key, value.clone())),
        (Json::Array(items), Mutation::Replace(value)) => {
            items[key.parse::<usize>().unwrap()] = value.clone()
        }
        (Json::Object(members), Mutation::Copy(_)) => drop(members.insert(key, copied.unwrap())),
        (Json::Array(items), Mutation::Copy(_)) => items[key.parse::<usize>().unwrap()] = copied.unwrap(),
        (scalar, _) => unreachable!("{scalar} is no parent"),
    }
}

/// A pointer to every value in `json`, the whole document first.
fn pointers(json: &Json, at: String) -> Vec<String> {
    let below = match json {
        Json::Object(members) => members
            .iter()
            .flat_map(|(key, member)| {
                pointers(member, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")))
            })
            .collect(),
        Json::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(index, item)| pointers(item, format!("{at}/{index}")))
            .collect(),
        _ => Vec::new(),
    };
    std::iter::once(at).chain(below).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn whatever_is_done_to_a_study_it_is_answered_soon_and_at_its_place(which in any::<Index>(), mutations in mutations()) {
        let mut document = which.get(&examples()).1.clone();
        mutations.iter().for_each(|(at, mutation)| mutate(&mut document, at, mutation));
        let begin = Instant::now();
        match Study::parse(&document) {
            Ok(study) => works(&study),
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    prop_assert!(document.pointer(&problem.pointer).is_some(), "nothing is at {:?}: {}", problem.pointer, problem.detail);
                    prop_assert!(!problem.detail.is_empty() && problem.detail.len() < 3_000, "{} bytes", problem.detail.len());
                }
            }
        }
        // It takes milliseconds; the margin is for a busy machine.
        prop_assert!(begin.elapsed() < Duration::from_secs(10), "{:?} for {}", begin.elapsed(), document);
    }
}

/// A study that parses can be checked, sampled and planned.
fn works(study: &Study) {
    let known = ["digits", "iris", "wine", "breast_cancer", "diabetes"];
    if !matches!(&study.dataset.source, crate::dataset::Source::Builtin(name) if !known.contains(&name.as_str()))
    {
        let _ = preflight(study, &schema_of(study));
    }
    let mut sampler = Sampler::new(study.sampler, &study.space, study.seed);
    for number in 0..5 {
        let Some(point) = sampler.suggest(number) else { break };
        study
            .plan(&point)
            .unwrap_or_else(|problems| panic!("{problems:#?} at {point:?} of {}", study.document()));
    }
    assert_eq!(Study::parse(study.document()).unwrap().document(), study.document());
}

#[test]
fn an_unknown_field_is_answered_with_the_nearest_known_one_or_with_all() {
    let detail = |name: &str| {
        let document = with(smallest(), &format!("/training/{name}"), json!(1));
        Study::parse(&document).unwrap_err()[0].detail.clone()
    };
    assert_eq!(detail("epoch"), "unknown field \"epoch\"; did you mean epochs?");
    assert_eq!(
        detail("nonsense"),
        "unknown field \"nonsense\"; known fields: optimizer, loss, metrics, batch_size, epochs, callbacks, class_weight"
    );
}

#[test]
fn the_same_validation_files_serve_all_trials() {
    let files = json!({"features": "x", "labels": "y"});
    let mut document = smallest();
    document["space"] = json!([{"name": "a", "type": "boolean"}]);
    document["training"]["batch_size"] = json!({"hp": "a", "cases": {"true": 8, "false": 16}});
    document["dataset"] = json!({"features": "x", "labels": "y", "validation": {"hp": "a", "cases": {"true": files, "false": files}}});
    check(&document, &[("/dataset/validation", "this cannot be a hyperparameter")]);
}

/// Checks layers over a space in which `units` needs `deep`, `deep` needs `kind` a or b, and `each`
/// is per `count`.
#[track_caller]
fn check_layers(layers: Json, expect: &[(&str, &str)]) {
    let space = json!([
        {"name": "kind", "type": "choice", "values": ["a", "b", "c"]},
        {"name": "deep", "type": "boolean", "when": {"kind": ["a", "b"]}},
        {"name": "units", "type": "int", "min_value": 1, "max_value": 9, "when": {"deep": [true]}},
        {"name": "count", "type": "int", "min_value": 0, "max_value": 3},
        {"name": "each", "type": "int", "min_value": 1, "max_value": 9, "per": "count"}
    ]);
    // All are used, so that only the layers are at fault.
    let used = json!([
        {"layer": "Dense", "units": {"hp": "units"}, "when": {"deep": [true]}},
        {"repeat": {"hp": "count"}, "layers": [{"layer": "Dense", "units": {"hp": "each"}}]}
    ]);
    let network: Json = layers.as_array().unwrap().iter().chain(used.as_array().unwrap()).cloned().collect();
    check(&with(with(smallest(), "/space", space), "/network", network), expect);
}

#[test]
fn what_may_be_inactive_cannot_be_referred_to() {
    let dense = |when: Json| json!({"layer": "Dense", "units": {"hp": "units"}, "when": when});
    let inactive: &[_] = &[(
        "/network/0/units/hp",
        "hyperparameter units may be inactive here: it is active only when deep is true",
    )];
    check_layers(json!([{"layer": "Dense", "units": {"hp": "units"}}]), inactive);
    check_layers(json!([dense(json!({"kind": ["a"]}))]), inactive);
    check_layers(json!([dense(json!({"deep": [true, false]}))]), inactive);
    // A child implies its parent, and so does a case.
    check_layers(
        json!([
            dense(json!({"deep": [true]})),
            dense(json!({"units": [3]})),
            dense(json!({"kind": ["a"], "deep": [true]}))
        ]),
        &[],
    );
    let cases = |inner: Json| json!({"hp": "kind", "cases": {"a": {"hp": "deep", "cases": {"true": inner, "false": null}}, "b": null, "c": null}});
    check_layers(json!([cases(json!({"layer": "Dense", "units": {"hp": "units"}}))]), &[]);
    let bare =
        json!({"hp": "deep", "cases": {"true": {"layer": "Dense", "units": {"hp": "units"}}, "false": null}});
    check_layers(
        json!([bare]),
        &[(
            "/network/0/hp",
            "hyperparameter deep may be inactive here: it is active only when kind is a or b",
        )],
    );
    check_layers(
        json!([dense(json!({"kind": ["c"], "deep": [true]}))]),
        &[("/network/0/when", "can never be true")],
    );
}

#[test]
fn a_condition_that_lists_every_value_still_needs_its_parent() {
    let space = json!([
        {"name": "kind", "type": "choice", "values": ["a", "b"]},
        {"name": "deep", "type": "boolean", "when": {"kind": ["a"]}},
        {"name": "wide", "type": "int", "min_value": 1, "max_value": 9, "when": {"deep": [true, false]}}
    ]);
    let document = with(with(smallest(), "/space", space), "/network/0/units", json!({"hp": "wide"}));
    check(
        &document,
        &[(
            "/network/0/units/hp",
            "hyperparameter wide may be inactive here: it is active only when deep is false or true",
        )],
    );
    let study = Study::parse(&with(document, "/network/0/when", json!({"kind": ["a"]})));
    assert!(study.is_ok(), "{study:#?}");
}

#[test]
fn a_per_hyperparameter_stands_in_its_own_repetition_only() {
    let outside: &[_] = &[(
        "/network/0/units/hp",
        "hyperparameter each is `per` count: it can be used only inside a repeat of {\"hp\": \"count\"}",
    )];
    check_layers(json!([{"layer": "Dense", "units": {"hp": "each"}}]), outside);
    check_layers(
        json!([{"repeat": 2, "layers": [{"layer": "Dense", "units": {"hp": "each"}}]}]),
        &[("/network/0/layers/0/units/hp", "is `per` count")],
    );
    check_layers(
        json!([{"layer": "Dense", "units": {"hp": "each_0"}}]),
        &[("/network/0/units/hp", "there is no hyperparameter \"each_0\"")],
    );
    check_layers(
        json!([{"repeat": 2, "layers": [{"repeat": 2, "layers": []}]}]),
        &[("/network/0/layers/0", "a `repeat` cannot be inside another `repeat`")],
    );
}

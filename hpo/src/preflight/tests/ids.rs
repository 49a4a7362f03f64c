//! Embeddings: the numbers that reach them, and the rows of their tables.

use super::*;

#[test]
fn an_embedding_that_takes_the_features_has_a_row_for_each_of_them() {
    let end = json!({"layer": "Dense", "units": 3, "activation": "softmax"});
    let embedding = |input_dim: Json| json!({"layer": "Embedding", "input_dim": input_dim, "output_dim": 2});
    let network = |before: &[Json], input_dim: Json| {
        [before, &[embedding(input_dim), json!({"layer": "Flatten"}), end.clone()]].concat()
    };
    let check = |before: &[Json], input_dim: Json, space: Json, expect: &[(&str, &str)]| {
        check_network(&[2, 3], json!(network(before, input_dim)), space, expect);
    };
    let (none, sound): (_, &[_]) = (json!([]), &[]);
    check(&[], json!(13), none.clone(), sound);
    let words = "an Embedding with input_dim 12 takes whole numbers from 0 to 11, but w.csv, row 3 has 12";
    check(&[], json!(12), none.clone(), &[("/network/0/input_dim", words)]);
    let moved = [
        json!({"layer": "Permute", "dims": [2, 1]}),
        json!({"layer": "Flatten"}),
        json!({"layer": "Reshape", "target_shape": [3, 2]}),
    ];
    check(&moved, json!(12), none.clone(), &[("/network/3/input_dim", words)]);
    check(
        &[
            json!({"layer": "Reshape", "target_shape": [2, 3, 1]}),
            json!({"layer": "MaxPooling2D", "pool_size": 1}),
        ],
        json!(12),
        none.clone(),
        &[("/network/2/input_dim", words)],
    );
    let size = |values: Json| json!([{"name": "size", "type": "choice", "values": values}]);
    check(
        &[],
        json!({"hp": "size"}),
        size(json!([20, 5, 30])),
        &[("/network/0/input_dim", "has 12 when size is 5")],
    );
    check(&[], json!({"hp": "size"}), size(json!([20, 30])), sound);
    // A layer that only some trials have.
    let maybe = json!({"layer": "Rescaling", "scale": 1, "offset": -1, "when": {"rescaled": [true]}});
    let rescaled = json!([{"name": "rescaled", "type": "boolean"}]);
    check(&[maybe], json!(12), rescaled.clone(), &[("/network/1/input_dim", "when rescaled is false")]);
    let choice = json!([{"hp": "rescaled", "cases": {"true": end, "false": embedding(json!(12))}}, {"layer": "Flatten"}, end]);
    check_network(
        &[2, 3],
        choice,
        rescaled,
        &[("/network/0/cases/false/input_dim", "when rescaled is false")],
    );
}

#[test]
fn an_embedding_behind_a_layer_that_computes_is_refused() {
    let end = json!({"layer": "Dense", "units": 3, "activation": "softmax"});
    let network = |before: &[Json]| {
        json!(
            [
                before,
                &[
                    json!({"layer": "Embedding", "input_dim": 99, "output_dim": 2}),
                    json!({"layer": "Flatten"}),
                    end.clone()
                ]
            ]
            .concat()
        )
    };
    let check = |before: &[Json], space: Json, expect: &[(&str, &str)]| {
        check_network(&[6, 2], network(before), space, expect)
    };
    let none = json!([]);
    for before in [
        json!({"layer": "Dense", "units": 4}),
        json!({"layer": "LayerNormalization"}),
        json!({"layer": "Activation", "activation": "tanh"}),
        json!({"layer": "Conv1D", "filters": 2, "kernel_size": 2}),
        json!({"layer": "AveragePooling1D", "pool_size": 2}),
        json!({"layer": "Dropout", "rate": 0.5}),
        json!({"layer": "Rescaling", "scale": 0.5}),
        json!({"layer": "Embedding", "input_dim": 99, "output_dim": 2}),
    ] {
        let class = before["layer"].as_str().unwrap();
        let words = format!(
            "an Embedding takes ids, but the {class} before it, /network/0, turns them into other numbers"
        );
        check(std::slice::from_ref(&before), none.clone(), &[("/network/1", &words)]);
        check(&[before, json!({"layer": "Flatten"})], none.clone(), &[("/network/2", &words)]);
    }
    for before in [
        json!({"layer": "Dropout", "rate": 0.0}),
        json!({"layer": "Activation", "activation": "linear"}),
        json!({"layer": "MaxPooling1D", "pool_size": 2}),
        json!({"layer": "GlobalMaxPooling1D"}),
    ] {
        check(&[before], none.clone(), &[]);
    }
    // Twenty optional layers are merged into few states.
    let optional =
        |at: usize| json!({"layer": "Dropout", "rate": 0.5, "when": {(format!("drop{at}")): [true]}});
    let before: Vec<Json> = (0..20).map(optional).collect();
    let space: Vec<Json> =
        (0..20).map(|at| json!({"name": format!("drop{at}"), "type": "boolean"})).collect();
    let study =
        Study::parse(&with(with(smallest(), "/network", network(&before)), "/space", json!(space))).unwrap();
    let problems = crate::preflight::preflight(
        &study,
        &dataset(&[6, 2]),
        &findings(WorstId { value: 12.0, place: String::new() }),
    )
    .unwrap_err();
    assert!(
        problems.len() == limits::PREFLIGHT_REASONS_MAX
            && problems.iter().all(|problem| problem.pointer == "/network/20"),
        "{problems:#?}"
    );
    assert!(
        problems[1]
            .detail
            .ends_with("the Dropout before it, /network/1, turns them into other numbers when drop1 is true"),
        "{problems:#?}"
    );
}

#[test]
fn features_that_are_no_ids_or_scaled_are_refused_before_an_embedding() {
    let network = json!([{"layer": "Embedding", "input_dim": 99, "output_dim": 2}, {"layer": "Flatten"}, {"layer": "Dense", "units": 3, "activation": "softmax"}]);
    let document = with(smallest(), "/network", network);
    let worst = |value: f32| WorstId { value, place: "w.csv, row 3".into() };
    for value in [0.5, -1.0] {
        check_document(
            &[4],
            document.clone(),
            &worst(value),
            &[("/network/0/input_dim", &format!("but w.csv, row 3 has {value}"))],
        );
    }
    check_document(&[4], with(document.clone(), "/dataset/scale", json!("none")), &worst(98.0), &[]);
    let scaled = with(document.clone(), "/dataset/scale", json!("standardize"));
    check_document(
        &[4],
        scaled,
        &worst(0.5),
        &[(
            "/dataset/scale",
            "takes the features as ids, but standardize turns them into other numbers; use none",
        )],
    );
    let searched = with(
        with(document, "/dataset/scale", json!({"hp": "scale"})),
        "/space",
        json!([{"name": "scale", "type": "choice", "values": ["none", "min_max"]}]),
    );
    check_document(&[4], searched, &worst(98.0), &[("/dataset/scale", "use none when scale is min_max")]);
}

/// Checks that the pre-flight of `layers` before a Flatten and an output over rows of (6, 2)
/// reports the expected problems; `value` is the worst id.
#[track_caller]
fn check_ids(layers: &[Json], space: Json, value: f32, expect: &[(&str, &str)]) {
    let end = [json!({"layer": "Flatten"}), json!({"layer": "Dense", "units": 3, "activation": "softmax"})];
    let document = with(with(smallest(), "/network", json!([layers, &end].concat())), "/space", space);
    check_document(&[6, 2], document, &WorstId { value, place: "w.csv, row 3".into() }, expect);
}

fn table(input_dim: Json) -> Json {
    json!({"layer": "Embedding", "input_dim": input_dim, "output_dim": 2})
}

#[test]
fn a_layer_is_read_with_what_its_place_says_of_its_hyperparameters() {
    let kind = || json!([{"name": "kind", "type": "choice", "values": ["a", "b"]}, {"name": "size", "type": "choice", "values": [5, 20]}]);
    let used =
        json!({"layer": "Rescaling", "scale": 1, "offset": {"hp": "size", "cases": {"5": 0, "20": 0}}});
    let in_a = |mut layer: Json| {
        layer["when"] = json!({"kind": ["a"]});
        layer
    };
    let of_a = |layer: Json| json!({"hp": "kind", "cases": {"a": layer, "b": null}});
    let lacks = "input_dim 5 takes whole numbers from 0 to 4, but w.csv, row 3 has 12 when kind is a";
    let small = || table(json!({"hp": "kind", "cases": {"a": 5}}));
    check_ids(&[used.clone(), in_a(small())], kind(), 12.0, &[("/network/1/input_dim", lacks)]);
    check_ids(&[used.clone(), of_a(small())], kind(), 12.0, &[("/network/1/cases/a/input_dim", lacks)]);
    // The content of the only possible case.
    let sized = [("/network/0/input_dim", "has 12 when kind is a and size is 5")];
    check_ids(&[in_a(table(json!({"hp": "kind", "cases": {"a": {"hp": "size"}}})))], kind(), 12.0, &sized);

    let dense = || json!({"layer": "Dense", "units": {"hp": "kind", "cases": {"a": 5}}});
    let computes = |pointer: &str| {
        format!("the Dense before it, {pointer}, turns them into other numbers when kind is a")
    };
    check_ids(
        &[used.clone(), in_a(dense()), table(json!(99))],
        kind(),
        12.0,
        &[("/network/2", &computes("/network/1"))],
    );
    check_ids(
        &[used, of_a(dense()), table(json!(99))],
        kind(),
        12.0,
        &[("/network/2", &computes("/network/1/cases/a"))],
    );
}

#[test]
fn an_embedding_has_a_row_for_what_rescalings_make_of_the_features() {
    let rescaled = |scale: Json, offset: i64| json!({"layer": "Rescaling", "scale": scale, "offset": offset});
    let check = |before: &[Json], value: f32, expect: &[&str]| {
        let pointer = format!("/network/{}/input_dim", before.len());
        let expect: Vec<(&str, &str)> = expect.iter().map(|words| (pointer.as_str(), *words)).collect();
        check_ids(&[before, &[table(json!(12))]].concat(), json!([]), value, &expect);
    };
    let words = "an Embedding with input_dim 12 takes whole numbers from 0 to 11, but w.csv, row 3 has 11, rescaled to 12";
    check(&[rescaled(json!(1), 1)], 11.0, &[words]);
    check(&[rescaled(json!(1), 1)], 10.0, &[]);
    check(&[rescaled(json!(-1), 0)], 3.0, &["w.csv, row 3 has 3, rescaled to -3"]);
    check(&[rescaled(json!(-1), 11)], 11.0, &[]);
    // Categories that are numbered from 1.
    check(&[rescaled(json!(1), -1)], 12.0, &[]);
    check(
        &[rescaled(json!(2), 1), json!({"layer": "Flatten"}), rescaled(json!(3), -1)],
        2.0,
        &["has 2, rescaled to 14"],
    );
    check(&[rescaled(json!(2), 1), rescaled(json!(3), -4)], 2.0, &[]);
    check(&[rescaled(json!(2), 0)], 0.25, &["but w.csv, row 3 has 0.25"]);
    check(&[rescaled(json!(2), 0)], 0.5, &["but w.csv, row 3 has 0.5"]);
    check(&[rescaled(json!(1), 1)], -1.0, &[]);
    check(&[rescaled(json!(1), 1)], -2.0, &["has -2, rescaled to -1"]);

    let factor = |values: Json| json!([{"name": "s", "type": "choice", "values": values}]);
    let searched = [rescaled(json!({"hp": "s"}), 0), table(json!(24))];
    check_ids(&searched, factor(json!([1, 2])), 11.0, &[]);
    check_ids(
        &searched,
        factor(json!([1, 2, 3])),
        11.0,
        &[("/network/1/input_dim", "has 11, rescaled to 33 when s is 3")],
    );
    let halved =
        [("/network/1", "the Rescaling before it, /network/0, turns them into other numbers when s is 0.5")];
    check_ids(&searched, factor(json!([0.5, 1.0])), 11.0, &halved);

    // It has more values than are listed, though the conditions of its neighbours use all of them.
    let many = json!([{"name": "s", "type": "int", "min_value": 1, "max_value": 5_000}]);
    let when = |value: i64| json!({"layer": "Dropout", "rate": 0, "when": {"s": [value]}});
    let between = [when(1), rescaled(json!({"hp": "s"}), 0), when(2), table(json!(24))];
    check_ids(
        &between,
        many,
        11.0,
        &[("/network/3", "the Rescaling before it, /network/1, turns them into other numbers")],
    );
}

#[test]
fn arguments_that_a_search_chooses_leave_ids_as_they_are_where_their_values_do() {
    let kind = || json!([{"name": "kind", "type": "choice", "values": ["a", "b"]}]);
    let by_kind = |a: Json, b: Json| json!({"hp": "kind", "cases": {"a": a, "b": b}});
    let in_kind = |kind: &str| {
        let mut layer = table(json!(13));
        layer["when"] = json!({"kind": [kind]});
        layer
    };
    let dropout = json!({"layer": "Dropout", "rate": by_kind(json!(0.0), json!(0.3))});
    let dropped = "the Dropout before it, /network/0, turns them into other numbers";
    check_ids(&[dropout.clone(), in_kind("a")], kind(), 12.0, &[]);
    check_ids(&[dropout.clone(), in_kind("b")], kind(), 12.0, &[("/network/1", dropped)]);
    check_ids(
        &[dropout, table(json!(13))],
        kind(),
        12.0,
        &[("/network/1", &format!("{dropped} when kind is b"))],
    );

    let activation =
        |b: &str| json!({"layer": "Activation", "activation": by_kind(json!("linear"), json!(b))});
    check_ids(&[activation("relu"), table(json!(13))], kind(), 12.0, &[]);
    let bent = "the Activation before it, /network/0, turns them into other numbers when kind is b";
    check_ids(&[activation("tanh"), table(json!(13))], kind(), 12.0, &[("/network/1", bent)]);

    let rate = json!({"layer": "Dropout", "rate": {"hp": "rate"}});
    check_ids(
        &[rate.clone(), table(json!(13))],
        json!([{"name": "rate", "type": "choice", "values": [0.0]}]),
        12.0,
        &[],
    );
    for (least, most) in [(0.0, 0.5), (-1.0, 1.0)] {
        // Neither end of a range represents the values between them.
        let layer =
            if least < 0.0 { json!({"layer": "Rescaling", "scale": {"hp": "rate"}}) } else { rate.clone() };
        let range = json!([{"name": "rate", "type": "float", "min_value": least, "max_value": most}]);
        check_ids(
            &[layer, table(json!(13))],
            range,
            12.0,
            &[("/network/1", "before it, /network/0, turns them into other numbers")],
        );
    }
}

#[test]
fn rectifiers_leave_ids_as_they_are_and_make_other_numbers_of_what_is_below_0() {
    for layer in [
        json!({"layer": "Activation", "activation": "relu"}),
        json!({"layer": "Activation", "activation": "leaky_relu"}),
        json!({"layer": "Activation", "activation": "elu"}),
        json!({"layer": "LeakyReLU"}),
        json!({"layer": "PReLU"}),
    ] {
        let class = layer["layer"].as_str().unwrap();
        check_ids(&[layer.clone(), table(json!(13))], json!([]), 12.0, &[]);
        check_ids(
            &[layer.clone(), table(json!(12))],
            json!([]),
            12.0,
            &[("/network/1/input_dim", "w.csv, row 3 has 12")],
        );
        check_ids(
            &[layer.clone(), table(json!(12))],
            json!([]),
            0.5,
            &[("/network/1/input_dim", "w.csv, row 3 has 0.5")],
        );
        let computes = format!("the {class} before it, /network/0, turns them into other numbers");
        check_ids(&[layer, table(json!(12))], json!([]), -1.0, &[("/network/1", &computes)]);
    }
    let six = [("/network/1", "turns them into other numbers")];
    check_ids(
        &[json!({"layer": "Activation", "activation": "relu6"}), table(json!(13))],
        json!([]),
        12.0,
        &six,
    );
}

#[test]
fn the_smallest_table_of_a_range_speaks_for_all_however_many_there_are() {
    let size = |least: u64, most: u64| json!([{"name": "size", "type": "int", "min_value": least, "max_value": most}]);
    let searched = || table(json!({"hp": "size"}));
    let least =
        "input_dim 2 takes whole numbers from 0 to 1, but w.csv, row 3 has 11; input_dim must be at least 12";
    for most in [3, 20, 100_000, 200_000] {
        check_ids(&[searched()], size(2, most), 11.0, &[("/network/0/input_dim", least)]);
    }
    check_ids(&[searched()], size(12, 200_000), 11.0, &[]);
    check_ids(
        &[searched()],
        size(12, 200_000),
        0.5,
        &[("/network/0/input_dim", "from 0 to 11, but w.csv, row 3 has 0.5")],
    );
    let computes = [("/network/1", "the Dense before it, /network/0, turns them into other numbers")];
    check_ids(&[json!({"layer": "Dense", "units": 4}), searched()], size(12, 200_000), 11.0, &computes);
    let network =
        json!([searched(), {"layer": "Flatten"}, {"layer": "Dense", "units": 3, "activation": "softmax"}]);
    let scaled = with(
        with(with(smallest(), "/network", network), "/dataset/scale", json!("standardize")),
        "/space",
        size(12, 200_000),
    );
    let worst = WorstId { value: 11.0, place: String::new() };
    check_document(
        &[4],
        scaled,
        &worst,
        &[("/dataset/scale", "standardize turns them into other numbers; use none")],
    );

    // In one of the cases; and value by value if something else depends on the range.
    let mut space = size(2, 200_000);
    space.as_array_mut().unwrap().push(json!({"name": "kind", "type": "choice", "values": ["a", "b"]}));
    let cased = table(json!({"hp": "kind", "cases": {"a": {"hp": "size"}, "b": 12}}));
    check_ids(&[cased], space, 11.0, &[("/network/0/input_dim", &format!("{least} when kind is a"))]);
    let shifted = json!({"layer": "Rescaling", "scale": 1, "offset": {"hp": "size"}});
    let each = ["input_dim 2 takes", "input_dim 3 takes", "has 0, rescaled to 4"]
        .map(|words| ("/network/1/input_dim", words));
    check_ids(&[shifted, searched()], size(2, 9), 0.0, &each);
    let zeroed = json!({"layer": "Rescaling", "scale": 0, "when": {"size": [2, 3]}});
    check_ids(&[zeroed, searched()], size(2, 4), 3.0, &[]);
}

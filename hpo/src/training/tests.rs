use serde_json::{Value as Json, json};

use super::*;
use crate::document::Reading;
use crate::limits;
use crate::study::tests::{check, smallest, with};

fn read<T: FromDocument>(json: &Json) -> T {
    let reading = Reading::default();
    let thing = T::from_place(&reading.root(json, None));
    thing.filter(|_| reading.is_clean()).unwrap_or_else(|| panic!("{:?} in {json}", reading.into_problems()))
}

const STEPS: [u64; 9] = [0, 1, 10, 11, 50, 99, 100, 101, 250];

/// `[float(schedule(step)) for step in STEPS]` in Keras 3.15, of `keras.optimizers.schedules` with
/// these arguments.
#[rustfmt::skip] // A table: one line for each schedule.
const KERAS: &[(&str, [f64; 9])] = &[
    (r#"{"name": "exponential_decay", "initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": 0.5}"#, [0.1, 0.099309251, 0.0933033, 0.09265881, 0.070710681, 0.050347775, 0.050000001, 0.049654625, 0.01767767]),
    (r#"{"name": "exponential_decay", "initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": 0.5, "staircase": true}"#, [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.050000001, 0.050000001, 0.025]),
    (r#"{"name": "polynomial_decay", "initial_learning_rate": 0.1, "decay_steps": 100}"#, [0.1, 0.099001005, 0.090010002, 0.089010999, 0.050050002, 0.0010989989, 9.9999997e-05, 9.9999997e-05, 9.9999997e-05]),
    (r#"{"name": "polynomial_decay", "initial_learning_rate": 0.1, "decay_steps": 100, "end_learning_rate": 0.01, "power": 2, "cycle": true}"#, [0.1, 0.098209001, 0.082899995, 0.081288993, 0.032499999, 0.010009, 0.0099999998, 0.032052249, 0.0125]),
    (r#"{"name": "inverse_time_decay", "initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": 0.5}"#, [0.1, 0.099502489, 0.095238104, 0.094786733, 0.079999998, 0.066889636, 0.06666667, 0.066445187, 0.044444446]),
    (r#"{"name": "inverse_time_decay", "initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": 0.5, "staircase": true}"#, [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.06666667, 0.06666667, 0.050000001]),
    (r#"{"name": "piecewise_constant_decay", "boundaries": [10, 100], "values": [1.0, 0.5, 0.1]}"#, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1]),
    (r#"{"name": "cosine_decay", "initial_learning_rate": 0.1, "decay_steps": 100}"#, [0.1, 0.099975325, 0.097552828, 0.097044043, 0.049999997, 2.4673343e-05, 0.0, 0.0, 0.0]),
    (r#"{"name": "cosine_decay", "initial_learning_rate": 0.0, "decay_steps": 100, "alpha": 0.1, "warmup_target": 0.1, "warmup_steps": 20}"#, [0.0, 0.0050000004, 0.050000001, 0.055000003, 0.081450336, 0.019443024, 0.018594233, 0.017781373, 0.010000001]),
    (r#"{"name": "cosine_decay_restarts", "initial_learning_rate": 0.1, "first_decay_steps": 50}"#, [0.1, 0.099901341, 0.090450846, 0.088525668, 0.1, 0.051570535, 0.049999997, 0.048429459, 0.049999997]),
    (r#"{"name": "cosine_decay_restarts", "initial_learning_rate": 0.1, "first_decay_steps": 50, "t_mul": 1, "m_mul": 0.5, "alpha": 0.1}"#, [0.1, 0.099911205, 0.091405764, 0.089673094, 0.055000003, 0.010044399, 0.032499999, 0.0324778, 0.0128125]),
    (r#"{"name": "cosine_decay_restarts", "initial_learning_rate": 0.1, "first_decay_steps": 30, "t_mul": 1.5, "m_mul": 0.9, "alpha": 0.01}"#, [0.1, 0.099728838, 0.07525, 0.070633464, 0.053286027, 0.058671486, 0.056975819, 0.055245753, 0.065682851]),
];

#[test]
fn schedules_go_as_in_keras() {
    for (document, expect) in KERAS {
        let schedule: Schedule = read(&serde_json::from_str(document).unwrap());
        for (step, expect) in STEPS.into_iter().zip(expect) {
            // Keras computes in single precision, and near the end of a cosine it subtracts two
            // numbers near 1.
            let found = schedule.at(step);
            assert!(
                (found - expect).abs() <= 1e-6 * expect.abs() + 2e-8,
                "{found}, not {expect}, at step {step} of {document}"
            );
        }
    }
    assert_eq!(read::<Schedule>(&json!(0.25)).at(1 << 40), 0.25);
}

#[test]
fn a_wave_restarts_at_its_very_end() {
    for t_mul in [1.0, 1.5, 2.0, 3.0, 5.0, 10.0] {
        let schedule: Schedule = read(
            &json!({"name": "cosine_decay_restarts", "initial_learning_rate": 1, "first_decay_steps": 4096, "t_mul": t_mul}),
        );
        let ends = [
            4096.0,
            4096.0 * (1.0 + t_mul),
            4096.0 * (1.0 + t_mul + t_mul * t_mul),
            4096.0 * (1.0 + t_mul) * (1.0 + t_mul * t_mul),
        ];
        for end in ends.map(|end| end as u64) {
            assert!(
                schedule.at(end) > 0.999 && schedule.at(end - 1) < 0.001,
                "{t_mul}, {end}: {}",
                schedule.at(end)
            );
        }
    }
}

#[test]
fn optimisers_have_the_defaults_of_keras() {
    // keras.optimizers.get(name).get_config()
    let optimizer = |rule, learning_rate, weight_decay| Optimizer {
        rule,
        learning_rate: Schedule::Constant(learning_rate),
        weight_decay,
        clip: None,
        ema: None,
    };
    let epsilon = 1e-7;
    let (beta_1, beta_2) = (0.9, 0.999);
    for (name, expect, slots) in [
        ("sgd", optimizer(Rule::Sgd { momentum: 0.0, nesterov: false }, 0.01, None), 0),
        (
            "rmsprop",
            optimizer(Rule::Rmsprop { rho: 0.9, momentum: 0.0, epsilon, centered: false }, 0.001, None),
            1,
        ),
        ("adam", optimizer(Rule::Adam { beta_1, beta_2, epsilon, amsgrad: false }, 0.001, None), 2),
        ("adamw", optimizer(Rule::AdamW { beta_1, beta_2, epsilon, amsgrad: false }, 0.001, Some(0.004)), 2),
        ("nadam", optimizer(Rule::Nadam { beta_1, beta_2, epsilon }, 0.001, None), 2),
        ("adamax", optimizer(Rule::Adamax { beta_1, beta_2, epsilon }, 0.001, None), 2),
        ("adagrad", optimizer(Rule::Adagrad { initial_accumulator_value: 0.1, epsilon }, 0.001, None), 1),
        ("adadelta", optimizer(Rule::Adadelta { rho: 0.95, epsilon }, 0.001, None), 2),
        ("lion", optimizer(Rule::Lion { beta_1, beta_2: 0.99 }, 0.001, None), 1),
    ] {
        assert_eq!(read::<Optimizer>(&json!(name)), expect);
        assert_eq!(read::<Optimizer>(&json!({"name": name})), expect);
        assert_eq!((expect.rule.as_str(), expect.slots().len()), (name, slots));
    }
    let full = json!({"name": "sgd", "momentum": 0.5, "nesterov": true, "clipvalue": 2, "weight_decay": 0.1, "use_ema": true, "ema_overwrite_frequency": 9,
        "learning_rate": {"name": "cosine_decay", "initial_learning_rate": 1, "decay_steps": 5}});
    let full: Optimizer = read(&full);
    assert_eq!((full.clip, full.weight_decay, full.slots().len()), (Some(Clip::Value(2.0)), Some(0.1), 2));
    assert_eq!(full.ema, Some(Ema { momentum: 0.99, overwrite_frequency: Some(9) }));
    assert!(!full.learning_rate.is_constant());
}

#[test]
fn losses_and_metrics_have_aliases_and_one_name() {
    for (name, canonical) in [
        ("mse", "mean_squared_error"),
        ("mae", "mean_absolute_error"),
        ("huber", "huber"),
        ("kl_divergence", "kl_divergence"),
    ] {
        assert_eq!(read::<Loss>(&json!(name)).as_str(), canonical);
    }
    assert_eq!(read::<Loss>(&json!({"name": "huber", "delta": 2})), Loss::Huber { delta: 2.0 });
    let smooth = json!({"name": "categorical_crossentropy", "from_logits": true, "label_smoothing": 0.1});
    assert_eq!(
        read::<Loss>(&smooth),
        Loss::CategoricalCrossentropy { from_logits: true, label_smoothing: 0.1 }
    );
    for (alias, name) in [
        ("f1", "f1_score"),
        ("r2", "r2_score"),
        ("root_mean_squared_error", "rmse"),
        ("top_k", "top_k_categorical_accuracy"),
    ] {
        assert_eq!(read::<Metric>(&json!(alias)).as_str(), name);
        assert_eq!(canonical(&format!("val_{alias}")), format!("val_{name}"));
    }
    assert_eq!(canonical("val_loss"), "val_loss");
    assert_eq!(read::<Metric>(&json!({"name": "top_k", "k": 3})), Metric::TopKCategoricalAccuracy { k: 3 });
}

#[test]
fn class_weights_are_by_class_or_balanced() {
    assert_eq!(read::<ClassWeight>(&json!("balanced")), ClassWeight::Balanced);
    let by = |class| ClassWeight::Given(vec![(class, 2.5)]);
    assert_eq!(read::<ClassWeight>(&json!({"1": 2.5})), by(Class::Number(1)));
    for name in ["fraud", "00", "-1", "1.0", "4294967296"] {
        assert_eq!(read::<ClassWeight>(&json!({(name): 2.5})), by(Class::Name(name.into())));
    }
    assert_eq!(read::<ClassWeight>(&json!(null)), ClassWeight::None);
}

#[test]
fn a_mistake_in_the_training_points_at_its_field() {
    let training = |field: &str, value: Json, expect: &[(&str, &str)]| {
        let expect: Vec<(String, &str)> =
            expect.iter().map(|(pointer, words)| (format!("/training{pointer}"), *words)).collect();
        let expect: Vec<(&str, &str)> =
            expect.iter().map(|(pointer, words)| (pointer.as_str(), *words)).collect();
        check(&with(smallest(), &format!("/training/{field}"), value), &expect);
    };
    training("optimizer", json!(5), &[("/optimizer", "must be a name, or an object with a `name`, not 5")]);
    training(
        "optimizer",
        json!({"name": "adamw", "weight_decay": null}),
        &[("/optimizer/weight_decay", "must be a finite number, not null")],
    );
    training(
        "optimizer",
        json!({"name": "sgd", "clipnorm": 1, "clipvalue": 1}),
        &[("/optimizer/clipvalue", "only one of clipnorm")],
    );
    training(
        "optimizer",
        json!({"name": "sgd", "beta_1": 0.5}),
        &[("/optimizer/beta_1", "unknown field \"beta_1\"; known fields: name, momentum")],
    );
    training(
        "optimizer",
        json!({"name": "adam", "learning_rate": "cosine_decay"}),
        &[
            ("/optimizer/learning_rate", "the field `initial_learning_rate` is missing"),
            ("/optimizer/learning_rate", "the field `decay_steps` is missing"),
        ],
    );
    let piecewise = |boundaries: Json, values: Json| json!({"name": "adam", "learning_rate": {"name": "piecewise_constant_decay", "boundaries": boundaries, "values": values}});
    training(
        "optimizer",
        piecewise(json!([5, 5]), json!([1, 1, 1])),
        &[("/optimizer/learning_rate/boundaries", "in rising order")],
    );
    training(
        "optimizer",
        piecewise(json!([5]), json!([1])),
        &[("/optimizer/learning_rate/values", "needs 2 values, one more than there are boundaries, not 1")],
    );
    training(
        "optimizer",
        piecewise(json!([-1]), json!([1, -2])),
        &[
            ("/optimizer/learning_rate/boundaries/0", "must be between"),
            ("/optimizer/learning_rate/values/1", "must be between"),
        ],
    );
    training("loss", json!({"name": "huber", "delta": 0}), &[("/loss/delta", "must be between")]);
    training("loss", json!({"name": "mse", "delta": 1}), &[("/loss/delta", "unknown field")]);
    training("loss", json!("huberr"), &[("/loss", "did you mean huber?")]);
    training(
        "metrics",
        json!(["accuracy", "top_k", {"name": "top_k", "k": 3}]),
        &[("/metrics/2", "top_k_categorical_accuracy is listed twice")],
    );
    training(
        "metrics",
        json!(["accuracy", {"name": "top_k", "k": 0}]),
        &[("/metrics/1/k", "must be between 1 and")],
    );
    training(
        "class_weight",
        json!({"a": 1, "00": -1, ("x".repeat(limits::CLASS_NAME_BYTES_MAX + 1)): 1}),
        &[
            ("/class_weight/00", "must be between"),
            (&format!("/class_weight/{}", "x".repeat(1_001)), "longer than any name of a class"),
        ],
    );
    training("class_weight", json!("even"), &[("/class_weight", "must be `balanced`, or an object")]);
}

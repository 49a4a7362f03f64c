use serde_json::{Value as Json, json};

use super::*;
use crate::study::tests::{check, smallest, with};

const NAN: f64 = f64::NAN;

fn callback<T>(json: Json, pick: fn(Callback) -> Option<T>) -> T {
    let reading = crate::document::Reading::default();
    Callback::from_place(&reading.root(&json, None))
        .and_then(pick)
        .unwrap_or_else(|| panic!("{:?} in {json}", reading.into_problems()))
}

/// The epoch after which training ends, counted from 0.
fn early_stop(values: &[f64], mut arguments: Json) -> Option<u32> {
    arguments["name"] = json!("early_stopping");
    let early_stopping = callback(arguments, |callback| match callback {
        Callback::EarlyStopping(early_stopping) => Some(early_stopping),
        _ => None,
    });
    let mut patience = Patience::default();
    (0..).zip(values).find_map(|(epoch, value)| {
        // As it is after a checkpoint.
        patience = serde_json::from_str(&serde_json::to_string(&patience).unwrap()).unwrap();
        early_stopping.ends(&mut patience, epoch, *value).then_some(epoch)
    })
}

/// The epochs are those of Keras 3.15: `EarlyStopping(monitor="loss", …).on_epoch_end(epoch,
/// {"loss": value})` until `stop_training`.
#[test]
fn training_stops_where_keras_stops() {
    for (values, arguments, expect) in [
        (&[3.0, 2.0, 2.0, 2.0, 2.0][..], json!({}), Some(2)),
        (&[3.0, 2.0, 2.5, 1.9, 2.0, 2.0, 2.0, 2.0], json!({"patience": 2}), Some(5)),
        (&[3.0, 2.95, 2.9, 2.85, 2.8], json!({"patience": 2, "min_delta": 0.1}), Some(2)),
        (&[5.0, 4.0, 3.0, 2.0, 1.0, 1.0, 1.0], json!({"patience": 2, "baseline": 2.5}), Some(6)),
        (&[5.0, 4.5, 4.0, 3.5, 3.0], json!({"patience": 2, "baseline": 2.5}), None),
        (&[1.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0], json!({"patience": 2, "start_from_epoch": 3}), Some(5)),
        (&[1.0, 2.0, 3.0, 4.0], json!({"patience": 2, "mode": "max"}), None),
        (
            &[4.0, 3.0, 3.5, 2.0, 1.0],
            json!({"patience": 1, "mode": "max", "restore_best_weights": true}),
            Some(1),
        ),
        (&[NAN, 1.0, 0.5, 0.2], json!({"patience": 2}), Some(2)),
        (&[3.0, NAN, NAN, NAN, 1.0], json!({"patience": 3}), Some(3)),
        (&[1.0, 2.0], json!({"patience": 1}), Some(1)),
        (&[1.0, 1.0], json!({"patience": 0}), Some(1)),
    ] {
        assert_eq!(early_stop(values, arguments.clone()), expect, "{values:?} with {arguments}");
    }
}

fn plateau(values: &[f64], mut arguments: Json) -> Vec<f64> {
    arguments["name"] = json!("reduce_lr_on_plateau");
    let reduce = callback(arguments, |callback| match callback {
        Callback::ReduceLrOnPlateau(reduce) => Some(reduce),
        _ => None,
    });
    let (mut plateau, mut rate) = (Plateau::default(), 1.0);
    let after = values.iter().map(|value| {
        plateau = serde_json::from_str(&serde_json::to_string(&plateau).unwrap()).unwrap();
        rate = reduce.epoch(&mut plateau, *value, rate).unwrap_or(rate);
        rate
    });
    after.collect()
}

/// The learning rates are those of Keras 3.15: `ReduceLROnPlateau(monitor="loss",
/// …).on_epoch_end(epoch, {"loss": value})` from a rate of 1.
#[test]
fn the_learning_rate_falls_where_that_of_keras_falls() {
    for (values, arguments, expect) in [
        (&[1.0; 6][..], json!({"factor": 0.5, "patience": 2}), &[1.0, 1.0, 0.5, 0.5, 0.25, 0.25][..]),
        (
            &[1.0; 8],
            json!({"factor": 0.5, "patience": 1, "cooldown": 2}),
            &[1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625],
        ),
        (
            &[1.0; 6],
            json!({"factor": 0.1, "patience": 1, "min_lr": 0.05}),
            &[1.0, 0.1, 0.05, 0.05, 0.05, 0.05],
        ),
        (
            &[1.0, 0.99995, 0.9998, 0.5, 0.5, 0.5],
            json!({"factor": 0.5, "patience": 1}),
            &[1.0, 0.5, 0.5, 0.5, 0.25, 0.125],
        ),
        (
            &[1.0, 2.0, 2.0, 3.0, 3.0, 3.0],
            json!({"factor": 0.5, "patience": 2, "mode": "max"}),
            &[1.0, 1.0, 1.0, 1.0, 1.0, 0.5],
        ),
        (&[1.0; 3], json!({"factor": 0.5, "patience": 0}), &[1.0, 0.5, 0.25]),
        (&[NAN, 1.0, 1.0], json!({"factor": 0.5, "patience": 1}), &[1.0, 0.5, 0.25]),
    ] {
        assert_eq!(plateau(values, arguments.clone()), expect, "{values:?} with {arguments}");
    }
}

#[test]
fn a_callback_watches_what_is_logged_each_once_and_not_beside_a_schedule() {
    let callbacks = |callbacks: Json, expect: &[(&str, &str)]| {
        check(&with(smallest(), "/training/callbacks", callbacks), expect)
    };
    callbacks(
        json!(["early_stopping", {"name": "reduce_lr_on_plateau", "monitor": "accuracy"}, "terminate_on_nan"]),
        &[],
    );
    callbacks(
        json!([{"name": "early_stopping", "monitor": "val_acuracy"}]),
        &[("/training/callbacks/0/monitor", "did you mean val_accuracy?")],
    );
    callbacks(
        json!([{"name": "early_stopping", "monitor": 5}]),
        &[("/training/callbacks/0/monitor", "must be a string")],
    );
    callbacks(
        json!(["terminate_on_nan", {"name": "terminate_on_nan"}]),
        &[("/training/callbacks/1", "is listed twice")],
    );
    callbacks(
        json!(["model_checkpoint"]),
        &[("/training/callbacks/0", "model_checkpoint is not supported yet")],
    );
    callbacks(
        json!([{"name": "reduce_lr_on_plateau", "factor": 1, "patience": -1}]),
        &[
            ("/training/callbacks/0/factor", "must be between 0 and 0.999999999, not 1"),
            ("/training/callbacks/0/patience", "must be between 0 and"),
        ],
    );
    let unvalidated = with(smallest(), "/dataset/validation_split", json!(0));
    let unvalidated = with(unvalidated, "/objective/metric", json!("loss"));
    let of = |callback: Json| with(unvalidated.clone(), "/training/callbacks", json!([callback]));
    check(
        &of(json!("early_stopping")),
        &[("/training/callbacks/0", "monitors val_loss by default, which is not logged")],
    );
    check(&of(json!({"name": "early_stopping", "monitor": "loss"})), &[]);
    let scheduled = json!({"name": "sgd", "learning_rate": {"name": "exponential_decay", "initial_learning_rate": 1, "decay_steps": 9, "decay_rate": 0.5}});
    let scheduled = with(smallest(), "/training/optimizer", scheduled);
    check(
        &with(scheduled, "/training/callbacks", json!(["reduce_lr_on_plateau"])),
        &[("/training/callbacks/0", "a learning rate schedule exclude each other")],
    );
}

#[test]
fn the_weights_of_another_epoch_than_the_objectives_best_are_not_promised() {
    let callback = |arguments: Json| {
        let mut callback = json!({"name": "early_stopping"});
        callback.as_object_mut().unwrap().extend(arguments.as_object().unwrap().clone());
        with(smallest(), "/training/callbacks", json!([callback]))
    };
    let refused = |arguments: Json, says: &str| {
        check(&callback(arguments), &[("/training/callbacks/0/restore_best_weights", says)])
    };
    // The objective is val_accuracy.
    check(&callback(json!({"monitor": "val_accuracy", "restore_best_weights": true})), &[]);
    check(&callback(json!({"monitor": "val_accuracy", "mode": "max", "restore_best_weights": true})), &[]);
    check(&callback(json!({"monitor": "val_loss"})), &[]);
    refused(json!({"restore_best_weights": false}), "never those of the last");
    refused(
        json!({"restore_best_weights": true}),
        "the epoch with the best val_accuracy, its objective (maximize)",
    );
    refused(
        json!({"monitor": "val_accuracy", "mode": "min", "restore_best_weights": true}),
        "the best val_accuracy",
    );
    refused(json!({"monitor": "val_accuracy", "restore_best_weights": 1}), "must be");
}

#[test]
fn a_hyperparameter_may_choose_a_callback_and_its_arguments() {
    let space = json!([{"name": "stop", "type": "boolean"}, {"name": "patience", "type": "int", "min_value": 1, "max_value": 9, "when": {"stop": [true]}}]);
    let choice = |monitor: &str| json!({"hp": "stop", "cases": {"true": {"name": "early_stopping", "patience": {"hp": "patience"}, "monitor": monitor}, "false": null}});
    let study = |monitor: &str| {
        with(with(smallest(), "/space", space.clone()), "/training/callbacks", json!([choice(monitor)]))
    };
    check(&study("val_loss"), &[]);
    check(
        &study("val_f1"),
        &[("/training/callbacks/0/cases/true/monitor", "\"val_f1_score\" is not logged")],
    );
}

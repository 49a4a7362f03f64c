//! The studies in which fields are changed.

use serde_json::{Value as Json, json};

/// A study with an object of a component at `pointer`, and values for its fields that should make a
/// difference.
pub(super) struct Base {
    pub(super) component: &'static str,
    pub(super) study: Json,
    pub(super) pointer: &'static str,
    pub(super) changes: Json,
}

/// A study of the digits: a network of these layers before a sound end.
fn study(layers: Json) -> Json {
    let mut network = layers.as_array().unwrap().clone();
    network.extend([
        json!({"layer": "Flatten"}),
        json!({"layer": "Dense", "units": 10, "activation": "softmax"}),
    ]);
    json!({
        "name": "acts", "seed": 1, "network": network, "dataset": {"source": "builtin:digits", "validation_split": 0.9, "scale": "unit"},
        "training": {"optimizer": {"name": "sgd", "learning_rate": 0.5}, "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], "batch_size": 60, "epochs": 2},
        "objective": {"metric": "val_loss"}
    })
}

/// `study` with `value` at `pointer`, whose parent is there.
fn with(mut study: Json, pointer: &str, value: Json) -> Json {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    study.pointer_mut(parent).unwrap()[name] = value;
    study
}

/// A study for each component, or several.
pub(super) fn bases() -> Vec<Base> {
    [layers(), weights(), space(), optimizers(), losses(), callbacks(), data_and_search()]
        .into_iter()
        .flatten()
        .collect()
}

/// A value for a field of `base` that differs from what it has, or is by default.
pub(super) fn change(base: &Base, field: &str) -> Option<Json> {
    let usual = match field {
        "units" | "kernel_size" | "pool_size" | "output_dim" => json!(3),
        "filters" => json!(8),
        "strides" | "groups" | "depth_multiplier" | "dilation_rate" => json!(2),
        "padding" => json!("same"),
        "activation" | "recurrent_activation" => json!("relu"),
        "use_bias" | "center" | "scale" | "unit_forget_bias" | "reset_after" => json!(false),
        "return_sequences" | "go_backwards" | "keepdims" | "nesterov" | "amsgrad" | "use_ema"
        | "centered" | "staircase" | "cycle" => {
            json!(true)
        }
        "dropout"
        | "rate"
        | "stddev"
        | "momentum"
        | "epsilon"
        | "negative_slope"
        | "rho"
        | "initial_accumulator_value" => json!(0.45),
        "beta_1" | "beta_2" | "ema_momentum" | "weight_decay" | "alpha" | "decay_rate" | "m_mul" => {
            json!(0.45)
        }
        "clipnorm"
        | "clipvalue"
        | "global_clipnorm"
        | "learning_rate"
        | "initial_learning_rate"
        | "end_learning_rate" => json!(0.01),
        "ema_overwrite_frequency" | "decay_steps" | "first_decay_steps" | "power" => json!(3),
        "label_smoothing" | "delta" => json!(0.2),
        "from_logits" => json!(true),
        field if field.ends_with("_initializer") => json!({"name": "random_normal", "stddev": 0.3}),
        field if field.ends_with("_regularizer") => json!({"name": "l2", "l2": 0.2}),
        field if field.ends_with("_constraint") => json!({"name": "max_norm", "max_value": 0.01}),
        _ => json!(null),
    };
    base.changes.get(field).cloned().or_else(|| (!usual.is_null()).then_some(usual))
}

/// Each layer in a network that it works in, with changes of its own.
fn layers() -> Vec<Base> {
    let (flat, image, sequence) = (
        json!({"layer": "Flatten"}),
        json!({"layer": "Reshape", "target_shape": [4, 4, 4]}),
        json!({"layer": "Reshape", "target_shape": [8, 8]}),
    );
    let hidden = json!([flat, {"layer": "Dense", "units": 8}]);
    let conv1 = json!([{"layer": "Conv1D", "filters": 2, "kernel_size": 1}]);
    let conv2 = json!([{"layer": "Conv2D", "filters": 2, "kernel_size": 1}]);
    let recurrent = json!({"layer": "", "units": 2, "bias_initializer": {"name": "constant", "value": 0.3}});
    let gru = json!({"layer": "GRU", "units": 2});
    let none = json!([]);
    let (image, sequence, flat) = (json!([image]), json!([sequence]), json!([flat]));
    let convolution = json!({"filters": 4, "kernel_size": 2, "activation": "tanh"});
    let affine = json!({"beta_initializer": {"name": "constant", "value": 0.3}});
    let table: Vec<(&str, &Json, Json, &Json, Json)> = vec![
        ("FlattenLayer", &none, json!({}), &none, json!({})),
        ("ReshapeLayer", &none, json!({"target_shape": [4, 16]}), &conv1, json!({"target_shape": [16, 4]})),
        ("PermuteLayer", &sequence, json!({"dims": [2, 1]}), &conv1, json!({"dims": [1, 2]})),
        ("RescalingLayer", &flat, json!({"scale": 0.5}), &none, json!({"scale": 2, "offset": 1})),
        ("ZeroPadding2DLayer", &image, json!({}), &conv2, json!({"padding": 2})),
        (
            "DenseLayer",
            &flat,
            json!({"units": 6, "activation": "tanh"}),
            &none,
            json!({"when": {"flag": [true]}}),
        ),
        ("Conv1DLayer", &sequence, convolution.clone(), &none, json!({})),
        ("Conv2DLayer", &image, convolution.clone(), &none, json!({})),
        ("DepthwiseConv2DLayer", &image, json!({"kernel_size": 2, "activation": "tanh"}), &none, json!({})),
        ("SeparableConv2DLayer", &image, convolution, &none, json!({})),
        (
            "MaxPooling1DLayer",
            &sequence,
            json!({"pool_size": 3}),
            &none,
            json!({"pool_size": 2, "strides": 1}),
        ),
        ("MaxPooling2DLayer", &image, json!({"pool_size": 3}), &none, json!({"pool_size": 2, "strides": 1})),
        (
            "AveragePooling1DLayer",
            &sequence,
            json!({"pool_size": 3}),
            &none,
            json!({"pool_size": 2, "strides": 1}),
        ),
        (
            "AveragePooling2DLayer",
            &image,
            json!({"pool_size": 3}),
            &none,
            json!({"pool_size": 2, "strides": 1}),
        ),
        ("GlobalAveragePooling1DLayer", &sequence, json!({}), &conv1, json!({})),
        ("GlobalAveragePooling2DLayer", &image, json!({}), &conv2, json!({})),
        ("GlobalMaxPooling1DLayer", &sequence, json!({}), &conv1, json!({})),
        ("GlobalMaxPooling2DLayer", &image, json!({}), &conv2, json!({})),
        ("ActivationLayer", &hidden, json!({"activation": "tanh"}), &none, json!({})),
        ("LeakyReLULayer", &hidden, json!({}), &none, json!({})),
        (
            "PReLULayer",
            &hidden,
            json!({"alpha_initializer": {"name": "constant", "value": 0.3}}),
            &none,
            json!({"shared_axes": [1]}),
        ),
        ("DropoutLayer", &hidden, json!({"rate": 0.2}), &none, json!({})),
        ("SpatialDropout2DLayer", &image, json!({"rate": 0.2}), &none, json!({})),
        ("GaussianNoiseLayer", &hidden, json!({"stddev": 0.2}), &none, json!({})),
        ("BatchNormalizationLayer", &hidden, affine.clone(), &none, json!({})),
        ("LayerNormalizationLayer", &hidden, affine, &none, json!({})),
        ("EmbeddingLayer", &flat, json!({"input_dim": 17, "output_dim": 2}), &none, json!({"input_dim": 20})),
        ("SimpleRNNLayer", &sequence, recurrent.clone(), &none, json!({})),
        ("LSTMLayer", &sequence, recurrent.clone(), &none, json!({})),
        ("GRULayer", &sequence, recurrent, &none, json!({})),
        (
            "BidirectionalLayer",
            &sequence,
            json!({"wrapped": gru}),
            &none,
            json!({"merge_mode": "sum", "wrapped": {"layer": "LSTM", "units": 2}}),
        ),
    ];
    let mut bases = Vec::new();
    for (component, before, mut layer, after, changes) in table {
        let class = component.strip_suffix("Layer").unwrap();
        layer["layer"] = json!(class);
        let [before, after] = [before, after].map(|layers| layers.as_array().unwrap().clone());
        let pointer = ["/network/0", "/network/1", "/network/2"][before.len()];
        let mut study = study(Json::Array([before, vec![layer.clone()], after].concat()));
        if component == "EmbeddingLayer" {
            study["dataset"]["scale"] = json!("none");
        }
        if component == "DenseLayer" {
            study["space"] = json!([{"name": "flag", "type": "boolean"}]);
            study["network"]
                .as_array_mut()
                .unwrap()
                .insert(2, json!({"layer": "Dense", "units": 4, "when": {"flag": [false]}}));
        }
        if let Some(wrapped) =
            [("SimpleRNN", "WrappedSimpleRNN"), ("LSTM", "WrappedLSTM"), ("GRU", "WrappedGRU")]
                .iter()
                .find(|(name, _)| *name == class)
        {
            let mut study = study.clone();
            study["network"][1] = json!({"layer": "Bidirectional", "wrapped": layer});
            bases.push(Base {
                component: wrapped.1,
                study,
                pointer: "/network/1/wrapped",
                changes: json!({}),
            });
        }
        bases.push(Base { component, study, pointer, changes });
    }
    bases
}

/// Initialisers, regularisers and constraints of a Dense layer.
fn weights() -> Vec<Base> {
    let of = |component, argument: &str, pointer, object: Json, changes| {
        let mut dense = json!({"layer": "Dense", "units": 6, "activation": "tanh"});
        dense[argument] = object;
        Base { component, study: study(json!([{"layer": "Flatten"}, dense])), pointer, changes }
    };
    let initializer = |component, object, changes| {
        of(component, "kernel_initializer", "/network/1/kernel_initializer", object, changes)
    };
    let regularizer = |component, object| {
        of(
            component,
            "kernel_regularizer",
            "/network/1/kernel_regularizer",
            object,
            json!({"l1": 0.3, "l2": 0.3}),
        )
    };
    let constraint = |component, object| {
        of(
            component,
            "kernel_constraint",
            "/network/1/kernel_constraint",
            object,
            json!({"max_value": 0.2, "axis": 1}),
        )
    };
    vec![
        initializer("ConstantInitializer", json!({"name": "constant", "value": 0.1}), json!({"value": 0.2})),
        initializer("RandomNormalInitializer", json!({"name": "random_normal"}), json!({"mean": 0.2})),
        initializer("TruncatedNormalInitializer", json!({"name": "truncated_normal"}), json!({"mean": 0.2})),
        initializer(
            "RandomUniformInitializer",
            json!({"name": "random_uniform"}),
            json!({"minval": -0.3, "maxval": 0.3}),
        ),
        initializer(
            "VarianceScalingInitializer",
            json!({"name": "variance_scaling"}),
            json!({"scale": 2, "mode": "fan_out", "distribution": "uniform"}),
        ),
        initializer("OrthogonalInitializer", json!({"name": "orthogonal"}), json!({"gain": 2})),
        regularizer("L1Regularizer", json!({"name": "l1"})),
        regularizer("L2Regularizer", json!({"name": "l2"})),
        regularizer("L1L2Regularizer", json!({"name": "l1_l2"})),
        constraint("MaxNormConstraint", json!({"name": "max_norm", "max_value": 0.1})),
        constraint("UnitNormConstraint", json!({"name": "unit_norm"})),
    ]
}

/// Hyperparameters, and what refers to them.
fn space() -> Vec<Base> {
    let grid = |space: Json, layers: Json| {
        with(with(study(layers), "/space", space), "/sampler", json!({"name": "grid"}))
    };
    let dense = json!([{"layer": "Flatten"}, {"layer": "Dense", "units": {"hp": "n"}}]);
    let dropout = json!([{"layer": "Flatten"}, {"layer": "Dropout", "rate": {"hp": "n"}}]);
    let flag = json!({"name": "flag", "type": "boolean"});
    let count = json!({"name": "count", "type": "int", "min_value": 1, "max_value": 2});
    let repeat = |when: Json| json!([{"layer": "Flatten"}, {"repeat": {"hp": "count"}, "layers": [{"layer": "Dense", "units": {"hp": "n"}}], "when": when}]);
    // Beside the plain use, one in a branch, and one in each repetition.
    let of = |component, hyperparameter: Json, layers: &Json, changes: Json| {
        let (mut plain, at_flag) = (
            grid(json!([hyperparameter]), layers.clone()),
            json!({"hp": "flag", "cases": {"true": layers[1], "false": null}}),
        );
        plain["max_trials"] = json!(6);
        let branch =
            with(grid(json!([flag, hyperparameter]), json!([layers[0], at_flag])), "/max_trials", json!(6));
        let mut repeated = repeat(json!({}));
        repeated[1]["layers"][0] = layers[1].clone();
        let repeated = with(grid(json!([count, hyperparameter]), repeated), "/max_trials", json!(6));
        [
            Base { component, study: plain, pointer: "/space/0", changes },
            Base {
                component,
                study: branch,
                pointer: "/space/1",
                changes: json!({"when": {"flag": [true]}}),
            },
            Base { component, study: repeated, pointer: "/space/1", changes: json!({"per": "count"}) },
        ]
    };
    let int = json!({"name": "n", "type": "int", "min_value": 2, "max_value": 64, "sampling": "log"});
    let float = json!({"name": "n", "type": "float", "min_value": 0.1, "max_value": 0.8});
    let mut bases: Vec<Base> = [
        of(
            "IntHyperparameter",
            int,
            &dense,
            json!({"min_value": 3, "max_value": 32, "step": 2, "sampling": "linear", "default": 7}),
        ),
        of(
            "FloatHyperparameter",
            float,
            &dropout,
            json!({"min_value": 0.2, "max_value": 0.6, "step": 0.2, "sampling": "log", "default": 0.33}),
        ),
        of(
            "ChoiceHyperparameter",
            json!({"name": "n", "type": "choice", "values": [4, 6]}),
            &dense,
            json!({"values": [6, 5]}),
        ),
        of(
            "FixedHyperparameter",
            json!({"name": "n", "type": "fixed", "value": 4}),
            &dense,
            json!({"value": 5}),
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    let cases = json!([{"layer": "Flatten"}, {"hp": "on", "cases": {"true": {"layer": "Dense", "units": 3}, "false": null}}]);
    let two = json!([flag, {"name": "on", "type": "boolean"}]);
    let use_flag = json!({"layer": "Dropout", "rate": {"hp": "flag", "cases": {"true": 0.2, "false": 0.1}}});
    let with_flag = |mut layers: Json| {
        layers.as_array_mut().unwrap().push(use_flag.clone());
        grid(two.clone(), layers)
    };
    let units = json!([{"layer": "Flatten"}, {"layer": "Dense", "units": {"hp": "on", "cases": {"true": 3, "false": 4}}}]);
    let optimizer = json!({"hp": "on", "cases": {"true": "adam", "false": "sgd"}});
    bases.extend([
        Base { component: "BooleanHyperparameter", study: with_flag(cases.clone()), pointer: "/space/1", changes: json!({"when": {"flag": [true]}}) },
        Base {
            component: "BooleanHyperparameter",
            study: grid(json!([count, {"name": "on", "type": "boolean"}]), json!([{"layer": "Flatten"}, {"repeat": {"hp": "count"}, "layers": [cases[1]]}])),
            pointer: "/space/1",
            changes: json!({"per": "count"}),
        },
        Base { component: "LayerCases", study: with_flag(cases), pointer: "/network/1", changes: json!({"hp": "flag", "cases": {"true": {"layer": "Dense", "units": 5}, "false": null}}) },
        Base { component: "Reference", study: with_flag(units), pointer: "/network/1/units", changes: json!({"hp": "flag", "cases": {"true": 5, "false": 6}}) },
        Base {
            component: "OptimizerReference",
            study: with(with_flag(json!([{"layer": "Flatten"}])), "/training/optimizer", optimizer),
            pointer: "/training/optimizer",
            changes: json!({"hp": "flag", "cases": {"true": "adam", "false": "rmsprop"}}),
        },
        Base {
            component: "Repeat",
            study: grid(json!([flag]), json!([{"layer": "Flatten"}, {"repeat": 1, "layers": [{"layer": "Dense", "units": 4}]}, {"layer": "Dense", "units": 3, "when": {"flag": [true]}}])),
            pointer: "/network/1",
            changes: json!({"repeat": 2, "layers": [{"layer": "Dense", "units": 5}], "when": {"flag": [true]}}),
        },
    ]);
    bases
}

/// Optimisers and schedules.
fn optimizers() -> Vec<Base> {
    let of = |component, optimizer: Json, changes| {
        let study = with(
            study(json!([{"layer": "Flatten"}, {"layer": "Dense", "units": 6, "activation": "tanh"}])),
            "/training/optimizer",
            optimizer,
        );
        Base { component, study, pointer: "/training/optimizer", changes }
    };
    let kinds = [
        ("SgdOptimizer", "sgd"),
        ("RmspropOptimizer", "rmsprop"),
        ("AdamOptimizer", "adam"),
        ("AdamwOptimizer", "adamw"),
        ("NadamOptimizer", "nadam"),
        ("AdamaxOptimizer", "adamax"),
        ("AdagradOptimizer", "adagrad"),
        ("AdadeltaOptimizer", "adadelta"),
        ("LionOptimizer", "lion"),
    ];
    let plain =
        kinds.map(|(component, name)| of(component, json!({"name": name, "learning_rate": 0.1}), json!({})));
    let averaged = kinds.map(|(component, name)| {
        of(component, json!({"name": name, "learning_rate": 0.1, "use_ema": true}), json!({}))
    });
    let scheduled = |component, schedule: Json, changes| {
        let Base { study, .. } = of(component, json!({"name": "sgd", "learning_rate": schedule}), json!({}));
        Base { component, study, pointer: "/training/optimizer/learning_rate", changes }
    };
    let schedules = [
        scheduled(
            "ExponentialDecay",
            json!({"name": "exponential_decay", "initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5}),
            json!({}),
        ),
        scheduled(
            "InverseTimeDecay",
            json!({"name": "inverse_time_decay", "initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5}),
            json!({}),
        ),
        scheduled(
            "PolynomialDecay",
            json!({"name": "polynomial_decay", "initial_learning_rate": 0.1, "decay_steps": 2}),
            json!({}),
        ),
        scheduled(
            "PiecewiseConstantDecay",
            json!({"name": "piecewise_constant_decay", "boundaries": [1], "values": [0.1, 0.2]}),
            json!({"boundaries": [2], "values": [0.1, 0.3]}),
        ),
        scheduled(
            "CosineDecay",
            json!({"name": "cosine_decay", "initial_learning_rate": 0.1, "decay_steps": 4}),
            json!({"warmup_target": 0.3}),
        ),
        scheduled(
            "CosineDecay",
            json!({"name": "cosine_decay", "initial_learning_rate": 0.1, "decay_steps": 4, "warmup_target": 0.2, "warmup_steps": 2}),
            json!({"warmup_steps": 3}),
        ),
        scheduled(
            "CosineDecayRestarts",
            json!({"name": "cosine_decay_restarts", "initial_learning_rate": 0.1, "first_decay_steps": 1}),
            json!({"t_mul": 1.5}),
        ),
    ];
    let more = [
        of("SgdOptimizer", json!({"name": "sgd", "momentum": 0.9}), json!({})),
        // The largest second moment is not the last one.
        of("AdamOptimizer", json!({"name": "adam", "beta_2": 0.1}), json!({})),
        of("AdamwOptimizer", json!({"name": "adamw", "beta_2": 0.1}), json!({})),
    ];
    plain.into_iter().chain(averaged).chain(schedules).chain(more).collect()
}

/// Losses, metrics and the recipe as a whole.
fn losses() -> Vec<Base> {
    let dense =
        |units: u32, activation: &str| json!([{"layer": "Dense", "units": units, "activation": activation}]);
    let of = |component, network: Json, source: &str, loss: Json| {
        let mut study = with(with(study(json!([])), "/network", network), "/training/loss", loss);
        study["training"]["metrics"] = json!([]);
        study["dataset"] = json!({"source": source, "validation_split": 0.5, "scale": "standardize"});
        Base { component, study, pointer: "/training/loss", changes: json!({}) }
    };
    let ranked =
        with(study(json!([])), "/training/metrics", json!([{"name": "top_k_categorical_accuracy", "k": 2}]));
    let recipe = json!({
        "optimizer": "adam", "loss": "categorical_crossentropy", "metrics": ["auc"], "batch_size": 30, "epochs": 3,
        "callbacks": [{"name": "early_stopping", "mode": "max"}], "class_weight": {"0": 5}
    });
    let loss = json!({"name": "categorical_crossentropy", "label_smoothing": 0.2});
    vec![
        of(
            "SparseCategoricalCrossentropy",
            dense(3, "softmax"),
            "builtin:iris",
            json!({"name": "sparse_categorical_crossentropy"}),
        ),
        of(
            "CategoricalCrossentropy",
            dense(3, "softmax"),
            "builtin:iris",
            json!({"name": "categorical_crossentropy"}),
        ),
        of(
            "BinaryCrossentropy",
            dense(1, "sigmoid"),
            "builtin:breast_cancer",
            json!({"name": "binary_crossentropy"}),
        ),
        of("Huber", dense(1, "linear"), "builtin:diabetes", json!({"name": "huber"})),
        Base {
            component: "TopKMetric",
            study: ranked,
            pointer: "/training/metrics/0",
            changes: json!({"k": 3}),
        },
        Base {
            component: "Training",
            study: study(json!([])),
            pointer: "/training",
            changes: recipe.clone(),
        },
        Base {
            component: "Training",
            study: with(study(json!([])), "/training/epochs", json!(3)),
            pointer: "/training",
            changes: with(recipe, "/loss", loss),
        },
    ]
}

/// Callbacks over six epochs.
fn callbacks() -> Vec<Base> {
    let of = |component, callback: Json, changes| {
        let long = with(study(json!([])), "/training/epochs", json!(6));
        let study = with(long, "/training/callbacks", json!([callback]));
        Base { component, study, pointer: "/training/callbacks/0", changes }
    };
    let stops = |arguments: Json, changes| {
        let mut callback = json!({"name": "early_stopping"});
        callback.as_object_mut().unwrap().extend(arguments.as_object().unwrap().clone());
        of("EarlyStopping", callback, changes)
    };
    let reduces = |arguments: Json, changes| {
        let mut callback = json!({"name": "reduce_lr_on_plateau", "patience": 0});
        callback.as_object_mut().unwrap().extend(arguments.as_object().unwrap().clone());
        of("ReduceLrOnPlateau", callback, changes)
    };
    vec![
        stops(json!({"mode": "min"}), json!({"mode": "max", "min_delta": 100, "monitor": "val_accuracy"})),
        stops(json!({"mode": "max"}), json!({"patience": 3, "start_from_epoch": 3})),
        stops(json!({"mode": "max", "patience": 2}), json!({"baseline": 100})),
        reduces(json!({"mode": "min"}), json!({"mode": "max", "min_delta": 100, "monitor": "val_accuracy"})),
        reduces(json!({"mode": "max"}), json!({"factor": 0.5, "patience": 3, "cooldown": 3, "min_lr": 0.2})),
    ]
}

/// Tables, the objective, and what a study says of itself.
fn data_and_search() -> Vec<Base> {
    let table = |dataset: Json| {
        let mut study = with(
            study(json!([])),
            "/network",
            json!([{"layer": "Dense", "units": 2, "activation": "softmax"}]),
        );
        study["dataset"] = dataset;
        study
    };
    let csv = |more: Json, changes| {
        let mut dataset =
            json!({"source": "one.csv", "label": "y", "one_hot": ["c"], "scale": "standardize"});
        dataset.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let split = dataset.get("validation_split").is_some();
        let study = with(table(dataset), "/objective/metric", json!(if split { "val_loss" } else { "loss" }));
        Base { component: "CsvDataset", study, pointer: "/dataset", changes }
    };
    let whole = study(json!([]));
    let changes = json!({
        "seed": 2, "executions_per_trial": 2, "objective": {"metric": "loss"}, "network": [{"layer": "Flatten"}, {"layer": "Dense", "units": 11, "activation": "softmax"}],
        "training": {"optimizer": "adam", "loss": "sparse_categorical_crossentropy"}, "dataset": {"source": "builtin:iris", "validation_split": 0.2},
        "space": [{"name": "never", "type": "boolean"}], "retry": {"max_failures": -1}, "early_stop": {"max_failures_in_a_row": -1}, "pruner": {"name": "median"}
    });
    let searched = with(
        study(json!([{"layer": "Dropout", "rate": {"hp": "rate"}}])),
        "/space",
        json!([{"name": "rate", "type": "float", "min_value": 0.1, "max_value": 0.5}]),
    );
    vec![
        csv(
            json!({"validation_split": 0.5}),
            json!({"source": "two.csv", "label": "z", "sample_weight": "w", "validation_split": 0.3, "shuffle": false, "scale": "none", "one_hot": ["c", "b"], "positive_class": 0}),
        ),
        csv(json!({}), json!({"folds": 3, "validation": {"features": "one.csv", "labels": "two.csv"}})),
        Base {
            component: "BuiltinDataset",
            study: with(study(json!([])), "/objective/metric", json!("val_loss")),
            pointer: "/dataset",
            changes: json!({"source": "builtin:iris", "validation_split": 0.8, "shuffle": false, "scale": "none"}),
        },
        Base {
            component: "BuiltinDataset",
            study: with(
                with(study(json!([])), "/dataset", json!({"source": "builtin:iris"})),
                "/objective/metric",
                json!("loss"),
            ),
            pointer: "/dataset",
            changes: json!({"folds": 3, "validation": {"features": "one.csv", "labels": "two.csv"}}),
        },
        Base {
            component: "BuiltinDataset",
            study: with(
                with(
                    study(json!([])),
                    "/dataset",
                    json!({"source": "builtin:breast_cancer", "scale": "standardize"}),
                ),
                "/objective/metric",
                json!("loss"),
            ),
            pointer: "/dataset",
            changes: json!({"positive_class": 0}),
        },
        Base {
            component: "Objective",
            study: whole.clone(),
            pointer: "/objective",
            changes: json!({"metric": "val_accuracy", "direction": "maximize"}),
        },
        Base { component: "Study", study: whole, pointer: "", changes },
        Base {
            component: "Study",
            study: searched,
            pointer: "",
            changes: json!({"sampler": {"name": "grid"}}),
        },
    ]
}

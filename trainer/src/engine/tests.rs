//! The engine against finite differences, against Keras, against its own second form, and against
//! itself.

use std::collections::{HashMap, HashSet};

use super::weight::Weight;
use crate::kernels::recurrent::{Cell, Recurrence};
use candle_core::{DType, Device, Tensor, Var};
use hpo::network::{Activation, Padding};
use hpo::{Plan, Point, Study};
use serde_json::{Value as Json, json};

mod gradients;

use super::*;
use crate::kernels;
use crate::kernels::vectorised::tests::{on, widths};
use crate::kernels::window::Window;
use crate::tests::counted;

/// What a trial trains whose study has this network and training.
pub(crate) fn plan(network: &Json, training: &Json) -> Plan {
    let document = json!({
        "name": "test", "seed": 1, "network": network, "training": training, "dataset": {"source": "builtin:iris"}, "objective": {"metric": "loss"}
    });
    Study::parse(&document).and_then(|study| study.plan(&Point::default())).unwrap()
}

fn model(
    network: &Json,
    training: &Json,
    shape: &[usize],
    classes: Option<u32>,
    dtype: DType,
    ops: Ops,
) -> Model {
    let Plan { layers, training, .. } = plan(network, training);
    Model::build(&layers, &training, shape, classes, (1, 2), &Device::Cpu, dtype, ops).unwrap()
}

const BOTH: [Ops; 2] = [Ops::Kernels, Ops::Composed];

/// Numbers without ties, from a fixed stream.
pub(crate) fn numbers(count: usize, salt: u64) -> Vec<f64> {
    let mut rng = hpo::rng::stream(9, hpo::rng::Purpose::Sampler, salt, 0);
    (0..count).map(|_| rng.normal()).collect()
}

pub(crate) fn variable(shape: &[usize], salt: u64) -> Var {
    Var::from_tensor(&Tensor::from_vec(numbers(shape.iter().product(), salt), shape, &Device::Cpu).unwrap())
        .unwrap()
}

/// Holds the gradient of `f` with respect to each variable against finite differences. `f` is
/// weighted by fixed numbers, so that no two outputs have the same gradient.
pub(crate) fn check_gradients(what: &str, variables: &[Var], f: impl Fn() -> candle_core::Result<Tensor>) {
    let weigh = |output: Tensor| -> candle_core::Result<Tensor> {
        let weights = Tensor::from_vec(numbers(output.elem_count(), 77), output.shape(), &Device::Cpu)?;
        (output * weights)?.sum_all()
    };
    let gradients = weigh(f().unwrap()).unwrap().backward().unwrap();
    for (which, variable) in variables.iter().enumerate() {
        let gradient: Vec<f64> = gradients.get(variable).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let at: Vec<f64> = variable.copy().unwrap().flatten_all().unwrap().to_vec1().unwrap();
        for i in 0..at.len() {
            let with = |step: f64| {
                let mut moved = at.clone();
                moved[i] += step;
                variable.set(&Tensor::from_vec(moved, variable.shape(), &Device::Cpu).unwrap()).unwrap();
                weigh(f().unwrap()).unwrap().to_scalar::<f64>().unwrap()
            };
            let step = 1e-5;
            let difference = (with(step) - with(-step)) / (2.0 * step);
            with(0.0);
            let error = (difference - gradient[i]).abs() / (1.0 + difference.abs());
            assert!(
                error < 1e-7,
                "{what}, variable {which}, number {i}: {} by the chain rule, {difference} by differences",
                gradient[i]
            );
        }
    }
}

/// Trainer and Keras see the same files of cases.
const CASES: [&str; 6] = [
    include_str!("../../../tests/golden/layers.json"),
    include_str!("../../../tests/golden/recurrent.json"),
    include_str!("../../../tests/golden/activations.json"),
    include_str!("../../../tests/golden/losses.json"),
    include_str!("../../../tests/golden/optimizers.json"),
    include_str!("../../../tests/golden/regularizers.json"),
];

#[test]
fn training_is_what_keras_makes_of_it() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for cases in CASES {
        for case in serde_json::from_str::<Vec<Json>>(cases).unwrap() {
            for ops in BOTH {
                count += 1;
                if let Err(panic) = std::panic::catch_unwind(|| like_keras(&case, ops)) {
                    let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                    wrong.push(format!("{} ({ops:?}): {why}", case["name"]));
                }
            }
        }
    }
    assert!(count > 600 && wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn floats(json: &Json) -> Vec<f32> {
    json.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

/// Holds a case against what Keras made of it, and returns the weights after it.
fn like_keras(case: &Json, ops: Ops) -> Vec<Vec<f32>> {
    let close = |what: &str, ours: &[f32], keras: &[f32]| {
        let wrong =
            ours.iter().zip(keras).position(|(a, b)| (*a - *b).abs() > 3e-5 * (1.0 + b.abs()) || a.is_nan());
        let shown = wrong.map(|at| format!("number {at} is {}, not {}", ours[at], keras[at]));
        assert!(
            ours.len() == keras.len() && wrong.is_none(),
            "{what}: {} numbers of {}: {shown:?}",
            ours.len(),
            keras.len()
        );
    };
    let numbers = |weights: &[Weight]| -> Vec<Vec<f32>> {
        weights.iter().map(|weight| weight.var.flatten_all().unwrap().to_vec1().unwrap()).collect()
    };
    let each = |what: &str, ours: &[Vec<f32>], keras: &Json| {
        let keras = keras.as_array().unwrap();
        assert_eq!(ours.len(), keras.len(), "{what}");
        ours.iter()
            .zip(keras)
            .enumerate()
            .for_each(|(at, (ours, keras))| close(&format!("{what} {at}"), ours, &floats(keras)));
    };
    let training = &case["training"];
    let shape: Vec<usize> = serde_json::from_value(case["shape"].clone()).unwrap();
    let classes = case["classes"].as_u64().map(|classes| classes as u32);
    let mut model = model(&case["network"], training, &shape, classes, DType::F32, ops);
    assert_eq!(model.test_weights().len(), case["weights"].as_array().unwrap().len(), "weights");
    for (weight, golden) in model.test_weights().iter().zip(case["weights"].as_array().unwrap()) {
        weight.var.set(&Tensor::from_vec(floats(golden), weight.var.shape(), &Device::Cpu).unwrap()).unwrap();
    }
    let x = floats(&case["x"]);
    let labels = match classes {
        Some(_) => data::Labels::Classes(floats(&case["y"]).iter().map(|y| *y as u32).collect()),
        None => data::Labels::Values(floats(&case["y"])),
    };
    let rows: Vec<u32> = (0..labels.len() as u32).collect();
    let sample_weights = case["sample_weight"].is_array().then(|| floats(&case["sample_weight"]));
    let recipe = plan(&case["network"], training).training;
    let judged = Targets::of(&labels, &rows, &RowWeights::evaluation(sample_weights.as_deref()));
    let trained = Targets::of(
        &labels,
        &rows,
        &RowWeights::training(&recipe.class_weight, &labels, &rows, sample_weights.as_deref()),
    );
    close("output", &model.test_output(x.clone(), &judged, recipe.loss), &floats(&case["output"]));
    let present: Vec<u32> = (0..case["classes"].as_u64().unwrap_or(0) as u32).collect();
    let evaluated = |model: &Model| {
        let mut totals = model.totals(&present);
        model.evaluate(x.clone(), &judged, &mut totals).unwrap();
        totals
    };
    let totals = evaluated(&model);
    close("loss", &[totals.mean_loss() as f32], &[case["mean_loss"].as_f64().unwrap() as f32]);
    let metrics: Vec<f32> = (0..recipe.metrics.len()).map(|at| totals.value(at) as f32).collect();
    close("metrics", &metrics, &floats(&case["metric_values"]));
    let before = numbers(model.test_weights());
    if case["gradients"].is_array() {
        each("gradient", &model.test_gradients(x.clone(), &trained), &case["gradients"]);
    }
    // A BatchNormalization has moved its statistics for the gradient.
    for (weight, before) in model.test_weights().iter().zip(before) {
        weight.var.set(&Tensor::from_vec(before, weight.var.shape(), &Device::Cpu).unwrap()).unwrap();
    }
    let mut sums = model.totals(&present);
    let count = case["steps"].as_array().unwrap().len();
    let steps: Vec<f32> =
        (0..count).map(|_| model.step(x.clone(), &trained, &mut sums).unwrap() as f32).collect();
    close("steps", &steps, &floats(&case["steps"]));
    each("weights after the steps", &numbers(model.test_weights()), &case["after"]);
    close(
        "loss after the steps",
        &[evaluated(&model).mean_loss() as f32],
        &[case["evaluation_after"].as_f64().unwrap() as f32],
    );
    if case["finalized"].is_array() {
        model.swap_averages().unwrap();
        each("averages", &numbers(model.test_weights()), &case["finalized"]);
        model.swap_averages().unwrap();
        each("weights after their averages", &numbers(model.test_weights()), &case["after"]);
    }
    numbers(model.test_weights())
}

#[test]
fn the_width_of_vectors_changes_no_bit() {
    let bits = |weights: Vec<Vec<f32>>| weights.into_iter().flatten().map(f32::to_bits).collect::<Vec<_>>();
    for case in CASES.iter().flat_map(|cases| serde_json::from_str::<Vec<Json>>(cases).unwrap()) {
        let widths = widths().into_iter().map(|width| on(width, || bits(like_keras(&case, Ops::Kernels))));
        assert!(widths.collect::<HashSet<_>>().len() == 1, "{}", case["name"]);
    }
    // Longer sums than those of the cases, with an odd rest for every width.
    let widths = widths().into_iter().map(|width| on(width, bits_of_a_run));
    assert_eq!(widths.collect::<HashSet<_>>().len(), 1);
}

/// The bits of the weights after a few steps of a network with everything in it.
fn bits_of_a_run() -> Vec<u32> {
    let network = json!([
        {"layer": "Reshape", "target_shape": [8, 8, 1]},
        {"layer": "Conv2D", "filters": 4, "kernel_size": 3, "activation": "relu", "kernel_initializer": "he_normal"},
        {"layer": "MaxPooling2D"}, {"layer": "Flatten"}, {"layer": "Dropout", "rate": 0.5}, {"layer": "Dense", "units": 16, "activation": "tanh"},
        {"layer": "Dense", "units": 3, "activation": "softmax"}
    ]);
    let training = json!({"optimizer": "adam", "loss": "sparse_categorical_crossentropy"});
    let mut model = model(&network, &training, &[64], Some(3), DType::F32, Ops::Kernels);
    for step in 0..20 {
        train_on(&mut model, 64, step);
    }
    model
        .weights()
        .flat_map(|(_, weight)| weight.flatten_all().unwrap().to_vec1::<f32>().unwrap())
        .map(f32::to_bits)
        .collect()
}

/// The tensors of a state, as they are written and read.
pub(crate) fn kept(parts: &[Part]) -> HashMap<String, Tensor> {
    let tensor = |part: &Part| {
        let mut bytes = Vec::new();
        part.write(&mut bytes).unwrap();
        Tensor::from_raw_buffer(&bytes, part.dtype, &part.shape, &Device::Cpu).unwrap()
    };
    parts.iter().map(|part| (part.name.clone(), tensor(part))).collect()
}

/// One step on seven rows of three classes.
fn train_on(model: &mut Model, width: usize, step: u64) {
    let x = numbers(7 * width, step).iter().map(|x| *x as f32).collect();
    let labels = data::Labels::Classes((0..7).map(|row| row % 3).collect());
    let targets = Targets::of(&labels, &[0, 1, 2, 3, 4, 5, 6], &RowWeights::evaluation(None));
    let mut totals = model.totals(&labels.classes());
    model.step(x, &targets, &mut totals).unwrap();
}

#[test]
fn a_model_that_takes_up_the_state_of_another_goes_on_to_the_bit() {
    let network = json!([
        {"layer": "Dense", "units": 6, "activation": "relu"}, {"layer": "BatchNormalization"}, {"layer": "Dropout", "rate": 0.3},
        {"layer": "GaussianNoise", "stddev": 0.1}, {"layer": "Dense", "units": 3, "activation": "softmax", "kernel_regularizer": "l2"}
    ]);
    for optimizer in [
        json!({"name": "adam", "amsgrad": true, "use_ema": true, "ema_momentum": 0.5}),
        json!({"name": "nadam", "learning_rate": {"name": "exponential_decay", "initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5}}),
        json!({"name": "sgd", "momentum": 0.9, "nesterov": true}),
    ] {
        let training = json!({"optimizer": optimizer, "loss": "sparse_categorical_crossentropy"});
        let build = || model(&network, &training, &[4], Some(3), DType::F32, Ops::Kernels);
        let bits = |model: &Model| -> Vec<u32> {
            model
                .weights()
                .flat_map(|(_, weight)| weight.flatten_all().unwrap().to_vec1::<f32>().unwrap())
                .map(f32::to_bits)
                .collect()
        };
        let mut whole = build();
        (0..4).for_each(|step| train_on(&mut whole, 4, step));
        let mut state = kept(&whole.state().unwrap());
        (4..8).for_each(|step| train_on(&mut whole, 4, step));
        let mut resumed = build();
        resumed.restore(&mut |name| Ok(state.get(name).cloned())).unwrap();
        (4..8).for_each(|step| train_on(&mut resumed, 4, step));
        assert_eq!(bits(&whole), bits(&resumed), "{training}");
        state.remove("weights.layers.0.kernel");
        let lacking = build().restore(&mut |name| Ok(state.get(name).cloned())).unwrap_err();
        assert!(lacking.to_string().contains("weights.layers.0.kernel is missing"), "{lacking}");
    }
}

#[test]
fn a_step_holds_no_more_memory_than_the_one_before() {
    let network = json!([
        {"layer": "Dense", "units": 6, "activation": "relu", "kernel_regularizer": "l1_l2", "kernel_constraint": "max_norm"}, {"layer": "BatchNormalization"},
        {"layer": "Reshape", "target_shape": [3, 2]}, {"layer": "GRU", "units": 3, "dropout": 0.2}, {"layer": "GaussianNoise", "stddev": 0.1},
        {"layer": "Dense", "units": 3, "activation": "softmax", "activity_regularizer": "l2"}
    ]);
    let averaged =
        json!({"name": "adamw", "use_ema": true, "ema_overwrite_frequency": 2, "global_clipnorm": 1.0});
    let names = ["sgd", "rmsprop", "adam", "nadam", "adamax", "adagrad", "adadelta", "lion"];
    let momentum = json!({"name": "sgd", "momentum": 0.9, "nesterov": true});
    for optimizer in names.iter().map(|name| json!(name)).chain([averaged, momentum]) {
        for ops in BOTH {
            let training = json!({"optimizer": optimizer, "loss": "sparse_categorical_crossentropy"});
            let mut model = model(&network, &training, &[4], Some(3), DType::F32, ops);
            let held = [3, 12].map(|steps| {
                for step in 0..steps {
                    train_on(&mut model, 4, step);
                    if step == 1 {
                        // As before and after a validation.
                        model.swap_averages().unwrap();
                        model.swap_averages().unwrap();
                    }
                }
                counted::live()
            });
            assert_eq!(held[0], held[1], "{optimizer}, {ops:?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_alone_and_beside_another() {
    let alone = bits_of_a_run();
    let beside: Vec<Vec<u32>> = std::thread::scope(|scope| {
        let both = [scope.spawn(bits_of_a_run), scope.spawn(bits_of_a_run)];
        both.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(beside.iter().all(|bits| *bits == alone));
}

#[test]
fn what_does_not_fit_is_invalid() {
    let refuse = |network: Json, training: Json, shape: &[usize], classes: Option<u32>| {
        let Plan { layers, training, .. } = plan(&network, &training);
        match Model::new(&layers, &training, shape, classes, (1, 2), &Device::Cpu) {
            Err(Error::Invalid(why)) => why,
            _ => panic!("it was accepted"),
        }
    };
    let dense = |units: usize| json!([{"layer": "Dense", "units": units}]);
    let sparse = json!({"optimizer": "adam", "loss": "sparse_categorical_crossentropy"});
    // In the words of the pre-flight, which judges by the same rules.
    let of_three = "sparse_categorical_crossentropy needs one probability for each of 3 classes: (3)";
    assert!(refuse(dense(2), sparse.clone(), &[4], Some(3)).contains(of_three));
    assert!(
        refuse(dense(2), sparse.clone(), &[4], None)
            .contains("sparse_categorical_crossentropy compares classes")
    );
    assert!(refuse(dense(3), sparse, &[2, 4], Some(3)).contains("(2, 3)"));
    let squares = json!({"optimizer": "sgd", "loss": "mean_squared_error", "metrics": ["accuracy"]});
    assert!(refuse(dense(1), squares, &[4], None).contains("accuracy"));
    let pool = json!([{"layer": "MaxPooling2D"}]);
    assert!(
        refuse(pool, json!({"optimizer": "sgd", "loss": "mean_squared_error"}), &[4], None)
            .starts_with("layer 0: MaxPooling2D needs")
    );
}

#[test]
fn a_device_s_lack_of_memory_is_known_from_other_errors() {
    let of = |text: &str| Error::from(candle_core::Error::Msg(text.into()));
    for text in [
        "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
        "CublasError(CUBLAS_STATUS_ALLOC_FAILED)",
        "Metal error Failed to create metal resource: Buffer",
        "Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
    ] {
        assert!(matches!(of(text), Error::OutOfMemory(_)), "{text}");
    }
    assert!(matches!(
        of("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access was encountered\")"),
        Error::Candle(_)
    ));
}

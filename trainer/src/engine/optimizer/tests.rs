//! The optimisers against Keras, number by number, against their own second form, and against
//! themselves.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use hpo::network::{Constraint, Regularizer};
use hpo::{Point, Study};
use serde_json::{Value as Json, json};

use super::*;
use crate::engine::tests::kept;
use crate::tests::counted;

const BOTH: [Ops; 2] = [Ops::Kernels, Ops::Composed];

fn recipe(optimizer: &Json) -> training::Optimizer {
    let study = json!({
        "name": "test", "seed": 1, "network": [{"layer": "Dense", "units": 1}], "training": {"optimizer": optimizer, "loss": "mse"},
        "dataset": {"source": "builtin:iris"}, "objective": {"metric": "loss"}
    });
    Study::parse(&study).and_then(|study| study.plan(&Point::default())).unwrap().training.optimizer
}

fn weight(name: &str, numbers: &[f64], dtype: DType) -> Weight {
    let var =
        Var::from_tensor(&Tensor::new(numbers, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()).unwrap();
    Weight { name: name.to_owned(), var, trainable: true, regularizer: None, constraint: None }
}

/// Gradients of weights, each from a tensor of it: those of `sum(w · gradient)`.
fn gradients(weights: &[&Weight], numbers: &[&[f64]]) -> GradStore {
    let term = |(weight, numbers): (&&Weight, &&[f64])| {
        let gradient = Tensor::from_slice(numbers, weight.var.shape(), &Device::Cpu)
            .unwrap()
            .to_dtype(weight.var.dtype())
            .unwrap();
        (weight.var.as_tensor() * gradient).unwrap().sum_all().unwrap()
    };
    let sum = weights.iter().zip(numbers).map(term).reduce(|a, b| (a + b).unwrap()).unwrap();
    sum.backward().unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The gradient of step `t`, from 0, of three numbers.
fn gradient(t: i32) -> [f64; 3] {
    [0.5 - 0.25 * f64::from(t), 0.125 * f64::from(t * t) - 1.0, if t % 2 == 0 { 0.75 } else { -0.75 }]
}

fn close(what: &str, ours: &[f64], theirs: &[f64]) {
    let wrong = ours.iter().zip(theirs).find(|(a, b)| (*a - *b).abs() > 1e-12 * (1.0 + b.abs()));
    assert!(ours.len() == theirs.len() && wrong.is_none(), "{what}: {ours:?}, not {theirs:?}");
}

/// Keras 3.15.1 on torch in float64, set up as in `tests/golden/engine.py`:
///
/// ```python
/// w = keras.Variable(np.array([0.5, -0.25, 1.0]), dtype="float64")
/// optimizer.build([w])
/// for t in range(5):
///     g = np.array([0.5 - 0.25 * t, 0.125 * t * t - 1.0, (-1) ** t * 0.75])
///     optimizer.apply([keras.ops.convert_to_tensor(g)], [w])
/// optimizer.finalize_variable_values([w])
/// ```
fn golden() -> Vec<(Json, Vec<f64>)> {
    let golden = json!([
        [{"name": "sgd", "learning_rate": 0.1}, [0.5, -0.12499999999999999, 0.925]],
        [{"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}, [0.30677, 0.4721725000000002, 0.8150424999999999]],
        [{"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": true}, [0.32609299999999997, 0.5249552500000001, 0.75853825]],
        [{"name": "rmsprop", "learning_rate": 0.1, "rho": 0.8}, [0.4533538734320402, 0.03670841021892288, 0.808096692902808]],
        [{"name": "rmsprop", "learning_rate": 0.1, "momentum": 0.8}, [-0.5162965299473228, 1.4783882714478063, 0.2961685875153084]],
        [{"name": "rmsprop", "learning_rate": 0.1, "centered": true, "epsilon": 0.001}, [0.37972692189752977, 0.21771434187283126, 0.7167688110317824]],
        [{"name": "rmsprop", "learning_rate": 0.1, "momentum": 0.8, "centered": true, "epsilon": 0.001}, [-0.5837302738553483, 1.6340155426076104, 0.23922127647433392]],
        [{"name": "adam", "learning_rate": 0.1}, [0.21943721336971556, 0.13422941923335188, 0.8565059919387505]],
        [{"name": "adam", "learning_rate": 0.1, "beta_1": 0.7, "beta_2": 0.4, "epsilon": 0.01, "amsgrad": true}, [0.30979895128169677, 0.0657973524643651, 0.8764657619078857]],
        [{"name": "adamw", "learning_rate": 0.1, "weight_decay": 0.2}, [0.18809850050923024, 0.13945956267089496, 0.7691049006629539]],
        [{"name": "adamw", "learning_rate": 0.1, "beta_2": 0.4, "amsgrad": true}, [0.24317628797575336, 0.11958346123123642, 0.8546854427651572]],
        [{"name": "nadam", "learning_rate": 0.1}, [0.43853734755311236, -0.07571031082161885, 0.8990229053883763]],
        [{"name": "adamax", "learning_rate": 0.1, "beta_2": 0.6}, [0.12165635522216359, 0.2812366025339328, 0.8565054958687226]],
        [{"name": "adagrad", "learning_rate": 0.1}, [0.4715554706997577, -0.12129120383924759, 0.9244997115942125]],
        [{"name": "adadelta", "learning_rate": 1.0, "epsilon": 0.001}, [0.5118729029143667, -0.06323503493869197, 0.8591074565510873]],
        [{"name": "lion", "learning_rate": 0.1, "beta_1": 0.5, "beta_2": 0.6}, [0.4, 0.05000000000000002, 0.9]],
        [{"name": "adam", "learning_rate": 0.1, "weight_decay": 0.1, "clipnorm": 0.5}, [0.22244948762261568, 0.14604158356289343, 0.8304007161332378]],
        [{"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "clipvalue": 0.3}, [0.36867199999999994, 0.0035730000000000345, 0.9260170000000001]],
        [{"name": "sgd", "learning_rate": 0.1, "weight_decay": 0.3, "global_clipnorm": 0.5}, [0.43697161234564325, -0.16656208065299277, 0.8415462147792746]],
        [{"name": "adagrad", "learning_rate": 0.1, "use_ema": true, "ema_momentum": 0.8}, [0.4173062752624691, -0.11444149322786923, 0.9293112973541329]],
        [{"name": "adam", "learning_rate": 0.1, "use_ema": true, "ema_momentum": 0.8, "ema_overwrite_frequency": 2}, [0.35235877291201045, -0.07804353940355915, 0.8859288550543871]],
    ]);
    serde_json::from_value(golden).unwrap()
}

/// The weight after five steps.
fn five_steps(optimizer: &Json, dtype: DType, ops: Ops) -> Vec<f64> {
    let weights = [weight("w", &[0.5, -0.25, 1.0], dtype)];
    let mut optimizer = Optimizer::new(recipe(optimizer), &weights, ops).unwrap();
    for t in 0..5 {
        optimizer.step(&weights, &gradients(&[&weights[0]], &[&gradient(t)])).unwrap();
    }
    optimizer.swap_averages(&weights).unwrap();
    numbers(&weights[0].var)
}

#[test]
fn five_steps_of_every_rule_are_keras_s() {
    for (optimizer, after) in golden() {
        for ops in BOTH {
            close(&format!("{optimizer}, {ops:?}"), &five_steps(&optimizer, DType::F64, ops), &after);
            let rounded = five_steps(&optimizer, DType::F32, ops);
            assert!(
                rounded.iter().zip(&after).all(|(a, b)| (a - b).abs() < 3e-6),
                "{optimizer}, {ops:?}: {rounded:?}, not {after:?}"
            );
        }
    }
}

/// What the optimiser remembers of a weight, in the order of the names.
fn slots_of(optimizer: &Optimizer, weight: &Weight, weights: &[Weight]) -> Vec<Tensor> {
    let state = kept(&optimizer.state(weights).unwrap());
    let all: BTreeMap<&String, &Tensor> =
        state.iter().filter(|(name, _)| name.ends_with(&format!(".{}", weight.name))).collect();
    all.into_values().cloned().collect()
}

#[test]
fn a_weight_has_as_many_slots_as_the_plan_says() {
    for (optimizer, _) in golden() {
        let recipe = recipe(&optimizer);
        let mut weights = [weight("w", &[0.5, -0.25, 1.0], DType::F32), weight("fixed", &[1.0], DType::F32)];
        weights[1].trainable = false;
        for ops in BOTH {
            let optimizer = Optimizer::new(recipe.clone(), &weights, ops).unwrap();
            assert_eq!(
                weights.each_ref().map(|weight| slots_of(&optimizer, weight, &weights).len()),
                [recipe.slots().len(), 0]
            );
        }
    }
}

/// Numbers of no pattern, between -1 and 1.
fn drawn(count: usize, salt: u64) -> Vec<f64> {
    let mut rng = hpo::rng::stream(9, hpo::rng::Purpose::Sampler, salt, 0);
    (0..count).map(|_| rng.normal().clamp(-1.0, 1.0)).collect()
}

/// Two weights with everything that may be asked for them; no vector's width divides their lengths.
fn regular_weights(dtype: DType) -> [Weight; 2] {
    let mut weights = [weight("kernel", &drawn(7 * 9, 1), dtype), weight("bias", &drawn(37, 2), dtype)];
    weights[0].var = Var::from_tensor(&weights[0].var.reshape((7, 9)).unwrap()).unwrap();
    weights[0].regularizer = Some(Regularizer { l1: 0.05, l2: 0.1 });
    weights[0].constraint = Some(Constraint::MaxNorm { max_value: 1.2, axis: vec![0] });
    weights[1].regularizer = Some(Regularizer { l1: 0.0, l2: 0.2 });
    weights
}

fn train(optimizer: &mut Optimizer, weights: &[Weight], steps: std::ops::Range<u64>) {
    for t in steps {
        let [a, b] = [drawn(63, 100 + t), drawn(37, 200 + t)];
        optimizer.step(weights, &gradients(&[&weights[0], &weights[1]], &[&a, &b])).unwrap();
    }
}

fn with(optimizer: &Json, more: Json) -> Json {
    let mut all = optimizer.as_object().unwrap().clone();
    all.retain(|name, _| !name.contains("clip"));
    all.extend(more.as_object().unwrap().clone());
    Json::Object(all)
}

#[test]
fn both_forms_agree_with_everything_in_the_way() {
    for (optimizer, _) in golden() {
        for more in [
            json!({}),
            json!({"clipnorm": 2.0, "weight_decay": 0.1}),
            json!({"clipvalue": 0.4}),
            json!({"global_clipnorm": 3.0}),
        ] {
            let optimizer = with(&optimizer, more);
            let [kernels, composed] = BOTH.map(|ops| {
                let weights = regular_weights(DType::F64);
                let mut optimizer = Optimizer::new(recipe(&optimizer), &weights, ops).unwrap();
                train(&mut optimizer, &weights, 0..5);
                let slots = weights.iter().flat_map(|weight| slots_of(&optimizer, weight, &weights));
                let mut all: Vec<f64> = slots.flat_map(|slot| numbers(&slot)).collect();
                all.extend(weights.iter().flat_map(|weight| numbers(&weight.var)));
                all.push(optimizer.penalty(&weights).unwrap());
                all
            });
            let wrong = kernels.iter().zip(&composed).find(|(a, b)| (*a - *b).abs() > 1e-9 * (1.0 + b.abs()));
            assert!(kernels.len() == composed.len() && wrong.is_none(), "{optimizer}: {wrong:?}");
        }
    }
}

#[test]
fn regularizers_add_their_gradient_before_the_clipping() {
    for ops in BOTH {
        let mut weights = [weight("w", &[0.5, -0.25, 0.0], DType::F64)];
        weights[0].regularizer = Some(Regularizer { l1: 0.1, l2: 0.3 });
        let penalized = [0.5f64 + 0.1 + 0.3, -1.0 - 0.1 - 0.15, 0.75];
        let norm = penalized.iter().map(|g| g * g).sum::<f64>().sqrt();
        for (clip, clipped) in [
            ("clipnorm", penalized.map(|g| g * 0.5 / norm)),
            ("global_clipnorm", penalized.map(|g| g * 0.5 / norm)),
            ("clipvalue", penalized.map(|g| g.clamp(-0.5, 0.5))),
        ] {
            weights[0].var.set(&Tensor::new(&[0.5, -0.25, 0.0], &Device::Cpu).unwrap()).unwrap();
            let sgd = json!({"name": "sgd", "learning_rate": 0.1, clip: 0.5});
            let mut optimizer = Optimizer::new(recipe(&sgd), &weights, ops).unwrap();
            close("penalty", &[optimizer.penalty(&weights).unwrap()], &[0.1 * 0.75 + 0.3 * 0.3125]);
            optimizer.step(&weights, &gradients(&[&weights[0]], &[&gradient(0)])).unwrap();
            let after: Vec<f64> = [0.5, -0.25, 0.0].iter().zip(clipped).map(|(w, g)| w - 0.1 * g).collect();
            close(clip, &numbers(&weights[0].var), &after);
        }
    }
}

#[test]
fn every_number_of_a_long_weight_counts_once() {
    for count in [15, 16, 256, 257, 1000] {
        let mut weight = weight("w", &drawn(count, 1), DType::F64);
        weight.regularizer = Some(Regularizer { l1: 0.3, l2: 0.2 });
        let gradient = Tensor::from_vec(drawn(count, 2), count, &Device::Cpu).unwrap();
        let adam = recipe(&json!("adam"));
        let sums = BOTH.map(|ops| {
            let weights = std::slice::from_ref(&weight);
            let optimizer = Optimizer::new(adam.clone(), weights, ops).unwrap();
            [optimizer.squares(&weight, &gradient).unwrap(), optimizer.penalty(weights).unwrap()]
        });
        close(&format!("{count} numbers"), &sums[0], &sums[1]);
    }
}

#[test]
fn constraints_are_keras_s() {
    // keras.constraints.MaxNorm(2.0, 0)(w) and so on, in float64, to twelve digits.
    let w: Vec<f64> = (0..12).map(|i| 0.5 * f64::from(i * 7 % 11 - 5)).collect();
    let max = |max_value, axis: &[usize]| Constraint::MaxNorm { max_value, axis: axis.to_vec() };
    let unit = |axis: &[usize]| Constraint::UnitNorm { axis: axis.to_vec() };
    #[rustfmt::skip]
    let golden = [
        (max(2.0, &[0]), [-1.56173757011, 0.9999999, -0.894427151, 1.7149857926, 0.499999929289, -1.02899147556, 1.24939005608, 0.0, -1.788854302, 1.02899147556, -0.499999929289, -1.7149857926]),
        (max(1.5, &[0, 2]), [-0.930260486342, 0.372104194537, -0.372104194537, 0.896421435572, 0.179284287114, -0.537852861343, 0.744208389074, 0.0, -0.744208389074, 0.537852861343, -0.179284287114, -0.896421435572]),
        (unit(&[1]), [-0.707106761187, 0.894427111, -0.554700165456, 0.707106761187, 0.4472135555, -0.832050248184, 0.799999968, 0.0, -0.624695028042, 0.599999976, -0.9999998, -0.780868785053]),
        (unit(&[0, 1]), [-0.577350255856, 0.816496514261, -0.272165519569, 0.577350255856, 0.408248257131, -0.408248279353, 0.461880204685, 0.0, -0.544331039137, 0.346410153514, -0.408248257131, -0.680413798921]),
        (unit(&[2]), [-0.870388249475, 0.34815529979, -0.34815529979, 0.845154226157, 0.169030845231, -0.507092535694, 0.707106756187, 0.0, -0.707106756187, 0.507092535694, -0.169030845231, -0.845154226157]),
        (max(1.0, &[0, 1, 2]), [-0.430331475505, 0.172132590202, -0.172132590202, 0.430331475505, 0.0860662951009, -0.258198885303, 0.344265180404, 0.0, -0.344265180404, 0.258198885303, -0.0860662951009, -0.430331475505]),
        (Constraint::NonNeg, [0.0, 1.0, 0.0, 2.5, 0.5, 0.0, 2.0, 0.0, 0.0, 1.5, 0.0, 0.0]),
    ];
    for (constraint, after) in golden {
        for ops in BOTH {
            let mut weights = [weight("w", &w, DType::F64)];
            weights[0].var = Var::from_tensor(&weights[0].var.reshape((2, 2, 3)).unwrap()).unwrap();
            weights[0].constraint = Some(constraint.clone());
            let sgd = json!({"name": "sgd", "learning_rate": 0.0});
            let mut optimizer = Optimizer::new(recipe(&sgd), &weights, ops).unwrap();
            optimizer.step(&weights, &gradients(&[&weights[0]], &[&w])).unwrap();
            let wrong = numbers(&weights[0].var).into_iter().zip(after).find(|(a, b)| (a - b).abs() > 1e-11);
            assert!(wrong.is_none(), "{constraint:?}, {ops:?}: {wrong:?}");
        }
    }
}

#[test]
fn what_is_not_a_number_stays_so() {
    for (optimizer, _) in golden() {
        for constraint in
            [None, Some(Constraint::NonNeg), Some(Constraint::MaxNorm { max_value: 1.0, axis: vec![0] })]
        {
            let mut weights = [weight("w", &[0.5, -0.25, 1.0], DType::F32)];
            weights[0].constraint = constraint.clone();
            let mut optimizer_ = Optimizer::new(recipe(&optimizer), &weights, Ops::Kernels).unwrap();
            optimizer_.step(&weights, &gradients(&[&weights[0]], &[&[f64::NAN, 0.0, 0.0]])).unwrap();
            assert!(numbers(&weights[0].var)[0].is_nan(), "{optimizer}, {constraint:?}");
        }
    }
}

#[test]
fn a_weight_without_a_gradient_or_not_trainable_stays() {
    for ops in BOTH {
        let mut weights = ["moved", "left", "fixed"].map(|name| weight(name, &[0.5, -0.25, 1.0], DType::F64));
        weights[2].trainable = false;
        weights[2].regularizer = Some(Regularizer { l1: 1.0, l2: 1.0 });
        let adam = json!({"name": "adam", "weight_decay": 0.1, "use_ema": true, "ema_momentum": 0.5});
        let mut optimizer = Optimizer::new(recipe(&adam), &weights, ops).unwrap();
        for t in 0..2 {
            optimizer
                .step(&weights, &gradients(&[&weights[0], &weights[2]], &[&gradient(t), &gradient(t)]))
                .unwrap();
        }
        assert_eq!(optimizer.penalty(&weights).unwrap(), 0.0);
        for _ in 0..2 {
            assert_ne!(numbers(&weights[0].var), [0.5, -0.25, 1.0]);
            assert_eq!(numbers(&weights[1].var), [0.5, -0.25, 1.0]);
            assert_eq!(numbers(&weights[2].var), [0.5, -0.25, 1.0]);
            optimizer.swap_averages(&weights).unwrap();
        }
    }
}

#[test]
fn swapped_twice_the_weights_are_as_before() {
    for ops in BOTH {
        let weights = regular_weights(DType::F32);
        let ema = json!({"name": "sgd", "learning_rate": 0.5, "use_ema": true, "ema_momentum": 0.8});
        let mut optimizer = Optimizer::new(recipe(&ema), &weights, ops).unwrap();
        let start = numbers(&weights[0].var);
        optimizer.swap_averages(&weights).unwrap();
        assert_eq!(numbers(&weights[0].var), start, "there is no average before the first step");
        train(&mut optimizer, &weights, 0..3);
        let before = numbers(&weights[0].var);
        optimizer.swap_averages(&weights).unwrap();
        assert_ne!(numbers(&weights[0].var), before);
        optimizer.swap_averages(&weights).unwrap();
        assert_eq!(numbers(&weights[0].var), before);
    }
}

#[test]
fn what_is_restored_goes_on_to_the_bit() {
    let schedule = json!({"name": "sgd", "learning_rate": {"name": "exponential_decay", "initial_learning_rate": 0.5, "decay_steps": 2, "decay_rate": 0.5}});
    for optimizer in golden().into_iter().map(|(optimizer, _)| optimizer).chain([schedule]) {
        for ops in BOTH {
            let bits = |weights: &[Weight]| -> Vec<u64> {
                weights.iter().flat_map(|weight| numbers(&weight.var)).map(f64::to_bits).collect()
            };
            let weights = regular_weights(DType::F32);
            let mut whole = Optimizer::new(recipe(&optimizer), &weights, ops).unwrap();
            train(&mut whole, &weights, 0..3);
            // A rate that no f32 holds.
            whole.set_learning_rate(0.1 / 3.0);
            let state = kept(&whole.state(&weights).unwrap());
            let again = regular_weights(DType::F32);
            again
                .iter()
                .zip(&weights)
                .for_each(|(again, weight)| again.var.set(&weight.var.copy().unwrap()).unwrap());
            train(&mut whole, &weights, 3..6);
            let mut restored = Optimizer::new(recipe(&optimizer), &again, ops).unwrap();
            restored.restore(&again, &mut |name| Ok(state.get(name).cloned())).unwrap();
            train(&mut restored, &again, 3..6);
            assert_eq!(bits(&again), bits(&weights), "{optimizer}, {ops:?}");
            assert_eq!(restored.learning_rate().to_bits(), whole.learning_rate().to_bits());
        }
    }
}

#[test]
fn what_cannot_be_restored_is_named() {
    let weights = regular_weights(DType::F32);
    let mut optimizer = Optimizer::new(recipe(&json!("nadam")), &weights, Ops::Kernels).unwrap();
    let state = kept(&optimizer.state(&weights).unwrap());
    let mut refuse = |name: &str, tensor: Option<Tensor>| {
        let mut state = state.clone();
        state.remove(name);
        state.extend(tensor.map(|tensor| (name.to_owned(), tensor)));
        optimizer
            .restore(&weights, &mut |name| Ok(state.get(name).cloned()))
            .unwrap_err()
            .to_string()
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    let zeros = |shape: &[usize], dtype| Some(Tensor::zeros(shape, dtype, &Device::Cpu).unwrap());
    for name in [
        "optimizer.velocity.kernel",
        "optimizer.momentum.bias",
        "optimizer.steps",
        "optimizer.learning_rate",
        "optimizer.u_product",
    ] {
        assert_eq!(refuse(name, None), format!("{name} is missing"));
    }
    let name = "optimizer.velocity.kernel";
    assert_eq!(
        refuse(name, zeros(&[9, 7], DType::F32)),
        format!("{name} is [9, 7] of F32, not [7, 9] of F32")
    );
    assert_eq!(
        refuse(name, zeros(&[7, 9], DType::F64)),
        format!("{name} is [7, 9] of F64, not [7, 9] of F32")
    );
    assert_eq!(
        refuse("optimizer.steps", zeros(&[], DType::F64)),
        "optimizer.steps is [] of F64, not one I64"
    );
    assert_eq!(
        refuse("optimizer.steps", zeros(&[2], DType::I64)),
        "optimizer.steps is [2] of I64, not one I64"
    );
}

#[test]
fn a_number_s_bits_are_its_own_wherever_it_lies_in_a_vector() {
    for (optimizer, _) in golden() {
        let one_by_one = |count: usize, at: usize| -> Vec<u64> {
            let (starts, moves) = (drawn(100, 1), drawn(100, 2));
            let mut weights = [weight("w", &starts[at..at + count], DType::F32)];
            weights[0].regularizer = Some(Regularizer { l1: 0.01, l2: 0.02 });
            let mut optimizer =
                Optimizer::new(recipe(&with(&optimizer, json!({"clipvalue": 0.5}))), &weights, Ops::Kernels)
                    .unwrap();
            (0..3).for_each(|_| {
                optimizer.step(&weights, &gradients(&[&weights[0]], &[&moves[at..at + count]])).unwrap()
            });
            numbers(&weights[0].var).into_iter().map(f64::to_bits).collect()
        };
        let whole = one_by_one(100, 0);
        for (count, at) in [(1, 0), (1, 99), (3, 50), (17, 8), (67, 33)] {
            assert_eq!(one_by_one(count, at), whole[at..at + count], "{optimizer}, {count} from {at}");
        }
    }
}

#[test]
fn what_decays_ends_at_nothing() {
    for (optimizer, _) in golden() {
        let weights = [weight("w", &[0.5, -0.25, 1.0], DType::F32)];
        let mut optimiser = Optimizer::new(recipe(&optimizer), &weights, Ops::Kernels).unwrap();
        optimiser.step(&weights, &gradients(&[&weights[0]], &[&gradient(0)])).unwrap();
        for step in 1..=2_000 {
            optimiser.step(&weights, &gradients(&[&weights[0]], &[&[0.0; 3]])).unwrap();
            if step % 100 == 0 {
                for slot in slots_of(&optimiser, &weights[0], &weights) {
                    let slot = slot.to_vec1::<f32>().unwrap();
                    assert!(!slot.iter().any(|x| x.is_subnormal()), "{optimizer}, {step} steps: {slot:?}");
                }
            }
        }
        // In f32 a decay of 0.9 a step would stay at 6e-45.
        if optimizer == json!({"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}) {
            let slots = slots_of(&optimiser, &weights[0], &weights);
            assert_eq!(slots[0].to_vec1::<f32>().unwrap(), [0.0; 3]);
        }
    }
}

#[test]
fn a_plateau_lowers_a_constant_rate_only() {
    let weights = regular_weights(DType::F32);
    let mut constant = Optimizer::new(recipe(&json!("adam")), &weights, Ops::Kernels).unwrap();
    assert_eq!(constant.learning_rate(), 0.001);
    constant.set_learning_rate(0.0005);
    assert_eq!(constant.learning_rate(), 0.0005);
    let schedule =
        json!({"name": "piecewise_constant_decay", "boundaries": [1, 3], "values": [0.1, 0.02, 0.3]});
    let mut schedule =
        Optimizer::new(recipe(&json!({"name": "adam", "learning_rate": schedule})), &weights, Ops::Kernels)
            .unwrap();
    schedule.set_learning_rate(0.7);
    let rates: Vec<f64> =
        (0..5).map(|t| (schedule.learning_rate(), train(&mut schedule, &weights, t..t + 1)).0).collect();
    assert_eq!(rates, [0.1, 0.1, 0.02, 0.02, 0.3]);
}

#[test]
fn a_step_allocates_nothing() {
    for (optimizer, _) in golden() {
        let weights = ["a", "b"].map(|name| Weight {
            regularizer: Some(Regularizer { l1: 0.1, l2: 0.1 }),
            constraint: Some(Constraint::NonNeg),
            ..weight(name, &[0.5, -0.25, 1.0], DType::F32)
        });
        let mut sut = Optimizer::new(recipe(&optimizer), &weights, Ops::Kernels).unwrap();
        let gradients = gradients(&[&weights[0], &weights[1]], &[&gradient(0), &gradient(1)]);
        sut.step(&weights, &gradients).unwrap();
        let before = counted::calls();
        sut.step(&weights, &gradients).unwrap();
        // candle looks for overlaps with a small vector before each operation in place: the step,
        // the constraint, what is done to the average.
        let averages =
            u64::from(optimizer["use_ema"] == true) + u64::from(optimizer["ema_overwrite_frequency"] == 2);
        assert_eq!(counted::calls() - before, 2 * (2 + averages), "{optimizer}");
    }
}

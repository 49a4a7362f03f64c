//! The losses against finite differences, against Keras and at their edges, in both forms.

use candle_core::{Device, Tensor, Var};
use hpo::document::Reading;
use serde_json::Value as Json;

use super::*;
use crate::engine::tests::{check_gradients, numbers, variable};
use crate::engine::{Ops, takes_over};
use crate::targets::RowWeights;

const FORMS: [Ops; 2] = [Ops::Kernels, Ops::Composed];

fn criterion(loss: Loss, labels: Labels, weights: Option<&[f32]>) -> Criterion {
    Criterion { loss, targets: Targets { labels, weights: weights.map(Into::into) } }
}

fn losses_of_classes() -> Vec<Loss> {
    let mut losses = Vec::new();
    for from_logits in [false, true] {
        losses.push(Loss::SparseCategoricalCrossentropy { from_logits });
        for label_smoothing in [0.0, 0.1] {
            losses.push(Loss::CategoricalCrossentropy { from_logits, label_smoothing });
            losses.push(Loss::BinaryCrossentropy { from_logits, label_smoothing });
        }
    }
    losses.push(Loss::KlDivergence);
    losses
}

const LOSSES_OF_VALUES: [Loss; 6] = [
    Loss::MeanSquaredError,
    Loss::MeanAbsoluteError,
    Loss::Huber { delta: 1.0 },
    Loss::Huber { delta: 0.3 },
    Loss::LogCosh,
    Loss::Poisson,
];

/// Holds both forms of a loss against finite differences, with and without weights. Outputs are
/// probabilities where the loss needs them: within (0, 1), of any sum.
fn check(loss: Loss, labels: &Labels, (rows, width): (usize, usize)) {
    let x = variable(&[rows, width], 1);
    let x = match loss.outputs().are_logits()
        || !(loss.is_classification() || loss == Loss::Poisson)
        || loss == Loss::Hinge
    {
        true => x,
        false => Var::from_tensor(&((x.tanh().unwrap() * 0.4).unwrap() + 0.5).unwrap()).unwrap(),
    };
    for weights in [None, Some([0.5, 2.0, 0.0, 1.0, 3.5])] {
        let criterion = criterion(loss, labels.clone(), weights.as_ref().map(|weights| &weights[..rows]));
        for form in FORMS {
            check_gradients(&format!("{form:?} {criterion:?}"), std::slice::from_ref(&x), || {
                form.loss(&x, criterion.clone())
            });
        }
        let [ours, theirs] =
            FORMS.map(|form| form.loss(&x, criterion.clone()).unwrap().to_scalar::<f64>().unwrap());
        assert!((ours - theirs).abs() < 1e-12 * (1.0 + ours.abs()), "{criterion:?}: {ours} {theirs}");
    }
}

#[test]
fn gradients_are_the_finite_differences() {
    for (rows, width) in [(1, 2), (5, 3)] {
        let classes = Labels::Classes((0..rows as u32).map(|row| row * 2 % width as u32).collect());
        losses_of_classes().into_iter().for_each(|loss| check(loss, &classes, (rows, width)));
    }
    let two = Labels::Classes([0, 1, 1, 0, 1].into());
    for loss in losses_of_classes()
        .into_iter()
        .filter(|loss| matches!(loss, Loss::BinaryCrossentropy { .. }))
        .chain([Loss::Hinge])
    {
        check(loss, &two, (5, 1));
    }
    let values = Labels::Values(numbers(5, 5).iter().map(|x| *x as f32).collect());
    LOSSES_OF_VALUES.into_iter().for_each(|loss| check(loss, &values, (5, 1)));
}

#[test]
fn numbers_as_far_apart_as_floats_go_have_a_finite_loss_and_gradient() {
    let x = Var::new(&[[1e37f32, -1e37, 0.0], [-1e37, 1e37, 1e37]], &Device::Cpu).unwrap();
    let column = Var::new(&[[1e18f32], [-1e18]], &Device::Cpu).unwrap();
    let classes = losses_of_classes().into_iter().map(|loss| (&x, loss, Labels::Classes([1, 0].into())));
    let values = LOSSES_OF_VALUES.into_iter().filter(|loss| *loss != Loss::Poisson);
    let values = values.map(|loss| (&column, loss, Labels::Values([-1e18, 1e18].into())));
    // Outputs that are no probabilities have no sum to be divided by.
    let cases = classes.filter(|(_, loss, _)| loss.outputs().are_logits()).chain(values);
    for (x, loss, labels) in cases.chain([(&column, Loss::Hinge, Labels::Classes([1, 0].into()))]) {
        for form in FORMS {
            let loss_of_x = form.loss(x, criterion(loss, labels.clone(), None)).unwrap();
            let gradient = loss_of_x
                .backward()
                .unwrap()
                .get(x)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap();
            let value = loss_of_x.to_scalar::<f32>().unwrap();
            assert!(
                value.is_finite() && gradient.iter().all(|x| x.is_finite()),
                "{form:?} {loss:?}: {value} {gradient:?}"
            );
        }
    }
}

#[test]
fn certainty_costs_no_more_than_sixteen() {
    // Probabilities are kept 1e-7 from 0 and 1, and -ln(1e-7) is 16.1.
    let certain = Tensor::new(&[[1f32, 0.0]], &Device::Cpu).unwrap();
    let wrong = Labels::Classes([1].into());
    for loss in losses_of_classes().into_iter().filter(|loss| !loss.outputs().are_logits()) {
        for form in FORMS {
            let value = form
                .loss(&certain, criterion(loss, wrong.clone(), None))
                .unwrap()
                .to_scalar::<f32>()
                .unwrap();
            assert!(value.is_finite() && value < 16.2, "{form:?} {loss:?}: {value}");
        }
    }
}

#[test]
fn losses_are_what_keras_makes_of_them() {
    let cases: Json = serde_json::from_str(include_str!("../../../../tests/golden/losses.json")).unwrap();
    // The loss of these has penalties in it.
    for case in
        cases.as_array().unwrap().iter().filter(|case| !case["name"].as_str().unwrap().ends_with("penalties"))
    {
        let training: hpo::training::Training =
            Reading::default().root(&case["training"], None).read().unwrap();
        let floats = |json: &Json| -> Vec<f32> { serde_json::from_value(json.clone()).unwrap() };
        let labels = match case["classes"].is_null() {
            true => data::Labels::Values(floats(&case["y"])),
            false => data::Labels::Classes(serde_json::from_value(case["y"].clone()).unwrap()),
        };
        let own = (!case["sample_weight"].is_null()).then(|| floats(&case["sample_weight"]));
        let rows: Vec<u32> = (0..case["rows"].as_u64().unwrap() as u32).collect();
        let output =
            Tensor::from_vec(floats(&case["output"]), case["output"].as_array().unwrap().len(), &Device::Cpu)
                .unwrap();
        let output = output.reshape((rows.len(), ())).unwrap();
        let evaluated = (&case["mean_loss"], RowWeights::evaluation(own.as_deref()));
        // Nothing has moved before the first step.
        let trained =
            (&case["steps"][0], RowWeights::training(&training.class_weight, &labels, &rows, own.as_deref()));
        for (keras, weights) in [evaluated, trained] {
            let targets = Targets::of(&labels, &rows, &weights);
            // Each as it is, and with the last activation left to it.
            let whole = takes_over(training.loss).map(|(activation, loss)| {
                let logits = match activation {
                    hpo::network::Activation::Softmax => output.log().unwrap(),
                    _ => (output.log().unwrap() - output.affine(-1.0, 1.0).unwrap().log().unwrap()).unwrap(),
                };
                (logits, loss)
            });
            for (output, loss) in [(output.clone(), training.loss)].into_iter().chain(whole) {
                for form in FORMS {
                    let ours = form
                        .loss(&output, Criterion { loss, targets: targets.clone() })
                        .unwrap()
                        .to_scalar::<f32>()
                        .unwrap();
                    let keras = keras.as_f64().unwrap() as f32;
                    assert!(
                        (ours - keras).abs() < 2e-6 * (1.0 + keras.abs()),
                        "{} ({form:?}, {loss:?}): {ours} {keras}",
                        case["name"]
                    );
                }
            }
        }
    }
}

/// Keras 3.15 in 32 bits: `binary_crossentropy([[y]], [[p]])`.
#[test]
fn a_certain_mistake_costs_what_it_costs_in_32_bits() {
    let loss = Loss::BinaryCrossentropy { from_logits: false, label_smoothing: 0.0 };
    for (p, class, expect) in
        [(1f32, 0, 15.942_385), (1.0, 1, 1.192_092_9e-7), (0.0, 1, 16.118_095), (0.999_999_94, 0, 15.942_385)]
    {
        let x = Var::from_slice(&[p], (1, 1), &Device::Cpu).unwrap();
        for form in FORMS {
            let loss = form.loss(&x, criterion(loss, Labels::Classes([class].into()), None)).unwrap();
            let found = loss.to_scalar::<f32>().unwrap();
            assert!((found / expect - 1.0).abs() < 1e-6, "{form:?} {p} {class}: {found}, not {expect}");
            let gradient =
                loss.backward().unwrap().get(&x).map(|g| g.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            assert_eq!(gradient, Some(vec![0.0]), "{form:?}: what is clipped has no gradient");
        }
    }
}

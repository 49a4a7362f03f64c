//! The engine against finite differences, against Keras, against its own second form, and against itself.

use candle_core::{DType, Device, Tensor, Var};
use hpo::network::{Activation, Padding};
use hpo::{Plan, Point, Study};
use serde_json::{Value as Json, json};

use super::*;
use crate::kernels;
use crate::kernels::loss::Judge;

/// What a trial trains whose study has this network and training.
pub(crate) fn plan(network: &Json, training: &Json) -> Plan {
    let document = json!({
        "name": "test", "seed": 1, "network": network, "training": training, "dataset": {"source": "builtin:iris"}, "objective": {"metric": "loss"}
    });
    Study::parse(&document).and_then(|study| study.plan(&Point::default())).unwrap()
}

fn model(network: &Json, training: &Json, shape: &[usize], classes: Option<u32>, dtype: DType, fused: bool) -> Model {
    let Plan { layers, training, .. } = plan(network, training);
    Model::build(&layers, &training, shape, classes, (1, 2), &Device::Cpu, dtype, fused).unwrap()
}

/// Numbers without ties, from a fixed stream.
pub(crate) fn numbers(count: usize, salt: u64) -> Vec<f64> {
    let mut rng = hpo::rng::stream(9, hpo::rng::Purpose::Sampler, salt, 0);
    (0..count).map(|_| rng.normal()).collect()
}

pub(crate) fn variable(shape: &[usize], salt: u64) -> Var {
    Var::from_tensor(&Tensor::from_vec(numbers(shape.iter().product(), salt), shape, &Device::Cpu).unwrap()).unwrap()
}

/// Holds the gradient of `f` with respect to each variable against finite differences. `f` is weighted by fixed numbers, so that no two
/// outputs have the same gradient.
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
            assert!(error < 1e-7, "{what}, variable {which}, number {i}: {} by the chain rule, {difference} by differences", gradient[i]);
        }
    }
}

const ACTIVATIONS: [Activation; 6] =
    [Activation::Linear, Activation::Relu, Activation::LeakyRelu, Activation::Sigmoid, Activation::Tanh, Activation::Softmax];

#[test]
fn gradients_of_activations_are_the_finite_differences() {
    for activation in ACTIVATIONS {
        for shape in [vec![1, 1], vec![3, 4], vec![2, 3, 5]] {
            let x = variable(&shape, 1);
            check_gradients(activation.as_str(), std::slice::from_ref(&x), || kernels::activation::activation(&x, activation));
            check_gradients(activation.as_str(), std::slice::from_ref(&x), || composed::activation(&x, activation));
        }
    }
}

#[test]
fn gradients_of_dense_are_the_finite_differences() {
    for activation in ACTIVATIONS {
        for (shape, units) in [(vec![1, 1], 1), (vec![1, 7], 3), (vec![5, 3], 4), (vec![2, 3, 4], 2)] {
            let [x, kernel, bias] = [variable(&shape, 1), variable(&[shape[shape.len() - 1], units], 2), variable(&[units], 3)];
            let variables = [x.clone(), kernel.clone(), bias.clone()];
            check_gradients("dense", &variables, || kernels::dense::dense(&x, &kernel, &bias, activation));
            check_gradients("composed dense", &variables, || composed::dense(&x, &kernel, &bias, activation));
        }
    }
}

/// Batch, image, window and strides.
type Kind = (usize, [usize; 3], [usize; 2], [usize; 2]);

const WINDOWS: [Kind; 6] = [
    (1, [3, 3, 1], [2, 2], [1, 1]),
    (2, [5, 4, 2], [3, 2], [2, 1]),
    (1, [4, 7, 3], [2, 3], [3, 2]),
    (2, [6, 6, 1], [2, 2], [2, 2]),
    (1, [2, 5, 2], [1, 1], [2, 3]),
    (1, [5, 5, 1], [5, 5], [2, 2]),
];

#[test]
fn gradients_of_conv_are_the_finite_differences() {
    for (batch, image, size, strides) in WINDOWS {
        for padding in [Padding::Valid, Padding::Same] {
            let window = Window::new(image, size, strides, padding);
            let x = variable(&[&[batch], image.as_slice()].concat(), 1);
            let [kernel, bias] = [variable(&[size[0], size[1], image[2], 2], 2), variable(&[2], 3)];
            let variables = [x.clone(), kernel.clone(), bias.clone()];
            check_gradients("conv", &variables, || kernels::conv::conv(&x, &kernel, &bias, window, Activation::Tanh));
            check_gradients("composed conv", &variables, || composed::conv(&x, &kernel, &bias, &window, Activation::Tanh));
        }
    }
}

#[test]
fn a_conv_of_many_blocks_is_the_sum_of_its_images() {
    // 200 images of 1,024 windows of 9 numbers: more than 25 blocks, which end in the middle of images.
    let window = Window::new([32, 32, 1], [3, 3], [1, 1], Padding::Same);
    let x = Var::from_tensor(&variable(&[200, 32, 32, 1], 1).to_dtype(DType::F32).unwrap()).unwrap();
    let [kernel, bias] =
        [variable(&[3, 3, 1, 4], 2), variable(&[4], 3)].map(|v| Var::from_tensor(&v.to_dtype(DType::F32).unwrap()).unwrap());
    let gradients = |output: Tensor| {
        let gradients = output.sqr().unwrap().mean_all().unwrap().backward().unwrap();
        [&x, &kernel, &bias].map(|v| gradients.get(v).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap())
    };
    let ours = gradients(kernels::conv::conv(&x, &kernel, &bias, window, Activation::Relu).unwrap());
    let theirs = gradients(composed::conv(&x, &kernel, &bias, &window, Activation::Relu).unwrap());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let scale = theirs.iter().fold(0f32, |a, b| a.max(b.abs()));
        assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-4 * scale));
    }
}

#[test]
fn gradients_of_max_pooling_are_the_finite_differences() {
    for (batch, image, size, strides) in WINDOWS {
        for padding in [Padding::Valid, Padding::Same] {
            let window = Window::new(image, size, strides, padding);
            let x = variable(&[&[batch], image.as_slice()].concat(), 1);
            check_gradients("max pooling", std::slice::from_ref(&x), || kernels::pool::max_pool(&x, window));
            check_gradients("composed max pooling", std::slice::from_ref(&x), || composed::max_pool(&x, &window));
        }
    }
}

#[test]
fn of_equal_numbers_the_first_has_the_gradient() {
    let window = Window::new([2, 2, 1], [2, 2], [2, 2], Padding::Valid);
    let x = Var::zeros((1, 2, 2, 1), DType::F32, &Device::Cpu).unwrap();
    for pooled in [kernels::pool::max_pool(&x, window).unwrap(), composed::max_pool(&x, &window).unwrap()] {
        let gradients = pooled.sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), [1.0, 0.0, 0.0, 0.0]);
    }
}

#[test]
fn nan_is_never_pooled_away() {
    let window = Window::new([2, 2, 1], [2, 2], [2, 2], Padding::Valid);
    for at in 0..4 {
        let mut image = [1f32, 2.0, 3.0, 4.0];
        image[at] = f32::NAN;
        let x = Tensor::from_slice(&image, (1, 2, 2, 1), &Device::Cpu).unwrap();
        let pooled = kernels::pool::max_pool(&x, window).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(pooled[0].is_nan(), "at {at}");
    }
}

/// candle's own gradient divides a window's by its size. When this fails, candle has mended it and `kernels::pool` can go.
#[test]
fn candles_own_max_pool_still_has_a_wrong_gradient() {
    let x = Var::from_slice(&[1f32, 2.0, 3.0, 4.0], (1, 1, 2, 2), &Device::Cpu).unwrap();
    let gradients = x.max_pool2d(2).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(gradients.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), [0.0, 0.0, 0.0, 0.25]);
}

#[test]
fn gradients_of_losses_are_the_finite_differences() {
    for (rows, width) in [(1, 2), (5, 3)] {
        let classes: std::sync::Arc<[u32]> = (0..rows as u32).map(|row| row % width as u32).collect();
        let values: std::sync::Arc<[f32]> = numbers(rows, 5).iter().map(|x| *x as f32).collect();
        let x = variable(&[rows, width], 1);
        // Probabilities are positive; they need not add up to one.
        let positive = Var::from_tensor(&x.sqr().unwrap().affine(1.0, 0.1).unwrap()).unwrap();
        for (x, judge) in [(&x, Judge::Logits(classes.clone())), (&positive, Judge::Probabilities(classes)), (&x, Judge::Squares(values))] {
            check_gradients(&format!("{judge:?}"), std::slice::from_ref(x), || kernels::loss::loss(x, judge.clone()));
            check_gradients(&format!("composed {judge:?}"), std::slice::from_ref(x), || composed::loss(x, &judge));
        }
    }
}

#[test]
fn gradients_of_dropout_are_the_mask() {
    let x = variable(&[3, 4], 1);
    let mask = |_| kernels::dropout::mask(&mut hpo::rng::stream(1, hpo::rng::Purpose::Dropout, 0, 0), 0.4, 12);
    check_gradients("dropout", std::slice::from_ref(&x), || kernels::dropout::masked(&x, mask(())));
}

#[test]
fn dropout_drops_its_rate_and_keeps_the_mean() {
    let mut rng = hpo::rng::stream(1, hpo::rng::Purpose::Dropout, 0, 0);
    let mask = kernels::dropout::mask(&mut rng, 0.3, 100_000);
    let dropped = mask.iter().filter(|x| **x == 0.0).count() as f64 / 1e5;
    let mean = mask.iter().map(|x| f64::from(*x)).sum::<f64>() / 1e5;
    assert!((dropped - 0.3).abs() < 0.005 && (mean - 1.0).abs() < 0.01, "{dropped} {mean}");
    assert!(mask.iter().all(|x| *x == 0.0 || *x == (1.0 / 0.7) as f32));
}

#[test]
fn logits_as_far_apart_as_floats_go_have_a_finite_loss() {
    let x = Tensor::new(&[[1e4f32, -1e4, 0.0]], &Device::Cpu).unwrap();
    let loss = |class: u32| kernels::loss::loss(&x, Judge::Logits([class].into())).unwrap().to_scalar::<f32>().unwrap();
    assert_eq!((loss(0), loss(1), loss(2)), (0.0, 2e4, 1e4));
}

#[test]
fn training_is_what_keras_makes_of_it() {
    let cases: Json = serde_json::from_str(include_str!("../../../tests/golden/engine.json")).unwrap();
    for case in cases.as_array().unwrap() {
        for fused in [true, false] {
            like_keras(case, fused);
        }
    }
}

fn like_keras(case: &Json, fused: bool) {
    let name = format!("{} (fused: {fused})", case["name"]);
    let floats = |json: &Json| -> Vec<f32> { json.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect() };
    let close = |what: &str, ours: &[f32], keras: &[f32]| {
        let wrong = ours.iter().zip(keras).find(|(a, b)| (*a - *b).abs() > 3e-5 * (1.0 + b.abs()));
        assert!(ours.len() == keras.len() && wrong.is_none(), "{name}, {what}: {wrong:?}");
    };
    let training = json!({"optimizer": case["optimizer"], "loss": case["loss"], "metrics": [case["metric"]]});
    let shape: Vec<usize> = serde_json::from_value(case["shape"].clone()).unwrap();
    let classes = case["classes"].as_u64().map(|classes| classes as u32);
    let mut model = model(&case["network"], &training, &shape, classes, DType::F32, fused);
    for (weight, golden) in model.test_weights().iter().zip(case["weights"].as_array().unwrap()) {
        weight.set(&Tensor::from_vec(floats(golden), weight.shape(), &Device::Cpu).unwrap()).unwrap();
    }
    let x = floats(&case["x"]);
    let y = match classes {
        Some(_) => Targets::Classes(floats(&case["y"]).iter().map(|y| *y as u32).collect()),
        None => Targets::Values(floats(&case["y"]).into()),
    };
    let totals = model.evaluate(x.clone(), &y).unwrap();
    close("loss", &[totals.mean_loss() as f32], &[case["mean_loss"].as_f64().unwrap() as f32]);
    let metric = plan(&case["network"], &training).training.metrics[0];
    close("metric", &[totals.metric(metric) as f32], &[case["metric_value"].as_f64().unwrap() as f32]);
    for (gradient, golden) in model.test_gradients(x.clone(), &y).iter().zip(case["gradients"].as_array().unwrap()) {
        close("gradient", gradient, &floats(golden));
    }
    let steps: Vec<f32> = (0..3).map(|_| model.step(x.clone(), &y).unwrap().mean_loss() as f32).collect();
    close("steps", &steps, &floats(&case["steps"]));
    for (weight, golden) in model.test_weights().iter().zip(case["after"].as_array().unwrap()) {
        close("weights after three steps", &weight.flatten_all().unwrap().to_vec1::<f32>().unwrap(), &floats(golden));
    }
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
    let mut model = model(&network, &training, &[64], Some(3), DType::F32, true);
    for step in 0..20 {
        let x = numbers(7 * 64, step).iter().map(|x| *x as f32).collect();
        model.step(x, &Targets::Classes((0..7).map(|row| row % 3).collect())).unwrap();
    }
    model.weights().flat_map(|(_, weight)| weight.flatten_all().unwrap().to_vec1::<f32>().unwrap()).map(f32::to_bits).collect()
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
    assert_eq!(
        refuse(dense(2), sparse.clone(), &[4], Some(3)),
        "sparse_categorical_crossentropy needs an output of (3): one number for each class; it gets (2)"
    );
    assert_eq!(
        refuse(dense(2), sparse.clone(), &[4], None),
        "sparse_categorical_crossentropy needs labels that are classes; these are values"
    );
    assert!(refuse(dense(3), sparse, &[2, 4], Some(3)).contains("it gets (2, 3)"));
    let squares = json!({"optimizer": "sgd", "loss": "mean_squared_error", "metrics": ["accuracy"]});
    assert_eq!(refuse(dense(1), squares, &[4], None), "the metric accuracy does not go with mean_squared_error");
    let pool = json!([{"layer": "MaxPooling2D"}]);
    assert!(refuse(pool, json!({"optimizer": "sgd", "loss": "mean_squared_error"}), &[4], None).starts_with("layer 0: MaxPooling2D needs"));
}

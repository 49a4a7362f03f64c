//! Gradients of the operations against finite differences, in both forms.

use super::*;

#[test]
fn gradients_of_activations_are_the_finite_differences() {
    for (activation, ops) in Activation::ALL.iter().flat_map(|activation| BOTH.map(|ops| (*activation, ops)))
    {
        for shape in [vec![1, 1], vec![3, 4], vec![2, 3, 5]] {
            let x = variable(&shape, 1);
            check_gradients(&format!("{activation:?} {ops:?}"), std::slice::from_ref(&x), || {
                ops.activation(&x, activation)
            });
        }
    }
    for ops in BOTH {
        let (x, alpha, shared) = (variable(&[2, 3, 4], 1), variable(&[3, 4], 2), variable(&[1, 4], 3));
        check_gradients("leaky relu", std::slice::from_ref(&x), || ops.leaky_relu(&x, 0.3));
        check_gradients("prelu", &[x.clone(), alpha.clone()], || ops.prelu(&x, &alpha));
        check_gradients("prelu, shared", &[x.clone(), shared.clone()], || ops.prelu(&x, &shared));
    }
}

#[test]
fn gradients_of_dense_are_the_finite_differences() {
    for (activation, ops) in Activation::ALL.iter().flat_map(|activation| BOTH.map(|ops| (*activation, ops)))
    {
        for (shape, units) in [(vec![1, 1], 1), (vec![1, 7], 3), (vec![5, 3], 4), (vec![2, 3, 4], 2)] {
            let [x, kernel, bias] =
                [variable(&shape, 1), variable(&[shape[shape.len() - 1], units], 2), variable(&[units], 3)];
            let variables = [x.clone(), kernel.clone(), bias.clone()];
            check_gradients(&format!("dense {activation:?} {ops:?}"), &variables, || {
                ops.dense(&x, &kernel, &bias, activation)
            });
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

/// The windows of all kinds, with their batch.
fn windows() -> impl Iterator<Item = (usize, Window)> {
    let paddings = [Padding::Valid, Padding::Same];
    WINDOWS.into_iter().flat_map(move |(batch, image, size, strides)| {
        paddings.into_iter().map(move |padding| (batch, Window::new(image, size, strides, padding)))
    })
}

fn images(batch: usize, window: &Window) -> Var {
    variable(&[batch, window.input[0], window.input[1], window.channels], 1)
}

#[test]
fn gradients_of_conv_are_the_finite_differences() {
    let dilated = [Padding::Valid, Padding::Same]
        .map(|padding| (2, Window::dilated([6, 7, 2], [2, 3], [1, 1], [3, 2], padding)));
    for (batch, window) in windows().chain(dilated) {
        for ops in BOTH {
            let x = images(batch, &window);
            let [kernel, bias] =
                [variable(&[window.size[0], window.size[1], window.channels, 2], 2), variable(&[2], 3)];
            let variables = [x.clone(), kernel.clone(), bias.clone()];
            check_gradients(&format!("conv {window:?} {ops:?}"), &variables, || {
                ops.conv(&x, &kernel, &bias, window, Activation::Tanh)
            });
        }
    }
}

#[test]
fn gradients_of_depthwise_conv_are_the_finite_differences() {
    let dilated = [Padding::Valid, Padding::Same]
        .map(|padding| (2, Window::dilated([6, 7, 2], [2, 3], [1, 1], [3, 2], padding)));
    for (batch, window) in windows().chain(dilated) {
        for (ops, multiplier) in BOTH.into_iter().flat_map(|ops| [(ops, 1), (ops, 3)]) {
            let x = images(batch, &window);
            let channels = window.channels;
            let [kernel, bias] = [
                variable(&[window.size[0], window.size[1], channels, multiplier], 2),
                variable(&[channels * multiplier], 3),
            ];
            let variables = [x.clone(), kernel.clone(), bias.clone()];
            check_gradients(&format!("depthwise {window:?} {ops:?}"), &variables, || {
                ops.depthwise(&x, &kernel, &bias, window, Activation::Tanh)
            });
        }
    }
}

#[test]
fn a_conv_of_many_blocks_is_the_sum_of_its_images() {
    // 200 images of 1,024 windows of 9 numbers: more than 25 blocks, which end in the middle of
    // images.
    let window = Window::new([32, 32, 1], [3, 3], [1, 1], Padding::Same);
    let x = Var::from_tensor(&variable(&[200, 32, 32, 1], 1).to_dtype(DType::F32).unwrap()).unwrap();
    let [kernel, bias] = [variable(&[3, 3, 1, 4], 2), variable(&[4], 3)]
        .map(|v| Var::from_tensor(&v.to_dtype(DType::F32).unwrap()).unwrap());
    let gradients = |output: Tensor| {
        let gradients = output.sqr().unwrap().mean_all().unwrap().backward().unwrap();
        [&x, &kernel, &bias]
            .map(|v| gradients.get(v).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap())
    };
    let ours = gradients(kernels::conv::conv(&x, &kernel, &bias, window, Activation::Relu).unwrap());
    let theirs = gradients(composed::conv(&x, &kernel, &bias, window, Activation::Relu).unwrap());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let scale = theirs.iter().fold(0f32, |a, b| a.max(b.abs()));
        assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-4 * scale));
    }
}

#[test]
fn gradients_of_pooling_are_the_finite_differences() {
    let all = windows()
        .chain([(2, Window::whole([3, 4, 2])), (2, Window::new([5, 7, 3], [2, 2], [2, 2], Padding::Valid))]);
    for (batch, window) in all {
        for ops in BOTH {
            let x = images(batch, &window);
            check_gradients(&format!("max {window:?} {ops:?}"), std::slice::from_ref(&x), || {
                ops.max_pool(&x, window)
            });
            let whole = Window::whole([window.input[0], window.input[1], window.channels]);
            check_gradients(&format!("global {window:?} {ops:?}"), std::slice::from_ref(&x), || {
                ops.global_max(&x, whole)
            });
            check_gradients(&format!("average {window:?} {ops:?}"), std::slice::from_ref(&x), || {
                ops.average_pool(&x, window)
            });
        }
    }
}

#[test]
fn a_conv_with_its_pooling_is_the_conv_and_then_the_pooling() {
    // Of odd sizes, so that a row and a column are not pooled; and more than a block.
    for (batch, image, padding) in
        [(2, [5, 6, 2], Padding::Valid), (3, [7, 7, 1], Padding::Same), (200, [20, 20, 1], Padding::Valid)]
    {
        let window = Window::new(image, [3, 2], [1, 1], padding);
        let pool = Window::new([window.output[0], window.output[1], 3], [2, 2], [2, 2], Padding::Valid);
        let [kernel, bias] = [variable(&[3, 2, image[2], 3], 2), variable(&[3], 3)];
        let variables = [images(batch, &window), kernel.clone(), bias.clone()];
        let [x, ..] = &variables;
        for activation in [Activation::Relu, Activation::Tanh] {
            let together =
                kernels::conv_pool::conv_pool(x, &kernel, &bias, window, activation, pool).unwrap();
            let apart = kernels::pool::max_pool(
                &kernels::conv::conv(x, &kernel, &bias, window, activation).unwrap(),
                pool,
            )
            .unwrap();
            let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            assert_eq!(numbers(&together), numbers(&apart));
            let gradients = |y: &Tensor| y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let (ours, theirs) = (gradients(&together), gradients(&apart));
            for variable in &variables {
                let (ours, theirs) =
                    (numbers(ours.get(variable).unwrap()), numbers(theirs.get(variable).unwrap()));
                assert!(
                    ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() <= 1e-9 * (1.0 + b.abs())),
                    "{batch} {activation:?}"
                );
            }
        }
    }
    let window = Window::new([5, 6, 2], [3, 2], [1, 1], Padding::Valid);
    let pool = Window::new([3, 5, 3], [2, 2], [2, 2], Padding::Valid);
    let variables = [images(2, &window), variable(&[3, 2, 2, 3], 2), variable(&[3], 3)];
    let [x, kernel, bias] = &variables;
    check_gradients("conv and pooling", &variables, || {
        kernels::conv_pool::conv_pool(x, kernel, bias, window, Activation::Tanh, pool)
    });
}

#[test]
fn gradients_of_normalisations_are_the_finite_differences() {
    for shape in [vec![5, 3], vec![2, 3, 2], vec![3, 2, 2, 4]] {
        let width = shape[shape.len() - 1];
        let [x, gamma, beta] = [variable(&shape, 1), variable(&[width], 2), variable(&[width], 3)];
        let variables = [x.clone(), gamma.clone(), beta.clone()];
        for ops in BOTH {
            check_gradients(&format!("layer {ops:?}"), &variables, || {
                ops.layer_norm(&x, &gamma, &beta, 1e-3)
            });
            check_gradients(&format!("batch {ops:?}"), &variables, || {
                Ok(ops.batch_norm(&x, &gamma, &beta, 1e-3)?[0].clone())
            });
        }
    }
}

#[test]
fn gradients_of_an_embedding_are_the_finite_differences() {
    let table = variable(&[4, 3], 1);
    for ops in BOTH {
        check_gradients(&format!("{ops:?}"), std::slice::from_ref(&table), || {
            ops.embedding(&table, vec![2, 0, 2, 3, 2])
        });
    }
}

#[test]
fn gradients_of_recurrent_layers_are_the_finite_differences() {
    let cells = [Cell::Simple, Cell::Lstm, Cell::Gru { reset_after: true }, Cell::Gru { reset_after: false }];
    let activations = [
        (Activation::Tanh, Activation::Sigmoid),
        (Activation::Silu, Activation::Gelu),
        (Activation::Softmax, Activation::Softmax),
    ];
    for cell in cells {
        for ((batch, steps, units), (activation, recurrent_activation)) in
            [(1, 1, 1), (2, 3, 2), (3, 4, 3)].into_iter().zip(activations)
        {
            for (sequences, backwards) in [(false, false), (true, false), (false, true), (true, true)] {
                let what = Recurrence { cell, activation, recurrent_activation, sequences, backwards };
                let width = cell.gates() * units;
                let [x, kernel, bias] = [
                    variable(&[batch, steps, 2], 1),
                    variable(&[2 + units, width], 2),
                    variable(&[2, width], 3),
                ];
                let variables = [x.clone(), kernel.clone(), bias.clone()];
                for ops in BOTH {
                    check_gradients(&format!("{what:?} {ops:?}"), &variables, || {
                        ops.recurrence(&x, &kernel, &bias, what)
                    });
                }
            }
        }
    }
}

#[test]
fn what_the_end_of_a_long_sequence_says_of_its_start_vanishes() {
    let (steps, units) = (600, 4);
    for cell in [Cell::Simple, Cell::Lstm, Cell::Gru { reset_after: true }, Cell::Gru { reset_after: false }]
    {
        let (gates, device) = (cell.gates(), &Device::Cpu);
        let what = Recurrence {
            cell,
            activation: Activation::Tanh,
            recurrent_activation: Activation::Sigmoid,
            sequences: false,
            backwards: false,
        };
        let numbers =
            |count: usize| (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 250.0).collect::<Vec<f32>>();
        let of = |shape: &[usize]| Tensor::from_vec(numbers(shape.iter().product()), shape, device).unwrap();
        let x = Var::from_tensor(&of(&[1, steps, 3])).unwrap();
        let y = Ops::Kernels
            .recurrence(&x, &of(&[3 + units, gates * units]), &of(&[2, gates * units]), what)
            .unwrap();
        let of_x = y
            .sum_all()
            .unwrap()
            .backward()
            .unwrap()
            .get(&x)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert!(of_x.iter().all(|g| !g.is_subnormal()), "{cell:?}");
        assert!(
            of_x[..3].iter().all(|g| *g == 0.0) && of_x[of_x.len() - 3..].iter().all(|g| *g != 0.0),
            "{cell:?}"
        );
    }
}

#[test]
fn gradients_of_penalties_are_the_finite_differences() {
    let x = variable(&[3, 4], 1);
    for ops in BOTH {
        check_gradients(&format!("{ops:?}"), std::slice::from_ref(&x), || ops.penalty(&x, 0.3, 0.7));
    }
}

#[test]
fn of_equal_numbers_the_first_has_the_gradient() {
    let window = Window::new([2, 2, 1], [2, 2], [2, 2], Padding::Valid);
    let x = Var::zeros((1, 2, 2, 1), DType::F32, &Device::Cpu).unwrap();
    for pooled in [kernels::pool::max_pool(&x, window).unwrap(), composed::max_pool(&x, window).unwrap()] {
        let gradients = pooled.sum_all().unwrap().backward().unwrap();
        assert_eq!(
            gradients.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            [1.0, 0.0, 0.0, 0.0]
        );
    }
}

/// Keras 3.15 on TensorFlow and on torch: `tape.gradient(sum(GlobalMaxPooling1D()(x) * [6, 12,
/// 18]), x)`.
#[test]
fn of_equal_numbers_in_a_whole_image_each_has_a_share_of_the_gradient() {
    let window = Window::whole([3, 1, 3]);
    let x =
        Var::from_slice(&[0f32, 1.0, 2.0, 2.0, 1.0, 2.0, 2.0, 0.0, 1.0], (1, 3, 1, 3), &Device::Cpu).unwrap();
    let weights = Tensor::new(&[6f32, 12.0, 18.0], &Device::Cpu).unwrap();
    for ops in BOTH {
        let largest = ops.global_max(&x, window).unwrap();
        assert_eq!(largest.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [2.0, 1.0, 2.0], "{ops:?}");
        let gradients = largest.broadcast_mul(&weights).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = gradients.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(gradient, [0.0, 6.0, 9.0, 3.0, 6.0, 9.0, 3.0, 0.0, 0.0], "{ops:?}");
    }
}

/// Keras 3.15 on TensorFlow and on torch: `tape.gradient(sum(PReLU(alpha)(x) * [6, 12, 18]), [x,
/// alpha])`.
#[test]
fn prelu_has_no_slope_at_zero() {
    let x = Var::from_slice(&[-2f32, 0.0, 3.0], (1, 3), &Device::Cpu).unwrap();
    let alpha = Var::from_slice(&[0.25f32; 3], 3, &Device::Cpu).unwrap();
    let weights = Tensor::new(&[6f32, 12.0, 18.0], &Device::Cpu).unwrap();
    for ops in BOTH {
        let gradients = ops
            .prelu(&x, &alpha)
            .unwrap()
            .broadcast_mul(&weights)
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        let of = |var: &Var| gradients.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!((of(&x), of(&alpha)), (vec![1.5, 0.0, 18.0], vec![-12.0, 0.0, 0.0]), "{ops:?}");
    }
}

/// Keras 3.15 on TensorFlow: `tape.gradient(softsign(x), x)` in 32 bits.
#[test]
fn the_gradient_of_softsign_does_not_vanish() {
    for (x, expect) in [(3e4f32, 1.111_037e-9f32), (1e8, 9.999_999_5e-17), (-1e8, 9.999_999_5e-17)] {
        let x = Var::from_slice(&[x], 1, &Device::Cpu).unwrap();
        for ops in BOTH {
            let gradients =
                ops.activation(&x, Activation::Softsign).unwrap().sum_all().unwrap().backward().unwrap();
            let gradient = gradients.get(&x).unwrap().to_vec1::<f32>().unwrap()[0];
            assert!((gradient / expect - 1.0).abs() < 1e-6, "{ops:?}: {gradient}, not {expect}");
        }
    }
}

#[test]
fn nan_is_never_pooled_away() {
    let window = Window::new([2, 2, 1], [2, 2], [2, 2], Padding::Valid);
    for at in 0..4 {
        let mut image = [1f32, 2.0, 3.0, 4.0];
        image[at] = f32::NAN;
        let x = Tensor::from_slice(&image, (1, 2, 2, 1), &Device::Cpu).unwrap();
        for ops in BOTH {
            for pooled in [ops.max_pool(&x, window), ops.global_max(&x, window)] {
                assert!(
                    pooled.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()[0].is_nan(),
                    "{ops:?} at {at}"
                );
            }
        }
    }
}

/// candle's own gradient divides a window's by its size. When this fails, candle has mended it and
/// `kernels::pool` can go.
#[test]
fn candles_own_max_pool_still_has_a_wrong_gradient() {
    let x = Var::from_slice(&[1f32, 2.0, 3.0, 4.0], (1, 1, 2, 2), &Device::Cpu).unwrap();
    let gradients = x.max_pool2d(2).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(
        gradients.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        [0.0, 0.0, 0.0, 0.25]
    );
}

/// When one of these fails, candle can do what is ours so far: a pooling with other strides, a
/// generator that is seeded.
#[test]
fn candle_still_lacks_what_is_ours() {
    let x = Var::zeros((1, 1, 3, 3), DType::F32, &Device::Cpu).unwrap();
    let pooled = x.max_pool2d_with_stride(2, 1).unwrap();
    assert!(
        pooled.sum_all().unwrap().backward().is_err(),
        "strides that are not the window's have a gradient now"
    );
    assert!(Device::Cpu.set_seed(1).is_err(), "the CPU's generator can be seeded now");
}

#[test]
fn gradients_of_dropout_are_the_mask() {
    let x = variable(&[3, 4], 1);
    let mask =
        |_| kernels::dropout::mask(&mut hpo::rng::stream(1, hpo::rng::Purpose::Dropout, 0, 0), 0.4, 12);
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

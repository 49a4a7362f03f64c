use serde_json::Value as Json;

use super::*;
use crate::document::{FromDocument, Reading};
use crate::network::Initializer;

/// The layer that this document describes, without hyperparameters.
fn layer(document: &str) -> Layer {
    let json: Json = serde_json::from_str(document).unwrap();
    let reading = Reading::default();
    let layer = Layer::from_place(&reading.root(&json, None));
    layer.unwrap_or_else(|| panic!("{:?} in {document}", reading.into_problems()))
}

/// A layer, the shape of a row, the shape of its output, and its weights.
type Golden = (&'static str, &'static [usize], &'static [usize], &'static [(&'static str, &'static [usize])]);

/// What Keras 3.15 says, with `x = keras.Input(row)` and `y = layer(x)`: `y.shape[1:]`, and
/// `[(w.name, w.shape) for w in layer.weights]`.
#[rustfmt::skip] // A table: one line for each layer.
const KERAS: &[Golden] = &[
    (r#"{"layer": "Flatten"}"#, &[3, 4], &[12], &[]),
    (r#"{"layer": "Reshape", "target_shape": [2, -1]}"#, &[3, 4], &[2, 6], &[]),
    (r#"{"layer": "Permute", "dims": [3, 1, 2]}"#, &[2, 3, 4], &[4, 2, 3], &[]),
    (r#"{"layer": "Rescaling", "scale": 2}"#, &[2, 3], &[2, 3], &[]),
    (r#"{"layer": "ZeroPadding2D"}"#, &[5, 6, 2], &[7, 8, 2], &[]),
    (r#"{"layer": "ZeroPadding2D", "padding": [2, 0]}"#, &[5, 6, 2], &[9, 6, 2], &[]),
    (r#"{"layer": "ZeroPadding2D", "padding": [[1, 2], [3, 4]]}"#, &[5, 6, 2], &[8, 13, 2], &[]),
    (r#"{"layer": "Dense", "units": 5}"#, &[7, 3], &[7, 5], &[("kernel", &[3, 5]), ("bias", &[5])]),
    (r#"{"layer": "Dense", "units": 5, "use_bias": false}"#, &[3], &[5], &[("kernel", &[3, 5])]),
    (r#"{"layer": "Conv1D", "filters": 6, "kernel_size": 3, "strides": 2}"#, &[10, 4], &[4, 6], &[("kernel", &[3, 4, 6]), ("bias", &[6])]),
    (r#"{"layer": "Conv1D", "filters": 6, "kernel_size": [3], "padding": "same", "dilation_rate": 2, "groups": 2}"#, &[10, 4], &[10, 6], &[("kernel", &[3, 2, 6]), ("bias", &[6])]),
    (r#"{"layer": "Conv2D", "filters": 32, "kernel_size": 3}"#, &[28, 28, 1], &[26, 26, 32], &[("kernel", &[3, 3, 1, 32]), ("bias", &[32])]),
    (r#"{"layer": "Conv2D", "filters": 4, "kernel_size": [3, 2], "dilation_rate": [2, 3], "groups": 2, "use_bias": false}"#, &[9, 8, 6], &[5, 5, 4], &[("kernel", &[3, 2, 3, 4])]),
    (r#"{"layer": "Conv2D", "filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}"#, &[5, 7, 1], &[3, 4, 4], &[("kernel", &[3, 3, 1, 4]), ("bias", &[4])]),
    (r#"{"layer": "DepthwiseConv2D", "kernel_size": 3, "depth_multiplier": 2}"#, &[8, 8, 3], &[6, 6, 6], &[("kernel", &[3, 3, 3, 2]), ("bias", &[6])]),
    (r#"{"layer": "SeparableConv2D", "filters": 5, "kernel_size": 3, "depth_multiplier": 2, "padding": "same"}"#, &[8, 8, 3], &[8, 8, 5], &[("depthwise_kernel", &[3, 3, 3, 2]), ("pointwise_kernel", &[1, 1, 6, 5]), ("bias", &[5])]),
    (r#"{"layer": "MaxPooling1D"}"#, &[7, 3], &[3, 3], &[]),
    (r#"{"layer": "MaxPooling1D", "pool_size": 3, "strides": 1, "padding": "same"}"#, &[7, 3], &[7, 3], &[]),
    (r#"{"layer": "MaxPooling2D", "pool_size": [2, 3]}"#, &[7, 7, 3], &[3, 2, 3], &[]),
    (r#"{"layer": "AveragePooling1D", "pool_size": 2, "padding": "same"}"#, &[7, 3], &[4, 3], &[]),
    (r#"{"layer": "AveragePooling2D", "pool_size": 3, "strides": [1, 2]}"#, &[7, 7, 3], &[5, 3, 3], &[]),
    (r#"{"layer": "GlobalAveragePooling1D"}"#, &[7, 3], &[3], &[]),
    (r#"{"layer": "GlobalAveragePooling2D", "keepdims": true}"#, &[7, 6, 3], &[1, 1, 3], &[]),
    (r#"{"layer": "GlobalMaxPooling1D", "keepdims": true}"#, &[7, 3], &[1, 3], &[]),
    (r#"{"layer": "GlobalMaxPooling2D"}"#, &[7, 6, 3], &[3], &[]),
    (r#"{"layer": "Activation", "activation": "gelu"}"#, &[4], &[4], &[]),
    (r#"{"layer": "LeakyReLU"}"#, &[4], &[4], &[]),
    (r#"{"layer": "PReLU"}"#, &[4, 5, 3], &[4, 5, 3], &[("alpha", &[4, 5, 3])]),
    (r#"{"layer": "PReLU", "shared_axes": [1, 2]}"#, &[4, 5, 3], &[4, 5, 3], &[("alpha", &[1, 1, 3])]),
    (r#"{"layer": "Dropout", "rate": 0.5}"#, &[4], &[4], &[]),
    (r#"{"layer": "SpatialDropout2D", "rate": 0.5}"#, &[4, 5, 3], &[4, 5, 3], &[]),
    (r#"{"layer": "GaussianNoise", "stddev": 0.1}"#, &[4], &[4], &[]),
    (r#"{"layer": "BatchNormalization"}"#, &[4, 5, 3], &[4, 5, 3], &[("gamma", &[3]), ("beta", &[3]), ("moving_mean", &[3]), ("moving_variance", &[3])]),
    (r#"{"layer": "BatchNormalization", "center": false, "scale": false}"#, &[6], &[6], &[("moving_mean", &[6]), ("moving_variance", &[6])]),
    (r#"{"layer": "LayerNormalization"}"#, &[4, 5], &[4, 5], &[("gamma", &[5]), ("beta", &[5])]),
    (r#"{"layer": "LayerNormalization", "center": false}"#, &[4, 5], &[4, 5], &[("gamma", &[5])]),
    (r#"{"layer": "Embedding", "input_dim": 100, "output_dim": 8}"#, &[12], &[12, 8], &[("embeddings", &[100, 8])]),
    (r#"{"layer": "SimpleRNN", "units": 5}"#, &[7, 3], &[5], &[("kernel", &[3, 5]), ("recurrent_kernel", &[5, 5]), ("bias", &[5])]),
    (r#"{"layer": "LSTM", "units": 5, "return_sequences": true}"#, &[7, 3], &[7, 5], &[("kernel", &[3, 20]), ("recurrent_kernel", &[5, 20]), ("bias", &[20])]),
    (r#"{"layer": "GRU", "units": 5}"#, &[7, 3], &[5], &[("kernel", &[3, 15]), ("recurrent_kernel", &[5, 15]), ("bias", &[2, 15])]),
    (r#"{"layer": "GRU", "units": 5, "reset_after": false}"#, &[7, 3], &[5], &[("kernel", &[3, 15]), ("recurrent_kernel", &[5, 15]), ("bias", &[15])]),
    (r#"{"layer": "Bidirectional", "wrapped": {"layer": "LSTM", "units": 5}}"#, &[7, 3], &[10], &[("forward.kernel", &[3, 20]), ("forward.recurrent_kernel", &[5, 20]), ("forward.bias", &[20]), ("backward.kernel", &[3, 20]), ("backward.recurrent_kernel", &[5, 20]), ("backward.bias", &[20])]),
    (r#"{"layer": "Bidirectional", "wrapped": {"layer": "GRU", "units": 5, "return_sequences": true}, "merge_mode": "sum"}"#, &[7, 3], &[7, 5], &[("forward.kernel", &[3, 15]), ("forward.recurrent_kernel", &[5, 15]), ("forward.bias", &[2, 15]), ("backward.kernel", &[3, 15]), ("backward.recurrent_kernel", &[5, 15]), ("backward.bias", &[2, 15])]),
];

#[test]
fn shapes_and_weights_are_those_of_keras() {
    for (document, input, output, weights) in KERAS {
        let layer = layer(document);
        assert_eq!(output_shape(&layer, input).as_deref(), Ok(*output), "{document}");
        let found = layer.weights(input);
        let found: Vec<(&str, &[usize])> =
            found.iter().map(|weight| (weight.name.as_str(), weight.shape.as_slice())).collect();
        assert_eq!(found, *weights, "{document}");
    }
}

#[test]
fn every_layer_is_held_to_keras_and_costs_its_weights() {
    let mut classes: Vec<&str> = Vec::new();
    for (document, input, output, weights) in KERAS {
        let layer = layer(document);
        classes.push(layer.class());
        let elements = |shape: &[usize]| shape.iter().product::<usize>() as u64;
        let parameters: u64 = weights.iter().map(|(_, shape)| elements(shape)).sum();
        let found = cost(&layer, input, output);
        assert_eq!(found.parameters, parameters, "{document}");
        // A layer that keeps nothing only changes the shape.
        assert!(
            found.activations >= elements(output) || matches!(layer, Layer::Flatten | Layer::Reshape { .. }),
            "{document}"
        );
    }
    for (class, _) in crate::network::LAYERS {
        assert!(classes.contains(class), "{class}");
    }
}

#[test]
fn operations_are_two_for_each_product_at_each_place() {
    let flops = |document: &str, input: &[usize]| {
        let layer = layer(document);
        cost(&layer, input, &output_shape(&layer, input).unwrap()).flops
    };
    assert_eq!(flops(r#"{"layer": "Dense", "units": 128}"#, &[784]), 128 * (2 * 784 + 1));
    assert_eq!(
        flops(r#"{"layer": "Conv2D", "filters": 32, "kernel_size": 3}"#, &[28, 28, 1]),
        26 * 26 * 32 * (2 * 9 + 1)
    );
    assert_eq!(
        flops(r#"{"layer": "Conv1D", "filters": 6, "kernel_size": 3, "groups": 2}"#, &[10, 4]),
        8 * 6 * (2 * 3 * 2 + 1)
    );
    assert_eq!(
        flops(r#"{"layer": "DepthwiseConv2D", "kernel_size": 3, "use_bias": false}"#, &[8, 8, 3]),
        6 * 6 * 3 * 2 * 9
    );
    assert_eq!(flops(r#"{"layer": "LSTM", "units": 5}"#, &[7, 3]), 7 * 4 * 5 * (2 * 3 + 2 * 5 + 1));
    assert_eq!(flops(r#"{"layer": "MaxPooling2D"}"#, &[8, 8, 3]), 4 * 4 * 3 * 4);
}

#[test]
fn only_the_moving_statistics_are_not_trained_and_a_forget_gate_starts_open() {
    let layer = layer(r#"{"layer": "BatchNormalization", "moving_variance_initializer": "zeros"}"#);
    let trainable: Vec<bool> = layer.weights(&[4]).iter().map(|weight| weight.trainable).collect();
    assert_eq!(trainable, [true, true, false, false]);
    assert_eq!(layer.weights(&[4])[3].initializer, Initializer::Zeros);
    let lstm = super::tests::layer(r#"{"layer": "Bidirectional", "wrapped": {"layer": "LSTM", "units": 5}}"#);
    let ones: Vec<_> = lstm.weights(&[7, 3]).into_iter().map(|weight| weight.ones).collect();
    assert_eq!(ones, [None, None, Some(5..10), None, None, Some(5..10)]);
}

#[test]
fn a_misfit_says_what_the_layer_needs_and_gets() {
    let refused = [
        (
            r#"{"layer": "Conv2D", "filters": 2, "kernel_size": 3}"#,
            &[64][..],
            "Conv2D needs (height, width, channels), but its input is (64)",
        ),
        (r#"{"layer": "Conv2D", "filters": 2, "kernel_size": 3}"#, &[8, 8], "a Reshape to [8, 8, 1]"),
        (
            r#"{"layer": "Conv2D", "filters": 2, "kernel_size": [9, 3]}"#,
            &[8, 8, 1],
            "window of 9 on an axis of 8",
        ),
        (
            r#"{"layer": "Conv2D", "filters": 2, "kernel_size": 3, "dilation_rate": 4}"#,
            &[8, 8, 1],
            "window of 9 on an axis of 8",
        ),
        (
            r#"{"layer": "Conv2D", "filters": 2, "kernel_size": 3, "strides": 2, "dilation_rate": 2}"#,
            &[9, 9, 1],
            "strides and dilation_rate above 1",
        ),
        (
            r#"{"layer": "Conv2D", "filters": 4, "kernel_size": 3, "groups": 2}"#,
            &[8, 8, 3],
            "has 2 groups, but 3 channels and 4 filters",
        ),
        (
            r#"{"layer": "Conv1D", "filters": 3, "kernel_size": 3, "groups": 2}"#,
            &[8, 2],
            "has 2 groups, but 2 channels and 3 filters",
        ),
        (
            r#"{"layer": "LSTM", "units": 2}"#,
            &[8],
            "LSTM needs (steps, features), but its input is (8); put a Reshape to [8, 1]",
        ),
        (r#"{"layer": "GlobalMaxPooling1D"}"#, &[8, 8, 1], "needs (steps, features)"),
        (
            r#"{"layer": "Bidirectional", "wrapped": {"layer": "GRU", "units": 2}}"#,
            &[8],
            "GRU needs (steps, features)",
        ),
        (
            r#"{"layer": "Reshape", "target_shape": [3, -1]}"#,
            &[64],
            "cannot turn (64), which has 64 numbers, into [3, -1]",
        ),
        (
            r#"{"layer": "Permute", "dims": [2, 1]}"#,
            &[64],
            "Permute names 2 dimensions, but its input is (64)",
        ),
        (
            r#"{"layer": "PReLU", "shared_axes": [2]}"#,
            &[64],
            "PReLU shares dimension 2, but its input is (64)",
        ),
        (
            r#"{"layer": "Embedding", "input_dim": 9, "output_dim": 1048576}"#,
            &[2000],
            "more than 1073741824 numbers",
        ),
        (
            r#"{"layer": "Dense", "units": 2, "kernel_constraint": {"name": "unit_norm", "axis": [0, 2]}}"#,
            &[64],
            "a dimension that its kernel (64, 2) does not have",
        ),
    ];
    for (document, input, expect) in refused {
        let detail = output_shape(&layer(document), input).unwrap_err();
        assert!(detail.contains(expect), "{detail}, not {expect}");
    }
}

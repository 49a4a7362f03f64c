//! The layers, field by field.

use serde_json::{Value as Json, json};

use super::weights::weight;
use super::{
    Field, array, boolean, constant, constant_of, integer, may, must, names, nullable, number, object,
    one_of, optional, or, refer, tagged, tunable,
};
use crate::limits;
use crate::network::{Activation, LAID_OUT, MergeMode, Padding};

#[rustfmt::skip] // A table: one line for each field.
pub(super) fn components() -> Vec<(&'static str, Json)> {
    let dimension = one_of(vec![constant_of("integer", json!(-1)), size(), refer("Reference")]);
    let row_axis = || tunable(integer(1, limits::RANK_MAX as i64));
    let any_number = || tunable(json!({"type": "number"}));
    let flag = |name: &'static str, default: bool, doc: &str| or(name, json!(default), tunable(boolean()), doc);
    let rate = |doc: &str| must("rate", tunable(number(0.0, limits::DROPOUT_RATE_MAX)), doc);
    let keepdims = || vec![flag("keepdims", false, "Whether the dimensions stay, with size 1.")];
    let zeros = || integer(0, limits::LAYER_SIZE_MAX);
    let edges = one_of(vec![zeros(), array(tunable(one_of(vec![zeros(), array(tunable(zeros()), 2, 2)])), 2, 2), refer("Reference")]);
    let filters = || vec![must("filters", tunable(size()), "Channels of the output.")];
    let multiplier = |doc: &str| vec![or("depth_multiplier", json!(1), tunable(size()), doc)];
    let groups = || vec![or("groups", json!(1), tunable(size()), "Channels and filters are divided into this many groups; each is convolved on its own.")];
    let epsilon = || or("epsilon", json!(1e-3), tunable(number(limits::EPSILON_MIN, 1.0)), "Added to the variance.");
    let normalization = || [vec![
        or("axis", json!(-1), constant_of("integer", json!(-1)), "The last dimension."),
        epsilon(),
        flag("center", true, "Whether beta is added."),
        flag("scale", true, "Whether the result is multiplied by gamma."),
    ], weight("beta", "zeros"), weight("gamma", "ones")].concat();
    let layers = vec![
        ("FlattenLayer", layer("Flatten", "Joins all dimensions of a row into one.", vec![])),
        ("ReshapeLayer", layer("Reshape", "Gives a row another shape.", vec![
            must("target_shape", array(dimension, 1, limits::RANK_MAX), "The new shape of a row. One dimension may be -1: it takes what is left."),
        ])),
        ("PermuteLayer", layer("Permute", "Puts the dimensions of a row in another order.", vec![
            must("dims", array(row_axis(), 1, limits::RANK_MAX), "The dimensions of the input in their new order, counted from 1."),
        ])),
        ("RescalingLayer", layer("Rescaling", "x * scale + offset.", vec![must("scale", any_number(), "The factor."), or("offset", json!(0), any_number(), "The number that is added.")])),
        ("ZeroPadding2DLayer", layer("ZeroPadding2D", "Zeros around (height, width, channels).", vec![
            or("padding", json!(1), edges, "One number for all edges, [height, width] or [[top, bottom], [left, right]]."),
        ])),
        ("DenseLayer", layer("Dense", "A product with a kernel over the last dimension.", [vec![must("units", tunable(size()), "Size of the output's last dimension.")], output(), weight("kernel", "glorot_uniform")].concat())),
        ("Conv1DLayer", layer("Conv1D", "A convolution over (steps, channels).", [filters(), window(1), groups(), output(), weight("kernel", "glorot_uniform")].concat())),
        ("Conv2DLayer", layer("Conv2D", "A convolution over (height, width, channels).", [filters(), window(2), groups(), output(), weight("kernel", "glorot_uniform")].concat())),
        ("DepthwiseConv2DLayer", layer("DepthwiseConv2D", "A convolution of each channel on its own.", [window(2), multiplier("Channels of the output for each channel of the input."), output(), weight("depthwise", "glorot_uniform")].concat())),
        ("SeparableConv2DLayer", layer("SeparableConv2D", "A convolution of each channel on its own, then a product over the channels.", [
            filters(), window(2), multiplier("Channels that the first step makes of each channel of the input."), output(), weight("depthwise", "glorot_uniform"), weight("pointwise", "glorot_uniform"),
        ].concat())),
        ("MaxPooling1DLayer", layer("MaxPooling1D", "The largest value of each window over (steps, channels).", pool(1))),
        ("MaxPooling2DLayer", layer("MaxPooling2D", "The largest value of each window over (height, width, channels).", pool(2))),
        ("AveragePooling1DLayer", layer("AveragePooling1D", "The mean of each window over (steps, channels).", pool(1))),
        ("AveragePooling2DLayer", layer("AveragePooling2D", "The mean of each window over (height, width, channels).", pool(2))),
        ("GlobalAveragePooling1DLayer", layer("GlobalAveragePooling1D", "The mean over all steps.", keepdims())),
        ("GlobalAveragePooling2DLayer", layer("GlobalAveragePooling2D", "The mean over all places.", keepdims())),
        ("GlobalMaxPooling1DLayer", layer("GlobalMaxPooling1D", "The largest value over all steps.", keepdims())),
        ("GlobalMaxPooling2DLayer", layer("GlobalMaxPooling2D", "The largest value over all places.", keepdims())),
        ("ActivationLayer", layer("Activation", "An activation on its own.", vec![must("activation", tunable(names(Activation::NAMES)), "The function.")])),
        ("LeakyReLULayer", layer("LeakyReLU", "x above 0, negative_slope * x below.", vec![or("negative_slope", json!(0.3), tunable(number(0.0, limits::WEIGHT_START_MAX)), "The slope below 0.")])),
        ("PReLULayer", layer("PReLU", "x above 0, alpha * x below, with alpha learned.", [weight("alpha", "zeros"), vec![
            may("shared_axes", optional(array(row_axis(), 0, limits::RANK_MAX)), "The dimensions of a row along which there is one slope, counted from 1. Left out: one slope for each number of a row."),
        ]].concat())),
        ("DropoutLayer", layer("Dropout", "Sets a fraction of the inputs to zero in training, and scales the rest up.", vec![rate("The fraction.")])),
        ("SpatialDropout2DLayer", layer("SpatialDropout2D", "Sets a fraction of the channels to zero in training, and scales the rest up.", vec![rate("The fraction.")])),
        ("GaussianNoiseLayer", layer("GaussianNoise", "Adds normal noise in training.", vec![must("stddev", tunable(number(0.0, 1.0)), "Its standard deviation.")])),
        ("BatchNormalizationLayer", layer("BatchNormalization", "Normalises over the batch in training, with moving mean and variance otherwise.", [
            vec![or("momentum", json!(0.99), tunable(number(0.0, 1.0)), "The fraction of the moving mean and variance that is kept at each batch.")],
            normalization(),
            vec![
                or("moving_mean_initializer", json!("zeros"), tunable(refer("Initializer")), "Initial value of the moving mean."),
                or("moving_variance_initializer", json!("ones"), tunable(refer("Initializer")), "Initial value of the moving variance."),
            ],
        ].concat())),
        ("LayerNormalizationLayer", layer("LayerNormalization", "Normalises over the last dimension of each row.", normalization())),
        ("EmbeddingLayer", layer("Embedding", "Replaces each integer by its row of a table.", [vec![
            must("input_dim", tunable(size()), "How many integers there can be: 0 to input_dim - 1."),
            must("output_dim", tunable(size()), "Size of the last dimension that is added."),
            or("mask_zero", json!(false), constant_of("boolean", json!(false)), "Only false is supported."),
        ], weight("embeddings", "uniform")].concat())),
        ("SimpleRNNLayer", layer("SimpleRNN", "A recurrent layer over (steps, features).", simple_rnn())),
        ("LSTMLayer", layer("LSTM", "Long short-term memory over (steps, features).", lstm())),
        ("GRULayer", layer("GRU", "Gated recurrent units over (steps, features).", gru())),
        ("BidirectionalLayer", layer("Bidirectional", "A recurrent layer in both directions.", vec![
            must("wrapped", tunable(refer("WrappedLayer")), "The layer that runs in both directions. It cannot have go_backwards."),
            or("merge_mode", json!("concat"), tunable(names(MergeMode::NAMES)), "How the two outputs are combined."),
        ])),
    ];
    let by_class: Vec<(&str, &str)> = layers.iter().map(|(name, _)| (name.strip_suffix("Layer").unwrap_or(name), *name)).collect();
    let wrapped = |class: &str, arguments: Vec<Field>| object("A layer inside a Bidirectional.", [vec![must("layer", constant(class), "Keras's class name.")], arguments].concat());
    let union = vec![
        ("Layer", tagged("layer", "A layer under Keras's class and argument names, with Keras's defaults.", &by_class)),
        ("WrappedLayer", tagged("layer", "A layer inside a Bidirectional.", &[("SimpleRNN", "WrappedSimpleRNN"), ("LSTM", "WrappedLSTM"), ("GRU", "WrappedGRU")])),
        ("WrappedSimpleRNN", wrapped("SimpleRNN", simple_rnn())),
        ("WrappedLSTM", wrapped("LSTM", lstm())),
        ("WrappedGRU", wrapped("GRU", gru())),
    ];
    [union, layers].concat()
}

fn layer(class: &str, doc: &str, arguments: Vec<Field>) -> Json {
    let head = vec![
        must("layer", constant(class), "Keras's class name."),
        may("when", refer("When"), "The layer is used only where this condition holds."),
    ];
    let layout = or(
        "data_format",
        json!("channels_last"),
        constant("channels_last"),
        "Only channels_last is supported.",
    );
    let layout = LAID_OUT.contains(&class).then_some(layout);
    object(doc, [head, arguments, layout.into_iter().collect()].concat())
}

fn size() -> Json {
    integer(1, limits::LAYER_SIZE_MAX)
}

/// One size for all axes, or an array of one for each.
fn sides(axes: usize) -> Json {
    one_of(vec![size(), array(tunable(size()), axes, axes), refer("Reference")])
}

fn padding() -> Field {
    or("padding", json!("valid"), tunable(names(Padding::NAMES)), "What happens at the edges.")
}

/// The fields that place the windows of a convolution.
fn window(axes: usize) -> Vec<Field> {
    vec![
        must("kernel_size", sides(axes), "The window: one size, or an array of one for each axis."),
        or(
            "strides",
            json!(1),
            sides(axes),
            "Distance between windows: one size, or an array of one for each axis.",
        ),
        padding(),
        or(
            "dilation_rate",
            json!(1),
            sides(axes),
            "Distance between the places a window looks at: one size, or an array of one for each axis. Excludes strides above 1.",
        ),
    ]
}

fn pool(axes: usize) -> Vec<Field> {
    let mut strides = sides(axes);
    if let Some(any) = strides["oneOf"].as_array_mut() {
        any.push(json!({"type": "null"}));
    }
    vec![
        or("pool_size", json!(2), sides(axes), "The window: one size, or an array of one for each axis."),
        may("strides", strides, "Distance between windows. Left out or null: pool_size."),
        padding(),
    ]
}

/// The fields that every layer with a kernel has for its output.
fn output() -> Vec<Field> {
    [
        vec![
            or(
                "activation",
                json!("linear"),
                tunable(nullable(names(Activation::NAMES))),
                "Applied to the output; null means linear.",
            ),
            or("use_bias", json!(true), tunable(boolean()), "Whether a bias is added."),
            activity_regularizer(),
        ],
        weight("bias", "zeros"),
    ]
    .concat()
}

fn activity_regularizer() -> Field {
    may(
        "activity_regularizer",
        optional(refer("Regularizer")),
        "The penalty on the output that is added to the loss, divided by the rows of the batch.",
    )
}

#[rustfmt::skip] // A table: one line for each field.
fn simple_rnn() -> Vec<Field> {
    let off = |name: &'static str| or(name, json!(false), constant_of("boolean", json!(false)), "Only false is supported.");
    [vec![
        must("units", tunable(size()), "Size of the state."),
        or("activation", json!("tanh"), tunable(nullable(names(Activation::NAMES))), "Applied to what enters the state; null means linear."),
        or("use_bias", json!(true), tunable(boolean()), "Whether a bias is added."),
        or("dropout", json!(0), tunable(number(0.0, limits::DROPOUT_RATE_MAX)), "The fraction of the inputs that training sets to zero, the same at each step."),
        or("return_sequences", json!(false), tunable(boolean()), "Whether the output is the state of every step rather than the last one only."),
        or("go_backwards", json!(false), tunable(boolean()), "Whether the steps are read from the last to the first."),
        or("recurrent_dropout", json!(0), constant_of("number", json!(0)), "Only 0 is supported."),
        off("return_state"),
        off("stateful"),
        off("unroll"),
        activity_regularizer(),
    ], weight("kernel", "glorot_uniform"), weight("recurrent", "orthogonal"), weight("bias", "zeros")].concat()
}

fn gated() -> Vec<Field> {
    let activation = tunable(nullable(names(Activation::NAMES)));
    [
        simple_rnn(),
        vec![or(
            "recurrent_activation",
            json!("sigmoid"),
            activation,
            "Applied to the gates; null means linear.",
        )],
    ]
    .concat()
}

fn lstm() -> Vec<Field> {
    [
        gated(),
        vec![or(
            "unit_forget_bias",
            json!(true),
            tunable(boolean()),
            "Whether the bias of the forget gate starts at 1.",
        )],
    ]
    .concat()
}

fn gru() -> Vec<Field> {
    let doc = "Whether the reset gate is applied after the product with the state.";
    [gated(), vec![or("reset_after", json!(true), tunable(boolean()), doc)]].concat()
}

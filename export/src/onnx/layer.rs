//! Each layer as operations.

use hpo::network::{Activation, Dense, Embedding, Layer};

use super::flow::Flow;
use super::graph::{float, integer, integers};
use super::proto::DataType;
use super::window::{Window, convolve, convolve_depthwise, pool};
use super::{activation, recurrent};
use crate::model::TrainedLayer;

/// Adds layer number `index`.
pub(crate) fn add(flow: &mut Flow, index: usize, trained: &TrainedLayer) {
    flow.graph.scope = format!("layers.{index}");
    match &trained.layer {
        Layer::Flatten | Layer::Reshape { .. } => reshape(flow, &trained.output),
        Layer::Permute { dims } => {
            flow.channels_last();
            flow.apply("Transpose", &[], vec![integers("perm", &[&[0], dims.as_slice()].concat())]);
        }
        Layer::Rescaling { scale, offset } => {
            let (scale, offset) =
                (flow.graph.float("scale", *scale as f32), flow.graph.float("offset", *offset as f32));
            flow.apply("Mul", &[&scale], vec![]);
            flow.apply("Add", &[&offset], vec![]);
        }
        Layer::ZeroPadding2D { padding: [[top, bottom], [left, right]] } => {
            flow.channels_last();
            let pads = [0, *top, *left, 0, 0, *bottom, *right, 0].map(|zeros| zeros as i64);
            let pads = flow.graph.integers("pads", &pads);
            flow.apply("Pad", &[&pads], vec![]);
        }
        Layer::Dense(dense) => add_dense(flow, dense, trained),
        Layer::Conv1D(conv) | Layer::Conv2D(conv) => {
            let axes = trained.input.len() - 1;
            let (size, strides, dilations) =
                (&conv.kernel_size[2 - axes..], &conv.strides[2 - axes..], &conv.dilation_rate[2 - axes..]);
            let window = Window { size, strides, dilations, padding: conv.padding };
            convolve(
                flow,
                &window,
                conv.groups,
                &trained.weights[0],
                trained.weight("bias"),
                conv.output.activation,
            );
        }
        Layer::DepthwiseConv2D(conv) => {
            let window = Window {
                size: &conv.kernel_size,
                strides: &conv.strides,
                dilations: &conv.dilation_rate,
                padding: conv.padding,
            };
            convolve_depthwise(
                flow,
                &window,
                &trained.weights[0],
                trained.weight("bias"),
                conv.output.activation,
            );
        }
        Layer::SeparableConv2D(conv) => {
            let window = Window {
                size: &conv.kernel_size,
                strides: &conv.strides,
                dilations: &conv.dilation_rate,
                padding: conv.padding,
            };
            let point = Window { size: &[1, 1], strides: &[1, 1], dilations: &[1, 1], padding: conv.padding };
            convolve_depthwise(flow, &window, &trained.weights[0], None, Activation::Linear);
            flow.shape.clone_from(&trained.output); // A point needs no padding.
            convolve(flow, &point, 1, &trained.weights[1], trained.weight("bias"), conv.output.activation);
        }
        Layer::MaxPooling1D(of) => pool(flow, "MaxPool", &Window::of_pool(of, 1)),
        Layer::MaxPooling2D(of) => pool(flow, "MaxPool", &Window::of_pool(of, 2)),
        Layer::AveragePooling1D(of) => pool(flow, "AveragePool", &Window::of_pool(of, 1)),
        Layer::AveragePooling2D(of) => pool(flow, "AveragePool", &Window::of_pool(of, 2)),
        Layer::GlobalAveragePooling1D { keepdims } | Layer::GlobalAveragePooling2D { keepdims } => {
            reduce(flow, "ReduceMean", *keepdims)
        }
        Layer::GlobalMaxPooling1D { keepdims } | Layer::GlobalMaxPooling2D { keepdims } => {
            reduce(flow, "ReduceMax", *keepdims)
        }
        Layer::Activation { activation } => activate(flow, *activation),
        Layer::LeakyReLU { negative_slope } => {
            flow.apply("LeakyRelu", &[], vec![float("alpha", *negative_slope as f32)])
        }
        Layer::PReLU(_) => {
            let alpha = &trained.weights[0];
            let slope = flow.row_constant("alpha", &alpha.shape, &alpha.numbers);
            flow.apply("PRelu", &[&slope], vec![]);
        }
        // They act in training only.
        Layer::Dropout { .. } | Layer::SpatialDropout2D { .. } | Layer::GaussianNoise { .. } => {}
        Layer::BatchNormalization(normalization) => {
            flow.channels_first();
            let names = ["gamma", "beta", "moving_mean", "moving_variance"];
            let constants = names.map(|name| per_channel(flow, trained, name));
            let others = constants.each_ref().map(String::as_str);
            flow.apply("BatchNormalization", &others, vec![float("epsilon", normalization.epsilon as f32)]);
        }
        Layer::LayerNormalization(normalization) => {
            flow.channels_last();
            let constants = ["gamma", "beta"].map(|name| per_channel(flow, trained, name));
            let others = constants.each_ref().map(String::as_str);
            flow.apply(
                "LayerNormalization",
                &others,
                vec![float("epsilon", normalization.epsilon as f32), integer("axis", -1)],
            );
        }
        Layer::Embedding(embedding) => embed(flow, embedding, trained),
        Layer::SimpleRNN(_) | Layer::LSTM(_) | Layer::GRU(_) => recurrent::add(flow, &trained.layer, trained),
        Layer::Bidirectional(bidirectional) => recurrent::add_bidirectional(flow, bidirectional, trained),
    }
    flow.shape.clone_from(&trained.output);
}

fn reshape(flow: &mut Flow, shape: &[usize]) {
    flow.channels_last();
    // 0 keeps the size of the batch.
    let shape: Vec<i64> = std::iter::once(0).chain(shape.iter().map(|size| *size as i64)).collect();
    let shape = flow.graph.integers("shape", &shape);
    flow.apply("Reshape", &[&shape], vec![]);
}

fn activate(flow: &mut Flow, activation: Activation) {
    let axis = flow.channel_axis();
    flow.map(|graph, value| activation::apply(graph, activation, value, axis));
}

fn add_dense(flow: &mut Flow, dense: &Dense, trained: &TrainedLayer) {
    flow.channels_last();
    let kernel = &trained.weights[0];
    let kernel = flow.graph.floats("kernel", &kernel.shape, &kernel.numbers);
    flow.apply("MatMul", &[&kernel], vec![]);
    if let Some(bias) = trained.weight("bias") {
        let bias = flow.graph.floats("bias", &bias.shape, &bias.numbers);
        flow.apply("Add", &[&bias], vec![]);
    }
    activate(flow, dense.output.activation);
}

fn embed(flow: &mut Flow, embedding: &Embedding, trained: &TrainedLayer) {
    flow.channels_last();
    let table = flow.graph.floats(
        "embeddings",
        &[embedding.input_dim, embedding.output_dim],
        &trained.weights[0].numbers,
    );
    flow.apply("Cast", &[], vec![integer("to", DataType::Int64 as i64)]);
    flow.map(|graph, rows| graph.node("Gather", &[&table, rows], vec![integer("axis", 0)]));
}

/// A mean or maximum over all places of a row, in either layout.
fn reduce(flow: &mut Flow, operation: &str, keepdims: bool) {
    let attributes = vec![integers("axes", &flow.place_axes()), integer("keepdims", keepdims.into())];
    flow.apply(operation, &[], attributes);
    if !keepdims {
        flow.lies_flat();
    }
}

/// The weight of that name, or the constant that a layer without it has: 1 for a factor, otherwise 0.
fn per_channel(flow: &mut Flow, trained: &TrainedLayer, name: &str) -> String {
    let channels = trained.input.last().copied().unwrap_or(1);
    match trained.weight(name) {
        Some(weight) => flow.graph.floats(name, &weight.shape, &weight.numbers),
        None => {
            flow.graph.floats(name, &[channels], &vec![if name == "gamma" { 1.0 } else { 0.0 }; channels])
        }
    }
}

//! The cost of a layer for one row: weights, operations and numbers kept.

use super::{elements, unbounded};
use crate::network::{Layer, LayerWeight, Recurrent};

/// The cost of one layer for one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Weights, trainable or not.
    pub parameters: u64,
    /// Floating-point operations of a forward pass: a multiplication and an addition count as two,
    /// a function as one.
    pub flops: u64,
    /// Numbers that the forward pass keeps for the backward pass.
    pub activations: u64,
    /// Weights that are joined anew at each step: the kernels of a recurrent layer or of groups.
    pub joined: u64,
}

/// The cost of `layer` for a row of shape `input` that it turns into `output`. Saturates instead of
/// overflowing.
pub fn cost(layer: &Layer, input: &[usize], output: &[usize]) -> Cost {
    cost_where(layer, input, output, keeps_input(layer))
}

/// The cost of a layer; `keeps_input` says whether its activations keep their input.
pub(crate) fn cost_where(layer: &Layer, input: &[usize], output: &[usize], keeps_input: bool) -> Cost {
    let weights = layer.weights(input);
    let (inputs, outputs) = (elements(input).unwrap_or(u64::MAX), elements(output).unwrap_or(u64::MAX));
    // A product for each number of a kernel and a sum for each number of a bias, at each of
    // `places`.
    let products = |places: u64| {
        let of = |weight: &LayerWeight| {
            weight.elements().saturating_mul(if weight.name == "bias" { 1 } else { 2 })
        };
        weights.iter().map(of).fold(0, u64::saturating_add).saturating_mul(places)
    };
    // `gates` for each unit at each step, and `kept` other numbers.
    let steps = |recurrent: &Recurrent, gates: u64, kept: u64| {
        let steps = input.first().copied().unwrap_or(1) as u64;
        let kept = if keeps_input { 2 * gates + kept } else { gates + kept };
        // A copy of the inputs in the order of the steps, and one after dropout.
        (
            products(steps),
            steps.saturating_mul(kept * recurrent.units as u64).saturating_add(inputs.saturating_mul(2)),
        )
    };
    let activated = if keeps_input { outputs.saturating_mul(2) } else { outputs };
    let (flops, activations) = match layer {
        Layer::Flatten | Layer::Reshape { .. } => (0, 0),
        Layer::Permute { .. } | Layer::ZeroPadding2D { .. } | Layer::Embedding(_) => (0, outputs),
        Layer::Rescaling { .. }
        | Layer::Activation { .. }
        | Layer::LeakyReLU { .. }
        | Layer::Dropout { .. }
        | Layer::SpatialDropout2D { .. }
        | Layer::GaussianNoise { .. } => (outputs, outputs),
        Layer::PReLU(_) | Layer::BatchNormalization(_) => (outputs.saturating_mul(2), outputs),
        // Mean, variance, the quotient, gamma and beta.
        Layer::LayerNormalization(_) => (outputs.saturating_mul(6), outputs),
        Layer::MaxPooling1D(pool)
        | Layer::MaxPooling2D(pool)
        | Layer::AveragePooling1D(pool)
        | Layer::AveragePooling2D(pool) => {
            (outputs.saturating_mul((pool.pool_size[0] * pool.pool_size[1]) as u64), outputs)
        }
        Layer::GlobalAveragePooling1D { .. }
        | Layer::GlobalAveragePooling2D { .. }
        | Layer::GlobalMaxPooling1D { .. }
        | Layer::GlobalMaxPooling2D { .. } => (inputs, outputs),
        // The inputs and outputs of the groups are separate copies.
        Layer::Conv1D(conv) | Layer::Conv2D(conv) if conv.groups > 1 => {
            (products(leading(output)), activated.saturating_add(inputs).saturating_add(outputs))
        }
        Layer::Dense(_) | Layer::Conv1D(_) | Layer::Conv2D(_) | Layer::DepthwiseConv2D(_) => {
            (products(leading(output)), activated)
        }
        Layer::SeparableConv2D(conv) => {
            let between =
                input.last().map_or(1, |channels| channels.saturating_mul(conv.depth_multiplier)) as u64;
            (products(leading(output)), activated.saturating_add(between.saturating_mul(leading(output))))
        }
        // The previous state and the output.
        Layer::SimpleRNN(recurrent) => steps(recurrent, 1, 1),
        // The gates, the state and the output.
        Layer::LSTM(recurrent) => steps(recurrent, 4, 2),
        // The gates, the part of the candidate that comes from the state, and the output.
        Layer::GRU(recurrent) => steps(recurrent, 3, 2),
        Layer::Bidirectional(bidirectional) => {
            let one = unbounded(&bidirectional.wrapped, input).unwrap_or_default();
            let one = cost_where(&bidirectional.wrapped, input, &one, keeps_input);
            (
                one.flops.saturating_mul(2).saturating_add(outputs),
                one.activations.saturating_mul(2).saturating_add(outputs),
            )
        }
    };
    let parameters = weights.iter().map(LayerWeight::elements).fold(0, u64::saturating_add);
    let is_joined = match layer {
        Layer::SimpleRNN(_) | Layer::LSTM(_) | Layer::GRU(_) | Layer::Bidirectional(_) => true,
        Layer::Conv1D(conv) | Layer::Conv2D(conv) => conv.groups > 1,
        Layer::Dense(_)
        | Layer::DepthwiseConv2D(_)
        | Layer::SeparableConv2D(_)
        | Layer::Flatten
        | Layer::Reshape { .. }
        | Layer::Permute { .. }
        | Layer::Rescaling { .. }
        | Layer::ZeroPadding2D { .. }
        | Layer::MaxPooling1D(_)
        | Layer::MaxPooling2D(_)
        | Layer::AveragePooling1D(_)
        | Layer::AveragePooling2D(_)
        | Layer::GlobalAveragePooling1D { .. }
        | Layer::GlobalAveragePooling2D { .. }
        | Layer::GlobalMaxPooling1D { .. }
        | Layer::GlobalMaxPooling2D { .. }
        | Layer::Activation { .. }
        | Layer::LeakyReLU { .. }
        | Layer::PReLU(_)
        | Layer::Dropout { .. }
        | Layer::SpatialDropout2D { .. }
        | Layer::GaussianNoise { .. }
        | Layer::BatchNormalization(_)
        | Layer::LayerNormalization(_)
        | Layer::Embedding(_) => false,
    };
    Cost { parameters, flops, activations, joined: if is_joined { parameters } else { 0 } }
}

/// Whether an activation of the layer keeps an input that would not be kept otherwise.
fn keeps_input(layer: &Layer) -> bool {
    let output_needs = || layer.output().is_some_and(|output| output.activation.needs_input());
    match layer {
        Layer::LSTM(recurrent) | Layer::GRU(recurrent) => {
            output_needs() || recurrent.recurrent_activation.needs_input()
        }
        Layer::Bidirectional(bidirectional) => keeps_input(&bidirectional.wrapped),
        _ => output_needs(),
    }
}

/// The places of an output: the product of all dimensions except the last one.
fn leading(output: &[usize]) -> u64 {
    output.split_last().map_or(1, |(_, leading)| elements(leading).unwrap_or(u64::MAX))
}

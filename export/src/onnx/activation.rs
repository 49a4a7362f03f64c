//! Activations as operations.

use hpo::network::Activation;

use super::graph::{Graph, float, integer};

/// The value of `activation` at `value`; softmax runs along the dimension `axis`.
pub(crate) fn apply(graph: &mut Graph, activation: Activation, value: &str, axis: i64) -> String {
    match activation {
        Activation::Linear => value.to_owned(),
        Activation::Relu => graph.node("Relu", &[value], vec![]),
        Activation::LeakyRelu => graph.node("LeakyRelu", &[value], vec![float("alpha", 0.2)]),
        Activation::Relu6 => {
            let (low, high) = (graph.float("low", 0.0), graph.float("high", 6.0));
            graph.node("Clip", &[value, &low, &high], vec![])
        }
        Activation::Elu => graph.node("Elu", &[value], vec![float("alpha", 1.0)]),
        // ONNX's constants are Keras's.
        Activation::Selu => graph.node("Selu", &[value], vec![]),
        Activation::Gelu => gelu(graph, value),
        Activation::Silu => {
            let gate = graph.node("Sigmoid", &[value], vec![]);
            graph.node("Mul", &[value, &gate], vec![])
        }
        Activation::Softplus => graph.node("Softplus", &[value], vec![]),
        Activation::Softsign => graph.node("Softsign", &[value], vec![]),
        Activation::Sigmoid => graph.node("Sigmoid", &[value], vec![]),
        Activation::HardSigmoid => {
            graph.node("HardSigmoid", &[value], vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)])
        }
        Activation::Tanh => graph.node("Tanh", &[value], vec![]),
        Activation::Softmax => graph.node("Softmax", &[value], vec![integer("axis", axis)]),
        Activation::LogSoftmax => graph.node("LogSoftmax", &[value], vec![integer("axis", axis)]),
        Activation::Exponential => graph.node("Exp", &[value], vec![]),
    }
}

/// `x (1 + erf(x / √2)) / 2`: ONNX has a Gelu from opset 20 only.
fn gelu(graph: &mut Graph, value: &str) -> String {
    let (root, one, half) = (
        graph.float("root", std::f32::consts::FRAC_1_SQRT_2),
        graph.float("one", 1.0),
        graph.float("half", 0.5),
    );
    let scaled = graph.node("Mul", &[value, &root], vec![]);
    let erf = graph.node("Erf", &[&scaled], vec![]);
    let raised = graph.node("Add", &[&erf, &one], vec![]);
    let weighted = graph.node("Mul", &[value, &raised], vec![]);
    graph.node("Mul", &[&weighted, &half], vec![])
}

//! Activation functions by Keras's names (<https://keras.io/api/layers/activations/>).

use crate::document::names;

names! {
    /// An activation function.
    pub enum Activation {
        /// `x`.
        Linear = "linear",
        /// `max(x, 0)`.
        Relu = "relu",
        /// `x` above 0, `0.2 x` below: the slope of Keras's `leaky_relu`.
        LeakyRelu = "leaky_relu",
        /// `min(max(x, 0), 6)`.
        Relu6 = "relu6",
        /// `x` above 0, `exp(x) - 1` below.
        Elu = "elu",
        /// `elu`, scaled to preserve means and variances (Klambauer et al. 2017): `1.0507… x` above
        /// 0, `1.0507… 1.6732… (exp(x) - 1)` below.
        Selu = "selu",
        /// `x Φ(x)` with the exact normal distribution: Keras's `approximate=False`.
        Gelu = "gelu",
        /// `x sigmoid(x)`.
        Silu = "silu" | "swish",
        /// `ln(1 + exp(x))`.
        Softplus = "softplus",
        /// `x / (1 + |x|)`.
        Softsign = "softsign",
        /// `1 / (1 + exp(-x))`.
        Sigmoid = "sigmoid",
        /// `relu6(x + 3) / 6`.
        HardSigmoid = "hard_sigmoid",
        /// The hyperbolic tangent.
        Tanh = "tanh",
        /// `exp(x) / sum(exp(x))` over the last dimension.
        Softmax = "softmax",
        /// `ln(softmax(x))`.
        LogSoftmax = "log_softmax",
        /// `exp(x)`.
        Exponential = "exponential",
    }
    later ["mish", "hard_silu", "hard_swish", "hard_tanh", "celu", "glu", "log_sigmoid", "sparse_plus", "squareplus", "soft_shrink", "hard_shrink", "tanh_shrink", "threshold"]
}

impl Activation {
    /// Whether the gradient needs the input as well as the output, so that both are kept.
    pub fn needs_input(self) -> bool {
        match self {
            Activation::Gelu | Activation::Silu | Activation::Softsign => true,
            Activation::Linear
            | Activation::Relu
            | Activation::LeakyRelu
            | Activation::Relu6
            | Activation::Elu
            | Activation::Selu
            | Activation::Softplus
            | Activation::Sigmoid
            | Activation::HardSigmoid
            | Activation::Tanh
            | Activation::Softmax
            | Activation::LogSoftmax
            | Activation::Exponential => false,
        }
    }

    /// Whether it is computed over the last dimension as a whole rather than for each number.
    pub fn is_over_row(self) -> bool {
        match self {
            Activation::Softmax | Activation::LogSoftmax => true,
            Activation::Linear
            | Activation::Relu
            | Activation::LeakyRelu
            | Activation::Relu6
            | Activation::Elu
            | Activation::Selu
            | Activation::Gelu
            | Activation::Silu
            | Activation::Softplus
            | Activation::Softsign
            | Activation::Sigmoid
            | Activation::HardSigmoid
            | Activation::Tanh
            | Activation::Exponential => false,
        }
    }

    /// The range of its values.
    pub fn range(self) -> Range {
        match self {
            Activation::Sigmoid | Activation::HardSigmoid | Activation::Softmax => Range::Probability,
            Activation::Softplus | Activation::Exponential => Range::Positive,
            Activation::Relu | Activation::Relu6 => Range::NotNegative,
            Activation::LogSoftmax => Range::NotPositive,
            Activation::Linear
            | Activation::LeakyRelu
            | Activation::Elu
            | Activation::Selu
            | Activation::Gelu
            | Activation::Silu
            | Activation::Softsign
            | Activation::Tanh => Range::BothSides,
        }
    }
}

/// The range of the values of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// In [0, 1].
    Probability,
    /// Above 0.
    Positive,
    /// At 0 and above.
    NotNegative,
    /// At 0 and below.
    NotPositive,
    /// On both sides of 0.
    BothSides,
}

//! The operations that layers are made of, each in two forms: the CPU's kernels, and candle's own
//! operations for other devices.

use candle_core::{Result, Tensor};
use hpo::network::Activation;

use super::composed;
use crate::kernels;
use crate::kernels::loss::Criterion;
use crate::kernels::recurrent::Recurrence;
use crate::kernels::window::Window;

/// Which form runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ops {
    /// [`crate::kernels`]: on the CPU.
    Kernels,
    /// [`super::composed`]: elsewhere, and on the CPU in tests.
    Composed,
}

/// Defines each operation as a choice between its two forms.
macro_rules! either {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) -> $module:ident;)*) => {
        impl Ops {
            $($(#[$doc])* pub(crate) fn $name(self, $($arg: $type),*) -> Result<Tensor> {
                match self {
                    Ops::Kernels => kernels::$module::$name($($arg),*),
                    Ops::Composed => composed::$name($($arg),*),
                }
            })*
        }
    };
}

either! {
    /// `activation(x · kernel + bias)`: `x (…, inputs)`, `kernel (inputs, units)`, `bias (units)` →
    /// `(…, units)`.
    fn dense(x: &Tensor, kernel: &Tensor, bias: &Tensor, activation: Activation) -> dense;
    /// `activation(conv(x, kernel) + bias)`: `x (batch, height, width, channels)`, `kernel (height,
    /// width, channels, filters)`, `bias (filters)` → `(batch, rows, columns, filters)`.
    fn conv(x: &Tensor, kernel: &Tensor, bias: &Tensor, window: Window, activation: Activation) -> conv;
    /// `activation(conv(x, kernel) + bias)`, each channel on its own: `kernel (height, width,
    /// channels, multiplier)`, `bias (channels · multiplier)` → `(batch, rows, columns, channels ·
    /// multiplier)`.
    fn depthwise(x: &Tensor, kernel: &Tensor, bias: &Tensor, window: Window, activation: Activation) -> depthwise;
    /// The largest value of each window: `(batch, height, width, channels)` → `(batch, rows,
    /// columns, channels)`. NaN is larger than all.
    fn max_pool(x: &Tensor, window: Window) -> pool;
    /// The largest value of each image, which is the window: `(batch, height, width, channels)` →
    /// `(batch, 1, 1, channels)`. Equal values share the gradient, whereas `max_pool` gives it to the
    /// first, both as in Keras.
    fn global_max(x: &Tensor, window: Window) -> pool;
    /// The mean of each window over its part that lies on the image: `(batch, height, width, channels)` →
    /// `(batch, rows, columns, channels)`.
    fn average_pool(x: &Tensor, window: Window) -> pool;
    /// The activation, number by number; softmax and log_softmax go over the last dimension.
    fn activation(x: &Tensor, activation: Activation) -> activation;
    /// `x` above 0, `slope x` below.
    fn leaky_relu(x: &Tensor, slope: f64) -> activation;
    /// `x` above 0, `alpha x` below. Alpha has the shape of a row of x, with 1 for each dimension over
    /// which it is shared.
    fn prelu(x: &Tensor, alpha: &Tensor) -> prelu;
    /// Mean 0 and variance 1 over the last dimension, then `gamma x + beta`.
    fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, epsilon: f64) -> normalization;
    /// The rows of `table (rows, width)` with these numbers, which are below its rows.
    fn embedding(table: &Tensor, rows: Vec<u32>) -> embedding;
    /// The states of a recurrent layer: `x (batch, steps, features)`, `kernel (features + units,
    /// gates · units)` for inputs and state, `bias (2, gates · units)` for both of their products
    /// (only a GRU with `reset_after` adds the second to the state's) → `(batch, units)`, or
    /// `(batch, steps, units)` in the order of the steps taken.
    fn recurrence(x: &Tensor, kernel: &Tensor, bias: &Tensor, what: Recurrence) -> recurrent;
    /// `x · mask`, number by number: dropout.
    fn masked(x: &Tensor, mask: Vec<f32>) -> dropout;
    /// `l1 · sum(|x|) + l2 · sum(x²)`, a scalar.
    fn penalty(x: &Tensor, l1: f64, l2: f64) -> penalty;
    /// The mean loss of an output `(rows, width)`, a scalar.
    fn loss(output: &Tensor, criterion: Criterion) -> loss;
}

impl Ops {
    /// Mean 0 and variance 1 over all but the last dimension, then `gamma x + beta`; with the
    /// batch's mean and variance, each `(channels)`.
    pub(crate) fn batch_norm(
        self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        epsilon: f64,
    ) -> Result<[Tensor; 3]> {
        match self {
            Ops::Kernels => kernels::normalization::batch_norm(x, gamma, beta, epsilon),
            Ops::Composed => composed::batch_norm(x, gamma, beta, epsilon),
        }
    }
}

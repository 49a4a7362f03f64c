//! Recurrent layers over (steps, features), and a wrapper that runs one in both directions.

use super::sizes::Size;
use super::weight::weight_spec;
use super::{Activation, Initializer, Layer, LayerWeight, Output, RECURRENT, WeightSpec, read_layer};
use crate::document::{Fields, FromDocument, Place, bounded, names};
use crate::limits;

/// [`Layer::SimpleRNN`], [`Layer::LSTM`] and [`Layer::GRU`]. Kernel `(features, gates × units)`,
/// recurrent kernel `(units, gates × units)`, bias `(gates × units)`; a GRU with `reset_after` has
/// a bias for each of the kernels, `(2, gates × units)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Recurrent {
    /// Size of the state.
    pub units: usize,
    /// Applied to the gates; a SimpleRNN has none.
    pub recurrent_activation: Activation,
    /// The kernel of the inputs.
    pub kernel: WeightSpec,
    /// The kernel of the state.
    pub recurrent: WeightSpec,
    /// Whether the bias of the forget gate starts at 1. For LSTM only; otherwise false.
    pub unit_forget_bias: bool,
    /// Whether the reset gate is applied after the product with the state. For GRU only; otherwise
    /// false.
    pub reset_after: bool,
    /// The fraction of the inputs that training sets to zero, the same at each step; in [0, 1).
    pub dropout: f64,
    /// Whether the output is the state of every step rather than the last one only.
    pub return_sequences: bool,
    /// Whether the steps are read from the last to the first; a sequence that is returned has the
    /// same order.
    pub go_backwards: bool,
    /// Activation, bias and regulariser of the output.
    pub output: Output,
}

/// [`Layer::Bidirectional`]: a recurrent layer, and a second one like it that reads the steps
/// backwards.
#[derive(Debug, Clone, PartialEq)]
pub struct Bidirectional {
    /// The layer of one direction: [`Layer::SimpleRNN`], [`Layer::LSTM`] or [`Layer::GRU`].
    pub wrapped: Box<Layer>,
    /// How the two outputs are combined.
    pub merge_mode: MergeMode,
}

names! {
    /// How [`Bidirectional`] combines its two outputs.
    pub enum MergeMode {
        /// One after the other.
        Concat = "concat",
        /// The sum.
        Sum = "sum",
        /// The product, number by number.
        Mul = "mul",
        /// The mean.
        Ave = "ave",
    }
    later []
}

/// The kind of a recurrent layer: what it computes at each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    Simple,
    Lstm,
    Gru,
}

bounded! {
    /// The fraction that dropout sets to zero. At 1 nothing would be left to scale.
    pub(super) Rate(f64), 0.0, limits::DROPOUT_RATE_MAX
}

impl Recurrent {
    pub(super) fn read(cell: Cell, fields: &mut Fields) -> Option<Recurrent> {
        let units = fields.required("units").and_then(|place| place.read::<Size>());
        let output = Output::read(fields, Activation::Tanh);
        let recurrent_activation = match cell {
            Cell::Simple => Some(Some(Activation::Sigmoid)),
            Cell::Lstm | Cell::Gru => fields.or("recurrent_activation", Some(Activation::Sigmoid)),
        };
        let kernel = weight_spec!(fields, "kernel", Initializer::GlorotUniform);
        let recurrent = weight_spec!(fields, "recurrent", Initializer::Orthogonal { gain: 1.0 });
        let unit_forget_bias =
            if cell == Cell::Lstm { fields.or("unit_forget_bias", true) } else { Some(false) };
        let reset_after = if cell == Cell::Gru { fields.or("reset_after", true) } else { Some(false) };
        let dropout = fields.or("dropout", Rate(0.0));
        let (return_sequences, go_backwards) =
            (fields.or("return_sequences", false), fields.or("go_backwards", false));
        let plain = [
            fields.only("recurrent_dropout", 0.into()),
            fields.only("return_state", false.into()),
            fields.only("stateful", false.into()),
            fields.only("unroll", false.into()),
        ];
        plain.into_iter().collect::<Option<()>>()?;
        Some(Recurrent {
            units: units?.get(),
            recurrent_activation: recurrent_activation?.unwrap_or(Activation::Linear),
            kernel: kernel?,
            recurrent: recurrent?,
            unit_forget_bias: unit_forget_bias?,
            reset_after: reset_after?,
            dropout: dropout?.0,
            return_sequences: return_sequences?,
            go_backwards: go_backwards?,
            output: output?,
        })
    }

    pub(super) fn weights(&self, cell: Cell, input: &[usize]) -> Vec<LayerWeight<'_>> {
        let columns = cell.gates() * self.units;
        let kernel =
            LayerWeight::new("kernel", vec![input.last().copied().unwrap_or(1), columns], &self.kernel);
        let recurrent = LayerWeight::new("recurrent_kernel", vec![self.units, columns], &self.recurrent);
        let shape = if self.reset_after { vec![2, columns] } else { vec![columns] };
        let ones = self.unit_forget_bias.then(|| self.units..2 * self.units);
        let bias = self.output.bias(shape).map(|bias| LayerWeight { ones, ..bias });
        [kernel, recurrent].into_iter().chain(bias).collect()
    }
}

impl Cell {
    /// Products side by side in a kernel: i, f, c and o in an LSTM; z, r and h in a GRU.
    fn gates(self) -> usize {
        match self {
            Cell::Simple => 1,
            Cell::Lstm => 4,
            Cell::Gru => 3,
        }
    }
}

impl Bidirectional {
    pub(super) fn read(fields: &mut Fields) -> Option<Bidirectional> {
        let wrapped = fields.required("wrapped").and_then(|place| place.read::<Wrapped>());
        let merge_mode = fields.or("merge_mode", MergeMode::Concat);
        Some(Bidirectional { wrapped: Box::new(wrapped?.0), merge_mode: merge_mode? })
    }

    pub(super) fn weights(&self, input: &[usize]) -> Vec<LayerWeight<'_>> {
        let direction = |name: &'static str| {
            let weights = self.wrapped.weights(input).into_iter();
            weights.map(move |weight| LayerWeight { name: format!("{name}.{}", weight.name), ..weight })
        };
        direction("forward").chain(direction("backward")).collect()
    }
}

/// A layer inside a [`Bidirectional`].
struct Wrapped(Layer);

impl FromDocument for Wrapped {
    fn from_place(place: &Place) -> Option<Wrapped> {
        let layer = read_layer(place.fields()?, RECURRENT)?;
        if let Layer::SimpleRNN(recurrent) | Layer::LSTM(recurrent) | Layer::GRU(recurrent) = &layer
            && recurrent.go_backwards
        {
            place.invalid("a layer inside a Bidirectional cannot have `go_backwards`");
            return None;
        }
        Some(Wrapped(layer))
    }
}

//! Recurrent layers by ONNX's RNN, LSTM and GRU, over (steps, batch, features).

use hpo::network::{Activation, Bidirectional, Layer, MergeMode, Recurrent};

use super::flow::Flow;
use super::graph::{Graph, floats, integer, integers, text, texts};
use super::proto::AttributeProto;
use super::scan;
use crate::model::{TrainedLayer, Weight};

/// A recurrent layer in one direction, with its weights.
pub(crate) struct Direction<'a> {
    pub(crate) kind: Kind,
    pub(crate) recurrent: &'a Recurrent,
    /// From the last step to the first.
    pub(crate) backwards: bool,
    pub(crate) kernel: &'a Weight,
    pub(crate) recurrent_kernel: &'a Weight,
    pub(crate) bias: Option<&'a Weight>,
}

/// The kind of a recurrent layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Simple,
    Lstm,
    Gru,
}

impl Kind {
    /// The kind of a recurrent layer and its arguments.
    fn of(layer: &Layer) -> (Kind, &Recurrent) {
        match layer {
            Layer::SimpleRNN(recurrent) => (Kind::Simple, recurrent),
            Layer::LSTM(recurrent) => (Kind::Lstm, recurrent),
            Layer::GRU(recurrent) => (Kind::Gru, recurrent),
            other => unreachable!("the reader refuses to wrap {}", other.class()),
        }
    }

    fn operation(self) -> &'static str {
        match self {
            Kind::Simple => "RNN",
            Kind::Lstm => "LSTM",
            Kind::Gru => "GRU",
        }
    }

    /// Keras's number of each of ONNX's gates: Keras has i f c o and z r h, ONNX i o f c and z r h.
    fn gates(self) -> &'static [usize] {
        match self {
            Kind::Simple => &[0],
            Kind::Lstm => &[0, 3, 1, 2],
            Kind::Gru => &[0, 1, 2],
        }
    }
}

impl<'a> Direction<'a> {
    fn new(layer: &'a Layer, trained: &'a TrainedLayer, prefix: &str, backwards: bool) -> Direction<'a> {
        let (kind, recurrent) = Kind::of(layer);
        let weight = |name: &str| trained.weight(&format!("{prefix}{name}"));
        let there = |name: &str| weight(name).expect("Layer::weights names it, and Model::read read it");
        Direction {
            kind,
            recurrent,
            backwards,
            kernel: there("kernel"),
            recurrent_kernel: there("recurrent_kernel"),
            bias: weight("bias"),
        }
    }

    /// The outputs at all steps as (batch, steps, units) in the order of the input, or the last one
    /// as (batch, units).
    fn run(&self, graph: &mut Graph, value: &str) -> String {
        match self.activations() {
            Some(activations) => self.run_natively(graph, value, activations),
            None => scan::run(graph, self, value),
        }
    }

    fn run_natively(&self, graph: &mut Graph, value: &str, activations: Vec<AttributeProto>) -> String {
        let units = self.recurrent.units;
        let features = self.kernel.shape[0];
        let gates = self.kind.gates();
        let rows = gates.len() * units;
        let kernel =
            graph.floats("kernel", &[1, rows, features], &turned(&self.kernel.numbers, units, gates));
        let recurrent_kernel = graph.floats(
            "recurrent_kernel",
            &[1, rows, units],
            &turned(&self.recurrent_kernel.numbers, units, gates),
        );
        let bias = graph.floats("bias", &[1, 2 * rows], &self.biases());

        let steps_first = graph.node("Transpose", &[value], vec![integers("perm", &[1, 0, 2])]);
        let mut attributes = vec![
            integer("hidden_size", units as i64),
            text("direction", if self.backwards { "reverse" } else { "forward" }),
        ];
        attributes.extend(activations);
        if self.kind == Kind::Gru {
            attributes.push(integer("linear_before_reset", self.recurrent.reset_after.into()));
        }
        let [all, last] = graph.node_of(
            self.kind.operation(),
            &[&steps_first, &kernel, &recurrent_kernel, &bias],
            attributes,
        );
        // The dimension of one direction.
        let axis = graph.integers("direction", &[if self.recurrent.return_sequences { 1 } else { 0 }]);
        if !self.recurrent.return_sequences {
            return graph.node("Squeeze", &[&last, &axis], vec![]);
        }
        let squeezed = graph.node("Squeeze", &[&all, &axis], vec![]);
        graph.node("Transpose", &[&squeezed], vec![integers("perm", &[1, 0, 2])])
    }

    /// The biases of the input, then those of the state; only a GRU with `reset_after` has both.
    fn biases(&self) -> Vec<f32> {
        let (units, gates) = (self.recurrent.units, self.kind.gates());
        let columns = gates.len() * units;
        let mut biases = vec![0.0; 2 * columns];
        for (own, given) in
            biases.chunks_mut(columns).zip(self.bias.map_or(&[][..], |bias| &bias.numbers).chunks(columns))
        {
            own.copy_from_slice(&turned(given, units, gates));
        }
        biases
    }

    /// The attributes that name the activations, or none where ONNX's operation knows one of them
    /// not.
    fn activations(&self) -> Option<Vec<AttributeProto>> {
        let (activation, gates) = (self.recurrent.output.activation, self.recurrent.recurrent_activation);
        let functions = match self.kind {
            Kind::Simple => vec![activation],
            Kind::Lstm => vec![gates, activation, activation],
            Kind::Gru => vec![gates, activation],
        };
        let known: Vec<Native> = functions.into_iter().map(native).collect::<Option<_>>()?;
        let names: Vec<&str> = known.iter().map(|native| native.name).collect();
        let mut attributes = vec![texts("activations", &names)];
        // A list has a number for each of those functions that take one.
        let lists: [(&str, Vec<f32>); 2] = [
            ("activation_alpha", known.iter().filter_map(|native| native.alpha).collect()),
            ("activation_beta", known.iter().filter_map(|native| native.beta).collect()),
        ];
        attributes.extend(
            lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| floats(name, list)),
        );
        Some(attributes)
    }
}

/// An activation inside ONNX's recurrent operations.
struct Native {
    name: &'static str,
    alpha: Option<f32>,
    beta: Option<f32>,
}

fn native(activation: Activation) -> Option<Native> {
    let (name, alpha, beta) = match activation {
        Activation::Linear => ("Affine", Some(1.0), Some(0.0)),
        Activation::Relu => ("Relu", None, None),
        Activation::LeakyRelu => ("LeakyRelu", Some(0.2), None),
        Activation::Elu => ("Elu", Some(1.0), None),
        Activation::Softplus => ("Softplus", None, None),
        Activation::Softsign => ("Softsign", None, None),
        Activation::Sigmoid => ("Sigmoid", None, None),
        Activation::HardSigmoid => ("HardSigmoid", Some(1.0 / 6.0), Some(0.5)),
        Activation::Tanh => ("Tanh", None, None),
        Activation::Relu6
        | Activation::Selu
        | Activation::Gelu
        | Activation::Silu
        | Activation::Softmax
        | Activation::LogSoftmax
        | Activation::Exponential => return None,
    };
    Some(Native { name, alpha, beta })
}

/// Adds a recurrent layer. One that goes backwards returns its outputs in the order in which it
/// made them, as Keras's does.
pub(crate) fn add(flow: &mut Flow, layer: &Layer, trained: &TrainedLayer) {
    flow.channels_last();
    let (_, recurrent) = Kind::of(layer);
    let direction = Direction::new(layer, trained, "", recurrent.go_backwards);
    flow.map(|graph, value| direction.run(graph, value));
    if recurrent.go_backwards && recurrent.return_sequences {
        // From the last step to the one before the first, which only the smallest integer can name.
        let [start, end, axis, step] = [("start", -1), ("end", i64::MIN), ("axis", 1), ("step", -1)]
            .map(|(name, at)| flow.graph.integers(name, &[at]));
        flow.apply("Slice", &[&start, &end, &axis, &step], vec![]);
    }
}

/// Adds both directions of a layer, their outputs in the order of the input, merged.
pub(crate) fn add_bidirectional(flow: &mut Flow, bidirectional: &Bidirectional, trained: &TrainedLayer) {
    flow.channels_last();
    let forward = Direction::new(&bidirectional.wrapped, trained, "forward.", false);
    let backward = Direction::new(&bidirectional.wrapped, trained, "backward.", true);
    flow.map(|graph, value| {
        let both = [forward.run(graph, value), backward.run(graph, value)];
        let both = both.each_ref().map(String::as_str);
        match bidirectional.merge_mode {
            MergeMode::Concat => graph.node("Concat", &both, vec![integer("axis", -1)]),
            MergeMode::Sum => graph.node("Add", &both, vec![]),
            MergeMode::Mul => graph.node("Mul", &both, vec![]),
            MergeMode::Ave => graph.node("Mean", &both, vec![]),
        }
    });
}

/// A kernel `(rows, gates × units)` as `(gates × units, rows)`, with Keras's gates in the order of
/// `gates`.
fn turned(numbers: &[f32], units: usize, gates: &[usize]) -> Vec<f32> {
    let columns = gates.len() * units;
    let column = |column: usize| numbers.iter().skip(column).step_by(columns).copied();
    gates.iter().flat_map(|gate| gate * units..(gate + 1) * units).flat_map(column).collect()
}

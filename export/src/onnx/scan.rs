//! Recurrent layers by a loop over their steps, for the activations that ONNX's RNN, LSTM and GRU do
//! not have.

use hpo::network::{Activation, Recurrent};

use super::activation;
use super::graph::{self, Graph, integer, integers, value_info};
use super::proto::GraphProto;
use super::recurrent::{Direction, Kind};

/// The outputs at all steps as (batch, steps, units) in the order of the input, or the last one as
/// (batch, units).
pub(crate) fn run(graph: &mut Graph, direction: &Direction, value: &str) -> String {
    let Direction { kind, recurrent, kernel, bias, .. } = direction;
    let units = recurrent.units;
    let kernel_name = graph.floats("kernel", &kernel.shape, &kernel.numbers);
    let mut projected = graph.node("MatMul", &[value, &kernel_name], vec![]);
    if let Some(bias) = bias {
        // The other half of a bias with two rows belongs to the state.
        let columns = kernel.shape[1];
        let bias = graph.floats("bias", &[columns], &bias.numbers[..columns]);
        projected = graph.node("Add", &[&projected, &bias], vec![]);
    }
    let zeros = zeros(graph, value, units);
    let body = body(&graph.scope, direction);

    let states = if *kind == Kind::Lstm { 2 } else { 1 };
    let inputs: Vec<&str> = std::iter::repeat_n(zeros.as_str(), states).chain([projected.as_str()]).collect();
    let attributes = vec![
        integer("num_scan_inputs", 1),
        integers("scan_input_axes", &[1]),
        integers("scan_output_axes", &[1]),
        integers("scan_input_directions", &[i64::from(direction.backwards)]),
        integers("scan_output_directions", &[i64::from(direction.backwards)]),
        graph::graph("body", body),
    ];
    let (last, all) = if *kind == Kind::Lstm {
        let [last, _, all] = graph.node_of("Scan", &inputs, attributes);
        (last, all)
    } else {
        let [last, all] = graph.node_of("Scan", &inputs, attributes);
        (last, all)
    };
    if recurrent.return_sequences { all } else { last }
}

/// The first state: zeros of (batch, units).
fn zeros(graph: &mut Graph, value: &str, units: usize) -> String {
    let batch = graph.node("Shape", &[value], vec![integer("start", 0), integer("end", 1)]);
    let units = graph.integers("units", &[units as i64]);
    let shape = graph.node("Concat", &[&batch, &units], vec![integer("axis", 0)]);
    graph.node("ConstantOfShape", &[&shape], vec![])
}

/// One step: (state…, projected input) to (state…, output).
fn body(scope: &str, direction: &Direction) -> GraphProto {
    let Direction { kind, recurrent, kernel, .. } = direction;
    let units = recurrent.units;
    // The names must differ between the loops of a graph, and from those around them.
    let scope = format!("{scope}/{}step", if direction.backwards { "backward_" } else { "" });
    let mut step = Step { graph: Graph { scope: scope.clone(), ..Graph::default() }, direction };
    let [hidden, carried, input] = ["hidden", "carried", "input"].map(|name| format!("{scope}/{name}"));
    let (next, next_carried) = match kind {
        Kind::Simple => (step.simple(&hidden, &input), None),
        Kind::Lstm => {
            let (next, carried) = step.lstm(&hidden, &carried, &input);
            (next, Some(carried))
        }
        Kind::Gru => (step.gru(&hidden, &input), None),
    };
    let output = step.graph.node("Identity", &[&next], vec![]);
    let state = |name: &str| value_info(name, &[units]);
    let carried = next_carried.as_ref().map(|_| state(&carried));
    GraphProto {
        node: step.graph.nodes,
        name: scope,
        initializer: step.graph.constants,
        input: std::iter::once(state(&hidden))
            .chain(carried)
            .chain([value_info(&input, &kernel.shape[1..])])
            .collect(),
        output: std::iter::once(state(&next))
            .chain(next_carried.map(|name| state(&name)))
            .chain([state(&output)])
            .collect(),
    }
}

/// One step in the making (<https://keras.io/api/layers/recurrent_layers/>).
struct Step<'a> {
    graph: Graph,
    direction: &'a Direction<'a>,
}

impl Step<'_> {
    /// `activation(x + h R)`.
    fn simple(&mut self, hidden: &str, input: &str) -> String {
        let sum = self.with_state(hidden, input);
        self.activation(&sum)
    }

    /// The next hidden and carried state, from gates i f c o.
    fn lstm(&mut self, hidden: &str, carried: &str, input: &str) -> (String, String) {
        let sum = self.with_state(hidden, input);
        let [i, f, c, o] = self.split(&sum);
        let [i, f, o] = [i, f, o].map(|gate| self.gate(&gate));
        let candidate = self.activation(&c);
        let (kept, new) = (self.two("Mul", &f, carried), self.two("Mul", &i, &candidate));
        let carried = self.two("Add", &kept, &new);
        let shown = self.activation(&carried);
        (self.two("Mul", &o, &shown), carried)
    }

    /// The next hidden state, from gates z r h; the reset comes after the product with the state or
    /// before it.
    fn gru(&mut self, hidden: &str, input: &str) -> String {
        let Recurrent { reset_after, units, .. } = *self.direction.recurrent;
        let [x_z, x_r, x_h] = self.split(input);
        let (z, candidate) = if reset_after {
            let mut product = self.times(hidden, 0..3);
            if let Some(bias) = self.direction.bias {
                let bias = self.graph.floats("bias", &[3 * units], &bias.numbers[3 * units..]);
                product = self.two("Add", &product, &bias);
            }
            let [h_z, h_r, h_h] = self.split(&product);
            let (z, r) = (self.two("Add", &x_z, &h_z), self.two("Add", &x_r, &h_r));
            let (z, r) = (self.gate(&z), self.gate(&r));
            let reset = self.two("Mul", &r, &h_h);
            (z, self.two("Add", &x_h, &reset))
        } else {
            let (h_z, h_r) = (self.times(hidden, 0..1), self.times(hidden, 1..2));
            let (z, r) = (self.two("Add", &x_z, &h_z), self.two("Add", &x_r, &h_r));
            let (z, r) = (self.gate(&z), self.gate(&r));
            let reset = self.two("Mul", &r, hidden);
            let product = self.times(&reset, 2..3);
            (z, self.two("Add", &x_h, &product))
        };
        let candidate = self.activation(&candidate);
        // z h + (1 - z) candidate
        let one = self.graph.float("one", 1.0);
        let (kept, rest) = (self.two("Mul", &z, hidden), self.two("Sub", &one, &z));
        let new = self.two("Mul", &rest, &candidate);
        self.two("Add", &kept, &new)
    }

    /// `x + h R`.
    fn with_state(&mut self, hidden: &str, input: &str) -> String {
        let gates = self.direction.recurrent_kernel.shape[1] / self.direction.recurrent.units;
        let product = self.times(hidden, 0..gates);
        self.two("Add", input, &product)
    }

    /// The product with the recurrent kernel's columns for these gates.
    fn times(&mut self, hidden: &str, gates: std::ops::Range<usize>) -> String {
        let (kernel, units) = (self.direction.recurrent_kernel, self.direction.recurrent.units);
        let columns = gates.start * units..gates.end * units;
        let numbers: Vec<f32> =
            kernel.numbers.chunks(kernel.shape[1]).flat_map(|row| &row[columns.clone()]).copied().collect();
        let kernel = self.graph.floats("recurrent_kernel", &[units, columns.len()], &numbers);
        self.two("MatMul", hidden, &kernel)
    }

    fn split<const N: usize>(&mut self, gates: &str) -> [String; N] {
        self.graph.node_of("Split", &[gates], vec![integer("axis", -1)])
    }

    fn two(&mut self, operation: &str, a: &str, b: &str) -> String {
        self.graph.node(operation, &[a, b], vec![])
    }

    fn gate(&mut self, value: &str) -> String {
        self.apply(self.direction.recurrent.recurrent_activation, value)
    }

    fn activation(&mut self, value: &str) -> String {
        self.apply(self.direction.recurrent.output.activation, value)
    }

    fn apply(&mut self, activation: Activation, value: &str) -> String {
        activation::apply(&mut self.graph, activation, value, -1)
    }
}

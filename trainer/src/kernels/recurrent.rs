//! Recurrent layers: all steps in one operation, and back through them.
//!
//! The inputs' part of a gate at all steps is one product, so that each step has only the state's
//! products. Numbers lie gate by gate and step by step in the order taken, `(gate, step, batch,
//! units)`: products write where activations read, in both directions, and nothing is copied
//! between. A [`Tape`] keeps them for the backward pass.

mod gru;
mod lstm;
mod simple;

use std::any::Any;
use std::sync::OnceLock;

use candle_core::{Result, Tensor};
use hpo::network::Activation;

use super::activation::{activate, activation_gradient};
use super::dense::add_columns;
use super::operation::{Custom, Operation};
use super::product::{Matrix, Packed, Right, add_product_with, product, product_onto};
use super::real::Real;
use super::vectorised;

/// The computation of each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell {
    /// `h = activation(z + h U)`.
    Simple,
    /// Gates i, f, c and o (Hochreiter and Schmidhuber 1997, with forget gates).
    Lstm,
    /// Gates z, r and h (Cho et al. 2014); the reset gate acts before the product with the state,
    /// or after it.
    Gru {
        /// After it.
        reset_after: bool,
    },
}

/// How a recurrent layer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recurrence {
    /// The computation of each step.
    pub(crate) cell: Cell,
    /// Applied to what the state takes in, and by an LSTM to what comes out.
    pub(crate) activation: Activation,
    /// Applied to the gates.
    pub(crate) recurrent_activation: Activation,
    /// Whether the state of each step comes out, not only the last.
    pub(crate) sequences: bool,
    /// Whether steps are taken from the last to the first.
    pub(crate) backwards: bool,
}

impl Cell {
    /// Products side by side in a kernel.
    pub(crate) fn gates(self) -> usize {
        match self {
            Cell::Simple => 1,
            Cell::Lstm => 4,
            Cell::Gru { .. } => 3,
        }
    }
}

/// The states of a recurrent layer on the CPU: `x (batch, steps, features)`, `kernel (features +
/// units, gates · units)` for inputs and state, `bias (2, gates · units)` for both of their
/// products (only a GRU with `reset_after` adds the second to the state's) → `(batch, units)`, or
/// `(batch, steps, units)` in the order of the steps taken.
pub(crate) fn recurrence(x: &Tensor, kernel: &Tensor, bias: &Tensor, what: Recurrence) -> Result<Tensor> {
    let (batch, steps, features) = x.dims3()?;
    let gates = what.cell.gates();
    let sizes = Sizes { batch, steps, features, units: kernel.dim(1)? / gates, gates };
    x.contiguous()?.apply_op3(
        kernel,
        bias,
        Custom(Recurrent { what, sizes, single: OnceLock::new(), double: OnceLock::new() }),
    )
}

/// The sizes of a run.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    batch: usize,
    steps: usize,
    features: usize,
    units: usize,
    gates: usize,
}

impl Sizes {
    /// Numbers of a state.
    fn state(&self) -> usize {
        self.batch * self.units
    }

    /// Numbers of a gate at all steps.
    fn gate(&self) -> usize {
        self.steps * self.state()
    }
}

/// The numbers that the forward pass keeps.
struct Tape<T> {
    /// The state before each step, and the last one after all: `(steps + 1, batch, units)`.
    states: Vec<T>,
    /// The inputs of the gates' activations, if their gradients need them, as `gates`.
    before: Vec<T>,
    /// The gates: `(gates, steps, batch, units)`.
    gates: Vec<T>,
    /// For an LSTM its memory, as `states`; for a GRU the last gate's product with the state:
    /// `(steps, batch, units)`.
    memory: Vec<T>,
    /// For an LSTM the activation of its memory: `(steps, batch, units)`.
    active: Vec<T>,
}

struct Recurrent {
    what: Recurrence,
    sizes: Sizes,
    /// The tape is of one type or the other.
    single: OnceLock<Tape<f32>>,
    double: OnceLock<Tape<f64>>,
}

impl Recurrent {
    fn tape<T: Real>(&self) -> &OnceLock<Tape<T>> {
        let [single, double]: [&dyn Any; 2] = [&self.single, &self.double];
        single.downcast_ref().or(double.downcast_ref()).expect("a real number is an f32 or an f64")
    }
}

impl Operation<3> for Recurrent {
    fn dims(&self, _: [&[usize]; 3]) -> Vec<usize> {
        let Sizes { batch, steps, units, .. } = self.sizes;
        if self.what.sequences { vec![batch, steps, units] } else { vec![batch, units] }
    }

    fn forward<T: Real>(&self, [x, kernel, bias]: [&[T]; 3]) -> Vec<T> {
        let Sizes { batch, steps, units, .. } = self.sizes;
        let tape = Run::new(self.what, self.sizes, kernel, bias, Way::There).forward(x);
        let state = self.sizes.state();
        let y = match self.what.sequences {
            true => turned(&tape.states[state..], steps, batch, units),
            false => tape.states[steps * state..].to_vec(),
        };
        let _ = self.tape().set(tape); // it is the first: an operation runs once
        y
    }

    fn backward<T: Real>(
        &self,
        [x, kernel, bias]: [&[T]; 3],
        _y: &[T],
        gradient: &[T],
        wanted: [bool; 3],
    ) -> [Option<Vec<T>>; 3] {
        let tape = self.tape().get().expect("an operation runs there before it runs back");
        Run::new(self.what, self.sizes, kernel, bias, Way::Back).backward(tape, x, gradient, wanted[0])
    }
}

/// `(a, b, width)` as `(b, a, width)`.
fn turned<T: Real>(x: &[T], a: usize, b: usize, width: usize) -> Vec<T> {
    let mut turned = Vec::with_capacity(x.len());
    for j in 0..b {
        (0..a).for_each(|i| turned.extend_from_slice(&x[(i * b + j) * width..][..width]));
    }
    turned
}

vectorised! {
    /// Flushes numbers that are too small to matter to zero: see [`Real::kept`].
    fn keep<T: Real>(numbers: &mut [T]) {
        numbers.iter_mut().for_each(|x| *x = x.kept());
    }
}

/// Which way a run goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

/// One run over all steps.
struct Run<'a, T> {
    what: Recurrence,
    sizes: Sizes,
    /// The inputs' kernel, gate by gate, each `(features, units)`; transposed on the way back.
    of_inputs: Vec<Packed<T>>,
    /// The state's, each `(units, units)`; transposed on the way back.
    of_state: Vec<Packed<T>>,
    /// The biases of the inputs' products and of the state's, as rows of gates.
    bias: [&'a [T]; 2],
}

impl<'a, T: Real> Run<'a, T> {
    fn new(what: Recurrence, sizes: Sizes, kernel: &[T], bias: &'a [T], way: Way) -> Run<'a, T> {
        let Sizes { features, units, gates, .. } = sizes;
        let of_gate = |rows: &[T], gate: usize| {
            let mut numbers = Vec::with_capacity(rows.len() / gates);
            rows.chunks_exact(gates * units)
                .for_each(|row| numbers.extend_from_slice(&row[gate * units..][..units]));
            let of_gate = Matrix::new(&numbers, rows.len() / (gates * units), units);
            Packed::new(if way == Way::Back { of_gate.t() } else { of_gate })
        };
        let (inputs, state) = kernel.split_at(features * gates * units);
        let bias = bias.split_at(gates * units).into();
        let all = |rows: &[T]| (0..gates).map(|gate| of_gate(rows, gate)).collect();
        Run { what, sizes, of_inputs: all(inputs), of_state: all(state), bias }
    }

    /// The inputs step by step in the order taken: `(steps, batch, features)`.
    fn taken(&self, x: &[T]) -> Vec<T> {
        let Sizes { batch, steps, features, .. } = self.sizes;
        let mut taken = Vec::with_capacity(x.len());
        for at in 0..steps {
            let step = if self.what.backwards { steps - 1 - at } else { at };
            (0..batch)
                .for_each(|row| taken.extend_from_slice(&x[(row * steps + step) * features..][..features]));
        }
        taken
    }

    fn forward(&self, x: &[T]) -> Tape<T> {
        let Sizes { batch, steps, features, units, gates } = self.sizes;
        let (state, gate) = (self.sizes.state(), self.sizes.gate());
        let lstm = self.what.cell == Cell::Lstm;
        let gru = matches!(self.what.cell, Cell::Gru { .. });
        let keeps_before =
            [self.what.activation, self.what.recurrent_activation].into_iter().any(Activation::needs_input);
        let mut tape = Tape {
            states: vec![T::ZERO; (steps + 1) * state],
            before: vec![T::ZERO; if keeps_before { gates * gate } else { 0 }],
            gates: vec![T::ZERO; gates * gate],
            memory: vec![
                T::ZERO;
                if lstm {
                    (steps + 1) * state
                } else if gru {
                    gate
                } else {
                    0
                }
            ],
            active: vec![T::ZERO; if lstm { gate } else { 0 }],
        };
        let taken = self.taken(x);
        let inputs = Matrix::new(&taken, steps * batch, features);
        for ((nth, numbers), kernel) in tape.gates.chunks_exact_mut(gate).enumerate().zip(&self.of_inputs) {
            product_onto(numbers, &self.bias[0][nth * units..][..units], inputs, Right::Packed(kernel));
        }
        for at in 0..steps {
            match self.what.cell {
                Cell::Simple => self.simple_step(&mut tape, at),
                Cell::Lstm => self.lstm_step(&mut tape, at),
                Cell::Gru { reset_after } => self.gru_step(&mut tape, at, reset_after),
            }
        }
        tape
    }

    fn backward(&self, tape: &Tape<T>, x: &[T], gradient: &[T], wants_x: bool) -> [Option<Vec<T>>; 3] {
        let Sizes { batch, steps, features, units, gates } = self.sizes;
        let (state, gate) = (self.sizes.state(), self.sizes.gate());
        let gru = matches!(self.what.cell, Cell::Gru { .. });
        // The gradients of the state after this step, and of an LSTM's memory.
        let (mut of_state, mut of_memory) =
            (vec![T::ZERO; state], vec![T::ZERO; if self.what.cell == Cell::Lstm { state } else { 0 }]);
        if !self.what.sequences {
            of_state.copy_from_slice(gradient);
        }
        // Before the activations; for a GRU's last gate also that of the state's product.
        let mut of_gates = vec![T::ZERO; gates * gate];
        let mut of_products = vec![T::ZERO; if gru { gate } else { 0 }];
        for at in (0..steps).rev() {
            if self.what.sequences {
                for (row, of_state) in of_state.chunks_exact_mut(units).enumerate() {
                    of_state
                        .iter_mut()
                        .zip(&gradient[(row * steps + at) * units..][..units])
                        .for_each(|(sum, g)| *sum += *g);
                }
            }
            match self.what.cell {
                Cell::Simple => self.simple_back(tape, at, &mut of_state, &mut of_gates),
                Cell::Lstm => self.lstm_back(tape, at, &mut of_state, &mut of_memory, &mut of_gates),
                Cell::Gru { reset_after } => {
                    let of_product = &mut of_products[at * state..][..state];
                    self.gru_back(tape, at, reset_after, &mut of_state, &mut of_gates, of_product);
                }
            }
            // The gradient of a long sequence's start vanishes.
            keep(&mut of_state);
            keep(&mut of_memory);
        }
        let taken = self.taken(x);
        let inputs = Matrix::new(&taken, steps * batch, features);
        let rows = gates * units;
        let of_x = wants_x.then(|| self.of_inputs(&of_gates));
        let (mut of_kernel, mut of_bias) =
            (vec![T::ZERO; (features + units) * rows], vec![T::ZERO; 2 * rows]);
        for (nth, of_gate) in of_gates.chunks_exact(gate).enumerate() {
            let of_product = if gru && nth == 2 { &of_products[..] } else { of_gate };
            let reset: Vec<T>;
            let states = match self.what.cell {
                Cell::Gru { reset_after: false } if nth == 2 => {
                    // The product was with the state after its reset.
                    reset =
                        tape.states.iter().zip(&tape.gates[gate..2 * gate]).map(|(h, r)| *h * *r).collect();
                    &reset[..]
                }
                _ => &tape.states[..gate],
            };
            let of_gate_matrix = Matrix::new(of_gate, steps * batch, units);
            let of_inputs = product(inputs.t(), of_gate_matrix);
            let of_state = product(
                Matrix::new(states, steps * batch, units).t(),
                Matrix::new(of_product, steps * batch, units),
            );
            let both = of_inputs.chunks_exact(units).chain(of_state.chunks_exact(units));
            for (row, from) in of_kernel.chunks_exact_mut(rows).zip(both) {
                row[nth * units..][..units].copy_from_slice(from);
            }
            let (first, second) = of_bias.split_at_mut(rows);
            add_columns(&mut first[nth * units..][..units], of_gate);
            if self.what.cell == (Cell::Gru { reset_after: true }) {
                add_columns(&mut second[nth * units..][..units], of_product);
            }
        }
        [of_x, Some(of_kernel), Some(of_bias)]
    }

    /// The gradient of the inputs, `(batch, steps, features)`.
    fn of_inputs(&self, of_gates: &[T]) -> Vec<T> {
        let Sizes { batch, steps, features, units, .. } = self.sizes;
        let mut taken = vec![T::ZERO; steps * batch * features];
        for (of_gate, kernel) in of_gates.chunks_exact(self.sizes.gate()).zip(&self.of_inputs) {
            add_product_with(&mut taken, Matrix::new(of_gate, steps * batch, units), kernel);
        }
        if self.what.backwards {
            let steps: Vec<&[T]> = taken.chunks_exact(batch * features).rev().collect();
            return turned(&steps.concat(), self.sizes.steps, batch, features);
        }
        turned(&taken, steps, batch, features)
    }

    /// Adds the product of a state with the kernel of a gate to `out`.
    fn add_state(&self, out: &mut [T], state: &[T], gate: usize) {
        let Sizes { batch, units, .. } = self.sizes;
        add_product_with(out, Matrix::new(state, batch, units), &self.of_state[gate]);
    }

    /// Adds to the gradient of a state what comes through its product with the kernel of a gate.
    fn add_back(&self, of_state: &mut [T], of_gate: &[T], gate: usize) {
        let Sizes { batch, units, .. } = self.sizes;
        add_product_with(of_state, Matrix::new(of_gate, batch, units), &self.of_state[gate]);
    }

    /// The parts of `gates`, in the layout of [`Tape::gates`], at a step: one for each gate.
    fn at_step<'g, const G: usize>(&self, gates: &'g mut [T], at: usize) -> [&'g mut [T]; G] {
        let state = self.sizes.state();
        let mut pieces =
            gates.chunks_exact_mut(self.sizes.gate()).map(|gate| &mut gate[at * state..][..state]);
        std::array::from_fn(|_| pieces.next().expect("there are as many gates as the cell has"))
    }

    /// The range of gate number `gate` at a step, in the layout of [`Tape::gates`].
    fn place(&self, gate: usize, at: usize) -> std::ops::Range<usize> {
        let start = gate * self.sizes.gate() + at * self.sizes.state();
        start..start + self.sizes.state()
    }

    /// Applies the activation of gate number `gate` at a step, whose sums are complete.
    fn activate(&self, tape: &mut Tape<T>, gate: usize, at: usize, activation: Activation) {
        let place = self.place(gate, at);
        if let Some(before) = tape.before.get_mut(place.clone()) {
            before.copy_from_slice(&tape.gates[place.clone()]);
        }
        activate(activation, &mut tape.gates[place], self.sizes.units);
    }

    /// Takes the gradient of gate number `gate` at a step through its activation.
    fn activate_back(
        &self,
        tape: &Tape<T>,
        gate: usize,
        at: usize,
        activation: Activation,
        of_gate: &mut [T],
    ) {
        let place = self.place(gate, at);
        let before = tape.before.get(place.clone()).unwrap_or_default();
        activation_gradient(activation, before, &tape.gates[place], of_gate, self.sizes.units);
    }
}

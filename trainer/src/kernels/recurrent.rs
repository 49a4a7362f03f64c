//! Recurrent layers: all steps in one operation, and back through them.
//!
//! What the inputs add to the gates at every step comes as one product from outside, so that only the state's products are left to the steps. Numbers
//! lie gate by gate, `(gate, batch, units)`, so that activations run over one piece of memory; a [`Tape`] keeps them for the way back.

mod gru;
mod lstm;
mod simple;

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};
use hpo::network::Activation;

use super::dense::add_columns;
use super::product::{Matrix, Packed, add_product_with, product};
use super::real::Real;
use super::{slice, tensor_like, values, with_real};

/// What runs at each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell {
    /// `h = activation(z + h U)`.
    Simple,
    /// Gates i, f, c and o (Hochreiter and Schmidhuber 1997, with forget gates).
    Lstm,
    /// Gates z, r and h (Cho et al. 2014); the reset gate acts before the product with the state, or after it.
    Gru {
        /// After it.
        reset_after: bool,
    },
}

/// How a recurrent layer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recurrence {
    /// What runs at each step.
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

/// The states of a recurrent layer on the CPU: `z (batch, steps, gates · units)` is what the inputs add, `kernel (units, gates · units)`,
/// `bias (gates · units)` what a GRU with `reset_after` adds to the state's product (others look at none) →
/// `(batch, units)`, or `(batch, steps, units)` in the order of the steps taken.
pub(crate) fn recurrence(z: &Tensor, kernel: &Tensor, bias: &Tensor, what: Recurrence) -> Result<Tensor> {
    z.contiguous()?.apply_op3(kernel, bias, Op { what, tape: OnceLock::new() })
}

/// The sizes of a run.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    batch: usize,
    steps: usize,
    units: usize,
    gates: usize,
}

impl Sizes {
    fn of(z: &[usize], units: usize) -> Sizes {
        Sizes { batch: z[0], steps: z[1], units, gates: z[2] / units }
    }

    /// Numbers of a state.
    fn state(&self) -> usize {
        self.batch * self.units
    }

    /// Numbers of all gates of a step.
    fn gates(&self) -> usize {
        self.gates * self.state()
    }
}

/// What the forward pass keeps, step by step in the order taken.
struct Tape<T> {
    /// The state before each step, and the last one after all: `(steps + 1, batch, units)`.
    states: Vec<T>,
    /// What went into the gates' activations, where their gradients need it: `(steps, gates, batch, units)`.
    before: Vec<T>,
    /// The gates: `(steps, gates, batch, units)`.
    gates: Vec<T>,
    /// The memory of an LSTM, as `states`; of a GRU the last gate's product with the state: `(steps, batch, units)`.
    memory: Vec<T>,
    /// Of an LSTM, the activation of its memory: `(steps, batch, units)`.
    active: Vec<T>,
}

/// Either type of a tape.
enum Kept {
    F32(Tape<f32>),
    F64(Tape<f64>),
}

/// A number whose tape can be kept.
trait Keep: Real {
    fn keep(tape: Tape<Self>) -> Kept;
    fn kept(kept: &Kept) -> Option<&Tape<Self>>;
}

impl Keep for f32 {
    fn keep(tape: Tape<f32>) -> Kept {
        Kept::F32(tape)
    }

    fn kept(kept: &Kept) -> Option<&Tape<f32>> {
        if let Kept::F32(tape) = kept { Some(tape) } else { None }
    }
}

impl Keep for f64 {
    fn keep(tape: Tape<f64>) -> Kept {
        Kept::F64(tape)
    }

    fn kept(kept: &Kept) -> Option<&Tape<f64>> {
        if let Kept::F64(tape) = kept { Some(tape) } else { None }
    }
}

struct Op {
    what: Recurrence,
    tape: OnceLock<Kept>,
}

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        "recurrence"
    }

    fn cpu_fwd(
        &self,
        z: &CpuStorage,
        lz: &Layout,
        k: &CpuStorage,
        lk: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = Sizes::of(lz.dims(), lk.dims()[0]);
        let Sizes { batch, steps, units, .. } = sizes;
        with_real!(z, T => {
            let run = Run::new(self.what, sizes, slice::<T>(k, lk)?, slice::<T>(b, lb)?, Way::There);
            let tape = run.forward(slice::<T>(z, lz)?);
            let (y, shape) = if self.what.sequences {
                (turned(&tape.states[sizes.state()..], steps, batch, units), Shape::from((batch, steps, units)))
            } else {
                (tape.states[steps * sizes.state()..].to_vec(), Shape::from((batch, units)))
            };
            let _ = self.tape.set(T::keep(tape)); // it is the first: an operation runs once
            Ok((T::to_cpu_storage_owned(y), shape))
        })
    }

    fn bwd(
        &self,
        z: &Tensor,
        kernel: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sizes = Sizes::of(z.dims(), kernel.dims()[0]);
        let gradient = gradient.contiguous()?;
        let (ks, bs, gs) = (kernel.storage_and_layout(), bias.storage_and_layout(), gradient.storage_and_layout());
        with_real!(z, T => {
            let Some(tape) = self.tape.get().and_then(T::kept) else { bail!("no forward pass before this backward pass") };
            let run = Run::new(self.what, sizes, values::<T>(&ks)?, values::<T>(&bs)?, Way::Back);
            let Gradients { of_z, of_kernel, of_bias } = run.backward(tape, values(&gs)?);
            let of_bias = if bias.track_op() { Some(tensor_like(of_bias, bias)?) } else { None };
            Ok((Some(tensor_like(of_z, z)?), Some(tensor_like(of_kernel, kernel)?), of_bias))
        })
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

struct Gradients<T> {
    of_z: Vec<T>,
    of_kernel: Vec<T>,
    of_bias: Vec<T>,
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
    /// The kernel, gate by gate, each `(units, units)`; transposed on the way back.
    kernels: Vec<Packed<T>>,
    /// What is added to the state's products, as a row of gates.
    bias: &'a [T],
}

impl<'a, T: Real> Run<'a, T> {
    fn new(what: Recurrence, sizes: Sizes, kernel: &[T], bias: &'a [T], way: Way) -> Run<'a, T> {
        let Sizes { units, gates, .. } = sizes;
        let of_gate = |gate: usize| {
            let mut numbers = Vec::with_capacity(units * units);
            kernel.chunks_exact(gates * units).for_each(|row| numbers.extend_from_slice(&row[gate * units..][..units]));
            let of_gate = Matrix::new(&numbers, units, units);
            Packed::new(if way == Way::Back { of_gate.t() } else { of_gate })
        };
        Run { what, sizes, kernels: (0..gates).map(of_gate).collect(), bias }
    }

    /// The step of the input that is taken as number `at`.
    fn step(&self, at: usize) -> usize {
        if self.what.backwards { self.sizes.steps - 1 - at } else { at }
    }

    fn forward(&self, z: &[T]) -> Tape<T> {
        let Sizes { batch, steps, units, gates } = self.sizes;
        let state = self.sizes.state();
        let lstm = self.what.cell == Cell::Lstm;
        let gru = matches!(self.what.cell, Cell::Gru { .. });
        let keeps_before = [self.what.activation, self.what.recurrent_activation].into_iter().any(super::activation::needs_input);
        let mut tape = Tape {
            states: vec![T::ZERO; (steps + 1) * state],
            before: vec![T::ZERO; if keeps_before { steps * self.sizes.gates() } else { 0 }],
            gates: vec![T::ZERO; steps * self.sizes.gates()],
            memory: vec![
                T::ZERO;
                if lstm {
                    (steps + 1) * state
                } else if gru {
                    steps * state
                } else {
                    0
                }
            ],
            active: vec![T::ZERO; if lstm { steps * state } else { 0 }],
        };
        for at in 0..steps {
            let of_step = &mut tape.gates[at * self.sizes.gates()..][..self.sizes.gates()];
            for row in 0..batch {
                let from = &z[(row * steps + self.step(at)) * gates * units..][..gates * units];
                (0..gates).for_each(|gate| of_step[gate * state + row * units..][..units].copy_from_slice(&from[gate * units..][..units]));
            }
            match self.what.cell {
                Cell::Simple => self.simple_step(&mut tape, at),
                Cell::Lstm => self.lstm_step(&mut tape, at),
                Cell::Gru { reset_after } => self.gru_step(&mut tape, at, reset_after),
            }
        }
        tape
    }

    fn backward(&self, tape: &Tape<T>, gradient: &[T]) -> Gradients<T> {
        let Sizes { batch, steps, units, gates } = self.sizes;
        let state = self.sizes.state();
        let mut found = Gradients {
            of_z: vec![T::ZERO; batch * steps * gates * units],
            of_kernel: vec![T::ZERO; units * gates * units],
            of_bias: vec![T::ZERO; gates * units],
        };
        // Of the state after the step at hand, and of an LSTM's memory.
        let (mut of_state, mut of_memory) = (vec![T::ZERO; state], vec![T::ZERO; if self.what.cell == Cell::Lstm { state } else { 0 }]);
        if !self.what.sequences {
            of_state.copy_from_slice(gradient);
        }
        // The gates' gradients of all steps, for one product at the end: `(gates, steps, batch, units)`. Of a GRU, those of the state's products beside them.
        let mut of_gates = vec![T::ZERO; gates * steps * state];
        let mut of_products = vec![T::ZERO; if matches!(self.what.cell, Cell::Gru { .. }) { steps * state } else { 0 }];
        let mut of_step = vec![T::ZERO; self.sizes.gates()];
        for at in (0..steps).rev() {
            if self.what.sequences {
                for (row, of_state) in of_state.chunks_exact_mut(units).enumerate() {
                    of_state.iter_mut().zip(&gradient[(row * steps + at) * units..][..units]).for_each(|(sum, g)| *sum += *g);
                }
            }
            match self.what.cell {
                Cell::Simple => self.simple_back(tape, at, &mut of_state, &mut of_step),
                Cell::Lstm => self.lstm_back(tape, at, &mut of_state, &mut of_memory, &mut of_step),
                Cell::Gru { reset_after } => {
                    let of_product = &mut of_products[at * state..][..state];
                    self.gru_back(tape, at, reset_after, &mut of_state, &mut of_step, of_product);
                }
            }
            for gate in 0..gates {
                of_gates[(gate * steps + at) * state..][..state].copy_from_slice(&of_step[gate * state..][..state]);
            }
        }
        for (row, of_row) in found.of_z.chunks_exact_mut(steps * gates * units).enumerate() {
            for at in 0..steps {
                let of_step = &mut of_row[self.step(at) * gates * units..][..gates * units];
                for gate in 0..gates {
                    let from = &of_gates[((gate * steps + at) * batch + row) * units..][..units];
                    of_step[gate * units..][..units].copy_from_slice(from);
                }
            }
        }
        for gate in 0..gates {
            let is_last_of_gru = gate == 2 && matches!(self.what.cell, Cell::Gru { .. });
            let of_gate = if is_last_of_gru { &of_products[..] } else { &of_gates[gate * steps * state..][..steps * state] };
            let reset: Vec<T>;
            let states = match self.what.cell {
                Cell::Gru { reset_after: false } if gate == 2 => {
                    // The product was with the state after its reset.
                    let resets = tape.gates.chunks_exact(3 * state).flat_map(|gates| &gates[state..2 * state]);
                    reset = tape.states.iter().zip(resets).map(|(h, r)| *h * *r).collect();
                    &reset[..]
                }
                _ => &tape.states[..steps * state],
            };
            let of_kernel = product(Matrix::new(states, steps * batch, units).t(), Matrix::new(of_gate, steps * batch, units));
            for (row, from) in found.of_kernel.chunks_exact_mut(gates * units).zip(of_kernel.chunks_exact(units)) {
                row[gate * units..][..units].copy_from_slice(from);
            }
            add_columns(&mut found.of_bias[gate * units..][..units], of_gate);
        }
        found
    }

    /// Adds the product of a state with the kernel of a gate to `out`.
    fn add_state(&self, out: &mut [T], state: &[T], gate: usize) {
        let Sizes { batch, units, .. } = self.sizes;
        add_product_with(out, Matrix::new(state, batch, units), &self.kernels[gate]);
    }

    /// Adds to the gradient of a state what comes through its product with the kernel of a gate.
    fn add_back(&self, of_state: &mut [T], of_gate: &[T], gate: usize) {
        let Sizes { batch, units, .. } = self.sizes;
        add_product_with(of_state, Matrix::new(of_gate, batch, units), &self.kernels[gate]);
    }
}

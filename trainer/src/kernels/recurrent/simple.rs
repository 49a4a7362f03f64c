//! A step of a SimpleRNN: `h' = activation(x W + b + h U)`.

use super::super::real::Real;
use super::{Run, Tape};

impl<T: Real> Run<'_, T> {
    pub(super) fn simple_step(&self, tape: &mut Tape<T>, at: usize) {
        let state = self.sizes.state();
        self.add_state(&mut tape.gates[at * state..][..state], &tape.states[at * state..][..state], 0);
        self.activate(tape, 0, at, self.what.activation);
        tape.states[(at + 1) * state..][..state].copy_from_slice(&tape.gates[at * state..][..state]);
    }

    pub(super) fn simple_back(&self, tape: &Tape<T>, at: usize, of_state: &mut [T], of_gates: &mut [T]) {
        let [of_gate] = self.at_step(of_gates, at);
        of_gate.copy_from_slice(of_state);
        self.activate_back(tape, 0, at, self.what.activation, of_gate);
        of_state.fill(T::ZERO);
        self.add_back(of_state, of_gate, 0);
    }
}

//! A step of a SimpleRNN: `h' = activation(z + h U)`.

use super::super::activation::{activate, activation_gradient};
use super::super::real::Real;
use super::{Run, Tape};

impl<T: Real> Run<'_, T> {
    pub(super) fn simple_step(&self, tape: &mut Tape<T>, at: usize) {
        let state = self.sizes.state();
        let gate = &mut tape.gates[at * state..][..state];
        self.add_state(gate, &tape.states[at * state..][..state], 0);
        if let Some(before) = tape.before.get_mut(at * state..(at + 1) * state) {
            before.copy_from_slice(gate);
        }
        activate(self.what.activation, gate, self.sizes.units);
        tape.states[(at + 1) * state..][..state].copy_from_slice(gate);
    }

    pub(super) fn simple_back(&self, tape: &Tape<T>, at: usize, of_state: &mut Vec<T>, of_step: &mut [T]) {
        let state = self.sizes.state();
        let before = tape.before.get(at * state..(at + 1) * state).unwrap_or_default();
        of_step.copy_from_slice(of_state);
        activation_gradient(self.what.activation, before, &tape.gates[at * state..][..state], of_step, self.sizes.units);
        of_state.fill(T::ZERO);
        self.add_back(of_state, of_step, 0);
    }
}

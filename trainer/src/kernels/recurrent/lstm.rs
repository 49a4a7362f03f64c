//! A step of an LSTM with Keras's gates i, f, c and o: `c' = f c + i g`, `h' = o activation(c')`.

use hpo::network::Activation;

use super::super::activation::{activate, activation_gradient};
use super::super::real::Real;
use super::super::vectorised;
use super::{Run, Tape};

impl<T: Real> Run<'_, T> {
    /// The activations of the gates; the candidate for the memory has another.
    fn of_lstm(&self) -> [Activation; 4] {
        let recurrent = self.what.recurrent_activation;
        [recurrent, recurrent, self.what.activation, recurrent]
    }

    pub(super) fn lstm_step(&self, tape: &mut Tape<T>, at: usize) {
        let state = self.sizes.state();
        for (gate, activation) in self.of_lstm().into_iter().enumerate() {
            self.add_state(&mut tape.gates[self.place(gate, at)], &tape.states[at * state..][..state], gate);
            self.activate(tape, gate, at, activation);
        }
        let [i, f, g, o] = self.at_step(&mut tape.gates, at);
        let (old, new) = tape.memory[at * state..][..2 * state].split_at_mut(state);
        remember(new, old, i, f, g);
        let active = &mut tape.active[at * state..][..state];
        active.copy_from_slice(new);
        activate(self.what.activation, active, self.sizes.units);
        let next = &mut tape.states[(at + 1) * state..][..state];
        next.iter_mut().zip(active.iter()).zip(o.iter()).for_each(|((h, active), o)| *h = *o * *active);
    }

    pub(super) fn lstm_back(
        &self,
        tape: &Tape<T>,
        at: usize,
        of_state: &mut [T],
        of_memory: &mut [T],
        of_gates: &mut [T],
    ) {
        let state = self.sizes.state();
        let [i, f, g, o] = [0, 1, 2, 3].map(|gate| &tape.gates[self.place(gate, at)]);
        let active = &tape.active[at * state..][..state];
        let (old, new) = tape.memory[at * state..][..2 * state].split_at(state);
        let mut of = self.at_step::<4>(of_gates, at);
        // The gradient that reaches the memory through its activation is kept in the place of the
        // forget gate for a moment.
        let through = &mut *of[1];
        through.iter_mut().zip(of_state.iter()).zip(o).for_each(|((through, g), o)| *through = *g * *o);
        activation_gradient(self.what.activation, new, active, through, self.sizes.units);
        of_memory.iter_mut().zip(through.iter()).for_each(|(of_memory, through)| *of_memory += *through);
        let [of_i, of_f, of_g, of_o] = &mut of;
        of_taken(of_memory, i, g, of_i, of_g);
        of_kept(of_memory, f, old, of_f);
        of_o.iter_mut().zip(of_state.iter()).zip(active).for_each(|((of_o, g), active)| *of_o = *g * *active);
        of_state.fill(T::ZERO);
        for ((gate, of_gate), activation) in of.into_iter().enumerate().zip(self.of_lstm()) {
            self.activate_back(tape, gate, at, activation, of_gate);
            self.add_back(of_state, of_gate, gate);
        }
    }
}

vectorised! {
    /// `new = f old + i g`.
    fn remember<T: Real>(new: &mut [T], old: &[T], i: &[T], f: &[T], g: &[T]) {
        for ((((new, old), i), f), g) in new.iter_mut().zip(old).zip(i).zip(f).zip(g) {
            *new = *f * *old + *i * *g;
        }
    }
}

vectorised! {
    /// The gradients of `i g`, which the memory takes in.
    fn of_taken<T: Real>(of_memory: &[T], i: &[T], g: &[T], of_i: &mut [T], of_g: &mut [T]) {
        for ((((of_memory, i), g), of_i), of_g) in of_memory.iter().zip(i).zip(g).zip(of_i).zip(of_g) {
            *of_i = *of_memory * *g;
            *of_g = *of_memory * *i;
        }
    }
}

vectorised! {
    /// The gradient of `f old`, which the memory keeps; the gradient of the memory becomes that before
    /// the step.
    fn of_kept<T: Real>(of_memory: &mut [T], f: &[T], old: &[T], of_f: &mut [T]) {
        for (((of_memory, f), old), of_f) in of_memory.iter_mut().zip(f).zip(old).zip(of_f) {
            *of_f = *of_memory * *old;
            *of_memory *= *f;
        }
    }
}

//! A step of an LSTM with Keras's gates i, f, c and o: `c' = f c + i g`, `h' = o activation(c')`.

use super::super::activation::{activate, activation_gradient};
use super::super::real::Real;
use super::super::vectorised;
use super::{Run, Tape};

/// Where the gates lie: the one in the middle, what the memory takes in, has the other activation.
const IN: usize = 0;
const FORGET: usize = 1;
const TAKEN: usize = 2;
const OUT: usize = 3;

impl<T: Real> Run<'_, T> {
    pub(super) fn lstm_step(&self, tape: &mut Tape<T>, at: usize) {
        let (state, units, all) = (self.sizes.state(), self.sizes.units, self.sizes.gates());
        let gates = &mut tape.gates[at * all..][..all];
        for (gate, numbers) in gates.chunks_exact_mut(state).enumerate() {
            self.add_state(numbers, &tape.states[at * state..][..state], gate);
        }
        if let Some(before) = tape.before.get_mut(at * all..(at + 1) * all) {
            before.copy_from_slice(gates);
        }
        activate(self.what.recurrent_activation, &mut gates[..TAKEN * state], units);
        activate(self.what.activation, &mut gates[TAKEN * state..OUT * state], units);
        activate(self.what.recurrent_activation, &mut gates[OUT * state..], units);
        let (old, new) = tape.memory[at * state..][..2 * state].split_at_mut(state);
        remember(new, old, gates);
        let active = &mut tape.active[at * state..][..state];
        active.copy_from_slice(new);
        activate(self.what.activation, active, units);
        let next = &mut tape.states[(at + 1) * state..][..state];
        next.iter_mut().zip(active.iter()).zip(&gates[OUT * state..]).for_each(|((h, active), out)| *h = *out * *active);
    }

    pub(super) fn lstm_back(&self, tape: &Tape<T>, at: usize, of_state: &mut [T], of_memory: &mut [T], of_step: &mut [T]) {
        let (state, units, all) = (self.sizes.state(), self.sizes.units, self.sizes.gates());
        let gates = &tape.gates[at * all..][..all];
        let active = &tape.active[at * state..][..state];
        let (old, new) = tape.memory[at * state..][..2 * state].split_at(state);
        // What reaches the memory through its activation lies in the place of the forget gate for a moment.
        let through = &mut of_step[FORGET * state..][..state];
        through.iter_mut().zip(of_state.iter()).zip(&gates[OUT * state..]).for_each(|((through, g), out)| *through = *g * *out);
        activation_gradient(self.what.activation, new, active, through, units);
        of_memory.iter_mut().zip(through.iter()).for_each(|(of_memory, through)| *of_memory += *through);
        of_gates(of_step, of_memory, of_state, gates, active, old);
        let before = tape.before.get(at * all..(at + 1) * all).unwrap_or_default();
        let part = |range: std::ops::Range<usize>| before.get(range).unwrap_or_default();
        let recurrent = self.what.recurrent_activation;
        activation_gradient(recurrent, part(0..TAKEN * state), &gates[..TAKEN * state], &mut of_step[..TAKEN * state], units);
        let taken = TAKEN * state..OUT * state;
        activation_gradient(self.what.activation, part(taken.clone()), &gates[taken.clone()], &mut of_step[taken], units);
        activation_gradient(recurrent, part(OUT * state..all), &gates[OUT * state..], &mut of_step[OUT * state..], units);
        of_state.fill(T::ZERO);
        for (gate, of_gate) in of_step.chunks_exact(state).enumerate() {
            self.add_back(of_state, of_gate, gate);
        }
    }
}

vectorised! {
    /// `new = f old + i g`.
    fn remember<T: Real>(new: &mut [T], old: &[T], gates: &[T]) {
        let state = new.len();
        let ([taken_in, forget, taken], _) = three(gates, state);
        for i in 0..state {
            new[i] = forget[i] * old[i] + taken_in[i] * taken[i];
        }
    }
}

vectorised! {
    /// The gates' gradients before their activations; that of the memory becomes the one before the step.
    fn of_gates<T: Real>(of_step: &mut [T], of_memory: &mut [T], of_state: &[T], gates: &[T], active: &[T], old: &[T]) {
        let state = of_memory.len();
        let ([taken_in, forget, taken], _) = three(gates, state);
        let (of_in, rest) = of_step.split_at_mut(state);
        let (of_forget, rest) = rest.split_at_mut(state);
        let (of_taken, of_out) = rest.split_at_mut(state);
        for i in 0..state {
            let g = of_memory[i];
            of_in[i] = g * taken[i];
            of_forget[i] = g * old[i];
            of_taken[i] = g * taken_in[i];
            of_out[i] = of_state[i] * active[i];
            of_memory[i] = g * forget[i];
        }
    }
}

/// The first three of four gates, and the last.
#[inline(always)]
fn three<T>(gates: &[T], state: usize) -> ([&[T]; 3], &[T]) {
    ([IN, FORGET, TAKEN].map(|gate| &gates[gate * state..][..state]), &gates[OUT * state..][..state])
}

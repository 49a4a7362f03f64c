//! A step of a GRU with Keras's gates z, r and h: `h' = z h + (1 - z) g`.
//!
//! The candidate state is `g = activation(x + r (h U + b))` with `reset_after`, as in cuDNN,
//! otherwise `activation(x + (r h) U)`, as first published.

use super::super::real::Real;
use super::{Run, Tape};

impl<T: Real> Run<'_, T> {
    pub(super) fn gru_step(&self, tape: &mut Tape<T>, at: usize, reset_after: bool) {
        let (state, units) = (self.sizes.state(), self.sizes.units);
        for gate in [0, 1] {
            let numbers = &mut tape.gates[self.place(gate, at)];
            if reset_after {
                let bias = &self.bias[1][gate * units..][..units];
                numbers
                    .chunks_exact_mut(units)
                    .for_each(|row| row.iter_mut().zip(bias).for_each(|(x, b)| *x += *b));
            }
            self.add_state(numbers, &tape.states[at * state..][..state], gate);
            self.activate(tape, gate, at, self.what.recurrent_activation);
        }
        let [_, r, g] = self.at_step(&mut tape.gates, at);
        let h = &tape.states[at * state..][..state];
        if reset_after {
            let product = &mut tape.memory[at * state..][..state];
            let bias = &self.bias[1][2 * units..][..units];
            product.chunks_exact_mut(units).for_each(|row| row.copy_from_slice(bias));
            self.add_state(product, h, 2);
            g.iter_mut().zip(r).zip(product.iter()).for_each(|((g, r), product)| *g += *r * *product);
        } else {
            let reset: Vec<T> = h.iter().zip(r).map(|(h, r)| *h * *r).collect();
            self.add_state(g, &reset, 2);
        }
        self.activate(tape, 2, at, self.what.activation);
        let [z, _, g] = self.at_step(&mut tape.gates, at);
        let (h, next) = tape.states[at * state..][..2 * state].split_at_mut(state);
        for (((next, h), z), g) in next.iter_mut().zip(h).zip(z).zip(g) {
            *next = *z * *h + (T::ONE - *z) * *g;
        }
    }

    /// The gradients of the gates before their activations go to `of_gates`, that of the last
    /// gate's product with the state to `of_product`.
    pub(super) fn gru_back(
        &self,
        tape: &Tape<T>,
        at: usize,
        reset_after: bool,
        of_state: &mut [T],
        of_gates: &mut [T],
        of_product: &mut [T],
    ) {
        let state = self.sizes.state();
        let h = &tape.states[at * state..][..state];
        let [z, r, g] = [0, 1, 2].map(|gate| &tape.gates[self.place(gate, at)]);
        let [of_z, of_r, of_g] = self.at_step(of_gates, at);
        let mut of_h = vec![T::ZERO; state];
        for i in 0..state {
            of_h[i] = of_state[i] * z[i];
            of_z[i] = of_state[i] * (h[i] - g[i]);
            of_g[i] = of_state[i] * (T::ONE - z[i]);
        }
        self.activate_back(tape, 2, at, self.what.activation, of_g);
        if reset_after {
            let product = &tape.memory[at * state..][..state];
            for i in 0..state {
                of_r[i] = of_g[i] * product[i];
                of_product[i] = of_g[i] * r[i];
            }
            self.add_back(&mut of_h, of_product, 2);
        } else {
            of_product.copy_from_slice(of_g);
            let mut of_reset = vec![T::ZERO; state];
            self.add_back(&mut of_reset, of_g, 2);
            for i in 0..state {
                of_r[i] = of_reset[i] * h[i];
                of_h[i] += of_reset[i] * r[i];
            }
        }
        for (gate, of_gate) in [of_z, of_r].into_iter().enumerate() {
            self.activate_back(tape, gate, at, self.what.recurrent_activation, of_gate);
            self.add_back(&mut of_h, of_gate, gate);
        }
        of_state.copy_from_slice(&of_h);
    }
}

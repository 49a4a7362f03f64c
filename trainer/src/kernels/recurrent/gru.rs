//! A step of a GRU with Keras's gates z, r and h: `h' = z h + (1 - z) g`.
//!
//! What the state may become is `g = activation(x + r (h U + b))` with `reset_after`, as cuDNN has it, else `activation(x + (r h) U)`, as first published.

use super::super::activation::{activate, activation_gradient};
use super::super::real::Real;
use super::{Run, Tape};

impl<T: Real> Run<'_, T> {
    pub(super) fn gru_step(&self, tape: &mut Tape<T>, at: usize, reset_after: bool) {
        let (state, units, all) = (self.sizes.state(), self.sizes.units, self.sizes.gates());
        let (h, next) = tape.states[at * state..][..2 * state].split_at_mut(state);
        let gates = &mut tape.gates[at * all..][..all];
        let (zr, g) = gates.split_at_mut(2 * state);
        if reset_after {
            for (gate, numbers) in zr.chunks_exact_mut(state).enumerate() {
                let bias = &self.bias[gate * units..][..units];
                numbers.chunks_exact_mut(units).for_each(|row| row.iter_mut().zip(bias).for_each(|(x, b)| *x += *b));
            }
        }
        for (gate, numbers) in zr.chunks_exact_mut(state).enumerate() {
            self.add_state(numbers, h, gate);
        }
        let keeps = !tape.before.is_empty();
        if keeps {
            tape.before[at * all..][..2 * state].copy_from_slice(zr);
        }
        activate(self.what.recurrent_activation, zr, units);
        let (z, r) = zr.split_at(state);
        let product = &mut tape.memory[at * state..][..state];
        if reset_after {
            let bias = &self.bias[2 * units..][..units];
            product.chunks_exact_mut(units).for_each(|row| row.copy_from_slice(bias));
            self.add_state(product, h, 2);
            g.iter_mut().zip(r).zip(product.iter()).for_each(|((g, r), product)| *g += *r * *product);
        } else {
            let reset: Vec<T> = h.iter().zip(r).map(|(h, r)| *h * *r).collect();
            self.add_state(g, &reset, 2);
        }
        if keeps {
            tape.before[at * all + 2 * state..][..state].copy_from_slice(g);
        }
        activate(self.what.activation, g, units);
        for i in 0..state {
            next[i] = z[i] * h[i] + (T::ONE - z[i]) * g[i];
        }
    }

    /// The gradients of the gates before their activations go to `of_step`, that of the last gate's product with the state to `of_product`.
    pub(super) fn gru_back(
        &self,
        tape: &Tape<T>,
        at: usize,
        reset_after: bool,
        of_state: &mut Vec<T>,
        of_step: &mut [T],
        of_product: &mut [T],
    ) {
        let (state, units, all) = (self.sizes.state(), self.sizes.units, self.sizes.gates());
        let h = &tape.states[at * state..][..state];
        let gates = &tape.gates[at * all..][..all];
        let (z, r, g) = (&gates[..state], &gates[state..2 * state], &gates[2 * state..]);
        let before = tape.before.get(at * all..(at + 1) * all).unwrap_or_default();
        let part = |range: std::ops::Range<usize>| before.get(range).unwrap_or_default();
        let mut of_h = vec![T::ZERO; state];
        let (of_zr, of_g) = of_step.split_at_mut(2 * state);
        for i in 0..state {
            of_h[i] = of_state[i] * z[i];
            of_zr[i] = of_state[i] * (h[i] - g[i]);
            of_g[i] = of_state[i] * (T::ONE - z[i]);
        }
        activation_gradient(self.what.activation, part(2 * state..all), g, of_g, units);
        let of_r = &mut of_zr[state..];
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
        activation_gradient(self.what.recurrent_activation, part(0..2 * state), &gates[..2 * state], of_zr, units);
        for (gate, of_gate) in of_zr.chunks_exact(state).enumerate() {
            self.add_back(&mut of_h, of_gate, gate);
        }
        of_state.copy_from_slice(&of_h);
    }
}

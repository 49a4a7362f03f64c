//! Recurrent layers step by step.

use candle_core::{D, Result, Tensor};

use hpo::network::Activation;

use super::{activation, dense};
use crate::kernels::recurrent::{Cell, Recurrence};

/// As [`crate::kernels::recurrent::recurrence`].
pub(in crate::engine) fn recurrence(
    x: &Tensor,
    kernel: &Tensor,
    bias: &Tensor,
    what: Recurrence,
) -> Result<Tensor> {
    let (batch, steps, features) = x.dims3()?;
    let units = kernel.dims()[1] / what.cell.gates();
    let (of_inputs, bias) = (bias.get(0)?, bias.get(1)?);
    let z = dense(x, &kernel.narrow(0, 0, features)?.contiguous()?, &of_inputs, Activation::Linear)?;
    let kernel = &kernel.narrow(0, features, units)?.contiguous()?;
    let mut h = Tensor::zeros((batch, units), z.dtype(), z.device())?;
    let mut memory = h.clone();
    let mut states = Vec::with_capacity(steps);
    let gate = |gates: &Tensor, index: usize| gates.narrow(D::Minus1, index * units, units)?.contiguous();
    let recurrent = |x: Tensor| activation(&x, what.recurrent_activation);
    for at in 0..steps {
        let x = z.narrow(1, if what.backwards { steps - 1 - at } else { at }, 1)?.squeeze(1)?;
        h = match what.cell {
            Cell::Simple => activation(&(x + h.matmul(kernel)?)?, what.activation)?,
            Cell::Lstm => {
                let gates = (x + h.matmul(kernel)?)?;
                let taken = (recurrent(gate(&gates, 0)?)? * activation(&gate(&gates, 2)?, what.activation)?)?;
                memory = ((recurrent(gate(&gates, 1)?)? * &memory)? + taken)?;
                (recurrent(gate(&gates, 3)?)? * activation(&memory, what.activation)?)?
            }
            Cell::Gru { reset_after } => {
                let products =
                    if reset_after { h.matmul(kernel)?.broadcast_add(&bias)? } else { h.matmul(kernel)? };
                let keep = recurrent((gate(&x, 0)? + gate(&products, 0)?)?)?;
                let reset = recurrent((gate(&x, 1)? + gate(&products, 1)?)?)?;
                let product = match reset_after {
                    true => (reset * gate(&products, 2)?)?,
                    false => (reset * &h)?.matmul(&gate(kernel, 2)?)?,
                };
                let new = activation(&(gate(&x, 2)? + product)?, what.activation)?;
                ((&keep * &h)? + ((1.0 - keep)? * new)?)?
            }
        };
        states.push(h.clone());
    }
    if what.sequences { Tensor::stack(&states, 1) } else { Ok(h) }
}

//! The backward pass, with the gradients of weights handed over without a copy.
//!
//! candle adds each gradient that an operation returns to zeros of its own, since another operation
//! may add more to it: for the kernel of a dense layer, a fifth of the step. A weight belongs to
//! one operation, so ours hand such gradients over beside candle's tape.

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};

thread_local! {
    /// Weights and their gradients, while [`backward`] runs on this thread.
    static HANDED: RefCell<Option<Vec<(Tensor, Tensor)>>> = const { RefCell::new(None) };
}

/// As [`Tensor::backward`].
pub(crate) fn backward(loss: &Tensor) -> Result<GradStore> {
    HANDED.set(Some(Vec::new()));
    let gradients = loss.backward();
    let handed = HANDED.take().unwrap_or_default();
    let mut gradients = gradients?;
    for (weight, gradient) in handed {
        let gradient = match gradients.remove(&weight) {
            Some(other) => (other + gradient)?,
            None => gradient,
        };
        gradients.insert(&weight, gradient);
    }
    Ok(gradients)
}

/// The gradient that an operation returns for one of its arguments; none if it was handed over.
pub(crate) fn hand_over(weight: &Tensor, gradient: Tensor) -> Option<Tensor> {
    HANDED.with_borrow_mut(|handed| match handed {
        Some(handed) if weight.is_variable() => {
            handed.push((weight.clone(), gradient));
            None
        }
        _ => Some(gradient),
    })
}

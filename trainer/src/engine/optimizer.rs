//! Moves weights along their gradients.

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, Result, Tensor, Var};
use hpo::training;

use crate::kernels::update::{InPlace, Update};

/// An optimiser and what it remembers of each weight.
pub(crate) struct Optimizer {
    rule: training::Optimizer,
    steps: u64,
    moments: Vec<Moments>,
}

/// `m` and `v` of one weight.
enum Moments {
    Cpu(RefCell<[CpuStorage; 2]>),
    Device([Tensor; 2]),
}

impl Optimizer {
    /// An optimiser of `weights` that has not moved them yet.
    pub(crate) fn new(rule: training::Optimizer, weights: &[Var], fused: bool) -> Result<Optimizer> {
        let needed = rule.slots() as usize;
        let moments = |weight: &Var| -> Result<Moments> {
            if !fused {
                return Ok(Moments::Device([weight.zeros_like()?, weight.zeros_like()?]));
            }
            let zeros = |slot| match (weight.dtype(), if slot < needed { weight.elem_count() } else { 0 }) {
                (DType::F64, count) => CpuStorage::F64(vec![0.0; count]),
                (_, count) => CpuStorage::F32(vec![0.0; count]),
            };
            Ok(Moments::Cpu(RefCell::new([zeros(0), zeros(1)])))
        };
        Ok(Optimizer { rule, steps: 0, moments: weights.iter().map(moments).collect::<Result<_>>()? })
    }

    /// One step of all weights, in place. A weight without a gradient stays.
    pub(crate) fn step(&mut self, weights: &[Var], gradients: &GradStore) -> Result<()> {
        self.steps += 1;
        let update = self.update();
        for (weight, moments) in weights.iter().zip(&mut self.moments) {
            let Some(gradient) = gradients.get(weight) else { continue };
            match moments {
                Moments::Cpu(moments) => weight.inplace_op2(&gradient.contiguous()?, &InPlace { update, moments })?,
                Moments::Device(moments) => composed(update, weight, gradient, moments)?,
            }
        }
        Ok(())
    }

    fn update(&self) -> Update {
        let t = self.steps as f64;
        match self.rule {
            training::Optimizer::Adam { learning_rate, beta_1, beta_2, epsilon } => {
                let alpha = learning_rate * (1.0 - libm::pow(beta_2, t)).sqrt() / (1.0 - libm::pow(beta_1, t));
                Update::Adam { alpha, beta_1, beta_2, epsilon }
            }
            training::Optimizer::Sgd { learning_rate, momentum } => Update::Sgd { learning_rate, momentum },
        }
    }
}

/// The same in candle's operations, for other devices.
fn composed(update: Update, weight: &Var, gradient: &Tensor, [m, v]: &mut [Tensor; 2]) -> Result<()> {
    match update {
        Update::Adam { alpha, beta_1, beta_2, epsilon } => {
            *m = (&*m + ((gradient - &*m)? * (1.0 - beta_1))?)?;
            *v = (&*v + ((gradient.sqr()? - &*v)? * (1.0 - beta_2))?)?;
            weight.set(&(weight.as_tensor() - ((&*m * alpha)? / (v.sqrt()? + epsilon)?)?)?)
        }
        Update::Sgd { learning_rate, momentum } => {
            *m = ((&*m * momentum)? - (gradient * learning_rate)?)?;
            weight.set(&(weight.as_tensor() + &*m)?)
        }
    }
}

//! Moves weights along their gradients: Keras's optimisers, with what regularisers, constraints and
//! averages add (<https://keras.io/api/optimizers/>, `keras/src/optimizers/base_optimizer.py`).

mod composed;
mod slots;
#[cfg(test)]
mod tests;

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor};
use hpo::network::Regularizer;
use hpo::training::{self, Clip, Ema, Rule, Schedule};

use self::slots::SlotVariables;
use super::ops::Ops;
use super::state::{Part, Read, read_like, read_scalar};
use super::weight::Weight;
use crate::kernels;
use crate::kernels::constraint::Constrain;
use crate::kernels::update::{Before, NOTHING, Update};

/// An optimiser and its slots for each weight.
pub(crate) struct Optimizer {
    recipe: training::Optimizer,
    ops: Ops,
    /// Steps taken.
    steps: u64,
    /// The product of Nadam's momentums of all steps taken.
    product: f64,
    /// The slots of each weight, as [`training::Optimizer::slots`] lists them.
    slots: Vec<SlotVariables>,
}

impl Optimizer {
    /// An optimiser of `weights` that has not moved them yet.
    pub(crate) fn new(recipe: training::Optimizer, weights: &[Weight], ops: Ops) -> Result<Optimizer> {
        let slots =
            weights.iter().map(|weight| SlotVariables::new(&recipe, weight, ops)).collect::<Result<_>>()?;
        Ok(Optimizer { recipe, ops, steps: 0, product: 1.0, slots })
    }

    /// One step of all weights, in place, as Keras's `apply`: gradients with those of the
    /// regularisers are clipped, weights decay, weights move, averages are updated, constraints are
    /// applied. Weights that have no gradient or are not trainable stay.
    pub(crate) fn step(&mut self, weights: &[Weight], gradients: &GradStore) -> Result<()> {
        let moved = || {
            let gradient =
                |(index, weight): (usize, &Weight)| Some((index, gradients.get(&weight.var)?.contiguous()));
            weights.iter().enumerate().filter(|(_, weight)| weight.trainable).filter_map(gradient)
        };
        let all = match self.recipe.clip {
            Some(Clip::GlobalNorm(bound)) => {
                let sums = moved().map(|(index, gradient)| self.squares(&weights[index], &gradient?));
                factor(sums.sum::<Result<f64>>()?.sqrt(), bound)
            }
            Some(Clip::Norm(_) | Clip::Value(_)) | None => 1.0,
        };
        let update = self.update();
        for (index, gradient) in moved() {
            let (weight, gradient) = (&weights[index], &gradient?);
            let mut before = Before {
                factor: all,
                decay: self.recipe.weight_decay.unwrap_or(0.0),
                rate: self.learning_rate(),
                ..penalized(weight)
            };
            match self.recipe.clip {
                Some(Clip::Norm(bound)) => {
                    before.factor = factor(self.squares(weight, gradient)?.sqrt(), bound)
                }
                Some(Clip::Value(bound)) => before.bound = bound,
                Some(Clip::GlobalNorm(_)) | None => {}
            }
            self.slots[index].step(update, before, &weight.var, gradient)?;
        }
        if let Rule::Nadam { beta_1, .. } = self.recipe.rule {
            self.product *= momentum(beta_1, self.steps + 1);
        }
        if let Some(ema) = self.recipe.ema {
            self.average(weights, ema)?;
        }
        for (index, _) in moved() {
            self.constrain(&weights[index])?;
        }
        self.steps += 1;
        Ok(())
    }

    /// The penalties of the regularisers.
    pub(crate) fn penalty(&self, weights: &[Weight]) -> Result<f64> {
        let penalties = weights
            .iter()
            .filter(|weight| weight.trainable)
            .filter_map(|weight| Some((weight, weight.regularizer?)));
        let penalties = penalties.map(|(weight, Regularizer { l1, l2 })| match self.ops {
            Ops::Kernels => kernels::sums::penalty(&weight.var, l1, l2),
            Ops::Composed => composed::penalty(&weight.var, l1, l2),
        });
        penalties.sum()
    }

    /// The learning rate of the next step.
    pub(crate) fn learning_rate(&self) -> f64 {
        self.recipe.learning_rate.at(self.steps)
    }

    /// Sets the learning rate if it is constant; a schedule goes on as it would.
    pub(crate) fn set_learning_rate(&mut self, rate: f64) {
        if self.recipe.learning_rate.is_constant() {
            self.recipe.learning_rate = Schedule::Constant(rate);
        }
    }

    /// Exchanges the weights with their averages, if there are any: before an evaluation, and back
    /// after it. At the end they stay, which is Keras's `finalize_variable_values`. Before the first
    /// step there is no average, and nothing happens.
    pub(crate) fn swap_averages(&mut self, weights: &[Weight]) -> Result<()> {
        if self.recipe.ema.is_none() || self.steps == 0 {
            return Ok(());
        }
        self.slots
            .iter_mut()
            .zip(weights)
            .filter(|(_, weight)| weight.trainable)
            .try_for_each(|(slots, weight)| slots.swap(&weight.var))
    }

    /// Its state: `optimizer.{slot}.{weight}` for each slot of each trainable weight, and scalars. Take
    /// it while the averages are not swapped in.
    pub(crate) fn state(&self, weights: &[Weight]) -> Result<Vec<Part<'_>>> {
        let scalar = |name: &str, number: f64| {
            Tensor::new(number, &Device::Cpu).map(|number| Part::of(name.to_owned(), &number))
        };
        let mut state = vec![Part::of(STEPS.to_owned(), &Tensor::new(self.steps as i64, &Device::Cpu)?)];
        if self.recipe.learning_rate.is_constant() {
            state.push(scalar(LEARNING_RATE, self.learning_rate())?);
        }
        if matches!(self.recipe.rule, Rule::Nadam { .. }) {
            state.push(scalar(PRODUCT, self.product)?);
        }
        for (weight, slots) in weights.iter().zip(&self.slots).filter(|(weight, _)| weight.trainable) {
            let kept = self.recipe.slots().into_iter().enumerate();
            state.extend(kept.map(|(index, slot)| slots.part(key(slot.name, weight), index, &weight.var)));
        }
        Ok(state)
    }

    /// Restores what [`Optimizer::state`] gave. An error names the tensor that is missing or differs in
    /// shape or type, and leaves the optimiser half restored.
    pub(crate) fn restore(&mut self, weights: &[Weight], read: &mut Read) -> Result<()> {
        let kept = self.recipe.slots();
        for (weight, slots) in weights.iter().zip(&mut self.slots).filter(|(weight, _)| weight.trainable) {
            for (index, slot) in kept.iter().enumerate() {
                slots.set(index, read_like(read, &key(slot.name, weight), &weight.var)?)?;
            }
        }
        self.steps = read_scalar::<i64>(read, STEPS)? as u64;
        if self.recipe.learning_rate.is_constant() {
            self.set_learning_rate(read_scalar(read, LEARNING_RATE)?);
        }
        if matches!(self.recipe.rule, Rule::Nadam { .. }) {
            self.product = read_scalar(read, PRODUCT)?;
        }
        Ok(())
    }

    /// The update of the next step, the same for every weight.
    fn update(&self) -> Update {
        let (step, rate) = (self.steps + 1, self.learning_rate());
        let left = |beta: f64| 1.0 - libm::pow(beta, step as f64);
        match self.recipe.rule {
            Rule::Sgd { momentum: 0.0, .. } => Update::Sgd { rate },
            Rule::Sgd { momentum, nesterov } => Update::Momentum { rate, momentum, nesterov },
            Rule::Rmsprop { rho, momentum, epsilon, centered } => {
                Update::Rmsprop { rate, rho, momentum, epsilon, centered }
            }
            Rule::Adam { beta_1, beta_2, epsilon, amsgrad }
            | Rule::AdamW { beta_1, beta_2, epsilon, amsgrad } => Update::Adam {
                alpha: rate * left(beta_2).sqrt() / left(beta_1),
                beta_1,
                beta_2,
                epsilon,
                amsgrad,
            },
            Rule::Nadam { beta_1, beta_2, epsilon } => {
                let (now, next) = (momentum(beta_1, step), momentum(beta_1, step + 1));
                let product = self.product * now;
                let (of_momentum, of_gradient) =
                    (next / (1.0 - product * next), (1.0 - now) / (1.0 - product));
                Update::Nadam {
                    rate,
                    of_momentum,
                    of_gradient,
                    of_velocity: 1.0 / left(beta_2),
                    beta_1,
                    beta_2,
                    epsilon,
                }
            }
            Rule::Adamax { beta_1, beta_2, epsilon } => {
                Update::Adamax { rate, correction: left(beta_1), beta_1, beta_2, epsilon }
            }
            Rule::Adagrad { epsilon, .. } => Update::Adagrad { rate, epsilon },
            Rule::Adadelta { rho, epsilon } => Update::Adadelta { rate, rho, epsilon },
            Rule::Lion { beta_1, beta_2 } => Update::Lion { rate, beta_1, beta_2 },
        }
    }

    /// The sum of squares of a weight's gradient with its regulariser's.
    fn squares(&self, weight: &Weight, gradient: &Tensor) -> Result<f64> {
        match self.ops {
            Ops::Kernels => kernels::sums::squares(&weight.var, gradient, penalized(weight)),
            Ops::Composed => composed::squares(&weight.var, gradient, penalized(weight)),
        }
    }

    /// Updates the averages. The first are the weights themselves.
    fn average(&mut self, weights: &[Weight], ema: Ema) -> Result<()> {
        let momentum = if self.steps == 0 { 0.0 } else { ema.momentum };
        let overwrites =
            ema.overwrite_frequency.is_some_and(|frequency| (self.steps + 1).is_multiple_of(frequency));
        for (weight, slots) in weights.iter().zip(&mut self.slots).filter(|(weight, _)| weight.trainable) {
            slots.average(&weight.var, momentum)?;
            if overwrites {
                slots.overwrite(&weight.var)?;
            }
        }
        Ok(())
    }

    fn constrain(&self, weight: &Weight) -> Result<()> {
        match (&weight.constraint, self.ops) {
            (None, _) => Ok(()),
            (Some(constraint), Ops::Kernels) => weight.var.inplace_op1(&Constrain(constraint)),
            (Some(constraint), Ops::Composed) => composed::constrain(&weight.var, constraint),
        }
    }
}

const STEPS: &str = "optimizer.steps";
const LEARNING_RATE: &str = "optimizer.learning_rate";
/// Keras's `_u_product`.
const PRODUCT: &str = "optimizer.u_product";

fn key(slot: &str, weight: &Weight) -> String {
    format!("optimizer.{slot}.{}", weight.name)
}

/// The gradient of the regulariser alone.
fn penalized(weight: &Weight) -> Before<f64> {
    let Regularizer { l1, l2 } = weight.regularizer.unwrap_or(Regularizer { l1: 0.0, l2: 0.0 });
    Before { l1, twice_l2: 2.0 * l2, ..NOTHING }
}

/// The factor that makes a norm at most `bound`; NaN if the norm is not finite.
fn factor(norm: f64, bound: f64) -> f64 {
    match norm {
        norm if norm <= bound => 1.0,
        norm if norm.is_finite() => bound / norm,
        _ => f64::NAN,
    }
}

/// Nadam's momentum at a step (Dozat 2016).
fn momentum(beta_1: f64, step: u64) -> f64 {
    beta_1 * (1.0 - 0.5 * libm::pow(0.96, step as f64))
}

//! The numbers that an optimiser keeps for each weight: its slots.

use std::cell::{Ref, RefCell};

use candle_core::{CpuStorage, Result, Tensor, Var, WithDType};
use hpo::training::{self, Rule};

use super::composed;
use crate::engine::ops::Ops;
use crate::engine::state::Part;
use crate::engine::weight::Weight;
use crate::kernels::average::Average;
use crate::kernels::update::{Before, Step, Update};
use crate::kernels::with_real;

/// The slots of one weight, each of its shape: those of the rule, then the average if there is one.
/// None for one that is not trainable.
pub(super) enum SlotVariables {
    /// Changed in place.
    Kernels(RefCell<Vec<CpuStorage>>),
    /// Replaced.
    Composed(Vec<Tensor>),
}

/// The names of a weight's slots, which are Keras's, in the order of the kernels.
pub(super) fn names(recipe: &training::Optimizer) -> Vec<&'static str> {
    let kept: &[(&'static str, bool)] = match recipe.rule {
        Rule::Sgd { momentum, .. } => &[("momentum", momentum != 0.0)],
        Rule::Rmsprop { momentum, centered, .. } => {
            &[("velocity", true), ("momentum", momentum != 0.0), ("average_gradient", centered)]
        }
        Rule::Adam { amsgrad, .. } | Rule::AdamW { amsgrad, .. } => {
            &[("momentum", true), ("velocity", true), ("velocity_hat", amsgrad)]
        }
        Rule::Nadam { .. } => &[("momentum", true), ("velocity", true)],
        Rule::Adamax { .. } => &[("momentum", true), ("norm", true)],
        Rule::Adagrad { .. } => &[("accumulator", true)],
        Rule::Adadelta { .. } => &[("accumulated_grad", true), ("accumulated_delta_var", true)],
        Rule::Lion { .. } => &[("momentum", true)],
    };
    kept.iter()
        .chain(&[("average", recipe.ema.is_some())])
        .filter(|(_, kept)| *kept)
        .map(|(name, _)| *name)
        .collect()
}

impl SlotVariables {
    /// Those of a weight that has not moved yet.
    pub(super) fn new(recipe: &training::Optimizer, weight: &Weight, ops: Ops) -> Result<SlotVariables> {
        let start = |name: &str| match (name, recipe.rule) {
            ("accumulator", Rule::Adagrad { initial_accumulator_value, .. }) => initial_accumulator_value,
            _ => 0.0,
        };
        let names = if weight.trainable { names(recipe) } else { Vec::new() };
        let slots = names.into_iter().map(|name| weight.var.zeros_like()?.affine(1.0, start(name)));
        SlotVariables::hold(slots.collect::<Result<_>>()?, ops)
    }

    /// SlotVariables with these numbers.
    fn hold(tensors: Vec<Tensor>, ops: Ops) -> Result<SlotVariables> {
        match ops {
            Ops::Composed => Ok(SlotVariables::Composed(tensors)),
            Ops::Kernels => {
                Ok(SlotVariables::Kernels(RefCell::new(tensors.iter().map(storage).collect::<Result<_>>()?)))
            }
        }
    }

    /// The slot at `index` as a part of a state.
    pub(super) fn part(&self, name: String, index: usize, weight: &Var) -> Part<'_> {
        match self {
            SlotVariables::Kernels(slots) => {
                Part::of_slot(name, weight, Ref::map(slots.borrow(), |slots| &slots[index]))
            }
            SlotVariables::Composed(slots) => Part::of(name, &slots[index]),
        }
    }

    /// Puts these numbers into the slot at `index`.
    pub(super) fn set(&mut self, index: usize, tensor: Tensor) -> Result<()> {
        match self {
            SlotVariables::Kernels(slots) => slots.get_mut()[index] = storage(&tensor)?,
            SlotVariables::Composed(slots) => slots[index] = tensor,
        }
        Ok(())
    }

    /// Moves the weight.
    pub(super) fn step(
        &mut self,
        update: Update,
        before: Before<f64>,
        weight: &Var,
        gradient: &Tensor,
    ) -> Result<()> {
        match self {
            SlotVariables::Kernels(slots) => weight.inplace_op2(gradient, &Step { update, before, slots }),
            SlotVariables::Composed(slots) => composed::step(update, before, weight, gradient, slots),
        }
    }

    /// Takes the weight into its average.
    pub(super) fn average(&mut self, weight: &Var, momentum: f64) -> Result<()> {
        match self {
            SlotVariables::Kernels(slots) => weight.inplace_op1(&Average::Take(momentum, slots)),
            SlotVariables::Composed(slots) => composed::average(weight, momentum, slots),
        }
    }

    /// Puts the average in the weight's place.
    pub(super) fn overwrite(&mut self, weight: &Var) -> Result<()> {
        match self {
            SlotVariables::Kernels(slots) => weight.inplace_op1(&Average::Put(slots)),
            SlotVariables::Composed(slots) => composed::overwrite(weight, slots),
        }
    }

    /// Exchanges the weight and its average.
    pub(super) fn swap(&mut self, weight: &Var) -> Result<()> {
        match self {
            SlotVariables::Kernels(slots) => weight.inplace_op1(&Average::Swap(slots)),
            SlotVariables::Composed(slots) => composed::swap(weight, slots),
        }
    }
}

/// A copy of the tensor's numbers.
fn storage(tensor: &Tensor) -> Result<CpuStorage> {
    with_real!(tensor, T => Ok(<T as WithDType>::to_cpu_storage_owned(tensor.flatten_all()?.to_vec1()?)))
}

//! The numbers that an optimiser keeps for each weight: its slots.

use std::cell::{Ref, RefCell};

use candle_core::{CpuStorage, Result, Tensor, Var, WithDType};
use hpo::training;

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

impl SlotVariables {
    /// Those of a weight that has not moved yet.
    pub(super) fn new(recipe: &training::Optimizer, weight: &Weight, ops: Ops) -> Result<SlotVariables> {
        let slots = if weight.trainable { recipe.slots() } else { Vec::new() };
        let slots = slots.into_iter().map(|slot| weight.var.zeros_like()?.affine(1.0, slot.start));
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

//! What is known about the hyperparameters at a place in a document, from the `when`s and `cases`
//! around it.

use std::rc::Rc;

use crate::space::{Condition, SearchSpace};
use crate::value::Value;

/// For some hyperparameters, in the order of the space, the values they can have in trials that use
/// this place. Each of them is active in those trials.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context(Rc<Vec<Condition>>);

impl Context {
    /// This context if `condition` holds too. Its parent then has a value, so everything that the
    /// parent requires also holds.
    pub fn restrict(&self, space: &SearchSpace, condition: &Condition) -> Context {
        let mut known = self.0.to_vec();
        narrow(&mut known, condition);
        for required in space.required(condition.parent) {
            narrow(&mut known, required);
        }
        Context(Rc::new(known))
    }

    /// What is known: one condition for each hyperparameter.
    pub fn conditions(&self) -> &[Condition] {
        &self.0
    }

    /// Whether no trial can use this place: a hyperparameter would need two values at once.
    pub fn is_contradictory(&self) -> bool {
        self.0.iter().any(|known| known.values.is_empty())
    }

    /// The values that the hyperparameter at `at` can have here, in rising order; none if nothing
    /// is known about it.
    pub fn known(&self, at: usize) -> Option<&[Value]> {
        find(&self.0, at).ok().map(|index| &*self.0[index].values)
    }

    /// Whether the hyperparameter at `at` always has a value here.
    pub fn implies_active(&self, space: &SearchSpace, at: usize) -> bool {
        let implies = |required: &Condition| {
            find(&self.0, required.parent).is_ok_and(|index| self.0[index].implies(required))
        };
        self.known(at).is_some() || space.required(at).iter().all(implies)
    }
}

/// Adds `condition` to `known`, which stays in the order of the space.
pub(crate) fn narrow(known: &mut Vec<Condition>, condition: &Condition) {
    match find(known, condition.parent) {
        Ok(index) => known[index] = known[index].and(condition),
        Err(index) => known.insert(index, condition.clone()),
    }
}

fn find(known: &[Condition], at: usize) -> Result<usize, usize> {
    known.binary_search_by_key(&at, |condition| condition.parent)
}

//! What is known of the hyperparameters at a place in a document: the `when`s and `cases` around it.

use crate::space::{Condition, SearchSpace};
use crate::value::Value;

/// For some hyperparameters, the values that they have where this place matters. Each of those is active there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context(Vec<Condition>);

impl Context {
    /// This context, where in addition the hyperparameter at `at` has one of `values`.
    pub fn restrict(&self, space: &SearchSpace, at: usize, values: &[Value]) -> Context {
        let mut context = self.clone();
        context.add(space, at, values);
        context
    }

    fn add(&mut self, space: &SearchSpace, at: usize, values: &[Value]) {
        match self.0.iter_mut().find(|condition| condition.parent == at) {
            Some(known) => known.values.retain(|value| values.contains(value)),
            None => {
                self.0.push(Condition { parent: at, values: values.to_vec() });
                // It has a value, so it is active, so its own conditions hold.
                for condition in &space.hyperparameters()[at].conditions {
                    self.add(space, condition.parent, &condition.values);
                }
            }
        }
    }

    /// What is known, each hyperparameter once.
    pub fn conditions(&self) -> &[Condition] {
        &self.0
    }

    /// The values that the hyperparameter at `at` may have here; empty for a range too long to list.
    pub fn allowed(&self, space: &SearchSpace, at: usize) -> Vec<Value> {
        match self.0.iter().find(|condition| condition.parent == at) {
            Some(known) => known.values.clone(),
            None => space.listed(at).unwrap_or_default(),
        }
    }

    /// Whether the hyperparameter at `at` surely has a value here.
    pub fn implies_active(&self, space: &SearchSpace, at: usize) -> bool {
        if self.0.iter().any(|known| known.parent == at) {
            return true;
        }
        space.hyperparameters()[at].conditions.iter().all(|condition| {
            let known = self.0.iter().find(|known| known.parent == condition.parent).map(|known| known.values.clone());
            let allowed = known.or_else(|| space.listed(condition.parent));
            self.implies_active(space, condition.parent) && allowed.is_some_and(|allowed| allowed.iter().all(|value| condition.values.contains(value)))
        })
    }
}

//! `{"hp": …}`: a place whose value is that of a hyperparameter, or a subtree chosen by it.

use std::collections::HashSet;

use serde_json::{Map, Value as Json};

use super::message::list;
use super::{FromDocument, Mention, Place};
use crate::limits;
use crate::space::Condition;
use crate::value::Value;

/// The target of `{"hp": …}`.
pub(super) enum Reference<'a> {
    /// The value of the hyperparameter at this position.
    Plain(usize),
    /// One of these subtrees, chosen by the value of a hyperparameter.
    Cases(Vec<Place<'a>>),
}

impl<'a> Place<'a> {
    /// The target of `{"hp": …}` at this place; none if there is no such object, an error if it was
    /// reported as wrong.
    pub(super) fn reference(&self) -> Option<Result<Reference<'a>, ()>> {
        let object = self.value.as_object().filter(|object| object.contains_key("hp"))?;
        Some(self.read_reference(object).ok_or(()))
    }

    fn read_reference(&self, object: &'a Map<String, Json>) -> Option<Reference<'a>> {
        let mut fields = self.fields()?;
        let name = fields.get("hp");
        let cases = fields.get("cases");
        fields.finish(&[]);
        debug_assert_eq!(name.is_some(), object.contains_key("hp"));
        let at = name?.hyperparameter_here()?;
        match cases {
            None => Some(Reference::Plain(at)),
            Some(cases) => Some(Reference::Cases(cases.read_cases(at)?)),
        }
    }

    /// The position of the hyperparameter that this string names, if it is active here.
    pub fn hyperparameter_here(&self) -> Option<usize> {
        let at = self.hyperparameter()?;
        let scope = self.scope?;
        self.spend(scope.space.required(at).iter().map(|required| required.values.len()).sum())?;
        if scope.point.is_none() && !self.context.implies_active(scope.space, at) {
            let conditions = scope.space.describe_conditions(at);
            self.invalid(format!(
                "hyperparameter {} may be inactive here: it is active only when {conditions}",
                scope.space.hyperparameters()[at].name
            ));
            return None;
        }
        Some(at)
    }

    /// The position of the hyperparameter that this string names, active or not. Inside a
    /// repetition it is the one of this repetition.
    pub fn hyperparameter(&self) -> Option<usize> {
        self.named(&String::from_place(self)?)
    }

    /// The position of the hyperparameter called `name`; problems are reported at this place.
    pub fn named(&self, name: &str) -> Option<usize> {
        let Some(scope) = self.scope else {
            self.invalid("this cannot be a hyperparameter");
            return None;
        };
        match scope.space.resolve(name, self.repetition) {
            Ok(at) => {
                self.reading
                    .mentions
                    .borrow_mut()
                    .push(Mention { hyperparameter: at, pointer: self.pointer.clone() });
                Some(at)
            }
            Err(detail) => {
                self.unresolved(name, detail);
                None
            }
        }
    }

    /// One branch for each value that the hyperparameter can have here.
    fn read_cases(&self, at: usize) -> Option<Vec<Place<'a>>> {
        let scope = self.scope?;
        let Some(object) = self.value.as_object() else {
            self.invalid("`cases` must be an object with an entry for each value of the hyperparameter");
            return None;
        };
        let name = &scope.space.hyperparameters()[at].name;
        let Some(values) = scope.space.listed(at) else {
            self.invalid(format!(
                "`cases` can be used with at most {} values, and {name} has more",
                limits::CASES_MAX
            ));
            return None;
        };
        self.spend(values.len() + object.len())?;
        let keys: HashSet<String> = values.iter().map(Value::to_string).collect();
        for key in object.keys().filter(|key| !keys.contains(*key)).take(limits::PROBLEMS_MAX) {
            self.child(key, &object[key])
                .invalid(format!("{name} never has this value; it can be {}", list(&values)));
        }
        let possible = match scope.point.and_then(|point| point.get(at)) {
            Some(value) => vec![value.clone()],
            None => self.context.known(at).map_or(values, <[Value]>::to_vec),
        };
        let mut branches = Vec::new();
        for value in &possible {
            match object.get_key_value(&value.to_string()) {
                Some((key, branch)) => {
                    let context =
                        self.context.restrict(scope.space, &Condition::new(at, vec![value.clone()]));
                    branches.push(self.child(key, branch).within(context));
                }
                None => {
                    self.invalid(format!("there is no case for {name} = {value}; add one, or null for none"))
                }
            }
        }
        (branches.len() == possible.len()).then_some(branches)
    }

    /// The subtrees that this place chooses between, each at its own place; none if it does not
    /// choose. For readers that need the branches separately.
    pub fn branches(&self) -> Option<Vec<Place<'a>>> {
        self.value.get("cases")?;
        match self.reference()? {
            Ok(Reference::Cases(branches)) => Some(branches),
            _ => Some(Vec::new()),
        }
    }

    /// The hyperparameter that `{"hp": …}` names here; the object must have no other field.
    pub fn count(&self) -> Option<usize> {
        match self.reference() {
            Some(Ok(Reference::Plain(at))) => Some(at),
            Some(Err(())) => None,
            _ => {
                self.invalid("must be an integer, or {\"hp\": name} with the name of an int");
                None
            }
        }
    }
}

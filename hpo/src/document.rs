//! Reads a study document: every mistake is collected with its JSON pointer, and `{"hp": …}` can
//! replace any value.
//!
//! One set of readers serves two purposes. Without a point, a reader checks every value that a
//! hyperparameter can have at its place and returns one of them; with the [`Point`] of a trial it
//! returns the value of that trial. So there are no templates and no mirror types: a
//! [`Layer`](crate::network::Layer) is always concrete, and so is every other type.

mod fields;
mod message;
mod named;
mod reference;

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::context::Context;
use crate::limits;
use crate::space::{Point, SearchSpace};
use crate::value::Value;

pub use fields::Fields;
pub(crate) use message::{brief, list, quote};
pub use message::{did_you_mean, kind};
pub use named::within;
pub(crate) use named::{Reader, bounded, name_and_fields, names, pick, read_name, read_named};
use reference::Reference;

/// One mistake in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Its place: a JSON pointer (RFC 6901) into the document.
    pub pointer: String,
    /// What is wrong, and what to do.
    pub detail: String,
    /// Whether it is wrong or not supported yet.
    #[serde(skip)]
    pub kind: ProblemKind,
}

/// Whether something is wrong, or right but not supported yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProblemKind {
    /// Wrong in any version.
    #[default]
    Invalid,
    /// A known name or field that this version does not support.
    NotSupported,
}

/// A type that can be read from a place without a reference to a hyperparameter.
pub trait FromDocument: Sized {
    /// The value at `place`, or none after reporting every problem with it.
    fn from_place(place: &Place) -> Option<Self>;
}

/// The hyperparameters that a document can refer to, and their values.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The search space.
    pub space: &'a SearchSpace,
    /// The values of one trial, or some of them; none to check all values that a trial could have.
    pub point: Option<&'a Point>,
}

/// A hyperparameter used at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// Its position in the space.
    pub hyperparameter: usize,
    /// The place that uses it.
    pub pointer: String,
}

/// One pass over a document.
#[derive(Debug, Default)]
pub struct Reading {
    problems: RefCell<Vec<Problem>>,
    mentions: RefCell<Vec<Mention>>,
    /// Names of hyperparameters whose declaration is wrong. References to them are not reported.
    broken: RefCell<HashSet<String>>,
    /// Whether the declarations as a whole could not be read, so that unknown names cannot be
    /// reported.
    undeclared: Cell<bool>,
    steps: Cell<u64>,
}

impl Reading {
    /// The root of `document`; with a `scope`, hyperparameters can replace values.
    pub fn root<'a>(&'a self, document: &'a Json, scope: Option<Scope<'a>>) -> Place<'a> {
        Place {
            value: document,
            pointer: String::new(),
            reading: self,
            scope,
            context: Context::default(),
            repetition: None,
            given: None,
        }
    }

    /// Everything that was found wrong, each problem once, in the order in which it was read.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// Whether nothing wrong has been found so far.
    pub fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// The hyperparameters mentioned so far, once for each time they were read.
    pub fn mentions(&self) -> Ref<'_, Vec<Mention>> {
        self.mentions.borrow()
    }

    /// Whether there is no room for another problem, so that reading can stop.
    pub fn is_full(&self) -> bool {
        self.problems.borrow().len() >= limits::PROBLEMS_MAX
    }

    fn report(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < limits::PROBLEMS_MAX && !problems.contains(&problem) {
            problems.push(problem);
        }
    }
}

/// The repetition of a `repeat` that a place belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repetition {
    /// The hyperparameter that is the count, if there is one.
    pub count: Option<usize>,
    /// The number of the repetition, from 0.
    pub index: usize,
}

/// A value in the document, its place, and what is known about the hyperparameters there.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    value: &'a Json,
    pointer: String,
    reading: &'a Reading,
    scope: Option<Scope<'a>>,
    context: Context,
    repetition: Option<Repetition>,
    /// The hyperparameter that has this value, for messages.
    given: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// The JSON at this place.
    pub fn json(&self) -> &'a Json {
        self.value
    }

    /// The JSON pointer of this place.
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// What is known about the hyperparameters here.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The search space and the point of the trial, if they are given.
    pub fn scope(&self) -> Option<Scope<'a>> {
        self.scope
    }

    /// The same place, with more known about the hyperparameters.
    pub fn within(&self, context: Context) -> Place<'a> {
        Place { context, ..self.clone() }
    }

    /// The same place, inside a repetition.
    pub fn repeated(&self, repetition: Repetition) -> Place<'a> {
        Place { repetition: Some(repetition), ..self.clone() }
    }

    /// Counts `steps` of work. None, after reporting it, if the document takes too many.
    pub(crate) fn spend(&self, steps: usize) -> Option<()> {
        let before = self.reading.steps.get();
        let after = before.saturating_add(steps as u64);
        self.reading.steps.set(after);
        if after > limits::READING_STEPS_MAX && before <= limits::READING_STEPS_MAX {
            self.invalid("the conditions and cases are too many to check; use hyperparameters with fewer values in them");
        }
        (after <= limits::READING_STEPS_MAX).then_some(())
    }

    /// Records that the declaration of the hyperparameter called `name` is wrong.
    pub(crate) fn declared_wrong(&self, name: String) {
        self.reading.broken.borrow_mut().insert(name);
    }

    /// Records that the declarations as a whole are wrong.
    pub(crate) fn all_declared_wrong(&self) {
        self.reading.undeclared.set(true);
    }

    /// Reports that `name` is not a hyperparameter here, unless this follows from a problem with
    /// its declaration.
    pub(crate) fn unresolved(&self, name: &str, detail: impl Into<String>) {
        if !self.reading.undeclared.get() && !self.reading.broken.borrow().contains(name) {
            self.invalid(detail);
        }
    }

    /// Reports a mistake.
    pub fn invalid(&self, detail: impl Into<String>) {
        self.problem(detail.into(), ProblemKind::Invalid);
    }

    /// Reports something known that this version does not support.
    pub fn not_supported(&self, detail: impl Into<String>) {
        self.problem(detail.into(), ProblemKind::NotSupported);
    }

    fn problem(&self, detail: String, kind: ProblemKind) {
        let detail = match self.given {
            Some(name) => format!("{detail} (the hyperparameter {name} can be {})", brief(self.value)),
            None => detail,
        };
        self.reading.report(Problem { pointer: self.pointer.clone(), detail, kind });
    }

    /// The value at this place, which may come from a hyperparameter or its cases: the one of the
    /// trial, or without a trial any of [`read_all`](Self::read_all).
    pub fn read<T: FromDocument>(&self) -> Option<T> {
        self.read_all().pop()
    }

    /// Every value that this place can have. A range is represented by its witnesses: readers
    /// accept an interval, of whole numbers or of all numbers, and some exclude 0.
    pub fn read_all<T: FromDocument>(&self) -> Vec<T> {
        match self.reference() {
            None => T::from_place(self).into_iter().collect(),
            Some(Err(())) => Vec::new(),
            Some(Ok(Reference::Plain(at))) => {
                let values = self.values_of(at);
                values
                    .iter()
                    .take_while(|_| !self.reading.is_full())
                    .filter_map(|value| self.read_value(at, value))
                    .collect()
            }
            Some(Ok(Reference::Cases(branches))) => {
                branches.into_iter().flat_map(|branch| branch.read_all()).collect()
            }
        }
    }

    /// The value at this place, which cannot be a hyperparameter.
    pub fn fixed<T: FromDocument>(&self) -> Option<T> {
        if self.value.get("hp").is_some() {
            self.invalid("this cannot be a hyperparameter: it is the same for all trials");
            return None;
        }
        T::from_place(self)
    }

    /// The values that the hyperparameter at `at` can have here, or the witnesses of a range; if
    /// the point has its value, only this one.
    fn values_of(&self, at: usize) -> Vec<Value> {
        let Some(scope) = self.scope else { return Vec::new() };
        if let Some(value) = scope.point.and_then(|point| point.get(at)) {
            return vec![value.clone()];
        }
        let values = match (self.context.known(at), &scope.space.hyperparameters()[at].domain) {
            (Some(known), _) => known.to_vec(),
            (None, domain) => domain.witnesses(),
        };
        self.spend(values.len()).map_or(Vec::new(), |()| values)
    }

    fn read_value<T: FromDocument>(&self, at: usize, value: &Value) -> Option<T> {
        let json = value.to_json();
        let given = self.scope.map(|scope| scope.space.hyperparameters()[at].name.as_str());
        T::from_place(&Place { value: &json, given, ..self.clone() })
    }

    /// The repetition that this place belongs to.
    pub fn repetition(&self) -> Option<Repetition> {
        self.repetition
    }

    /// The place at `pointer` below this one; none if the document has nothing there.
    pub fn at(&self, pointer: &str) -> Option<Place<'a>> {
        Some(Place {
            value: self.value.pointer(pointer)?,
            pointer: format!("{}{pointer}", self.pointer),
            ..self.clone()
        })
    }

    /// The items of the array at this place, at most `max`.
    pub fn items(&self, max: usize) -> Option<Vec<Place<'a>>> {
        let Some(items) = self.value.as_array() else {
            self.invalid(format!("must be an array, not {}", kind(self.value)));
            return None;
        };
        if items.len() > max {
            self.invalid(format!("has {} items; at most {max} are allowed", items.len()));
            return None;
        }
        Some(items.iter().enumerate().map(|(at, item)| self.child(&at.to_string(), item)).collect())
    }

    /// The place of a field or item of this one.
    pub fn child(&self, key: &str, value: &'a Json) -> Place<'a> {
        let pointer = format!("{}/{}", self.pointer, key.replace('~', "~0").replace('/', "~1"));
        Place { value, pointer, ..self.clone() }
    }
}

impl FromDocument for bool {
    fn from_place(place: &Place) -> Option<bool> {
        expect(place, place.json().as_bool(), "true or false")
    }
}

impl FromDocument for String {
    fn from_place(place: &Place) -> Option<String> {
        expect(place, place.json().as_str().map(str::to_owned), "a string")
    }
}

impl FromDocument for f64 {
    fn from_place(place: &Place) -> Option<f64> {
        expect(place, place.json().as_f64().filter(|x| x.is_finite()), "a finite number")
    }
}

impl FromDocument for i64 {
    fn from_place(place: &Place) -> Option<i64> {
        let json = place.json();
        // 2.0 is read as 2, as in Keras. Beyond 2^53 a float no longer identifies one integer.
        let whole = || {
            json.as_f64()
                .filter(|x| x.fract() == 0.0 && x.abs() <= limits::EXACT_INTEGER_MAX as f64)
                .map(|x| x as i64)
        };
        expect(place, json.as_i64().or_else(whole), "an integer")
    }
}

impl<T: FromDocument> FromDocument for Option<T> {
    fn from_place(place: &Place) -> Option<Option<T>> {
        if place.json().is_null() { Some(None) } else { T::from_place(place).map(Some) }
    }
}

/// Whether an object anywhere in `json` has this key.
pub(crate) fn has_key(json: &Json, key: &str) -> bool {
    match json {
        Json::Object(members) => {
            members.contains_key(key) || members.values().any(|value| has_key(value, key))
        }
        Json::Array(items) => items.iter().any(|item| has_key(item, key)),
        _ => false,
    }
}

fn expect<T>(place: &Place, value: Option<T>, expected: &str) -> Option<T> {
    if value.is_none() {
        place.invalid(format!("must be {expected}, not {}", brief(place.json())));
    }
    value
}

#[cfg(test)]
mod tests;

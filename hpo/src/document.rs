//! Reads a study document: every mistake is collected with its JSON pointer, and `{"hp": …}` can
//! replace any value.
//!
//! One set of readers serves two purposes. Without a point, a reader checks every value that a
//! hyperparameter can have at its place and returns one of them; with the [`Point`] of a trial it
//! returns the value of that trial. So there are no templates and no mirror types: a
//! [`Layer`](crate::network::Layer) is always concrete, and so is every other type.

mod named;

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::context::Context;
use crate::limits;
use crate::space::{Condition, Point, SearchSpace};
use crate::value::Value;

pub use named::within;
pub(crate) use named::{Reader, bounded, name_and_fields, names, pick, read_name, read_named};

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

    /// The target of `{"hp": …}` at this place; none if there is no such object, an error if it was
    /// reported as wrong.
    fn reference(&self) -> Option<Result<Reference<'a>, ()>> {
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

    /// The fields of the object at this place.
    pub fn fields(&self) -> Option<Fields<'a>> {
        let Some(object) = self.value.as_object() else {
            self.invalid(format!("must be an object, not {}", kind(self.value)));
            return None;
        };
        Some(Fields { object: Some(object), place: self.clone(), known: Vec::new() })
    }

    /// The fields of a thing that is given by its name alone: there are none.
    fn no_fields(&self) -> Fields<'a> {
        Fields { object: None, place: self.clone(), known: Vec::new() }
    }

    /// The place of a field or item of this one.
    pub fn child(&self, key: &str, value: &'a Json) -> Place<'a> {
        let pointer = format!("{}/{}", self.pointer, key.replace('~', "~0").replace('/', "~1"));
        Place { value, pointer, ..self.clone() }
    }
}

enum Reference<'a> {
    Plain(usize),
    Cases(Vec<Place<'a>>),
}

/// The fields of an object. Each is read once; those that are never read are unknown.
#[derive(Debug)]
pub struct Fields<'a> {
    object: Option<&'a Map<String, Json>>,
    place: Place<'a>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The place of a field, if it is there.
    pub fn get(&mut self, name: &'static str) -> Option<Place<'a>> {
        self.known.push(name);
        self.object?.get(name).map(|value| self.place.child(name, value))
    }

    /// The place of a field that must be there.
    pub fn required(&mut self, name: &'static str) -> Option<Place<'a>> {
        let place = self.get(name);
        if place.is_none() {
            self.place.invalid(format!("the field `{name}` is missing"));
        }
        place
    }

    /// The value of a field, or `default` if it is left out.
    pub fn or<T: FromDocument>(&mut self, name: &'static str, default: T) -> Option<T> {
        self.get(name).map_or(Some(default), |place| place.read())
    }

    /// Reads a field that must have Keras's default value: others are not supported yet.
    pub fn only(&mut self, name: &'static str, default: Json) -> Option<()> {
        let Some(place) = self.get(name) else { return Some(()) };
        // 0 and 0.0 are equal.
        let same =
            place.json() == &default || (default.is_number() && place.json().as_f64() == default.as_f64());
        if !same {
            let known = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
            place.not_supported(format!(
                "{name} {} is not supported yet; supported: {known}",
                brief(place.json())
            ));
        }
        same.then_some(())
    }

    /// Reports every field that was not read; those in `later` as not supported yet.
    pub fn finish(self, later: &[&str]) {
        for (name, value) in self.object.into_iter().flatten() {
            if self.known.contains(&name.as_str()) {
                continue;
            }
            if self.place.reading.is_full() {
                return;
            }
            let place = self.place.child(name, value);
            if later.contains(&name.as_str()) {
                place.not_supported(format!("{name} is not supported yet"));
            } else {
                let near = did_you_mean(name, self.known.iter().copied());
                let hint =
                    if near.is_empty() { format!("; known fields: {}", self.known.join(", ")) } else { near };
                place.invalid(format!("unknown field {}{hint}", brief(&Json::from(name.as_str()))));
            }
        }
    }
}

/// `; did you mean x?` if one of `known` is similar.
pub fn did_you_mean<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> String {
    // The time of a comparison is the product of the lengths.
    if name.len() > limits::NAME_BYTES_MAX {
        return String::new();
    }
    let nearest = known.map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate)).min();
    match nearest {
        // With up to a third of the letters wrong it is a typing error; with more it is another
        // word.
        Some((distance, candidate)) if distance * 3 <= candidate.len().max(3) => {
            format!("; did you mean {candidate}?")
        }
        _ => String::new(),
    }
}

/// The kind of a JSON value, for a message.
pub fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

/// A JSON value for a message, shortened if it is long.
pub(crate) fn brief(json: &Json) -> String {
    cut(json.to_string())
}

/// A string of the document for a message: quoted, and shortened if it is long.
pub(crate) fn quote(text: &str) -> String {
    cut(format!("{text:?}"))
}

fn cut(text: String) -> String {
    match text.char_indices().nth(limits::QUOTED_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Values for a message: the first of them if they are many.
pub(crate) fn list(values: &[Value]) -> String {
    let first: Vec<String> =
        values.iter().take(limits::VALUES_NAMED_MAX).map(|value| cut(value.to_string())).collect();
    first.join(", ") + if values.len() > limits::VALUES_NAMED_MAX { ", …" } else { "" }
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

//! Turns the document's `space` into a [`SearchSpace`], or reports everything wrong with it.

use std::collections::HashSet;

use serde_json::Value as Json;

use crate::context::narrow;
use crate::document::{Fields, FromDocument, Place, Repetition, bounded, brief, kind, list, names};
use crate::limits;
use crate::value::Value;

use super::{Condition, Declaration, Domain, Hyperparameter, Sampling, SearchSpace};

impl SearchSpace {
    /// The space at `place`, or none after reporting everything wrong with it.
    pub fn parse(place: &Place) -> Option<SearchSpace> {
        let (space, sound) = SearchSpace::read(place);
        sound.then_some(space)
    }

    /// The valid part of the space at `place`, and whether that is all of it. Everything wrong is
    /// reported.
    pub(crate) fn read(place: &Place) -> (SearchSpace, bool) {
        let mut space = SearchSpace::default();
        let Some(declarations) = place.items(limits::DECLARATIONS_MAX) else {
            place.all_declared_wrong();
            return (space, false);
        };
        let mut sound = true;
        for declaration in declarations {
            if space.declare(&declaration).is_none() {
                sound = false;
                if let Some(name) = declaration.json().get("name").and_then(Json::as_str) {
                    declaration.declared_wrong(name.to_owned());
                }
            }
            if space.hyperparameters.len() > limits::HYPERPARAMETERS_MAX {
                place.invalid(format!(
                    "has more than {} hyperparameters, repetitions included",
                    limits::HYPERPARAMETERS_MAX
                ));
                place.all_declared_wrong();
                return (space, false);
            }
        }
        (space, sound)
    }

    fn declare(&mut self, place: &Place) -> Option<()> {
        let mut fields = place.fields()?;
        let name = fields.required("name").and_then(|place| self.new_name(&place));
        let domain = domain(&mut fields);
        // Only these need a default: a grid has all values of the other kinds.
        let is_listed = matches!(domain, Some(Domain::Choice { .. } | Domain::Boolean | Domain::Fixed(_)));
        let default = if is_listed {
            Some(None)
        } else {
            fields.optional_by("default", |default| member(default, domain.as_ref()?))
        };
        let when = fields.get("when");
        let per = fields.optional_by("per", |per| self.count(per));
        fields.finish(&["ordered", "default"]);
        if let (Some(when), Some(None)) = (&when, &per) {
            self.conditions(when, None)?;
        }
        let (name, domain, default, per) = (name?, domain?, default?, per?);
        let first = self.hyperparameters.len();
        for index in 0..per.map_or(1, |(_, max)| max) {
            // A `when` on a `per` parent means the parent of the same repetition.
            let repetition = per.map(|(count, _)| Repetition { count: Some(count), index });
            let mut conditions = match &when {
                Some(when) => self.conditions(when, repetition)?,
                None => Vec::new(),
            };
            if let Some((count, _)) = per {
                conditions.insert(0, self.reaches(count, index));
            }
            let name = if per.is_some() { format!("{name}_{index}") } else { name.clone() };
            if self.hyperparameters.iter().any(|other| other.name == name) {
                place.invalid(format!(
                    "the name {name:?} is taken: a `per` hyperparameter gets one name for each repetition"
                ));
                return None;
            }
            let required = self.require(&conditions);
            place.spend(required.iter().map(|condition| condition.values.len()).sum())?;
            self.hyperparameters.push(Hyperparameter {
                name,
                domain: domain.clone(),
                default: default.clone(),
                conditions,
                required,
            });
            if self.hyperparameters.len() > limits::HYPERPARAMETERS_MAX {
                return None; // The caller reports it.
            }
        }
        self.declarations.push(Declaration { name, first, per });
        Some(())
    }

    /// The condition that the count at `count` reaches the repetition `index`.
    pub(crate) fn reaches(&self, count: usize, index: usize) -> Condition {
        Condition::new(
            count,
            self.listed(count)
                .unwrap_or_default()
                .into_iter()
                .filter(|value| *value > Value::Int(index as i64))
                .collect(),
        )
    }

    /// The conditions that hold if and only if all of `conditions` hold: these and those of their
    /// parents.
    fn require(&self, conditions: &[Condition]) -> Vec<Condition> {
        let mut all = Vec::new();
        for condition in conditions {
            narrow(&mut all, condition);
            self.required(condition.parent).iter().for_each(|required| narrow(&mut all, required));
        }
        all.retain(|condition| {
            self.hyperparameters[condition.parent].domain.count() != Some(condition.values.len() as u64)
        });
        all
    }

    fn new_name(&self, place: &Place) -> Option<String> {
        let name = String::from_place(place)?;
        let taken = self.declarations.iter().any(|other| other.name == name)
            || self.hyperparameters.iter().any(|other| other.name == name);
        if name.is_empty() || name.len() > limits::NAME_BYTES_MAX || name.chars().any(char::is_control) {
            place.invalid(format!(
                "must have 1 to {} bytes and no control characters",
                limits::NAME_BYTES_MAX
            ));
        } else if taken {
            place.invalid(format!("the name {name:?} is taken by an earlier hyperparameter"));
        } else {
            return Some(name);
        }
        None
    }

    /// The position and largest value of the int that `per` names.
    fn count(&self, place: &Place) -> Option<(usize, usize)> {
        let name = String::from_place(place)?;
        let at = self.parent(place, &name, None)?;
        match self.hyperparameters[at].domain {
            Domain::Int { min, max, .. } if min >= 0 && max >= 1 && max <= limits::REPEATS_MAX as i64 => {
                Some((at, max as usize))
            }
            Domain::Int { .. } => {
                place.invalid(format!(
                    "`per` needs an int between 0 and {}; {name} is not",
                    limits::REPEATS_MAX
                ));
                None
            }
            _ => {
                place.invalid(format!("`per` needs an int; {name} is not one"));
                None
            }
        }
    }

    fn conditions(&self, place: &Place, repetition: Option<Repetition>) -> Option<Vec<Condition>> {
        let Some(object) = place.json().as_object() else {
            place.invalid(format!(
                "must be an object of parents, each with an array of values, not {}",
                kind(place.json())
            ));
            return None;
        };
        let conditions: Vec<_> = object
            .iter()
            .map(|(name, values)| self.condition(&place.child(name, values), name, repetition))
            .collect();
        conditions.into_iter().collect()
    }

    fn condition(&self, place: &Place, name: &str, repetition: Option<Repetition>) -> Option<Condition> {
        let parent = self.parent(place, name, repetition)?;
        self.condition_on(place, parent)
    }

    /// The position of the earlier hyperparameter `name`.
    fn parent(&self, place: &Place, name: &str, repetition: Option<Repetition>) -> Option<usize> {
        match self.resolve(name, repetition) {
            Ok(at) => Some(at),
            Err(detail) => {
                let order = if self.declarations.iter().any(|known| known.name == name) {
                    ""
                } else {
                    " before this one"
                };
                place.unresolved(name, format!("{detail}{order}"));
                None
            }
        }
    }

    /// The condition that the hyperparameter at `parent` has one of the values listed at `place`.
    pub(crate) fn condition_on(&self, place: &Place, parent: usize) -> Option<Condition> {
        let domain = &self.hyperparameters[parent].domain;
        if matches!(domain, Domain::Float { .. }) {
            place.invalid(format!(
                "{} is a float; a condition needs an int, a choice, a boolean or a fixed hyperparameter",
                self.hyperparameters[parent].name
            ));
            return None;
        }
        let items = place.items(limits::CHOICES_MAX)?;
        if items.is_empty() {
            place.invalid("needs at least one value; without one it would never be active");
            return None;
        }
        // The values of a choice are compared one by one; each takes a fraction of a step.
        place.spend(items.len() * (1 + domain.ends().len() / 16))?;
        let values: Vec<_> = items.iter().map(|item| member(item, domain)).collect();
        Some(Condition::new(parent, values.into_iter().collect::<Option<_>>()?))
    }
}

/// The value at `place`, which must be one of `domain`.
fn member(place: &Place, domain: &Domain) -> Option<Value> {
    let value = Value::from_json(place.json())
        .map(|value| domain.coerce(value))
        .filter(|value| domain.contains(value));
    if value.is_none() {
        place.invalid(format!(
            "{} is not one of the values it can have: {}",
            brief(place.json()),
            describe(domain)
        ));
    }
    value
}

fn describe(domain: &Domain) -> String {
    match domain {
        Domain::Int { min, max, step, .. } => {
            format!(
                "integers from {min} to {max}{}",
                step.map_or(String::new(), |step| format!(" in steps of {step}"))
            )
        }
        Domain::Float { min, max, step, .. } => {
            format!(
                "numbers from {min} to {max}{}",
                step.map_or(String::new(), |step| format!(" in steps of {step}"))
            )
        }
        Domain::Choice { values } => list(values),
        Domain::Boolean => "true, false".to_owned(),
        Domain::Fixed(value) => value.to_string(),
    }
}

names! {
    /// The kinds of hyperparameters.
    enum Kind {
        /// Whole numbers.
        Int = "int",
        /// Numbers.
        Float = "float",
        /// One of a list.
        Choice = "choice",
        /// True or false.
        Boolean = "boolean",
        /// One value.
        Fixed = "fixed",
    }
    later []
}

/// The domain that the fields of a declaration describe. Fields that its type does not have are
/// left unread, so they are reported as unknown.
fn domain(fields: &mut Fields) -> Option<Domain> {
    match fields.required("type")?.fixed::<Kind>()? {
        Kind::Int => int(fields),
        Kind::Float => float(fields),
        Kind::Choice => choice(fields),
        Kind::Boolean => Some(Domain::Boolean),
        Kind::Fixed => fixed(fields),
    }
}

bounded! {
    /// An integer that a double holds exactly: JSON parsers differ for larger ones.
    ExactInt(i64), -limits::EXACT_INTEGER_MAX, limits::EXACT_INTEGER_MAX
}

fn int(fields: &mut Fields) -> Option<Domain> {
    let (low, high) = (fields.required("min_value"), fields.required("max_value"));
    let step = fields.optional_by("step", |step| Some((step.clone(), step.fixed::<ExactInt>()?.0)));
    let sampling = fields.or("sampling", Sampling::Linear);
    let (low, high) = (low?, high?);
    let (min, max) = (low.fixed::<ExactInt>(), high.fixed::<ExactInt>());
    let (min, max, step, sampling) = (min?.0, max?.0, step?, sampling?);
    let (step_place, step) = step.unzip();
    let placed_step = step_place.as_ref().zip(step.map(|step| step as f64));
    check_range(&low, (min as f64, max as f64), placed_step, sampling)?;
    Some(Domain::Int { min, max, step, sampling })
}

fn float(fields: &mut Fields) -> Option<Domain> {
    let (low, high) = (fields.required("min_value"), fields.required("max_value"));
    let step = fields.optional_by("step", |step| Some((step.clone(), step.fixed::<f64>()?)));
    let sampling = fields.or("sampling", Sampling::Linear);
    let (low, high) = (low?, high?);
    let (min, max) = (low.fixed::<f64>(), high.fixed::<f64>());
    let (min, max, step, sampling) = (min?, max?, step?, sampling?);
    let (step_place, step) = step.unzip();
    check_range(&low, (min, max), step_place.as_ref().zip(step), sampling)?;
    if !(max - min).is_finite() || (sampling != Sampling::Linear && !(max / min).is_finite()) {
        high.invalid("the range from min_value to max_value is too wide for a double");
        return None;
    }
    let domain = Domain::Float { min, max, step, sampling };
    if domain.count().is_some_and(|count| count > limits::EXACT_INTEGER_MAX as u64) {
        step_place.as_ref().unwrap_or(&low).invalid("makes more than 2^53 values; choose a larger step");
        return None;
    }
    Some(domain)
}

/// Checks what must be true of every numeric range.
fn check_range(
    low: &Place,
    (min, max): (f64, f64),
    step: Option<(&Place, f64)>,
    sampling: Sampling,
) -> Option<()> {
    if min > max {
        low.invalid(format!("min_value ({min}) must not exceed max_value ({max})"));
        return None;
    }
    if sampling != Sampling::Linear && min <= 0.0 {
        low.invalid(format!("min_value must be above 0 under {} sampling, not {min}", sampling.as_str()));
        return None;
    }
    match step {
        Some((place, step)) if sampling == Sampling::Linear && step <= 0.0 => {
            place.invalid(format!("step must be above 0, not {step}"))
        }
        Some((place, step)) if sampling != Sampling::Linear && step <= 1.0 => {
            place.invalid(format!(
                "step is a factor under {} sampling and must be above 1, not {step}",
                sampling.as_str()
            ));
        }
        _ => return Some(()),
    }
    None
}

fn choice(fields: &mut Fields) -> Option<Domain> {
    let place = fields.required("values")?;
    let items = place.items(limits::CHOICES_MAX)?;
    if items.is_empty() {
        place.invalid("needs at least one value");
        return None;
    }
    let values: Vec<_> = items.iter().map(scalar).collect();
    let values = one_type(&place, values.into_iter().collect::<Option<_>>()?)?;
    let mut seen = HashSet::new();
    let mut distinct = true;
    for (item, value) in items.iter().zip(&values) {
        if !seen.insert(value.to_string()) {
            item.invalid(format!("{value} is listed twice"));
            distinct = false;
        }
    }
    distinct.then_some(Domain::Choice { values })
}

/// The values in one type: if any is a float, integers become floats.
fn one_type(place: &Place, values: Vec<Value>) -> Option<Vec<Value>> {
    let floats = values.iter().any(|value| matches!(value, Value::Float(_)))
        && values.iter().all(|value| value.as_f64().is_some());
    let values: Vec<Value> = values
        .into_iter()
        .map(|value| match value {
            Value::Int(i) if floats => Value::Float(i as f64),
            value => value,
        })
        .collect();
    let first = std::mem::discriminant(&values[0]);
    if values.iter().any(|value| std::mem::discriminant(value) != first) {
        place.invalid("values must all be numbers, all strings or all booleans");
        return None;
    }
    Some(values)
}

fn fixed(fields: &mut Fields) -> Option<Domain> {
    scalar(&fields.required("value")?).map(Domain::Fixed)
}

fn scalar(place: &Place) -> Option<Value> {
    let exact = |value: &Value| match value {
        Value::Int(i) => i.unsigned_abs() <= limits::EXACT_INTEGER_MAX as u64,
        Value::Text(text) => text.len() <= limits::TEXT_BYTES_MAX,
        _ => true,
    };
    let value = Value::from_json(place.json()).filter(exact);
    if value.is_none() {
        let expected = format!(
            "a number (integers up to 2^53), a string of at most {} bytes or a boolean",
            limits::TEXT_BYTES_MAX
        );
        place.invalid(format!("must be {expected}, not {}", kind(place.json())));
    }
    value
}

/// The conditions in the `when` of a layer; the space is known as a whole by then.
pub(crate) fn read_when(place: &Place) -> Option<Vec<Condition>> {
    let Some(object) = place.json().as_object() else {
        place.invalid(format!(
            "must be an object of hyperparameters, each with an array of values, not {}",
            kind(place.json())
        ));
        return None;
    };
    let space = place.scope()?.space;
    let conditions: Vec<_> = object
        .iter()
        .map(|(name, values)| {
            let child = place.child(name, values);
            let at = child.named(name)?;
            space.condition_on(&child, at)
        })
        .collect();
    conditions.into_iter().collect()
}

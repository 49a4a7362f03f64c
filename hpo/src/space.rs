//! The search space: hyperparameters in order, parents before children, parsed once and valid from
//! then on.
//!
//! Parsing expands a `per` hyperparameter into one for each repetition (`units_0`, `units_1`, …),
//! each active if the count reaches it. After that there are only plain hyperparameters with
//! conditions.

mod packing;
mod parse;

pub use packing::Misfit;
pub(crate) use parse::read_when;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::document::{Mention, Place, Repetition, did_you_mean, list, quote};
use crate::limits;
use crate::value::Value;

/// The hyperparameters of a study.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SearchSpace {
    hyperparameters: Vec<Hyperparameter>,
    declarations: Vec<Declaration>,
}

/// One hyperparameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyperparameter {
    /// Its name, unique in the space.
    pub name: String,
    /// The values it can have.
    pub domain: Domain,
    /// The value that a grid tries first; see
    /// [`Enumeration::grid`](crate::grid::Enumeration::grid).
    pub default: Option<Value>,
    /// It is active if all of these hold.
    pub conditions: Vec<Condition>,
    /// It is active if and only if all of these hold: its conditions and those of its parents, one
    /// for each parent, without those that list every value.
    required: Vec<Condition>,
}

/// Holds if the parent is active and has one of `values`.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The parent's position in the space; it comes before its children.
    pub parent: usize,
    /// Values of the parent, in rising order.
    pub values: Arc<[Value]>,
}

/// The values that a hyperparameter can have.
#[derive(Debug, Clone, PartialEq)]
pub enum Domain {
    /// Whole numbers from `min` to `max`, both included. The step is a factor under log and
    /// reverse_log, as in KerasTuner.
    Int {
        /// The smallest value.
        min: i64,
        /// No value is larger.
        max: i64,
        /// The distance (linear) or factor between neighbours.
        step: Option<i64>,
        /// How values are distributed.
        sampling: Sampling,
    },
    /// Numbers from `min` to `max`, both included.
    Float {
        /// The smallest value.
        min: f64,
        /// No value is larger.
        max: f64,
        /// The distance (linear) or factor between neighbours. Without it, the domain is a
        /// continuum.
        step: Option<f64>,
        /// How values are distributed.
        sampling: Sampling,
    },
    /// One of a list of values of the same type.
    Choice {
        /// The values, each once.
        values: Vec<Value>,
    },
    /// True or false.
    Boolean,
    /// Always this value.
    Fixed(Value),
}

crate::document::names! {
    /// How numbers are distributed over their range.
    pub enum Sampling {
        /// Evenly.
        Linear = "linear",
        /// Evenly in the logarithm: dense near the smallest value.
        Log = "log",
        /// Evenly in the logarithm of the distance from the far end: dense near the largest value.
        ReverseLog = "reverse_log",
    }
    later []
}

/// An item of the document's `space`: it makes one hyperparameter, or one for each repetition.
#[derive(Debug, Clone, PartialEq)]
struct Declaration {
    name: String,
    /// Position of the first hyperparameter that it makes.
    first: usize,
    /// The position of the count, and its largest value.
    per: Option<(usize, usize)>,
}

/// The hyperparameters of one trial: a value for each active one, in the order of the space.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Point(Vec<(usize, Value)>);

impl SearchSpace {
    /// Every hyperparameter, parents before children.
    pub fn hyperparameters(&self) -> &[Hyperparameter] {
        &self.hyperparameters
    }

    /// The conditions that hold if and only if the hyperparameter at `at` is active.
    pub(crate) fn required(&self, at: usize) -> &[Condition] {
        &self.hyperparameters[at].required
    }

    /// The values of the hyperparameter at `at`, or none if they are too many to list.
    pub fn listed(&self, at: usize) -> Option<Vec<Value>> {
        let domain = &self.hyperparameters[at].domain;
        let count = domain.count().filter(|count| *count <= limits::CASES_MAX)?;
        Some((0..count).map(|index| domain.value(index)).collect())
    }

    /// The position of the hyperparameter called `name`. Inside a repetition, the name of a `per`
    /// hyperparameter means the one of this repetition.
    pub fn resolve(&self, name: &str, repetition: Option<Repetition>) -> Result<usize, String> {
        if let Some(declaration) = self.declarations.iter().find(|declaration| declaration.name == name) {
            return match (declaration.per, repetition) {
                (None, _) => Ok(declaration.first),
                (Some((count, _)), Some(inside)) if inside.count == Some(count) => {
                    Ok(declaration.first + inside.index)
                }
                (Some((count, _)), _) => {
                    let count = &self.hyperparameters[count].name;
                    Err(format!(
                        "hyperparameter {name} is `per` {count}: it can be used only inside a repeat of {{\"hp\": {count:?}}}"
                    ))
                }
            };
        }
        let near = did_you_mean(name, self.declarations.iter().map(|declaration| declaration.name.as_str()));
        Err(format!("there is no hyperparameter {}{near}", quote(name)))
    }

    /// Reports each declaration that is used neither in `mentions` nor in a condition of another
    /// hyperparameter. `place` is that of the space.
    pub(crate) fn report_unused(&self, mentions: &[Mention], place: &Place) {
        let parents = self
            .hyperparameters
            .iter()
            .flat_map(|hyperparameter| &hyperparameter.conditions)
            .map(|condition| condition.parent);
        let used: HashSet<usize> =
            mentions.iter().map(|mention| mention.hyperparameter).chain(parents).collect();
        for (index, declaration) in self.declarations.iter().enumerate() {
            let repetitions = declaration.per.map_or(1, |(_, max)| max);
            if !(declaration.first..declaration.first + repetitions).any(|at| used.contains(&at))
                && let Some(place) = place.at(&format!("/{index}"))
            {
                place.invalid(format!("the hyperparameter {} is never used", declaration.name));
            }
        }
    }

    /// The conditions of the hyperparameter at `at`, in words.
    pub fn describe_conditions(&self, at: usize) -> String {
        let describe = |condition: &Condition| {
            format!(
                "{} is {}",
                self.hyperparameters[condition.parent].name,
                list(&condition.values).replace(", ", " or ")
            )
        };
        self.hyperparameters[at].conditions.iter().map(describe).collect::<Vec<_>>().join(" and ")
    }

    /// Whether the hyperparameter at `at` is active, given the values of those before it.
    pub fn is_active(&self, at: usize, point: &Point) -> bool {
        self.holds(&self.hyperparameters[at].conditions, point)
    }

    /// Whether all of `conditions` hold at `point`.
    pub fn holds(&self, conditions: &[Condition], point: &Point) -> bool {
        conditions
            .iter()
            .all(|condition| point.get(condition.parent).is_some_and(|value| condition.allows(value)))
    }

    /// The point in which each active hyperparameter has the value that `value` returns, parents
    /// first; none as soon as it returns none.
    pub fn build(&self, mut value: impl FnMut(usize, &Hyperparameter) -> Option<Value>) -> Option<Point> {
        let mut point = Point::default();
        for (at, hyperparameter) in self.hyperparameters.iter().enumerate() {
            if self.is_active(at, &point) {
                point.0.push((at, value(at, hyperparameter)?));
            }
        }
        Some(point)
    }

    /// The active hyperparameters by name, in order, as the API shows them.
    pub fn to_json(&self, point: &Point) -> Map<String, Json> {
        point.0.iter().map(|(at, value)| (self.hyperparameters[*at].name.clone(), value.to_json())).collect()
    }
}

impl Condition {
    /// The condition that the hyperparameter at `parent` has one of `values`.
    pub fn new(parent: usize, mut values: Vec<Value>) -> Condition {
        values.sort_unstable();
        values.dedup();
        Condition { parent, values: values.into() }
    }

    /// Whether the condition holds for this value of its parent.
    pub fn allows(&self, value: &Value) -> bool {
        self.values.binary_search(value).is_ok()
    }

    /// Whether `other`, which has the same parent, holds whenever this condition does.
    pub(crate) fn implies(&self, other: &Condition) -> bool {
        Arc::ptr_eq(&self.values, &other.values) || self.values.iter().all(|value| other.allows(value))
    }

    /// The condition that holds when this one and `other`, which has the same parent, both hold.
    pub(crate) fn and(&self, other: &Condition) -> Condition {
        if self.implies(other) {
            return self.clone();
        }
        Condition {
            parent: self.parent,
            values: self.values.iter().filter(|value| other.allows(value)).cloned().collect(),
        }
    }
}

impl Point {
    /// This point, with `value` for the hyperparameter at `at`.
    pub fn with(&self, at: usize, value: Value) -> Point {
        let mut point = self.clone();
        match point.find(at) {
            Ok(index) => point.0[index].1 = value,
            Err(index) => point.0.insert(index, (at, value)),
        }
        point
    }

    /// This point, reduced to the hyperparameters in `these`.
    pub fn keep(&self, these: &BTreeSet<usize>) -> Point {
        Point(self.0.iter().filter(|(at, _)| these.contains(at)).cloned().collect())
    }

    /// The value of the hyperparameter at `at`; none if it is inactive.
    pub fn get(&self, at: usize) -> Option<&Value> {
        self.find(at).ok().map(|index| &self.0[index].1)
    }

    fn find(&self, at: usize) -> Result<usize, usize> {
        self.0.binary_search_by_key(&at, |(known, _)| *known)
    }
}

impl Domain {
    /// The number of values; none for a continuum.
    pub fn count(&self) -> Option<u64> {
        match self {
            Domain::Int { min, max, step, sampling } => Some(match (sampling, step) {
                (Sampling::Linear, step) => ((max - min) / step.unwrap_or(1)) as u64 + 1,
                (_, None) => (max - min) as u64 + 1,
                (_, Some(step)) => powers(*min, *max, *step),
            }),
            Domain::Float { min, max, .. } if min == max => Some(1),
            Domain::Float { step: None, .. } => None,
            // KerasTuner floors the float quotient and loses the last value of (0, 1, step 0.2);
            // the tolerance keeps it.
            Domain::Float { min, max, step: Some(step), sampling: Sampling::Linear } => {
                Some((((max - min) / step * (1.0 + 1e-15) + 1e-9) as u64).saturating_add(1))
            }
            Domain::Float { min, max, step: Some(step), .. } => Some(factors(*min, *max, *step)),
            Domain::Choice { values } => Some(values.len() as u64),
            Domain::Boolean => Some(2),
            Domain::Fixed(_) => Some(1),
        }
    }

    /// The value at `index` below [`count`](Self::count), in rising order for numbers, whatever
    /// their sampling.
    pub fn value(&self, index: u64) -> Value {
        match self {
            Domain::Int { min, max, step, sampling } => Value::Int(match (sampling, step) {
                (Sampling::Linear, step) => min + index as i64 * step.unwrap_or(1),
                (_, None) => min + index as i64,
                (Sampling::Log, Some(step)) => power(*min, *step, index),
                (Sampling::ReverseLog, Some(step)) => {
                    max + min - power(*min, *step, powers(*min, *max, *step) - 1 - index)
                }
            }),
            Domain::Float { min, max, step, sampling } => {
                let step = step.unwrap_or(1.0);
                let value = match sampling {
                    Sampling::Linear => min + index as f64 * step,
                    Sampling::Log => min * libm::pow(step, index as f64),
                    Sampling::ReverseLog => {
                        let count = factors(*min, *max, step);
                        max + min - min * libm::pow(step, (count - 1 - index) as f64)
                    }
                };
                Value::Float(tidy(value).clamp(*min, *max))
            }
            Domain::Choice { values } => values[index as usize].clone(),
            Domain::Boolean => Value::Bool(index == 1),
            Domain::Fixed(value) => value.clone(),
        }
    }

    /// All values, or the two ends of a range of numbers.
    pub(crate) fn ends(&self) -> Vec<Value> {
        match (self, self.count()) {
            (Domain::Float { min, max, .. }, None) => vec![Value::Float(*min), Value::Float(*max)],
            (Domain::Int { .. } | Domain::Float { .. }, Some(count)) => {
                vec![self.value(0), self.value(count - 1)]
            }
            (_, count) => (0..count.unwrap_or(0)).map(|index| self.value(index)).collect(),
        }
    }

    /// Values that represent all others when a field is checked: the two ends of a range, 0 if it
    /// is between them (a dimension is -1 or at least 1), and for floats one that is not a whole
    /// number, if there is any.
    pub(crate) fn witnesses(&self) -> Vec<Value> {
        let mut witnesses = self.ends();
        if let (Domain::Int { .. } | Domain::Float { .. }, [first, last]) = (self, &witnesses[..]) {
            let zero = Some(self.coerce(Value::Int(0)))
                .filter(|zero| first < zero && zero < last && self.contains(zero));
            // The largest value stays last: it represents all others if only one is needed.
            witnesses.splice(1..1, zero.into_iter().chain(self.fraction()));
        }
        witnesses
    }

    /// A float of the domain that is not a whole number.
    fn fraction(&self) -> Option<Value> {
        let is_fraction = |value: &Value| matches!(value, Value::Float(x) if x.fract() != 0.0);
        match self {
            Domain::Float { min, max, step: None, .. } => {
                Some(Value::Float(min + ((max - min) / 2.0).min(0.5))).filter(is_fraction)
            }
            // Whole steps from a whole number never reach a fraction. With other steps the second
            // value is one, and with factors an early value is, or under reverse_log the first.
            Domain::Float { .. } => {
                let count = self.count().unwrap_or(0).min(limits::CASES_MAX);
                (0..count).map(|index| self.value(index)).find(is_fraction)
            }
            _ => None,
        }
    }

    /// The index of `value`; none if it is not in the domain or the domain is a continuum.
    pub fn position(&self, value: &Value) -> Option<u64> {
        let count = self.count()?;
        match self {
            Domain::Choice { values } => values.iter().position(|known| known == value).map(|at| at as u64),
            Domain::Boolean => {
                matches!(value, Value::Bool(_)).then_some(u64::from(*value == Value::Bool(true)))
            }
            Domain::Fixed(fixed) => (fixed == value).then_some(0),
            Domain::Int { .. } | Domain::Float { .. } => {
                // Values rise with the index under each sampling.
                let number = value.as_f64()?;
                let below = partition_point(count, |index| {
                    self.value(index).as_f64().is_some_and(|known| known < number)
                });
                (below < count && self.value(below) == *value).then_some(below)
            }
        }
    }

    /// Whether `value` is in the domain; this works for a continuum too.
    pub fn contains(&self, value: &Value) -> bool {
        match (self, value) {
            (Domain::Float { min, max, step: None, .. }, Value::Float(x)) => (*min..=*max).contains(x),
            _ => self.position(value).is_some(),
        }
    }

    /// `value` in the type of this domain: whole numbers become floats if the domain has floats.
    pub fn coerce(&self, value: Value) -> Value {
        let floats = matches!(self, Domain::Float { .. })
            || matches!(self, Domain::Choice { values } if matches!(values[0], Value::Float(_)));
        match value {
            Value::Int(i) if floats => Value::Float(i as f64),
            Value::Float(x) if !floats && x.fract() == 0.0 && x.abs() <= limits::EXACT_INTEGER_MAX as f64 => {
                Value::Int(x as i64)
            }
            value => value,
        }
    }
}

/// The number of `min · step^i` up to `max`; the tolerance is KerasTuner's.
fn factors(min: f64, max: f64, step: f64) -> u64 {
    ((libm::log(max / min) / libm::log(step) + 1e-8) as u64).saturating_add(1)
}

/// The number of `min · step^i` up to `max`, exactly: with a tolerance, 10^9 would count as at most
/// 999,999,999.
fn powers(min: i64, max: i64, step: i64) -> u64 {
    std::iter::successors(Some(min), |value| value.checked_mul(step))
        .take_while(|value| *value <= max)
        .count() as u64
}

fn power(min: i64, step: i64, exponent: u64) -> i64 {
    step.saturating_pow(exponent as u32).saturating_mul(min)
}

/// `x` to 15 significant digits, so that 0.1 + 2 · 0.1 is 0.3.
fn tidy(x: f64) -> f64 {
    format!("{x:.14e}").parse().unwrap_or(x)
}

/// The first of `0..count` for which `before` does not hold. It must hold for all below that.
fn partition_point(count: u64, before: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

#[cfg(test)]
pub(crate) mod tests;

//! One value of a hyperparameter.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Number, Value as Json};

/// An integer, a float, a string or a boolean.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number, as an `int` has.
    Int(i64),
    /// A finite number, as a `float` has.
    Float(f64),
    /// A string, as a `choice` can have.
    Text(String),
    /// True or false.
    Bool(bool),
}

impl Value {
    /// The value of a JSON scalar; none for null, arrays, objects and numbers beyond 64 bits.
    pub fn from_json(json: &Json) -> Option<Value> {
        match json {
            Json::Bool(b) => Some(Value::Bool(*b)),
            Json::String(s) => Some(Value::Text(s.clone())),
            // Adding 0 turns -0 into 0.
            Json::Number(n) => n
                .as_i64()
                .map(Value::Int)
                .or_else(|| n.as_f64().filter(|x| x.is_finite()).map(|x| Value::Float(x + 0.0))),
            _ => None,
        }
    }

    /// The JSON scalar of this value; a float keeps all its bits when it is read back.
    pub fn to_json(&self) -> Json {
        match self {
            Value::Int(i) => Json::from(*i),
            Value::Float(x) => Number::from_f64(*x).map_or(Json::Null, Json::Number),
            Value::Text(s) => Json::from(s.as_str()),
            Value::Bool(b) => Json::from(*b),
        }
    }

    /// The number, for ints and floats.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(i) => Some(*i as f64),
            Value::Float(x) => Some(*x),
            _ => None,
        }
    }
}

/// The value as a key of `cases`: strings without quotes, floats in their shortest form.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Int(i) => write!(f, "{i}"),
            Value::Float(x) => write!(f, "{}", Json::from(*x)),
            Value::Text(s) => write!(f, "{s}"),
            Value::Bool(b) => write!(f, "{b}"),
        }
    }
}

/// Equal values have equal hashes. Floats are hashed by their bits: a space has no NaN and only one
/// zero.
impl std::hash::Hash for Value {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Value::Int(i) => i.hash(state),
            Value::Float(x) => (x + 0.0).to_bits().hash(state),
            Value::Text(s) => s.hash(state),
            Value::Bool(b) => b.hash(state),
        }
    }
}
impl Eq for Value {}

/// Numbers are ordered by size, `false` comes before `true`, and strings are ordered by their
/// bytes.
impl Ord for Value {
    fn cmp(&self, other: &Value) -> Ordering {
        let kind = |value: &Value| match value {
            Value::Int(_) => 0,
            Value::Float(_) => 1,
            Value::Text(_) => 2,
            Value::Bool(_) => 3,
        };
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::Float(a), Value::Float(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            _ => kind(self).cmp(&kind(other)),
        }
    }
}
impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Value) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

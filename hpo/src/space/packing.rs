//! Points as bytes, for the store. Only values that vary are written, in the order of the space;
//! the domain of each says how.

use super::{Domain, Point, SearchSpace};
use crate::value::Value;

/// The error for bytes that are not a point of the space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored hyperparameters do not fit the search space")]
pub struct Misfit;

impl SearchSpace {
    /// The bytes of `point`, which is a point of this space. A float takes eight; an integer and
    /// the position of a choice take as few as possible.
    pub fn pack(&self, point: &Point) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (at, value) in &point.0 {
            match &self.hyperparameters[*at].domain {
                Domain::Fixed(_) => {}
                domain @ (Domain::Choice { .. } | Domain::Boolean) => {
                    put(domain.position(value).expect("each value of a point is in its domain"), &mut bytes);
                }
                Domain::Int { .. } => {
                    let Value::Int(value) = value else {
                        unreachable!("the value of an int is a whole number")
                    };
                    // Zigzag: small numbers of either sign stay small.
                    put(((value << 1) ^ (value >> 63)) as u64, &mut bytes);
                }
                Domain::Float { .. } => {
                    bytes.extend(value.as_f64().expect("the value of a float is a number").to_le_bytes());
                }
            }
        }
        bytes
    }

    /// The point that [`pack`](Self::pack) made `bytes` from.
    pub fn unpack(&self, bytes: &[u8]) -> Result<Point, Misfit> {
        let mut rest = bytes;
        let point = self.build(|_, hyperparameter| {
            let domain = &hyperparameter.domain;
            match domain {
                Domain::Fixed(value) => Some(value.clone()),
                Domain::Choice { .. } | Domain::Boolean => {
                    take(&mut rest).filter(|at| Some(*at) < domain.count()).map(|at| domain.value(at))
                }
                Domain::Int { min, max, .. } => {
                    let zigzag = take(&mut rest)?;
                    let value = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
                    (*min..=*max).contains(&value).then_some(Value::Int(value))
                }
                Domain::Float { min, max, .. } => {
                    let (eight, tail): (&[u8; 8], _) = rest.split_first_chunk()?;
                    rest = tail;
                    let value = f64::from_le_bytes(*eight);
                    (*min..=*max).contains(&value).then_some(Value::Float(value))
                }
            }
        });
        point.filter(|_| rest.is_empty()).ok_or(Misfit)
    }
}

/// Writes seven bits to each byte, the lowest first; the highest bit says that another byte
/// follows.
fn put(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads a number that [`put`] wrote and removes it from the front of `bytes`.
fn take(bytes: &mut &[u8]) -> Option<u64> {
    let len = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)? + 1;
    let (number, rest) = bytes.split_at(len);
    *bytes = rest;
    Some(number.iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::parse;
    use super::*;

    #[test]
    fn a_number_comes_back_whatever_its_size() {
        for number in [0, 1, 127, 128, 300, 1 << 53, u64::MAX] {
            let mut bytes = Vec::new();
            put(number, &mut bytes);
            bytes.push(7);
            let mut rest = &bytes[..];
            assert_eq!((take(&mut rest), rest), (Some(number), &[7_u8][..]));
        }
        assert_eq!((take(&mut &[0x80_u8; 20][..]), take(&mut &[][..])), (None, None));
    }

    #[test]
    fn bytes_that_are_no_point_of_the_space_are_a_misfit() {
        let space = parse(&json!([
            {"name": "rate", "type": "float", "min_value": 0.1, "max_value": 0.5},
            {"name": "units", "type": "int", "min_value": -70000, "max_value": 70000},
            {"name": "activation", "type": "choice", "values": ["relu", "tanh"]},
        ]));
        let values = [Value::Float(0.25), Value::Int(-70_000), Value::Text("tanh".into())];
        let point = space.build(|at, _| Some(values[at].clone())).unwrap();
        let bytes = space.pack(&point);
        assert_eq!((bytes.len(), space.unpack(&bytes)), (12, Ok(point)));
        for len in 0..bytes.len() {
            assert_eq!(space.unpack(&bytes[..len]), Err(Misfit), "{len} bytes of it");
        }
        assert_eq!(space.unpack(&[&bytes[..], &[0]].concat()), Err(Misfit), "a byte too many");
        assert_eq!(space.unpack(&[&bytes[..11], &[2]].concat()), Err(Misfit), "a third choice of two");
        assert_eq!(space.unpack(&[&0.75_f64.to_le_bytes()[..], &bytes[8..]].concat()), Err(Misfit));
    }
}

//! A trial's hyperparameters in Redis: the JSON array of `SearchSpace::pack` as tagged bytes, about
//! half its size.
//!
//! A float keeps its eight bytes, an integer takes what it needs, a string is a length and its
//! text.

use serde_json::{Number, Value};

use crate::error::{Error, Result};

const FALSE: u8 = 0;
const TRUE: u8 = 1;
const FLOAT: u8 = 2;
const INTEGER: [(u8, usize); 4] = [(3, 1), (4, 2), (5, 4), (6, 8)];
const TEXT: u8 = 7;

/// The bytes of `point`, a JSON array of scalars.
pub(crate) fn pack(point: &str) -> Result<Vec<u8>> {
    let values: Vec<Value> =
        serde_json::from_str(point).map_err(|error| Error::Corrupt(format!("point {point}: {error}")))?;
    let mut bytes = Vec::with_capacity(point.len());
    for value in &values {
        match value {
            Value::Bool(value) => bytes.push(if *value { TRUE } else { FALSE }),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => pack_integer(integer, &mut bytes),
                (None, Some(float)) => {
                    bytes.push(FLOAT);
                    bytes.extend(float.to_le_bytes());
                }
                (None, None) => return Err(Error::Corrupt(format!("point {point}"))),
            },
            Value::String(text) => {
                bytes.push(TEXT);
                bytes.extend(
                    u16::try_from(text.len())
                        .map_err(|_| Error::Corrupt(format!("point {point}")))?
                        .to_le_bytes(),
                );
                bytes.extend(text.as_bytes());
            }
            _ => return Err(Error::Corrupt(format!("point {point}: only scalars"))),
        }
    }
    Ok(bytes)
}

/// The JSON array that [`pack`] was given, compact.
pub(crate) fn unpack(bytes: &[u8]) -> Result<String> {
    let corrupt = || Error::Corrupt("a packed point is cut short".into());
    let mut values = Vec::new();
    let mut rest = bytes;
    while let Some((&tag, tail)) = rest.split_first() {
        rest = tail;
        let mut take = |len: usize| -> Result<&[u8]> {
            let (head, tail) = rest.split_at_checked(len).ok_or_else(corrupt)?;
            rest = tail;
            Ok(head)
        };
        values.push(match tag {
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            FLOAT => {
                let float = f64::from_le_bytes(take(8)?.try_into().expect("eight bytes were taken"));
                Value::Number(Number::from_f64(float).ok_or_else(corrupt)?)
            }
            TEXT => {
                let len = u16::from_le_bytes(take(2)?.try_into().expect("two bytes were taken"));
                Value::String(String::from_utf8(take(len.into())?.to_vec()).map_err(|_| corrupt())?)
            }
            _ => {
                let (_, len) = INTEGER.iter().find(|(integer, _)| *integer == tag).ok_or_else(corrupt)?;
                let bytes = take(*len)?;
                let mut wide = [if bytes[len - 1] & 0x80 == 0 { 0 } else { 0xff }; 8];
                wide[..*len].copy_from_slice(bytes);
                Value::Number(i64::from_le_bytes(wide).into())
            }
        });
    }
    Ok(Value::Array(values).to_string())
}

/// The shortest two's complement that holds `integer`.
fn pack_integer(integer: i64, bytes: &mut Vec<u8>) {
    let fits = |len: usize| len == 8 || (integer >> (8 * len - 1) == 0) || (integer >> (8 * len - 1) == -1);
    let (tag, len) = INTEGER.into_iter().find(|(_, len)| fits(*len)).expect("eight bytes hold any i64");
    bytes.push(tag);
    bytes.extend(&integer.to_le_bytes()[..len]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_comes_back_as_it_was() {
        let point = r#"[true,false,0,1,-1,127,128,-128,-129,40000,-2147483648,9007199254740992,0.1,1.0,-0.0,1e-300,0.0012345678901234567,"relu",""," ü"]"#;
        assert_eq!(
            unpack(&pack(point).unwrap()).unwrap(),
            serde_json::from_str::<Value>(point).unwrap().to_string()
        );
        assert_eq!(unpack(&pack("[]").unwrap()).unwrap(), "[]");
    }

    #[test]
    fn damaged_bytes_are_an_error_not_a_panic() {
        let bytes = pack(r#"[0.25,70000,"relu"]"#).unwrap();
        assert!((1..bytes.len()).any(|len| unpack(&bytes[..len]).is_err()));
        assert!(unpack(&[9]).is_err() && unpack(&[TEXT, 255, 255, 1]).is_err());
    }
}

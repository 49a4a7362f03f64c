//! Reads what the scripts answer.

use std::fmt::Display;
use std::str::FromStr;

use redis::Value;

use crate::error::{Error, Result};

/// One array of an answer, read from the front.
pub(crate) struct Reply(std::vec::IntoIter<Value>);

impl Reply {
    /// The array that `value` is.
    pub(crate) fn of(value: Value) -> Result<Reply> {
        match value {
            Value::Array(items) => Ok(Reply(items.into_iter())),
            other => Err(unexpected("an array", &other)),
        }
    }

    /// The next value, whatever it is; none at the end.
    pub(crate) fn next(&mut self) -> Option<Value> {
        self.0.next()
    }

    /// The next value as a nested array.
    pub(crate) fn array(&mut self) -> Result<Reply> {
        Reply::of(self.take()?)
    }

    /// The next value as bytes.
    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>> {
        bytes(self.take()?)
    }

    /// The next value as text.
    pub(crate) fn text(&mut self) -> Result<String> {
        text(self.take()?)
    }

    /// The next value as a number or a name, parsed from its text.
    pub(crate) fn parse<T: FromStr<Err: Display>>(&mut self) -> Result<T> {
        let text = self.text()?;
        text.parse().map_err(|error| Error::Corrupt(format!("{text:?}: {error}")))
    }

    /// The next value as one of a closed set, whose names `read` knows.
    pub(crate) fn name<T>(&mut self, read: fn(&str) -> Option<T>) -> Result<T> {
        let text = self.text()?;
        read(&text).ok_or_else(|| Error::Corrupt(format!("unknown name {text:?}")))
    }

    /// As [`Reply::name`]; none if the text is empty.
    pub(crate) fn option<T>(&mut self, read: fn(&str) -> Option<T>) -> Result<Option<T>> {
        match self.text()?.as_str() {
            "" => Ok(None),
            text => read(text).map(Some).ok_or_else(|| Error::Corrupt(format!("unknown name {text:?}"))),
        }
    }

    /// The next value, whatever it is.
    pub(crate) fn take(&mut self) -> Result<Value> {
        self.0.next().ok_or_else(|| Error::Corrupt("an answer is too short".into()))
    }
}

/// The bytes of a string or of an integer's digits.
pub(crate) fn bytes(value: Value) -> Result<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::Int(number) => Ok(number.to_string().into_bytes()),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        other => Err(unexpected("a string", &other)),
    }
}

/// The text of a string or an integer.
pub(crate) fn text(value: Value) -> Result<String> {
    String::from_utf8(bytes(value)?).map_err(|error| Error::Corrupt(error.to_string()))
}

/// The integer that `value` is.
pub(crate) fn integer(value: Value) -> Result<i64> {
    match value {
        Value::Int(number) => Ok(number),
        other => Err(unexpected("an integer", &other)),
    }
}

fn unexpected(what: &str, value: &Value) -> Error {
    Error::Corrupt(format!("{what} was expected, not {value:?}"))
}

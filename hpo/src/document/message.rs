//! Formats values of a document for messages, and guesses the name that was meant.

use serde_json::Value as Json;

use crate::limits;
use crate::value::Value;

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

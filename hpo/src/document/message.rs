//! What messages say of a document: its values, and the name that was meant.

use serde_json::Value as Json;

use crate::limits;
use crate::value::Value;

/// `; did you mean x?` where one of `known` is near.
pub fn did_you_mean<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> String {
    // Comparing takes the product of the lengths.
    if name.len() > limits::NAME_BYTES_MAX {
        return String::new();
    }
    let nearest = known.map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate)).min();
    match nearest {
        // A third of the letters wrong is a typing error; more is another word.
        Some((distance, candidate)) if distance * 3 <= candidate.len().max(3) => {
            format!("; did you mean {candidate}?")
        }
        _ => String::new(),
    }
}

/// What a JSON value is, in a message.
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

/// A JSON value as it may stand in a message: cut where it is long.
pub(crate) fn brief(json: &Json) -> String {
    cut(json.to_string())
}

/// A string of the document as it may stand in a message: quoted, and cut where it is long.
pub(crate) fn quote(text: &str) -> String {
    cut(format!("{text:?}"))
}

fn cut(text: String) -> String {
    match text.char_indices().nth(limits::QUOTED_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Values in a message: the first of them.
pub(crate) fn list(values: &[Value]) -> String {
    let first: Vec<String> =
        values.iter().take(limits::VALUES_NAMED_MAX).map(|value| cut(value.to_string())).collect();
    first.join(", ") + if values.len() > limits::VALUES_NAMED_MAX { ", …" } else { "" }
}

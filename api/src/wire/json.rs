//! Bodies: read within the limit, only as JSON, and strictly.

use std::fmt;
use std::time::Duration;

use crate::limits;
use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, Payload};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

use crate::error::Error;

/// The body of a request that must be JSON.
pub(crate) async fn read_body(request: &HttpRequest, payload: Payload) -> Result<Bytes, Error> {
    let media_type =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Error::UnsupportedMediaType);
    }
    // The size of an encoded body would have to be bounded once more, inflated.
    if request.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Error::UnsupportedMediaType);
    }
    // A body that is announced as too large is refused before it is sent.
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits::BODY_BYTES_MAX as u64) {
        return Err(Error::BodyTooLarge);
    }
    let read = payload.to_bytes_limited(limits::BODY_BYTES_MAX);
    match tokio::time::timeout(Duration::from_secs(limits::HTTP_BODY_SECONDS_MAX), read).await {
        Ok(Ok(Ok(bytes))) => Ok(bytes),
        Ok(Ok(Err(error))) => Err(Error::MalformedJson(format!("the body could not be read: {error}"))),
        Ok(Err(_)) => Err(Error::BodyTooLarge),
        Err(_) => Err(Error::RequestTimeout),
    }
}

/// The JSON in `bytes`. A name that is listed twice in one object is an error: one of the two values
/// would be ignored.
pub(crate) fn parse_json(bytes: &[u8]) -> Result<Json, Error> {
    serde_json::from_slice::<Strict>(bytes)
        .map(|strict| strict.0)
        .map_err(|error| Error::MalformedJson(error.to_string()))
}

struct Strict(Json);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("the name {name:?} is listed twice in one object")));
            }
            object.insert(name, value);
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_and_a_name_that_is_listed_twice_does_not() {
        let text = r#"{"a": [1, -2, 0.1, 1e-7, 12345678901234567890, true, null, "x"], "b": {"a": {}}}"#;
        let parsed = parse_json(text.as_bytes()).unwrap();
        assert_eq!(parsed, serde_json::from_str::<Json>(text).unwrap());
        for (text, fragment) in [
            (r#"{"a": 1, "b": {"c": 1, "c": 2}}"#, "\"c\" is listed twice"),
            ("{\"a\": NaN}", "expected value"),
            ("{\"a\": 1e999}", "out of range"),
            ("", "EOF"),
            ("{} {}", "trailing"),
        ] {
            let error = parse_json(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(fragment), "{text}: {error}");
        }
        assert!(
            parse_json("[".repeat(100_000).as_bytes()).unwrap_err().to_string().contains("recursion limit")
        );
    }
}

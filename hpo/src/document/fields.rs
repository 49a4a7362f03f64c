//! Reads the fields of an object, with defaults for those that are left out.

use serde_json::{Map, Value as Json};

use super::message::{brief, did_you_mean, kind};
use super::{FromDocument, Place};

impl<'a> Place<'a> {
    /// The fields of the object at this place.
    pub fn fields(&self) -> Option<Fields<'a>> {
        let Some(object) = self.value.as_object() else {
            self.invalid(format!("must be an object, not {}", kind(self.value)));
            return None;
        };
        Some(Fields { object: Some(object), place: self.clone(), known: Vec::new() })
    }

    /// The fields of a thing that is given by its name alone: there are none.
    pub(super) fn no_fields(&self) -> Fields<'a> {
        Fields { object: None, place: self.clone(), known: Vec::new() }
    }
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

    /// The value of a field, or `default` if it is left out; it cannot be a hyperparameter.
    pub fn fixed_or<T: FromDocument>(&mut self, name: &'static str, default: T) -> Option<T> {
        self.get(name).map_or(Some(default), |place| place.fixed())
    }

    /// The value of a field that may be left out but must not be wrong; it cannot be a
    /// hyperparameter.
    pub fn optional<T: FromDocument>(&mut self, name: &'static str) -> Option<Option<T>> {
        self.optional_by(name, |place| place.fixed())
    }

    /// Reads a field that may be left out but must not be wrong with `read`.
    pub fn optional_by<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Place<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.get(name) {
            Some(place) => read(&place).map(Some),
            None => Some(None),
        }
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

//! Reads numbers within bounds, closed sets of names, and things that have a name and arguments.

use super::{Fields, FromDocument, Place, brief, did_you_mean};

/// The number at `place` if it is between `min` and `max`, both included.
pub fn within<T: FromDocument + PartialOrd + std::fmt::Display + Copy>(
    place: &Place,
    (min, max): (T, T),
) -> Option<T> {
    let number = T::from_place(place)?;
    if number < min || number > max {
        place.invalid(format!("must be between {min} and {max}, not {number}"));
        return None;
    }
    Some(number)
}

/// Declares a number within bounds as a type that can be read: `bounded! { Rate(f64), 0.0, 1.0 }`.
macro_rules! bounded {
    ($(#[$doc:meta])* $vis:vis $name:ident($inner:ty), $min:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
        $vis struct $name(pub $inner);
        impl $crate::document::FromDocument for $name {
            fn from_place(place: &$crate::document::Place) -> Option<$name> {
                $crate::document::within::<$inner>(place, ($min, $max)).map($name)
            }
        }
    };
}
pub(crate) use bounded;

/// Declares a closed set of names, with `ALL`, `NAMES`, `as_str` and `parse`.
///
/// A set with `later` can be read from a document. `later` lists names that are known but not
/// supported yet, and `Silu = "silu" | "swish"` has an alias. A set without `later` is sent and
/// received: it can be displayed, is written as its name in JSON, and has a schema.
macro_rules! names {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal $(| $alias:literal)*),+ $(,)? } later [$($later:literal),* $(,)?]) => {
        $crate::document::names! { @set $(#[$doc])* $vis enum $name { $($(#[$vdoc])* $variant = $text $(| $alias)*),+ } }
        impl $crate::document::FromDocument for $name {
            fn from_place(place: &$crate::document::Place) -> Option<$name> {
                let later: &[&'static str] = &[$($later),*];
                $crate::document::read_name(place, $name::NAMES.iter().copied(), later).and_then($name::parse)
            }
        }
    };
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $crate::document::names! {
            @set
            $(#[$doc])*
            #[derive(PartialOrd, Ord)]
            #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
            $vis enum $name { $($(#[$vdoc])* #[cfg_attr(feature = "openapi", schema(rename = $text))] $variant = $text),+ }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let name = String::deserialize(deserializer)?;
                $name::parse(&name).ok_or_else(|| serde::de::Error::unknown_variant(&name, $name::NAMES))
            }
        }
    };
    (@set $(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal $(| $alias:literal)*),+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[$vdoc])* $variant),+ }
        #[allow(dead_code)] // Not every set needs all of these.
        impl $name {
            /// All of them, in the order of the documentation.
            $vis const ALL: &'static [$name] = &[$($name::$variant),+];
            /// Every name that can be read, aliases included.
            $vis const NAMES: &'static [&'static str] = &[$($text $(, $alias)*),+];
            /// Its name in a document and on the wire.
            $vis fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
            /// The one with this name.
            $vis fn parse(name: &str) -> Option<$name> {
                match name { $($text $(| $alias)* => Some($name::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use names;

/// The name in `known` that is at `place`.
pub(crate) fn read_name(
    place: &Place,
    known: impl Iterator<Item = &'static str> + Clone,
    later: &[&'static str],
) -> Option<&'static str> {
    let name = String::from_place(place)?;
    let found = known.clone().find(|one| *one == name);
    if found.is_none() {
        let all = known.clone().collect::<Vec<_>>().join(", ");
        if later.contains(&name.as_str()) {
            place.not_supported(format!("{name} is not supported yet; supported: {all}"));
        } else {
            let near = did_you_mean(&name, known.chain(later.iter().copied()));
            place.invalid(format!("unknown name {}{near}; known names: {all}", brief(place.json())));
        }
    }
    found
}

/// A function that reads the arguments of one kind of thing.
pub(crate) type Reader<T> = fn(&mut Fields) -> Option<T>;

/// Reads a name of `table`, or an object with `name` and its arguments. `later` has the names, and
/// the arguments of any of them, that are known but not supported yet.
pub(crate) fn read_named<T>(
    place: &Place,
    table: &[(&'static str, Reader<T>)],
    later: (&[&'static str], &[&str]),
) -> Option<T> {
    let (name, mut fields) = name_and_fields(place, table.iter().map(|(name, _)| *name), later.0)?;
    let thing = pick(table, name)?(&mut fields);
    fields.finish(later.1);
    thing
}

/// The name at `place`, alone or in an object, and the other fields.
pub(crate) fn name_and_fields<'a>(
    place: &Place<'a>,
    known: impl Iterator<Item = &'static str> + Clone,
    later: &[&'static str],
) -> Option<(&'static str, Fields<'a>)> {
    if place.json().is_string() {
        return Some((read_name(place, known, later)?, place.no_fields()));
    }
    if !place.json().is_object() {
        place.invalid(format!("must be a name, or an object with a `name`, not {}", brief(place.json())));
        return None;
    }
    let mut fields = place.fields()?;
    let name = fields.required("name")?;
    Some((read_name(&name, known, later)?, fields))
}

/// The reader for this name.
pub(crate) fn pick<T>(table: &[(&'static str, Reader<T>)], name: &str) -> Option<Reader<T>> {
    table.iter().find(|(known, _)| *known == name).map(|(_, read)| *read)
}

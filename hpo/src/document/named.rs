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

/// Declares a closed set of Keras's names that can be read from a document (`Silu = "silu" |
/// "swish"` has an alias), and the names that are known but not supported yet.
macro_rules! names {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal $(| $alias:literal)*),+ $(,)? } later [$($later:literal),* $(,)?]) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[$vdoc])* $variant),+ }
        #[allow(dead_code)] // Not every set needs all of these.
        impl $name {
            /// All of them.
            $vis const ALL: &'static [$name] = &[$($name::$variant),+];
            /// Every name that can be read, aliases included.
            $vis const NAMES: &'static [&'static str] = &[$($text $(, $alias)*),+];
            /// Its name in a document.
            $vis fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
            /// The one with this name.
            $vis fn parse(name: &str) -> Option<$name> {
                match name { $($text $(| $alias)* => Some($name::$variant),)+ _ => None }
            }
        }
        impl $crate::document::FromDocument for $name {
            fn from_place(place: &$crate::document::Place) -> Option<$name> {
                let later: &[&'static str] = &[$($later),*];
                $crate::document::read_name(place, $name::NAMES.iter().copied(), later).and_then($name::parse)
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

//! How much the rows of each class count in the training loss: Keras's `class_weight`.

use std::fmt;

use crate::document::{FromDocument, Place, bounded, quote};
use crate::limits;

/// How much the rows of each class count in the training loss.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ClassWeight {
    /// All classes count the same.
    #[default]
    None,
    /// `rows / (classes · rows of the class)` in the training part, so that the rows of each class
    /// together count the same.
    Balanced,
    /// The weights of these classes; others have weight 1.
    Given(Vec<(Class, f64)>),
}

/// A class as a study names it. Numbers are ordered before names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// By its number, counted from 0.
    Number(u32),
    /// By its name in the dataset.
    Name(String),
}

impl Class {
    fn parse(key: &str) -> Class {
        let number = key.parse::<u32>().ok().filter(|number| number.to_string() == key);
        number.map_or_else(|| Class::Name(key.to_owned()), Class::Number)
    }

    /// The same class by its number among classes of these names. Names in the dataset come first,
    /// since folders of images are often called 0, 1, 10, 2. A name that no class has is kept.
    pub(crate) fn numbered(&self, names: &[String]) -> Class {
        let name = self.to_string();
        names
            .iter()
            .position(|other| *other == name)
            .map_or_else(|| self.clone(), |number| Class::Number(number as u32))
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Class::Number(number) => write!(f, "{number}"),
            Class::Name(name) => f.write_str(name),
        }
    }
}

impl ClassWeight {
    /// The same weights for classes of these names, each by its number. `names` is empty if the
    /// source does not name its classes. A name that no class has is kept.
    pub fn numbered(&self, names: &[String]) -> ClassWeight {
        match self {
            ClassWeight::Given(weights) => ClassWeight::Given(
                weights.iter().map(|(class, weight)| (class.numbered(names), *weight)).collect(),
            ),
            other => other.clone(),
        }
    }
}

bounded! {
    /// The weight of a class.
    Weight(f64), 0.0, limits::CLASS_WEIGHT_MAX
}

impl FromDocument for ClassWeight {
    /// `balanced`, or an object with classes as keys; null for none. Whether the classes exist is
    /// checked later, against the dataset.
    fn from_place(place: &Place) -> Option<ClassWeight> {
        if place.json().is_null() {
            return Some(ClassWeight::None);
        }
        if place.json() == "balanced" {
            return Some(ClassWeight::Balanced);
        }
        let Some(object) = place.json().as_object().filter(|object| object.len() <= limits::CHOICES_MAX)
        else {
            place.invalid(format!(
                "must be `balanced`, or an object with at most {} classes as keys",
                limits::CHOICES_MAX
            ));
            return None;
        };
        let weights: Vec<Option<(Class, f64)>> = object
            .iter()
            .map(|(key, value)| {
                let place = place.child(key, value);
                if key.len() > limits::CLASS_NAME_BYTES_MAX {
                    place.invalid(format!("{} is longer than any name of a class", quote(key)));
                    return None;
                }
                Some((Class::parse(key), place.read::<Weight>()?.0))
            })
            .collect();
        let mut weights: Vec<(Class, f64)> = weights.into_iter().collect::<Option<_>>()?;
        weights.sort_by(|(a, _), (b, _)| a.cmp(b));
        Some(ClassWeight::Given(weights))
    }
}

//! How much the rows of each class count in the training loss: Keras's `class_weight`.

use crate::document::{FromDocument, Place, bounded, quote};
use crate::limits;

/// How much the rows of each class count in the training loss.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ClassWeight {
    /// All the same.
    #[default]
    None,
    /// `rows / (classes · rows of the class)` in the training part, so that all classes count the same together.
    Balanced,
    /// These classes so much, in rising order; others 1.
    Given(Vec<(u32, f64)>),
}

bounded! {
    /// How much a class counts.
    Weight(f64), 0.0, limits::CLASS_WEIGHT_MAX
}

impl FromDocument for ClassWeight {
    /// `balanced`, or an object with class numbers as keys; null for none.
    fn from_place(place: &Place) -> Option<ClassWeight> {
        if place.json().is_null() {
            return Some(ClassWeight::None);
        }
        if place.json() == "balanced" {
            return Some(ClassWeight::Balanced);
        }
        let Some(object) = place.json().as_object().filter(|object| object.len() <= limits::CHOICES_MAX) else {
            place.invalid(format!("must be balanced, or an object with at most {} class numbers as keys", limits::CHOICES_MAX));
            return None;
        };
        let weights: Vec<Option<(u32, f64)>> = object
            .iter()
            .map(|(key, value)| {
                let place = place.child(key, value);
                let class = key.parse::<u32>().ok().filter(|class| class.to_string() == *key);
                if class.is_none() {
                    place.invalid(format!("{} is no class number", quote(key)));
                }
                let weight = place.read::<Weight>();
                Some((class?, weight?.0))
            })
            .collect();
        let mut weights: Vec<(u32, f64)> = weights.into_iter().collect::<Option<_>>()?;
        weights.sort_by_key(|(class, _)| *class);
        Some(ClassWeight::Given(weights))
    }
}

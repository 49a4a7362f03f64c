//! Sizes in the arguments of layers: units, filters, the sides of a window.

use crate::document::{FromDocument, Place, bounded};
use crate::limits;

bounded! {
    /// A size: units, filters, a side of a window.
    pub(super) Size(i64), 1, limits::LAYER_SIZE_MAX
}

impl Size {
    /// The size as a count.
    pub(super) fn get(self) -> usize {
        self.0 as usize
    }
}

/// A height and a width; the height is 1 if there is only one axis. In a document: one number for
/// all axes, or an array.
pub(super) struct Sides<const AXES: usize>(pub(super) [usize; 2]);

impl<const AXES: usize> FromDocument for Sides<AXES> {
    fn from_place(place: &Place) -> Option<Sides<AXES>> {
        let mut sides = [1; 2];
        let own = &mut sides[2 - AXES..];
        if !place.json().is_array() {
            own.fill(Size::from_place(place)?.get());
            return Some(Sides(sides));
        }
        let sizes: Vec<Option<Size>> = place.items(AXES)?.iter().map(Place::read::<Size>).collect();
        if sizes.len() != AXES {
            place.invalid(if AXES == 1 {
                "must be a number, or an array of one"
            } else {
                "must be a number, or an array of two: height and width"
            });
            return None;
        }
        for (side, size) in own.iter_mut().zip(sizes) {
            *side = size?.get();
        }
        Some(Sides(sides))
    }
}

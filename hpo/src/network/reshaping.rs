//! Layers that change the shape or order of a row, or put zeros around it.

use crate::document::{Fields, FromDocument, Place, bounded, within};
use crate::limits;

bounded! {
    /// A dimension of a row, counted as in Keras: from 1, after the batch.
    pub(super) RowAxis(i64), 1, limits::RANK_MAX as i64
}
bounded! {
    /// Zeros at an edge.
    Zeros(i64), 0, limits::LAYER_SIZE_MAX
}

/// `target_shape`: sizes, of which one may be -1.
pub(super) fn target_shape(fields: &mut Fields) -> Option<Vec<i64>> {
    let place = fields.required("target_shape")?;
    let read = |item: &Place| item.read::<Dimension>().map(|dimension| dimension.0);
    let shape: Vec<i64> = place.items(limits::RANK_MAX)?.iter().map(read).collect::<Option<_>>()?;
    if shape.is_empty() || shape.iter().filter(|size| **size == -1).count() > 1 {
        place.invalid("needs one dimension or more, of which at most one is -1");
        return None;
    }
    Some(shape)
}

/// A dimension of `target_shape`: a size, or -1 for the one that takes what is left.
struct Dimension(i64);

impl FromDocument for Dimension {
    fn from_place(place: &Place) -> Option<Dimension> {
        let size = within::<i64>(place, (-1, limits::LAYER_SIZE_MAX))?;
        if size == 0 {
            place.invalid("must be -1 or at least 1");
            return None;
        }
        Some(Dimension(size))
    }
}

/// `dims`: each dimension of a row once, counted from 1.
pub(super) fn dims(fields: &mut Fields) -> Option<Vec<usize>> {
    let place = fields.required("dims")?;
    let dims: Vec<usize> = row_axes(&place)?;
    let mut sorted = dims.clone();
    sorted.sort_unstable();
    if dims.is_empty() || sorted.into_iter().ne(1..=dims.len()) {
        place.invalid("must be a permutation of the dimensions of a row, counted from 1, such as [2, 1]");
        return None;
    }
    Some(dims)
}

/// The dimensions of a row that are listed at `place`.
pub(super) fn row_axes(place: &Place) -> Option<Vec<usize>> {
    let axes: Vec<Option<RowAxis>> = place.items(limits::RANK_MAX)?.iter().map(Place::read).collect();
    axes.into_iter().map(|axis| Some(axis?.0 as usize)).collect()
}

/// `padding`: zeros above and below, left and right.
pub(super) fn zero_padding(fields: &mut Fields) -> Option<[[usize; 2]; 2]> {
    fields.or("padding", Edges([[1; 2]; 2])).map(|edges| edges.0)
}

/// One number for all four edges, or an array of two axes. Each axis is a number for both of its
/// edges, or an array of two.
struct Edges([[usize; 2]; 2]);

impl FromDocument for Edges {
    fn from_place(place: &Place) -> Option<Edges> {
        if !place.json().is_array() {
            return Zeros::from_place(place).map(|zeros| Edges([[zeros.0 as usize; 2]; 2]));
        }
        two(place, "must be a number, [height, width] or [[top, bottom], [left, right]]")
            .map(|[height, width]: [Axis; 2]| Edges([height.0, width.0]))
    }
}

/// Zeros at both ends of an axis.
struct Axis([usize; 2]);

impl FromDocument for Axis {
    fn from_place(place: &Place) -> Option<Axis> {
        if !place.json().is_array() {
            return Zeros::from_place(place).map(|zeros| Axis([zeros.0 as usize; 2]));
        }
        two(place, "must be a number, or an array of two")
            .map(|ends: [Zeros; 2]| Axis(ends.map(|zeros| zeros.0 as usize)))
    }
}

/// The two items of the array at `place`; anything else is reported as `otherwise`.
fn two<T: FromDocument>(place: &Place, otherwise: &str) -> Option<[T; 2]> {
    let members: Vec<Option<T>> = place.items(2)?.iter().map(Place::read).collect();
    let Ok([first, second]) = <[Option<T>; 2]>::try_from(members) else {
        place.invalid(otherwise);
        return None;
    };
    Some([first?, second?])
}

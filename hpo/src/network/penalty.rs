//! Penalties on weights and outputs, and limits on weights: Keras's regularisers and constraints
//! (<https://keras.io/api/layers/regularizers/>, <https://keras.io/api/layers/constraints/>).

use crate::document::{Fields, FromDocument, Place, Reader, bounded, read_named};
use crate::limits;

/// Adds `l1 · sum(|w|) + l2 · sum(w²)` to the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regularizer {
    /// The factor of the absolute values.
    pub l1: f64,
    /// The factor of the squares.
    pub l2: f64,
}

/// A condition that a weight is forced to meet after each step.
#[derive(Debug, Clone, PartialEq)]
pub enum Constraint {
    /// Norms along `axis` are at most `max_value`.
    MaxNorm {
        /// The largest norm.
        max_value: f64,
        /// The dimensions that a norm is taken over, counted from 0.
        axis: Vec<usize>,
    },
    /// Norms along `axis` are 1.
    UnitNorm {
        /// The dimensions that a norm is taken over, counted from 0.
        axis: Vec<usize>,
    },
    /// No number is below 0.
    NonNeg,
}

impl Constraint {
    /// The dimensions of the weight that a norm is taken over; empty for other constraints.
    pub fn axis(&self) -> &[usize] {
        match self {
            Constraint::MaxNorm { axis, .. } | Constraint::UnitNorm { axis } => axis,
            Constraint::NonNeg => &[],
        }
    }
}

bounded! {
    /// The factor of a regulariser.
    Factor(f64), 0.0, limits::PENALTY_MAX
}
bounded! {
    /// The largest norm of a weight.
    Norm(f64), 0.0, limits::WEIGHT_START_MAX
}
bounded! {
    /// A dimension of a weight, counted from 0.
    Axis(i64), 0, limits::RANK_MAX as i64
}

/// Keras's regularisers.
pub(crate) const REGULARIZERS: &[(&str, Reader<Regularizer>)] = &[
    // Keras's L1 and L2 default to 0.01. So does l1_l2 here; in Keras, L1L2 defaults to 0 and would
    // do nothing.
    ("l1", |fields| fields.or("l1", Factor(0.01)).map(|l1| Regularizer { l1: l1.0, l2: 0.0 })),
    ("l2", |fields| fields.or("l2", Factor(0.01)).map(|l2| Regularizer { l1: 0.0, l2: l2.0 })),
    ("l1_l2", |fields| {
        let (l1, l2) = (fields.or("l1", Factor(0.01)), fields.or("l2", Factor(0.01)));
        Some(Regularizer { l1: l1?.0, l2: l2?.0 })
    }),
];

impl FromDocument for Regularizer {
    /// A name, or an object with `name` and arguments.
    fn from_place(place: &Place) -> Option<Regularizer> {
        read_named(place, REGULARIZERS, (&["orthogonal_regularizer"], &[]))
    }
}

/// Keras's constraints.
pub(crate) const CONSTRAINTS: &[(&str, Reader<Constraint>)] = &[
    ("max_norm", |fields| {
        let (max_value, axis) = (fields.or("max_value", Norm(2.0)), axis(fields));
        Some(Constraint::MaxNorm { max_value: max_value?.0, axis: axis? })
    }),
    ("unit_norm", |fields| axis(fields).map(|axis| Constraint::UnitNorm { axis })),
    ("non_neg", |_| Some(Constraint::NonNeg)),
];

impl FromDocument for Constraint {
    /// A name, or an object with `name` and arguments.
    fn from_place(place: &Place) -> Option<Constraint> {
        read_named(place, CONSTRAINTS, (&["min_max_norm"], &[]))
    }
}

/// One dimension, or an array of dimensions; 0 by default.
fn axis(fields: &mut Fields) -> Option<Vec<usize>> {
    fields.or("axis", Axes(vec![0])).map(|axes| axes.0)
}

struct Axes(Vec<usize>);

impl FromDocument for Axes {
    fn from_place(place: &Place) -> Option<Axes> {
        if !place.json().is_array() {
            return Axis::from_place(place).map(|axis| Axes(vec![axis.0 as usize]));
        }
        let axes: Vec<Option<Axis>> = place.items(limits::RANK_MAX)?.iter().map(Place::read).collect();
        let axes: Vec<usize> = axes.into_iter().map(|axis| Some(axis?.0 as usize)).collect::<Option<_>>()?;
        if axes.is_empty() {
            place.invalid("needs one dimension or more");
            return None;
        }
        Some(Axes(axes))
    }
}

//! Layers that process each number on its own: activations, dropout and noise.

use super::recurrent::Rate;
use super::reshaping::row_axes;
use super::weight::weight_spec;
use super::{Initializer, Layer, LayerWeight, WeightSpec};
use crate::document::{Fields, FromDocument, Place, bounded};
use crate::limits;

/// [`Layer::PReLU`]: `x` above 0, `alpha x` below. Alpha has the shape of a row, with 1 for the
/// shared dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct PReLU {
    /// The slopes.
    pub alpha: WeightSpec,
    /// The dimensions of a row along which there is one slope, counted from 1.
    pub shared_axes: Vec<usize>,
}

bounded! {
    /// The slope of a leaky ReLU below 0.
    Slope(f64), 0.0, limits::WEIGHT_START_MAX
}
bounded! {
    /// The standard deviation of noise, in the range that Keras allows.
    Noise(f64), 0.0, 1.0
}

impl PReLU {
    pub(super) fn read(fields: &mut Fields) -> Option<PReLU> {
        let alpha = weight_spec!(fields, "alpha", Initializer::Zeros);
        let shared_axes = fields.or("shared_axes", SharedAxes(Vec::new()));
        Some(PReLU { alpha: alpha?, shared_axes: shared_axes?.0 })
    }

    pub(super) fn weights(&self, input: &[usize]) -> Vec<LayerWeight<'_>> {
        let shared = |axis: usize| self.shared_axes.contains(&(axis + 1));
        let shape =
            input.iter().enumerate().map(|(axis, size)| if shared(axis) { 1 } else { *size }).collect();
        vec![LayerWeight::new("alpha", shape, &self.alpha)]
    }
}

pub(super) fn rescaling(fields: &mut Fields) -> Option<Layer> {
    let scale = fields.required("scale").and_then(|place| place.read());
    let offset = fields.or("offset", 0.0);
    Some(Layer::Rescaling { scale: scale?, offset: offset? })
}

pub(super) fn leaky_relu(fields: &mut Fields) -> Option<Layer> {
    fields.or("negative_slope", Slope(0.3)).map(|slope| Layer::LeakyReLU { negative_slope: slope.0 })
}

pub(super) fn rate(fields: &mut Fields) -> Option<f64> {
    fields.required("rate").and_then(|place| place.read::<Rate>()).map(|rate| rate.0)
}

pub(super) fn gaussian_noise(fields: &mut Fields) -> Option<Layer> {
    fields
        .required("stddev")
        .and_then(|place| place.read::<Noise>())
        .map(|stddev| Layer::GaussianNoise { stddev: stddev.0 })
}

/// An array of dimensions of a row; null for none.
struct SharedAxes(Vec<usize>);

impl FromDocument for SharedAxes {
    fn from_place(place: &Place) -> Option<SharedAxes> {
        if place.json().is_null() { Some(SharedAxes(Vec::new())) } else { row_axes(place).map(SharedAxes) }
    }
}

//! Bounds the costs if there are too many networks to visit: intervals that contain the cost of
//! each.
//!
//! The output of each layer is monotonic in its input and in each of its sizes, and its cost grows
//! with its input, its output and its sizes. So the ends of the ranges enclose everything between
//! them. Shapes are enclosed for each rank.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::propagate::costs;
use super::{Recipe, Totals};
use crate::dataset::DatasetSchema;
use crate::document::has_key;
use crate::limits;
use crate::network::{FlatLayer, Layer, Padding};
use crate::shape::{Cost, Windows, unbounded};
use crate::space::{Domain, Point};
use crate::study::Study;
use crate::value::Value;

/// A smallest and a largest shape of one rank.
type Interval = (Vec<usize>, Vec<usize>);

/// Bounds that hold for every network of the space.
pub(super) fn enclose(study: &Study, dataset: &DatasetSchema, recipe: &Recipe) -> Totals {
    let mut totals = Totals::of_input(recipe);
    let mut shapes: BTreeMap<usize, Interval> =
        BTreeMap::from([(dataset.shape.len(), (dataset.shape.clone(), dataset.shape.clone()))]);
    for layer in &study.network.layers {
        // A layer that may be absent leaves shapes as they were.
        let optional = !layer.when.is_empty();
        let mut next = if optional { shapes.clone() } else { BTreeMap::new() };
        let (mut least, mut most) = (Vec::new(), Vec::new());
        if optional {
            least.push(Cost::default());
        }
        let Some(variants) = variants(study, layer) else { return Totals::unbounded() };
        for input in shapes.values() {
            let outputs: Vec<Interval> =
                variants.iter().filter_map(|variant| output(variant, input)).collect();
            for (low, high) in &outputs {
                widen(&mut next, low);
                widen(&mut next, high);
                // Between the ends, a large window can have a large output: combine each variant
                // with each output.
                least.extend(variants.iter().map(|variant| costs(layer, variant, &input.0, low)[0]));
                most.extend(variants.iter().map(|variant| costs(layer, variant, &input.1, high)[1]));
            }
        }
        let extreme = |costs: &[Cost], choose: fn(u64, u64) -> u64| {
            let of = |cost: fn(&Cost) -> u64| costs.iter().map(cost).reduce(choose).unwrap_or(0);
            Cost {
                parameters: of(|cost| cost.parameters),
                flops: of(|cost| cost.flops),
                activations: of(|cost| cost.activations),
                joined: of(|cost| cost.joined),
            }
        };
        totals = totals.plus(extreme(&least, u64::min), extreme(&most, u64::max), recipe);
        shapes = next;
    }
    totals
}

/// An interval around the outputs of `layer` for all shapes in `input`; none if it fits none of
/// them.
fn output(layer: &Layer, (low, high): &Interval) -> Option<Interval> {
    if let Layer::Reshape { target_shape } = layer {
        let (least, most) = (elements(low), elements(high));
        // A size larger than the row never fits; one between the ends may fit, and is then at most
        // as large as the row.
        let sizes = target_shape.iter().map(|size| usize::try_from(*size).ok().map(|size| size.min(most)));
        let known = sizes.clone().flatten().fold(1, usize::saturating_mul).max(1);
        let fill =
            |elements: usize| sizes.clone().map(|size| size.unwrap_or((elements / known).max(1))).collect();
        return Some((fill(least), fill(most)));
    }
    if let Layer::Flatten = layer {
        return Some((vec![elements(low)], vec![elements(high)]));
    }
    let Some(windows) = Windows::of(layer) else {
        return unbounded(layer, low).ok().zip(unbounded(layer, high).ok());
    };
    let end = |shape: &[usize]| -> Option<Vec<usize>> {
        let (channels, shape) = shape.split_last().filter(|(_, shape)| shape.len() == windows.axes)?;
        let place = |(size, axis): (&usize, usize)| match windows.padding {
            Padding::Same => size.div_ceil(windows.strides[axis]),
            // A smaller window between the ends may fit, and then it fits at least once.
            Padding::Valid => size.saturating_sub(windows.size[axis]) / windows.strides[axis] + 1,
        };
        // A number of groups between the ends may divide the channels.
        let depth = windows.depth(*channels);
        Some(shape.iter().zip(2 - windows.axes..).map(place).chain([depth]).collect())
    };
    end(low).zip(end(high))
}

fn elements(shape: &[usize]) -> usize {
    shape.iter().fold(1, |product: usize, size| product.saturating_mul(*size))
}

fn widen(shapes: &mut BTreeMap<usize, Interval>, shape: &[usize]) {
    let (low, high) = shapes.entry(shape.len()).or_insert_with(|| (shape.to_vec(), shape.to_vec()));
    for (axis, size) in shape.iter().enumerate() {
        low[axis] = low[axis].min(*size);
        high[axis] = high[axis].max(*size);
    }
}

/// The layer with every combination of the extreme values of the hyperparameters it depends on;
/// none if there are too many.
fn variants(study: &Study, layer: &FlatLayer) -> Option<Vec<Layer>> {
    let document = study.document().pointer(&layer.pointer);
    // The number of a dimension says nothing about its size.
    let names_axes = |json: &Json| matches!(json["layer"].as_str(), Some("Permute" | "PReLU"));
    let switches = document.is_some_and(|json| has_key(json, "cases") || names_axes(json));
    let mut points = vec![Point::default()];
    for at in &layer.structural {
        // There may be another case between the ends of a range.
        let values = study
            .space
            .listed(*at)
            .filter(|_| switches)
            .unwrap_or_else(|| ends(&study.space.hyperparameters()[*at].domain));
        if points.len() * values.len() > limits::PREFLIGHT_VARIANTS_MAX {
            return None;
        }
        points = points
            .iter()
            .flat_map(|point| values.iter().map(|value| point.with(*at, value.clone())))
            .collect();
    }
    points.iter().map(|point| layer.at(study.document(), &study.space, point).ok()).collect()
}

/// The smallest and the largest value of numbers; otherwise all values.
fn ends(domain: &Domain) -> Vec<Value> {
    let values = domain.ends();
    let numeric = values.iter().all(|value| value.as_f64().is_some());
    let (least, most) = (values.iter().min().cloned(), values.iter().max().cloned());
    if numeric { least.into_iter().chain(most).collect() } else { values }
}

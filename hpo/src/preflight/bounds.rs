//! Costs where there are too many networks to follow: intervals that enclose every one.
//!
//! Each layer's output and cost grow (or shrink) steadily with its input and with each of its sizes, so the corners of the ranges
//! enclose all that lies between. Shapes are enclosed per rank.

use std::collections::BTreeMap;

use super::{Recipe, Totals};
use crate::dataset::DatasetSchema;
use crate::limits;
use crate::network::{FlatLayer, Layer};
use crate::shape::{Cost, cost, output_shape};
use crate::space::{Domain, Point};
use crate::study::Study;
use crate::value::Value;

/// A smallest and a largest shape of one rank.
type Interval = (Vec<usize>, Vec<usize>);

/// Bounds that hold for every network of the space.
pub(super) fn enclose(study: &Study, dataset: &DatasetSchema, recipe: &Recipe) -> Totals {
    let mut totals = Totals::default();
    let mut shapes: BTreeMap<usize, Interval> = BTreeMap::from([(dataset.shape.len(), (dataset.shape.clone(), dataset.shape.clone()))]);
    for layer in &study.network.layers {
        // A layer that may be absent leaves shapes as they were.
        let optional = !layer.when.is_empty();
        let mut next = if optional { shapes.clone() } else { BTreeMap::new() };
        let mut costs: Vec<Cost> = if optional { vec![Cost::default()] } else { Vec::new() };
        for concrete in corners(study, layer) {
            for shape in shapes.values().flat_map(|(low, high)| [low, high]) {
                if let Ok(output) = output_shape(&concrete, shape) {
                    costs.push(cost(&concrete, shape, &output));
                    widen(&mut next, output);
                }
            }
        }
        let extreme = |of: fn(&Cost) -> u64| (costs.iter().map(of).min().unwrap_or(0), costs.iter().map(of).max().unwrap_or(0));
        let (parameters, flops, activations) = (extreme(|cost| cost.parameters), extreme(|cost| cost.flops), extreme(|cost| cost.activations));
        let least = Cost { parameters: parameters.0, flops: flops.0, activations: activations.0 };
        let most = Cost { parameters: parameters.1, flops: flops.1, activations: activations.1 };
        totals = totals.plus(least, most, recipe);
        shapes = next;
    }
    totals
}

fn widen(shapes: &mut BTreeMap<usize, Interval>, shape: Vec<usize>) {
    let (low, high) = shapes.entry(shape.len()).or_insert_with(|| (shape.clone(), shape.clone()));
    for (axis, size) in shape.into_iter().enumerate() {
        low[axis] = low[axis].min(size);
        high[axis] = high[axis].max(size);
    }
}

/// The layer with every combination of the extreme values of what it depends on.
fn corners(study: &Study, layer: &FlatLayer) -> Vec<Layer> {
    let mut points = vec![Point::empty(&study.space)];
    for at in &layer.structural {
        let values = extremes(&study.space.hyperparameters()[*at].domain);
        points = points.iter().flat_map(|point| values.iter().map(|value| point.with(*at, value.clone()))).collect();
        points.truncate(limits::PREFLIGHT_STATES_MAX);
    }
    points.iter().filter_map(|point| layer.at(study.document(), &study.space, point)).collect()
}

fn extremes(domain: &Domain) -> Vec<Value> {
    match domain {
        Domain::Int { min, max, .. } => vec![Value::Int(*min), Value::Int(*max)],
        Domain::Float { min, max, .. } => vec![Value::Float(*min), Value::Float(*max)],
        _ => (0..domain.count().unwrap_or(0)).map(|index| domain.value(index)).collect(),
    }
}

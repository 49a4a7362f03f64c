//! Whether an Embedding that takes the dataset's features gets ids, in every trial: the first layer, or one behind layers that move numbers only.

use std::collections::{BTreeMap, BTreeSet};

use super::{closure, read_at};
use crate::dataset::{Scale, WorstId};
use crate::document::{Place, Reading, Scope};
use crate::network::{FlatLayer, Layer};
use crate::preflight::propagate::{State, States, decide, report};
use crate::space::Point;
use crate::study::Study;

/// Reports every such Embedding whose table lacks the row that `worst` names, or that gets scaled features. Says nothing where more than
/// [`limits::PREFLIGHT_STATES_MAX`](crate::limits::PREFLIGHT_STATES_MAX) combinations decide it.
pub(super) fn judge(study: &Study, worst: &WorstId, root: &Place) {
    let head = head(study);
    if !head.iter().any(|layer| class(study, layer) == Some("Embedding")) {
        return;
    }
    let wanted = closure(&study.space, decisive(study, &head).into_iter());
    let start: States = BTreeMap::from([((Vec::new(), Point::default()), State::default())]);
    let Some(states) = decide(study, start, &wanted, &mut BTreeSet::new()) else { return };
    let mut misfits = BTreeMap::<_, Vec<_>>::new();
    for key @ (_, values) in states.keys() {
        let there = head.iter().filter(|layer| study.space.holds(&layer.when, values));
        let Some(first) =
            there.map(|layer| (layer, layer.at(study.document(), &study.space, values))).find(|(_, concrete)| !moves(concrete))
        else {
            continue;
        };
        let (layer, Ok(Layer::Embedding(embedding))) = first else { continue };
        let scale = read_at::<Scale>(study.document(), &study.space, values, "/dataset/scale").unwrap_or(Scale::None);
        let misfit = if scale != Scale::None {
            let detail =
                format!("the network's Embedding takes the features as ids, and {} makes other numbers of them; use none", scale.as_str());
            ("/dataset/scale".to_owned(), detail)
        } else if !worst.is_below(embedding.input_dim) {
            let (WorstId { value, place }, rows) = (worst, embedding.input_dim);
            let detail = format!("an Embedding with input_dim {rows} takes whole numbers from 0 to {}, and {place} has {value}", rows - 1);
            (format!("{}/input_dim", layer.pointer), detail)
        } else {
            continue;
        };
        misfits.entry(misfit).or_default().push(key.clone());
    }
    report(study, &states, misfits, |(pointer, reason)| (root.at(&pointer).unwrap_or_else(|| root.clone()), reason));
}

/// The layers that may be the first to make other numbers of the features.
fn head(study: &Study) -> Vec<&FlatLayer> {
    let layers = &study.network.layers;
    let moves = |layer: &&FlatLayer| matches!(class(study, layer), Some("Flatten" | "Reshape" | "Permute"));
    let end = layers.iter().position(|layer| layer.when.is_empty() && !moves(&layer)).map_or(layers.len(), |end| end + 1);
    layers[..end].iter().collect()
}

/// The class of a layer, which no hyperparameter stands for.
fn class<'a>(study: &'a Study, layer: &FlatLayer) -> Option<&'a str> {
    study.document().pointer(&layer.pointer)?["layer"].as_str()
}

/// Whether the layer leaves numbers as they are.
fn moves(layer: &Result<Layer, String>) -> bool {
    matches!(layer, Ok(Layer::Flatten | Layer::Reshape { .. } | Layer::Permute { .. }))
}

/// The hyperparameters that decide which of `head` are there, how many ids an Embedding has and how features are scaled.
fn decisive(study: &Study, head: &[&FlatLayer]) -> Vec<usize> {
    let (reading, point) = (Reading::default(), Point::default());
    let root = reading.root(study.document(), Some(Scope { space: &study.space, point: Some(&point) }));
    for layer in head {
        if let Some(place) = root.at(&format!("{}/input_dim", layer.pointer)) {
            layer.repetition.map_or(place.clone(), |repetition| place.repeated(repetition)).read_all::<i64>();
        }
    }
    if let Some(place) = root.at("/dataset/scale") {
        place.read_all::<Scale>();
    }
    let conditions = head.iter().flat_map(|layer| layer.when.iter().map(|condition| condition.parent));
    conditions.chain(reading.mentions().iter().map(|mention| mention.hyperparameter)).collect()
}

//! Whether an Embedding gets ids, in every trial: features that are whole numbers, by way of layers that leave them so, and a row for each.

use std::collections::{BTreeMap, BTreeSet};

use super::{closure, read_at};
use crate::dataset::{Scale, WorstId};
use crate::document::{Place, Reading, Scope, has_key};
use crate::network::{Activation, FlatLayer, Layer};
use crate::preflight::propagate::{State, States, decide, merge, needed_from, report};
use crate::space::Point;
use crate::study::Study;

/// What reaches a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Numbers {
    /// The features as the source has them, or some of them.
    Features,
    /// Whole numbers, of which no more is known.
    Whole,
    /// Features that were scaled in the way of this name.
    Scaled(&'static str),
    /// What the layer at this place of the network computed.
    Computed(usize),
}

/// What a layer does with ids.
enum Effect {
    /// It takes some of them elsewhere, or adds zeros.
    Moves,
    /// It makes other whole numbers of them.
    Counts,
    /// It looks their rows up.
    LooksUp,
    /// It makes other numbers of them.
    Computes,
}

/// Reports every Embedding that gets other numbers than ids, or whose table lacks the row that `worst` names. Says nothing where more than
/// [`limits::PREFLIGHT_STATES_MAX`](crate::limits::PREFLIGHT_STATES_MAX) combinations decide it.
pub(super) fn judge(study: &Study, worst: &WorstId, root: &Place) {
    let layers: Vec<(&FlatLayer, Effect)> = study.network.layers.iter().map(|layer| (layer, effect(study, layer))).collect();
    let Some(last) = layers.iter().rposition(|(_, effect)| matches!(effect, Effect::LooksUp)) else { return };
    let layers = &layers[..=last];
    let needs = |(layer, effect): &(&FlatLayer, Effect)| needs(study, layer, effect);
    let needed_from = needed_from(layers.iter().map(needs), &[]);
    let mut decided = BTreeSet::new();
    let Some(mut states) = features(study, &needed_from[0], &mut decided) else { return };
    for (index, entry @ (layer, effect)) in layers.iter().enumerate() {
        let Some(reaching) = decide(study, states, &needs(entry), &mut decided) else { return };
        decided.retain(|at| needed_from[index + 1].contains(at));
        let (mut next, mut misfits) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
        for (key @ (numbers, values), state) in &reaching {
            let is_there = study.space.holds(&layer.when, values);
            let misfit = (is_there && matches!(effect, Effect::LooksUp)).then(|| misfit(study, layer, *numbers, worst, values)).flatten();
            if let Some(misfit) = misfit {
                misfits.entry(misfit).or_default().push(key.clone());
            }
            let numbers = match (effect, numbers) {
                (Effect::Computes | Effect::LooksUp, _) if is_there => Numbers::Computed(index),
                (Effect::Counts, Numbers::Features) if is_there => Numbers::Whole,
                (_, numbers) => *numbers,
            };
            merge(&mut next, (numbers, values.keep(&decided)), state.clone());
        }
        report(study, &reaching, misfits, |(pointer, reason)| (root.at(&pointer).unwrap_or_else(|| root.clone()), reason));
        states = next;
    }
}

/// Why an Embedding cannot look these numbers up, and which place of the document says so.
fn misfit(study: &Study, layer: &FlatLayer, numbers: Numbers, worst: &WorstId, values: &Point) -> Option<(String, String)> {
    match numbers {
        Numbers::Whole => None,
        Numbers::Features => {
            let Ok(Layer::Embedding(embedding)) = layer.at(study.document(), &study.space, values) else { return None };
            let (WorstId { value, place }, rows) = (worst, embedding.input_dim);
            let detail =
                || format!("an Embedding with input_dim {rows} takes whole numbers from 0 to {}, and {place} has {value}", rows - 1);
            (!worst.is_below(rows)).then(|| (format!("{}/input_dim", layer.pointer), detail()))
        }
        Numbers::Scaled(name) => {
            let detail = format!("the network's Embedding takes the features as ids, and {name} makes other numbers of them; use none");
            Some(("/dataset/scale".to_owned(), detail))
        }
        Numbers::Computed(by) => {
            let by = &study.network.layers[by];
            let class = by.at(study.document(), &study.space, values).map_or("layer", |layer| layer.class());
            let detail = format!("an Embedding takes ids, and the {class} before it, {}, makes other numbers of them", by.pointer);
            Some((layer.pointer.clone(), detail))
        }
    }
}

/// What the dataset gives, by how the features are scaled; none where too many combinations decide it. Of what is `decided` for it, that stays which layers need, too.
fn features(study: &Study, needed: &BTreeSet<usize>, decided: &mut BTreeSet<usize>) -> Option<States<Numbers>> {
    let reading = Reading::default();
    if let Some(place) = reading.root(study.document(), Some(Scope { space: &study.space, point: None })).at("/dataset/scale") {
        place.read_all::<Scale>();
    }
    let wanted = closure(&study.space, reading.mentions().iter().map(|mention| mention.hyperparameter));
    let start = BTreeMap::from([((Numbers::Features, Point::default()), State::default())]);
    let scaled = decide(study, start, &wanted, decided)?;
    decided.retain(|at| needed.contains(at));
    let mut states = BTreeMap::new();
    for ((_, values), state) in scaled {
        let numbers = match read_at::<Scale>(study.document(), &study.space, &values, "/dataset/scale") {
            None | Some(Scale::None) => Numbers::Features,
            Some(scale) => Numbers::Scaled(scale.as_str()),
        };
        merge(&mut states, (numbers, values.keep(decided)), state);
    }
    Some(states)
}

fn effect(study: &Study, layer: &FlatLayer) -> Effect {
    let is_fixed = !study.document().pointer(&layer.pointer).is_some_and(|json| has_key(json, "hp"));
    // The class is the same at every point.
    match layer.at(study.document(), &study.space, &Point::default()) {
        Ok(Layer::Embedding(_)) => Effect::LooksUp,
        Err(_) => Effect::Moves,
        Ok(
            Layer::Flatten
            | Layer::Reshape { .. }
            | Layer::Permute { .. }
            | Layer::ZeroPadding2D { .. }
            | Layer::MaxPooling1D(_)
            | Layer::MaxPooling2D(_)
            | Layer::GlobalMaxPooling1D { .. }
            | Layer::GlobalMaxPooling2D { .. },
        ) => Effect::Moves,
        Ok(Layer::Activation { activation: Activation::Linear }) if is_fixed => Effect::Moves,
        Ok(Layer::Dropout { rate: 0.0 } | Layer::SpatialDropout2D { rate: 0.0 } | Layer::GaussianNoise { stddev: 0.0 }) if is_fixed => {
            Effect::Moves
        }
        Ok(Layer::Rescaling { scale, offset }) if is_fixed && scale.fract() == 0.0 && offset.fract() == 0.0 => Effect::Counts,
        Ok(_) => Effect::Computes,
    }
}

/// The hyperparameters that decide whether the layer is there, and of an Embedding how many rows it has.
fn needs(study: &Study, layer: &FlatLayer, effect: &Effect) -> Vec<usize> {
    let (reading, point) = (Reading::default(), Point::default());
    let root = reading.root(study.document(), Some(Scope { space: &study.space, point: Some(&point) }));
    if let (Effect::LooksUp, Some(place)) = (effect, root.at(&format!("{}/input_dim", layer.pointer))) {
        layer.repetition.map_or(place.clone(), |repetition| place.repeated(repetition)).read_all::<i64>();
    }
    let conditions = layer.when.iter().map(|condition| condition.parent);
    closure(&study.space, conditions.chain(reading.mentions().iter().map(|mention| mention.hyperparameter)))
}

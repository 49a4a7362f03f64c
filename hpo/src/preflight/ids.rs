//! Checks that an Embedding gets ids in every trial: features that are whole numbers, that no layer
//! before it turns into other numbers, and that each have a row in the table.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{closure, read_at};
use crate::dataset::{Scale, WorstId};
use crate::document::{FromDocument, Place, Reading, Scope};
use crate::network::{Activation, FlatLayer, Layer};
use crate::preflight::propagate::{State, States, decide, merge, needed_from, report};
use crate::space::{Domain, Point};
use crate::study::Study;

/// The numbers that reach a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Numbers {
    /// The features. The worst one for an Embedding is now this whole number; none if it is not
    /// whole.
    Features(Option<i64>),
    /// Features that were scaled; the name of the scaling.
    Scaled(&'static str),
    /// Numbers computed by the layer at this position of the network.
    Computed(usize),
}

/// What a layer does with ids.
#[derive(Clone, Copy)]
enum Effect {
    /// It keeps them, in other places, and may add zeros.
    Moves,
    /// It keeps them, but turns negative numbers into other numbers.
    Rectifies,
    /// It turns each into `scale * id + offset`.
    Rescales { scale: i64, offset: i64 },
    /// It turns them into other numbers.
    Computes,
}

impl Effect {
    /// The effect of `layer`, and whether it depends on its arguments.
    fn of(layer: &Layer) -> (Effect, bool) {
        match layer {
            Layer::Flatten
            | Layer::Reshape { .. }
            | Layer::Permute { .. }
            | Layer::ZeroPadding2D { .. }
            | Layer::MaxPooling1D(_)
            | Layer::MaxPooling2D(_)
            | Layer::GlobalMaxPooling1D { .. }
            | Layer::GlobalMaxPooling2D { .. } => (Effect::Moves, false),
            Layer::LeakyReLU { .. } | Layer::PReLU(_) => (Effect::Rectifies, false),
            Layer::Activation { activation } => (Effect::of_activation(*activation), true),
            Layer::Dropout { rate: noise }
            | Layer::SpatialDropout2D { rate: noise }
            | Layer::GaussianNoise { stddev: noise } => {
                (if *noise == 0.0 { Effect::Moves } else { Effect::Computes }, true)
            }
            Layer::Rescaling { scale, offset } => {
                let whole = whole(*scale).zip(whole(*offset));
                let rescales = |(scale, offset)| Effect::Rescales { scale, offset };
                (whole.map_or(Effect::Computes, rescales), true)
            }
            Layer::Dense(_)
            | Layer::Conv1D(_)
            | Layer::Conv2D(_)
            | Layer::DepthwiseConv2D(_)
            | Layer::SeparableConv2D(_)
            | Layer::AveragePooling1D(_)
            | Layer::AveragePooling2D(_)
            | Layer::GlobalAveragePooling1D { .. }
            | Layer::GlobalAveragePooling2D { .. }
            | Layer::BatchNormalization(_)
            | Layer::LayerNormalization(_)
            | Layer::Embedding(_)
            | Layer::SimpleRNN(_)
            | Layer::LSTM(_)
            | Layer::GRU(_)
            | Layer::Bidirectional(_) => (Effect::Computes, false),
        }
    }

    fn of_activation(activation: Activation) -> Effect {
        match activation {
            Activation::Linear => Effect::Moves,
            Activation::Relu | Activation::LeakyRelu | Activation::Elu => Effect::Rectifies,
            Activation::Relu6
            | Activation::Selu
            | Activation::Gelu
            | Activation::Silu
            | Activation::Softplus
            | Activation::Softsign
            | Activation::Sigmoid
            | Activation::HardSigmoid
            | Activation::Tanh
            | Activation::Softmax
            | Activation::LogSoftmax
            | Activation::Exponential => Effect::Computes,
        }
    }
}

impl Numbers {
    /// These numbers after the layer at `index`, which has this effect.
    fn after(self, effect: Effect, index: usize) -> Numbers {
        match (effect, self) {
            (Effect::Computes, _) => Numbers::Computed(index),
            (Effect::Rectifies, Numbers::Features(Some(id))) if id < 0 => Numbers::Computed(index),
            (Effect::Rescales { scale, offset }, Numbers::Features(Some(id))) => {
                Numbers::Features(Some(id.saturating_mul(scale).saturating_add(offset)))
            }
            (Effect::Moves | Effect::Rectifies | Effect::Rescales { .. }, unchanged) => unchanged,
        }
    }
}

/// Reports every Embedding that gets other numbers than ids, or whose table has no row for `worst`.
/// Reports nothing if more than
/// [`limits::PREFLIGHT_STATES_MAX`](crate::limits::PREFLIGHT_STATES_MAX) combinations decide it.
pub(super) fn check(study: &Study, worst: &WorstId, root: &Place) {
    let layers = &study.network.layers;
    let Some(last) = layers.iter().rposition(|layer| looks_up(study, layer)) else { return };
    let layers = &layers[..=last];
    let of_scale = scale_needs(study);
    let needs = needs(study, layers, &of_scale);
    let needed_from = needed_from(needs.iter().cloned(), &[]);
    let mut decided = BTreeSet::new();
    let source = BTreeMap::from([((Numbers::Features(None), Point::default()), State::default())]);
    let Some(source) = decide(study, source, &of_scale, &mut decided) else { return };
    decided.retain(|at| needed_from[0].contains(at));
    let mut states = features(study, worst, source, &decided);
    for (index, layer) in layers.iter().enumerate() {
        let Some(reaching) = decide(study, states, &needs[index], &mut decided) else { return };
        decided.retain(|at| needed_from[index + 1].contains(at));
        let (looks_up, own) = (looks_up(study, layer), needs[index].iter().copied().collect());
        let (mut effects, mut next, mut misfits) =
            (HashMap::new(), BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
        for (key @ (numbers, values), state) in &reaching {
            let mut numbers = *numbers;
            if study.space.holds(&layer.when, values) {
                let misfit = looks_up.then(|| misfit(study, layer, numbers, worst, values)).flatten();
                if let Some(misfit) = misfit {
                    misfits.entry(misfit).or_default().push(key.clone());
                }
                // Only these: other hyperparameters that happen to be decided here may be ranges
                // that were not listed for this layer.
                let deciding = values.keep(&own);
                numbers = numbers.after(
                    *effects.entry(deciding.clone()).or_insert_with(|| effect(study, layer, &deciding)),
                    index,
                );
            }
            merge(&mut next, (numbers, values.keep(&decided)), state.clone());
        }
        report(study, &reaching, misfits, |(pointer, reason)| {
            (root.at(&pointer).unwrap_or_else(|| root.clone()), reason)
        });
        states = next;
    }
}

/// The place of the document at fault, and why an Embedding cannot look these numbers up.
fn misfit(
    study: &Study,
    layer: &FlatLayer,
    numbers: Numbers,
    worst: &WorstId,
    values: &Point,
) -> Option<(String, String)> {
    match numbers {
        Numbers::Features(id) => {
            Some((format!("{}/input_dim", layer.pointer), lack(&rows(study, layer, values), id, worst)?))
        }
        Numbers::Scaled(name) => {
            let detail = format!(
                "the network's Embedding takes the features as ids, but {name} turns them into other numbers; use none"
            );
            Some(("/dataset/scale".to_owned(), detail))
        }
        Numbers::Computed(by) => {
            let by = &study.network.layers[by];
            let class = by.at(study.document(), &study.space, values).map_or("layer", |layer| layer.class());
            let detail = format!(
                "an Embedding takes ids, but the {class} before it, {}, turns them into other numbers",
                by.pointer
            );
            Some((layer.pointer.clone(), detail))
        }
    }
}

/// Why a table with one of these numbers of `rows` has no row for `id`, which layers made from the
/// feature `worst`; none if even the smallest table has the row.
fn lack(rows: &[i64], id: Option<i64>, worst: &WorstId) -> Option<String> {
    let least = *rows.iter().min()?;
    if id.is_some_and(|id| (0..least).contains(&id)) {
        return None;
    }
    let WorstId { value, place } = worst;
    let made = id.filter(|id| Some(*id) != whole(f64::from(*value))).map(|id| format!(", rescaled to {id}"));
    let enough = id
        .filter(|id| *id >= 0 && rows.len() > 1)
        .map(|id| format!("; input_dim must be at least {}", id.saturating_add(1)));
    let (made, enough) = (made.unwrap_or_default(), enough.unwrap_or_default());
    Some(format!(
        "an Embedding with input_dim {least} takes whole numbers from 0 to {}, but {place} has {value}{made}{enough}",
        least - 1
    ))
}

/// The numbers of rows that the table of an Embedding can have with these `values`. For an
/// undecided range, the smallest number is among them.
fn rows(study: &Study, layer: &FlatLayer, values: &Point) -> Vec<i64> {
    let reading = Reading::default();
    let root = reading.root(study.document(), Some(Scope { space: &study.space, point: Some(values) }));
    layer
        .place(&root)
        .and_then(|place| place.at("/input_dim"))
        .map(|place| place.read_all())
        .unwrap_or_default()
}

/// The numbers that the dataset provides in each of the states of `source`, by the scaling of its
/// features.
fn features(
    study: &Study,
    worst: &WorstId,
    source: States<Numbers>,
    decided: &BTreeSet<usize>,
) -> States<Numbers> {
    let mut states = BTreeMap::new();
    for ((_, values), state) in source {
        let numbers = match read_at::<Scale>(study.document(), &study.space, &values, "/dataset/scale") {
            None | Some(Scale::None) => Numbers::Features(whole(f64::from(worst.value))),
            Some(scale) => Numbers::Scaled(scale.as_str()),
        };
        merge(&mut states, (numbers, values.keep(decided)), state);
    }
    states
}

/// `number` as a whole number; none if it has a fraction.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0).then_some(number as i64)
}

/// Whether the layer is an Embedding.
fn looks_up(study: &Study, layer: &FlatLayer) -> bool {
    study.document().pointer(&layer.pointer).is_some_and(|json| json["layer"] == "Embedding")
}

/// The effect of a layer with these `values`, which include those of its conditions.
fn effect(study: &Study, layer: &FlatLayer, values: &Point) -> Effect {
    let reading = Reading::default();
    let root = reading.root(study.document(), Some(Scope { space: &study.space, point: Some(values) }));
    let concrete = layer.place(&root).and_then(|place| Layer::from_place(&place));
    let is_open = || reading.mentions().iter().any(|mention| values.get(mention.hyperparameter).is_none());
    match concrete.as_ref().map(Effect::of) {
        // An undecided hyperparameter may have another value, with which the layer computes.
        Some((_, true)) if is_open() => Effect::Computes,
        Some((effect, _)) => effect,
        None => Effect::Computes,
    }
}

/// The hyperparameters that decide how the features are scaled.
fn scale_needs(study: &Study) -> Vec<usize> {
    let reading = Reading::default();
    if let Some(place) =
        reading.root(study.document(), Some(Scope { space: &study.space, point: None })).at("/dataset/scale")
    {
        place.read_all::<Scale>();
    }
    closure(&study.space, reading.mentions().iter().map(|mention| mention.hyperparameter))
}

/// For each layer, the hyperparameters that decide whether a trial uses it, what it does with ids,
/// and how many rows an Embedding has. A range that decides only the rows is left out: its smallest
/// value represents all others.
fn needs(study: &Study, layers: &[FlatLayer], of_scale: &[usize]) -> Vec<Vec<usize>> {
    let is_range = |at: usize| {
        matches!(study.space.hyperparameters()[at].domain, Domain::Int { .. } | Domain::Float { .. })
    };
    let apart = layers.iter().map(|layer| {
        let of_rows = |at: &usize| looks_up(study, layer) && is_range(*at);
        let (ranges, others): (Vec<usize>, Vec<usize>) =
            arguments(study, layer).into_iter().partition(of_rows);
        (closure(&study.space, layer.when.iter().map(|condition| condition.parent).chain(others)), ranges)
    });
    let apart: Vec<(Vec<usize>, Vec<usize>)> = apart.collect();
    let elsewhere: BTreeSet<usize> =
        apart.iter().flat_map(|(needs, _)| needs).chain(of_scale).copied().collect();
    let joined = |(needs, ranges): (Vec<usize>, Vec<usize>)| {
        closure(&study.space, needs.into_iter().chain(ranges.into_iter().filter(|at| elsewhere.contains(at))))
    };
    apart.into_iter().map(joined).collect()
}

/// The hyperparameters in arguments that decide what a layer does with ids, if their values can be
/// listed; for an Embedding, all that decide how many rows it has.
fn arguments(study: &Study, layer: &FlatLayer) -> Vec<usize> {
    let (reading, point) = (Reading::default(), Point::default());
    let root = reading.root(study.document(), Some(Scope { space: &study.space, point: Some(&point) }));
    let concrete = layer.place(&root).and_then(|place| Layer::from_place(&place));
    let of_rows = format!("{}/input_dim/", layer.pointer);
    let mentions = reading.mentions();
    let deciding = mentions.iter().filter(|mention| match &concrete {
        Some(Layer::Embedding(_)) => mention.pointer.starts_with(&of_rows),
        Some(layer) => Effect::of(layer).1 && study.space.listed(mention.hyperparameter).is_some(),
        None => false,
    });
    deciding.map(|mention| mention.hyperparameter).collect()
}

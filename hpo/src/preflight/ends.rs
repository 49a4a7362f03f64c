//! Checks that the activation at the end of the network fits the loss in every trial. Otherwise
//! probabilities that are read as logits, or logits as probabilities, would train without an error,
//! as in Keras.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{closure, compatibility, read_at};
use crate::document::{FromDocument, Place, Reading, Scope};
use crate::network::{
    Activation, Conv, Dense, DepthwiseConv2D, FlatLayer, Layer, Recurrent, SeparableConv2D,
};
use crate::preflight::propagate::{State, States, decide, loss_mentions, report};
use crate::space::Point;
use crate::study::Study;
use crate::training::Loss;

/// What the last layer says about the values that leave the network.
#[derive(Clone, Copy)]
enum End {
    /// This activation, with this name, makes them.
    Made(Activation, &'static str),
    /// They have the same range as the input of the layer.
    Passed,
    /// Nothing.
    Unknown,
}

impl End {
    fn of(layer: &Layer) -> End {
        match layer {
            Layer::Flatten
            | Layer::Reshape { .. }
            | Layer::Permute { .. }
            | Layer::MaxPooling1D(_)
            | Layer::MaxPooling2D(_)
            | Layer::AveragePooling1D(_)
            | Layer::AveragePooling2D(_)
            | Layer::GlobalAveragePooling1D { .. }
            | Layer::GlobalAveragePooling2D { .. }
            | Layer::GlobalMaxPooling1D { .. }
            | Layer::GlobalMaxPooling2D { .. }
            | Layer::Activation { activation: Activation::Linear }
            | Layer::Dropout { .. }
            | Layer::SpatialDropout2D { .. }
            | Layer::GaussianNoise { .. } => End::Passed,
            Layer::Activation { activation } => End::made(*activation),
            // The gates of a recurrent layer are in [0, 1], so they keep the range.
            Layer::Dense(Dense { output, .. })
            | Layer::Conv1D(Conv { output, .. })
            | Layer::Conv2D(Conv { output, .. })
            | Layer::DepthwiseConv2D(DepthwiseConv2D { output, .. })
            | Layer::SeparableConv2D(SeparableConv2D { output, .. })
            | Layer::SimpleRNN(Recurrent { output, .. })
            | Layer::LSTM(Recurrent { output, .. })
            | Layer::GRU(Recurrent { output, .. }) => End::made(output.activation),
            Layer::Bidirectional(both) => End::of(&both.wrapped),
            Layer::LeakyReLU { .. } | Layer::PReLU(_) => End::Made(Activation::LeakyRelu, layer.class()),
            Layer::BatchNormalization(_) | Layer::LayerNormalization(_) => {
                End::Made(Activation::Linear, layer.class())
            }
            Layer::Rescaling { .. } | Layer::ZeroPadding2D { .. } | Layer::Embedding(_) => End::Unknown,
        }
    }

    fn made(activation: Activation) -> End {
        End::Made(activation, activation.as_str())
    }
}

/// Reports every end of the network that the loss cannot interpret. Reports nothing if more than
/// [`limits::PREFLIGHT_STATES_MAX`](crate::limits::PREFLIGHT_STATES_MAX) combinations decide it.
pub(super) fn check(study: &Study, root: &Place) {
    let tail = tail(study);
    let wanted = loss_mentions(study).into_iter().chain(tail.iter().flat_map(|(layer, activation)| {
        layer.when.iter().map(|condition| condition.parent).chain(activation.iter().copied())
    }));
    let wanted = closure(&study.space, wanted);
    let start: States<()> = BTreeMap::from([(((), Point::default()), State::default())]);
    let Some(states) = decide(study, start, &wanted, &mut BTreeSet::new()) else { return };
    let (mut ends, mut misfits) = (HashMap::new(), BTreeMap::<_, Vec<_>>::new());
    for key @ (_, values) in states.keys() {
        let Some(loss) = read_at::<Loss>(study.document(), &study.space, values, "/training/loss") else {
            continue;
        };
        let there = tail.iter().enumerate().filter(|(_, (layer, _))| study.space.holds(&layer.when, values));
        let end = there
            .map(|(at, (layer, activation))| {
                let end = || {
                    layer
                        .at(study.document(), &study.space, values)
                        .map_or(End::Unknown, |concrete| End::of(&concrete))
                };
                (layer, *ends.entry((at, values.keep(activation))).or_insert_with(end))
            })
            .find(|(_, end)| !matches!(end, End::Passed));
        let Some((layer, End::Made(activation, name))) = end else { continue };
        if let Err((at_loss, reason)) = compatibility::activation(loss, activation, name) {
            let places = if at_loss {
                ["/training/loss/from_logits".to_owned(), "/training/loss".to_owned()]
            } else {
                [format!("{}/activation", layer.pointer), layer.pointer.clone()]
            };
            misfits.entry((places, reason)).or_default().push(key.clone());
        }
    }
    report(study, &states, misfits, |(places, reason)| {
        (places.iter().find_map(|pointer| root.at(pointer)).unwrap_or_else(|| root.clone()), reason)
    });
}

/// The layers that may decide the values that leave the network, the last one first. Each has the
/// hyperparameters that its activation depends on.
fn tail(study: &Study) -> Vec<(&FlatLayer, BTreeSet<usize>)> {
    let mut tail = Vec::new();
    for layer in study.network.layers.iter().rev() {
        let (reading, point) = (Reading::default(), Point::default());
        let root = reading.root(study.document(), Some(Scope { space: &study.space, point: Some(&point) }));
        let Some(place) = layer.place(&root) else { break };
        let read = Layer::from_place(&place);
        let of_activation =
            |pointer: &str| pointer[layer.pointer.len()..].split('/').any(|step| step == "activation");
        let mentions = reading.mentions();
        let activation: BTreeSet<usize> = mentions
            .iter()
            .filter(|mention| of_activation(&mention.pointer))
            .map(|mention| mention.hyperparameter)
            .collect();
        // One value of a searched Activation may be linear.
        let passes = match &read {
            Some(Layer::Activation { .. }) if !activation.is_empty() => true,
            Some(read) => matches!(End::of(read), End::Passed),
            None => true,
        };
        tail.push((layer, activation));
        if layer.when.is_empty() && !passes {
            break;
        }
    }
    tail
}

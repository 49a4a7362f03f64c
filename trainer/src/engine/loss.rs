//! How the outputs of a network are compared with labels.

use hpo::network::Activation;
use hpo::preflight;
use hpo::training::{Loss, Training};

use super::Error;
use crate::kernels::loss::Criterion;
use crate::targets::{Labels, Targets};

/// `Invalid` unless loss, metrics and class weights go with an output of this shape and with labels
/// that are `classes`, or values.
pub(super) fn fits(training: &Training, output: &[usize], classes: Option<u32>) -> Result<(), Error> {
    preflight::fits(training, output, classes).map_err(Error::Invalid)
}

/// The loss with the labels of a batch.
pub(super) fn criterion(loss: Loss, targets: &Targets) -> Result<Criterion, Error> {
    if loss.is_classification() != matches!(targets.labels, Labels::Classes(_)) {
        return Err(Error::Invalid(format!("{} does not go with these labels", loss.as_str())));
    }
    Ok(Criterion { loss, targets: targets.clone() })
}

/// An activation that the loss includes if the network ends in it, in one pass and exact however far
/// apart the numbers lie; and the loss that includes it.
pub(crate) fn takes_over(loss: Loss) -> Option<(Activation, Loss)> {
    let from_logits = true;
    match loss {
        Loss::SparseCategoricalCrossentropy { from_logits: false } => {
            Some((Activation::Softmax, Loss::SparseCategoricalCrossentropy { from_logits }))
        }
        Loss::CategoricalCrossentropy { from_logits: false, label_smoothing } => {
            Some((Activation::Softmax, Loss::CategoricalCrossentropy { from_logits, label_smoothing }))
        }
        Loss::BinaryCrossentropy { from_logits: false, label_smoothing } => {
            Some((Activation::Sigmoid, Loss::BinaryCrossentropy { from_logits, label_smoothing }))
        }
        Loss::SparseCategoricalCrossentropy { from_logits: true }
        | Loss::CategoricalCrossentropy { from_logits: true, .. }
        | Loss::BinaryCrossentropy { from_logits: true, .. }
        | Loss::MeanSquaredError
        | Loss::MeanAbsoluteError
        | Loss::Huber { .. }
        | Loss::LogCosh
        | Loss::KlDivergence
        | Loss::Hinge
        | Loss::Poisson => None,
    }
}

//! Checks that dataset, loss, metrics and the network's output fit together.

use crate::dataset::{DatasetSchema, Findings, Scale};
use crate::document::{Place, quote};
use crate::limits;
use crate::network::{Activation, Range};
use crate::shape::show;
use crate::study::Study;
use crate::training::{Class, ClassWeight, Loss, Metric, Outputs};

/// Explains why labels are numbers: 1, 2, 3 or 0.0, 1.0 in a file look like classes to a person.
const NO_CLASSES: &str =
    "the labels of the dataset are numbers, not classes (classes are whole numbers from 0 to k-1, or texts)";

/// Reports everything that the study needs and the dataset cannot provide.
pub(super) fn dataset(root: &Place, study: &Study, dataset: &DatasetSchema, findings: &Findings) {
    let at = |pointer: &str| root.at(pointer).unwrap_or_else(|| root.clone());
    let training_rows = study.dataset.training_rows(dataset.rows);
    if let Some(folds) = study.dataset.folds {
        if u64::from(folds) > dataset.rows {
            at("/dataset/folds").invalid(format!(
                "{folds} folds of {} rows would leave a fold empty; use fewer",
                dataset.rows
            ));
        }
    } else if training_rows == 0 || (study.dataset.validation_split > 0.0 && training_rows == dataset.rows) {
        let split = study.dataset.validation_split;
        at("/dataset/validation_split")
            .invalid(format!("{split} of {} rows would leave one part empty", dataset.rows));
    }
    if let Some(place) = root.at("/dataset/scale")
        && dataset.scale_max.is_none()
        && place.read_all::<Scale>().contains(&Scale::Unit)
    {
        place.invalid("`unit` needs 8-bit data or a built-in dataset with a known range; use `min_max` or `standardize`");
    }
    if let Some(collapse) = &findings.collapse {
        let place = root.at("/dataset/scale");
        if place.as_ref().is_none_or(|place| place.read_all::<Scale>().contains(&Scale::None)) {
            place.unwrap_or_else(|| at("/dataset")).invalid(collapse.to_string());
        }
    }
    for (index, metric) in study.metrics.iter().enumerate() {
        let varies = || metric_varies(*metric, study, dataset, findings);
        if let Err(why) = metric_labels(*metric, dataset.classes).and_then(|()| varies()) {
            at(&format!("/training/metrics/{index}")).invalid(why);
        }
    }
    if let Some(place) = root.at("/training/class_weight") {
        let misfits = |weight: &ClassWeight| class_weight(weight, dataset.classes, &findings.class_names);
        for (class, why) in place.read_all::<ClassWeight>().iter().flat_map(misfits) {
            let there = class.and_then(|class| {
                let key = class.to_string();
                Some(place.child(&key, place.json().get(&key)?))
            });
            there.as_ref().unwrap_or(&place).invalid(why);
        }
    }
}

/// Checks that the metric can be measured on labels that are `classes`, or numbers.
pub(super) fn metric_labels(metric: Metric, classes: Option<u32>) -> Result<(), String> {
    let labels = if classes.is_some() { "the labels of the dataset are classes" } else { NO_CLASSES };
    let misfit = || format!("{} cannot be measured: {labels}", metric.as_str());
    (metric.is_classification() == classes.is_some()).then_some(()).ok_or_else(misfit)
}

/// Checks that the labels do not make the metric the same in every epoch of every trial.
fn metric_varies(
    metric: Metric,
    study: &Study,
    dataset: &DatasetSchema,
    findings: &Findings,
) -> Result<(), String> {
    if metric != Metric::R2Score {
        return Ok(());
    }
    let training = study.dataset.training_rows(dataset.rows);
    let judged = study.dataset.folds.map_or(dataset.rows - training, |folds| dataset.rows / u64::from(folds));
    let is_held_out = study.dataset.folds.is_some() || study.dataset.validation_split > 0.0;
    if findings.labels_are_equal {
        Err("r2_score would always be 0: all labels are equal, so there is no variance to explain".to_owned())
    } else if is_held_out && judged == 1 {
        Err("r2_score would always be 0 with one validation row; hold out more rows, or use rmse".to_owned())
    } else {
        Ok(())
    }
}

/// Everything wrong with class weights for labels that are `classes` of these names, or numbers:
/// the class at fault, if there is one, and the reason.
pub(super) fn class_weight(
    weight: &ClassWeight,
    classes: Option<u32>,
    names: &[String],
) -> Vec<(Option<Class>, String)> {
    let (weights, classes) = match (weight, classes) {
        (ClassWeight::None, _) | (ClassWeight::Balanced, Some(_)) => return Vec::new(),
        (_, None) => return vec![(None, format!("needs classes, but {NO_CLASSES}"))],
        (ClassWeight::Given(weights), Some(classes)) => (weights, classes),
    };
    let (mut seen, mut misfits) = (Vec::new(), Vec::new());
    for class in weights.iter().map(|(class, _)| class) {
        match class.numbered(names) {
            Class::Number(number) if number >= classes => {
                misfits.push((class, format!("there is no class {class}; {}", listed(classes, names))))
            }
            Class::Name(name) => misfits
                .push((class, format!("there is no class {}; {}", quote(&name), listed(classes, names)))),
            Class::Number(number) if seen.contains(&number) => {
                misfits.push((class, format!("class {number} already has a weight, by its number")))
            }
            Class::Number(number) => seen.push(number),
        }
    }
    misfits.into_iter().map(|(class, why)| (Some(class.clone()), why)).collect()
}

/// The classes in an error: by number, and by name if they have names.
fn listed(classes: u32, names: &[String]) -> String {
    if names.is_empty() {
        return format!("the classes are 0 to {}", classes - 1);
    }
    let first = names.iter().take(limits::VALUES_NAMED_MAX).enumerate();
    let first: Vec<String> = first.map(|(number, name)| format!("{number} ({})", quote(name))).collect();
    let more = if names.len() > first.len() { ", …" } else { "" };
    format!("the classes are {}{more}", first.join(", "))
}

/// Checks that `loss` can compare an output of shape `output` with labels that are `classes`, or
/// numbers. Errors: the field at fault and the reason. `as_values` says how labels that are classes
/// can be written as numbers in this kind of source, if they can.
pub(super) fn output(
    loss: Loss,
    output: &[usize],
    classes: Option<u32>,
    as_values: Option<&str>,
) -> Result<(), (String, String)> {
    let name = loss.as_str();
    let at_loss = |reason: &str| Err(("/training/loss".to_owned(), format!("{name} {reason}")));
    let Some(classes) = classes else {
        if loss.is_classification() {
            return at_loss(&format!(
                "compares classes, but {NO_CLASSES}; number the classes from 0, or use mean_squared_error"
            ));
        }
        return needs(
            output == [1],
            name,
            output,
            "compares it with one number for each row, so it must be (1)".to_owned(),
        );
    };
    let each = || format!("needs one probability for each of {classes} classes: ({classes})");
    let one_hot = output == [classes as usize];
    match loss {
        Loss::MeanSquaredError
        | Loss::MeanAbsoluteError
        | Loss::Huber { .. }
        | Loss::LogCosh
        | Loss::Poisson => {
            let or = as_values.map_or(String::new(), |how| {
                format!(" (whole numbers from 0 to {}); {how}, or", classes - 1)
            });
            let or = if or.is_empty() { ";" } else { &or };
            at_loss(&format!(
                "compares numbers, but the labels of the dataset are classes{or} use sparse_categorical_crossentropy"
            ))
        }
        Loss::Hinge if classes != 2 => {
            at_loss(&format!("compares two classes, but the dataset has {classes}"))
        }
        Loss::Hinge => {
            needs(output == [1], name, output, "compares it with -1 and 1, so it must be (1)".to_owned())
        }
        Loss::SparseCategoricalCrossentropy { .. } => {
            needs(matches!(output, [units] if *units >= classes as usize), name, output, each())
        }
        Loss::BinaryCrossentropy { .. } if classes == 2 => needs(
            output == [1] || one_hot,
            name,
            output,
            "needs the probability of the second class, (1), or that of both: (2)".to_owned(),
        ),
        Loss::CategoricalCrossentropy { .. } | Loss::BinaryCrossentropy { .. } | Loss::KlDivergence => {
            needs(one_hot, name, output, each())
        }
    }
}

/// Checks that `loss` can interpret the output of `activation`, called `name`, at the end of a
/// network. Errors: whether the loss is at fault rather than the network, and the reason.
///
/// Keras divides the outputs by their sum for a categorical cross-entropy, so positive outputs are
/// as good as probabilities (except on TensorFlow, which uses the logits before a sigmoid). The
/// softmax of `log_softmax` is the softmax itself.
pub(super) fn activation(loss: Loss, activation: Activation, name: &str) -> Result<(), (bool, String)> {
    let takes = loss.as_str();
    let range = activation.range();
    let is_probability = range == Range::Probability;
    let at_network = |needs: &str, end: &str| {
        Err((false, format!("{takes} needs {needs}, but the network ends with {name}; {end}")))
    };
    match loss.outputs() {
        outputs @ (Outputs::Logits | Outputs::ClassLogits)
            if is_probability || (outputs == Outputs::Logits && range == Range::NotPositive) =>
        {
            let cure = "end it with linear, or remove from_logits";
            Err((
                true,
                format!("{takes} with from_logits needs logits, but the network ends with {name}; {cure}"),
            ))
        }
        Outputs::Shares if !is_probability && range != Range::Positive => {
            at_network("probabilities", "end it with softmax, or set from_logits in the loss")
        }
        Outputs::Probabilities if !is_probability => {
            at_network("probabilities", "end it with sigmoid, or set from_logits in the loss")
        }
        // With any other activation, the divergence is smallest if all outputs are 1.
        Outputs::Distribution if activation != Activation::Softmax => {
            at_network("probabilities that sum to 1", "end it with softmax")
        }
        Outputs::Margins if range != Range::BothSides => {
            at_network("outputs on both sides of 0", "end it with tanh or linear")
        }
        Outputs::Values
        | Outputs::Probabilities
        | Outputs::Logits
        | Outputs::Distribution
        | Outputs::Shares
        | Outputs::ClassLogits
        | Outputs::Margins => Ok(()),
    }
}

/// Checks that the metric at `index` can be measured, and varies, on an output of this shape with
/// labels that are `classes`, or numbers.
pub(super) fn metric(
    index: usize,
    metric: Metric,
    output: &[usize],
    classes: Option<u32>,
) -> Result<(), (String, String)> {
    let (name, Some(classes)) = (metric.as_str(), classes) else { return Ok(()) };
    let reason = match metric {
        Metric::BinaryAccuracy if output != [1] => {
            format!("{name} needs one output, but the network makes {}; use accuracy", show(output))
        }
        Metric::CategoricalAccuracy
        | Metric::SparseCategoricalAccuracy
        | Metric::TopKCategoricalAccuracy { .. }
            if output == [1] =>
        {
            format!(
                "{name} needs an output for each class, but the network makes {}; use binary_accuracy",
                show(output)
            )
        }
        Metric::TopKCategoricalAccuracy { k } if k >= classes => {
            format!(
                "{name} would always be 1: k is {k}, but the dataset has only {classes} classes; use a smaller k"
            )
        }
        Metric::Accuracy
        | Metric::BinaryAccuracy
        | Metric::CategoricalAccuracy
        | Metric::SparseCategoricalAccuracy
        | Metric::TopKCategoricalAccuracy { .. }
        | Metric::Precision
        | Metric::Recall
        | Metric::Auc
        | Metric::F1Score
        | Metric::Mse
        | Metric::Rmse
        | Metric::Mae
        | Metric::R2Score => return Ok(()),
    };
    Err((format!("/training/metrics/{index}"), reason))
}

fn needs(fits: bool, name: &str, output: &[usize], needs: String) -> Result<(), (String, String)> {
    let misfit = || {
        ("/network".to_owned(), format!("the output of the network is {}, but {name} {needs}", show(output)))
    };
    fits.then_some(()).ok_or_else(misfit)
}

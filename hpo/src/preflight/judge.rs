//! Whether dataset, loss, metrics and the network's output go together.

use crate::dataset::{DatasetSchema, Findings, Scale};
use crate::document::{Place, quote};
use crate::limits;
use crate::network::Activation;
use crate::shape::show;
use crate::study::Study;
use crate::training::{Class, ClassWeight, Loss, Metric};

/// What to say where labels are numbers: a file's 1, 2, 3 or 0.0, 1.0 look like classes to a person.
const NO_CLASSES: &str = "the dataset's labels are numbers (classes are whole numbers from 0 to k-1, or texts)";

/// Reports what the dataset cannot give.
pub(super) fn dataset(root: &Place, study: &Study, dataset: &DatasetSchema, findings: &Findings) {
    let at = |pointer: &str| root.at(pointer).unwrap_or_else(|| root.clone());
    let training_rows = study.dataset.training_rows(dataset.rows);
    if let Some(folds) = study.dataset.folds {
        if u64::from(folds) > dataset.rows {
            at("/dataset/folds").invalid(format!("{folds} folds of {} rows leave a fold without rows", dataset.rows));
        }
    } else if training_rows == 0 || (study.dataset.validation_split > 0.0 && training_rows == dataset.rows) {
        let split = study.dataset.validation_split;
        at("/dataset/validation_split").invalid(format!("{split} of {} rows leaves a part without rows", dataset.rows));
    }
    if let Some(place) = root.at("/dataset/scale")
        && dataset.scale_max.is_none()
        && place.read_all::<Scale>().contains(&Scale::Unit)
    {
        place.invalid("unit needs a range that the source declares, and this one declares none; use min_max or standardize");
    }
    if let Some(collapse) = &findings.collapse {
        let place = root.at("/dataset/scale");
        if place.as_ref().is_none_or(|place| place.read_all::<Scale>().contains(&Scale::None)) {
            place.unwrap_or_else(|| at("/dataset")).invalid(collapse.to_string());
        }
    }
    for (index, metric) in study.metrics.iter().enumerate() {
        if let Err(why) = metric_labels(*metric, dataset.classes) {
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

/// Why the metric cannot be measured on labels that are `classes`, or numbers.
pub(super) fn metric_labels(metric: Metric, classes: Option<u32>) -> Result<(), String> {
    let labels = if classes.is_some() { "the dataset's labels are classes" } else { NO_CLASSES };
    let misfit = || format!("{} cannot be measured: {labels}", metric.as_str());
    (metric.is_classification() == classes.is_some()).then_some(()).ok_or_else(misfit)
}

/// What labels that are `classes` of these names, or numbers, cannot be weighed by: the class at fault, if it is one, and the reason.
pub(super) fn class_weight(weight: &ClassWeight, classes: Option<u32>, names: &[String]) -> Vec<(Option<Class>, String)> {
    let (weights, classes) = match (weight, classes) {
        (ClassWeight::None, _) | (ClassWeight::Balanced, Some(_)) => return Vec::new(),
        (_, None) => return vec![(None, format!("weighs classes, and {NO_CLASSES}"))],
        (ClassWeight::Given(weights), Some(classes)) => (weights, classes),
    };
    let (mut seen, mut misfits) = (Vec::new(), Vec::new());
    for class in weights.iter().map(|(class, _)| class) {
        match class.numbered(names) {
            Class::Number(number) if number >= classes => {
                misfits.push((class, format!("there is no class {class}: {}", listed(classes, names))))
            }
            Class::Name(name) => misfits.push((class, format!("there is no class {}: {}", quote(&name), listed(classes, names)))),
            Class::Number(number) if seen.contains(&number) => {
                misfits.push((class, format!("class {number} has a weight already, by its number")))
            }
            Class::Number(number) => seen.push(number),
        }
    }
    misfits.into_iter().map(|(class, why)| (Some(class.clone()), why)).collect()
}

/// The classes in an error: by number, and by name if they have names.
fn listed(classes: u32, names: &[String]) -> String {
    if names.is_empty() {
        return format!("they are 0 to {}", classes - 1);
    }
    let first = names.iter().take(limits::VALUES_NAMED_MAX).enumerate();
    let first: Vec<String> = first.map(|(number, name)| format!("{number} ({})", quote(name))).collect();
    let more = if names.len() > first.len() { ", …" } else { "" };
    format!("they are {}{more}", first.join(", "))
}

/// Why `loss` cannot compare an output of shape `output` with labels that are `classes`, or numbers: the field at fault and the reason. `as_values` says how
/// the source would make values of labels that are classes by now, if it could.
pub(super) fn output(loss: Loss, output: &[usize], classes: Option<u32>, as_values: Option<&str>) -> Result<(), (String, String)> {
    let name = loss.as_str();
    let at_loss = |reason: &str| Err(("/training/loss".to_owned(), format!("{name} {reason}")));
    let Some(classes) = classes else {
        if loss.is_classification() {
            return at_loss(&format!("compares classes, and {NO_CLASSES}; number the classes so, or use mean_squared_error"));
        }
        return needs(output == [1], name, output, "compares it with one number a row, so it must be (1)".to_owned());
    };
    let each = || format!("needs one probability for each of {classes} classes: ({classes})");
    let one_hot = output == [classes as usize];
    match loss {
        _ if !loss.is_classification() => {
            let or = as_values.map_or(String::new(), |how| format!(" (whole numbers from 0 to {}); {how}, or", classes - 1));
            let or = if or.is_empty() { ";" } else { &or };
            at_loss(&format!("compares numbers, and the dataset's labels are classes{or} use sparse_categorical_crossentropy"))
        }
        Loss::Hinge if classes != 2 => at_loss(&format!("compares two classes, and the dataset has {classes}")),
        Loss::Hinge => needs(output == [1], name, output, "compares it with -1 and 1, so it must be (1)".to_owned()),
        Loss::SparseCategoricalCrossentropy { .. } => needs(matches!(output, [units] if *units >= classes as usize), name, output, each()),
        Loss::BinaryCrossentropy { .. } if classes == 2 => {
            needs(output == [1] || one_hot, name, output, "needs the probability of the second class, (1), or that of both: (2)".to_owned())
        }
        _ => needs(one_hot, name, output, each()),
    }
}

/// Why `loss` cannot mean what `activation`, called `name`, makes at the end of a network: whether the loss says so rather than the network, and the reason.
///
/// Left alone is what comes out right: Keras divides the outputs of a categorical cross-entropy by their sum, so that positive ones are as good as
/// probabilities (but on TensorFlow, where it looks behind the sigmoid for logits), and the softmax of `log_softmax` is the softmax itself.
pub(super) fn activation(loss: Loss, activation: Activation, name: &str) -> Result<(), (bool, String)> {
    use Activation::{Exponential, HardSigmoid, LogSoftmax, Sigmoid, Softmax, Softplus};
    let (takes, binary) = (loss.as_str(), matches!(loss, Loss::BinaryCrossentropy { .. }));
    let is_probability = matches!(activation, Softmax | Sigmoid | HardSigmoid);
    match loss {
        _ if loss.from_logits() && (is_probability || (binary && activation == LogSoftmax)) => Err((
            true,
            format!(
                "{takes} takes logits with from_logits, and {name} at the network's end makes none; end it with linear, or leave from_logits out"
            ),
        )),
        _ if loss.from_logits() || is_probability => Ok(()),
        Loss::SparseCategoricalCrossentropy { .. } | Loss::CategoricalCrossentropy { .. }
            if matches!(activation, Softplus | Exponential) =>
        {
            Ok(())
        }
        Loss::SparseCategoricalCrossentropy { .. } | Loss::CategoricalCrossentropy { .. } | Loss::BinaryCrossentropy { .. } => {
            let end = if binary { "sigmoid" } else { "softmax" };
            Err((
                false,
                format!(
                    "{takes} takes probabilities, and {name} at the network's end makes none; end it with {end}, or set from_logits of the loss"
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// Why the metric at `index` cannot be measured on an output of this shape.
pub(super) fn metric(index: usize, metric: Metric, output: &[usize]) -> Result<(), (String, String)> {
    let reason = match metric {
        Metric::BinaryAccuracy if output != [1] => "it needs one probability: (1)",
        Metric::CategoricalAccuracy | Metric::SparseCategoricalAccuracy | Metric::TopKCategoricalAccuracy { .. } if output == [1] => {
            "it needs one probability for each class; use binary_accuracy"
        }
        _ => return Ok(()),
    };
    let detail = format!("{} cannot be measured: the network's output is {}, and {reason}", metric.as_str(), show(output));
    Err((format!("/training/metrics/{index}"), detail))
}

fn needs(fits: bool, name: &str, output: &[usize], needs: String) -> Result<(), (String, String)> {
    let misfit = || ("/network".to_owned(), format!("the network's output is {}; {name} {needs}", show(output)));
    fits.then_some(()).ok_or_else(misfit)
}

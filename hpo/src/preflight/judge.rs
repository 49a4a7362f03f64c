//! Whether dataset, loss, metrics and the network's output go together.

use crate::dataset::{DatasetSchema, Scale};
use crate::document::Place;
use crate::shape::show;
use crate::study::Study;
use crate::training::{Loss, Metric};

/// Reports what the dataset cannot give.
pub(super) fn dataset(root: &Place, study: &Study, dataset: &DatasetSchema) {
    let at = |pointer: &str| root.at(pointer).unwrap_or_else(|| root.clone());
    let training_rows = (dataset.rows as f64 * (1.0 - study.dataset.validation_split)).floor() as u64;
    if training_rows == 0 || (study.dataset.validation_split > 0.0 && training_rows == dataset.rows) {
        let split = study.dataset.validation_split;
        at("/dataset/validation_split").invalid(format!("{split} of {} rows leaves a part without rows", dataset.rows));
    }
    if let Some(place) = root.at("/dataset/scale")
        && dataset.scale_max.is_none()
        && place.read_all::<Scale>().contains(&Scale::Unit)
    {
        place.invalid("unit needs a range that the source declares, and this one declares none; use min_max or standardize");
    }
    for (index, metric) in study.metrics.iter().enumerate() {
        let fits = match metric {
            Metric::Accuracy => dataset.classes.is_some(),
            Metric::Mae => dataset.classes.is_none(),
        };
        if !fits {
            let labels = if dataset.classes.is_some() { "classes" } else { "numbers" };
            at(&format!("/training/metrics/{index}"))
                .invalid(format!("{} cannot be measured: the dataset's labels are {labels}", metric.as_str()));
        }
    }
}

/// Why `loss` cannot compare an output of shape `output` with the dataset's labels: the field at fault and the reason.
pub(super) fn output(loss: Loss, output: &[usize], dataset: &DatasetSchema) -> Result<(), (&'static str, String)> {
    let name = loss.as_str();
    match (loss, dataset.classes) {
        (Loss::MeanSquaredError, Some(_)) => Err((
            "/training/loss",
            format!("{name} compares numbers, and the dataset's labels are classes; use sparse_categorical_crossentropy"),
        )),
        (Loss::MeanSquaredError, None) if output != [1] => Err((
            "/network",
            format!("the network's output is {}; {name} compares it with one number a row, so it must be (1)", show(output)),
        )),
        (Loss::MeanSquaredError, None) => Ok(()),
        (_, None) => {
            Err(("/training/loss", format!("{name} compares classes, and the dataset's labels are numbers; use mean_squared_error")))
        }
        (_, Some(classes)) => {
            let fits = match output {
                [units] if loss == Loss::SparseCategoricalCrossentropy => *units >= classes as usize,
                [units] => *units == classes as usize,
                _ => false,
            };
            if fits {
                return Ok(());
            }
            Err((
                "/network",
                format!(
                    "the network's output is {}; {name} needs one probability for each of {classes} classes: ({classes})",
                    show(output)
                ),
            ))
        }
    }
}

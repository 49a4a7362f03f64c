//! Features, labels and weights from arrays.

use super::{Array, At};
use crate::Error;
use crate::dataset::{Features, Labels};
use crate::limits;
use crate::rows::Rows;

/// The rows of two arrays.
pub(crate) fn rows(features: Array, labels: Array) -> Result<Rows, Error> {
    let mut shape = features.dims[1..].to_vec();
    if shape.len() > limits::RANK_MAX {
        return Err(features.at.wrong(format!(
            "has {} dimensions; at most {} are allowed",
            features.dims.len(),
            limits::RANK_MAX + 1
        )));
    }
    if shape.is_empty() {
        shape.push(1);
    }
    labels.holds_one_number_a_row("labels", features.dims[0], features.at)?;
    let scale_max = matches!(features.values, Features::U8(_)).then_some(255.0);
    let labels = as_labels(labels)?;
    Ok(Rows { shape, features: features.values, scale_max, ..Rows::of(labels) })
}

/// The weights of `rows`.
pub(crate) fn weights(weights: Array, rows: &Rows, features: At) -> Result<Vec<f32>, Error> {
    weights.holds_one_number_a_row("weights", rows.labels.len(), features)?;
    Ok(match weights.values {
        Features::U8(values) => values.into_iter().map(f32::from).collect(),
        Features::F32(values) => values,
        Features::F64(values) => values.into_iter().map(|value| value as f32).collect(),
    })
}

impl Array<'_> {
    /// Refuses anything else; a column `(rows, 1)` is allowed, as in Keras's labels of CIFAR.
    fn holds_one_number_a_row(&self, what: &str, rows: usize, features: At) -> Result<(), Error> {
        if !matches!(self.dims.as_slice(), [_] | [_, 1]) {
            let cure = match what {
                "labels" if self.is_one_hot() => "store class numbers (argmax), not one-hot rows".to_owned(),
                _ => format!("{what} are one number a row"),
            };
            return Err(self
                .at
                .wrong(format!("{what} need one dimension, these have {:?}; {cure}", self.dims)));
        }
        if self.dims[0] != rows {
            let of = features.array.unwrap_or(features.path);
            return Err(self
                .at
                .wrong(format!("{} {what} for the {rows} rows of {of}; they must agree", self.dims[0])));
        }
        Ok(())
    }

    /// Whether each of its rows is a 1 among zeros.
    fn is_one_hot(&self) -> bool {
        fn are<T: Copy + Into<f64>>(values: &[T], width: usize) -> bool {
            let is = |number: f64| move |value: &&T| (**value).into() == number;
            values.chunks(width).all(|row| {
                row.iter().filter(is(1.0)).count() == 1 && row.iter().filter(is(0.0)).count() == width - 1
            })
        }
        match (self.dims.as_slice(), &self.values) {
            ([_, width], Features::U8(values)) => are(values, *width),
            ([_, width], Features::F32(values)) => are(values, *width),
            ([_, width], Features::F64(values)) => are(values, *width),
            _ => false,
        }
    }
}

fn as_labels(Array { at, kind, values, .. }: Array) -> Result<Labels, Error> {
    let values = match values {
        Features::U8(values) => return Ok(Labels::Classes(values.into_iter().map(u32::from).collect())),
        Features::F32(values) => values,
        Features::F64(values) => values.into_iter().map(|value| value as f32).collect(),
    };
    match kind.is_float() {
        true => Ok(Labels::Values(values)),
        // An integer that float32 rounds is beyond the classes allowed, and stays so.
        false => match values.iter().position(|value| !(0.0..limits::DATASET_CLASSES_MAX as f32).contains(value)) {
            Some(row) if values[row] < 0.0 => Err(at.wrong(format!(
                "row {row} (from 0) has the label {}; classes count from 0, the values of a regression are floats",
                values[row]
            ))),
            Some(row) => Err(at.wrong(format!(
                "row {row} (from 0) has the label {}, beyond the {} classes allowed; store the values of a regression as floats",
                f64::from(values[row]),
                limits::DATASET_CLASSES_MAX
            ))),
            None => Ok(Labels::Classes(values.into_iter().map(|value| value as u32).collect())),
        },
    }
}

//! A dataset in memory, as read from its source: not yet split, not yet scaled.

use std::sync::Arc;

use hpo::dataset::{Collapse, DatasetSchema};

/// A dataset in memory, shared by all slots of a process.
#[derive(Debug)]
pub struct Dataset {
    /// What a study pins. `rows` counts the rows of the source; those of the `validation` files, if
    /// any, follow them.
    pub schema: DatasetSchema,
    /// `(rows, width)`, row by row.
    pub features: Features,
    /// One label a row.
    pub labels: Labels,
    /// The names of the classes, if the source names them: texts of a label column, folders of
    /// images. Otherwise empty.
    pub class_names: Arc<[String]>,
    /// The names of the numbers in a row, if the source is a table: the name of a column of
    /// categories is there once for each category. Otherwise empty.
    pub columns: Vec<String>,
    /// The weight of each row in the loss, finite and at least 0, if the study asks for weights.
    /// Metrics count all rows alike, as Keras's `metrics` do. Rows of `validation` arrays have the
    /// weight 1.
    pub weights: Option<Vec<f32>>,
    /// Two values that become equal unless features are scaled, if there are any.
    pub collapse: Option<Collapse>,
}

/// Feature values as stored. Images stay bytes, which take a quarter of the memory.
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// Bytes, as in 8-bit images.
    U8(Vec<u8>),
    /// Finite floats.
    F32(Vec<f32>),
    /// Floats that are finite in 32 bits, but which 32 bits do not tell apart.
    F64(Vec<f64>),
}

/// The values to predict.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// Class numbers, from 0.
    Classes(Vec<u32>),
    /// Finite values of a regression.
    Values(Vec<f32>),
}

impl Dataset {
    /// The numbers in one row: the product of the shape.
    pub fn width(&self) -> usize {
        self.schema.shape.iter().product()
    }

    /// The bytes that features, labels and weights hold.
    pub fn bytes(&self) -> u64 {
        bytes(&self.features, &self.labels, self.weights.is_some())
    }

    /// A feature in an error.
    pub(crate) fn feature(&self, feature: usize) -> String {
        named(&self.columns, feature)
    }

    /// A class in an error: its number, and its name if it has one.
    pub(crate) fn class(&self, class: usize) -> String {
        self.class_names
            .get(class)
            .map_or_else(|| format!("class {class}"), |name| format!("class {class} ({name:?})"))
    }
}

/// A feature in an error: its column, or its position in a row.
pub(crate) fn named(columns: &[String], feature: usize) -> String {
    columns
        .get(feature)
        .map_or_else(|| format!("feature {feature} (from 0)"), |name| format!("column {name:?}"))
}

/// Labels and weights take four bytes a row each.
pub(crate) fn bytes(features: &Features, labels: &Labels, weighted: bool) -> u64 {
    features.bytes() + (if weighted { 8 } else { 4 }) * labels.len() as u64
}

impl Features {
    fn bytes(&self) -> u64 {
        self.value_bytes() * self.count() as u64
    }

    fn count(&self) -> usize {
        match self {
            Features::U8(values) => values.len(),
            Features::F32(values) => values.len(),
            Features::F64(values) => values.len(),
        }
    }

    /// The bytes of one value.
    pub(crate) fn value_bytes(&self) -> u64 {
        match self {
            Features::U8(_) => 1,
            Features::F32(_) => 4,
            Features::F64(_) => 8,
        }
    }

    /// The value at this position, counted through all rows.
    pub(crate) fn at(&self, at: usize) -> f64 {
        match self {
            Features::U8(values) => f64::from(values[at]),
            Features::F32(values) => f64::from(values[at]),
            Features::F64(values) => values[at],
        }
    }

    pub(crate) fn dtype(&self) -> &'static str {
        match self {
            Features::U8(_) => "uint8",
            Features::F32(_) => "float32",
            Features::F64(_) => "float64",
        }
    }
}

impl Labels {
    /// The number of labels.
    #[allow(clippy::len_without_is_empty, reason = "a dataset without rows is refused when it is read")]
    pub fn len(&self) -> usize {
        match self {
            Labels::Classes(labels) => labels.len(),
            Labels::Values(labels) => labels.len(),
        }
    }

    /// Whether all of them are the same.
    pub fn are_equal(&self) -> bool {
        match self {
            Labels::Classes(labels) => labels.iter().all(|label| *label == labels[0]),
            Labels::Values(labels) => labels.iter().all(|label| *label == labels[0]),
        }
    }

    /// The classes that have rows, in order; none if the labels are values.
    pub fn classes(&self) -> Vec<u32> {
        let Labels::Classes(labels) = self else { return Vec::new() };
        let mut seen = vec![false; labels.iter().max().map_or(0, |largest| *largest as usize + 1)];
        labels.iter().for_each(|class| seen[*class as usize] = true);
        (0..).zip(seen).filter_map(|(class, seen)| seen.then_some(class)).collect()
    }
}

//! Rows as the reader of a format delivers them, and the dataset that becomes of them: checked,
//! described and hashed.

use hpo::dataset::{Collapse, DatasetSchema};
use sha2::{Digest, Sha256};

use crate::bits::{Bits, Number, Rounding};
use crate::dataset::{self, Dataset, Features, Labels};
use crate::error::{listed, shown};
use crate::{Error, limits};

/// Rows as a format's reader delivers them: as many labels as rows, at least one.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) shape: Vec<usize>,
    pub(crate) features: Features,
    pub(crate) labels: Labels,
    pub(crate) scale_max: Option<f64>,
    pub(crate) class_names: Vec<String>,
    pub(crate) columns: Vec<String>,
    pub(crate) weights: Option<Vec<f32>>,
    /// Whether rounded features need 64 bits, so that they must be read again.
    pub(crate) needs_64: bool,
}

impl Rows {
    /// Rows with these labels, still without features.
    pub(crate) fn of(labels: Labels) -> Rows {
        Rows {
            shape: Vec::new(),
            features: Features::F32(Vec::new()),
            labels,
            scale_max: None,
            class_names: Vec::new(),
            columns: Vec::new(),
            weights: None,
            needs_64: false,
        }
    }

    /// The bytes that they hold.
    pub(crate) fn bytes(&self) -> u64 {
        dataset::bytes(&self.features, &self.labels, self.weights.is_some())
    }

    /// The bits in which other features must be kept to have the type of these.
    pub(crate) fn bits(&self) -> Bits {
        if matches!(self.features, Features::F64(_)) { Bits::Wide } else { Bits::Narrow }
    }

    /// The dataset of these rows, followed by those of the validation files; of two classes the
    /// `positive` one gets the number 1. `path` names the source in errors.
    pub(crate) fn seal(
        mut self,
        path: &str,
        validation: Option<(Rows, &str)>,
        positive: Option<&str>,
    ) -> Result<Dataset, Error> {
        let rows = self.labels.len() as u64;
        self.check_weights().map_err(|detail| Error::Weights { path: path.to_owned(), detail })?;
        if let Some((more, more_path)) = validation {
            self.append(more, more_path)?;
        }
        let classes = self.classes().map_err(|detail| Error::Format { path: path.to_owned(), detail })?;
        if let Some(positive) = positive {
            self.make_positive(positive, classes)
                .map_err(|detail| Error::Positive { path: path.to_owned(), detail })?;
        }
        let schema = self.schema(rows, classes);
        let Rows { shape, features, labels, class_names, columns, weights, .. } = self;
        let collapse = collapse(&features, shape.iter().product(), &columns);
        let dataset =
            Dataset { schema, features, labels, class_names: class_names.into(), columns, weights, collapse };
        if dataset.bytes() > limits::DATASET_BYTES_MAX {
            let what = "the size in bytes of all its parts".into();
            return Err(Error::TooLarge { path: path.to_owned(), what, max: limits::DATASET_BYTES_MAX });
        }
        Ok(dataset)
    }

    fn check_weights(&self) -> Result<(), String> {
        let Some(weights) = &self.weights else { return Ok(()) };
        if weights.iter().all(|weight| *weight == 0.0) {
            return Err("all weights are 0; at least one must be larger".into());
        }
        match weights.iter().position(|weight| *weight < 0.0) {
            Some(row) => Err(format!("row {row} (from 0) has a weight below 0; weights are at least 0")),
            None => Ok(()),
        }
    }

    /// The number of classes; none if the labels are values.
    fn classes(&self) -> Result<Option<u32>, String> {
        let Labels::Classes(labels) = &self.labels else { return Ok(None) };
        let classes = labels.iter().max().map_or(0, |largest| largest.saturating_add(1));
        let max = limits::DATASET_CLASSES_MAX;
        if classes > max {
            let largest = classes - 1;
            return Err(format!(
                "label {largest} is beyond the {max} classes allowed; store the values of a regression as floats"
            ));
        }
        if self.labels.are_equal() {
            return Err("all labels are equal: a classification needs at least two classes".into());
        }
        Ok(Some(classes))
    }

    fn schema(&self, rows: u64, classes: Option<u32>) -> DatasetSchema {
        let class_names = classes.map(|classes| shown_classes(classes, &self.class_names));
        let mut schema = DatasetSchema {
            shape: self.shape.clone(),
            dtype: self.features.dtype().to_owned(),
            rows,
            classes,
            positive_class: class_names
                .as_ref()
                .filter(|names| names.len() == 2)
                .map(|names| names[1].clone()),
            class_names,
            scale_max: self.scale_max,
            hash: String::new(),
        };
        schema.hash = hash(&schema, self);
        schema
    }

    /// Gives one of two classes, by its name in the source, the number 1.
    fn make_positive(&mut self, positive: &str, classes: Option<u32>) -> Result<(), String> {
        let (Labels::Classes(labels), Some(2)) = (&mut self.labels, classes) else {
            let are =
                classes.map_or("values of a regression".to_owned(), |classes| format!("{classes} classes"));
            return Err(format!("positive_class needs two classes, but the labels are {are}; leave it out"));
        };
        if self.class_names.is_empty() {
            self.class_names = vec!["0".to_owned(), "1".to_owned()];
        }
        match self.class_names.iter().position(|name| name == positive) {
            Some(0) => {
                labels.iter_mut().for_each(|label| *label = 1 - *label);
                self.class_names.swap(0, 1);
                Ok(())
            }
            Some(_) => Ok(()),
            None => {
                Err(format!("there is no class {}; they are {}", shown(positive), listed(&self.class_names)))
            }
        }
    }

    fn append(&mut self, more: Rows, path: &str) -> Result<(), Error> {
        let (mine, other) = (self.features.dtype(), more.features.dtype());
        let wrong = |detail: String| Err(Error::Format { path: path.to_owned(), detail });
        if self.shape != more.shape {
            return wrong(format!(
                "validation rows have the shape {:?}, training rows {:?}; they must agree",
                more.shape, self.shape
            ));
        }
        if let Some(weights) = &mut self.weights {
            weights.extend(std::iter::repeat_n(1.0, more.labels.len()));
        }
        match (&mut self.features, more.features) {
            (Features::U8(values), Features::U8(more)) => values.extend(more),
            (Features::F32(values), Features::F32(more)) => values.extend(more),
            (Features::F64(values), Features::F64(more)) => values.extend(more),
            _ => return wrong(format!("validation rows are {other}, training rows {mine}; they must agree")),
        }
        match (&mut self.labels, more.labels) {
            (Labels::Classes(labels), Labels::Classes(more)) => labels.extend(more),
            (Labels::Values(labels), Labels::Values(more)) => labels.extend(more),
            _ => return wrong("the labels of training and validation are not of one kind: one has classes and one has values; they must agree".into()),
        }
        Ok(())
    }
}

/// SHA-256 of a canonical form, in hexadecimal. The names of classes are not part of it, since
/// training does not see them.
///
/// Hashed are one line of text with the version of the form, type, shape, rows, classes and range;
/// then all features, row by row; then all labels (classes as u32); then the weights, where there
/// are any (the line then says so). Numbers are little-endian. So the name of a file, its
/// compression and its format do not matter, but everything that training sees does.
fn hash(schema: &DatasetSchema, Rows { features, labels, weights, .. }: &Rows) -> String {
    let DatasetSchema { shape, dtype, rows, classes, scale_max, .. } = schema;
    let mut sha = Sha256::new();
    let weighted = if weights.is_some() { " weighted" } else { "" };
    sha.update(format!(
        "chandler dataset 1 {dtype} {shape:?} {rows}+{} {classes:?} {scale_max:?}{weighted}\n",
        labels.len() as u64 - rows
    ));
    match features {
        Features::U8(values) => sha.update(values),
        Features::F32(values) => update(&mut sha, values, |value| value.to_le_bytes()),
        Features::F64(values) => update(&mut sha, values, |value| value.to_le_bytes()),
    }
    match labels {
        Labels::Classes(labels) => update(&mut sha, labels, |label| label.to_le_bytes()),
        Labels::Values(labels) => update(&mut sha, labels, |label| label.to_le_bytes()),
    }
    if let Some(weights) = weights {
        update(&mut sha, weights, |weight| weight.to_le_bytes());
    }
    hex::encode(sha.finalize())
}

/// Hashes the bytes of numbers in chunks: an update for each number would cost more than the hash.
fn update<T: Copy, const N: usize>(sha: &mut Sha256, values: &[T], bytes: impl Fn(T) -> [u8; N]) {
    let mut buffer = [0u8; 4096];
    for chunk in values.chunks(buffer.len() / N) {
        for (slot, value) in buffer.chunks_exact_mut(N).zip(chunk) {
            slot.copy_from_slice(&bytes(*value));
        }
        sha.update(&buffer[..N * chunk.len()]);
    }
}

/// Two values of a feature that become equal in 32 bits, of the first feature that has such values.
/// None if 32 bits suffice for all.
fn collapse(features: &Features, width: usize, columns: &[String]) -> Option<Collapse> {
    let Features::F64(values) = features else { return None };
    let mut roundings = vec![Rounding::NONE; width];
    for row in values.chunks_exact(width) {
        row.iter().zip(&mut roundings).for_each(|(value, rounding)| rounding.add(Number::from(*value)));
    }
    let wide = (0..width).filter(|feature| roundings[*feature].needs_64());
    wide.map(|feature| (feature, values.iter().skip(feature).step_by(width))).find_map(|(feature, values)| {
        let mut sorted: Vec<f64> = values.copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let equal = sorted.windows(2).find(|pair| pair[0] != pair[1] && pair[0] as f32 == pair[1] as f32)?;
        Some(Collapse { feature: dataset::named(columns, feature), values: [equal[0], equal[1]] })
    })
}

/// The classes as a schema shows them: the first ones, with long names cut.
fn shown_classes(classes: u32, names: &[String]) -> Vec<String> {
    let cut = |name: &String| match name.char_indices().nth(limits::CLASS_NAME_SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.clone(),
    };
    let first = 0..classes.min(limits::CLASSES_NAMED_MAX as u32);
    first.map(|class| names.get(class as usize).map_or_else(|| class.to_string(), cut)).collect()
}

#[cfg(test)]
mod tests;

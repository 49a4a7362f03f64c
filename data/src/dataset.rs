//! A dataset in memory, as read from its source: not yet split, not yet scaled.

use hpo::dataset::DatasetSchema;
use hpo::limits;
use sha2::{Digest, Sha256};

use crate::Error;

/// A dataset in memory, shared by all slots of a process.
#[derive(Debug)]
pub struct Dataset {
    /// What a study pins. `rows` counts the source's rows; those of the `validation` files, if any, follow after them.
    pub schema: DatasetSchema,
    /// `(rows, width)`, row by row.
    pub features: Features,
    /// One label a row.
    pub labels: Labels,
    /// The names of the classes, where the source names them: texts of a label column, folders of images. Else empty.
    pub class_names: Vec<String>,
    /// The names of the numbers in a row, where the source is a table: a column of categories has as many as it has categories. Else empty.
    pub columns: Vec<String>,
    /// The weight of each row in losses and metrics, finite and at least 0, where the study asks for weights. Rows of `validation` arrays weigh 1.
    pub weights: Option<Vec<f32>>,
}

/// Feature values as stored: images stay bytes, at a quarter of the memory.
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// Bytes, as in 8-bit images.
    U8(Vec<u8>),
    /// Finite floats.
    F32(Vec<f32>),
}

/// What is to be predicted.
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

    /// A class in an error: its number, and its name where it has one.
    pub(crate) fn class(&self, class: usize) -> String {
        self.class_names.get(class).map_or_else(|| format!("class {class}"), |name| format!("class {class} ({name:?})"))
    }
}

/// Labels and weights take four bytes a row each.
fn bytes(features: &Features, labels: &Labels, weighted: bool) -> u64 {
    features.bytes() + (if weighted { 8 } else { 4 }) * labels.len() as u64
}

impl Features {
    fn bytes(&self) -> u64 {
        match self {
            Features::U8(values) => values.len() as u64,
            Features::F32(values) => 4 * values.len() as u64,
        }
    }

    fn dtype(&self) -> &'static str {
        match self {
            Features::U8(_) => "uint8",
            Features::F32(_) => "float32",
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

    /// The classes that have rows, in order; none where labels are values.
    pub fn classes(&self) -> Vec<u32> {
        let Labels::Classes(labels) = self else { return Vec::new() };
        let mut seen = vec![false; labels.iter().max().map_or(0, |largest| *largest as usize + 1)];
        labels.iter().for_each(|class| seen[*class as usize] = true);
        (0..).zip(seen).filter_map(|(class, seen)| seen.then_some(class)).collect()
    }
}

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
}

impl Rows {
    /// Rows with these labels, still without features.
    pub(crate) fn of(labels: Labels) -> Rows {
        let (shape, scale_max, class_names, columns, weights) = Default::default();
        Rows { shape, features: Features::F32(Vec::new()), labels, scale_max, class_names, columns, weights }
    }

    /// The bytes that they hold.
    pub(crate) fn bytes(&self) -> u64 {
        bytes(&self.features, &self.labels, self.weights.is_some())
    }

    /// The dataset of these rows, with the rows of the validation files behind them; `path` names the source in errors.
    pub(crate) fn seal(mut self, path: &str, validation: Option<(Rows, &str)>) -> Result<Dataset, Error> {
        let rows = self.labels.len() as u64;
        if self.weights.as_ref().is_some_and(|weights| weights.iter().all(|weight| *weight == 0.0)) {
            return Err(Error::Weights { path: path.to_owned(), detail: "all weights are 0, so there is nothing to learn".into() });
        }
        if let Some(row) = self.weights.iter().flatten().position(|weight| *weight < 0.0) {
            let detail = format!("row {row} (from 0) has a weight below 0; weights are at least 0");
            return Err(Error::Weights { path: path.to_owned(), detail });
        }
        if let Some((more, more_path)) = validation {
            self.append(more, more_path)?;
        }
        let classes = match &self.labels {
            Labels::Classes(labels) => Some(labels.iter().max().map_or(0, |largest| largest.saturating_add(1))),
            Labels::Values(_) => None,
        };
        let wrong = |detail: String| Error::Format { path: path.to_owned(), detail };
        match classes {
            Some(0 | 1) => return Err(wrong("all labels are equal: a classification needs at least two classes".into())),
            Some(n) if n > limits::DATASET_CLASSES_MAX => {
                let max = limits::DATASET_CLASSES_MAX;
                return Err(wrong(format!(
                    "label {} is beyond the {max} classes allowed; store the values of a regression as floats",
                    n - 1
                )));
            }
            _ => {}
        }
        let dtype = self.features.dtype().to_owned();
        let mut schema = DatasetSchema { shape: self.shape.clone(), dtype, rows, classes, scale_max: self.scale_max, hash: String::new() };
        schema.hash = hash(&schema, &self);
        let Rows { features, labels, class_names, columns, weights, .. } = self;
        let dataset = Dataset { schema, features, labels, class_names, columns, weights };
        if dataset.bytes() > limits::DATASET_BYTES_MAX {
            let what = "the size in bytes of all its parts".into();
            return Err(Error::TooLarge { path: path.to_owned(), what, max: limits::DATASET_BYTES_MAX });
        }
        Ok(dataset)
    }

    fn append(&mut self, more: Rows, path: &str) -> Result<(), Error> {
        let (mine, other) = (self.features.dtype(), more.features.dtype());
        let wrong = |detail: String| Err(Error::Format { path: path.to_owned(), detail });
        if self.shape != more.shape {
            return wrong(format!("validation rows have the shape {:?}, training rows {:?}; they must agree", more.shape, self.shape));
        }
        if let Some(weights) = &mut self.weights {
            weights.extend(std::iter::repeat_n(1.0, more.labels.len()));
        }
        match (&mut self.features, more.features) {
            (Features::U8(values), Features::U8(more)) => values.extend(more),
            (Features::F32(values), Features::F32(more)) => values.extend(more),
            _ => return wrong(format!("validation rows are {other}, training rows {mine}; they must agree")),
        }
        match (&mut self.labels, more.labels) {
            (Labels::Classes(labels), Labels::Classes(more)) => labels.extend(more),
            (Labels::Values(labels), Labels::Values(more)) => labels.extend(more),
            _ => return wrong("of the training and the validation labels, one has classes and one has values; they must agree".into()),
        }
        Ok(())
    }
}

/// SHA-256 of a canonical form, in hexadecimal.
///
/// Hashed are one line of text with the version of the form, type, shape, rows, classes and range; then all features, row by row; then all labels
/// (classes as u32); then the weights, where there are any (the line then says so). Numbers are little-endian. So the name of a file, its compression and its format don't matter, and everything that training sees does.
fn hash(schema: &DatasetSchema, Rows { features, labels, weights, .. }: &Rows) -> String {
    let DatasetSchema { shape, dtype, rows, classes, scale_max, hash: _ } = schema;
    let mut sha = Sha256::new();
    let weighted = if weights.is_some() { " weighted" } else { "" };
    sha.update(format!("chandler dataset 1 {dtype} {shape:?} {rows}+{} {classes:?} {scale_max:?}{weighted}\n", labels.len() as u64 - rows));
    match features {
        Features::U8(values) => sha.update(values),
        Features::F32(values) => update(&mut sha, values, |value| value.to_le_bytes()),
    }
    match labels {
        Labels::Classes(labels) => update(&mut sha, labels, |label| label.to_le_bytes()),
        Labels::Values(labels) => update(&mut sha, labels, |label| label.to_le_bytes()),
    }
    if let Some(weights) = weights {
        update(&mut sha, weights, |weight| weight.to_le_bytes());
    }
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes four bytes a number, in chunks: an update for each number would cost more than the hash.
fn update<T: Copy>(sha: &mut Sha256, values: &[T], bytes: impl Fn(T) -> [u8; 4]) {
    let mut buffer = [0u8; 4096];
    for chunk in values.chunks(buffer.len() / 4) {
        for (slot, value) in buffer.chunks_exact_mut(4).zip(chunk) {
            slot.copy_from_slice(&bytes(*value));
        }
        sha.update(&buffer[..4 * chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(features: Features, labels: &[u32]) -> Rows {
        Rows { shape: vec![2], features, ..Rows::of(Labels::Classes(labels.to_vec())) }
    }

    fn hash_of(rows: Rows) -> String {
        rows.seal("test", None).unwrap().schema.hash
    }

    #[test]
    fn the_hash_covers_features_labels_weights_shape_type_and_range() {
        let base = || rows(Features::U8(vec![1, 2, 3, 4]), &[0, 1]);
        let mut reshaped = base();
        reshaped.shape = vec![2, 1];
        let mut ranged = base();
        ranged.scale_max = Some(255.0);
        let weighted = |weights: [f32; 2]| hash_of(Rows { weights: Some(weights.to_vec()), ..base() });
        let hashes = [
            weighted([1.0, 1.0]),
            weighted([1.0, 2.0]),
            hash_of(base()),
            hash_of(rows(Features::U8(vec![1, 2, 3, 5]), &[0, 1])),
            hash_of(rows(Features::U8(vec![1, 2, 3, 4]), &[1, 0])),
            hash_of(rows(Features::F32(vec![1.0, 2.0, 3.0, 4.0]), &[0, 1])),
            hash_of(reshaped),
            hash_of(ranged),
        ];
        assert_eq!(hashes[2], hash_of(base()));
        assert_eq!(hashes.iter().collect::<std::collections::HashSet<_>>().len(), hashes.len());
        // Computed by hand with sha256sum; it changes only with the version in the first line.
        assert_eq!(hashes[2], "caf6596aca933e3891a074850568cd2d8e3a34babb983ddef89c2590096fa30b");
    }

    #[test]
    fn validation_rows_count_in_the_hash_but_not_as_rows() {
        let base = || rows(Features::U8(vec![1, 2, 3, 4]), &[0, 1]);
        let held_out = base().seal("a", Some((base(), "b"))).unwrap();
        assert_eq!((held_out.schema.rows, held_out.labels.len()), (2, 4));
        assert_ne!(held_out.schema.hash, hash_of(base()));
        assert_ne!(held_out.schema.hash, hash_of(rows(Features::U8(vec![1, 2, 3, 4, 1, 2, 3, 4]), &[0, 1, 0, 1])));
    }

    #[test]
    fn validation_rows_must_fit_the_training_rows() {
        let base = || rows(Features::U8(vec![1, 2, 3, 4]), &[0, 1]);
        let message = |more: Rows| base().seal("a", Some((more, "b"))).unwrap_err().to_string();
        assert_eq!(
            message(rows(Features::F32(vec![0.0; 4]), &[0, 1])),
            "b: validation rows are float32, training rows uint8; they must agree"
        );
        let mut wide = rows(Features::U8(vec![0; 8]), &[0, 1]);
        wide.shape = vec![4];
        assert_eq!(message(wide), "b: validation rows have the shape [4], training rows [2]; they must agree");
        let mut values = base();
        values.labels = Labels::Values(vec![0.5, 1.5]);
        assert!(message(values).contains("one has classes and one has values"));
    }

    #[test]
    fn weights_are_at_least_0_and_not_all_0() {
        let sealed =
            |weights: [f32; 2], more| Rows { weights: Some(weights.to_vec()), ..rows(Features::U8(vec![0; 4]), &[0, 1]) }.seal("a", more);
        assert_eq!(sealed([0.0, 0.0], None).unwrap_err().to_string(), "a: all weights are 0, so there is nothing to learn");
        assert_eq!(sealed([0.0, -1.0], None).unwrap_err().to_string(), "a: row 1 (from 0) has a weight below 0; weights are at least 0");
        let more = rows(Features::U8(vec![0; 4]), &[0, 1]);
        assert_eq!(sealed([0.0, 3.0], Some((more, "b"))).unwrap().weights, Some(vec![0.0, 3.0, 1.0, 1.0]));
    }

    #[test]
    fn one_class_or_too_many_are_refused() {
        let message = |labels| rows(Features::U8(vec![0; 4]), labels).seal("a", None).unwrap_err().to_string();
        assert!(message(&[0, 0]).contains("at least two classes"));
        assert!(message(&[0, limits::DATASET_CLASSES_MAX]).contains("store the values of a regression as floats"));
    }
}

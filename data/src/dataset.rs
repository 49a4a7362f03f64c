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

    /// The bytes that features and labels hold.
    pub fn bytes(&self) -> u64 {
        self.features.bytes() + 4 * self.labels.len() as u64
    }
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
}

/// Rows as a format's reader delivers them: as many labels as rows, at least one.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) shape: Vec<usize>,
    pub(crate) features: Features,
    pub(crate) labels: Labels,
    pub(crate) scale_max: Option<f64>,
}

impl Rows {
    /// The dataset of these rows, with the rows of the validation files behind them; `path` names the source in errors.
    pub(crate) fn seal(mut self, path: &str, validation: Option<(Rows, &str)>) -> Result<Dataset, Error> {
        let rows = self.labels.len() as u64;
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
        let mut schema = DatasetSchema { shape: self.shape, dtype, rows, classes, scale_max: self.scale_max, hash: String::new() };
        schema.hash = hash(&schema, &self.features, &self.labels);
        Ok(Dataset { schema, features: self.features, labels: self.labels })
    }

    fn append(&mut self, more: Rows, path: &str) -> Result<(), Error> {
        let (mine, other) = (self.features.dtype(), more.features.dtype());
        let wrong = |detail: String| Err(Error::Format { path: path.to_owned(), detail });
        if self.shape != more.shape {
            return wrong(format!("validation rows have the shape {:?}, training rows {:?}; they must agree", more.shape, self.shape));
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
/// (classes as u32). Numbers are little-endian. So the name of a file, its compression and its format don't matter, and everything that training sees does.
fn hash(schema: &DatasetSchema, features: &Features, labels: &Labels) -> String {
    let DatasetSchema { shape, dtype, rows, classes, scale_max, hash: _ } = schema;
    let mut sha = Sha256::new();
    sha.update(format!("chandler dataset 1 {dtype} {shape:?} {rows}+{} {classes:?} {scale_max:?}\n", labels.len() as u64 - rows));
    match features {
        Features::U8(values) => sha.update(values),
        Features::F32(values) => update(&mut sha, values, |value| value.to_le_bytes()),
    }
    match labels {
        Labels::Classes(labels) => update(&mut sha, labels, |label| label.to_le_bytes()),
        Labels::Values(labels) => update(&mut sha, labels, |label| label.to_le_bytes()),
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
        Rows { shape: vec![2], features, labels: Labels::Classes(labels.to_vec()), scale_max: None }
    }

    fn hash_of(rows: Rows) -> String {
        rows.seal("test", None).unwrap().schema.hash
    }

    #[test]
    fn the_hash_covers_features_labels_shape_type_and_range() {
        let base = || rows(Features::U8(vec![1, 2, 3, 4]), &[0, 1]);
        let mut reshaped = base();
        reshaped.shape = vec![2, 1];
        let mut ranged = base();
        ranged.scale_max = Some(255.0);
        let hashes = [
            hash_of(base()),
            hash_of(rows(Features::U8(vec![1, 2, 3, 5]), &[0, 1])),
            hash_of(rows(Features::U8(vec![1, 2, 3, 4]), &[1, 0])),
            hash_of(rows(Features::F32(vec![1.0, 2.0, 3.0, 4.0]), &[0, 1])),
            hash_of(reshaped),
            hash_of(ranged),
        ];
        assert_eq!(hashes[0], hash_of(base()));
        assert_eq!(hashes.iter().collect::<std::collections::HashSet<_>>().len(), hashes.len());
        // Computed by hand with sha256sum; it changes only with the version in the first line.
        assert_eq!(hashes[0], "caf6596aca933e3891a074850568cd2d8e3a34babb983ddef89c2590096fa30b");
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
    fn one_class_or_too_many_are_refused() {
        let message = |labels| rows(Features::U8(vec![0; 4]), labels).seal("a", None).unwrap_err().to_string();
        assert!(message(&[0, 0]).contains("at least two classes"));
        assert!(message(&[0, limits::DATASET_CLASSES_MAX]).contains("store the values of a regression as floats"));
    }
}

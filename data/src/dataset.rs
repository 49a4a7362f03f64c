//! A dataset in memory, as read from its source: not yet split, not yet scaled.

use std::sync::Arc;

use crate::limits;
use hpo::dataset::{Collapse, DatasetSchema};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::bits::{Bits, Number, Rounding};
use crate::table::{listed, shown};

/// A dataset in memory, shared by all slots of a process.
#[derive(Debug)]
pub struct Dataset {
    /// What a study pins. `rows` counts the source's rows; those of the `validation` files, if any,
    /// follow after them.
    pub schema: DatasetSchema,
    /// `(rows, width)`, row by row.
    pub features: Features,
    /// One label a row.
    pub labels: Labels,
    /// The names of the classes, where the source names them: texts of a label column, folders of
    /// images. Else empty.
    pub class_names: Arc<[String]>,
    /// The names of the numbers in a row, where the source is a table: a column of categories has
    /// as many as it has categories. Else empty.
    pub columns: Vec<String>,
    /// The weight of each row in the loss, finite and at least 0, where the study asks for weights.
    /// Metrics count all rows alike, as Keras's `metrics` do. Rows of `validation` arrays weigh 1.
    pub weights: Option<Vec<f32>>,
    /// Two values that become equal unless features are scaled, where there are some.
    pub collapse: Option<Collapse>,
}

/// Feature values as stored: images stay bytes, at a quarter of the memory.
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// Bytes, as in 8-bit images.
    U8(Vec<u8>),
    /// Finite floats.
    F32(Vec<f32>),
    /// Floats that are finite in 32 bits, which do not tell the values of some feature apart.
    F64(Vec<f64>),
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

    /// A feature in an error.
    pub(crate) fn feature(&self, feature: usize) -> String {
        named(&self.columns, feature)
    }

    /// A class in an error: its number, and its name where it has one.
    pub(crate) fn class(&self, class: usize) -> String {
        self.class_names
            .get(class)
            .map_or_else(|| format!("class {class}"), |name| format!("class {class} ({name:?})"))
    }
}

/// A feature in an error: its column, or its position in a row.
fn named(columns: &[String], feature: usize) -> String {
    columns
        .get(feature)
        .map_or_else(|| format!("feature {feature} (from 0)"), |name| format!("column {name:?}"))
}

/// Labels and weights take four bytes a row each.
fn bytes(features: &Features, labels: &Labels, weighted: bool) -> u64 {
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

    /// The value at this place, counted through all rows.
    pub(crate) fn at(&self, at: usize) -> f64 {
        match self {
            Features::U8(values) => f64::from(values[at]),
            Features::F32(values) => f64::from(values[at]),
            Features::F64(values) => values[at],
        }
    }

    fn dtype(&self) -> &'static str {
        match self {
            Features::U8(_) => "uint8",
            Features::F32(_) => "float32",
            Features::F64(_) => "float64",
        }
    }
}

/// Two values of a feature that are equal in 32 bits, of the first feature that has some; none
/// where 32 bits do for all.
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
        Some(Collapse { feature: named(columns, feature), values: [equal[0], equal[1]] })
    })
}

/// The classes as a schema shows them: the first of them, cut where they are long.
fn shown_classes(classes: u32, names: &[String]) -> Vec<String> {
    let cut = |name: &String| match name.char_indices().nth(limits::CLASS_NAME_SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.clone(),
    };
    let first = 0..classes.min(limits::CLASSES_NAMED_MAX as u32);
    first.map(|class| names.get(class as usize).map_or_else(|| class.to_string(), cut)).collect()
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
    /// Whether features were rounded that need 64 bits: then they are to be read again.
    pub(crate) needs_64: bool,
}

impl Rows {
    /// Rows with these labels, still without features.
    pub(crate) fn of(labels: Labels) -> Rows {
        let (shape, scale_max, class_names, columns, weights, needs_64) = Default::default();
        Rows {
            shape,
            features: Features::F32(Vec::new()),
            labels,
            scale_max,
            class_names,
            columns,
            weights,
            needs_64,
        }
    }

    /// The bytes that they hold.
    pub(crate) fn bytes(&self) -> u64 {
        bytes(&self.features, &self.labels, self.weights.is_some())
    }

    /// In how many bits other features must be kept to be of one type with these.
    pub(crate) fn bits(&self) -> Bits {
        if matches!(self.features, Features::F64(_)) { Bits::Wide } else { Bits::Narrow }
    }

    /// The dataset of these rows, with the rows of the validation files behind them; of two classes
    /// the `positive` one gets the number 1. `path` names the source in errors.
    pub(crate) fn seal(
        mut self,
        path: &str,
        validation: Option<(Rows, &str)>,
        positive: Option<&str>,
    ) -> Result<Dataset, Error> {
        let rows = self.labels.len() as u64;
        if self.weights.as_ref().is_some_and(|weights| weights.iter().all(|weight| *weight == 0.0)) {
            return Err(Error::Weights {
                path: path.to_owned(),
                detail: "all weights are 0, so there is nothing to learn".into(),
            });
        }
        if let Some(row) = self.weights.iter().flatten().position(|weight| *weight < 0.0) {
            let detail = format!("row {row} (from 0) has a weight below 0; weights are at least 0");
            return Err(Error::Weights { path: path.to_owned(), detail });
        }
        if let Some((more, more_path)) = validation {
            self.append(more, more_path)?;
        }
        let classes = match &self.labels {
            Labels::Classes(labels) => {
                Some(labels.iter().max().map_or(0, |largest| largest.saturating_add(1)))
            }
            Labels::Values(_) => None,
        };
        let wrong = |detail: String| Error::Format { path: path.to_owned(), detail };
        match classes {
            Some(n) if n > limits::DATASET_CLASSES_MAX => {
                let max = limits::DATASET_CLASSES_MAX;
                return Err(wrong(format!(
                    "label {} is beyond the {max} classes allowed; store the values of a regression as floats",
                    n - 1
                )));
            }
            Some(_) if self.labels.are_equal() => {
                return Err(wrong(
                    "all labels are equal: a classification needs at least two classes".into(),
                ));
            }
            _ => {}
        }
        if let Some(positive) = positive {
            self.make_positive(positive, classes)
                .map_err(|detail| Error::Positive { path: path.to_owned(), detail })?;
        }
        let dtype = self.features.dtype().to_owned();
        let class_names = classes.map(|classes| shown_classes(classes, &self.class_names));
        let positive_class =
            class_names.as_ref().filter(|names| names.len() == 2).map(|names| names[1].clone());
        let (shape, scale_max, hash) = (self.shape.clone(), self.scale_max, String::new());
        let mut schema =
            DatasetSchema { shape, dtype, rows, classes, class_names, positive_class, scale_max, hash };
        schema.hash = self::hash(&schema, &self);
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

    /// Gives one of two classes the number 1, by what stands in the source.
    fn make_positive(&mut self, positive: &str, classes: Option<u32>) -> Result<(), String> {
        let (Labels::Classes(labels), Some(2)) = (&mut self.labels, classes) else {
            let are =
                classes.map_or("values of a regression".to_owned(), |classes| format!("{classes} classes"));
            return Err(format!(
                "positive_class goes with two classes, and the labels are {are}; leave it out"
            ));
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
            _ => return wrong("of the training and the validation labels, one has classes and one has values; they must agree".into()),
        }
        Ok(())
    }
}

/// SHA-256 of a canonical form, in hexadecimal. What classes are called is no part of it: training
/// does not see it.
///
/// Hashed are one line of text with the version of the form, type, shape, rows, classes and range;
/// then all features, row by row; then all labels (classes as u32); then the weights, where there
/// are any (the line then says so). Numbers are little-endian. So the name of a file, its
/// compression and its format don't matter, and everything that training sees does.
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
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(features: Features, labels: &[u32]) -> Rows {
        Rows { shape: vec![2], features, ..Rows::of(Labels::Classes(labels.to_vec())) }
    }

    fn hash_of(rows: Rows) -> String {
        rows.seal("test", None, None).unwrap().schema.hash
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
            hash_of(rows(Features::F64(vec![1.0, 2.0, 3.0, 4.0]), &[0, 1])),
            hash_of(rows(Features::F64(vec![1.0, 2.0, 3.0, 4.0 + f64::EPSILON * 4.0]), &[0, 1])),
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
        let held_out = base().seal("a", Some((base(), "b")), None).unwrap();
        assert_eq!((held_out.schema.rows, held_out.labels.len()), (2, 4));
        assert_ne!(held_out.schema.hash, hash_of(base()));
        assert_ne!(
            held_out.schema.hash,
            hash_of(rows(Features::U8(vec![1, 2, 3, 4, 1, 2, 3, 4]), &[0, 1, 0, 1]))
        );
    }

    #[test]
    fn validation_rows_must_fit_the_training_rows() {
        let base = || rows(Features::U8(vec![1, 2, 3, 4]), &[0, 1]);
        let message = |more: Rows| base().seal("a", Some((more, "b")), None).unwrap_err().to_string();
        assert_eq!(
            message(rows(Features::F32(vec![0.0; 4]), &[0, 1])),
            "b: validation rows are float32, training rows uint8; they must agree"
        );
        let mut wide = rows(Features::U8(vec![0; 8]), &[0, 1]);
        wide.shape = vec![4];
        assert_eq!(
            message(wide),
            "b: validation rows have the shape [4], training rows [2]; they must agree"
        );
        let mut values = base();
        values.labels = Labels::Values(vec![0.5, 1.5]);
        assert!(message(values).contains("one has classes and one has values"));
    }

    #[test]
    fn weights_are_at_least_0_and_not_all_0() {
        let sealed = |weights: [f32; 2], more| {
            Rows { weights: Some(weights.to_vec()), ..rows(Features::U8(vec![0; 4]), &[0, 1]) }
                .seal("a", more, None)
        };
        assert_eq!(
            sealed([0.0, 0.0], None).unwrap_err().to_string(),
            "a: all weights are 0, so there is nothing to learn"
        );
        assert_eq!(
            sealed([0.0, -1.0], None).unwrap_err().to_string(),
            "a: row 1 (from 0) has a weight below 0; weights are at least 0"
        );
        let more = rows(Features::U8(vec![0; 4]), &[0, 1]);
        assert_eq!(sealed([0.0, 3.0], Some((more, "b"))).unwrap().weights, Some(vec![0.0, 3.0, 1.0, 1.0]));
    }

    #[test]
    fn a_schema_names_the_classes_in_order_and_which_of_two_is_positive() {
        let schema = |labels: &[u32], names: &[&str]| {
            let class_names = names.iter().map(|name| (*name).to_owned()).collect();
            let features = Features::U8(vec![0; 2 * labels.len()]);
            Rows { class_names, ..rows(features, labels) }.seal("a", None, None).unwrap().schema
        };
        let shown =
            |schema: &DatasetSchema| (schema.class_names.clone().unwrap(), schema.positive_class.clone());
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
        assert_eq!(
            shown(&schema(&[1, 0], &["fraud", "legit"])),
            (owned(&["fraud", "legit"]), Some("legit".into()))
        );
        assert_eq!(shown(&schema(&[1, 0], &[])), (owned(&["0", "1"]), Some("1".into())));
        assert_eq!(shown(&schema(&[1, 2], &[])), (owned(&["0", "1", "2"]), None));
        assert!(!schema(&[1, 0], &[]).names_classes() && schema(&[1, 0], &["no", "yes"]).names_classes());
        let many = schema(&[0, 299], &[]);
        assert_eq!((many.class_names.unwrap().len(), many.classes), (limits::CLASSES_NAMED_MAX, Some(300)));
        let long = "é".repeat(limits::CLASS_NAME_SHOWN_MAX + 1);
        assert_eq!(
            shown(&schema(&[1, 0], &["a", &long])).1,
            Some(format!("{}…", "é".repeat(limits::CLASS_NAME_SHOWN_MAX)))
        );
        let values = Rows { labels: Labels::Values(vec![0.5, 1.5]), ..rows(Features::U8(vec![0; 4]), &[]) }
            .seal("a", None, None)
            .unwrap()
            .schema;
        assert_eq!((values.class_names, values.positive_class), (None, None));
    }

    #[test]
    fn of_two_classes_the_positive_one_is_class_1() {
        let sealed = |labels: &[u32], names: &[&str], positive: &str| {
            let class_names = names.iter().map(|name| (*name).to_owned()).collect();
            let more = (rows(Features::U8(vec![0; 2]), &[0]), "b");
            Rows { class_names, ..rows(Features::U8(vec![0; 2 * labels.len()]), labels) }.seal(
                "a",
                Some(more),
                Some(positive),
            )
        };
        let found = |names: &[&str], positive: &str| {
            let dataset = sealed(&[0, 1, 1], names, positive).unwrap();
            (
                dataset.labels,
                dataset.class_names.join(" "),
                dataset.schema.positive_class.unwrap(),
                dataset.schema.class_names.unwrap().join(" "),
            )
        };
        let as_read = |names: &str, positive: &str| {
            (Labels::Classes(vec![0, 1, 1, 0]), names.to_owned(), positive.to_owned(), names.to_owned())
        };
        let turned = |names: &str, positive: &str| {
            (Labels::Classes(vec![1, 0, 0, 1]), names.to_owned(), positive.to_owned(), names.to_owned())
        };
        assert_eq!(found(&["fraud", "legit"], "legit"), as_read("fraud legit", "legit"));
        assert_eq!(found(&["fraud", "legit"], "fraud"), turned("legit fraud", "fraud"));
        assert_eq!((found(&[], "1"), found(&[], "0")), (as_read("0 1", "1"), turned("1 0", "0")));
        let message = |labels: &[u32], positive| sealed(labels, &[], positive).unwrap_err().to_string();
        assert_eq!(message(&[0, 1], "yes"), "a: there is no class \"yes\"; they are 0, 1");
        assert_eq!(
            message(&[0, 2], "1"),
            "a: positive_class goes with two classes, and the labels are 3 classes; leave it out"
        );
    }

    #[test]
    fn values_that_32_bits_make_equal_are_found_and_named() {
        let found = |values: Vec<f64>, columns: &[&str]| {
            let columns = columns.iter().map(|name| (*name).to_owned()).collect();
            let labels: Vec<u32> = (0..values.len() as u32 / 2).map(|row| row % 2).collect();
            Rows { columns, ..rows(Features::F64(values), &labels) }.seal("a", None, None).unwrap().collapse
        };
        let collapse =
            |feature: &str, low, high| Some(Collapse { feature: feature.into(), values: [low, high] });
        assert_eq!(
            found(vec![0.1, 1.7e12 + 5.0, 0.2, 1.7e12], &["a", "t"]),
            collapse("column \"t\"", 1.7e12, 1.7e12 + 5.0)
        );
        assert_eq!(
            found(vec![0.1, 1.7e12 + 5.0, 0.2, 1.7e12], &[]),
            collapse("feature 1 (from 0)", 1.7e12, 1.7e12 + 5.0)
        );
        // Rounded by much of their range, and still apart.
        assert_eq!(found(vec![0.1, 1.7e12, 0.2, 1.7e12 + 150_000.0], &[]), None);
        assert_eq!(found(vec![0.1, 0.3, 0.2, 0.1 + 0.2], &[]), None, "they differ by rounding alone");
    }

    #[test]
    fn one_class_or_too_many_are_refused() {
        let message =
            |labels| rows(Features::U8(vec![0; 4]), labels).seal("a", None, None).unwrap_err().to_string();
        assert!(message(&[0, 0]).contains("at least two classes"));
        assert!(message(&[1, 1]).contains("at least two classes"));
        assert!(
            message(&[0, limits::DATASET_CLASSES_MAX]).contains("store the values of a regression as floats")
        );
    }
}

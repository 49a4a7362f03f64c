//! The dataset of a study: its source and split as the study asks for them, and the schema that
//! reading it gives.

mod read;
mod source;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::document::names;

pub use source::{ArrayFormat, Files, Format, Source, TableFormat};

/// What a dataset is: pinned in the study at POST. A trainer whose copy has another hash does not
/// train on it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DatasetSchema {
    /// The shape of one row, such as `[28, 28]` or `[4]`.
    pub shape: Vec<usize>,
    /// The type of the stored features: `uint8`, `float32`, or `float64` where 32 bits would not
    /// tell the values of a feature apart.
    pub dtype: String,
    /// The number of rows, validation files excluded.
    pub rows: u64,
    /// The number of classes; null for a regression.
    pub classes: Option<u32>,
    /// The classes as they stand in the source, in the order of their numbers from 0: texts are
    /// sorted by their bytes, folders of images by their names, numbers are what they are. The
    /// first 100; one that is longer than 100 characters is cut and ends in `…`. Null for a
    /// regression.
    #[serde(default)]
    pub class_names: Option<Vec<String>>,
    /// Of two classes the second, which is what `precision`, `recall`, `auc` and the output of one
    /// unit take for positive; else null. A study's `positive_class` makes it the other.
    #[serde(default)]
    pub positive_class: Option<String>,
    /// The largest value that the source declares, which `"scale": "unit"` divides by: 255 for
    /// 8-bit images, 16 for the digits.
    pub scale_max: Option<f64>,
    /// SHA-256 of features, labels, shape and type, in hexadecimal.
    pub hash: String,
}

impl DatasetSchema {
    /// Whether the classes have other names than their numbers.
    pub fn names_classes(&self) -> bool {
        self.class_names.iter().flatten().enumerate().any(|(number, name)| *name != number.to_string())
    }

    /// Numbers in a row.
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |product: u64, size| product.saturating_mul(*size as u64))
    }
}

/// Facts about a dataset that its schema does not tell; the pre-flight needs both.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Findings {
    /// The feature that is the hardest to take as an id.
    pub worst_id: WorstId,
    /// The names of all classes, where the source names them. Else empty.
    pub class_names: Arc<[String]>,
    /// Two values that become equal in 32 bits, if there are some. Scaling keeps them apart.
    pub collapse: Option<Collapse>,
    /// Whether all labels are the same number.
    pub labels_are_equal: bool,
}

/// Two values of a feature that 32 bits do not tell apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Collapse {
    /// The column, or the position of the feature in a row.
    pub feature: String,
    /// The two, the smaller first.
    pub values: [f64; 2],
}

impl fmt::Display for Collapse {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Collapse { feature, values: [low, high] } = self;
        write!(
            f,
            "{feature} has numbers that become equal in 32 bits, such as {low} and {high}; use standardize or min_max, which scale in 64 bits"
        )
    }
}

/// What the features of a dataset are to an Embedding, which takes them as ids: whole numbers from
/// 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WorstId {
    /// The first feature that is below 0 or no whole number; where there is none, the largest.
    pub value: f32,
    /// Where it stands: file, row and column.
    pub place: String,
}

/// Which data a study trains on and how they are split.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetSpec {
    /// Where the rows come from.
    pub source: Source,
    /// The fraction of rows held out for validation, in [0, 1); 0 if there are `validation` files.
    pub validation_split: f64,
    /// Where the validation rows come from: two more arrays of the same file, or a second pair of
    /// IDX files. None for other sources.
    pub validation: Option<Files>,
    /// The parts of a cross-validation, each of which validates once; excludes the two above.
    pub folds: Option<u32>,
    /// Whether rows are shuffled: before the split, and in each epoch.
    pub shuffle: bool,
    /// The column or the array with the weight of each row of the source.
    pub sample_weight: Option<String>,
    /// The columns of a table that hold categories: each becomes one column of 0 and 1 for each of
    /// its categories.
    pub one_hot: Vec<String>,
    /// Of two classes the one that is to have the number 1, as the source names it.
    pub positive_class: Option<String>,
}

/// A part of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowPart {
    /// Its features.
    Features,
    /// Its label.
    Label,
}

/// Where a part of a row is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPlace {
    /// The file as errors name it, with the array or the column of the label if it has several.
    pub file: String,
    /// The row there, from 0.
    pub row: usize,
}

impl DatasetSpec {
    /// All rows of `source`, shuffled, none held out.
    pub fn new(source: Source) -> DatasetSpec {
        DatasetSpec {
            source,
            validation_split: 0.0,
            validation: None,
            folds: None,
            shuffle: true,
            sample_weight: None,
            one_hot: Vec::new(),
            positive_class: None,
        }
    }

    /// The most rows that one training sees, of a source of `rows`: the rows that are not held out,
    /// counted as in Keras; with folds, all but the smallest fold.
    pub fn training_rows(&self, rows: u64) -> u64 {
        match self.folds {
            Some(folds) => rows - rows / u64::from(folds.max(1)),
            None => (rows as f64 * (1.0 - self.validation_split)).floor() as u64,
        }
    }

    /// Where `part` of row `row` of the dataset is stored. The first `source_rows` rows are those of
    /// the source; those of the `validation` files follow.
    pub fn place_of(&self, row: usize, source_rows: usize, part: RowPart) -> RowPlace {
        let (validation, row) = match &self.validation {
            Some(files) if row >= source_rows => (Some(files), row - source_rows),
            Some(_) | None => (None, row),
        };
        let of_pair = |files: &Files| {
            let Files { features, labels } = validation.unwrap_or(files);
            match part {
                RowPart::Features => features.clone(),
                RowPart::Label => labels.clone(),
            }
        };
        let file = match &self.source {
            Source::Builtin(name) => format!("builtin:{name}"),
            Source::Table { path, label, .. } => match part {
                RowPart::Features => path.clone(),
                RowPart::Label => format!("{path}, column {label:?}"),
            },
            Source::Arrays { path, arrays, .. } => format!("{path}, array {:?}", of_pair(arrays)),
            Source::Images(path) => format!("{path}/"),
            Source::Idx(files) => of_pair(files),
        };
        RowPlace { file, row }
    }
}

names! {
    /// How features are scaled; statistics come from the training rows only.
    pub enum Scale {
        /// As they are.
        None = "none",
        /// To 0..1 by the range that the source declares.
        Unit = "unit",
        /// To mean 0 and standard deviation 1, per feature.
        Standardize = "standardize",
        /// To 0..1 by the smallest and largest value, per feature.
        MinMax = "min_max",
    }
    later []
}

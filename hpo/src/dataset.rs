//! What a study says of its dataset, and what a dataset says of itself.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::document::{Fields, FromDocument, Place, bounded, names};
use crate::limits;

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
    /// The fraction of rows held out for validation, in [0, 1); 0 where `validation` files are
    /// given.
    pub validation_split: f64,
    /// Where the validation rows come from: arrays of the same file where the source holds arrays,
    /// a pair of IDX files where it is one; else none.
    pub validation: Option<Files>,
    /// The parts of a cross-validation, each of which validates once; excludes the other two.
    pub folds: Option<u32>,
    /// Whether rows are shuffled: before the split, and in each epoch.
    pub shuffle: bool,
    /// The column or the array with the weight of each row of the source.
    pub sample_weight: Option<String>,
    /// The columns of a table that hold categories: each becomes as many columns of 0 and 1 as it
    /// has categories.
    pub one_hot: Vec<String>,
    /// Of two classes the one that is to have the number 1, as it stands in the source.
    pub positive_class: Option<String>,
}

/// Where rows come from. Paths lie below `<data-dir>/datasets`; what a path is, its end says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A dataset inside the binary, by name.
    Builtin(String),
    /// A CSV file and its label column.
    Csv {
        /// The file.
        path: String,
        /// The column with the labels.
        label: String,
    },
    /// A Parquet file and its label column. Ends in `.parquet`.
    Parquet {
        /// The file.
        path: String,
        /// The column with the labels.
        label: String,
    },
    /// An NPZ file and the names of its arrays, as Keras ships MNIST. Ends in `.npz`.
    Npz {
        /// The file.
        path: String,
        /// The arrays' names.
        arrays: Files,
    },
    /// A safetensors file and the names of its tensors. Ends in `.safetensors`.
    Safetensors {
        /// The file.
        path: String,
        /// The tensors' names.
        arrays: Files,
    },
    /// A folder with one folder of images for each class. Ends in `/`, which is not kept.
    Images(String),
    /// A pair of IDX files, as MNIST ships.
    Idx(Files),
}

/// A pair of files, or of arrays in one file: features and labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Files {
    /// The file or array with the features.
    pub features: String,
    /// The file or array with the labels.
    pub labels: String,
}

impl DatasetSpec {
    /// All rows of `source`, shuffled, none held out.
    pub fn new(source: Source) -> DatasetSpec {
        let (validation_split, validation, folds, sample_weight, one_hot, positive_class) =
            Default::default();
        DatasetSpec {
            source,
            validation_split,
            validation,
            folds,
            shuffle: true,
            sample_weight,
            one_hot,
            positive_class,
        }
    }

    /// The most rows that one training sees, of a source of `rows`: those that are not held out, as
    /// many as in Keras; of folds the smallest is held out.
    pub fn training_rows(&self, rows: u64) -> u64 {
        match self.folds {
            Some(folds) => rows - rows / u64::from(folds.max(1)),
            None => (rows as f64 * (1.0 - self.validation_split)).floor() as u64,
        }
    }
}

impl Source {
    /// Whether it is a table, whose columns have names.
    pub fn is_table(&self) -> bool {
        matches!(self, Source::Csv { .. } | Source::Parquet { .. })
    }

    /// The way to write labels in such a source so that they are values of a regression, not
    /// classes. None if it has classes only.
    pub fn numbers_as_values(&self) -> Option<&'static str> {
        match self {
            Source::Builtin(_) | Source::Images(_) => None,
            Source::Csv { .. } => Some("write the labels as 3.0 in the CSV, not 3"),
            Source::Parquet { .. } => Some("store the label column as floats in the Parquet file"),
            Source::Npz { .. } | Source::Safetensors { .. } => Some("store the labels as floats in the file"),
            Source::Idx(_) => Some("store the labels as floats (type 0x0d or 0x0e) in the IDX file"),
        }
    }

    /// Whether it is one file of several arrays, which have names.
    pub fn holds_arrays(&self) -> bool {
        matches!(self, Source::Npz { .. } | Source::Safetensors { .. })
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

impl FromDocument for Files {
    fn from_place(place: &Place) -> Option<Files> {
        let mut fields = place.fields()?;
        let (features, labels) = (fields.required("features"), fields.required("labels"));
        fields.finish(&[]);
        Some(Files { features: path(&features?)?, labels: path(&labels?)? })
    }
}

/// The names of two arrays in one file.
struct Arrays(Files);

impl FromDocument for Arrays {
    fn from_place(place: &Place) -> Option<Arrays> {
        let mut fields = place.fields()?;
        let (features, labels) = (fields.required("features"), fields.required("labels"));
        fields.finish(&[]);
        Some(Arrays(Files { features: text(&features?)?, labels: text(&labels?)? }))
    }
}

bounded! {
    /// The parts of a cross-validation.
    Folds(i64), 2, limits::FOLDS_MAX
}

impl FromDocument for DatasetSpec {
    fn from_place(place: &Place) -> Option<DatasetSpec> {
        let mut fields = place.fields()?;
        let source = source(place, &mut fields);
        let held_out = held_out(&mut fields, source.as_ref());
        let shuffle = fields.get("shuffle").map_or(Some(true), |place| place.fixed::<bool>());
        let sample_weight = fields.get("sample_weight").map(|place| sample_weight(&place, source.as_ref()));
        let one_hot = fields
            .get("one_hot")
            .map_or(Some(Vec::new()), |place| one_hot(&place, source.as_ref(), sample_weight.as_ref()));
        let positive_class = fields.get("positive_class").map(|place| positive_class(&place));
        fields.get("scale").map(|place| place.read::<Scale>());
        fields.finish(&["class_weight", "test"]);
        let (validation_split, validation, folds) = held_out?;
        let (sample_weight, positive_class) = (
            sample_weight.map_or(Some(None), |name| name.map(Some))?,
            positive_class.map_or(Some(None), |class| class.map(Some))?,
        );
        Some(DatasetSpec {
            source: source?,
            validation_split,
            validation,
            folds,
            shuffle: shuffle?,
            sample_weight,
            one_hot: one_hot?,
            positive_class,
        })
    }
}

/// What is held out: `validation_split`, `validation` or `folds`, one of them at most.
fn held_out(fields: &mut Fields, source: Option<&Source>) -> Option<(f64, Option<Files>, Option<u32>)> {
    let (split, validation, folds) =
        (fields.get("validation_split"), fields.get("validation"), fields.get("folds"));
    let may_validate = source.is_none_or(|source| source.holds_arrays() || matches!(source, Source::Idx(_)));
    let validates = may_validate && validation.is_some();
    if let (Some(split), true) = (&split, validates) {
        split.invalid("give validation_split or validation, not both");
    }
    if let (Some(folds), true) = (&folds, split.is_some() || validates) {
        folds.invalid("each fold validates once; leave out folds, or validation_split and validation");
    }
    let fraction = split.map_or(Some(0.0), |split| {
        let fraction = split.fixed::<f64>()?;
        if !(0.0..1.0).contains(&fraction) {
            split.invalid(format!("must be at least 0 and less than 1, not {fraction}"));
            return None;
        }
        Some(fraction)
    });
    let validation = validation.map(|place| held_out_files(&place, source));
    let folds = folds.map(|place| place.fixed::<Folds>());
    // None is what was not given, Some(None) what was wrong.
    let (validation, folds) = (
        validation.map_or(Some(None), |files| files.map(Some)),
        folds.map_or(Some(None), |folds| folds.map(Some)),
    );
    Some((fraction?, validation?, folds?.map(|Folds(folds)| folds as u32)))
}

/// `validation`: two arrays of the source's file, or a pair of IDX files beside one. Other sources
/// have none yet, whatever is given.
fn held_out_files(place: &Place, source: Option<&Source>) -> Option<Files> {
    let names_one = ["features", "labels", "hp"].iter().any(|field| place.json().get(field).is_some());
    let none = match source? {
        Source::Csv { .. } | Source::Parquet { .. } => {
            "a table has no validation file yet; put its rows last in the source and use validation_split with shuffle false"
        }
        Source::Images(_) => {
            "a folder of images has no validation folder yet; put its images into the folders of the classes and use validation_split"
        }
        Source::Builtin(_) => "a built-in dataset has no validation files; use validation_split or folds",
        Source::Npz { .. } | Source::Safetensors { .. } if names_one => {
            return place.fixed::<Arrays>().map(|Arrays(arrays)| arrays);
        }
        Source::Npz { .. } | Source::Safetensors { .. } => {
            "must name two arrays of the source's file, as {\"features\": \"x_test\", \"labels\": \"y_test\"}"
        }
        Source::Idx(_) if names_one => return place.fixed::<Files>(),
        Source::Idx(_) => {
            "must name a pair of IDX files, as {\"features\": \"t10k-images-idx3-ubyte\", \"labels\": \"t10k-labels-idx1-ubyte\"}"
        }
    };
    place.invalid(none);
    None
}

/// `source` with what its kind needs (see [`Source`]), or `features` + `labels` files.
fn source(place: &Place, fields: &mut Fields) -> Option<Source> {
    let source = fields.get("source");
    let (label, features, labels) = (fields.get("label"), fields.get("features"), fields.get("labels"));
    let Some(source) = source else {
        if let Some(label) = label {
            label.invalid("goes with a CSV or Parquet file, which a source names");
        }
        return idx(place, features, labels);
    };
    let name = text(&source)?;
    let holds_arrays = name.ends_with(".npz") || name.ends_with(".safetensors");
    if holds_arrays && !name.starts_with("builtin:") {
        if let Some(label) = label {
            label.invalid("goes with a CSV or Parquet file; name the arrays by features and labels");
        }
        let path = path(&source);
        let (Some(features), Some(labels)) = (features, labels) else {
            source.invalid("a file of arrays needs features and labels: the names of two of its arrays");
            return None;
        };
        let (path, arrays) = (path?, Files { features: text(&features)?, labels: text(&labels)? });
        return Some(match name.ends_with(".npz") {
            true => Source::Npz { path, arrays },
            false => Source::Safetensors { path, arrays },
        });
    }
    for other in [&features, &labels].into_iter().flatten() {
        other.invalid("goes with a pair of files, or with an .npz or .safetensors source; the dataset has another source already");
    }
    if let Some(builtin) = name.strip_prefix("builtin:") {
        if let Some(label) = label {
            label.invalid("goes with a CSV or Parquet file; a built-in dataset knows its labels");
        }
        return Some(Source::Builtin(builtin.to_owned()));
    }
    if let Some(folder) = name.strip_suffix('/') {
        if let Some(label) = label {
            label.invalid(
                "goes with a CSV or Parquet file; the classes of a folder of images are its folders",
            );
        }
        return inside(&source, folder).map(Source::Images);
    }
    let path = path(&source)?;
    let Some(label) = label else {
        source.invalid("a CSV or Parquet file needs a label: the name of the column to predict; a folder of images ends in /");
        return None;
    };
    let label = text(&label)?;
    Some(if path.ends_with(".parquet") {
        Source::Parquet { path, label }
    } else {
        Source::Csv { path, label }
    })
}

/// A pair of IDX files.
fn idx(place: &Place, features: Option<Place>, labels: Option<Place>) -> Option<Source> {
    match (features, labels) {
        (Some(features), Some(labels)) => {
            Some(Source::Idx(Files { features: path(&features)?, labels: path(&labels)? }))
        }
        (Some(only), None) | (None, Some(only)) => {
            only.invalid("features and labels go together");
            None
        }
        (None, None) => {
            place.invalid(
                "name a source (such as builtin:digits or a CSV file), or features and labels files",
            );
            None
        }
    }
}

/// The column or array with the weights.
fn sample_weight(place: &Place, source: Option<&Source>) -> Option<String> {
    let name = place.fixed::<String>().and_then(|_| text(place))?;
    let source = source?;
    let taken = match source {
        Source::Csv { label, .. } | Source::Parquet { label, .. } => *label == name,
        Source::Npz { arrays, .. } | Source::Safetensors { arrays, .. } => {
            arrays.features == name || arrays.labels == name
        }
        Source::Builtin(_) | Source::Images(_) | Source::Idx(_) => {
            place.invalid("needs a CSV or Parquet file, where it is a column, or an .npz or .safetensors file, where it is an array");
            return None;
        }
    };
    if taken {
        place.invalid(format!("{name:?} is read as something else already"));
    }
    Some(name)
}

/// A class as it stands in the source: a text, or a whole number.
fn positive_class(place: &Place) -> Option<String> {
    if let Some(number) = place.json().as_u64() {
        return Some(number.to_string());
    }
    let name = place.fixed::<String>()?;
    if name.is_empty() || name.len() > limits::CLASS_NAME_BYTES_MAX {
        place.invalid(format!("must have 1 to {} bytes", limits::CLASS_NAME_BYTES_MAX));
        return None;
    }
    Some(name)
}

/// The columns of categories.
fn one_hot(
    place: &Place,
    source: Option<&Source>,
    sample_weight: Option<&Option<String>>,
) -> Option<Vec<String>> {
    if source.is_some_and(|source| !source.is_table()) {
        place.invalid("needs a CSV or Parquet file, whose columns have names");
        return None;
    }
    let mut names = Vec::new();
    for item in place.items(limits::ONE_HOT_COLUMNS_MAX)? {
        let name = item.fixed::<String>().and_then(|_| text(&item))?;
        if matches!(source, Some(Source::Csv { label, .. } | Source::Parquet { label, .. }) if *label == name)
        {
            item.invalid("is the label; only features become columns of 0 and 1");
        }
        if matches!(sample_weight, Some(Some(weight)) if *weight == name) {
            item.invalid("is the sample_weight; only features become columns of 0 and 1");
        }
        if names.contains(&name) {
            item.invalid(format!("{name:?} stands here twice"));
        }
        names.push(name);
    }
    Some(names)
}

fn text(place: &Place) -> Option<String> {
    let text = place.fixed::<String>()?;
    if text.is_empty() || text.len() > limits::PATH_BYTES_MAX {
        place.invalid(format!("must have 1 to {} bytes", limits::PATH_BYTES_MAX));
        return None;
    }
    Some(text)
}

/// A path that stays below the dataset folder. The `data` crate checks again what links make of it.
fn path(place: &Place) -> Option<String> {
    let path = text(place)?;
    inside(place, &path)
}

fn inside(place: &Place, path: &str) -> Option<String> {
    text(place)?;
    let inside = !path.contains(['\\', '\0'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if !inside {
        place.invalid(format!(
            "{path:?} must be a relative path below the dataset folder, without . or .. in it"
        ));
        return None;
    }
    Some(path.to_owned())
}

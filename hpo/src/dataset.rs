//! What a study says of its dataset, and what a dataset says of itself.

use serde::{Deserialize, Serialize};

use crate::document::{FromDocument, Place, names};
use crate::limits;

/// What a dataset is: pinned in the study at POST, compared by every trainer before it trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DatasetSchema {
    /// The shape of one row, such as `[28, 28]` or `[4]`.
    pub shape: Vec<usize>,
    /// The type of the stored features: `uint8` or `float32`.
    pub dtype: String,
    /// The number of rows, validation files excluded.
    pub rows: u64,
    /// The number of classes; null for a regression.
    pub classes: Option<u32>,
    /// The largest value that the source declares, which `"scale": "unit"` divides by: 255 for 8-bit images, 16 for the digits.
    pub scale_max: Option<f64>,
    /// SHA-256 of features, labels, shape and type, in hexadecimal.
    pub hash: String,
}

/// Which data a study trains on and how they are split.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetSpec {
    /// Where the rows come from.
    pub source: Source,
    /// The fraction of rows held out for validation, in [0, 1); 0 where `validation` files are given.
    pub validation_split: f64,
    /// Files with the validation rows.
    pub validation: Option<Files>,
    /// Whether rows are shuffled: before the split, and in each epoch.
    pub shuffle: bool,
}

/// Where rows come from. Paths lie below `<data-dir>/datasets`.
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
    /// A pair of IDX files, as MNIST ships.
    Idx(Files),
}

/// A pair of files: features and labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Files {
    /// The file with the features.
    pub features: String,
    /// The file with the labels.
    pub labels: String,
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

impl FromDocument for DatasetSpec {
    fn from_place(place: &Place) -> Option<DatasetSpec> {
        let mut fields = place.fields()?;
        let source = source(place, &mut fields);
        let validation = fields.get("validation").map(|place| place.fixed::<Files>());
        let split = fields.get("validation_split");
        if let (Some(_), Some(split)) = (&validation, &split) {
            split.invalid("give validation_split or validation, not both");
        }
        let validation_split = match split {
            Some(split) => split.fixed::<f64>().and_then(|fraction| {
                if (0.0..1.0).contains(&fraction) {
                    return Some(fraction);
                }
                split.invalid(format!("must be at least 0 and less than 1, not {fraction}"));
                None
            }),
            None => Some(0.0),
        };
        let shuffle = fields.get("shuffle").map_or(Some(true), |place| place.fixed::<bool>());
        fields.get("scale").map(|place| place.read::<Scale>());
        fields.finish(&["folds", "sample_weight", "class_weight", "test"]);
        let validation = match validation {
            Some(files) => Some(files?),
            None => None,
        };
        Some(DatasetSpec { source: source?, validation_split: validation_split?, validation, shuffle: shuffle? })
    }
}

/// `source` (a built-in, or a CSV with its `label`) or `features` + `labels`.
fn source(place: &Place, fields: &mut crate::document::Fields) -> Option<Source> {
    let (source, label) = (fields.get("source"), fields.get("label"));
    let (features, labels) = (fields.get("features"), fields.get("labels"));
    if let Some(source) = source {
        for other in [&features, &labels].into_iter().flatten() {
            other.invalid("goes with a pair of files; the dataset has a source already");
        }
        let name = text(&source)?;
        if let Some(builtin) = name.strip_prefix("builtin:") {
            if let Some(label) = label {
                label.invalid("goes with a CSV file; a built-in dataset knows its labels");
            }
            return Some(Source::Builtin(builtin.to_owned()));
        }
        let csv = path(&source)?;
        let Some(label) = label else {
            source.invalid("a CSV file needs a label: the name of the column to predict");
            return None;
        };
        return Some(Source::Csv { path: csv, label: text(&label)? });
    }
    match (features, labels) {
        (Some(features), Some(labels)) => Some(Source::Idx(Files { features: path(&features)?, labels: path(&labels)? })),
        (Some(only), None) | (None, Some(only)) => {
            only.invalid("features and labels go together");
            None
        }
        (None, None) => {
            place.invalid("name a source (such as builtin:digits or a CSV file), or features and labels files");
            None
        }
    }
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
    let inside = !path.contains(['\\', '\0']) && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if !inside {
        place.invalid(format!("{path:?} must be a relative path below the dataset folder, without . or .. in it"));
        return None;
    }
    Some(path)
}

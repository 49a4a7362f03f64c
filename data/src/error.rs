//! Errors of datasets: the file, the line and column in it, and what to do.

use std::sync::Arc;

use hpo::dataset::{Collapse, DatasetSpec, Files, Source};

use crate::{builtin, limits};

/// Why a dataset is not available. Paths are those of the study, relative to the datasets folder;
/// no message says where that folder is.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No dataset inside the binary has this name.
    #[error("there is no built-in dataset {name:?}; available: {}", builtin::names().collect::<Vec<_>>().join(", "))]
    Builtin {
        /// The name asked for.
        name: String,
    },
    /// A path that is refused because it leaves the datasets folder or is not a plain file.
    #[error(
        "{path:?} {reason}; name a file below the datasets folder, such as \"mnist/train-images-idx3-ubyte.gz\""
    )]
    Path {
        /// The path as given.
        path: String,
        /// What it does.
        reason: &'static str,
    },
    /// No such file.
    #[error("there is no file {path:?} in the datasets folder; put it there, or correct the path")]
    Missing {
        /// The path as given.
        path: String,
    },
    /// The file cannot be read, or its gzip stream is damaged.
    #[error("{path}: cannot be read: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the machine says.
        source: Arc<std::io::Error>,
    },
    /// A bound of `crate::limits` is exceeded.
    #[error("{path}: {what} exceeds the bound of {max}")]
    TooLarge {
        /// The file.
        path: String,
        /// What is too large, such as "the number of rows".
        what: String,
        /// The bound.
        max: u64,
    },
    /// This machine does not have enough memory.
    #[error(
        "{path}: {what} exceeds {max} bytes, half of this machine's free memory; use fewer rows or a larger machine"
    )]
    Memory {
        /// The file.
        path: String,
        /// What is too large, such as "the file's size in bytes".
        what: String,
        /// The bytes that there is room for.
        max: u64,
    },
    /// It could not be read in time.
    #[error(
        "{path}: reading it takes longer than {seconds} s; use fewer rows, or store them as Parquet or NPZ, which are read faster"
    )]
    Slow {
        /// The file.
        path: String,
        /// How long it may take, in seconds.
        seconds: u64,
    },
    /// Its turn did not come in time.
    #[error("{path}: too many other datasets are being read; try again in a minute")]
    Busy {
        /// The file.
        path: String,
    },
    /// All callers that waited for it have left.
    #[error("{path}: the reading was given up, since nobody waits for it")]
    Unwanted {
        /// The file.
        path: String,
    },
    /// The file as a whole is not what its format says.
    #[error("{path}: {detail}")]
    Format {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// One array of a file that holds several.
    #[error("{path}, array {array:?}: {detail}")]
    Array {
        /// The file.
        path: String,
        /// The array's name.
        array: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// A table without a column that the study names.
    #[error("{path}: {detail}")]
    NoColumn {
        /// The file.
        path: String,
        /// The field of the study's `dataset` that names the column: `label`, `sample_weight` or
        /// `one_hot`.
        field: &'static str,
        /// Which columns it has.
        detail: String,
    },
    /// A positive class that is impossible.
    #[error("{path}: {detail}")]
    Positive {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// Weights that are impossible.
    #[error("{path}: {detail}")]
    Weights {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// One field of a CSV file.
    #[error("{path}, line {line}, column {column:?}: {detail}")]
    Field {
        /// The file.
        path: String,
        /// The line of the file, from 1, in which the record starts, or the blank lines before it.
        /// The header is line 1.
        line: u64,
        /// The column's name.
        column: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// One value of a Parquet file.
    #[error("{path}, row {row} (from 0), column {column:?}: {detail}")]
    Cell {
        /// The file.
        path: String,
        /// The row, from 0.
        row: u64,
        /// The column's name.
        column: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// `"scale": "unit"` for a source that declares no range.
    #[error(
        "scale \"unit\" needs a source that declares its range (8-bit images, builtin:digits), but this one is float32; use min_max or standardize"
    )]
    NoRange,
    /// `"scale": "none"` for a feature whose values 32 bits do not tell apart.
    #[error("{0}")]
    Collapse(Collapse),
    /// A feature's values lie too far apart for 32-bit arithmetic.
    #[error("{feature} has a range that a 32-bit float cannot hold; rescale it in the file")]
    Span {
        /// The column, or the position of the feature in a row.
        feature: String,
    },
    /// A value that is not finite once it is scaled by the statistics of the training rows.
    #[error(
        "{feature} of row {row} (from 0) is too large after scaling by the spread of the training rows; correct the value, or use another `scale`"
    )]
    Far {
        /// The column, or the position of the feature in a row.
        feature: String,
        /// The row of the dataset, from 0.
        row: usize,
    },
    /// A split that leaves a part without rows.
    #[error(
        "validation_split {fraction} of {rows} rows leaves no row for {part}; change the fraction or use more rows"
    )]
    EmptyPart {
        /// The fraction asked for.
        fraction: f64,
        /// The rows of the source.
        rows: usize,
        /// "training" or "validation".
        part: &'static str,
    },
    /// A split in which one part lacks a class, or has no weight.
    #[error("{detail}")]
    Part {
        /// The field of the study's `dataset` that makes the split: `validation_split`,
        /// `validation` or `folds`.
        field: &'static str,
        /// What the part lacks, and what to do.
        detail: String,
    },
}

impl Error {
    /// Where in a study's `dataset` the mistake is: a field, or two joined by `/`, such as `source`
    /// or `validation/labels`.
    pub fn field(&self, spec: &DatasetSpec) -> &'static str {
        let path = match self {
            Error::NoColumn { field, .. } | Error::Part { field, .. } => return field,
            Error::Weights { .. } => return "sample_weight",
            Error::Positive { .. } => return "positive_class",
            Error::NoRange | Error::Collapse(_) => return "scale",
            Error::EmptyPart { .. } => return "validation_split",
            Error::Builtin { .. } | Error::Span { .. } | Error::Far { .. } => "",
            Error::Field { path, column, .. } | Error::Cell { path, column, .. } => {
                match column_field(spec, column) {
                    Some(field) => return field,
                    None => path,
                }
            }
            Error::Array { path, array, .. } => match array_field(spec, array) {
                Some(field) => return field,
                None => path,
            },
            Error::Path { path, .. } | Error::Missing { path } | Error::Io { path, .. } => path,
            Error::TooLarge { path, .. } | Error::Memory { path, .. } | Error::Format { path, .. } => path,
            Error::Slow { path, .. } | Error::Busy { path, .. } | Error::Unwanted { path } => path,
        };
        match &spec.source {
            Source::Builtin(_) | Source::Table { .. } | Source::Arrays { .. } | Source::Images(_) => "source",
            Source::Idx(files) => field_of_pair(files, spec, path).unwrap_or("features"),
        }
    }
}

/// The field that gives `column` its role.
fn column_field(spec: &DatasetSpec, column: &str) -> Option<&'static str> {
    let is_label = match &spec.source {
        Source::Table { label, .. } => label == column,
        Source::Builtin(_) | Source::Arrays { .. } | Source::Images(_) | Source::Idx(_) => false,
    };
    if is_label {
        Some("label")
    } else if spec.sample_weight.as_deref() == Some(column) {
        Some("sample_weight")
    } else {
        spec.one_hot.iter().any(|name| name == column).then_some("one_hot")
    }
}

/// The field that names `array`.
fn array_field(spec: &DatasetSpec, array: &str) -> Option<&'static str> {
    match &spec.source {
        Source::Arrays { arrays, .. } => field_of_pair(arrays, spec, array)
            .or_else(|| (spec.sample_weight.as_deref() == Some(array)).then_some("sample_weight")),
        Source::Builtin(_) | Source::Table { .. } | Source::Images(_) | Source::Idx(_) => None,
    }
}

/// The field that names a file or an array of a pair, or of the pair that validates.
fn field_of_pair(pair: &Files, spec: &DatasetSpec, name: &str) -> Option<&'static str> {
    let validation = spec.validation.as_ref();
    let named = [
        ("features", Some(&pair.features)),
        ("labels", Some(&pair.labels)),
        ("validation/features", validation.map(|pair| &pair.features)),
        ("validation/labels", validation.map(|pair| &pair.labels)),
    ];
    named.into_iter().find(|(_, named)| named.is_some_and(|named| named == name)).map(|(field, _)| field)
}

/// The first of `names`, as an error lists them.
pub(crate) fn listed(names: &[String]) -> String {
    let more = if names.len() > limits::COLUMNS_NAMED_MAX { ", …" } else { "" };
    let cut = |name: &String| match name.char_indices().nth(limits::CELL_SHOWN_MAX) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.clone(),
    };
    names.iter().take(limits::COLUMNS_NAMED_MAX).map(cut).collect::<Vec<_>>().join(", ") + more
}

/// A text of a file as an error shows it: its first characters, quoted.
pub(crate) fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(limits::CELL_SHOWN_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use hpo::dataset::{ArrayFormat, TableFormat};

    use super::*;

    #[test]
    fn the_field_at_fault_is_the_one_that_names_the_file() {
        let files = |features: &str, labels: &str| Files { features: features.into(), labels: labels.into() };
        let spec = |source, validation| DatasetSpec { validation, ..DatasetSpec::new(source) };
        let missing = |path: &str| Error::Missing { path: path.into() };
        let idx = spec(Source::Idx(files("x", "y")), Some(files("vx", "vy")));
        for (path, field) in
            [("x", "features"), ("y", "labels"), ("vx", "validation/features"), ("vy", "validation/labels")]
        {
            assert_eq!(missing(path).field(&idx), field);
        }
        let csv = spec(
            Source::Table { path: "t.csv".into(), format: TableFormat::Csv, label: "price".into() },
            None,
        );
        let wrong = |column: &str| Error::Field {
            path: "t.csv".into(),
            line: 2,
            column: column.into(),
            detail: String::new(),
        };
        assert_eq!(
            [missing("t.csv").field(&csv), wrong("size").field(&csv), wrong("price").field(&csv)],
            ["source", "source", "label"]
        );
        assert_eq!(
            Error::NoColumn { path: "t.csv".into(), field: "one_hot", detail: String::new() }.field(&csv),
            "one_hot"
        );
        let table = DatasetSpec { sample_weight: Some("w".into()), one_hot: vec!["c".into()], ..csv.clone() };
        assert_eq!([wrong("w").field(&table), wrong("c").field(&table)], ["sample_weight", "one_hot"]);
        let npz = Source::Arrays { path: "m.npz".into(), format: ArrayFormat::Npz, arrays: files("x", "y") };
        let npz = DatasetSpec { sample_weight: Some("w".into()), ..spec(npz, Some(files("vx", "vy"))) };
        let array =
            |name: &str| Error::Array { path: "m.npz".into(), array: name.into(), detail: String::new() };
        let named = ["x", "y", "w", "vx", "vy"].map(|name| array(name).field(&npz));
        assert_eq!(
            named,
            ["features", "labels", "sample_weight", "validation/features", "validation/labels"]
        );
        assert_eq!(missing("m.npz").field(&npz), "source");
        assert_eq!(
            Error::Builtin { name: "digit".into() }.field(&spec(Source::Builtin("digit".into()), None)),
            "source"
        );
    }
}

//! What can be wrong with a dataset: which file, which line and column, and what to do.

use std::sync::Arc;

use hpo::dataset::{Collapse, DatasetSpec, Source};

use crate::builtin;

/// Why a dataset can't be had. Paths are those of the study, relative to the datasets folder:
/// nothing says where that folder lies.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No dataset inside the binary has this name.
    #[error("there is no built-in dataset {name:?}; there are {}", builtin::names().collect::<Vec<_>>().join(", "))]
    Builtin {
        /// The name asked for.
        name: String,
    },
    /// A path that is refused, because it leaves the datasets folder or isn't a plain file.
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
    /// The file can't be read, or its gzip stream is damaged.
    #[error("{path}: can't be read: {source}")]
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
    /// There is not so much memory.
    #[error(
        "{path}: {what} exceeds the {max} bytes that this machine has room for now, half of its free memory; take fewer rows, or a larger machine"
    )]
    Memory {
        /// The file.
        path: String,
        /// What is too large, such as "the file's size in bytes".
        what: String,
        /// What there is room for.
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
    /// Whoever asked for it has left.
    #[error("{path}: nobody waits for it any more")]
    Unwanted {
        /// The file.
        path: String,
    },
    /// The file as a whole isn't what its format says.
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
    /// A positive class that can't be.
    #[error("{path}: {detail}")]
    Positive {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// Weights that can't be.
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
        /// The line in the file, from 1, where the record starts, or where blank lines before it
        /// start. The header is line 1.
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
    /// `"scale": "unit"` where the source declares no range.
    #[error(
        "scale \"unit\" needs a source that declares its range (8-bit images, builtin:digits), this one is float32; use min_max or standardize"
    )]
    NoRange,
    /// `"scale": "none"` where 32 bits don't tell the values of a feature apart.
    #[error("{0}")]
    Collapse(Collapse),
    /// A feature's values lie too far apart for 32-bit arithmetic.
    #[error("{feature} spans more than a 32-bit float can hold; rescale it in the file")]
    Span {
        /// The column, or the position of the feature in a row.
        feature: String,
    },
    /// A value that is not finite once it is scaled as the training rows ask for.
    #[error(
        "{feature} of row {row} (from 0) is too far from the training rows, whose spread it is divided by; correct it, or scale by another way"
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
    /// A split in which one part can't do its work: a class or all weight is missing.
    #[error("{detail}")]
    Part {
        /// The field of the study's `dataset` that makes the split: `validation_split`,
        /// `validation` or `folds`.
        field: &'static str,
        /// Which part lacks what, and what to do.
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
        match (&spec.source, &spec.validation) {
            (Source::Idx(files), _) if files.features == *path => "features",
            (Source::Idx(files), _) if files.labels == *path => "labels",
            (source, Some(files)) if files.features == *path && !source.holds_arrays() => {
                "validation/features"
            }
            (source, Some(files)) if files.labels == *path && !source.holds_arrays() => "validation/labels",
            (Source::Idx(_), _) => "features",
            _ => "source",
        }
    }
}

/// The field that gives `column` its role.
fn column_field(spec: &DatasetSpec, column: &str) -> Option<&'static str> {
    match &spec.source {
        Source::Csv { label, .. } | Source::Parquet { label, .. } if label == column => Some("label"),
        _ if spec.sample_weight.as_deref() == Some(column) => Some("sample_weight"),
        _ if spec.one_hot.iter().any(|name| name == column) => Some("one_hot"),
        _ => None,
    }
}

/// The field that names `array`.
fn array_field(spec: &DatasetSpec, array: &str) -> Option<&'static str> {
    let (Source::Npz { arrays, .. } | Source::Safetensors { arrays, .. }) = &spec.source else { return None };
    let validation = spec.validation.as_ref();
    let named = [
        ("features", Some(&arrays.features)),
        ("labels", Some(&arrays.labels)),
        ("sample_weight", spec.sample_weight.as_ref()),
        ("validation/features", validation.map(|arrays| &arrays.features)),
        ("validation/labels", validation.map(|arrays| &arrays.labels)),
    ];
    named.into_iter().find(|(_, name)| name.is_some_and(|name| name == array)).map(|(field, _)| field)
}

#[cfg(test)]
mod tests {
    use hpo::dataset::Files;

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
        let csv = spec(Source::Csv { path: "t.csv".into(), label: "price".into() }, None);
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
        let npz = Source::Npz { path: "m.npz".into(), arrays: files("x", "y") };
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

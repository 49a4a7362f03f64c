//! What can be wrong with a dataset: which file, which line and column, and what to do.

use crate::builtin;

/// Why a dataset can't be had. Paths are those of the study, relative to the datasets folder: nothing says where that folder lies.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No dataset inside the binary has this name.
    #[error("there is no built-in dataset {name:?}; there are {}", builtin::names().collect::<Vec<_>>().join(", "))]
    Builtin {
        /// The name asked for.
        name: String,
    },
    /// A path that is refused, because it leaves the datasets folder or isn't a plain file.
    #[error("{path:?} {reason}; name a file below the datasets folder, such as \"mnist/train-images-idx3-ubyte.gz\"")]
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
        source: std::io::Error,
    },
    /// A bound of `hpo::limits` is exceeded.
    #[error("{path}: {what} exceeds the bound of {max}")]
    TooLarge {
        /// The file.
        path: String,
        /// What is too large, such as "the number of rows".
        what: String,
        /// The bound.
        max: u64,
    },
    /// The file as a whole isn't what its format says.
    #[error("{path}: {detail}")]
    Format {
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
        /// The line in the file, from 1, where the record starts, or where blank lines before it start. The header is line 1.
        line: u64,
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
    /// A feature's values lie too far apart for 32-bit arithmetic.
    #[error("feature {feature} (from 0) spans more than a 32-bit float can hold; rescale it in the file")]
    Span {
        /// The position of the feature in a row, from 0.
        feature: usize,
    },
    /// A split that leaves a part without rows.
    #[error("validation_split {fraction} of {rows} rows leaves no row for {part}; change the fraction or use more rows")]
    EmptyPart {
        /// The fraction asked for.
        fraction: f64,
        /// The rows of the source.
        rows: usize,
        /// "training" or "validation".
        part: &'static str,
    },
}

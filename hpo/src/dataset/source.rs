//! Sources of datasets, and the formats of their files.

use crate::document::names;

/// Where rows come from. Paths are relative to the datasets folder, `<data-dir>/datasets`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A dataset inside the binary, by name.
    Builtin(String),
    /// A file with a table, whose columns have names.
    Table {
        /// The file.
        path: String,
        /// Its format, which the end of the path says.
        format: TableFormat,
        /// The column with the labels.
        label: String,
    },
    /// A file with several arrays, which have names.
    Arrays {
        /// The file.
        path: String,
        /// Its format, which the end of the path says.
        format: ArrayFormat,
        /// The names of the arrays.
        arrays: Files,
    },
    /// A folder with one folder of images for each class. In a study its path ends in `/`, which is
    /// not kept.
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

impl Source {
    /// The path of its file or folder, or its name; of a pair, the file with the features. Errors
    /// about the whole dataset name it.
    pub fn path(&self) -> &str {
        match self {
            Source::Builtin(name) => name,
            Source::Table { path, .. } | Source::Arrays { path, .. } | Source::Images(path) => path,
            Source::Idx(files) => &files.features,
        }
    }

    /// How to write labels in such a source so that they are the values of a regression, not
    /// classes. None if its labels are always classes.
    pub fn numbers_as_values(&self) -> Option<&'static str> {
        match self {
            Source::Builtin(_) | Source::Images(_) => None,
            Source::Table { format, .. } => Some(format.numbers_as_values()),
            Source::Arrays { .. } => Some("store the labels as floats in the file"),
            Source::Idx(_) => Some("store the labels as floats (type 0x0d or 0x0e) in the IDX file"),
        }
    }
}

names! {
    /// The formats of tables, by the names that messages use.
    pub enum TableFormat {
        /// Comma-separated values; the first line names the columns.
        Csv = "CSV",
        /// Apache Parquet.
        Parquet = "Parquet",
    }
    later []
}

names! {
    /// The formats of files with several arrays, by the names that messages use.
    pub enum ArrayFormat {
        /// NumPy's file of arrays, as Keras ships MNIST.
        Npz = "NPZ",
        /// Safetensors.
        Safetensors = "safetensors",
    }
    later []
}

impl TableFormat {
    /// The format of a table whose name has an end that no format has.
    pub const DEFAULT: TableFormat = TableFormat::Csv;

    /// The ends of the names of its files.
    pub fn ends(self) -> &'static [&'static str] {
        match self {
            TableFormat::Csv => &[".csv", ".csv.gz"],
            TableFormat::Parquet => &[".parquet"],
        }
    }

    /// The name of its schema in the contract.
    #[cfg(feature = "openapi")]
    pub(crate) fn schema_name(self) -> &'static str {
        match self {
            TableFormat::Csv => "CsvDataset",
            TableFormat::Parquet => "ParquetDataset",
        }
    }

    fn numbers_as_values(self) -> &'static str {
        match self {
            TableFormat::Csv => "write the labels as 3.0 in the CSV, not 3",
            TableFormat::Parquet => "store the label column as floats in the Parquet file",
        }
    }
}

impl ArrayFormat {
    /// The ends of the names of its files.
    pub fn ends(self) -> &'static [&'static str] {
        match self {
            ArrayFormat::Npz => &[".npz"],
            ArrayFormat::Safetensors => &[".safetensors"],
        }
    }
}

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A table.
    Table(TableFormat),
    /// Several arrays.
    Arrays(ArrayFormat),
}

impl Format {
    /// The format that has the end of `path`, if one has.
    pub fn of(path: &str) -> Option<Format> {
        let tables = TableFormat::ALL.iter().map(|format| (Format::Table(*format), format.ends()));
        let arrays = ArrayFormat::ALL.iter().map(|format| (Format::Arrays(*format), format.ends()));
        let known = tables.chain(arrays).find(|(_, ends)| ends.iter().any(|end| path.ends_with(end)));
        known.map(|(format, _)| format)
    }
}

//! Lists the datasets that a study can name: the built-in ones and those in the folder.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hpo::dataset::{ArrayFormat, DatasetSchema, DatasetSpec, Files, Format, Source, TableFormat};
use serde::Serialize;

use crate::array::ArrayFile;
use crate::images::is_image;
use crate::limits;
use crate::reading::Reading;
use crate::{Catalog, builtin, table};

/// Usual names of features and labels in a file of arrays, the most usual first: Keras's, then
/// scikit-learn's.
const PAIRS: [(&str, &str); 5] =
    [("x_train", "y_train"), ("X_train", "y_train"), ("x", "y"), ("X", "y"), ("features", "labels")];

/// A dataset that a study can name. `source`, `label`, `features` and `labels` are as the study's
/// `dataset` takes them.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Listed {
    /// `builtin:NAME`, or the path of a file, or that of a folder of images, which ends in `/`;
    /// absent for a pair of IDX files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The label column that the schema was read with: the last. A study may name another of
    /// `columns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The first 100 columns of a CSV or Parquet file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// The first 100 arrays of an NPZ or safetensors file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrays: Option<Vec<String>>,
    /// The IDX file with the features, or the array that the schema was read with. A study may name
    /// another of `arrays`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<String>,
    /// The IDX file with the labels, or the array that the schema was read with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// What it holds; null if there is a `problem`.
    pub schema: Option<DatasetSchema>,
    /// Why there is no schema: what is wrong with the file, or that it was not read yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The head of a file: the first names of its columns or arrays, and those that the listing takes
/// for the labels and the features.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Head {
    /// A table, the last column of which is taken for the label.
    Table { format: TableFormat, columns: Vec<String>, label: Option<String> },
    /// Arrays, of which a pair with usual names is taken for features and labels.
    Arrays { format: ArrayFormat, names: Vec<String>, pair: Option<Files> },
}

impl Catalog {
    /// The built-in datasets, then those of the folder in the order of their paths: files with the
    /// ends of the formats, folders of folders of images, and IDX pairs named as MNIST's
    /// (`*images*idx3-ubyte*` with its `*labels*idx1-ubyte*`, gzipped or not). Blocks for
    /// `crate::limits::DATASETS_LIST_SECONDS` at most: of the files that were not seen before, one
    /// is read on after that, the others at the next listings. A file that cannot be read is listed
    /// with its problem; a folder that cannot be read is skipped.
    pub fn list(&self) -> Vec<Listed> {
        let until = Instant::now() + Duration::from_secs(limits::DATASETS_LIST_SECONDS);
        let mut paths = Vec::new();
        visit(self.folder().root(), "", 0, &mut limits::DATASETS_VISITED_MAX.clone(), &mut paths);
        paths.sort_unstable();
        paths.dedup();
        let mut listed: Vec<Listed> = builtin::names().map(|name| self.list_builtin(name, until)).collect();
        listed.extend(
            paths
                .iter()
                .filter_map(|path| self.list_file(path, &paths, until))
                .take(limits::DATASETS_LISTED_MAX),
        );
        listed
    }

    fn list_builtin(&self, name: &str, until: Instant) -> Listed {
        let source = Some(format!("builtin:{name}"));
        Listed { source, ..self.describe(Source::Builtin(name.to_owned()), until) }
    }

    /// The dataset of the file at `path`. None if it is not a dataset of its own, such as a file of
    /// labels.
    fn list_file(&self, path: &str, paths: &[String], until: Instant) -> Option<Listed> {
        if let Some(format) = Format::of(path) {
            return Some(self.list_head(path, format, until));
        }
        if let Some(folder) = path.strip_suffix('/') {
            let described = self.describe(Source::Images(folder.to_owned()), until);
            return Some(Listed { source: Some(path.to_owned()), ..described });
        }
        let labels = labels_of(path, paths)?;
        let described =
            self.describe(Source::Idx(Files { features: path.to_owned(), labels: labels.clone() }), until);
        Some(Listed { features: Some(path.to_owned()), labels: Some(labels), ..described })
    }

    /// A file whose head says what is in it.
    fn list_head(&self, path: &str, format: Format, until: Instant) -> Listed {
        let read = |reading: &Reading| match format {
            Format::Table(format) => {
                Ok(Head::of_table(format, table::columns(format, path, self.folder(), reading)?))
            }
            Format::Arrays(format) => {
                let file = ArrayFile::open(format, path, self.folder(), reading)?;
                Ok(Head::of_arrays(format, file.names()))
            }
        };
        let head = match self.head(path, until, read) {
            Some(Ok(head)) => head,
            Some(Err(problem)) => {
                return Listed { source: Some(path.to_owned()), ..Listed::from(Err(problem)) };
            }
            None => return Listed { source: Some(path.to_owned()), ..Listed::from(Err(NOT_YET.to_owned())) },
        };
        Listed { source: Some(path.to_owned()), ..self.list_named(path, head, until) }
    }

    /// The dataset of a file whose columns or arrays are known.
    fn list_named(&self, path: &str, head: Head, until: Instant) -> Listed {
        let path = path.to_owned();
        match head {
            Head::Table { columns, label: None, .. } => {
                Listed { columns: Some(columns), ..Listed::from(Err("has no columns".to_owned())) }
            }
            Head::Table { format, columns, label: Some(label) } => {
                let source = Source::Table { path, format, label: label.clone() };
                Listed { columns: Some(columns), label: Some(label), ..self.describe(source, until) }
            }
            Head::Arrays { names, pair: None, .. } => {
                let problem = "its arrays have no usual names such as x_train and y_train; a study must name `features` and `labels`";
                Listed { arrays: Some(names), ..Listed::from(Err(problem.to_owned())) }
            }
            Head::Arrays { format, names, pair: Some(arrays) } => {
                let Files { features, labels } = arrays.clone();
                let described = self.describe(Source::Arrays { path, format, arrays }, until);
                Listed { arrays: Some(names), features: Some(features), labels: Some(labels), ..described }
            }
        }
    }

    fn describe(&self, source: Source, until: Instant) -> Listed {
        let outcome = self
            .outcome(&DatasetSpec::new(source), until)
            .unwrap_or_else(|error| Some(Err(error.to_string())));
        Listed::from(outcome.unwrap_or_else(|| Err(NOT_YET.to_owned())))
    }
}

/// The problem of a dataset for which a listing had no time.
const NOT_YET: &str = "not read yet; list again";

impl Head {
    fn of_table(format: TableFormat, mut columns: Vec<String>) -> Head {
        let label = columns.last().cloned();
        columns.truncate(limits::COLUMNS_NAMED_MAX);
        Head::Table { format, columns, label }
    }

    fn of_arrays(format: ArrayFormat, mut names: Vec<String>) -> Head {
        let is_there = |name: &str| names.iter().any(|array| array == name);
        let pair = PAIRS.into_iter().find(|(features, labels)| is_there(features) && is_there(labels));
        let pair = pair.map(|(features, labels)| Files { features: features.into(), labels: labels.into() });
        names.truncate(limits::COLUMNS_NAMED_MAX);
        Head::Arrays { format, names, pair }
    }
}

impl From<Result<DatasetSchema, String>> for Listed {
    fn from(outcome: Result<DatasetSchema, String>) -> Listed {
        match outcome {
            Ok(schema) => Listed { schema: Some(schema), ..Listed::default() },
            Err(problem) => Listed { problem: Some(problem), ..Listed::default() },
        }
    }
}

/// The labels that go with the IDX images at `path`, by MNIST's names, compressed or not.
fn labels_of(path: &str, paths: &[String]) -> Option<String> {
    let (folder, name) =
        path.rsplit_once('/').map_or(("", path), |(folder, name)| (&path[..=folder.len()], name));
    if !(name.contains("images") && name.contains("idx3-ubyte")) {
        return None;
    }
    let labels = format!("{folder}{}", name.replace("images", "labels").replace("idx3", "idx1"));
    let other = labels.strip_suffix(".gz").map_or_else(|| format!("{labels}.gz"), str::to_owned);
    [labels, other].into_iter().find(|labels| paths.binary_search(labels).is_ok())
}

/// Collects the paths of the files below `root`, relative to it; for images, the path of the folder
/// above their own, with `/` at its end. Folders behind links are not entered; a study cannot name
/// files whose names are not UTF-8.
fn visit(root: &Path, below: &str, depth: usize, visits_left: &mut usize, paths: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(root.join(below)) else { return };
    for entry in entries.flatten() {
        if *visits_left == 0 {
            return;
        }
        *visits_left -= 1;
        let (name, kind) = (entry.file_name(), entry.file_type());
        let (Some(name), Ok(kind)) = (name.to_str(), kind) else { continue };
        let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        match kind.is_dir() {
            true if depth < limits::DATASETS_DEPTH_MAX => visit(root, &path, depth + 1, visits_left, paths),
            true => {}
            // One image is enough: a folder of thousands would use up the visits.
            false if is_image(name) && !below.is_empty() => {
                paths.extend(below.rsplit_once('/').map(|(above, _)| format!("{above}/")));
                return;
            }
            false => paths.push(path),
        }
    }
}

#[cfg(test)]
mod tests;

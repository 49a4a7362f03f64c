//! What there is to train on: the built-in datasets and those in the folder.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hpo::dataset::{DatasetSchema, DatasetSpec, Files, Source};
use hpo::limits;
use serde::Serialize;

use crate::images::is_image;
use crate::npz::Npz;
use crate::room::Room;
use crate::tensors::Tensors;
use crate::{Catalog, Error, builtin, csv_table, parquet_table};

/// Names that features and labels have in a file of arrays, the more usual first: Keras's, then scikit-learn's.
const PAIRS: [(&str, &str); 5] = [("x_train", "y_train"), ("X_train", "y_train"), ("x", "y"), ("X", "y"), ("features", "labels")];

/// A dataset that a study can name. `source`, `label`, `features` and `labels` are as the study's `dataset` takes them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Listed {
    /// `builtin:NAME`, or the path of a file, or that of a folder of images, which ends in `/`; absent for a pair of IDX files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The label column that the schema was read with: the last. A study may name another of `columns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The first 100 columns of a CSV or Parquet file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// The first 100 arrays of an NPZ or safetensors file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrays: Option<Vec<String>>,
    /// The IDX file with the features, or the array that the schema was read with. A study may name another of `arrays`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<String>,
    /// The IDX file with the labels, or the array that the schema was read with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// What it holds; null where `problem` says why.
    pub schema: Option<DatasetSchema>,
    /// Why there is no schema: what is wrong with the file, or that it is large and its turn comes at the next listing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Catalog {
    /// The built-in datasets, then those of the folder in the order of their paths: IDX pairs named as MNIST's (`*images*idx3-ubyte*` with its
    /// `*labels*idx1-ubyte*`, gzipped or not), `*.csv`, `*.csv.gz`, `*.parquet`, `*.npz`, `*.safetensors` and folders of folders of images. Blocks: files not seen before are read, up to
    /// `hpo::limits::DATASETS_LIST_SECONDS`. A file that can't be read is listed with its problem; a folder that can't, is passed over.
    pub fn list(&self) -> Vec<Listed> {
        let mut paths = Vec::new();
        visit(self.folder.root(), "", 0, &mut limits::DATASETS_VISITED_MAX.clone(), &mut paths);
        paths.sort_unstable();
        paths.dedup();
        let until = Instant::now() + Duration::from_secs(limits::DATASETS_LIST_SECONDS);
        let mut listed: Vec<Listed> = builtin::names().map(|name| self.list_builtin(name, until)).collect();
        listed.extend(paths.iter().filter_map(|path| self.list_file(path, &paths, until)).take(limits::DATASETS_LISTED_MAX));
        listed
    }

    fn list_builtin(&self, name: &str, until: Instant) -> Listed {
        let source = Some(format!("builtin:{name}"));
        Listed { source, ..self.describe(Source::Builtin(name.to_owned()), until) }
    }

    /// The dataset of the file at `path`; none where the file is no dataset of its own, as a file of labels.
    fn list_file(&self, path: &str, paths: &[String], until: Instant) -> Option<Listed> {
        let open = || self.folder.file(path, limits::DATASET_BYTES_MAX);
        if path.ends_with(".csv") || path.ends_with(".csv.gz") {
            let columns = self.folder.open(path).and_then(|input| csv_table::columns(path, input));
            return self.list_table(path, columns, |path, label| Source::Csv { path, label }, until);
        }
        if path.ends_with(".parquet") {
            let columns = open().and_then(|file| parquet_table::columns(path, file));
            return self.list_table(path, columns, |path, label| Source::Parquet { path, label }, until);
        }
        if path.ends_with(".npz") {
            let arrays = open().and_then(|file| Ok(Npz::open(path, file, Room::of(0))?.names()));
            return Some(self.list_arrays(path, arrays, |path, arrays| Source::Npz { path, arrays }, until));
        }
        if path.ends_with(".safetensors") {
            let arrays = open().and_then(|file| Ok(Tensors::open(path, file, Room::of(0))?.names()));
            return Some(self.list_arrays(path, arrays, |path, arrays| Source::Safetensors { path, arrays }, until));
        }
        if let Some(folder) = path.strip_suffix('/') {
            let described = self.describe(Source::Images(folder.to_owned()), until);
            return Some(Listed { source: Some(path.to_owned()), ..described });
        }
        let labels = labels_of(path, paths)?;
        let described = self.describe(Source::Idx(Files { features: path.to_owned(), labels: labels.clone() }), until);
        Some(Listed { features: Some(path.to_owned()), labels: Some(labels), ..described })
    }

    /// A table, with its last column for the label.
    fn list_table(
        &self,
        path: &str,
        columns: Result<Vec<String>, Error>,
        source: impl Fn(String, String) -> Source,
        until: Instant,
    ) -> Option<Listed> {
        let named = Some(path.to_owned());
        let mut columns = match columns {
            Ok(columns) => columns,
            Err(error) => return Some(Listed { source: named, ..Listed::from(Err(error.to_string())) }),
        };
        let label = columns.last().cloned()?;
        let described = self.describe(source(path.to_owned(), label.clone()), until);
        columns.truncate(limits::COLUMNS_NAMED_MAX);
        Some(Listed { source: named, label: Some(label), columns: Some(columns), ..described })
    }

    /// A file of arrays, with those for features and labels that have usual names.
    fn list_arrays(
        &self,
        path: &str,
        arrays: Result<Vec<String>, Error>,
        source: impl Fn(String, Files) -> Source,
        until: Instant,
    ) -> Listed {
        let named = Some(path.to_owned());
        let mut arrays = match arrays {
            Ok(arrays) => arrays,
            Err(error) => return Listed { source: named, ..Listed::from(Err(error.to_string())) },
        };
        let there = |name: &str| arrays.iter().any(|array| array == name);
        let pair = PAIRS.into_iter().find(|(features, labels)| there(features) && there(labels));
        arrays.truncate(limits::COLUMNS_NAMED_MAX);
        let arrays = Some(arrays);
        let Some((features, labels)) = pair else {
            let problem = "none of its arrays have usual names, such as x_train and y_train; a study names its features and labels";
            return Listed { source: named, arrays, ..Listed::from(Err(problem.to_owned())) };
        };
        let (features, labels) = (features.to_owned(), labels.to_owned());
        let described = self.describe(source(path.to_owned(), Files { features: features.clone(), labels: labels.clone() }), until);
        Listed { source: named, arrays, features: Some(features), labels: Some(labels), ..described }
    }

    fn describe(&self, source: Source, until: Instant) -> Listed {
        let outcome = self.outcome(&DatasetSpec::new(source), until).unwrap_or_else(|error| Some(Err(error.to_string())));
        Listed::from(outcome.unwrap_or_else(|| Err("not read yet, others come first; list again".to_owned())))
    }
}

impl From<Result<DatasetSchema, String>> for Listed {
    fn from(outcome: Result<DatasetSchema, String>) -> Listed {
        let (schema, problem) = match outcome {
            Ok(schema) => (Some(schema), None),
            Err(problem) => (None, Some(problem)),
        };
        let (source, label, columns, arrays, features, labels) = Default::default();
        Listed { source, label, columns, arrays, features, labels, schema, problem }
    }
}

/// The labels that go with the IDX images at `path`, by MNIST's names; compressed or not, whichever is there.
fn labels_of(path: &str, paths: &[String]) -> Option<String> {
    let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (&path[..=folder.len()], name));
    if !(name.contains("images") && name.contains("idx3-ubyte")) {
        return None;
    }
    let labels = format!("{folder}{}", name.replace("images", "labels").replace("idx3", "idx1"));
    let other = labels.strip_suffix(".gz").map_or_else(|| format!("{labels}.gz"), str::to_owned);
    [labels, other].into_iter().find(|labels| paths.binary_search(labels).is_ok())
}

/// Collects the paths of the files below `root`, relative to it, and instead of images the folder above theirs, with `/` at its end. Folders behind links are not entered; names that aren't UTF-8 can't be in a study.
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
            // One image speaks for all: a folder of thousands would use up the visits.
            false if is_image(name) && !below.is_empty() => {
                paths.extend(below.rsplit_once('/').map(|(above, _)| format!("{above}/")));
                return;
            }
            false => paths.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn builtin_datasets_and_files_are_listed_with_their_schemas() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("datasets");
        fs::create_dir_all(folder.join("mnist")).unwrap();
        let images = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 5, 6];
        fs::write(folder.join("mnist/train-images-idx3-ubyte"), images).unwrap();
        fs::write(folder.join("mnist/train-labels-idx1-ubyte"), [0, 0, 8, 1, 0, 0, 0, 2, 0, 1]).unwrap();
        fs::write(folder.join("mnist/t10k-images.idx3-ubyte"), images).unwrap();
        fs::write(folder.join("a.csv"), "x,y\n1,0\n2,1\n").unwrap();
        fs::write(folder.join("bad.csv"), "x,y\n1,0\n,1\n").unwrap();
        fs::write(folder.join("notes.txt"), "x").unwrap();
        fs::write(outer.path().join("secret.csv"), "secret,y\n1,0\n").unwrap();
        symlink("../secret.csv", folder.join("secret.csv")).unwrap();
        symlink("..", folder.join("up")).unwrap();

        let catalog = Catalog::new(&folder);
        let listed = catalog.list();

        let names: Vec<&str> = listed.iter().filter_map(|listed| listed.source.as_deref().or(listed.features.as_deref())).collect();
        let expect = ["builtin:digits", "builtin:iris", "builtin:wine", "builtin:breast_cancer", "builtin:diabetes"];
        assert_eq!(names[..5], expect);
        assert_eq!(names[5..], ["a.csv", "bad.csv", "mnist/train-images-idx3-ubyte", "secret.csv"]);
        assert!(listed[..5].iter().all(|listed| listed.schema.is_some()));
        let [csv, bad, idx, secret] = &listed[5..] else { unreachable!() };
        assert_eq!((csv.label.as_deref(), csv.schema.as_ref().unwrap().classes), (Some("y"), Some(2)));
        assert_eq!(csv.columns.as_deref().unwrap(), ["x", "y"]);
        assert_eq!(bad.problem.as_deref(), Some("bad.csv, line 3, column \"x\": the field is empty; fill it or leave the line out"));
        assert_eq!((idx.labels.as_deref(), idx.schema.as_ref().unwrap().rows), (Some("mnist/train-labels-idx1-ubyte"), 2));
        assert!(secret.problem.as_deref().unwrap().contains("leaves the datasets folder through a link") && secret.columns.is_none());
        assert_eq!(catalog.list(), listed, "the second listing remembers");
    }

    #[test]
    fn arrays_tables_and_folders_of_images_are_listed_as_a_study_names_them() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
        let listed = Catalog::new(golden).list();
        let find =
            |source: &str| listed.iter().find(|listed| listed.source.as_deref() == Some(source)).unwrap_or_else(|| panic!("{source}"));
        let rows = |listed: &Listed| listed.schema.as_ref().map(|schema| schema.rows);
        let npz = find("mnist.npz");
        assert_eq!((npz.features.as_deref(), npz.labels.as_deref(), rows(npz)), (Some("x_train"), Some("y_train"), Some(6)));
        assert_eq!(npz.arrays.as_deref().unwrap(), ["x_test", "x_train", "y_test", "y_train"]);
        let tensors = find("mnist.safetensors");
        assert!(tensors.problem.as_deref().unwrap().contains("a study names its features and labels") && tensors.arrays.is_some());
        let table = find("table.parquet");
        assert_eq!((table.label.as_deref(), table.columns.as_ref().map(Vec::len)), (Some("species"), Some(9)));
        assert!(table.problem.as_deref().unwrap().contains("name the column in one_hot"));
        assert!(find("refused-null.parquet").problem.as_deref().unwrap().contains("the value is missing"));
        assert_eq!((rows(find("grey/")), rows(find("colour/")), rows(find("jpeg/"))), (Some(3), Some(3), Some(3)));
        assert!(listed.iter().all(|listed| listed.source.as_deref() != Some("bomb.png")));
    }

    #[test]
    fn a_listing_reads_no_more_than_its_share() {
        let catalog = Catalog::new("/nowhere");
        let (late, early) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        assert!(catalog.list_builtin("digits", late).problem.unwrap().contains("list again"));
        assert!(catalog.list_builtin("digits", early).schema.is_some());
        assert!(catalog.list_builtin("digits", late).schema.is_some(), "what is known needs no reading");
        let reading = catalog.reading.lock().unwrap();
        assert!(catalog.list_builtin("iris", early).problem.unwrap().contains("list again"), "it waits for nobody");
        drop(reading);
        let panicking = || {
            let _reading = catalog.reading.lock().unwrap();
            panic!("while it reads");
        };
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).is_err();
        assert!(panicked && catalog.list_builtin("iris", early).schema.is_some());
    }

    #[test]
    fn labels_are_found_by_mnists_names() {
        let paths = ["images/images-idx3-ubyte", "images/labels-idx1-ubyte.gz", "t-labels.idx1-ubyte"].map(str::to_owned);
        assert_eq!(labels_of("images/images-idx3-ubyte", &paths).as_deref(), Some("images/labels-idx1-ubyte.gz"));
        assert_eq!(labels_of("t-images.idx3-ubyte.gz", &paths).as_deref(), Some("t-labels.idx1-ubyte"));
        assert_eq!(labels_of("images/labels-idx1-ubyte.gz", &paths), None);
        assert_eq!(labels_of("other-images-idx3-ubyte", &paths), None);
    }
}

//! What there is to train on: the built-in datasets and those in the folder.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::limits;
use hpo::dataset::{DatasetSchema, DatasetSpec, Files, Source};
use serde::Serialize;

use crate::images::is_image;
use crate::npz::Npz;
use crate::reading::Reading;
use crate::tensors::Tensors;
use crate::{Catalog, Error, builtin, csv_table, parquet_table};

/// Names that features and labels have in a file of arrays, the more usual first: Keras's, then
/// scikit-learn's.
const PAIRS: [(&str, &str); 5] =
    [("x_train", "y_train"), ("X_train", "y_train"), ("x", "y"), ("X", "y"), ("features", "labels")];

/// A dataset that a study can name. `source`, `label`, `features` and `labels` are as the study's
/// `dataset` takes them.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// What it holds; null where `problem` says why.
    pub schema: Option<DatasetSchema>,
    /// Why there is no schema: what is wrong with the file, or that it is large and its turn comes
    /// at the next listing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The head of a file: the columns of a table, the names of arrays.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Head {
    /// The first of them.
    names: Vec<String>,
    /// The column that is taken for the label, or the arrays that are taken for features and
    /// labels, as a study names them.
    source: Option<Source>,
}

impl Catalog {
    /// The built-in datasets, then those of the folder in the order of their paths: IDX pairs named
    /// as MNIST's (`*images*idx3-ubyte*` with its `*labels*idx1-ubyte*`, gzipped or not), `*.csv`,
    /// `*.csv.gz`, `*.parquet`, `*.npz`, `*.safetensors` and folders of folders of images. Blocks
    /// for `crate::limits::DATASETS_LIST_SECONDS` at most: one file that was not seen before is read
    /// on after that, the others are at the next listings. A file that can't be read is listed with
    /// its problem; a folder that can't, is passed over.
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

    /// The dataset of the file at `path`; none where the file is no dataset of its own, as a file
    /// of labels.
    fn list_file(&self, path: &str, paths: &[String], until: Instant) -> Option<Listed> {
        if path.ends_with(".csv") || path.ends_with(".csv.gz") {
            return Some(self.list_head(path, until, |reading| {
                let columns = csv_table::columns(path, self.folder().open(path)?, reading)?;
                Ok(Head::of_table(columns, |label| Source::Csv { path: path.to_owned(), label }))
            }));
        }
        let open = || self.folder().file(path, limits::DATASET_BYTES_MAX);
        if path.ends_with(".parquet") {
            return Some(self.list_head(path, until, |_| {
                let columns = parquet_table::columns(path, open()?)?;
                Ok(Head::of_table(columns, |label| Source::Parquet { path: path.to_owned(), label }))
            }));
        }
        if path.ends_with(".npz") {
            return Some(self.list_head(path, until, |_| {
                let arrays = Npz::open(path, open()?)?.names();
                Ok(Head::of_arrays(arrays, |arrays| Source::Npz { path: path.to_owned(), arrays }))
            }));
        }
        if path.ends_with(".safetensors") {
            return Some(self.list_head(path, until, |reading| {
                let arrays = Tensors::open(path, open()?, reading)?.names();
                Ok(Head::of_arrays(arrays, |arrays| Source::Safetensors { path: path.to_owned(), arrays }))
            }));
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
    fn list_head(
        &self,
        path: &str,
        until: Instant,
        read: impl FnOnce(&Reading) -> Result<Head, Error>,
    ) -> Listed {
        let named = Some(path.to_owned());
        let Head { names, source } = match self.head(path, until, read) {
            Some(Ok(head)) => head,
            Some(Err(problem)) => return Listed { source: named, ..Listed::from(Err(problem)) },
            None => return Listed { source: named, ..Listed::from(Err(NOT_YET.to_owned())) },
        };
        let Some(source) = source else {
            let problem = "none of its arrays have usual names, such as x_train and y_train; a study names its features and labels";
            return Listed { source: named, arrays: Some(names), ..Listed::from(Err(problem.to_owned())) };
        };
        let listed = Listed { source: named, ..self.describe(source.clone(), until) };
        match source {
            Source::Npz { arrays: Files { features, labels }, .. }
            | Source::Safetensors { arrays: Files { features, labels }, .. } => {
                Listed { arrays: Some(names), features: Some(features), labels: Some(labels), ..listed }
            }
            Source::Csv { label, .. } | Source::Parquet { label, .. } => {
                Listed { columns: Some(names), label: Some(label), ..listed }
            }
            _ => listed,
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
const NOT_YET: &str = "not read yet: it is being read, or others come first; list again";

impl Head {
    /// Of a table, whose last column is taken for the label.
    fn of_table(mut columns: Vec<String>, source: impl FnOnce(String) -> Source) -> Head {
        let source = columns.last().cloned().map(source);
        columns.truncate(limits::COLUMNS_NAMED_MAX);
        Head { names: columns, source }
    }

    /// Of a file of arrays, of which a pair with usual names is taken for features and labels.
    fn of_arrays(mut arrays: Vec<String>, source: impl FnOnce(Files) -> Source) -> Head {
        let there = |name: &str| arrays.iter().any(|array| array == name);
        let pair = PAIRS.into_iter().find(|(features, labels)| there(features) && there(labels));
        arrays.truncate(limits::COLUMNS_NAMED_MAX);
        let source = pair.map(|(features, labels)| {
            source(Files { features: features.to_owned(), labels: labels.to_owned() })
        });
        Head { names: arrays, source }
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

/// The labels that go with the IDX images at `path`, by MNIST's names; compressed or not, whichever
/// is there.
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

/// Collects the paths of the files below `root`, relative to it, and instead of images the folder
/// above theirs, with `/` at its end. Folders behind links are not entered; names that aren't UTF-8
/// can't be in a study.
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

        let names: Vec<&str> = listed
            .iter()
            .filter_map(|listed| listed.source.as_deref().or(listed.features.as_deref()))
            .collect();
        let expect =
            ["builtin:digits", "builtin:iris", "builtin:wine", "builtin:breast_cancer", "builtin:diabetes"];
        assert_eq!(names[..5], expect);
        assert_eq!(names[5..], ["a.csv", "bad.csv", "mnist/train-images-idx3-ubyte", "secret.csv"]);
        assert!(listed[..5].iter().all(|listed| listed.schema.is_some()));
        let [csv, bad, idx, secret] = &listed[5..] else { unreachable!() };
        assert_eq!((csv.label.as_deref(), csv.schema.as_ref().unwrap().classes), (Some("y"), Some(2)));
        assert_eq!(csv.columns.as_deref().unwrap(), ["x", "y"]);
        assert_eq!(
            bad.problem.as_deref(),
            Some("bad.csv, line 3, column \"x\": the field is empty; fill it or leave the line out")
        );
        assert_eq!(
            (idx.labels.as_deref(), idx.schema.as_ref().unwrap().rows),
            (Some("mnist/train-labels-idx1-ubyte"), 2)
        );
        assert!(
            secret.problem.as_deref().unwrap().contains("leaves the datasets folder through a link")
                && secret.columns.is_none()
        );
        assert_eq!(catalog.list(), listed, "the second listing remembers");
    }

    #[test]
    fn arrays_tables_and_folders_of_images_are_listed_as_a_study_names_them() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
        let listed = Catalog::new(golden).list();
        let find = |source: &str| {
            listed
                .iter()
                .find(|listed| listed.source.as_deref() == Some(source))
                .unwrap_or_else(|| panic!("{source}"))
        };
        let rows = |listed: &Listed| listed.schema.as_ref().map(|schema| schema.rows);
        let npz = find("mnist.npz");
        assert_eq!(
            (npz.features.as_deref(), npz.labels.as_deref(), rows(npz)),
            (Some("x_train"), Some("y_train"), Some(6))
        );
        assert_eq!(npz.arrays.as_deref().unwrap(), ["x_test", "x_train", "y_test", "y_train"]);
        let tensors = find("mnist.safetensors");
        assert!(
            tensors.problem.as_deref().unwrap().contains("a study names its features and labels")
                && tensors.arrays.is_some()
        );
        let table = find("table.parquet");
        assert_eq!(
            (table.label.as_deref(), table.columns.as_ref().map(Vec::len)),
            (Some("species"), Some(9))
        );
        assert!(table.problem.as_deref().unwrap().contains("name the column in one_hot"));
        assert!(find("refused-null.parquet").problem.as_deref().unwrap().contains("the value is missing"));
        assert_eq!(
            (rows(find("grey/")), rows(find("colour/")), rows(find("jpeg/"))),
            (Some(3), Some(3), Some(3))
        );
        assert!(listed.iter().all(|listed| listed.source.as_deref() != Some("bomb.png")));
    }

    #[test]
    fn a_listing_reads_no_more_than_its_share() {
        let catalog = Catalog::new("/nowhere");
        let (late, early) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        assert!(catalog.list_builtin("digits", late).problem.unwrap().contains("list again"));
        assert!(catalog.list_builtin("digits", early).schema.is_some());
        assert!(catalog.list_builtin("digits", late).schema.is_some(), "what is known needs no reading");
    }

    #[test]
    fn a_listing_waits_for_no_slow_file_and_finds_what_came_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let rows = "1,0\n2,1\n".repeat(2_000_000);
        fs::write(folder.path().join("slow.csv"), format!("a,y\n{rows}")).unwrap();
        let catalog = Catalog::new(folder.path());
        let listed = |until| catalog.list_file("slow.csv", &[], until).unwrap();
        let head = listed(Instant::now() + Duration::from_millis(20));
        assert_eq!(head.problem.as_deref(), Some(NOT_YET));
        // A builtin one is shown whatever is under way.
        assert!(catalog.list_builtin("iris", Instant::now() + Duration::from_secs(60)).schema.is_some());
        assert!(
            listed(Instant::now() + Duration::from_secs(60))
                .schema
                .is_some_and(|schema| schema.rows == 4_000_000)
        );
    }

    #[test]
    fn a_head_is_read_once_and_not_when_it_is_too_late() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.csv"), "a,y\n1,0\n2,1\n").unwrap();
        let catalog = Catalog::new(folder.path());
        let head = |until, reads: &str| {
            catalog.head("a.csv", until, |reading| {
                reading.check()?;
                Ok(Head { names: vec![reads.to_owned()], source: None })
            })
        };
        let soon = Instant::now() + Duration::from_secs(60);
        assert_eq!(head(Instant::now(), "late"), None);
        assert_eq!(head(soon, "first").unwrap().unwrap().names, ["first"]);
        assert_eq!(
            head(Instant::now(), "second").unwrap().unwrap().names,
            ["first"],
            "what is known needs no reading"
        );
        fs::write(folder.path().join("a.csv"), "a,b,y\n1,0,0\n2,1,1\n").unwrap();
        assert_eq!(head(soon, "changed").unwrap().unwrap().names, ["changed"]);
    }

    #[test]
    fn labels_are_found_by_mnists_names() {
        let paths = ["images/images-idx3-ubyte", "images/labels-idx1-ubyte.gz", "t-labels.idx1-ubyte"]
            .map(str::to_owned);
        assert_eq!(
            labels_of("images/images-idx3-ubyte", &paths).as_deref(),
            Some("images/labels-idx1-ubyte.gz")
        );
        assert_eq!(labels_of("t-images.idx3-ubyte.gz", &paths).as_deref(), Some("t-labels.idx1-ubyte"));
        assert_eq!(labels_of("images/labels-idx1-ubyte.gz", &paths), None);
        assert_eq!(labels_of("other-images-idx3-ubyte", &paths), None);
    }
}

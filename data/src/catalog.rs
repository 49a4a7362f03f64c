//! Finds a dataset by its source, reads it once and shares it.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hpo::dataset::{DatasetSchema, DatasetSpec, Files, Source};
use hpo::limits;

use crate::dataset::Rows;
use crate::folder::{Folder, Stamp};
use crate::{Dataset, Error, builtin, idx, table};

/// The datasets inside the binary and those in one folder. A process has one, shared by all its threads.
///
/// All functions read files and block; an asynchronous caller gives them a thread of their own.
#[derive(Debug)]
pub struct Catalog {
    pub(crate) folder: Folder,
    /// What reading came to. A failure is remembered for the listing alone: who names the dataset has it read again.
    schemas: Mutex<HashMap<Key, Result<DatasetSchema, String>>>,
    /// The least recently used first.
    loaded: Mutex<VecDeque<(Key, Arc<Dataset>)>>,
    /// Held while a dataset is read: who asks for the same one meanwhile waits and then finds it, and memory holds one unfinished dataset at most.
    reading: Mutex<()>,
}

/// What is asked for, and the state of its files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    source: Source,
    validation: Option<Files>,
    stamps: Vec<Stamp>,
}

impl Catalog {
    /// The catalog over the datasets folder, `<data-dir>/datasets`. The folder need not exist: the built-in datasets are there all the same.
    pub fn new(folder: impl Into<PathBuf>) -> Catalog {
        let (schemas, loaded, reading) = Default::default();
        Catalog { folder: Folder::new(folder.into()), schemas, loaded, reading }
    }

    /// The schema of a study's dataset, its validation files included in the hash. Reads everything the first time, and again only after a file changed
    /// (place, modification time or size). Errors name the file, the place in it and what to do.
    pub fn schema(&self, spec: &DatasetSpec) -> Result<DatasetSchema, Error> {
        let key = self.key(spec)?;
        if let Some(schema) = self.known(&key) {
            return Ok(schema);
        }
        let _reading = lock(&self.reading);
        match self.known(&key) {
            Some(schema) => Ok(schema),
            None => Ok(self.read(&key)?.schema),
        }
    }

    /// The study's dataset, read at most once while it is in use and its files are unchanged; the last ones used stay in memory, up to
    /// `hpo::limits::DATASETS_LOADED_BYTES_MAX`. Errors as [`Catalog::schema`].
    pub fn load(&self, spec: &DatasetSpec) -> Result<Arc<Dataset>, Error> {
        let key = self.key(spec)?;
        if let Some(dataset) = self.in_memory(&key) {
            return Ok(dataset);
        }
        let _reading = lock(&self.reading);
        if let Some(dataset) = self.in_memory(&key) {
            return Ok(dataset);
        }
        let dataset = Arc::new(self.read(&key)?);
        let mut loaded = lock(&self.loaded);
        loaded.push_back((key, Arc::clone(&dataset)));
        while loaded.len() > 1 && loaded.iter().map(|(_, dataset)| dataset.bytes()).sum::<u64>() > limits::DATASETS_LOADED_BYTES_MAX {
            loaded.pop_front();
        }
        Ok(dataset)
    }

    /// The schema or why there is none, where it is known without reading.
    pub(crate) fn remembered(&self, spec: &DatasetSpec) -> Result<Option<Result<DatasetSchema, String>>, Error> {
        Ok(lock(&self.schemas).get(&self.key(spec)?).cloned())
    }

    fn known(&self, key: &Key) -> Option<DatasetSchema> {
        lock(&self.schemas).get(key).cloned()?.ok()
    }

    fn in_memory(&self, key: &Key) -> Option<Arc<Dataset>> {
        let mut loaded = lock(&self.loaded);
        let position = loaded.iter().position(|(other, _)| other == key)?;
        let entry = loaded.remove(position)?;
        let dataset = Arc::clone(&entry.1);
        loaded.push_back(entry);
        Some(dataset)
    }

    fn key(&self, spec: &DatasetSpec) -> Result<Key, Error> {
        let mut paths = match &spec.source {
            Source::Builtin(_) => vec![],
            Source::Csv { path, .. } => vec![path],
            Source::Idx(files) => vec![&files.features, &files.labels],
        };
        paths.extend(spec.validation.iter().flat_map(|files| [&files.features, &files.labels]));
        let stamps = paths.into_iter().map(|path| self.folder.stamp(path)).collect::<Result<_, _>>()?;
        Ok(Key { source: spec.source.clone(), validation: spec.validation.clone(), stamps })
    }

    /// Reads a dataset and remembers its schema.
    fn read(&self, key: &Key) -> Result<Dataset, Error> {
        let dataset = self.read_rows(key);
        let mut schemas = lock(&self.schemas);
        if schemas.len() >= limits::DATASET_SCHEMAS_MAX {
            schemas.clear();
        }
        let outcome = dataset.as_ref().map(|dataset| dataset.schema.clone()).map_err(Error::to_string);
        schemas.insert(key.clone(), outcome);
        dataset
    }

    fn read_rows(&self, key: &Key) -> Result<Dataset, Error> {
        let (rows, path) = match &key.source {
            Source::Builtin(name) => (builtin::read(name)?, name),
            Source::Csv { path, label } => (table::read(path, self.folder.open(path)?, label)?, path),
            Source::Idx(files) => (self.read_idx(files)?, &files.labels),
        };
        let validation = match &key.validation {
            Some(files) => Some((self.read_idx(files)?, files.features.as_str())),
            None => None,
        };
        rows.seal(path, validation)
    }

    fn read_idx(&self, Files { features, labels }: &Files) -> Result<Rows, Error> {
        idx::read((features, self.folder.open(features)?), (labels, self.folder.open(labels)?))
    }
}

/// A thread that panicked leaves these maps whole: each change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;
    use crate::Labels;

    fn spec(source: Source) -> DatasetSpec {
        DatasetSpec { source, validation_split: 0.2, validation: None, shuffle: true }
    }

    fn csv(path: &str) -> DatasetSpec {
        spec(Source::Csv { path: path.into(), label: "y".into() })
    }

    fn files(features: &str, labels: &str) -> Files {
        Files { features: features.into(), labels: labels.into() }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    /// A tiny MNIST: `rows` images of 2×2 and their labels, as IDX.
    fn mnist(rows: u8) -> (Vec<u8>, Vec<u8>) {
        let images = [&[0, 0, 8, 3, 0, 0, 0, rows, 0, 0, 0, 2, 0, 0, 0, 2][..], &(0..4 * rows).collect::<Vec<_>>()].concat();
        let labels = [&[0, 0, 8, 1, 0, 0, 0, rows][..], &(0..rows).map(|row| row % 3).collect::<Vec<_>>()].concat();
        (images, labels)
    }

    #[test]
    fn a_builtin_dataset_needs_no_folder() {
        let catalog = Catalog::new("/nowhere/at/all");
        let schema = catalog.schema(&spec(Source::Builtin("digits".into()))).unwrap();
        assert_eq!(
            (schema.shape, schema.dtype.as_str(), schema.rows, schema.classes, schema.scale_max),
            (vec![8, 8], "uint8", 1_797, Some(10), Some(16.0))
        );
        // Pinned in studies: a change here makes every trainer refuse the studies of before.
        assert_eq!(schema.hash, "4eca48485efb2e9f50fe575abb34406247fb46e066e45fc0ccc295ed942814e7");
        let diabetes = catalog.load(&spec(Source::Builtin("diabetes".into()))).unwrap();
        assert_eq!((diabetes.schema.classes, diabetes.schema.dtype.as_str(), diabetes.width()), (None, "float32", 10));
    }

    #[test]
    fn gzipped_or_not_idx_files_are_the_same_dataset() {
        let folder = tempfile::tempdir().unwrap();
        let (images, labels) = mnist(6);
        fs::write(folder.path().join("x"), &images).unwrap();
        fs::write(folder.path().join("y"), &labels).unwrap();
        fs::write(folder.path().join("x.gz"), gzip(&images)).unwrap();
        fs::write(folder.path().join("y.gz"), gzip(&labels)).unwrap();
        let catalog = Catalog::new(folder.path());
        let (plain, packed) = (spec(Source::Idx(files("x", "y"))), spec(Source::Idx(files("x.gz", "y.gz"))));
        let schema = catalog.schema(&plain).unwrap();
        assert_eq!((&schema.shape[..], schema.rows, schema.classes, schema.scale_max), (&[2, 2][..], 6, Some(3), Some(255.0)));
        assert_eq!(schema, catalog.schema(&packed).unwrap());
        fs::write(folder.path().join("cut.gz"), &gzip(&images)[..30]).unwrap();
        assert!(matches!(catalog.load(&spec(Source::Idx(files("cut.gz", "y.gz")))), Err(Error::Io { .. })));
    }

    #[test]
    fn validation_files_follow_the_training_rows() {
        let folder = tempfile::tempdir().unwrap();
        for (name, rows) in [("train", 6), ("test", 4)] {
            let (images, labels) = mnist(rows);
            fs::write(folder.path().join(format!("{name}-x")), images).unwrap();
            fs::write(folder.path().join(format!("{name}-y")), labels).unwrap();
        }
        let catalog = Catalog::new(folder.path());
        let train = DatasetSpec { validation_split: 0.0, ..spec(Source::Idx(files("train-x", "train-y"))) };
        let both = DatasetSpec { validation: Some(files("test-x", "test-y")), ..train.clone() };
        let dataset = catalog.load(&both).unwrap();
        assert_eq!(dataset.labels, Labels::Classes(vec![0, 1, 2, 0, 1, 2, 0, 1, 2, 0]));
        assert_eq!((dataset.schema.rows, catalog.schema(&both).unwrap()), (6, dataset.schema.clone()));
        assert_ne!(dataset.schema.hash, catalog.schema(&train).unwrap().hash);
    }

    #[test]
    fn all_slots_share_one_copy_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        fs::write(&file, "x,y\n1,0\n2,1\n").unwrap();
        let catalog = Catalog::new(folder.path());
        let load = || catalog.load(&csv("a.csv")).unwrap();
        let copies: Vec<Arc<Dataset>> = std::thread::scope(|scope| {
            let slots: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
            slots.into_iter().map(|slot| slot.join().unwrap()).collect()
        });
        assert!(copies.iter().all(|copy| Arc::ptr_eq(copy, &copies[0])));
        assert_eq!(catalog.remembered(&csv("a.csv")).unwrap(), Some(Ok(copies[0].schema.clone())));
        fs::write(&file, "x,y\n1,0\n2,1\n3,1\n").unwrap();
        assert_eq!(catalog.remembered(&csv("a.csv")).unwrap(), None);
        let changed = catalog.load(&csv("a.csv")).unwrap();
        assert_eq!(changed.schema.rows, 3);
        assert_ne!(changed.schema.hash, copies[0].schema.hash);
    }

    #[test]
    fn a_schema_is_not_read_twice() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        fs::write(&file, "x,y\n1,0\n2,1\n").unwrap();
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        let catalog = Catalog::new(folder.path());
        let first = catalog.schema(&csv("a.csv")).unwrap();
        // Same size and time, other content: only a second read could tell.
        fs::write(&file, "x,y\n1,0\n9,1\n").unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
        assert_eq!(catalog.schema(&csv("a.csv")).unwrap(), first);
    }

    #[test]
    fn a_file_that_is_gone_is_missed_even_if_its_schema_is_known() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.csv"), "x,y\n1,0\n2,1\n").unwrap();
        let catalog = Catalog::new(folder.path());
        catalog.schema(&csv("a.csv")).unwrap();
        fs::remove_file(folder.path().join("a.csv")).unwrap();
        assert!(matches!(catalog.schema(&csv("a.csv")), Err(Error::Missing { .. })));
        assert!(matches!(catalog.load(&csv("../a.csv")), Err(Error::Path { .. })));
        assert!(matches!(catalog.load(&spec(Source::Builtin("x".into()))), Err(Error::Builtin { .. })));
    }
}

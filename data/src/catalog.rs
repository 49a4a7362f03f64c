//! Finds a dataset by its source, reads it once and shares it.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use hpo::dataset::{DatasetSchema, DatasetSpec, Files, Source, WorstId};
use hpo::limits;

use crate::array::{self, Array, At};
use crate::dataset::Rows;
use crate::folder::{Folder, Stamp};
use crate::images::{self, Images};
use crate::npz::Npz;
use crate::room::{Room, free_memory};
use crate::table::Wanted;
use crate::tensors::Tensors;
use crate::{Dataset, Error, builtin, csv_table, ids, idx, parquet_table, split};

/// The datasets inside the binary and those in one folder. A process has one, shared by all its threads.
///
/// All functions read files and block; an asynchronous caller gives them a thread of their own.
#[derive(Debug)]
pub struct Catalog {
    pub(crate) folder: Folder,
    /// What reading came to. A failure is remembered for the listing alone: who names the dataset has it read again.
    schemas: Mutex<HashMap<(Key, HeldOut), Result<Described, String>>>,
    /// The least recently used first.
    loaded: Mutex<Loaded>,
    /// Held while a dataset is read: who asks for the same one meanwhile waits and then finds it, and memory holds one unfinished dataset at most.
    pub(crate) reading: Mutex<()>,
    /// How many bytes of memory are free.
    free_memory: fn() -> u64,
}

/// Datasets in memory.
type Loaded = VecDeque<(Key, Arc<Dataset>)>;

/// What reading a dataset says of it.
#[derive(Debug, Clone)]
pub struct Described {
    /// What a study pins.
    pub schema: DatasetSchema,
    /// What its features are to an Embedding.
    pub worst_id: WorstId,
}

/// What is asked for, and the state of its files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    source: Source,
    validation: Option<Files>,
    sample_weight: Option<String>,
    one_hot: Vec<String>,
    stamps: Vec<Stamp>,
}

/// How rows are split, as far as it says whether they can be: the bits of the fraction, the folds, and whether rows are shuffled.
type HeldOut = (u64, Option<u32>, bool);

fn held_out(spec: &DatasetSpec) -> HeldOut {
    (spec.validation_split.to_bits(), spec.folds, spec.shuffle)
}

impl Catalog {
    /// The catalog over the datasets folder, `<data-dir>/datasets`. The folder need not exist: the built-in datasets are there all the same.
    pub fn new(folder: impl Into<PathBuf>) -> Catalog {
        let (schemas, loaded, reading) = Default::default();
        Catalog { folder: Folder::new(folder.into()), schemas, loaded, reading, free_memory }
    }

    /// As [`Catalog::new`], on a machine with so much free memory.
    #[cfg(test)]
    pub(crate) fn with_memory(folder: impl Into<PathBuf>, free_memory: fn() -> u64) -> Catalog {
        Catalog { free_memory, ..Catalog::new(folder) }
    }

    /// The schema of a study's dataset, its validation rows included in the hash, once it is sure that it can be split as the study asks. Reads everything
    /// the first time, and again only after a file changed (place, modification time or size). Errors name the file, the place in it and what to do.
    pub fn schema(&self, spec: &DatasetSpec) -> Result<DatasetSchema, Error> {
        self.described(spec).map(|described| described.schema)
    }

    /// [`Catalog::schema`], and what the features are to an Embedding.
    pub fn described(&self, spec: &DatasetSpec) -> Result<Described, Error> {
        let key = (self.key(spec)?, held_out(spec));
        if let Some(described) = self.known(&key) {
            return Ok(described);
        }
        let _reading = lock(&self.reading);
        match self.known(&key) {
            Some(described) => Ok(described),
            None => Ok(self.read(spec, key)?.1),
        }
    }

    /// The study's dataset, read at most once while it is in use and its files are unchanged; beside those in use the last ones stay in memory, up to
    /// `hpo::limits::DATASETS_LOADED_BYTES_MAX` in all. Errors as [`Catalog::schema`].
    pub fn load(&self, spec: &DatasetSpec) -> Result<Arc<Dataset>, Error> {
        let key = self.key(spec)?;
        if let Some(dataset) = self.in_memory(&key) {
            return Ok(dataset);
        }
        let _reading = lock(&self.reading);
        if let Some(dataset) = self.in_memory(&key) {
            return Ok(dataset);
        }
        let (dataset, _) = self.read(spec, (key.clone(), held_out(spec)))?;
        let mut loaded = lock(&self.loaded);
        loaded.push_back((key, Arc::clone(&dataset)));
        shrink(&mut loaded, limits::DATASETS_LOADED_BYTES_MAX);
        Ok(dataset)
    }

    /// A number that is another once a file of the dataset has changed (place, modification time or size), has come or has gone. Nothing is read, and there
    /// are no errors: what is wrong with the files is a state of them, too.
    pub fn state(&self, spec: &DatasetSpec) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.key(spec).map_err(|error| error.to_string()).hash(&mut hasher);
        hasher.finish()
    }

    /// The bytes of the datasets that it holds in memory.
    pub fn loaded_bytes(&self) -> u64 {
        bytes(&lock(&self.loaded))
    }

    /// Drops the datasets that nobody uses; whether there were any.
    pub fn forget_idle(&self) -> bool {
        let mut loaded = lock(&self.loaded);
        let before = loaded.len();
        loaded.retain(|(_, dataset)| Arc::strong_count(dataset) > 1);
        loaded.len() < before
    }

    /// The schema or why there is none, as it is remembered; what is not known is read, if it is not too late for it.
    pub(crate) fn outcome(&self, spec: &DatasetSpec, until: Instant) -> Result<Option<Result<DatasetSchema, String>>, Error> {
        let key = (self.key(spec)?, held_out(spec));
        let schema = |outcome: Result<Described, String>| outcome.map(|described| described.schema);
        let remembered = || lock(&self.schemas).get(&key).cloned().map(schema);
        if let Some(outcome) = remembered() {
            return Ok(Some(outcome));
        }
        // Another dataset is being read, which may take minutes: the next listing finds what comes of it.
        let _reading = match self.reading.try_lock() {
            Ok(reading) => reading,
            Err(TryLockError::Poisoned(reading)) => reading.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        match remembered() {
            None if Instant::now() < until => {
                Ok(Some(self.read(spec, key).map(|(_, described)| described.schema).map_err(|error| error.to_string())))
            }
            outcome => Ok(outcome),
        }
    }

    fn known(&self, key: &(Key, HeldOut)) -> Option<Described> {
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
            Source::Builtin(_) | Source::Images(_) => vec![],
            Source::Csv { path, .. } | Source::Parquet { path, .. } => vec![path],
            Source::Npz { path, .. } | Source::Safetensors { path, .. } => vec![path],
            Source::Idx(files) => vec![&files.features, &files.labels],
        };
        if !spec.source.holds_arrays() {
            paths.extend(spec.validation.iter().flat_map(|files| [&files.features, &files.labels]));
        }
        let mut stamps = paths.into_iter().map(|path| self.folder.stamp(path)).collect::<Result<Vec<_>, _>>()?;
        if let Source::Images(path) = &spec.source {
            stamps.push(self.folder.stamp_all(path, images::find(&self.folder, path)?.paths())?);
        }
        let DatasetSpec { source, validation, sample_weight, one_hot, .. } = spec.clone();
        Ok(Key { source, validation, sample_weight, one_hot, stamps })
    }

    /// The dataset, in memory or read, and its description, which is remembered if it can be split.
    fn read(&self, spec: &DatasetSpec, key: (Key, HeldOut)) -> Result<(Arc<Dataset>, Described), Error> {
        let dataset = match self.in_memory(&key.0) {
            Some(dataset) => Ok(dataset),
            None => match self.read_rows(spec) {
                Err(Error::Memory { .. }) if self.forget_idle() => self.read_rows(spec),
                read => read,
            }
            .map(Arc::new),
        };
        let dataset = dataset.and_then(|dataset| split::check(&dataset, spec).map(|()| dataset));
        let read = dataset.map(|dataset| {
            let described = Described { schema: dataset.schema.clone(), worst_id: ids::worst(&dataset, spec) };
            (dataset, described)
        });
        let mut schemas = lock(&self.schemas);
        if schemas.len() >= limits::DATASET_SCHEMAS_MAX {
            schemas.clear();
        }
        let outcome = read.as_ref().map(|(_, described)| described.clone()).map_err(Error::to_string);
        schemas.insert(key, outcome);
        read
    }

    fn read_rows(&self, spec: &DatasetSpec) -> Result<Dataset, Error> {
        let mut room = Room::in_memory((self.free_memory)());
        let bytes_max = room.left();
        let wanted = |label| Wanted { label, weight: spec.sample_weight.as_deref(), one_hot: &spec.one_hot, bytes_max };
        let open = |path| self.folder.file(path, limits::DATASET_BYTES_MAX);
        let (rows, path) = match &spec.source {
            Source::Builtin(name) => (builtin::read(name)?, name),
            Source::Csv { path, label } => (csv_table::read(path, self.folder.open(path)?, wanted(label))?, path),
            Source::Parquet { path, label } => (parquet_table::read(path, open(path)?, wanted(label))?, path),
            Source::Npz { path, arrays } => {
                let mut npz = Npz::open(path, open(path)?, room)?;
                npz.check_size(array_names(spec, arrays))?;
                return read_arrays(spec, path, arrays, |name| npz.array(name));
            }
            Source::Safetensors { path, arrays } => {
                let mut tensors = Tensors::open(path, open(path)?, room)?;
                return read_arrays(spec, path, arrays, |name| tensors.array(name));
            }
            Source::Images(path) => (images::find(&self.folder, path).and_then(|images: Images| images.read(&self.folder, &room))?, path),
            Source::Idx(files) => (self.read_idx(files, &mut room)?, &files.labels),
        };
        room = Room::of(bytes_max);
        if !room.take(rows.bytes().into()) {
            return Err(room.exceeded(path, "the size in bytes of all its parts".into()));
        }
        let validation = match &spec.validation {
            Some(files) => Some((self.read_idx(files, &mut room)?, files.features.as_str())),
            None => None,
        };
        rows.seal(path, validation)
    }

    fn read_idx(&self, Files { features, labels }: &Files, room: &mut Room) -> Result<Rows, Error> {
        idx::read((features, self.folder.open(features)?), (labels, self.folder.open(labels)?), room)
    }
}

fn bytes(loaded: &Loaded) -> u64 {
    loaded.iter().map(|(_, dataset)| dataset.bytes()).sum()
}

/// Drops datasets that nobody uses, the least recently used first, down to `max` bytes. Of those in use a copy more would be read.
fn shrink(loaded: &mut Loaded, max: u64) {
    while bytes(loaded) > max
        && let Some(idle) = loaded.iter().position(|(_, dataset)| Arc::strong_count(dataset) == 1)
    {
        loaded.remove(idle);
    }
}

/// The arrays of one file, each as often as a study reads it.
fn array_names<'s>(spec: &'s DatasetSpec, arrays: &'s Files) -> impl Iterator<Item = &'s str> {
    let pairs = std::iter::once(arrays).chain(&spec.validation);
    pairs.flat_map(|pair| [&pair.features, &pair.labels]).chain(&spec.sample_weight).map(String::as_str)
}

/// The dataset of one file's arrays, which `array` reads by name.
fn read_arrays<'s>(
    spec: &'s DatasetSpec,
    path: &'s str,
    arrays: &'s Files,
    mut array: impl FnMut(&'s str) -> Result<Array<'s>, Error>,
) -> Result<Dataset, Error> {
    let mut rows = array::rows(array(&arrays.features)?, array(&arrays.labels)?)?;
    if let Some(weight) = &spec.sample_weight {
        rows.weights = Some(array::weights(array(weight)?, &rows, At { path, array: Some(&arrays.features) })?);
    }
    let validation = match &spec.validation {
        Some(arrays) => Some((array::rows(array(&arrays.features)?, array(&arrays.labels)?)?, path)),
        None => None,
    };
    rows.seal(path, validation)
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
        DatasetSpec::new(source)
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
    fn of_datasets_in_memory_those_that_nobody_uses_go_first() {
        let catalog = Catalog::new("/nowhere");
        let load = |name: &str| catalog.load(&spec(Source::Builtin(name.into()))).unwrap();
        let used = load("iris");
        drop(load("digits"));
        let mut loaded = lock(&catalog.loaded);
        let all = bytes(&loaded);
        shrink(&mut loaded, all);
        assert_eq!(loaded.len(), 2);
        shrink(&mut loaded, used.bytes() - 1);
        assert!(loaded.len() == 1 && Arc::ptr_eq(&loaded[0].1, &used), "what is in use stays, however much it is");
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
        let train = spec(Source::Idx(files("train-x", "train-y")));
        let both = DatasetSpec { validation: Some(files("test-x", "test-y")), ..train.clone() };
        let dataset = catalog.load(&both).unwrap();
        assert_eq!(dataset.labels, Labels::Classes(vec![0, 1, 2, 0, 1, 2, 0, 1, 2, 0]));
        assert_eq!((dataset.schema.rows, catalog.schema(&both).unwrap()), (6, dataset.schema.clone()));
        assert_ne!(dataset.schema.hash, catalog.schema(&train).unwrap().hash);
    }

    #[test]
    fn validation_files_may_take_what_the_training_rows_leave() {
        let folder = tempfile::tempdir().unwrap();
        let (images, labels) = mnist(6);
        fs::write(folder.path().join("x"), images).unwrap();
        fs::write(folder.path().join("y"), labels).unwrap();
        // 1,024 rows of 2^20 bytes, as its header says: all that a dataset may take.
        fs::write(folder.path().join("vx"), [0, 0, 8, 2, 0, 0, 4, 0, 0, 0x10, 0, 0]).unwrap();
        let validation = Some(files("vx", "y"));
        let spec = DatasetSpec { validation, ..spec(Source::Idx(files("x", "y"))) };
        let message = Catalog::new(folder.path()).schema(&spec).unwrap_err().to_string();
        assert_eq!(message, "vx: the size in bytes of [1024, 1048576] and of the arrays before it, exceeds the bound of 1073741824");
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
        assert_eq!(catalog.outcome(&csv("a.csv"), Instant::now()).unwrap(), Some(Ok(copies[0].schema.clone())));
        fs::write(&file, "x,y\n1,0\n2,1\n3,1\n").unwrap();
        assert_eq!(catalog.outcome(&csv("a.csv"), Instant::now()).unwrap(), None);
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

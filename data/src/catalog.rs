//! Finds a dataset by its source, reads it once and shares it.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::limits;
use hpo::dataset::{DatasetSchema, DatasetSpec, Files, Findings, Source};

use crate::array::{self, Array, At};
use crate::bits::Bits;
use crate::dataset::Rows;
use crate::folder::{Folder, Stamp};
use crate::images::{self, Images};
use crate::listing::Head;
use crate::npz::Npz;
use crate::reading::{Asker, Reading, Readings};
use crate::room::{Memory, Room, free_memory};
use crate::table::Wanted;
use crate::tensors::Tensors;
use crate::{Dataset, Error, builtin, csv_table, ids, idx, parquet_table, split};

/// The datasets inside the binary and those in one folder. A process has one, shared by all its
/// threads; a clone is the same.
///
/// All functions read files and block; an asynchronous caller gives them a thread of their own.
#[derive(Debug, Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
    /// Those under way.
    readings: Arc<Readings<Key, Arc<Dataset>>>,
}

/// The state that threads share.
#[derive(Debug)]
struct Inner {
    folder: Folder,
    /// What reading came to. A failure is remembered for the listing alone: who names the dataset
    /// has it read again.
    schemas: Mutex<HashMap<(Key, HeldOut), Result<Described, String>>>,
    /// The heads of files, as the listing read them.
    heads: Mutex<HashMap<(String, Stamp), Result<Head, String>>>,
    /// The least recently used first.
    loaded: Mutex<Loaded>,
}

/// Datasets in memory.
type Loaded = VecDeque<(Key, Arc<Dataset>)>;

/// What reading a dataset says of it.
#[derive(Debug, Clone)]
pub struct Described {
    /// What a study pins.
    pub schema: DatasetSchema,
    /// Everything else that the pre-flight asks.
    pub findings: Findings,
}

/// What is asked for, and the state of its files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    source: Source,
    validation: Option<Files>,
    sample_weight: Option<String>,
    one_hot: Vec<String>,
    positive_class: Option<String>,
    stamps: Vec<Stamp>,
}

/// How rows are split, as far as it says whether they can be: the bits of the fraction, the folds,
/// and whether rows are shuffled.
type HeldOut = (u64, Option<u32>, bool);

fn held_out(spec: &DatasetSpec) -> HeldOut {
    (spec.validation_split.to_bits(), spec.folds, spec.shuffle)
}

impl Catalog {
    /// The catalog over the datasets folder, `<data-dir>/datasets`. The folder need not exist: the
    /// built-in datasets are there all the same.
    pub fn new(folder: impl Into<PathBuf>) -> Catalog {
        Catalog::with_memory(folder, free_memory)
    }

    /// As [`Catalog::new`], on a machine with so much free memory.
    pub(crate) fn with_memory(folder: impl Into<PathBuf>, free_memory: fn() -> u64) -> Catalog {
        let (schemas, heads, loaded) = Default::default();
        let inner = Inner { folder: Folder::new(folder.into()), schemas, heads, loaded };
        Catalog { inner: Arc::new(inner), readings: Readings::new(free_memory) }
    }

    /// The schema of a study's dataset, its validation rows included in the hash, and what else it
    /// says, once it is sure that it can be split as the study asks. Reads everything the first
    /// time, and again only after a file changed (place, modification time or size); a few datasets
    /// at a time, each once for all who ask meanwhile, and no longer than the last of them waits.
    /// Errors name the file, the place in it and what to do.
    pub fn described(&self, spec: &DatasetSpec, asker: Asker) -> Result<Described, Error> {
        let key = (self.inner.key(spec)?, held_out(spec));
        if let Some(described) = self.inner.known(&key) {
            return Ok(described);
        }
        let read = self.read(spec, &key, asker);
        self.inner.describe(&read, spec, key)
    }

    /// The schema of a study's dataset: [`Catalog::described`] for one who waits as long as a
    /// client would.
    pub fn schema(&self, spec: &DatasetSpec) -> Result<DatasetSchema, Error> {
        self.described(spec, Asker::patient(limits::DATASET_POST_SECONDS_MAX))
            .map(|described| described.schema)
    }

    /// The study's dataset, read at most once while it is in use and its files are unchanged;
    /// beside those in use the last ones stay in memory, up to
    /// `crate::limits::DATASETS_LOADED_BYTES_MAX` in all. Waits and fails as [`Catalog::described`].
    pub fn load(&self, spec: &DatasetSpec, asker: Asker) -> Result<Arc<Dataset>, Error> {
        let key = (self.inner.key(spec)?, held_out(spec));
        if let Some(dataset) = self.inner.in_memory(&key.0) {
            return Ok(dataset);
        }
        let read = self.read(spec, &key, asker);
        self.inner.describe(&read, spec, key.clone())?;
        Ok(self.inner.keep(key.0, read?))
    }

    /// A number that is another once a file of the dataset has changed (place, modification time or
    /// size), has come or has gone. Nothing is read, and there are no errors: what is wrong with
    /// the files is a state of them, too.
    pub fn state(&self, spec: &DatasetSpec) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.inner.key(spec).map_err(|error| error.to_string()).hash(&mut hasher);
        hasher.finish()
    }

    /// The bytes of the datasets that it holds in memory.
    pub fn loaded_bytes(&self) -> u64 {
        bytes(&lock(&self.inner.loaded))
    }

    /// Drops the datasets that nobody uses; whether there were any.
    pub fn forget_idle(&self) -> bool {
        self.inner.forget_idle() > 0
    }

    /// [`Catalog::load`] for one who waits.
    #[cfg(test)]
    pub(crate) fn loaded(&self, spec: &DatasetSpec) -> Result<Arc<Dataset>, Error> {
        self.load(spec, Asker::patient(60))
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.inner.folder
    }

    /// The schema or why there is none, as it is remembered; what is not known is read, and told if
    /// that has ended by `until`. It goes on after that.
    pub(crate) fn outcome(
        &self,
        spec: &DatasetSpec,
        until: Instant,
    ) -> Result<Option<Result<DatasetSchema, String>>, Error> {
        // Looking after all images of a folder is a matter of seconds where there are many.
        if matches!(spec.source, Source::Images(_)) && Instant::now() >= until {
            return Ok(None);
        }
        let key = (self.inner.key(spec)?, held_out(spec));
        if let Some(outcome) = self.inner.remembered(&key) {
            return Ok(Some(outcome));
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        let read = if needs_no_file(&key.0) {
            Some(self.inner.read_brief(spec))
        } else {
            self.readings.ask_in_background(&key.0, path(&spec.source), until, self.reader(spec, &key))
        };
        let Some(read) = read else { return Ok(None) };
        let described = self.inner.describe(&read, spec, key);
        Ok(Some(described.map(|described| described.schema).map_err(|error| error.to_string())))
    }

    /// The head of the file at `path`, as it is remembered, else as `read` finds it; none if that
    /// took until `until`.
    pub(crate) fn head(
        &self,
        path: &str,
        until: Instant,
        read: impl FnOnce(&Reading) -> Result<Head, Error>,
    ) -> Option<Result<Head, String>> {
        let key = match self.inner.folder.stamp(path) {
            Ok(stamp) => (path.to_owned(), stamp),
            Err(error) => return Some(Err(error.to_string())),
        };
        if let Some(known) = lock(&self.inner.heads).get(&key) {
            return Some(known.clone());
        }
        let head = read(&Reading::until(path, until));
        if matches!(head, Err(Error::Slow { .. })) {
            return None;
        }
        let head = head.map_err(|error| error.to_string());
        remember(&self.inner.heads, key, head.clone());
        Some(head)
    }

    /// The dataset, in memory or read.
    fn read(&self, spec: &DatasetSpec, key: &(Key, HeldOut), asker: Asker) -> Result<Arc<Dataset>, Error> {
        if let Some(dataset) = self.inner.in_memory(&key.0) {
            return Ok(dataset);
        }
        if needs_no_file(&key.0) {
            return self.inner.read_brief(spec);
        }
        self.readings.ask(&key.0, path(&spec.source), asker, self.reader(spec, key))
    }

    /// Reads and describes the dataset on a thread of its own, which may outlive who asks.
    fn reader(
        &self,
        spec: &DatasetSpec,
        key: &(Key, HeldOut),
    ) -> impl FnOnce(&Reading) -> Result<Arc<Dataset>, Error> + Send + use<> {
        let (Catalog { inner, readings }, spec, key) = (self.clone(), spec.clone(), key.clone());
        move |reading| {
            let mut read = inner.read_rows(&spec, reading);
            if matches!(read, Err(Error::Memory { .. })) {
                let freed = inner.forget_idle();
                if freed > 0 {
                    reading.room.hold(0);
                    readings.freed(freed);
                    read = inner.read_rows(&spec, reading);
                }
            }
            let read = read.map(Arc::new);
            let _ = inner.describe(&read, &spec, key);
            read
        }
    }
}

impl Inner {
    fn known(&self, key: &(Key, HeldOut)) -> Option<Described> {
        lock(&self.schemas).get(key).cloned()?.ok()
    }

    fn remembered(&self, key: &(Key, HeldOut)) -> Option<Result<DatasetSchema, String>> {
        lock(&self.schemas).get(key).cloned().map(|outcome| outcome.map(|described| described.schema))
    }

    fn in_memory(&self, key: &Key) -> Option<Arc<Dataset>> {
        let mut loaded = lock(&self.loaded);
        let position = loaded.iter().position(|(other, _)| other == key)?;
        let entry = loaded.remove(position)?;
        let dataset = Arc::clone(&entry.1);
        loaded.push_back(entry);
        Some(dataset)
    }

    /// Keeps a dataset in memory and hands it out; the one that is there already, if there is.
    fn keep(&self, key: Key, dataset: Arc<Dataset>) -> Arc<Dataset> {
        let mut loaded = lock(&self.loaded);
        if let Some((_, there)) = loaded.iter().find(|(other, _)| *other == key) {
            return Arc::clone(there);
        }
        loaded.push_back((key, Arc::clone(&dataset)));
        shrink(&mut loaded, limits::DATASETS_LOADED_BYTES_MAX);
        dataset
    }

    /// Drops the datasets that nobody uses; how many bytes they had.
    fn forget_idle(&self) -> u64 {
        let mut loaded = lock(&self.loaded);
        let before = bytes(&loaded);
        loaded.retain(|(_, dataset)| Arc::strong_count(dataset) > 1);
        before - bytes(&loaded)
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
        let mut stamps =
            paths.into_iter().map(|path| self.folder.stamp(path)).collect::<Result<Vec<_>, _>>()?;
        if let Source::Images(path) = &spec.source {
            stamps.push(self.folder.stamp_all(path, images::find(&self.folder, path)?.paths())?);
        }
        let DatasetSpec { source, validation, sample_weight, one_hot, positive_class, .. } = spec.clone();
        Ok(Key { source, validation, sample_weight, one_hot, positive_class, stamps })
    }

    /// The description of a dataset that was read, if it can be split as the study asks.
    /// Remembered, unless the reading was given up.
    fn describe(
        &self,
        read: &Result<Arc<Dataset>, Error>,
        spec: &DatasetSpec,
        key: (Key, HeldOut),
    ) -> Result<Described, Error> {
        if let (Ok(_), Some(described)) = (read, self.known(&key)) {
            return Ok(described); // by the thread that read it
        }
        let described = read.clone().and_then(|dataset| {
            split::check(&dataset, spec)?;
            let findings = Findings {
                worst_id: ids::worst(&dataset, spec),
                class_names: Arc::clone(&dataset.class_names),
                collapse: dataset.collapse.clone(),
                labels_are_equal: dataset.labels.are_equal(),
            };
            Ok(Described { schema: dataset.schema.clone(), findings })
        });
        if !matches!(described, Err(Error::Busy { .. } | Error::Unwanted { .. })) {
            remember(&self.schemas, key, described.clone().map_err(|error| error.to_string()));
        }
        described
    }

    /// A dataset that is inside the binary: it is read in a moment, whatever else is read.
    fn read_brief(&self, spec: &DatasetSpec) -> Result<Arc<Dataset>, Error> {
        let memory = Memory::default();
        memory.measure(u64::MAX, false);
        self.read_rows(spec, &Reading::brief(path(&spec.source), Room::in_memory(&memory))).map(Arc::new)
    }

    fn read_rows(&self, spec: &DatasetSpec, reading: &Reading) -> Result<Dataset, Error> {
        let wanted = |label, bits| Wanted {
            label,
            weight: spec.sample_weight.as_deref(),
            one_hot: &spec.one_hot,
            bits,
        };
        let open = |path| self.folder.file(path, limits::DATASET_BYTES_MAX);
        let (rows, path) = match &spec.source {
            Source::Builtin(name) => (builtin::read(name, reading)?, name),
            Source::Csv { path, label } => (
                in_bits_needed(|bits| {
                    csv_table::read(path, self.folder.open(path)?, wanted(label, bits), reading)
                })?,
                path,
            ),
            Source::Parquet { path, label } => (
                in_bits_needed(|bits| parquet_table::read(path, open(path)?, wanted(label, bits), reading))?,
                path,
            ),
            Source::Npz { path, arrays } => {
                let mut npz = Npz::open(path, open(path)?)?;
                npz.check_size(array_names(spec, arrays), reading)?;
                return read_arrays(spec, path, arrays, |name, bits| npz.array(name, bits, reading));
            }
            Source::Safetensors { path, arrays } => {
                let mut tensors = Tensors::open(path, open(path)?, reading)?;
                return read_arrays(spec, path, arrays, |name, bits| tensors.array(name, bits, reading));
            }
            Source::Images(path) => (
                images::find(&self.folder, path)
                    .and_then(|images: Images| images.read(&self.folder, reading))?,
                path,
            ),
            Source::Idx(files) => (self.read_idx(files, Bits::AsNeeded, reading)?, &files.labels),
        };
        if !reading.room.hold(rows.bytes().into()) {
            return Err(reading.room.exceeded(path, "the size in bytes of all its parts".into()));
        }
        let validation = match &spec.validation {
            Some(files) => Some((self.read_idx(files, rows.bits(), reading)?, files.features.as_str())),
            None => None,
        };
        reading.check()?;
        rows.seal(path, validation, spec.positive_class.as_deref())
    }

    fn read_idx(
        &self,
        Files { features, labels }: &Files,
        bits: Bits,
        reading: &Reading,
    ) -> Result<Rows, Error> {
        idx::read((features, self.folder.open(features)?), bits, (labels, self.folder.open(labels)?), reading)
    }
}

/// Whether it is all inside the binary.
fn needs_no_file(key: &Key) -> bool {
    key.stamps.is_empty()
}

/// The file that names a source in errors which are of the whole.
fn path(source: &Source) -> &str {
    match source {
        Source::Builtin(name) => name,
        Source::Csv { path, .. }
        | Source::Parquet { path, .. }
        | Source::Npz { path, .. }
        | Source::Safetensors { path, .. } => path,
        Source::Images(path) => path,
        Source::Idx(files) => &files.features,
    }
}

/// The rows of a table. That some of its columns need 64 bits is known when all of it was read, so
/// then it is read again.
fn in_bits_needed(read: impl Fn(Bits) -> Result<Rows, Error>) -> Result<Rows, Error> {
    let rows = read(Bits::AsNeeded)?;
    if !rows.needs_64 {
        return Ok(rows);
    }
    drop(rows);
    read(Bits::Wide)
}

/// Remembers `value`; where there are too many, forgets all others.
fn remember<K: Eq + std::hash::Hash, V>(map: &Mutex<HashMap<K, V>>, key: K, value: V) {
    let mut map = lock(map);
    if map.len() >= limits::DATASET_SCHEMAS_MAX {
        map.clear();
    }
    map.insert(key, value);
}

fn bytes(loaded: &Loaded) -> u64 {
    loaded.iter().map(|(_, dataset)| dataset.bytes()).sum()
}

/// Drops datasets that nobody uses, the least recently used first, down to `max` bytes. Of those in
/// use a copy more would be read.
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

/// The dataset of one file's arrays, which `array` reads by name. Rows that validate are kept in as
/// many bits as those that train, by whose statistics they are scaled.
fn read_arrays<'s>(
    spec: &'s DatasetSpec,
    path: &'s str,
    arrays: &'s Files,
    mut array: impl FnMut(&'s str, Bits) -> Result<Array<'s>, Error>,
) -> Result<Dataset, Error> {
    let mut rows =
        array::rows(array(&arrays.features, Bits::AsNeeded)?, array(&arrays.labels, Bits::Narrow)?)?;
    if let Some(weight) = &spec.sample_weight {
        rows.weights = Some(array::weights(
            array(weight, Bits::Narrow)?,
            &rows,
            At { path, array: Some(&arrays.features) },
        )?);
    }
    let validation = match &spec.validation {
        Some(arrays) => Some((
            array::rows(array(&arrays.features, rows.bits())?, array(&arrays.labels, Bits::Narrow)?)?,
            path,
        )),
        None => None,
    };
    rows.seal(path, validation, spec.positive_class.as_deref())
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
        let images =
            [&[0, 0, 8, 3, 0, 0, 0, rows, 0, 0, 0, 2, 0, 0, 0, 2][..], &(0..4 * rows).collect::<Vec<_>>()]
                .concat();
        let labels =
            [&[0, 0, 8, 1, 0, 0, 0, rows][..], &(0..rows).map(|row| row % 3).collect::<Vec<_>>()].concat();
        (images, labels)
    }

    #[test]
    fn of_datasets_in_memory_those_that_nobody_uses_go_first() {
        let catalog = Catalog::new("/nowhere");
        let load = |name: &str| catalog.loaded(&spec(Source::Builtin(name.into()))).unwrap();
        let used = load("iris");
        drop(load("digits"));
        let mut loaded = lock(&catalog.inner.loaded);
        let all = bytes(&loaded);
        shrink(&mut loaded, all);
        assert_eq!(loaded.len(), 2);
        shrink(&mut loaded, used.bytes() - 1);
        assert!(
            loaded.len() == 1 && Arc::ptr_eq(&loaded[0].1, &used),
            "what is in use stays, however much it is"
        );
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
        let diabetes = catalog.loaded(&spec(Source::Builtin("diabetes".into()))).unwrap();
        assert_eq!(
            (diabetes.schema.classes, diabetes.schema.dtype.as_str(), diabetes.width()),
            (None, "float32", 10)
        );
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
        assert_eq!(
            (&schema.shape[..], schema.rows, schema.classes, schema.scale_max),
            (&[2, 2][..], 6, Some(3), Some(255.0))
        );
        assert_eq!(schema, catalog.schema(&packed).unwrap());
        fs::write(folder.path().join("cut.gz"), &gzip(&images)[..30]).unwrap();
        assert!(matches!(catalog.loaded(&spec(Source::Idx(files("cut.gz", "y.gz")))), Err(Error::Io { .. })));
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
        let dataset = catalog.loaded(&both).unwrap();
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
        assert_eq!(
            message,
            "vx: the size in bytes of [1024, 1048576] and of the arrays before it, exceeds the bound of 1073741824"
        );
    }

    #[test]
    fn all_slots_share_one_copy_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        fs::write(&file, "x,y\n1,0\n2,1\n").unwrap();
        let catalog = Catalog::new(folder.path());
        let load = || catalog.loaded(&csv("a.csv")).unwrap();
        let copies: Vec<Arc<Dataset>> = std::thread::scope(|scope| {
            let slots: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
            slots.into_iter().map(|slot| slot.join().unwrap()).collect()
        });
        assert!(copies.iter().all(|copy| Arc::ptr_eq(copy, &copies[0])));
        assert_eq!(
            catalog.outcome(&csv("a.csv"), Instant::now()).unwrap(),
            Some(Ok(copies[0].schema.clone()))
        );
        fs::write(&file, "x,y\n1,0\n2,1\n3,1\n").unwrap();
        assert_eq!(catalog.outcome(&csv("a.csv"), Instant::now()).unwrap(), None);
        let changed = catalog.loaded(&csv("a.csv")).unwrap();
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
        assert!(matches!(catalog.loaded(&csv("../a.csv")), Err(Error::Path { .. })));
        assert!(matches!(catalog.loaded(&spec(Source::Builtin("x".into()))), Err(Error::Builtin { .. })));
    }
}

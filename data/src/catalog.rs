//! Finds a dataset by its source, reads it once and shares it.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hpo::dataset::{DatasetSchema, DatasetSpec, Files, Findings, Source};

use crate::folder::{Folder, Stamp};
use crate::limits;
use crate::listing::Head;
use crate::reading::{Caller, Reading, Readings};
use crate::room::{Memory, Room, free_memory};
use crate::{Dataset, Error, ids, source, split};

/// The datasets inside the binary and those in one folder. A process has one catalog, shared by all
/// its threads; clones share the same state.
///
/// All functions read files and block; asynchronous callers run them on a thread of their own.
#[derive(Debug, Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
    /// The readings under way.
    readings: Arc<Readings<Key, Arc<Dataset>>>,
}

/// The state that threads share.
#[derive(Debug)]
struct Inner {
    folder: Folder,
    /// The outcomes of readings. A failure is remembered only for the listing: a call for the dataset
    /// reads it again.
    schemas: Mutex<HashMap<(Key, HeldOut), Result<Described, String>>>,
    /// The heads of files that the listing has read.
    heads: Mutex<HashMap<(String, Stamp), Result<Head, String>>>,
    /// The least recently used dataset is first.
    loaded: Mutex<Loaded>,
}

/// Datasets in memory.
type Loaded = VecDeque<(Key, Arc<Dataset>)>;

/// A description of a dataset, for which it was read.
#[derive(Debug, Clone)]
pub struct Described {
    /// What a study pins.
    pub schema: DatasetSchema,
    /// Everything else that the pre-flight needs.
    pub findings: Findings,
}

/// A dataset as a study names it, and the state of its files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    source: Source,
    validation: Option<Files>,
    sample_weight: Option<String>,
    one_hot: Vec<String>,
    positive_class: Option<String>,
    stamps: Vec<Stamp>,
}

/// The part of the split that decides whether it is possible: the bits of the fraction, the folds,
/// and whether rows are shuffled.
type HeldOut = (u64, Option<u32>, bool);

fn held_out(spec: &DatasetSpec) -> HeldOut {
    (spec.validation_split.to_bits(), spec.folds, spec.shuffle)
}

impl Catalog {
    /// The catalog of the datasets folder, `<data-dir>/datasets`. The built-in datasets are there even
    /// if the folder does not exist.
    pub fn new(folder: impl Into<PathBuf>) -> Catalog {
        Catalog::with_memory(folder, free_memory)
    }

    /// Like [`Catalog::new`], on a machine with this much free memory.
    pub(crate) fn with_memory(folder: impl Into<PathBuf>, free_memory: fn() -> u64) -> Catalog {
        let inner = Inner {
            folder: Folder::new(folder.into()),
            schemas: Mutex::default(),
            heads: Mutex::default(),
            loaded: Mutex::default(),
        };
        Catalog { inner: Arc::new(inner), readings: Readings::new(free_memory) }
    }

    /// The schema of a study's dataset, whose hash includes the validation rows, and everything else
    /// that the pre-flight needs. Checks that the dataset can be split as the study asks. Reads all
    /// files the first time, and again only after one has changed (path, modification time or size).
    /// A few datasets are read at a time, each once for all callers, until the last of them leaves.
    /// Errors name the file, the place in it and what to do.
    pub fn described(&self, spec: &DatasetSpec, caller: Caller) -> Result<Described, Error> {
        let key = (self.inner.key(spec)?, held_out(spec));
        if let Some(described) = self.inner.known(&key) {
            return Ok(described);
        }
        let read = self.read(spec, &key, caller);
        self.inner.describe(&read, spec, key)
    }

    /// The schema of a study's dataset: [`Catalog::described`] for a caller that waits as long as a
    /// client would.
    pub fn schema(&self, spec: &DatasetSpec) -> Result<DatasetSchema, Error> {
        self.described(spec, Caller::patient(limits::DATASET_POST_SECONDS_MAX))
            .map(|described| described.schema)
    }

    /// The study's dataset, read at most once while it is in use and its files are unchanged. The
    /// datasets used last stay in memory with those in use, up to
    /// `crate::limits::DATASETS_LOADED_BYTES_MAX` in all. Waits and fails like
    /// [`Catalog::described`].
    pub fn load(&self, spec: &DatasetSpec, caller: Caller) -> Result<Arc<Dataset>, Error> {
        let key = (self.inner.key(spec)?, held_out(spec));
        if let Some(dataset) = self.inner.in_memory(&key.0) {
            return Ok(dataset);
        }
        let read = self.read(spec, &key, caller);
        self.inner.describe(&read, spec, key.clone())?;
        Ok(self.inner.keep(key.0, read?))
    }

    /// A number that changes when a file of the dataset changes (path, modification time or size),
    /// appears or disappears. Nothing is read, and there are no errors: an error in finding the files
    /// is one of their states.
    pub fn state(&self, spec: &DatasetSpec) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.inner.key(spec).map_err(|error| error.to_string()).hash(&mut hasher);
        hasher.finish()
    }

    /// The bytes of the datasets that it holds in memory.
    pub fn loaded_bytes(&self) -> u64 {
        bytes(&lock(&self.inner.loaded))
    }

    /// Drops the datasets that are not in use. Returns whether there were any.
    pub fn forget_idle(&self) -> bool {
        self.inner.forget_idle() > 0
    }

    /// [`Catalog::load`] for a caller that waits.
    #[cfg(test)]
    pub(crate) fn loaded(&self, spec: &DatasetSpec) -> Result<Arc<Dataset>, Error> {
        self.load(spec, Caller::patient(60))
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.inner.folder
    }

    /// The schema, or the reason why there is none, if it is remembered. Otherwise the dataset is read
    /// in the background; none if that has not ended by `until`.
    pub(crate) fn outcome(
        &self,
        spec: &DatasetSpec,
        until: Instant,
    ) -> Result<Option<Result<DatasetSchema, String>>, Error> {
        // Checking all images of a large folder takes seconds.
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
            self.readings.ask_in_background(&key.0, spec.source.path(), until, self.reader(spec, &key))
        };
        let Some(read) = read else { return Ok(None) };
        let described = self.inner.describe(&read, spec, key);
        Ok(Some(described.map(|described| described.schema).map_err(|error| error.to_string())))
    }

    /// The head of the file at `path`, remembered or read by `read`. None if that took until `until`.
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
    fn read(&self, spec: &DatasetSpec, key: &(Key, HeldOut), caller: Caller) -> Result<Arc<Dataset>, Error> {
        if let Some(dataset) = self.inner.in_memory(&key.0) {
            return Ok(dataset);
        }
        if needs_no_file(&key.0) {
            return self.inner.read_brief(spec);
        }
        self.readings.ask(&key.0, spec.source.path(), caller, self.reader(spec, key))
    }

    /// Reads and describes the dataset, for a thread of its own, which may outlive the caller.
    fn reader(
        &self,
        spec: &DatasetSpec,
        key: &(Key, HeldOut),
    ) -> impl FnOnce(&Reading) -> Result<Arc<Dataset>, Error> + Send + use<> {
        let (Catalog { inner, readings }, spec, key) = (self.clone(), spec.clone(), key.clone());
        move |reading| {
            let mut read = source::read(&inner.folder, &spec, reading);
            if matches!(read, Err(Error::Memory { .. })) {
                let freed = inner.forget_idle();
                if freed > 0 {
                    reading.room.hold(0);
                    readings.freed(freed);
                    read = source::read(&inner.folder, &spec, reading);
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

    /// Keeps a dataset in memory and returns it; returns the one that is already there, if any.
    fn keep(&self, key: Key, dataset: Arc<Dataset>) -> Arc<Dataset> {
        let mut loaded = lock(&self.loaded);
        if let Some((_, there)) = loaded.iter().find(|(other, _)| *other == key) {
            return Arc::clone(there);
        }
        loaded.push_back((key, Arc::clone(&dataset)));
        shrink(&mut loaded, limits::DATASETS_LOADED_BYTES_MAX);
        dataset
    }

    /// Drops the datasets that are not in use, and returns their bytes.
    fn forget_idle(&self) -> u64 {
        let mut loaded = lock(&self.loaded);
        let before = bytes(&loaded);
        loaded.retain(|(_, dataset)| Arc::strong_count(dataset) > 1);
        before - bytes(&loaded)
    }

    fn key(&self, spec: &DatasetSpec) -> Result<Key, Error> {
        let stamps = source::stamps(&self.folder, spec)?;
        let DatasetSpec { source, validation, sample_weight, one_hot, positive_class, .. } = spec.clone();
        Ok(Key { source, validation, sample_weight, one_hot, positive_class, stamps })
    }

    /// The description of a dataset that was read, if it can be split as the study asks. It is
    /// remembered, unless the reading was given up.
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

    /// A dataset inside the binary. Reading it takes a moment, so it waits for nothing.
    fn read_brief(&self, spec: &DatasetSpec) -> Result<Arc<Dataset>, Error> {
        let memory = Memory::default();
        memory.measure(u64::MAX, false);
        let reading = Reading::brief(spec.source.path(), Room::in_memory(&memory));
        source::read(&self.folder, spec, &reading).map(Arc::new)
    }
}

/// Whether the dataset is inside the binary.
fn needs_no_file(key: &Key) -> bool {
    key.stamps.is_empty()
}

/// Remembers `value`; if there are too many values, forgets all others.
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

/// Drops datasets that are not in use, the least recently used first, down to `max` bytes. Dropping
/// one in use would free nothing, and a second copy would be read.
fn shrink(loaded: &mut Loaded, max: u64) {
    while bytes(loaded) > max
        && let Some(idle) = loaded.iter().position(|(_, dataset)| Arc::strong_count(dataset) == 1)
    {
        loaded.remove(idle);
    }
}

/// A poisoned lock is harmless: each change of these maps is one call, so a panic leaves them whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

//! Artifacts: the weights of trials, in a folder or a bucket, by one interface.
//!
//! A model lies under its trial's attempt and nonce, so that an attempt whose lease was lost cannot
//! overwrite what the accepted one wrote; which of them counts is what `finish` recorded. Nothing
//! here asks Redis.

use std::fs::{File, Permissions};
use std::io::{self, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::limits::{
    ARTIFACT_BYTES_MAX, ARTIFACT_DELETE_BATCH, ARTIFACTS_PROBE_BYTES, CHECKPOINT_BYTES_MAX,
    CHECKPOINTS_LISTED_MAX, PART_BYTES, UPLOADS_AT_ONCE,
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, future, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use url::Url;

use crate::Nonce;

/// How much of a file is read at a time.
const READ_BYTES: usize = 1 << 20;

/// What went wrong with an artifact.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such artifact, or what was given is no path of one.
    #[error("there is no artifact {0:?}")]
    NotFound(String),
    /// The artifact is larger than [`ARTIFACT_BYTES_MAX`], or the checkpoint than
    /// [`CHECKPOINT_BYTES_MAX`].
    #[error("the artifact {path} has {bytes} bytes, the limit is {max}")]
    TooLarge {
        /// Where it lies or should have lain.
        path: String,
        /// Its size.
        bytes: u64,
        /// What it may have.
        max: u64,
    },
    /// The place given for artifacts cannot be opened, or is not there any more.
    #[error("cannot keep artifacts in {place}: {why}")]
    Place {
        /// As given.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The disk or the bucket failed; another try may succeed.
    #[error("the artifact store: {0}")]
    Store(object_store::Error),
    /// A file on its way from or to the artifacts failed; another try may succeed.
    #[error("the artifact store: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// Whether the place failed rather than the artifact: once it is well again, the same call
    /// succeeds.
    pub fn is_of_the_place(&self) -> bool {
        match self {
            Error::Place { .. } | Error::Store(_) | Error::Io(_) => true,
            Error::NotFound(_) | Error::TooLarge { .. } => false,
        }
    }
}

/// A checkpoint that is being written: a file, for in memory it would double what a trial takes.
/// One that is dropped is gone.
#[derive(Debug)]
pub struct Spool(Place);

#[derive(Debug)]
enum Place {
    /// In the folder that it is to lie in.
    Named(NamedTempFile),
    /// Anywhere; it has no name.
    Unnamed(File),
}

impl Spool {
    /// Where it is written.
    pub fn file(&self) -> &File {
        match &self.0 {
            Place::Named(file) => file.as_file(),
            Place::Unnamed(file) => file,
        }
    }
}

/// The place where artifacts are kept. Clones share it.
#[derive(Debug, Clone)]
pub struct Artifacts {
    store: Arc<dyn ObjectStore>,
    folder: Option<PathBuf>,
    /// Where files are on their way from or to a bucket.
    scratch: PathBuf,
}

impl Artifacts {
    /// Opens a folder (made where it is missing) or a URL: `file:///…` always, `s3://…`, `gs://…`,
    /// `az://…` in builds with the feature `aws`, `gcp` or `azure`, with credentials from the
    /// environment variables these clouds use. A bucket is first reached when it is used.
    pub fn open(place: &str) -> Result<Artifacts, Error> {
        let fault = |why: String| Error::Place { place: place.into(), why };
        let url = if place.contains("://") {
            Some(Url::parse(place).map_err(|e| fault(e.to_string()))?)
        } else {
            None
        };
        let folder = match &url {
            Some(url) if url.scheme() != "file" => {
                let environment = std::env::vars_os()
                    .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
                let (store, prefix) = object_store::parse_url_opts(url, environment).map_err(|e| {
                    fault(format!("{e}; s3, gs and az need a build with the feature aws, gcp or azure"))
                })?;
                return Ok(Artifacts {
                    store: Arc::new(PrefixStore::new(store, prefix)),
                    folder: None,
                    scratch: std::env::temp_dir(),
                });
            }
            Some(url) => url.to_file_path().map_err(|()| fault("it is no path of this machine".into()))?,
            None => PathBuf::from(place),
        };
        std::fs::create_dir_all(&folder).map_err(|e| fault(e.to_string()))?;
        let local = LocalFileSystem::new_with_prefix(&folder).map_err(|e| fault(e.to_string()))?;
        // Synced, for a trial whose result is acknowledged must have its weights after a power
        // failure too.
        let store = Arc::new(local.with_fsync(true).with_automatic_cleanup(true));
        Ok(Artifacts { store, folder: Some(folder), scratch: std::env::temp_dir() })
    }

    /// With this folder, rather than the system's for temporary files, for checkpoints on their way
    /// from or to a bucket: on many systems that one is memory.
    pub fn with_scratch(self, folder: &std::path::Path) -> Artifacts {
        Artifacts { scratch: folder.to_owned(), ..self }
    }

    /// Writes a small artifact, reads it and removes it. Errors: the place is full, or cannot be
    /// reached.
    pub async fn probe(&self) -> Result<(), Error> {
        self.is_there().await?;
        match self.write_read_and_remove().await {
            Ok(()) => Ok(()),
            // The place may have gone meanwhile, which says more.
            Err(error) => Err(self.is_there().await.err().unwrap_or(error)),
        }
    }

    async fn write_read_and_remove(&self) -> Result<(), Error> {
        let path = Path::from(format!("probe-{}", Nonce::random()));
        self.store
            .put(&path, Bytes::from(vec![0; ARTIFACTS_PROBE_BYTES]).into())
            .await
            .map_err(Error::Store)?;
        let read = self.get(path.as_ref()).await;
        self.delete(path.as_ref()).await?;
        read.map(drop)
    }

    /// An error where the folder is gone, as one does whose disk is not mounted any more: nothing
    /// would be found in it, and what is written would make a new one, on another disk.
    async fn is_there(&self) -> Result<(), Error> {
        let Some(folder) = &self.folder else { return Ok(()) };
        match tokio::fs::metadata(folder).await {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(gone(folder, "it is no folder any more")),
            Err(error) => Err(gone(folder, &error.to_string())),
        }
    }

    /// Where the weights of one attempt lie. Only those of the attempt that `finish` accepted are
    /// ever asked for.
    pub fn model_path(study: &str, number: u64, attempt: u32, nonce: &str) -> Result<String, Error> {
        Ok(study_path(study)?
            .join(number.to_string())
            .join(format!("{attempt}-{nonce}"))
            .join("model.safetensors")
            .to_string())
    }

    /// Writes the weights of one attempt, whole or not at all, and returns their path. Writing
    /// again replaces.
    pub async fn put_model(
        &self,
        study: &str,
        number: u64,
        attempt: u32,
        nonce: &str,
        bytes: Bytes,
    ) -> Result<String, Error> {
        let path = parse(&Artifacts::model_path(study, number, attempt, nonce)?)?;
        bounded(&path, bytes.len() as u64, ARTIFACT_BYTES_MAX as u64)?;
        self.is_there().await?;
        self.store.put(&path, bytes.into()).await.map_err(Error::Store)?;
        Ok(path.to_string())
    }

    /// A file for a checkpoint of a trial: where it is to lie, if that is a folder. It blocks for a
    /// moment.
    pub fn spool(&self, study: &str, number: u64) -> Result<Spool, Error> {
        let Some(folder) = &self.folder else { return Ok(Spool(Place::Unnamed(self.unnamed()?))) };
        if !folder.is_dir() {
            return Err(gone(folder, "it is no folder any more"));
        }
        let folder = folder.join(checkpoints_path(study, number)?.as_ref());
        std::fs::create_dir_all(&folder)?;
        // A name that no list has, as those of the object store's own half-written files, and the
        // rights that its files have.
        let mut named = tempfile::Builder::new();
        let named =
            named.suffix(".safetensors#1").permissions(Permissions::from_mode(0o666)).tempfile_in(folder)?;
        Ok(Spool(Place::Named(named)))
    }

    /// Makes a checkpoint of a trial after `step` of a file from [`spool`](Self::spool), whole or
    /// not at all, and returns its path. `writer` tells the attempts apart.
    pub async fn put_checkpoint(
        &self,
        study: &str,
        number: u64,
        step: u32,
        writer: &str,
        spool: Spool,
    ) -> Result<String, Error> {
        let path = checkpoints_path(study, number)?.join(format!("{step:010}-{writer}.safetensors"));
        bounded(&path, spool.file().metadata()?.len(), CHECKPOINT_BYTES_MAX)?;
        match spool.0 {
            Place::Named(file) => {
                let place = file.path().with_file_name(path.filename().unwrap_or_default());
                tokio::task::spawn_blocking(move || publish(file, &place))
                    .await
                    .map_err(io::Error::other)??;
            }
            Place::Unnamed(file) => self.upload(&path, file).await?,
        }
        Ok(path.to_string())
    }

    /// A file that goes when it is closed.
    fn unnamed(&self) -> io::Result<File> {
        std::fs::create_dir_all(&self.scratch)?;
        tempfile::tempfile_in(&self.scratch)
    }

    /// Sends a file to a bucket, part by part, whole or not at all.
    async fn upload(&self, path: &Path, mut file: File) -> Result<(), Error> {
        file.rewind()?;
        let mut file = tokio::fs::File::from_std(file);
        let mut parts = WriteMultipart::new_with_chunk_size(
            self.store.put_multipart(path).await.map_err(Error::Store)?,
            PART_BYTES,
        );
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(READ_BYTES);
            let sent = match file.read_buf(&mut buffer).await {
                Ok(0) => break,
                Ok(_) => parts.wait_for_capacity(UPLOADS_AT_ONCE).await.map_err(Error::Store),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = sent {
                let _ = parts.abort().await; // what stays in the bucket, its own rules remove
                return Err(error);
            }
            parts.put(buffer.split().freeze());
        }
        parts.finish().await.map(drop).map_err(Error::Store) // which aborts where it fails
    }

    /// The checkpoint at a path that [`checkpoints`](Self::checkpoints) listed: the file itself, or
    /// a copy of it that goes when it is closed.
    pub async fn open_checkpoint(&self, path: &str) -> Result<File, Error> {
        let location = parse(path)?;
        self.is_there().await?;
        if let Some(folder) = &self.folder {
            let opened = tokio::fs::File::open(folder.join(location.as_ref())).await;
            return match opened {
                Ok(file) => Ok(file.into_std().await),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NotFound(path.into())),
                Err(error) => Err(error.into()),
            };
        }
        let bytes = self.store.head(&location).await.map_err(|e| named(e, path))?.size;
        bounded(&location, bytes, CHECKPOINT_BYTES_MAX)?;
        let mut file = tokio::fs::File::from_std(self.unnamed()?);
        // In parts, for one request has a time limit.
        for begin in (0..bytes).step_by(PART_BYTES) {
            let part = self.store.get_range(&location, begin..bytes.min(begin + PART_BYTES as u64)).await;
            file.write_all(&part.map_err(|e| named(e, path))?).await?;
        }
        file.flush().await?;
        file.rewind().await?;
        Ok(file.into_std().await)
    }

    /// The paths of a trial's checkpoints, the furthest first. Whoever wrote one, the training in
    /// it is the same at the same step: a trial is a function of what is written there, so nobody
    /// asks whose attempt it was.
    pub async fn checkpoints(&self, study: &str, number: u64) -> Result<Vec<String>, Error> {
        self.is_there().await?;
        let listed = self.store.list(Some(&checkpoints_path(study, number)?)).take(CHECKPOINTS_LISTED_MAX);
        let mut paths: Vec<String> =
            listed.map_ok(|meta| meta.location.to_string()).try_collect().await.map_err(Error::Store)?;
        paths.sort_unstable_by(|a, b| b.cmp(a));
        Ok(paths)
    }

    /// Removes all checkpoints of a trial, however many.
    pub async fn delete_checkpoints(&self, study: &str, number: u64) -> Result<(), Error> {
        loop {
            let listed = self.checkpoints(study, number).await?;
            for path in &listed {
                self.delete(path).await?;
            }
            if listed.len() < CHECKPOINTS_LISTED_MAX {
                return self.remove_folder(&checkpoints_path(study, number)?).await;
            }
        }
    }

    /// The whole artifact at a path that [`put_model`](Self::put_model) returned.
    pub async fn get(&self, path: &str) -> Result<Bytes, Error> {
        self.is_there().await?;
        let found = self.store.get(&parse(path)?).await.map_err(|e| named(e, path))?;
        bounded(&found.meta.location, found.meta.size, ARTIFACT_BYTES_MAX as u64)?;
        found.bytes().await.map_err(|e| named(e, path))
    }

    /// Removes one artifact; one that is not there is removed already.
    pub async fn delete(&self, path: &str) -> Result<(), Error> {
        match self.store.delete(&parse(path)?).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            deleted => deleted.map_err(Error::Store),
        }
    }

    /// Removes up to [`ARTIFACT_DELETE_BATCH`] artifacts of a study; returns whether none is left.
    /// Until then, call again.
    pub async fn delete_study(&self, study: &str) -> Result<bool, Error> {
        let prefix = study_path(study)?;
        self.is_there().await?;
        let listed = self.store.list(Some(&prefix)).take(ARTIFACT_DELETE_BATCH).map_ok(|meta| meta.location);
        let batch: Vec<Path> = listed.try_collect().await.map_err(Error::Store)?;
        let last = batch.len() < ARTIFACT_DELETE_BATCH;
        let deleted = self.store.delete_stream(stream::iter(batch.into_iter().map(Ok)).boxed());
        // Somebody else may be deleting the same study.
        let failed = deleted.filter(|d| {
            future::ready(matches!(d, Err(e) if !matches!(e, object_store::Error::NotFound { .. })))
        });
        failed.try_for_each(|_| future::ready(Ok(()))).await.map_err(Error::Store)?;
        if last {
            self.remove_folder(&prefix).await?;
        }
        Ok(last)
    }

    /// Removes a folder with all that is in it, where there are folders: what a killed trainer had
    /// half written is not listed. One that is not there is removed already.
    async fn remove_folder(&self, path: &Path) -> Result<(), Error> {
        let Some(folder) = &self.folder else { return Ok(()) };
        match tokio::fs::remove_dir_all(folder.join(path.as_ref())).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Puts the file where it belongs. Synced, as all that is written here.
fn publish(file: NamedTempFile, place: &std::path::Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(place).map_err(|error| error.error)?;
    place.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn gone(folder: &std::path::Path, why: &str) -> Error {
    Error::Place { place: folder.display().to_string(), why: why.into() }
}

/// An error where it has more bytes than it may.
fn bounded(path: &Path, bytes: u64, max: u64) -> Result<(), Error> {
    if bytes > max { Err(Error::TooLarge { path: path.to_string(), bytes, max }) } else { Ok(()) }
}

/// The folder of a study. An empty name would be the folder of all studies.
fn study_path(study: &str) -> Result<Path, Error> {
    if study.is_empty() { Err(Error::NotFound(study.into())) } else { Ok(Path::from("studies").join(study)) }
}

/// The folder of a trial's checkpoints.
fn checkpoints_path(study: &str, number: u64) -> Result<Path, Error> {
    Ok(study_path(study)?.join(number.to_string()).join("checkpoints"))
}

/// Paths come back from Redis; anything that points out of the store is no path.
fn parse(path: &str) -> Result<Path, Error> {
    Path::parse(path).map_err(|_| Error::NotFound(path.into()))
}

fn named(error: object_store::Error, path: &str) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::NotFound(path.into()),
        other => Error::Store(other),
    }
}

#[cfg(test)]
impl Artifacts {
    /// A bucket that is there and never answers.
    pub(crate) fn hanging() -> Artifacts {
        use object_store::{memory::InMemory, throttle::*};
        let never = ThrottleConfig {
            wait_list_per_call: std::time::Duration::from_secs(3_600),
            ..ThrottleConfig::default()
        };
        Artifacts {
            store: Arc::new(ThrottledStore::new(InMemory::new(), never)),
            folder: None,
            scratch: PathBuf::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn folder() -> (tempfile::TempDir, Artifacts) {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(dir.path().join("artifacts").to_str().unwrap()).unwrap();
        (dir, artifacts)
    }

    async fn put(artifacts: &Artifacts, number: u64, step: u32, writer: &str, bytes: &[u8]) -> String {
        let spool = artifacts.spool("01JD", number).unwrap();
        spool.file().write_all(bytes).unwrap();
        artifacts.put_checkpoint("01JD", number, step, writer, spool).await.unwrap()
    }

    #[tokio::test]
    async fn a_model_is_read_back_from_a_folder_by_another_process_and_from_memory() {
        let (dir, folder) = folder();
        let weights = Bytes::from_static(b"weights");
        let path = folder.put_model("01JD", 4, 1, "a1b2", weights.clone()).await.unwrap();
        assert_eq!(path, "studies/01JD/4/1-a1b2/model.safetensors");
        let url = Artifacts::open(&format!("file://{}/artifacts", dir.path().display())).unwrap();
        assert_eq!(url.get(&path).await.unwrap(), weights);

        let memory = Artifacts::open("memory:///some/where").unwrap();
        let path = memory.put_model("01JD", 4, 1, "a1b2", weights.clone()).await.unwrap();
        assert_eq!(memory.get(&path).await.unwrap(), weights);
    }

    #[tokio::test]
    async fn a_probe_tells_whether_the_place_can_be_used_and_leaves_nothing() {
        let (dir, artifacts) = folder();
        artifacts.probe().await.unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join("artifacts")).unwrap().count(), 0);
        Artifacts::open("memory:///some/where").unwrap().probe().await.unwrap();
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_is_a_fault_of_the_place_whatever_is_asked_and_is_not_made_anew() {
        let (dir, artifacts) = folder();
        let weights = Bytes::from_static(b"weights");
        let model = artifacts.put_model("01JD", 4, 1, "a1b2", weights.clone()).await.unwrap();
        let checkpoint = put(&artifacts, 4, 7, "1-a", b"x").await;
        let (place, moved) = (dir.path().join("artifacts"), dir.path().join("moved"));
        std::fs::rename(&place, &moved).unwrap();
        for is_file in [false, true] {
            if is_file {
                std::fs::write(&place, "").unwrap();
            }
            for (what, outcome) in [
                ("probe", artifacts.probe().await),
                ("put_model", artifacts.put_model("01JD", 4, 2, "a1b2", weights.clone()).await.map(drop)),
                ("get", artifacts.get(&model).await.map(drop)),
                ("spool", artifacts.spool("01JD", 4).map(drop)),
                ("checkpoints", artifacts.checkpoints("01JD", 4).await.map(drop)),
                ("open_checkpoint", artifacts.open_checkpoint(&checkpoint).await.map(drop)),
                ("delete_checkpoints", artifacts.delete_checkpoints("01JD", 4).await),
                ("delete_study", artifacts.delete_study("01JD").await.map(drop)),
            ] {
                let error = outcome.expect_err(what);
                assert!(
                    error.is_of_the_place() && error.to_string().contains("artifacts: "),
                    "{what}: {error}"
                );
            }
            assert!(!place.is_dir());
        }
        std::fs::remove_file(&place).unwrap();
        std::fs::rename(&moved, &place).unwrap();
        artifacts.probe().await.unwrap();
        assert_eq!(artifacts.get(&model).await.unwrap(), weights);
        for error in [
            artifacts.get("studies/none").await.unwrap_err(),
            Error::TooLarge { path: String::new(), bytes: 2, max: 1 },
        ] {
            assert!(!error.is_of_the_place(), "{error}");
        }
    }

    #[tokio::test]
    async fn a_late_attempt_does_not_touch_what_the_accepted_one_wrote() {
        let (_dir, artifacts) = folder();
        let accepted = artifacts.put_model("01JD", 4, 2, "new", Bytes::from_static(b"new")).await.unwrap();
        let late = artifacts.put_model("01JD", 4, 2, "old", Bytes::from_static(b"old")).await.unwrap();
        assert_ne!(accepted, late);
        assert_eq!(artifacts.get(&accepted).await.unwrap(), "new");
        artifacts.delete(&late).await.unwrap();
        artifacts.delete(&late).await.unwrap();
        assert!(matches!(artifacts.get(&late).await, Err(Error::NotFound(path)) if path == late));
    }

    #[tokio::test]
    async fn of_a_trial_s_checkpoints_the_furthest_comes_first() {
        let (dir, artifacts) = folder();
        for (step, writer) in [(9, "1-a"), (10, "2-b"), (2, "1-a")] {
            put(&artifacts, 4, step, writer, b"x").await;
        }
        put(&artifacts, 40, 99, "1-a", b"x").await;
        let paths = artifacts.checkpoints("01JD", 4).await.unwrap();
        assert_eq!(paths.len(), 3);
        assert_eq!(paths[0], "studies/01JD/4/checkpoints/0000000010-2-b.safetensors");
        std::fs::write(
            dir.path().join("artifacts/studies/01JD/4/checkpoints/0000000011-1-a.safetensors#1"),
            "half",
        )
        .unwrap();
        artifacts.delete_checkpoints("01JD", 4).await.unwrap();
        assert_eq!(artifacts.checkpoints("01JD", 4).await.unwrap(), [""; 0]);
        assert!(!dir.path().join("artifacts/studies/01JD/4/checkpoints").exists());
        assert_eq!(artifacts.checkpoints("01JD", 40).await.unwrap().len(), 1);
        artifacts.delete_checkpoints("01JD", 4).await.unwrap();
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_removed_is_an_error() {
        let (dir, artifacts) = folder();
        let studies = dir.path().join("artifacts/studies");
        // What lies there is no folder, so no list shows it, and whoever runs the tests may remove
        // files.
        std::fs::create_dir_all(studies.join("01JD/4")).unwrap();
        std::fs::write(studies.join("01JD/4/checkpoints"), "").unwrap();
        std::fs::write(studies.join("gone"), "").unwrap();
        let errors = [
            artifacts.delete_checkpoints("01JD", 4).await.unwrap_err(),
            artifacts.delete_study("gone").await.unwrap_err(),
        ];
        assert!(errors.iter().all(|error| matches!(error, Error::Io(_))), "{errors:?}");
    }

    #[tokio::test]
    async fn more_checkpoints_than_a_list_shows_are_removed_all() {
        let artifacts = Artifacts::open("memory:///some/where").unwrap();
        for step in 0..=CHECKPOINTS_LISTED_MAX {
            let path = checkpoints_path("01JD", 4).unwrap().join(format!("{step:010}-1-a.safetensors"));
            artifacts.store.put(&path, Bytes::from_static(b"x").into()).await.unwrap();
        }
        artifacts.delete_checkpoints("01JD", 4).await.unwrap();
        assert_eq!(artifacts.checkpoints("01JD", 4).await.unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn a_checkpoint_is_whole_or_not_there_in_a_folder_and_in_a_bucket() {
        // More than one part of an upload.
        let bytes: Vec<u8> = (0..25_000_000_u32).map(|at| (at >> 8) as u8).collect();
        let (_dir, folder) = folder();
        for artifacts in [folder, Artifacts::open("memory:///some/where").unwrap()] {
            let half = artifacts.spool("01JD", 4).unwrap();
            half.file().write_all(b"half").unwrap();
            assert_eq!(artifacts.checkpoints("01JD", 4).await.unwrap(), [""; 0]);
            drop(half);
            let path = put(&artifacts, 4, 7, "1-a", &bytes).await;
            assert_eq!(artifacts.checkpoints("01JD", 4).await.unwrap(), [path.as_str()]);
            let mut read = Vec::new();
            artifacts.open_checkpoint(&path).await.unwrap().read_to_end(&mut read).unwrap();
            assert!(read == bytes);
            let missing = artifacts.open_checkpoint("studies/01JD/4/checkpoints/none").await.unwrap_err();
            assert!(matches!(&missing, Error::NotFound(_)), "{missing}");
        }
    }

    #[tokio::test]
    async fn others_may_read_a_checkpoint_as_they_may_read_a_model() {
        let (dir, folder) = folder();
        let model = folder.put_model("01JD", 4, 1, "a", Bytes::from_static(b"x")).await.unwrap();
        let checkpoint = put(&folder, 4, 1, "1-a", b"x").await;
        let rights = |path: &str| dir.path().join("artifacts").join(path).metadata().unwrap().permissions();
        assert_eq!(rights(&checkpoint), rights(&model));
    }

    #[tokio::test]
    async fn a_study_is_deleted_in_bounded_steps_and_leaves_nothing() {
        for place in ["memory:///", ""] {
            let (dir, folder) = folder();
            let artifacts = if place.is_empty() { folder } else { Artifacts::open(place).unwrap() };
            // Written without the sync that the product pays for each.
            let unsynced = Artifacts {
                store: Arc::new(LocalFileSystem::new_with_prefix(dir.path().join("artifacts")).unwrap()),
                folder: None,
                scratch: PathBuf::new(),
            };
            let writer = if place.is_empty() { &unsynced } else { &artifacts };
            for number in 0..ARTIFACT_DELETE_BATCH as u64 + 1 {
                writer.put_model("gone", number, 1, "n", Bytes::from_static(b"x")).await.unwrap();
            }
            let kept = artifacts.put_model("gone2", 0, 1, "n", Bytes::from_static(b"x")).await.unwrap();
            if place.is_empty() {
                std::fs::write(dir.path().join("artifacts/studies/gone/0/1-n/model.safetensors#1"), "half")
                    .unwrap();
            }
            assert!(!artifacts.delete_study("gone").await.unwrap());
            assert!(artifacts.delete_study("gone").await.unwrap());
            assert!(artifacts.delete_study("gone").await.unwrap(), "again is no error");
            assert!(!dir.path().join("artifacts/studies/gone").exists());
            assert_eq!(artifacts.get(&kept).await.unwrap(), "x");
        }
    }

    #[tokio::test]
    async fn no_path_and_no_study_leads_out_of_the_store() {
        let (dir, artifacts) = folder();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        for path in ["../secret", "studies/../../secret", "/../secret", "", "a//b", "%2e%2e/secret", "a\0b"] {
            let error = artifacts.get(path).await.unwrap_err();
            assert!(matches!(&error, Error::NotFound(_) | Error::Store(_)), "{path}: {error}");
        }
        let path = artifacts.put_model("../..", 0, 1, "../n", Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(path, "studies/..%2F../0/1-..%2Fn/model.safetensors");
        assert_eq!(artifacts.get(&path).await.unwrap(), "x");
        assert!(artifacts.delete_study("").await.is_err());
        assert!(artifacts.delete_study("..").await.unwrap());
        assert!(dir.path().join("secret").exists());
    }

    #[test]
    fn a_place_that_cannot_be_opened_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        for (place, why) in [
            (file.to_str().unwrap(), "exists"),
            ("ftp://host/folder", "need a build with the feature"),
            ("file://host/folder", "no path of this machine"),
            ("://", "relative URL"),
        ] {
            let error = Artifacts::open(place).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("cannot keep artifacts in {place}: ")) && error.contains(why),
                "{error}"
            );
        }
    }
}

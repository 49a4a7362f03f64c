//! Artifacts: models and checkpoints of trials, in a folder or a bucket, by one interface. Nothing
//! here asks Redis.

mod checkpoint;
mod model;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

pub use checkpoint::Spool;

use crate::limits::{ARTIFACT_DELETE_BATCH, ARTIFACTS_PROBE_BYTES};
use crate::{Nonce, StudyId};

/// What went wrong with an artifact.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such artifact, or the path is not that of one.
    #[error("there is no artifact {0:?}")]
    NotFound(String),
    /// The artifact is larger than [`ARTIFACT_BYTES_MAX`](crate::limits::ARTIFACT_BYTES_MAX), or
    /// the checkpoint than [`CHECKPOINT_BYTES_MAX`](crate::limits::CHECKPOINT_BYTES_MAX).
    #[error("the artifact {path} has {bytes} bytes, the limit is {max}")]
    TooLarge {
        /// Where it is, or was to be written.
        path: String,
        /// Its size.
        bytes: u64,
        /// How many it may have.
        max: u64,
    },
    /// The folder or bucket for artifacts cannot be opened, or is no longer there.
    #[error("cannot keep artifacts in {place}: {why}")]
    Storage {
        /// The folder or URL, as given.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The disk or the bucket failed; another try may succeed.
    #[error("the artifact store: {0}")]
    Store(object_store::Error),
    /// A file that was being read or written failed; another try may succeed.
    #[error("the artifact store: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// Whether the folder or the bucket failed rather than the artifact: once it works again, the
    /// same call succeeds.
    pub fn is_of_the_storage(&self) -> bool {
        match self {
            Error::Storage { .. } | Error::Store(_) | Error::Io(_) => true,
            Error::NotFound(_) | Error::TooLarge { .. } => false,
        }
    }
}

/// The folder or bucket of artifacts. Clones share it.
#[derive(Debug, Clone)]
pub struct Artifacts {
    store: Arc<dyn ObjectStore>,
    folder: Option<PathBuf>,
    /// Where files are kept while they are sent to or read from a bucket.
    scratch: PathBuf,
}

impl Artifacts {
    /// Opens a folder, which is made if it is missing, or a URL: `file:///…` always, `s3://…`,
    /// `gs://…`, `az://…` in builds with the feature `aws`, `gcp` or `azure`, with credentials from
    /// the environment variables these clouds use. A bucket is first reached when it is used.
    pub fn open(place: &str) -> Result<Artifacts, Error> {
        let fault = |why: String| Error::Storage { place: place.into(), why };
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
            Some(url) => url.to_file_path().map_err(|()| fault("it is not a path on this machine".into()))?,
            None => PathBuf::from(place),
        };
        std::fs::create_dir_all(&folder).map_err(|e| fault(e.to_string()))?;
        let local = LocalFileSystem::new_with_prefix(&folder).map_err(|e| fault(e.to_string()))?;
        // Synced: a trial whose result was acknowledged must have its weights after a power
        // failure.
        let store = Arc::new(local.with_fsync(true).with_automatic_cleanup(true));
        Ok(Artifacts { store, folder: Some(folder), scratch: std::env::temp_dir() })
    }

    /// With this folder instead of the system's for temporary files, which is memory on many
    /// systems, for checkpoints that are sent to or read from a bucket.
    pub fn with_scratch(self, folder: &std::path::Path) -> Artifacts {
        Artifacts { scratch: folder.to_owned(), ..self }
    }

    /// Writes a small artifact, reads it and removes it. Errors: the folder or bucket is full, or
    /// cannot be reached.
    pub async fn probe(&self) -> Result<(), Error> {
        self.is_there().await?;
        match self.write_read_and_remove().await {
            Ok(()) => Ok(()),
            // If the folder has gone meanwhile, that says more.
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

    /// An error if the folder is gone, for example because its disk is no longer mounted: nothing
    /// would be found in it, and a write would make a new one on another disk.
    async fn is_there(&self) -> Result<(), Error> {
        let Some(folder) = &self.folder else { return Ok(()) };
        match tokio::fs::metadata(folder).await {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(gone(folder, "it is no longer a folder")),
            Err(error) => Err(gone(folder, &error.to_string())),
        }
    }

    /// Removes one artifact. It is no error if it is not there.
    pub async fn delete(&self, path: &str) -> Result<(), Error> {
        match self.store.delete(&parse(path)?).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            deleted => deleted.map_err(Error::Store),
        }
    }

    /// Removes up to [`ARTIFACT_DELETE_BATCH`] artifacts of a study, and returns whether none is
    /// left. Otherwise call again.
    pub async fn delete_study(&self, study: StudyId) -> Result<bool, Error> {
        let prefix = study_path(study);
        self.is_there().await?;
        let listed = self.store.list(Some(&prefix)).take(ARTIFACT_DELETE_BATCH).map_ok(|meta| meta.location);
        let batch: Vec<Path> = listed.try_collect().await.map_err(Error::Store)?;
        let last = batch.len() < ARTIFACT_DELETE_BATCH;
        let deleted = self.store.delete_stream(stream::iter(batch.into_iter().map(Ok)).boxed());
        // Another process may be deleting the same study.
        let failed = deleted.filter(|d| {
            future::ready(matches!(d, Err(e) if !matches!(e, object_store::Error::NotFound { .. })))
        });
        failed.try_for_each(|_| future::ready(Ok(()))).await.map_err(Error::Store)?;
        if last {
            self.remove_folder(&prefix).await?;
        }
        Ok(last)
    }

    /// Removes a folder with all that is in it, unless this is a bucket: lists do not show what a
    /// killed trainer left half written. It is no error if the folder is not there.
    async fn remove_folder(&self, path: &Path) -> Result<(), Error> {
        let Some(folder) = &self.folder else { return Ok(()) };
        match tokio::fs::remove_dir_all(folder.join(path.as_ref())).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn gone(folder: &std::path::Path, why: &str) -> Error {
    Error::Storage { place: folder.display().to_string(), why: why.into() }
}

/// An error if it has more bytes than it may.
fn bounded(path: &Path, bytes: u64, max: u64) -> Result<(), Error> {
    if bytes > max { Err(Error::TooLarge { path: path.to_string(), bytes, max }) } else { Ok(()) }
}

/// The folder of a study.
fn study_path(study: StudyId) -> Path {
    Path::from("studies").join(study.to_string())
}

/// Paths come back from Redis; one that leads out of the store is refused.
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
mod tests;

//! Checkpoints of trials. One is a file, because in memory it would double what a trial takes.
//!
//! A trial is a function of what is written in a checkpoint, so that at the same epoch all attempts
//! write the same: it does not matter which of them wrote one.

use std::fs::{File, Permissions};
use std::io::{self, Seek};
use std::os::unix::fs::PermissionsExt;

use bytes::BytesMut;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStoreExt, WriteMultipart};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::{Artifacts, Error, bounded, gone, named, parse, study_path};
use crate::StudyId;
use crate::limits::{CHECKPOINT_BYTES_MAX, CHECKPOINTS_LISTED_MAX, PART_BYTES, UPLOADS_AT_ONCE};

/// How much of a file is read at a time.
const READ_BYTES: usize = 1 << 20;

/// A checkpoint that is being written. One that is dropped is gone.
#[derive(Debug)]
pub struct Spool(SpoolFile);

#[derive(Debug)]
enum SpoolFile {
    /// In the folder of the checkpoint.
    Named(NamedTempFile),
    /// In the scratch folder, without a name.
    Unnamed(File),
}

impl Spool {
    /// The file to write to.
    pub fn file(&self) -> &File {
        match &self.0 {
            SpoolFile::Named(file) => file.as_file(),
            SpoolFile::Unnamed(file) => file,
        }
    }
}

impl Artifacts {
    /// A file for a checkpoint of a trial, in its final folder if artifacts are in a folder. It
    /// blocks for a moment.
    pub fn spool(&self, study: StudyId, number: u64) -> Result<Spool, Error> {
        let Some(folder) = &self.folder else { return Ok(Spool(SpoolFile::Unnamed(self.unnamed()?))) };
        if !folder.is_dir() {
            return Err(gone(folder, "it is no longer a folder"));
        }
        let folder = folder.join(checkpoints_path(study, number).as_ref());
        std::fs::create_dir_all(&folder)?;
        // A name that lists leave out, like those of the object store's own half-written files, and
        // the permissions of its files.
        let mut named = tempfile::Builder::new();
        let named =
            named.suffix(".safetensors#1").permissions(Permissions::from_mode(0o666)).tempfile_in(folder)?;
        Ok(Spool(SpoolFile::Named(named)))
    }

    /// Makes a checkpoint of a trial after `epoch` of a file from [`spool`](Self::spool), whole or
    /// not at all, and returns its path. `writer` tells the attempts apart.
    pub async fn put_checkpoint(
        &self,
        study: StudyId,
        number: u64,
        epoch: u32,
        writer: &str,
        spool: Spool,
    ) -> Result<String, Error> {
        let path = checkpoints_path(study, number).join(format!("{epoch:010}-{writer}.safetensors"));
        bounded(&path, spool.file().metadata()?.len(), CHECKPOINT_BYTES_MAX)?;
        match spool.0 {
            SpoolFile::Named(file) => {
                let place = file.path().with_file_name(path.filename().unwrap_or_default());
                tokio::task::spawn_blocking(move || publish(file, &place))
                    .await
                    .map_err(io::Error::other)??;
            }
            SpoolFile::Unnamed(file) => self.upload(&path, file).await?,
        }
        Ok(path.to_string())
    }

    /// A file that is removed when it is closed.
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
                let _ = parts.abort().await; // the bucket's own rules remove what stays
                return Err(error);
            }
            parts.put(buffer.split().freeze());
        }
        parts.finish().await.map(drop).map_err(Error::Store) // which aborts where it fails
    }

    /// The checkpoint at a path that [`checkpoints`](Self::checkpoints) listed: the file itself, or
    /// a copy that is removed when it is closed.
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
        // In parts, since one request has a time limit.
        for begin in (0..bytes).step_by(PART_BYTES) {
            let part = self.store.get_range(&location, begin..bytes.min(begin + PART_BYTES as u64)).await;
            file.write_all(&part.map_err(|e| named(e, path))?).await?;
        }
        file.flush().await?;
        file.rewind().await?;
        Ok(file.into_std().await)
    }

    /// The paths of a trial's checkpoints, the furthest first.
    pub async fn checkpoints(&self, study: StudyId, number: u64) -> Result<Vec<String>, Error> {
        self.is_there().await?;
        let listed = self.store.list(Some(&checkpoints_path(study, number))).take(CHECKPOINTS_LISTED_MAX);
        let mut paths: Vec<String> =
            listed.map_ok(|meta| meta.location.to_string()).try_collect().await.map_err(Error::Store)?;
        paths.sort_unstable_by(|a, b| b.cmp(a));
        Ok(paths)
    }

    /// Removes all checkpoints of a trial, however many.
    pub async fn delete_checkpoints(&self, study: StudyId, number: u64) -> Result<(), Error> {
        loop {
            let listed = self.checkpoints(study, number).await?;
            for path in &listed {
                self.delete(path).await?;
            }
            if listed.len() < CHECKPOINTS_LISTED_MAX {
                return self.remove_folder(&checkpoints_path(study, number)).await;
            }
        }
    }
}

/// Gives the file its name. Synced, as every artifact is.
fn publish(file: NamedTempFile, place: &std::path::Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(place).map_err(|error| error.error)?;
    place.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// The folder of a trial's checkpoints.
pub(super) fn checkpoints_path(study: StudyId, number: u64) -> Path {
    study_path(study).join(number.to_string()).join("checkpoints")
}

//! The weights of trials: one file for each attempt, under its attempt and nonce, so that an
//! attempt whose lease was lost cannot overwrite what the accepted one wrote.

use bytes::Bytes;
use object_store::ObjectStoreExt;

use super::{Artifacts, Error, bounded, named, parse, study_path};
use crate::limits::ARTIFACT_BYTES_MAX;
use crate::{Nonce, StudyId};

impl Artifacts {
    /// The path of the weights of one attempt. Only those of the attempt that `finish` accepted are
    /// ever read.
    pub fn model_path(study: StudyId, number: u64, attempt: u32, nonce: Nonce) -> String {
        study_path(study)
            .join(number.to_string())
            .join(format!("{attempt}-{nonce}"))
            .join("model.safetensors")
            .to_string()
    }

    /// Writes the weights of one attempt, whole or not at all, and returns their path. A second
    /// write replaces the first.
    pub async fn put_model(
        &self,
        study: StudyId,
        number: u64,
        attempt: u32,
        nonce: Nonce,
        bytes: Bytes,
    ) -> Result<String, Error> {
        let path = parse(&Artifacts::model_path(study, number, attempt, nonce))?;
        bounded(&path, bytes.len() as u64, ARTIFACT_BYTES_MAX as u64)?;
        self.is_there().await?;
        self.store.put(&path, bytes.into()).await.map_err(Error::Store)?;
        Ok(path.to_string())
    }

    /// The whole artifact at a path that [`put_model`](Self::put_model) returned.
    pub async fn get(&self, path: &str) -> Result<Bytes, Error> {
        self.is_there().await?;
        let found = self.store.get(&parse(path)?).await.map_err(|e| named(e, path))?;
        bounded(&found.meta.location, found.meta.size, ARTIFACT_BYTES_MAX as u64)?;
        found.bytes().await.map_err(|e| named(e, path))
    }
}

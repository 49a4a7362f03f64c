//! Models as files: their formats, and the command that converts one.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use actix_web::web::Bytes;
use anyhow::Context;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::config::Export;
use crate::limits;
use crate::report::{say, size};

/// The formats of a model, by the suffixes of their files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The weights as a trainer left them, with the network in the metadata.
    #[default]
    Safetensors,
    /// ONNX, opset 17.
    Onnx,
    /// What `keras.models.load_model` opens.
    Keras,
}

impl Format {
    const ALL: [Format; 3] = [Format::Safetensors, Format::Onnx, Format::Keras];

    /// Its name in a query, and the suffix of its files.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Format::Safetensors => "safetensors",
            Format::Onnx => "onnx",
            Format::Keras => "keras",
        }
    }

    /// Its media type. Neither safetensors nor ONNX has a registered one.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::Safetensors | Format::Onnx => "application/octet-stream",
            Format::Keras => "application/zip",
        }
    }

    /// The weights as a trainer left them, in this format.
    pub(crate) fn convert(self, safetensors: Bytes) -> Result<Bytes, export::Error> {
        match self {
            Format::Safetensors => Ok(safetensors),
            Format::Onnx => export::Model::read(&safetensors)?.to_onnx().map(Bytes::from),
            Format::Keras => export::Model::read(&safetensors)?.to_keras().map(Bytes::from),
        }
    }
}

/// A file for a model, whose suffix says the format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    path: PathBuf,
    format: Format,
}

impl FromStr for ModelFile {
    type Err = String;

    fn from_str(text: &str) -> Result<ModelFile, String> {
        let path = PathBuf::from(text);
        let suffix = path.extension().and_then(|suffix| suffix.to_str());
        let format = Format::ALL.into_iter().find(|format| suffix == Some(format.as_str()));
        let format = format.ok_or("a model's file ends with .safetensors, .onnx or .keras")?;
        Ok(ModelFile { path, format })
    }
}

impl ModelFile {
    /// The weights as they are, at `path`.
    pub(crate) fn safetensors(path: PathBuf) -> ModelFile {
        ModelFile { path, format: Format::Safetensors }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The format that its suffix says.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Fails if its folder does not exist: this is better known before the work than after it.
    pub(crate) fn check_folder(&self) -> anyhow::Result<()> {
        let folder = self.folder();
        anyhow::ensure!(
            folder.is_dir(),
            "there is no folder {} to write {} in",
            folder.display(),
            self.path.display()
        );
        Ok(())
    }

    /// Writes what `fill` writes, whole or not at all: under another name first. Returns what to
    /// say of it.
    pub(crate) fn write<E: From<anyhow::Error>>(
        &self,
        fill: impl FnOnce(&mut File) -> Result<(), E>,
    ) -> Result<String, E> {
        let path = self.path.display();
        let cannot = || format!("cannot write {path}");
        let mut builder = tempfile::Builder::new();
        // The permissions of any new file: the system applies the umask.
        builder.prefix(".chandler-").permissions(Permissions::from_mode(0o666));
        let mut file = builder.tempfile_in(self.folder()).with_context(cannot)?;
        fill(file.as_file_mut())?;
        let written = file.persist(&self.path).map_err(|error| error.error).with_context(cannot)?;
        let bytes = written.metadata().with_context(cannot)?.len();
        Ok(format!("Wrote {path} ({})", size(bytes)))
    }

    /// Writes the weights in its format. Returns what to say of it.
    pub(crate) fn write_weights(&self, safetensors: Bytes) -> anyhow::Result<String> {
        let model = self.format.convert(safetensors)?;
        self.write(|file| {
            file.write_all(&model).with_context(|| format!("cannot write {}", self.path.display()))
        })
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }
}

/// `chandler export`: writes the model in a file in another format.
pub fn export(Export { model, output }: &Export) -> anyhow::Result<ExitCode> {
    let cannot = || format!("cannot read {}", model.display());
    let bytes = std::fs::metadata(model).with_context(cannot)?.len();
    anyhow::ensure!(
        bytes <= limits::ARTIFACT_BYTES_MAX as u64,
        "{} is larger than the weights of any trial, which have at most {}",
        model.display(),
        size(limits::ARTIFACT_BYTES_MAX as u64)
    );
    let weights = std::fs::read(model).with_context(cannot)?;
    // Checked for every format: only a model of a trial is written under the name of one.
    export::Model::read(&weights).with_context(cannot)?;
    say(output.write_weights(weights.into())?);
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_of_a_file_says_the_format() {
        for (name, format) in [
            ("best.safetensors", Some(Format::Safetensors)),
            ("models/best.v2.onnx", Some(Format::Onnx)),
            ("best.keras", Some(Format::Keras)),
            ("best.ONNX", None),
            ("best.h5", None),
            ("onnx", None),
            (".onnx", None),
            ("", None),
        ] {
            assert_eq!(name.parse::<ModelFile>().ok().map(|file| file.format()), format, "{name}");
        }
    }

    #[test]
    fn a_file_is_written_whole_or_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("best.onnx");
        let file: ModelFile = path.display().to_string().parse().unwrap();
        let said = file.write::<anyhow::Error>(|file| Ok(file.write_all(b"first")?)).unwrap();
        assert_eq!(said, format!("Wrote {} (5 bytes)", path.display()));
        let error = file.write::<anyhow::Error>(|file| {
            file.write_all(b"half")?;
            anyhow::bail!("the line broke")
        });
        assert_eq!(error.unwrap_err().to_string(), "the line broke");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        let nowhere: ModelFile = folder.path().join("none/best.onnx").display().to_string().parse().unwrap();
        assert!(nowhere.check_folder().unwrap_err().to_string().contains("there is no folder"));
    }
}

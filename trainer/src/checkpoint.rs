//! Everything that a trial's next epoch depends on, as a safetensors file: from it, another process
//! goes on to the same bits.
//!
//! Numbers go from the models to the file and back one tensor at a time; a copy of all would be as
//! large as the trial.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use candle_core::{DType, Device, Tensor};
use hpo::training::{Patience, Plateau};
use safetensors::tensor::{Metadata, TensorInfo};
use serde::{Deserialize, Serialize};

use crate::engine::{Error, Model, Part};
use crate::limits;
use crate::weights::{Best, Weights};

/// The progress of a trial, without its tensors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Epochs done.
    pub(crate) epoch: u32,
    /// The values reported after each epoch; f32 as bits.
    pub(crate) curve: Vec<Vec<u32>>,
    /// The state of early stopping.
    pub(crate) patience: Patience,
    /// The state of the learning rate's reduction.
    pub(crate) plateau: Plateau,
    /// Whether a callback has ended the training.
    pub(crate) is_over: bool,
    /// How long the trial has run, in ms. All numbers here are whole, so that they are read back as
    /// they were for the checksum.
    pub(crate) spent_ms: u64,
}

/// What a checkpoint belongs to: from it, only this trial on this class of device goes on to the
/// same bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CheckpointKey {
    /// The trial: its study, and its number in it.
    pub(crate) study: String,
    pub(crate) number: u64,
    /// The numerics class of the device: see [`crate::device::DeviceInfo::numerics`].
    pub(crate) numerics: String,
    /// The hash of the dataset.
    pub(crate) dataset: String,
    /// How many models the trial trains in lockstep.
    pub(crate) runs: usize,
}

/// The metadata of the file.
#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(flatten)]
    key: CheckpointKey,
    /// Value as bits, and epoch, of the best.
    best: Option<(u64, u32)>,
    progress: Progress,
    /// CRC-32 of this with 0 in its place, of the names and of the numbers: disks and copies flip
    /// bits, and a single one would change the result.
    checksum: u32,
}

/// The key of the head in the metadata.
const HEAD: &str = "chandler-checkpoint";
/// The buffers for writing and reading, which go number by number.
const BUFFER_BYTES: usize = 1 << 16;
/// Prefix of the names of the best weights.
const BEST: &str = "best.";

/// Prefix of the names of a run's tensors.
fn of_run(run: usize) -> String {
    format!("runs.{run}.")
}

/// Writes a trial after an epoch: the state of each run's model, the best weights so far, and the
/// rest.
pub(crate) fn write(
    file: &File,
    key: &CheckpointKey,
    models: &[&Model],
    best: Option<&Best>,
    progress: &Progress,
) -> io::Result<()> {
    let mut parts: Vec<Part> = Vec::new();
    for (run, model) in models.iter().enumerate() {
        parts.extend(
            model.state().map_err(io::Error::other)?.into_iter().map(|part| part.below(&of_run(run))),
        );
    }
    let weights = best.into_iter().flat_map(|best| best.weights.named());
    parts.extend(weights.map(|(name, tensor)| Part::of(format!("{BEST}{name}"), tensor)));
    // Wide numbers first, which keeps all of them aligned, and always in the same order, so that the
    // same checkpoint is the same file.
    parts.sort_by(|a, b| {
        b.dtype.size_in_bytes().cmp(&a.dtype.size_in_bytes()).then_with(|| a.name.cmp(&b.name))
    });
    let best = best.map(|best| (best.value.to_bits(), best.epoch));
    let mut head = Head { key: key.clone(), best, progress: progress.clone(), checksum: 0 };
    // In a pass of its own, since the header comes first.
    let mut hashed = Hashed::of(&head, parts.iter().map(|part| part.name.as_str()))?;
    for part in &parts {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, &mut hashed);
        part.write(&mut out)?;
        out.flush()?;
    }
    head.checksum = hashed.0.finalize();

    let header = header(&parts, &head)?;
    let bytes = header.len() as u64 + parts.iter().map(Part::bytes).sum::<u64>();
    if bytes > limits::CHECKPOINT_BYTES_MAX || header.len() as u64 > limits::CHECKPOINT_HEADER_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it would have {bytes} bytes, the limit is {}",
            limits::CHECKPOINT_BYTES_MAX
        )));
    }
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    parts.iter().try_for_each(|part| part.write(&mut out))?;
    out.flush()
}

/// Computes the checksum of what is written to it.
struct Hashed(crc32fast::Hasher);

impl Hashed {
    /// With what comes before the numbers.
    fn of<'a>(head: &Head, names: impl Iterator<Item = &'a str>) -> io::Result<Hashed> {
        let mut hashed = Hashed(crc32fast::Hasher::new());
        hashed.0.update(&serde_json::to_vec(head)?);
        names.for_each(|name| hashed.0.update(name.as_bytes()));
        Ok(hashed)
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The header of a safetensors file with these tensors, one after the other.
fn header(parts: &[Part], head: &Head) -> io::Result<Vec<u8>> {
    let mut end = 0;
    let infos = parts.iter().map(|part| {
        let begin = end;
        end += part.bytes() as usize;
        (
            part.name.clone(),
            TensorInfo { dtype: part.dtype.into(), shape: part.shape.clone(), data_offsets: (begin, end) },
        )
    });
    let infos = infos.collect();
    let metadata = HashMap::from([(HEAD.to_owned(), serde_json::to_string(head)?)]);
    let metadata = Metadata::new(Some(metadata), infos).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

/// A checkpoint that has been written.
pub(crate) struct Checkpoint {
    file: BufReader<File>,
    header: Metadata,
    /// The position of the first number.
    begin: u64,
    head: Head,
}

impl Checkpoint {
    /// The checkpoint in a file; none if it belongs to something else, or is damaged.
    pub(crate) fn open(file: File, key: &CheckpointKey) -> Option<Checkpoint> {
        let bytes = file.metadata().ok()?.len();
        let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut length = [0; 8];
        file.read_exact(&mut length).ok()?;
        let length = u64::from_le_bytes(length);
        let begin = length
            .checked_add(8)
            .filter(|begin| *begin <= bytes && length <= limits::CHECKPOINT_HEADER_BYTES_MAX)?;
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).ok()?;
        let header: Metadata = serde_json::from_slice(&header).ok()?;
        let mut head: Head = serde_json::from_str(header.metadata().as_ref()?.get(HEAD)?).ok()?;
        if begin.checked_add(header.data_len() as u64) != Some(bytes) || head.key != *key {
            return None;
        }
        let checksum = std::mem::take(&mut head.checksum);
        let mut hashed = Hashed::of(&head, header.offset_keys().iter().map(String::as_str)).ok()?;
        io::copy(&mut file, &mut hashed).ok()?;
        (hashed.0.finalize() == checksum).then_some(Checkpoint { file, header, begin, head })
    }

    /// Gives the models the states that were written, and returns the rest. After an error the
    /// models are neither what they were nor what was written.
    pub(crate) fn restore<'m>(
        mut self,
        models: impl Iterator<Item = &'m mut Model>,
    ) -> Result<(Option<Best>, Progress), Error> {
        for (run, model) in models.enumerate() {
            model.restore(&mut |name| self.tensor(&(of_run(run) + name)))?;
        }
        let names = self.header.offset_keys();
        let mut weights = Vec::new();
        for name in names.iter().filter_map(|name| name.strip_prefix(BEST)) {
            let tensor = self.tensor(&format!("{BEST}{name}"))?;
            weights.extend(tensor.map(|tensor| (name.to_owned(), tensor)));
        }
        let Head { best, progress, .. } = self.head;
        let best = best.map(|(value, epoch)| Best {
            value: f64::from_bits(value),
            epoch,
            weights: Weights::of(weights),
        });
        Ok((best, progress))
    }

    /// The tensor of this name, if there is one.
    fn tensor(&mut self, name: &str) -> candle_core::Result<Option<Tensor>> {
        let Some(info) = self.header.info(name) else { return Ok(None) };
        let (begin, end) = info.data_offsets;
        let (dtype, shape) = (DType::try_from(info.dtype)?, info.shape.clone());
        let mut bytes = vec![0; end - begin];
        self.file.seek(SeekFrom::Start(self.begin + begin as u64))?;
        self.file.read_exact(&mut bytes)?;
        Tensor::from_raw_buffer(&bytes, dtype, &shape, &Device::Cpu).map(Some)
    }
}

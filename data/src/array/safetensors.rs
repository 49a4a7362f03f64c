//! Safetensors: a header in JSON with the names and positions of tensors, then their values
//! (little-endian).
//!
//! Format: github.com/huggingface/safetensors. The crate reads and checks the header; the values
//! are read from the file one tensor at a time, so that memory holds no copy of the file.
//! [`array`](crate::array) says what the values become.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::{Array, At, Header, Kind, Order};
use crate::Error;
use crate::bits::Bits;
use crate::error::listed;
use crate::folder::io_error;
use crate::limits;
use crate::reading::Reading;

/// A safetensors file whose tensors can be read by name.
pub(crate) struct Tensors<'a> {
    path: &'a str,
    file: BufReader<File>,
    header: Metadata,
    /// Where the values begin.
    begin: u64,
}

impl<'a> Tensors<'a> {
    pub(crate) fn open(path: &'a str, file: File, reading: &Reading) -> Result<Tensors<'a>, Error> {
        let at = At { path, array: None };
        let bytes = file.metadata().map_err(|source| io_error(path, source))?.len();
        let mut file = BufReader::with_capacity(1 << 16, file);
        let mut length = [0; 8];
        super::read_bytes(at, &mut file, 8, reading)?
            .into_iter()
            .zip(&mut length)
            .for_each(|(byte, slot)| *slot = byte);
        let length = u64::from_le_bytes(length);
        if length > limits::SAFETENSORS_HEADER_BYTES_MAX {
            let max = limits::SAFETENSORS_HEADER_BYTES_MAX;
            return Err(at.wrong(format!(
                "is not a safetensors file: its header would have {length} bytes, at most {max} are read"
            )));
        }
        let header = super::read_bytes(at, &mut file, length, reading)?;
        let header: Metadata = serde_json::from_slice(&header).map_err(|error| {
            at.wrong(format!("is not a safetensors file, or its header is damaged: {error}"))
        })?;
        if header.tensors().len() > limits::ARRAYS_MAX {
            return Err(Error::TooLarge {
                path: path.to_owned(),
                what: "the number of tensors".into(),
                max: limits::ARRAYS_MAX as u64,
            });
        }
        let end = header.tensors().values().map(|info| info.data_offsets.1).max().unwrap_or(0);
        let begin = 8 + length;
        if begin.checked_add(end as u64) != Some(bytes) {
            return Err(at.wrong(format!(
                "has {bytes} bytes, but its header announces {}; copy it again",
                begin.saturating_add(end as u64)
            )));
        }
        Ok(Tensors { path, file, header, begin })
    }

    /// The names of the tensors, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.header.tensors().into_keys().collect();
        names.sort_unstable();
        names
    }

    /// The tensor called `name`.
    pub(crate) fn array<'n>(
        &mut self,
        name: &'n str,
        bits: Bits,
        reading: &Reading,
    ) -> Result<Array<'n>, Error>
    where
        'a: 'n,
    {
        let at = At { path: self.path, array: Some(name) };
        let info = self.header.info(name).ok_or_else(|| {
            at.wrong(format!("the file has no such tensor; its tensors are {}", listed(&self.names())))
        })?;
        let kind = kind(info.dtype).ok_or_else(|| {
            at.wrong(format!("has the type {:?}; save it as integers, floats or booleans", info.dtype))
        })?;
        let (from, to) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
        let dims: Vec<u64> = info.shape.iter().map(|dim| *dim as u64).collect();
        self.file
            .seek(SeekFrom::Start(self.begin.saturating_add(from)))
            .map_err(|source| io_error(self.path, source))?;
        let values = (&mut self.file).take(to.saturating_sub(from));
        super::read(
            at,
            Header { dims, kind, order: Order::Little, first_is_fastest: false },
            bits,
            values,
            reading,
        )
    }
}

fn kind(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::BOOL => Kind::Bool,
        Dtype::U8 => Kind::U8,
        Dtype::I8 => Kind::I8,
        Dtype::U16 => Kind::U16,
        Dtype::I16 => Kind::I16,
        Dtype::U32 => Kind::U32,
        Dtype::I32 => Kind::I32,
        Dtype::U64 => Kind::U64,
        Dtype::I64 => Kind::I64,
        Dtype::F16 => Kind::F16,
        Dtype::BF16 => Kind::Bf16,
        Dtype::F32 => Kind::F32,
        Dtype::F64 => Kind::F64,
        _ => return None,
    })
}

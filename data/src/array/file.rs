//! Files with several arrays, which have names.

use hpo::dataset::ArrayFormat;

use super::Array;
use super::npz::Npz;
use super::safetensors::Tensors;
use crate::Error;
use crate::bits::Bits;
use crate::folder::Folder;
use crate::limits;
use crate::reading::Reading;

/// An open file of arrays.
pub(crate) enum ArrayFile<'a> {
    Npz(Npz<'a>),
    Safetensors(Tensors<'a>),
}

impl<'a> ArrayFile<'a> {
    pub(crate) fn open(
        format: ArrayFormat,
        path: &'a str,
        folder: &Folder,
        reading: &Reading,
    ) -> Result<ArrayFile<'a>, Error> {
        let file = folder.file(path, limits::DATASET_BYTES_MAX)?;
        Ok(match format {
            ArrayFormat::Npz => ArrayFile::Npz(Npz::open(path, file)?),
            ArrayFormat::Safetensors => ArrayFile::Safetensors(Tensors::open(path, file, reading)?),
        })
    }

    /// The names of the arrays, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            ArrayFile::Npz(npz) => npz.names(),
            ArrayFile::Safetensors(tensors) => tensors.names(),
        }
    }

    /// Checks that the arrays called `names` are within bounds together, if the format says so
    /// before they are read. A name that is not there has no size.
    pub(crate) fn check_size<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        reading: &Reading,
    ) -> Result<(), Error> {
        match self {
            ArrayFile::Npz(npz) => npz.check_size(names, reading),
            // A tensor's size is in the header, and is taken as the tensor is read.
            ArrayFile::Safetensors(_) => Ok(()),
        }
    }

    /// The array called `name`, kept in `bits`.
    pub(crate) fn array<'n>(
        &mut self,
        name: &'n str,
        bits: Bits,
        reading: &Reading,
    ) -> Result<Array<'n>, Error>
    where
        'a: 'n,
    {
        match self {
            ArrayFile::Npz(npz) => npz.array(name, bits, reading),
            ArrayFile::Safetensors(tensors) => tensors.array(name, bits, reading),
        }
    }
}

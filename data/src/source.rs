//! Reads the dataset of a study from its source, whichever that is.

use std::iter::once;

use hpo::dataset::{ArrayFormat, DatasetSpec, Files, Source};

use crate::array::{self, ArrayFile, At, idx};
use crate::bits::Bits;
use crate::folder::{Folder, Stamp};
use crate::reading::Reading;
use crate::rows::Rows;
use crate::table::{self, Wanted};
use crate::{Dataset, Error, builtin, images};

/// The state of all files that the dataset is read from. None for a dataset inside the binary.
pub(crate) fn stamps(folder: &Folder, spec: &DatasetSpec) -> Result<Vec<Stamp>, Error> {
    match &spec.source {
        Source::Builtin(_) => Ok(Vec::new()),
        Source::Table { path, .. } | Source::Arrays { path, .. } => Ok(vec![folder.stamp(path)?]),
        Source::Images(path) => Ok(vec![folder.stamp_all(path, images::find(folder, path)?.paths())?]),
        Source::Idx(files) => {
            let pairs = once(files).chain(&spec.validation);
            pairs.flat_map(|pair| [&pair.features, &pair.labels]).map(|path| folder.stamp(path)).collect()
        }
    }
}

/// The dataset, with its validation rows.
pub(crate) fn read(folder: &Folder, spec: &DatasetSpec, reading: &Reading) -> Result<Dataset, Error> {
    let positive = spec.positive_class.as_deref();
    let sealed = |rows: Rows, path| {
        hold(&rows, path, reading)?;
        reading.check()?;
        rows.seal(path, None, positive)
    };
    match &spec.source {
        Source::Builtin(name) => sealed(builtin::read(name, reading)?, name),
        Source::Table { path, format, label } => {
            let (weight, one_hot) = (spec.sample_weight.as_deref(), &spec.one_hot);
            let wanted = Wanted { label, weight, one_hot, bits: Bits::AsNeeded };
            sealed(table::read(*format, path, folder, wanted, reading)?, path)
        }
        Source::Arrays { path, format, arrays } => read_arrays(folder, spec, path, *format, arrays, reading),
        Source::Images(path) => sealed(images::find(folder, path)?.read(folder, reading)?, path),
        Source::Idx(files) => read_idx(folder, spec, files, reading),
    }
}

/// Takes the memory of `rows`, which may be less than reading them took.
fn hold(rows: &Rows, path: &str, reading: &Reading) -> Result<(), Error> {
    if reading.room.hold(rows.bytes().into()) {
        return Ok(());
    }
    Err(reading.room.exceeded(path, "the size in bytes of all its parts".into()))
}

/// The dataset of one pair of IDX files, and of a second one that validates. Validation rows are
/// kept in as many bits as the training rows, by whose statistics they are scaled.
fn read_idx(folder: &Folder, spec: &DatasetSpec, files: &Files, reading: &Reading) -> Result<Dataset, Error> {
    let pair = |Files { features, labels }: &Files, bits| {
        idx::read((features, folder.open(features)?), bits, (labels, folder.open(labels)?), reading)
    };
    let rows = pair(files, Bits::AsNeeded)?;
    hold(&rows, &files.labels, reading)?;
    let validation = match &spec.validation {
        Some(files) => Some((pair(files, rows.bits())?, files.features.as_str())),
        None => None,
    };
    reading.check()?;
    rows.seal(&files.labels, validation, spec.positive_class.as_deref())
}

/// The dataset of arrays in one file. Validation rows are kept in as many bits as the training rows.
fn read_arrays(
    folder: &Folder,
    spec: &DatasetSpec,
    path: &str,
    format: ArrayFormat,
    arrays: &Files,
    reading: &Reading,
) -> Result<Dataset, Error> {
    let mut file = ArrayFile::open(format, path, folder, reading)?;
    let pairs = once(arrays).chain(&spec.validation).flat_map(|pair| [&pair.features, &pair.labels]);
    file.check_size(pairs.chain(&spec.sample_weight).map(String::as_str), reading)?;
    let mut pair = |Files { features, labels }: &Files, bits| {
        array::rows(file.array(features, bits, reading)?, file.array(labels, Bits::Narrow, reading)?)
    };
    let mut rows = pair(arrays, Bits::AsNeeded)?;
    if let Some(weight) = &spec.sample_weight {
        let features = At { path, array: Some(&arrays.features) };
        let weights = file.array(weight, Bits::Narrow, reading)?;
        rows.weights = Some(array::weights(weights, &rows, features)?);
    }
    let validation = match &spec.validation {
        Some(arrays) => {
            let features = file.array(&arrays.features, rows.bits(), reading)?;
            let labels = file.array(&arrays.labels, Bits::Narrow, reading)?;
            Some((array::rows(features, labels)?, path))
        }
        None => None,
    };
    rows.seal(path, validation, spec.positive_class.as_deref())
}

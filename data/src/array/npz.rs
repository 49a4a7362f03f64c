//! NPZ, NumPy's file of named arrays: a ZIP of NPY files, stored or deflated, as Keras ships
//! `mnist.npz`.
//!
//! Format: numpy.org/doc/stable/reference/generated/numpy.lib.format.html. The header of an array
//! is a Python dictionary; only what NumPy writes is read. [`array`](crate::array) says what the
//! values become.
//!
//! Sizes are given twice: in the ZIP's directory, and in the header of each array. Those of the
//! directory are added up before an array is read, and the crate inflates no entry beyond its size;
//! those of the headers are added up as arrays are read.

use std::fs::File;
use std::io::{self, BufReader, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::{Array, At, Header, Kind, Order};
use crate::Error;
use crate::bits::Bits;
use crate::error::{listed, shown};
use crate::folder::io_error;
use crate::limits;
use crate::reading::Reading;

/// An NPZ file whose arrays can be read by name.
pub(crate) struct Npz<'a> {
    path: &'a str,
    zip: ZipArchive<BufReader<File>>,
}

impl<'a> Npz<'a> {
    pub(crate) fn open(path: &'a str, file: File) -> Result<Npz<'a>, Error> {
        let zip = ZipArchive::new(BufReader::with_capacity(1 << 16, file)).map_err(|error| match error {
            ZipError::Io(source) if source.kind() != io::ErrorKind::UnexpectedEof => io_error(path, source),
            error => wrong(
                path,
                format!(
                    "is not an NPZ file, or is truncated: {error}; copy it again, or write it with numpy.savez"
                ),
            ),
        })?;
        if zip.len() > limits::ARRAYS_MAX {
            return Err(Error::TooLarge {
                path: path.to_owned(),
                what: "the number of arrays".into(),
                max: limits::ARRAYS_MAX as u64,
            });
        }
        Ok(Npz { path, zip })
    }

    /// The names of the arrays, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .zip
            .file_names_raw()
            .filter_map(|name| std::str::from_utf8(name).ok()?.strip_suffix(".npy").map(str::to_owned))
            .collect();
        names.sort_unstable();
        names
    }

    /// Checks that the arrays called `names` are within bounds together, by what the directory says
    /// of them. One that is not there has no size.
    pub(crate) fn check_size<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        reading: &Reading,
    ) -> Result<(), Error> {
        let metadata = self.zip.metadata();
        let entry = |name: &str| {
            metadata.entry(self.zip.index_for_name(&entry_name(name))?).ok().map(|entry| entry.size())
        };
        let bytes = names.filter_map(entry).fold(0, u64::saturating_add);
        if bytes > reading.room.left() {
            return Err(reading.room.exceeded(self.path, "the size in bytes of its arrays together".into()));
        }
        Ok(())
    }

    /// The array called `name`. Checksum and size of its entry are checked on the way.
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
        let names = listed(&self.names());
        let mut entry = self.zip.by_name(&entry_name(name)).map_err(|error| match error {
            ZipError::FileNotFound => at.wrong(format!("the file has no such array; its arrays are {names}")),
            error => {
                at.wrong(format!("cannot be read: {error}; write it with numpy.savez or savez_compressed"))
            }
        })?;
        let header = header(at, &mut entry, reading).map_err(|error| damaged(at, error))?;
        super::read(at, header, bits, entry, reading).map_err(|error| damaged(at, error))
    }
}

fn entry_name(array: &str) -> String {
    format!("{array}.npy")
}

/// Adds the name of the array to an error about damage inside its entry.
fn damaged(at: At, error: Error) -> Error {
    match error {
        Error::Io { source, .. } => at.wrong(format!("is damaged: {source}; copy the file again")),
        other => other,
    }
}

fn wrong(path: &str, detail: String) -> Error {
    Error::Format { path: path.to_owned(), detail }
}

/// Reads the head of an NPY file: six bytes of magic, two of the version, the length of the header
/// (little-endian), the header.
fn header(at: At, input: &mut impl Read, reading: &Reading) -> Result<Header, Error> {
    let mut read = |count| super::read_bytes(at, input, count, reading);
    let head = read(8)?;
    let Some(&[major, _]) = head.strip_prefix(b"\x93NUMPY") else {
        return Err(at.wrong("is not a NumPy array: it must start with \\x93NUMPY".into()));
    };
    let length = match major {
        1 => read(2)?.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        2 | 3 => read(4)?.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        other => return Err(at.wrong(format!("has version {other} of NumPy's format; 1 to 3 are read"))),
    };
    if length > limits::NPY_HEADER_BYTES_MAX {
        return Err(at.wrong(format!(
            "has a header of {length} bytes; at most {} are read",
            limits::NPY_HEADER_BYTES_MAX
        )));
    }
    let text = read(length as u64)?;
    let text = String::from_utf8_lossy(&text);
    let fields =
        fields(&text).ok_or_else(|| at.wrong(format!("has a damaged header: {}", shown(text.trim()))))?;
    let (kind, order) = kind(fields.descr).ok_or_else(|| {
        at.wrong(format!("has the type {:?}; save it as integers, floats or booleans (astype)", fields.descr))
    })?;
    Ok(Header { dims: fields.dims, kind, order, first_is_fastest: fields.fortran_order })
}

struct Fields<'a> {
    descr: &'a str,
    fortran_order: bool,
    dims: Vec<u64>,
}

/// The three entries of `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`, in any
/// order. None where it is anything else.
fn fields(text: &str) -> Option<Fields<'_>> {
    let (mut descr, mut fortran_order, mut dims) = (None, None, None);
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let value = after.trim_start().strip_prefix(':')?.trim_start();
        rest = match key {
            // A structured type is a list and has no name.
            "descr" if value.starts_with('[') => {
                return Some(Fields { descr: "structured", fortran_order: false, dims: Vec::new() });
            }
            "descr" => {
                let (text, after) = quoted(value)?;
                descr = Some(text);
                after
            }
            "fortran_order" => {
                let after = value.strip_prefix("True").or_else(|| value.strip_prefix("False"))?;
                fortran_order = Some(value.starts_with("True"));
                after
            }
            "shape" => {
                let (inside, after) = value.strip_prefix('(')?.split_once(')')?;
                let inside = inside.trim().strip_suffix(',').unwrap_or(inside.trim());
                let numbers = inside.split(',').map(str::trim).filter(|_| !inside.is_empty());
                dims = Some(numbers.map(|number| number.parse().ok()).collect::<Option<_>>()?);
                after
            }
            _ => return None,
        };
        rest = rest.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Some(Fields { descr: descr?, fortran_order: fortran_order?, dims: dims? })
}

/// A string between quotes at the begin of `text`, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
    text[1..].split_once(quote)
}

/// The type that NumPy calls `descr`, such as `<f4`.
fn kind(descr: &str) -> Option<(Kind, Order)> {
    let name = descr.strip_prefix(['<', '>', '|', '='])?;
    let kind = match name {
        "b1" => Kind::Bool,
        "u1" => Kind::U8,
        "i1" => Kind::I8,
        "u2" => Kind::U16,
        "i2" => Kind::I16,
        "u4" => Kind::U32,
        "i4" => Kind::I32,
        "u8" => Kind::U64,
        "i8" => Kind::I64,
        "f2" => Kind::F16,
        "f4" => Kind::F32,
        "f8" => Kind::F64,
        _ => return None,
    };
    Some((kind, if descr.starts_with('>') { Order::Big } else { Order::Little }))
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::room::Room;

    /// An NPZ of these arrays of bytes `(rows)`, all zeros, whose directory says `size` of each, if
    /// that is given.
    fn zeros(arrays: &[(&str, usize)], size: Option<u32>) -> File {
        let mut zip = ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, rows) in arrays {
            zip.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
            let fields = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({rows},), }}\n");
            zip.write_all(
                &[
                    b"\x93NUMPY\x01\x00",
                    &(fields.len() as u16).to_le_bytes()[..],
                    fields.as_bytes(),
                    &vec![0; *rows],
                ]
                .concat(),
            )
            .unwrap();
        }
        let mut bytes = zip.finish().unwrap().into_inner();
        let entries: Vec<usize> =
            (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(b"PK\x01\x02")).collect();
        assert_eq!(entries.len(), arrays.len());
        for at in entries {
            size.iter().for_each(|size| bytes[at + 24..at + 28].copy_from_slice(&size.to_le_bytes()));
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn reading(bytes: u64) -> Reading<'static> {
        Reading::brief("a.npz", Room::of(bytes))
    }

    fn bound() -> Reading<'static> {
        reading(limits::DATASET_BYTES_MAX)
    }

    #[test]
    fn arrays_that_are_too_large_together_are_refused_before_one_is_read() {
        let half = limits::DATASET_BYTES_MAX as u32 / 2;
        let check = |size, names: &[&str]| {
            Npz::open("a.npz", zeros(&[("x", 9), ("y", 9), ("z", 9)], size))
                .unwrap()
                .check_size(names.iter().copied(), &bound())
        };
        assert_eq!(
            check(Some(half + 1), &["x", "y"]).unwrap_err().to_string(),
            "a.npz: the size in bytes of its arrays together exceeds the bound of 1073741824"
        );
        // Those that nobody asked for may be larger.
        check(Some(half), &["x", "y"]).unwrap();
        check(Some(half), &["x", "none"]).unwrap();
        check(None, &["x", "y", "z"]).unwrap();
    }

    #[test]
    fn an_entry_does_not_inflate_past_what_the_directory_says() {
        let rows = 1 << 22;
        let mut npz = Npz::open("a.npz", zeros(&[("x", rows)], Some(1_000))).unwrap();
        let message = npz.array("x", Bits::AsNeeded, &bound()).unwrap_err().to_string();
        assert!(
            message.contains("array \"x\": is damaged: File is larger than its declared uncompressed size"),
            "{message}"
        );
        assert!(
            Npz::open("a.npz", zeros(&[("x", rows)], None))
                .unwrap()
                .array("x", Bits::AsNeeded, &bound())
                .is_ok()
        );
    }

    #[test]
    fn arrays_of_a_file_share_one_bound() {
        let (mut npz, reading) =
            (Npz::open("a.npz", zeros(&[("x", 60), ("y", 60)], None)).unwrap(), reading(100));
        npz.array("x", Bits::AsNeeded, &reading).unwrap();
        let message = npz.array("y", Bits::AsNeeded, &reading).unwrap_err().to_string();
        assert!(
            message.starts_with(
                "a.npz: the size in bytes of [60] and of the arrays before it, of the array \"y\""
            ),
            "{message}"
        );
    }
}

//! NPZ, NumPy's file of named arrays: a ZIP of NPY files, stored or deflated, as Keras ships `mnist.npz`.
//!
//! Format: numpy.org/doc/stable/reference/generated/numpy.lib.format.html. The header of an array is a Python dictionary, of which only what NumPy
//! writes is read. What becomes of the values: see [`array`](crate::array).

use std::fs::File;
use std::io::{self, BufReader, Read};

use hpo::limits;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::Error;
use crate::array::{self, Array, At, Header, Kind, Order};
use crate::folder::io_error;
use crate::table::listed;

/// An NPZ file whose arrays can be read by name.
pub(crate) struct Npz<'a> {
    path: &'a str,
    zip: ZipArchive<BufReader<File>>,
}

impl<'a> Npz<'a> {
    pub(crate) fn open(path: &'a str, file: File) -> Result<Npz<'a>, Error> {
        let zip = ZipArchive::new(BufReader::with_capacity(1 << 16, file)).map_err(|error| match error {
            ZipError::Io(source) if source.kind() != io::ErrorKind::UnexpectedEof => io_error(path, source),
            error => wrong(path, format!("is no NPZ file, or is cut off: {error}; copy it again, or write it with numpy.savez")),
        })?;
        if zip.len() > limits::ARRAYS_MAX {
            return Err(Error::TooLarge { path: path.to_owned(), what: "the number of arrays".into(), max: limits::ARRAYS_MAX as u64 });
        }
        Ok(Npz { path, zip })
    }

    /// The names of the arrays, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.zip.file_names_raw().filter_map(|name| std::str::from_utf8(name).ok()?.strip_suffix(".npy").map(str::to_owned)).collect();
        names.sort_unstable();
        names
    }

    /// The array called `name`. The checksum of its entry is checked on the way.
    pub(crate) fn array<'n>(&mut self, name: &'n str) -> Result<Array<'n>, Error>
    where
        'a: 'n,
    {
        let at = At { path: self.path, array: Some(name) };
        let names = listed(&self.names());
        let mut entry = self.zip.by_name(&format!("{name}.npy")).map_err(|error| match error {
            ZipError::FileNotFound => at.wrong(format!("the file has no such array; its arrays are {names}")),
            error => at.wrong(format!("can't be read: {error}; write it with numpy.savez or savez_compressed")),
        })?;
        let header = header(at, &mut entry).map_err(|error| damaged(at, error))?;
        array::read(at, header, entry).map_err(|error| damaged(at, error))
    }
}

/// Says of damage inside an entry which array it is.
fn damaged(at: At, error: Error) -> Error {
    match error {
        Error::Io { source, .. } => at.wrong(format!("is damaged: {source}; copy the file again")),
        other => other,
    }
}

fn wrong(path: &str, detail: String) -> Error {
    Error::Format { path: path.to_owned(), detail }
}

/// Reads the head of an NPY file: six bytes of magic, two of the version, the length of the header (little-endian), the header.
fn header(at: At, input: &mut impl Read) -> Result<Header, Error> {
    let head = array::read_bytes(at, input, 8)?;
    let Some(&[major, _]) = head.strip_prefix(b"\x93NUMPY") else {
        return Err(at.wrong("is no NumPy array: it must start with \\x93NUMPY".into()));
    };
    let length = match major {
        1 => array::read_bytes(at, input, 2)?.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        2 | 3 => array::read_bytes(at, input, 4)?.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        other => return Err(at.wrong(format!("has version {other} of NumPy's format; 1 to 3 are read"))),
    };
    if length > limits::NPY_HEADER_BYTES_MAX {
        return Err(at.wrong(format!("has a header of {length} bytes; at most {} are read", limits::NPY_HEADER_BYTES_MAX)));
    }
    let text = array::read_bytes(at, input, length as u64)?;
    let text = String::from_utf8_lossy(&text);
    let fields = fields(&text).ok_or_else(|| at.wrong(format!("has a damaged header: {}", crate::table::shown(text.trim()))))?;
    if fields.fortran_order && fields.dims.len() > 1 {
        return Err(at.wrong("is stored column by column (Fortran order); save numpy.ascontiguousarray of it".into()));
    }
    let (kind, order) = kind(fields.descr)
        .ok_or_else(|| at.wrong(format!("has the type {:?}; save it as integers, floats or booleans (astype)", fields.descr)))?;
    Ok(Header { dims: fields.dims, kind, order })
}

struct Fields<'a> {
    descr: &'a str,
    fortran_order: bool,
    dims: Vec<u64>,
}

/// The three entries of `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`, in any order. None where it is anything else.
fn fields(text: &str) -> Option<Fields<'_>> {
    let (mut descr, mut fortran_order, mut dims) = (None, None, None);
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let value = after.trim_start().strip_prefix(':')?.trim_start();
        rest = match key {
            // A structured type is a list, which has no name here.
            "descr" if value.starts_with('[') => return Some(Fields { descr: "structured", fortran_order: false, dims: Vec::new() }),
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

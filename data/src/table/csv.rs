//! CSV with a header. [`table`](crate::table) says what its columns become.

use std::io::{self, Read};

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::columns::{Columns, Role, check_header};
use super::text::{Budget, Lines};
use super::{Cell, Wanted};
use crate::Error;
use crate::bits::Number;
use crate::error::shown;
use crate::folder::io_error;
use crate::limits;
use crate::reading::Reading;
use crate::rows::Rows;

/// The rows of the CSV in `input`; `path` names it in errors.
pub(crate) fn read(path: &str, input: impl Read, wanted: Wanted, reading: &Reading) -> Result<Rows, Error> {
    let mut csv = Csv::open(path, input, reading)?;
    let mut columns = Columns::new(path, &csv.header, wanted, &reading.room)?;
    let mut record = ByteRecord::new();
    let mut rows = 0;
    while let Some(line) = csv.next(&mut record)? {
        columns.hold(rows + 1)?;
        for (column, field) in record.iter().enumerate() {
            cell(columns.role(column), field.trim_ascii())
                .and_then(|cell| columns.set(rows as usize, column, cell))
                .map_err(|detail| csv.wrong(line, column, detail))?;
        }
        rows += 1;
    }
    if rows == 0 {
        return Err(csv.format("has a header and no rows".into()));
    }
    columns.finish()
}

/// The names of the columns, for a listing.
pub(crate) fn columns(path: &str, input: impl Read, reading: &Reading) -> Result<Vec<String>, Error> {
    Ok(Csv::open(path, input, reading)?.header)
}

/// A field of a column: a number if it can be one.
fn cell(role: Role, field: &[u8]) -> Result<Cell<'_>, String> {
    let what = if role == Role::Label { "label" } else { "field" };
    let text = std::str::from_utf8(field).map_err(|_| format!("the {what} is not UTF-8"))?;
    if text.is_empty() {
        return Err(format!("the {what} is empty; fill it or leave the line out"));
    }
    // A category is its text: 01 is not 1.
    if matches!(role, Role::Category(..)) && (text.parse::<f64>().is_err() || text.parse::<i64>().is_ok()) {
        return Ok(Cell::Text(text));
    }
    match Number::parse(text) {
        Some(number) if !number.narrow.is_finite() => {
            Err(format!("{} is not a finite 32-bit float; clean the file", shown(text)))
        }
        Some(number) => {
            Ok(text.parse::<u32>().map_or(Cell::Number(number), |whole| Cell::Integer(i64::from(whole))))
        }
        None => Ok(Cell::Text(text)),
    }
}

/// Bytes that are read at once; before each piece the reading is checked.
const BUFFER_BYTES: usize = 1 << 16;

struct Csv<'a, R> {
    path: &'a str,
    reading: &'a Reading<'a>,
    reader: Reader<Budget<'a, Lines<R>>>,
    header: Vec<String>,
}

impl<'a, R: Read> Csv<'a, R> {
    fn open(path: &'a str, input: R, reading: &'a Reading<'a>) -> Result<Csv<'a, R>, Error> {
        let input = Budget::of(Lines::of(input), reading);
        // Fields are trimmed later: what is in them counts the lines.
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(input);
        let mut csv = Csv { path, reading, reader, header: Vec::new() };
        let mut record = ByteRecord::new();
        if csv.next(&mut record)?.is_none() {
            return Err(csv.format("is empty; its first line must name the columns".into()));
        }
        for (column, name) in record.iter().enumerate() {
            let name = std::str::from_utf8(name.trim_ascii());
            let name = name.map_err(|_| {
                csv.format(format!("the name of column {} is not UTF-8; save the file as UTF-8", column + 1))
            })?;
            if name.contains('\0') {
                return Err(
                    csv.format("has bytes of 0 in its header, as UTF-16 has; save it as UTF-8".into())
                );
            }
            csv.header.push(name.to_owned());
        }
        check_header(path, &csv.header)?;
        Ok(csv)
    }

    /// Reads the next record and returns the line in the file where it starts, from 1.
    fn next(&mut self, record: &mut ByteRecord) -> Result<Option<u64>, Error> {
        self.reader.get_mut().begin_record();
        match self.reader.read_byte_record(record) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => {
                self.reading.check()?; // why the input ended
                return Err(match error.into_kind() {
                    csv::ErrorKind::Io(source) if source.kind() == io::ErrorKind::FileTooLarge => {
                        let line = self.reader.position().line();
                        let what =
                            format!("the size in bytes of the record at line {line}, or of the whole,");
                        self.too_large(&what, limits::CSV_RECORD_BYTES_MAX)
                    }
                    csv::ErrorKind::Io(source) => io_error(self.path, source),
                    other => self.format(format!("is not CSV: {other:?}")),
                });
            }
        }
        // The reader is behind the record now. Blank lines may lie before the record.
        let within = record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
        let begun = self.reader.position().line() - within;
        // Every record ends with its line, except one in which a quote has swallowed the end.
        if self.reader.get_ref().has_ended() {
            return Err(
                self.format(format!("the record at line {begun} has a quote that is not closed; close it"))
            );
        }
        let line = begun - 1;
        let (fields, names) = (record.len(), self.header.len());
        if names > 0 && fields != names {
            let detail =
                format!("the line has {fields} fields, but the header has {names}; correct the line");
            return Err(self.wrong(line, fields.min(names), detail));
        }
        Ok(Some(line))
    }

    fn wrong(&self, line: u64, column: usize, detail: String) -> Error {
        let column = self.header.get(column).cloned().unwrap_or_else(|| format!("{} (nameless)", column + 1));
        Error::Field { path: self.path.to_owned(), line, column, detail }
    }

    fn format(&self, detail: String) -> Error {
        Error::Format { path: self.path.to_owned(), detail }
    }

    fn too_large(&self, what: &str, max: u64) -> Error {
        Error::TooLarge { path: self.path.to_owned(), what: what.to_owned(), max }
    }
}

#[cfg(test)]
mod tests;

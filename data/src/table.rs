//! Tables: one column has the labels, one may have the weights, all others are features in the
//! file's order.
//!
//! The values of the label column say what the labels are. If all are numbers, they are classes if
//! they are whole (in a CSV `3`, not `3.0`; in a Parquet file of an integer type) and exactly 0, 1,
//! … k−1 occur, k ≥ 2; otherwise they are the values of a regression. If all are texts, they are
//! classes, numbered in the order of their bytes. Numbers mixed with texts are an error, since that
//! is usually a slip.
//!
//! A column that `one_hot` names becomes columns of 0 and 1 in its place, one for each category:
//! integers in the order of their sizes, other texts in the order of their bytes. The categories
//! are those of the whole file, not of the training rows, so that the rows of every split and every
//! fold have one shape.
//!
//! `columns` collects the values, with `labels` and `categories` for their columns. A format's file
//! takes that format apart; those that are text share `text`.

mod categories;
mod columns;
pub(crate) mod csv;
mod labels;
mod parquet;
mod text;

use hpo::dataset::TableFormat;

use crate::Error;
use crate::bits::{Bits, Number};
use crate::error::shown;
use crate::folder::Folder;
use crate::limits;
use crate::reading::Reading;
use crate::rows::Rows;

/// What a study wants of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The column with the labels.
    pub(crate) label: &'a str,
    /// The column with the weights.
    pub(crate) weight: Option<&'a str>,
    /// The columns of categories.
    pub(crate) one_hot: &'a [String],
    /// The bits in which numbers are kept.
    pub(crate) bits: Bits,
}

/// The rows of the table at `path`.
pub(crate) fn read(
    format: TableFormat,
    path: &str,
    folder: &Folder,
    wanted: Wanted,
    reading: &Reading,
) -> Result<Rows, Error> {
    let read = |bits| {
        let wanted = Wanted { bits, ..wanted };
        match format {
            TableFormat::Csv => csv::read(path, folder.open(path)?, wanted, reading),
            TableFormat::Parquet => {
                parquet::read(path, folder.file(path, limits::DATASET_BYTES_MAX)?, wanted, reading)
            }
        }
    };
    let rows = read(wanted.bits)?;
    // Whether a column needs 64 bits is known once all of it was read; then it is read again.
    if rows.needs_64 {
        drop(rows);
        return read(Bits::Wide);
    }
    Ok(rows)
}

/// The names of the columns of the table at `path`, for a listing.
pub(crate) fn columns(
    format: TableFormat,
    path: &str,
    folder: &Folder,
    reading: &Reading,
) -> Result<Vec<String>, Error> {
    match format {
        TableFormat::Csv => csv::columns(path, folder.open(path)?, reading),
        TableFormat::Parquet => parquet::columns(path, folder.file(path, limits::DATASET_BYTES_MAX)?),
    }
}

/// One value of a table.
#[derive(Debug, Clone, Copy)]
enum Cell<'a> {
    Text(&'a str),
    /// A whole number of an integer type, or written like one.
    Integer(i64),
    Number(Number),
}

/// The number in a cell, finite in 32 bits.
fn number(cell: Cell) -> Result<Number, String> {
    let number = match cell {
        Cell::Integer(whole) => Number::from(whole),
        Cell::Number(number) => number,
        Cell::Text(text) => return Err(format!("{} is not a number", shown(text))),
    };
    let narrow = number.narrow;
    if narrow.is_finite() {
        Ok(number)
    } else {
        Err(format!("{narrow} is not a finite 32-bit float; clean the file"))
    }
}

/// A text that is kept, as the name of a class or of a category, is short.
fn check_name(what: &str, text: &str) -> Result<(), String> {
    let (bytes, max) = (text.len(), limits::CLASS_NAME_BYTES_MAX);
    if bytes > max {
        return Err(format!(
            "the {what} {}… has {bytes} bytes, at most {max} are possible; is this the right column?",
            shown(text)
        ));
    }
    Ok(())
}

//! Parquet: flat columns of booleans, integers, floats and texts, without nulls.
//! [`table`](crate::table) says what they become.
//!
//! Format: parquet.apache.org. The crate decodes pages. What a damaged or hostile file can make it
//! allocate is bounded before that: by the number of rows, which has a bound of its own, by the
//! sizes of columns in the footer, and by the headers of [`pages`].

mod pages;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use half::f16;
use parquet::basic::{Compression, ConvertedType, Encoding, LogicalType, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor};

use self::pages::Refused;
use super::columns::Columns;
use super::{Cell, Wanted};
use crate::Error;
use crate::bits::Number;
use crate::folder::io_error;
use crate::limits;
use crate::reading::Reading;
use crate::rows::Rows;

/// The rows of the Parquet file `file`; `path` names it in errors.
pub(crate) fn read(path: &str, file: File, wanted: Wanted, reading: &Reading) -> Result<Rows, Error> {
    unpanicked(path, || {
        let pages = file.try_clone().map_err(|source| io_error(path, source))?;
        let reader = open(path, file)?;
        let header = header(&reader);
        let columns = Columns::new(path, &header, wanted, &reading.room)?;
        let descriptors = reader.metadata().file_metadata().schema_descr().columns().to_vec();
        Parquet { path, reading, header, descriptors, columns }.read(&reader, &pages)
    })
}

/// The names of the columns, for a listing.
pub(crate) fn columns(path: &str, file: File) -> Result<Vec<String>, Error> {
    unpanicked(path, || Ok(header(&open(path, file)?)))
}

/// The crate panics over some damaged files; a request or a slot must survive that.
fn unpanicked<T>(path: &str, read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(wrong(path, "is damaged; copy it or write it again".into())))
}

fn open(path: &str, file: File) -> Result<SerializedFileReader<File>, Error> {
    let footer = footer_bytes(&file).map_err(|source| io_error(path, source))?;
    if footer > limits::PARQUET_FOOTER_BYTES_MAX {
        let what = "the size in bytes of the footer".into();
        return Err(Error::TooLarge { path: path.to_owned(), what, max: limits::PARQUET_FOOTER_BYTES_MAX });
    }
    SerializedFileReader::new(file).map_err(|error| {
        wrong(path, format!("is not a Parquet file, or is truncated: {error}; copy it again"))
    })
}

/// The length that the footer says it has; 0 if there is none.
fn footer_bytes(file: &File) -> io::Result<u64> {
    let mut end = [0; 8];
    let Some(at) = file.metadata()?.len().checked_sub(end.len() as u64) else { return Ok(0) };
    let mut file = file;
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut end)?;
    file.rewind()?;
    let [a, b, c, d, magic @ ..] = end;
    Ok(if magic == *b"PAR1" { u32::from_le_bytes([a, b, c, d]).into() } else { 0 })
}

fn header(reader: &SerializedFileReader<File>) -> Vec<String> {
    reader
        .metadata()
        .file_metadata()
        .schema_descr()
        .columns()
        .iter()
        .map(|column| column.path().string())
        .collect()
}

fn wrong(path: &str, detail: String) -> Error {
    Error::Format { path: path.to_owned(), detail }
}

struct Parquet<'a> {
    path: &'a str,
    reading: &'a Reading<'a>,
    header: Vec<String>,
    descriptors: Vec<ColumnDescPtr>,
    columns: Columns<'a>,
}

impl Parquet<'_> {
    fn read(mut self, reader: &SerializedFileReader<File>, file: &File) -> Result<Rows, Error> {
        for (name, descriptor) in self.header.iter().zip(&self.descriptors) {
            check_type(name, descriptor)
                .map_err(|detail| wrong(self.path, format!("column {name:?} {detail}")))?;
        }
        let groups: Vec<u64> = reader
            .metadata()
            .row_groups()
            .iter()
            .map(|group| u64::try_from(group.num_rows()).unwrap_or(u64::MAX))
            .collect();
        let rows = groups.iter().fold(0u64, |rows, group| rows.saturating_add(*group));
        if rows == 0 {
            return Err(wrong(self.path, "has columns and no rows".into()));
        }
        if rows > limits::DATASET_ROWS_MAX {
            return Err(Error::TooLarge {
                path: self.path.to_owned(),
                what: "the number of rows".into(),
                max: limits::DATASET_ROWS_MAX,
            });
        }
        self.columns.hold(rows)?;
        self.check_pages(reader, file)?;
        self.columns.prepare(rows);
        let mut begin = 0;
        for (at, rows) in groups.into_iter().enumerate() {
            let group = reader
                .get_row_group(at)
                .map_err(|error| wrong(self.path, format!("row group {at}: {error}")))?;
            for column in 0..self.descriptors.len() {
                let damaged = |error: ParquetError| {
                    wrong(self.path, format!("column {:?}: {error}", self.header[column]))
                };
                let pages = group.get_column_page_reader(column).map_err(damaged)?;
                self.read_column(column, begin, rows, Box::new(Bounded { pages, rows }))?;
            }
            begin += rows;
        }
        self.columns.finish()
    }

    /// Checks that no page inflates to too much, nor all of them together: by what the footer says
    /// of the columns, then by the pages themselves.
    fn check_pages(&self, reader: &SerializedFileReader<File>, file: &File) -> Result<(), Error> {
        let room = &self.reading.room;
        let max = room.max();
        let too_large = || room.exceeded(self.path, "the size in bytes of its columns, inflated,".into());
        let chunks = || {
            reader.metadata().row_groups().iter().flat_map(|group| group.columns().iter().zip(&self.header))
        };
        let said = chunks().fold(0u64, |sum, (chunk, _)| {
            sum.saturating_add(u64::try_from(chunk.uncompressed_size()).unwrap_or(u64::MAX))
        });
        if said > max {
            return Err(too_large());
        }
        let mut left = max;
        for (chunk, name) in chunks() {
            self.reading.check()?;
            use Compression::*;
            let codec = chunk.compression();
            if !matches!(codec, UNCOMPRESSED | SNAPPY | GZIP(_) | ZSTD(_) | LZ4_RAW) {
                let codec = codec.to_string().split('(').next().unwrap_or_default().to_lowercase();
                let detail = format!(
                    "column {name:?} is compressed with {codec}, which is not read; write it with snappy, zstd or gzip"
                );
                return Err(wrong(self.path, detail));
            }
            pages::check(file, chunk, &mut left).map_err(|refused| match refused {
                Refused::TooLarge => too_large(),
                Refused::Damaged(detail) => {
                    wrong(self.path, format!("column {name:?}: {detail}; copy the file again"))
                }
            })?;
        }
        Ok(())
    }

    /// Reads the values of one column in one row group, whose rows begin at `begin`.
    fn read_column(
        &mut self,
        column: usize,
        begin: u64,
        rows: u64,
        pages: Box<dyn PageReader>,
    ) -> Result<(), Error> {
        let (path, name, descriptor) =
            (self.path, self.header[column].clone(), ColumnDescPtr::clone(&self.descriptors[column]));
        let unsigned = is_unsigned(&descriptor);
        let columns = &mut self.columns;
        let mut set = |row: u64, cell: Cell| columns.set((begin + row) as usize, column, cell);
        let at = |row: u64, detail: String| Error::Cell {
            path: path.to_owned(),
            row: begin + row,
            column: name.clone(),
            detail,
        };
        let group = Group { reading: self.reading, rows, nullable: descriptor.max_def_level() };
        let read = match get_column_reader(descriptor, pages) {
            ColumnReader::BoolColumnReader(reader) => {
                group.each(reader, |row, value| set(row, Cell::Integer(i64::from(*value))))
            }
            ColumnReader::Int32ColumnReader(reader) => group.each(reader, |row, value| {
                let value = if unsigned { i64::from(*value as u32) } else { i64::from(*value) };
                set(row, Cell::Integer(value))
            }),
            ColumnReader::Int64ColumnReader(reader) => {
                group.each(reader, |row, value| match unsigned && *value < 0 {
                    true => set(row, Cell::Number((*value as u64).into())),
                    false => set(row, Cell::Integer(*value)),
                })
            }
            ColumnReader::FloatColumnReader(reader) => {
                group.each(reader, |row, value| set(row, Cell::Number(Number::from(f64::from(*value)))))
            }
            ColumnReader::DoubleColumnReader(reader) => {
                group.each(reader, |row, value| set(row, Cell::Number((*value).into())))
            }
            ColumnReader::ByteArrayColumnReader(reader) => group.each(reader, |row, value| {
                let text =
                    std::str::from_utf8(value.data()).map_err(|_| "the text is not UTF-8".to_owned())?;
                set(row, Cell::Text(text))
            }),
            ColumnReader::FixedLenByteArrayColumnReader(reader) => group.each(reader, |row, value| {
                let bytes = value
                    .data()
                    .try_into()
                    .map_err(|_| "a 16-bit float does not have two bytes".to_owned())?;
                set(row, Cell::Number(f16::from_le_bytes(bytes).to_f64().into()))
            }),
            // `check_type` refuses them.
            ColumnReader::Int96ColumnReader(_) => Ok(()),
        };
        read.map_err(|error| match error {
            Stop::At(row, detail) => at(row, detail),
            Stop::Damaged(detail) => wrong(path, format!("column {name:?}: {detail}")),
            Stop::Reading(error) => error,
        })
    }
}

/// Why a column could not be read to its end.
enum Stop {
    /// A value is wrong, in this row of the group.
    At(u64, String),
    Damaged(String),
    /// The reading is to stop.
    Reading(Error),
}

/// One row group, seen from a column.
struct Group<'a> {
    reading: &'a Reading<'a>,
    rows: u64,
    /// The level of a value that is present; 0 if no value can be missing.
    nullable: i16,
}

impl Group<'_> {
    /// Calls `set` with each value and its row in the group.
    fn each<T: DataType>(
        &self,
        mut reader: ColumnReaderImpl<T>,
        mut set: impl FnMut(u64, &T::T) -> Result<(), String>,
    ) -> Result<(), Stop> {
        let (mut values, mut levels, mut row) = (Vec::new(), Vec::new(), 0);
        while row < self.rows {
            self.reading.check().map_err(Stop::Reading)?;
            values.clear();
            levels.clear();
            let batch = limits::PARQUET_BATCH.min((self.rows - row) as usize);
            let (records, ..) = reader
                .read_records(batch, Some(&mut levels), None, &mut values)
                .map_err(|error| Stop::Damaged(error.to_string()))?;
            if records == 0 {
                return Err(Stop::Damaged(format!(
                    "has {row} values for {} rows; copy the file again",
                    self.rows
                )));
            }
            if let Some(null) = levels.iter().position(|level| *level < self.nullable) {
                return Err(Stop::At(
                    row + null as u64,
                    "the value is missing; fill it or leave the row out".into(),
                ));
            }
            if values.len() != records {
                return Err(Stop::Damaged("levels and values disagree; copy the file again".into()));
            }
            for value in &values {
                set(row, value).map_err(|detail| Stop::At(row, detail))?;
                row += 1;
            }
        }
        Ok(())
    }
}

fn check_type(name: &str, column: &ColumnDescriptor) -> Result<(), String> {
    if column.path().parts().len() != 1 || column.max_rep_level() > 0 {
        return Err("is nested; only flat columns are read, so flatten it".into());
    }
    if name.starts_with("__index_level_") {
        return Err("is the index of a pandas frame; write it with to_parquet(…, index=False)".into());
    }
    let plain = match (column.physical_type(), column.logical_type_ref(), column.converted_type()) {
        (Type::BOOLEAN | Type::FLOAT | Type::DOUBLE, ..) => true,
        (Type::INT32 | Type::INT64, None, converted) => {
            use ConvertedType::*;
            matches!(
                converted,
                NONE | INT_8 | INT_16 | INT_32 | INT_64 | UINT_8 | UINT_16 | UINT_32 | UINT_64
            )
        }
        (Type::INT32 | Type::INT64, Some(LogicalType::Integer(_)), _) => true,
        (Type::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Float16), _) => column.type_length() == 2,
        (Type::BYTE_ARRAY, None, converted) => {
            matches!(converted, ConvertedType::NONE | ConvertedType::UTF8 | ConvertedType::ENUM)
        }
        (Type::BYTE_ARRAY, Some(LogicalType::String | LogicalType::Enum), _) => true,
        _ => false,
    };
    if plain {
        return Ok(());
    }
    let what = column
        .logical_type_ref()
        .map_or_else(|| format!("{:?}", column.physical_type()), |logical| format!("{logical:?}"));
    Err(format!("has the type {what}; write it as numbers, booleans or texts"))
}

fn is_unsigned(column: &ColumnDescriptor) -> bool {
    use ConvertedType::*;
    match column.logical_type_ref() {
        Some(LogicalType::Integer(integer)) => !integer.is_signed,
        _ => matches!(column.converted_type(), UINT_8 | UINT_16 | UINT_32 | UINT_64),
    }
}

/// Pages, none of which may hold more values than the row group has rows: the crate allocates what
/// pages announce.
struct Bounded {
    pages: Box<dyn PageReader>,
    rows: u64,
}

impl PageReader for Bounded {
    fn get_next_page(&mut self) -> ParquetResult<Option<Page>> {
        let page = self.pages.get_next_page()?;
        let Some(some) = &page else { return Ok(None) };
        if u64::from(some.num_values()) > self.rows {
            return Err(ParquetError::General(format!(
                "a page announces {} values for {} rows",
                some.num_values(),
                self.rows
            )));
        }
        // The first bytes of such a page repeat the number of values, and nothing compares it with that
        // of the page.
        if matches!(some.encoding(), Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY) {
            return Err(ParquetError::NYI(
                "texts in a delta encoding; write them plain or by dictionary, as pandas does".into(),
            ));
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> ParquetResult<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> ParquetResult<()> {
        self.pages.skip_next_page()
    }
}

impl Iterator for Bounded {
    type Item = ParquetResult<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

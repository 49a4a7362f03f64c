//! CSV with a header: one column holds the labels, all others are numeric features, in the file's order.
//!
//! What the labels are is told by their text. All numbers: classes where they are whole (`3`, not `3.0`) and exactly 0, 1, … k−1 occur, k ≥ 2;
//! else the values of a regression. All texts: classes, numbered in the order of their bytes. Numbers mixed with texts are an error: that is a
//! slip more often than it is meant.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};

use csv::{ByteRecord, Reader, ReaderBuilder, Trim};
use hpo::limits;

use crate::Error;
use crate::dataset::{Features, Labels, Rows};
use crate::folder::io_error;

/// The rows of the CSV in `input`; `path` names it in errors.
pub(crate) fn read(path: &str, input: impl Read, label: &str) -> Result<Rows, Error> {
    let mut table = Table::open(path, input)?;
    let label = table.position(label)?;
    let width = table.header.len() - 1;
    let (mut features, mut labels) = (Vec::new(), None);
    let mut record = ByteRecord::new();
    let mut rows = 0u64;
    while let Some(line) = table.next(&mut record)? {
        rows += 1;
        if rows > limits::DATASET_ROWS_MAX {
            return Err(table.too_large("the number of rows", limits::DATASET_ROWS_MAX));
        }
        if rows * 4 * width as u64 > limits::DATASET_BYTES_MAX {
            return Err(table.too_large("the size in bytes", limits::DATASET_BYTES_MAX));
        }
        for (column, field) in record.iter().enumerate() {
            let wrong = |detail: String| table.wrong(line, column, detail);
            if column == label {
                LabelColumn::push(&mut labels, field).map_err(wrong)?;
            } else {
                features.push(number(field).map_err(wrong)?);
            }
        }
    }
    let labels = labels.ok_or_else(|| table.format("has a header and no rows".into()))?.finish();
    Ok(Rows { shape: vec![width], features: Features::F32(features), labels, scale_max: None })
}

/// The names of the columns, for a listing.
pub(crate) fn columns(path: &str, input: impl Read) -> Result<Vec<String>, Error> {
    Ok(Table::open(path, input)?.header)
}

struct Table<'a, R> {
    path: &'a str,
    reader: Reader<Budget<R>>,
    header: Vec<String>,
}

impl<'a, R: Read> Table<'a, R> {
    fn open(path: &'a str, input: R) -> Result<Table<'a, R>, Error> {
        let input = Budget { input, record: limits::CSV_RECORD_BYTES_MAX, file: limits::DATASET_BYTES_MAX };
        let reader = ReaderBuilder::new().trim(Trim::All).has_headers(false).from_reader(input);
        let mut table = Table { path, reader, header: Vec::new() };
        let mut record = ByteRecord::new();
        if table.next(&mut record)?.is_none() {
            return Err(table.format("is empty; its first line must name the columns".into()));
        }
        table.header = record.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let header = &table.header;
        let mut seen = HashSet::new();
        if let [only] = header.as_slice() {
            let hint = if only.contains([';', '\t']) { "; separate them by commas" } else { "" };
            return Err(table.format(format!("has one column; it needs a label column and at least one feature{hint}")));
        }
        if header.len() - 1 > limits::DATASET_ROW_VALUES_MAX {
            return Err(table.too_large("the number of columns", limits::DATASET_ROW_VALUES_MAX as u64));
        }
        if let Some(empty) = header.iter().position(String::is_empty) {
            return Err(table.format(format!("column {} has no name; the first line must name every column", empty + 1)));
        }
        if let Some(twice) = header.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(table.format(format!("two columns are named {twice:?}; rename one")));
        }
        Ok(table)
    }

    /// Reads the next record and returns the line in the file where it starts, from 1; to the CSV reader, blank lines before a record are its start.
    fn next(&mut self, record: &mut ByteRecord) -> Result<Option<u64>, Error> {
        self.reader.get_mut().record = limits::CSV_RECORD_BYTES_MAX;
        let line_of = |record: &ByteRecord| record.position().map_or(0, csv::Position::line);
        match self.reader.read_byte_record(record) {
            Ok(true) => Ok(Some(line_of(record))),
            Ok(false) => Ok(None),
            Err(error) => Err(match error.into_kind() {
                csv::ErrorKind::Io(source) if source.kind() == io::ErrorKind::FileTooLarge => {
                    let line = self.reader.position().line();
                    self.too_large(
                        &format!("the size in bytes of the record at line {line}, or of the whole,"),
                        limits::CSV_RECORD_BYTES_MAX,
                    )
                }
                csv::ErrorKind::Io(source) => io_error(self.path, source),
                csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                    let line = pos.map_or(0, |pos| pos.line());
                    self.wrong(
                        line,
                        len.min(expected_len) as usize,
                        format!("the line has {len} fields, the header {expected_len}; correct the line"),
                    )
                }
                other => self.format(format!("is no CSV: {other:?}")),
            }),
        }
    }

    fn position(&self, label: &str) -> Result<usize, Error> {
        self.header.iter().position(|name| name == label).ok_or_else(|| {
            let named = self.header.iter().take(limits::CSV_COLUMNS_NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
            let headless = self.header.iter().all(|name| name.parse::<f64>().is_ok());
            let hint = if headless { "; the first line must name the columns, this one holds numbers" } else { "" };
            Error::NoLabel { path: self.path.to_owned(), detail: format!("has no column {label:?}; its columns are {named}{hint}") }
        })
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

/// Stops a record without end and a file without end: the CSV reader holds a whole record in memory, and a gzip stream inflates a thousandfold.
struct Budget<R> {
    input: R,
    record: u64,
    file: u64,
}

impl<R: Read> Read for Budget<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.record == 0 || self.file == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let count = self.input.read(buffer)?;
        self.record = self.record.saturating_sub(count as u64);
        self.file = self.file.saturating_sub(count as u64);
        Ok(count)
    }
}

fn number(field: &[u8]) -> Result<f32, String> {
    let text = std::str::from_utf8(field).map_err(|_| "the text is not UTF-8".to_owned())?;
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(format!("{} is not a finite 32-bit float; clean the file", shown(text))),
        Err(_) if text.is_empty() => Err("the field is empty; fill it or leave the line out".into()),
        Err(_) => Err(format!("{} is not a number; features must be numeric, so encode it or leave the column out", shown(text))),
    }
}

/// A field as an error shows it: quoted, at most 40 characters.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}

/// The labels read so far, of the kind of the first.
enum LabelColumn {
    Numbers { values: Vec<f32>, whole: bool },
    Texts { ids: HashMap<String, u32>, rows: Vec<u32> },
}

impl LabelColumn {
    fn push(column: &mut Option<LabelColumn>, field: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(field).map_err(|_| "the label is not UTF-8".to_owned())?;
        if text.is_empty() {
            return Err("the label is empty; fill it or leave the line out".into());
        }
        let value = text.parse::<f32>().ok();
        if value.is_some_and(|value| !value.is_finite()) {
            return Err(format!("the label {} is not a finite 32-bit float; clean the file", shown(text)));
        }
        let column = column.get_or_insert_with(|| match value {
            Some(_) => LabelColumn::Numbers { values: Vec::new(), whole: true },
            None => LabelColumn::Texts { ids: HashMap::new(), rows: Vec::new() },
        });
        match (column, value) {
            (LabelColumn::Numbers { values, whole }, Some(value)) => {
                values.push(value);
                *whole &= text.parse::<u32>().is_ok();
            }
            (LabelColumn::Texts { ids, rows }, None) => {
                let next = ids.len() as u32;
                rows.push(match ids.get(text) {
                    Some(id) => *id,
                    None if next == limits::DATASET_CLASSES_MAX => {
                        return Err(format!("more than {next} different texts; is this the label column?"));
                    }
                    None => *ids.entry(text.to_owned()).or_insert(next),
                });
            }
            (LabelColumn::Numbers { .. }, None) => {
                return Err(format!("the label {} is a text, those before are numbers; use one or the other", shown(text)));
            }
            (LabelColumn::Texts { .. }, Some(_)) => {
                return Err(format!("the label {} is a number, those before are texts; use one or the other", shown(text)));
            }
        }
        Ok(())
    }

    fn finish(self) -> Labels {
        match self {
            LabelColumn::Texts { ids, rows } => {
                let mut names: Vec<(String, u32)> = ids.into_iter().collect();
                names.sort_unstable();
                let mut class = vec![0; names.len()];
                names.iter().enumerate().for_each(|(position, (_, id))| class[*id as usize] = position as u32);
                Labels::Classes(rows.into_iter().map(|id| class[id as usize]).collect())
            }
            LabelColumn::Numbers { values, whole } if whole && are_classes(&values) => {
                Labels::Classes(values.into_iter().map(|value| value as u32).collect())
            }
            LabelColumn::Numbers { values, .. } => Labels::Values(values),
        }
    }
}

/// Whether exactly 0, 1, … k−1 occur among whole numbers, for a k ≥ 2.
fn are_classes(values: &[f32]) -> bool {
    let largest = values.iter().fold(0f32, |largest, value| largest.max(*value));
    if largest < 1.0 || largest >= limits::DATASET_CLASSES_MAX as f32 {
        return false;
    }
    let mut seen = vec![false; largest as usize + 1];
    values.iter().for_each(|value| seen[*value as usize] = true);
    seen.into_iter().all(|seen| seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Rows, Error> {
        read("t.csv", text.as_bytes(), "y")
    }

    #[test]
    fn columns_but_the_label_are_features_in_their_order() {
        let rows = parse("\u{feff}a,y,\"b, c\"\r\n 1.5 ,0,-2e-3\r\n\r\n\"3\",1,+4\r\n").unwrap();
        assert_eq!((rows.shape, rows.scale_max), (vec![2], None));
        assert_eq!(rows.features, Features::F32(vec![1.5, -0.002, 3.0, 4.0]));
        assert_eq!(rows.labels, Labels::Classes(vec![0, 1]));
        assert_eq!(columns("t.csv", "a,y,\"b, c\"\n".as_bytes()).unwrap(), ["a", "y", "b, c"]);
    }

    #[test]
    fn the_text_of_the_labels_tells_classes_from_values() {
        let check = |labels: &[&str], expect: Labels| {
            let text: String = labels.iter().map(|label| format!("1,{label}\n")).collect();
            assert_eq!(parse(&format!("x,y\n{text}")).unwrap().labels, expect, "{labels:?}");
        };
        check(&["1", "0", "2", "1"], Labels::Classes(vec![1, 0, 2, 1]));
        check(&["1", "2"], Labels::Values(vec![1.0, 2.0]));
        check(&["0", "2"], Labels::Values(vec![0.0, 2.0]));
        check(&["0", "0"], Labels::Values(vec![0.0, 0.0]));
        check(&["0", "1.0"], Labels::Values(vec![0.0, 1.0]));
        check(&["-1", "0", "1"], Labels::Values(vec![-1.0, 0.0, 1.0]));
        check(&["0", "1", "4294967295"], Labels::Values(vec![0.0, 1.0, 4294967295.0]));
        check(&["versicolor", "setosa", "versicolor", "Zebra"], Labels::Classes(vec![2, 1, 2, 0]));
    }

    #[test]
    fn a_wrong_field_is_named_by_file_line_and_column() {
        let check = |text: &str, expect: &str| {
            let message = parse(text).expect_err("must be refused").to_string();
            assert!(message.contains(expect), "{message:?} should say {expect:?}");
        };
        check("a,b,y\n1,2,0\n1,x,0\n", "t.csv, line 3, column \"b\": \"x\" is not a number");
        check("a,b,y\n1,2,0\n\n1,,0\n", "line 3, column \"b\": the field is empty");
        check("a,b,y\n\"1\n\",2,0\n1,NaN,0\n", "line 4, column \"b\": \"NaN\" is not a finite");
        check("a,b,y\n1,1e39,0\n", "\"1e39\" is not a finite");
        check("a,b,y\n1,2\n", "line 2, column \"y\": the line has 2 fields, the header 3");
        check("a,b,y\n1,2,3,4\n", "line 2, column \"4 (nameless)\": the line has 4 fields, the header 3");
        check("a,b,y\n1,2,0\n1,2,\n", "line 3, column \"y\": the label is empty");
        check("a,b,y\n1,2,0\n1,2,inf\n", "line 3, column \"y\": the label \"inf\" is not a finite");
        check("a,b,y\n1,2,0\n1,2,cat\n", "the label \"cat\" is a text, those before are numbers");
        check("a,b,y\n1,2,cat\n1,2,0\n", "the label \"0\" is a number, those before are texts");
        check(&format!("a,y\n{},0\n", "x".repeat(9_999)), &format!("\"{}\" is not a number", "x".repeat(40)));
        check("", "is empty");
        check("a,b,y\n", "has a header and no rows");
        check("a,b,c\n1,2,0\n", "has no column \"y\"; its columns are a, b, c");
        check("5.1,3.5,0\n1,2,0\n", "the first line must name the columns, this one holds numbers");
        check("a;y\n1;0\n", "separate them by commas");
        check("y\n0\n", "has one column");
        check("a,,y\n1,2,0\n", "column 2 has no name");
        check("a,a,y\n1,2,0\n", "two columns are named \"a\"");
        let bytes = read("t.csv", &b"a,y\n\xff,0\n"[..], "y").unwrap_err();
        assert!(bytes.to_string().contains("line 2, column \"a\": the text is not UTF-8"));
    }

    #[test]
    fn a_record_without_end_is_given_up() {
        for endless in [b'1', b',', b'\n', b'"'] {
            let error = read("t.csv", b"a,y\n".chain(io::repeat(endless)), "y").unwrap_err();
            assert!(matches!(error, Error::TooLarge { .. }), "{:?}: {error}", char::from(endless));
        }
    }
}

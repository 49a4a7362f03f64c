//! The input of tables that are text: lines that end alike, and bounds.

use std::io::{self, Read};

use crate::limits;
use crate::reading::Reading;

/// Ends each line, the last one included, with a line feed alone, so that lines can be counted.
pub(super) struct Lines<R> {
    input: R,
    /// The last byte that came.
    last: u8,
    is_over: bool,
    /// Whether the reader has been told that it is over.
    is_read: bool,
}

impl<R> Lines<R> {
    pub(super) fn of(input: R) -> Lines<R> {
        Lines { input, last: b'\n', is_over: false, is_read: false }
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.is_over && !buffer.is_empty() {
            let count = self.input.read(buffer)?;
            if count == 0 {
                self.is_over = true;
                if !matches!(self.last, b'\n' | b'\r') {
                    buffer[0] = b'\n';
                    return Ok(1);
                }
            }
            let mut kept = 0;
            for at in 0..count {
                let byte = buffer[at];
                // The line has ended with the carriage return before it.
                if !(byte == b'\n' && self.last == b'\r') {
                    buffer[kept] = if byte == b'\r' { b'\n' } else { byte };
                    kept += 1;
                }
                self.last = byte;
            }
            if kept > 0 {
                return Ok(kept);
            }
        }
        self.is_read = self.is_over;
        Ok(0)
    }
}

/// Stops at a record or a file without end, since a whole record is held in memory and a gzip stream
/// inflates a thousandfold; and as soon as the reading is to stop.
pub(super) struct Budget<'a, R> {
    reading: &'a Reading<'a>,
    input: R,
    /// The bytes that the record may still have.
    record: u64,
    /// The bytes that the file may still have.
    file: u64,
}

impl<'a, R> Budget<'a, Lines<R>> {
    pub(super) fn of(input: Lines<R>, reading: &'a Reading<'a>) -> Budget<'a, Lines<R>> {
        let (record, file) = (limits::CSV_RECORD_BYTES_MAX, limits::DATASET_BYTES_MAX);
        Budget { reading, input, record, file }
    }

    /// Allows the next record its full size.
    pub(super) fn begin_record(&mut self) {
        self.record = limits::CSV_RECORD_BYTES_MAX;
    }

    /// Whether the reader has been told that the input is over.
    pub(super) fn has_ended(&self) -> bool {
        self.input.is_read
    }
}

impl<R: Read> Read for Budget<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.record == 0 || self.file == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if self.reading.check().is_err() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let count = self.input.read(buffer)?;
        self.record = self.record.saturating_sub(count as u64);
        self.file = self.file.saturating_sub(count as u64);
        Ok(count)
    }
}

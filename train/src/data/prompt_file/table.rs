//! Tables in text: values behind commas or tabs, the first record naming the columns. Values may be quoted and then hold
//! line ends.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use csv::{ByteRecord, Position, Reader, ReaderBuilder};

use super::super::stamped::{EVERY, LONGEST, Stamped};
use super::column::{checked, chosen};
use crate::error::TrainError;

/// Bytes that the reader takes at a time.
const BUFFER: usize = 1 << 16;
/// Bytes of the longest record, all columns together.
const LONGEST_RECORD: usize = 4 * LONGEST;

/// A table with a column of prompts.
#[derive(Clone, Debug)]
pub(super) struct Table {
    file: Stamped,
    delimiter: u8,
    column: usize,
    /// Where every [`EVERY`]th record begins.
    places: Vec<Position>,
    count: usize,
}

impl Table {
    /// Reads every record once.
    ///
    /// # Errors
    /// [`TrainError::Read`]; [`TrainError::Damaged`] with the line of a record that has no such prompt, too few or too many
    /// values, or no end; [`TrainError::Recipe`] about the column.
    pub fn open(path: &Path, asked: Option<&str>, delimiter: u8) -> Result<Self, TrainError> {
        let (stamped, file) = Stamped::open(path)?;
        let mut cursor = Cursor::new(stamped.clone(), file, delimiter);
        let header = cursor.header()?;
        let names = header.iter().map(|name| std::str::from_utf8(name)).collect::<Result<Vec<_>, _>>();
        let names = names.map_err(|_| stamped.damaged("line 1 is not UTF-8 text"))?;
        let name = chosen(path, &names, asked)?;
        let at: Vec<usize> = names.iter().enumerate().filter(|(_, own)| **own == name).map(|(index, _)| index).collect();
        let column = match at.as_slice() {
            [only] => *only,
            _ => return Err(stamped.damaged(format!("line 1 names {} columns {name}", at.len()))),
        };
        let mut table = Self { file: stamped, delimiter, column, places: Vec::new(), count: 0 };
        while let Some(place) = cursor.advance()? {
            cursor.prompt(column)?;
            if table.count.is_multiple_of(EVERY) {
                table.places.push(place);
            }
            table.count += 1;
        }
        Ok(table)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The prompts from number `first` on.
    ///
    /// # Errors
    /// As [`Table::open`]; [`TrainError::Damaged`] where the file is not the one that was opened any more.
    pub fn starting(&self, first: usize) -> Result<impl Iterator<Item = Result<String, TrainError>> + use<>, TrainError> {
        let mut cursor = Cursor::new(self.file.clone(), self.file.again()?, self.delimiter);
        cursor.header()?;
        let mut is_there = false;
        if let Some(place) = self.places.get(first / EVERY) {
            cursor.go(place)?;
            is_there = true;
            for _ in 0..first % EVERY {
                cursor.advance()?;
            }
        }
        let column = self.column;
        Ok(std::iter::from_fn(move || {
            let next = if is_there { cursor.advance() } else { Ok(None) };
            next.and_then(|place| place.map(|_| cursor.prompt(column)).transpose()).transpose()
        }))
    }
}

/// A place in a table, at the beginning of a record.
struct Cursor {
    file: Stamped,
    reader: Reader<Limited>,
    record: ByteRecord,
    /// The line at which the record in hand begins.
    line: u64,
}

impl Cursor {
    fn new(stamped: Stamped, file: File, delimiter: u8) -> Self {
        let limited = Limited { file, left: LONGEST_RECORD + BUFFER };
        let reader = ReaderBuilder::new().delimiter(delimiter).buffer_capacity(BUFFER).from_reader(limited);
        Self { file: stamped, reader, record: ByteRecord::new(), line: 1 }
    }

    fn header(&mut self) -> Result<ByteRecord, TrainError> {
        let header = self.reader.byte_headers().cloned();
        header.map_err(|error| self.refused(error))
    }

    fn go(&mut self, place: &Position) -> Result<(), TrainError> {
        self.reader.seek(place.clone()).map_err(|error| self.refused(error))
    }

    /// Reads the next record; where it begins, or none after the last.
    fn advance(&mut self) -> Result<Option<Position>, TrainError> {
        self.reader.get_mut().left = LONGEST_RECORD + BUFFER;
        let place = self.reader.position().clone();
        self.line = place.line();
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => Ok(Some(place)),
            Ok(false) => Ok(None),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// The prompt of the record that was read last.
    fn prompt(&self, column: usize) -> Result<String, TrainError> {
        let line = self.record.position().map_or(0, Position::line);
        let damaged = |problem: &str| self.file.damaged(format!("line {line} {problem}"));
        let value = self.record.get(column).unwrap_or_default();
        let text = std::str::from_utf8(value).map_err(|_| damaged("is not UTF-8 text"))?;
        checked(text).map(str::to_string).map_err(|problem| damaged(&problem))
    }

    fn refused(&self, error: csv::Error) -> TrainError {
        let line = self.line;
        match error.into_kind() {
            csv::ErrorKind::Io(error) if is_too_long(&error) => self
                .file
                .damaged(format!("the record at line {line} is longer than {LONGEST_RECORD} bytes; is a quote not closed?")),
            csv::ErrorKind::Io(source) => TrainError::Read { path: self.file.path.clone(), source },
            csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                let line = pos.map_or(line, |place| place.line());
                self.file.damaged(format!("line {line} has {len} values, but there are {expected_len} columns"))
            }
            other => self.file.damaged(format!("line {line} is no record ({other:?})")),
        }
    }
}

/// What reading ends with where a record is too long.
#[derive(Debug, thiserror::Error)]
#[error("a record is too long")]
struct TooLong;

fn is_too_long(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<TooLong>())
}

/// A file of which no record makes more than so many bytes be held.
struct Limited {
    file: File,
    left: usize,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.left = self.left.checked_sub(count).ok_or_else(|| io::Error::other(TooLong))?;
        Ok(count)
    }
}

impl io::Seek for Limited {
    fn seek(&mut self, place: io::SeekFrom) -> io::Result<u64> {
        self.file.seek(place)
    }
}

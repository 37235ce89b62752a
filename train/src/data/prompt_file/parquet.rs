//! Parquet files: one column of texts, read a page at a time.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use dmdx_runtime::engine::guard::{self, Failure};
use parquet::basic::{Compression, Type};
use parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaDataReader};
use parquet::file::serialized_reader::SerializedPageReader;

use super::super::stamped::{LONGEST, Stamped};
use super::column::{COLUMN, checked, chosen};
use super::pages;
use crate::error::TrainError;

/// Bytes of the longest description of a file's columns.
const FOOTER: u64 = 16 << 20;
/// What such a file ends with, behind the four bytes of the description's length.
const MAGIC: &[u8] = b"PAR1";
/// Prompts that are taken out of a page together.
const BATCH: usize = 64;

/// A file with a column of prompts.
#[derive(Clone, Debug)]
pub(super) struct Parquet {
    file: Stamped,
    name: String,
    groups: Arc<[Group]>,
    count: usize,
}

/// The column in one group of rows.
#[derive(Debug)]
struct Group {
    /// How many rows are before it.
    first: usize,
    rows: usize,
    column: ColumnChunkMetaData,
}

impl Parquet {
    /// Reads the description of the columns and the headers of the column's pages.
    ///
    /// # Errors
    /// [`TrainError::Read`]; [`TrainError::Damaged`] where it is no whole Parquet file, or would need more memory than a page
    /// may; [`TrainError::Recipe`] about the column.
    pub fn open(path: &Path, asked: Option<&str>) -> Result<Self, TrainError> {
        let (stamped, mut file) = Stamped::open(path)?;
        let damaged = |problem: String| stamped.damaged(format!("it {problem}"));
        footer(&mut file, stamped.bytes()).map_err(damaged)?;
        let metadata = caught(|| ParquetMetaDataReader::new().parse_and_finish(&file)).map_err(|error| damaged(said(&error)))?;
        let schema = metadata.file_metadata().schema_descr();
        let names: Vec<&str> = metadata.file_metadata().schema().get_fields().iter().map(|field| field.name()).collect();
        let name = chosen(path, &names, asked)?.to_string();
        let plain = |index: &usize| {
            let column = schema.column(*index);
            column.path().parts() == [name.as_str()] && column.physical_type() == Type::BYTE_ARRAY && column.max_rep_level() == 0
        };
        let Some(index) = (0..schema.num_columns()).find(plain) else {
            let problem = format!("is \"{name}\", but in {} that column does not hold texts", path.display());
            return Err(TrainError::recipe(COLUMN, problem));
        };
        let (mut groups, mut count) = (Vec::new(), 0usize);
        for group in metadata.row_groups() {
            let found = group.columns().get(index).cloned();
            let column = found.ok_or_else(|| damaged("has rows without that column".into()))?;
            readable(&column).map_err(damaged)?;
            // The library's own takes an impossible place for a defect of its caller.
            let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
            let places = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
            let range = places.ok_or_else(|| damaged("has pages before its beginning".into()))?;
            pages::check(&mut file, range, stamped.bytes()).map_err(damaged)?;
            let rows = usize::try_from(group.num_rows()).map_err(|_| damaged("has fewer rows than none".into()))?;
            let column = column.into_builder().clear_statistics().clear_page_encoding_stats().build();
            groups.push(Group { first: count, rows, column: column.map_err(|error| damaged(said(&error)))? });
            count = count.checked_add(rows).ok_or_else(|| damaged("has more rows than can be counted".into()))?;
        }
        Ok(Self { file: stamped, name, groups: groups.into(), count })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The prompts from number `first` on.
    ///
    /// # Errors
    /// As [`Parquet::open`]; [`TrainError::Damaged`] where the file is not the one that was opened any more.
    pub fn starting(&self, first: usize) -> Result<impl Iterator<Item = Result<String, TrainError>> + use<>, TrainError> {
        let file = Arc::new(self.file.again()?);
        let group = self.groups.partition_point(|group| group.first + group.rows <= first);
        let mut cursor = Cursor { parquet: self.clone(), file, group, row: first, reader: None, batch: Vec::new().into_iter() };
        Ok(std::iter::from_fn(move || cursor.advance().transpose()))
    }
}

/// Refuses a description that the library would make too much room for, or that is not there.
fn footer(file: &mut File, size: u64) -> Result<(), String> {
    let mut tail = [0; 8];
    let whole = size >= 12 && file.seek(SeekFrom::End(-8)).is_ok() && file.read_exact(&mut tail).is_ok();
    if !whole || &tail[4..] != MAGIC {
        let what = if whole && &tail[4..] == b"PARE" { "is encrypted" } else { "is no whole Parquet file; was it cut off?" };
        return Err(what.to_string());
    }
    match u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]])) {
        length if length + 12 > size => Err("describes its columns before its beginning; was it cut off?".to_string()),
        length if length > FOOTER => Err(format!("needs {length} bytes to describe its columns, but {FOOTER} are read at most")),
        _ => Ok(()),
    }
}

/// Refuses what is not read: the library makes room without a limit for other compressions.
fn readable(column: &ColumnChunkMetaData) -> Result<(), String> {
    match column.compression() {
        Compression::UNCOMPRESSED | Compression::SNAPPY => {}
        other => {
            return Err(format!("is compressed by {other}, which is not read; write it with snappy or without compression"));
        }
    }
    match column.file_path() {
        Some(_) => Err("has its values in another file".to_string()),
        None => Ok(()),
    }
}

/// What the library makes of a file; it panics on some that are damaged.
fn caught<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    match guard::catch(read) {
        Ok(result) => result,
        Err(Failure::Panic(message)) => Err(ParquetError::General(message)),
        Err(Failure::Timeout) => Err(ParquetError::General("it takes too long".to_string())),
    }
}

fn said(error: &ParquetError) -> String {
    let text: String = error.to_string().chars().take(200).collect();
    format!("is no whole Parquet file ({text})")
}

fn unreadable(file: &Stamped, row: usize, error: &ParquetError) -> TrainError {
    let text: String = error.to_string().chars().take(200).collect();
    file.damaged(format!("row {} cannot be read ({text})", row + 1))
}

/// A place in a column.
struct Cursor {
    parquet: Parquet,
    file: Arc<File>,
    group: usize,
    /// The number of the next prompt.
    row: usize,
    reader: Option<ColumnReaderImpl<ByteArrayType>>,
    batch: std::vec::IntoIter<ByteArray>,
}

impl Cursor {
    fn advance(&mut self) -> Result<Option<String>, TrainError> {
        loop {
            if let Some(value) = self.batch.next() {
                self.row += 1;
                let row = self.row;
                let damaged = |problem: &str| self.parquet.file.damaged(format!("row {row} {problem}"));
                let text = std::str::from_utf8(value.data()).map_err(|_| damaged("is not UTF-8 text"))?;
                return checked(text).map(|text| Some(text.to_string())).map_err(|problem| damaged(&problem));
            }
            let Some(group) = self.parquet.groups.get(self.group) else { return Ok(None) };
            if self.row >= group.first + group.rows {
                (self.group, self.reader) = (self.group + 1, None);
                continue;
            }
            let read = caught(|| Ok(self.read()));
            self.batch =
                read.map_err(|error| unreadable(&self.parquet.file, self.row, &error)).and_then(|read| read)?.into_iter();
        }
    }

    /// The next values of the group.
    fn read(&mut self) -> Result<Vec<ByteArray>, TrainError> {
        let group = &self.parquet.groups[self.group];
        let (file, row) = (&self.parquet.file, self.row);
        let damaged = |error: ParquetError| unreadable(file, row, &error);
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => {
                let pages = SerializedPageReader::new(self.file.clone(), &group.column, group.rows, None).map_err(damaged)?;
                let column = get_column_reader(group.column.column_descr_ptr(), Box::new(pages));
                let mut reader = get_typed_column_reader::<ByteArrayType>(column);
                reader.skip_records(self.row - group.first).map_err(damaged)?;
                self.reader.insert(reader)
            }
        };
        let wanted = BATCH.min(group.first + group.rows - self.row);
        let (mut values, mut present) = (Vec::new(), Vec::new());
        let (rows, found, _) = reader.read_records(wanted, Some(&mut present), None, &mut values).map_err(damaged)?;
        if rows == 0 {
            return Err(self.parquet.file.damaged(format!(
                "it has {} rows of {} in group {}, but fewer are there",
                group.rows, self.parquet.name, self.group
            )));
        }
        if found < rows {
            let highest = group.column.column_descr().max_def_level();
            let empty = present.iter().position(|&level| level < highest).unwrap_or_default();
            return Err(self.parquet.file.damaged(format!("row {} has no {}", self.row + empty + 1, self.parquet.name)));
        }
        let long = values.iter().position(|value: &ByteArray| value.len() > LONGEST);
        match long {
            Some(at) => {
                Err(self.parquet.file.damaged(format!("row {} has a prompt longer than {LONGEST} bytes", self.row + at + 1)))
            }
            None => Ok(values),
        }
    }
}

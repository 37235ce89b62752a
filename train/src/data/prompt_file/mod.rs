//! Files of prompts, of which any prompt can be read without holding the others: text, JSON lines, tables, Parquet.

mod column;
mod json;
mod pages;
mod parquet;
mod table;

use std::path::Path;

use self::column::COLUMN;
use self::json::Objects;
use self::parquet::Parquet;
use self::table::Table;
use super::lines::Lines;
use crate::error::TrainError;

/// Prompts read one after the other.
type Reading = Box<dyn Iterator<Item = Result<String, TrainError>>>;

/// A file of prompts.
#[derive(Clone, Debug)]
pub(super) struct PromptFile(Kind);

/// What the end of its name says that it is.
#[derive(Clone, Debug)]
enum Kind {
    /// One a line; blank lines are skipped.
    Text(Lines),
    /// One JSON object a line.
    Objects(Objects),
    /// Values behind commas or tabs, with a header.
    Table(Table),
    /// Columns in pages.
    Parquet(Parquet),
}

impl PromptFile {
    /// Counts the prompts of `path`, reading it once; what it is follows from the end of its name.
    ///
    /// # Errors
    /// [`TrainError::Read`], [`TrainError::Damaged`] with the place in the file, and [`TrainError::Recipe`] about a column.
    pub fn open(path: &Path, column: Option<&str>) -> Result<Self, TrainError> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        let kind = match (ending.as_str(), column) {
            ("jsonl" | "ndjson" | "json", column) => Objects::open(path, column).map(Kind::Objects),
            ("csv", column) => Table::open(path, column, b',').map(Kind::Table),
            ("tsv", column) => Table::open(path, column, b'\t').map(Kind::Table),
            ("parquet", column) => Parquet::open(path, column).map(Kind::Parquet),
            (_, None) => Lines::open(path).map(Kind::Text),
            (_, Some(column)) => {
                let problem = format!("is \"{column}\", but {} is read as text, which has no columns", path.display());
                Err(TrainError::recipe(COLUMN, problem))
            }
        };
        kind.map(Self)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::Text(lines) => lines.len(),
            Kind::Objects(objects) => objects.len(),
            Kind::Table(table) => table.len(),
            Kind::Parquet(parquet) => parquet.len(),
        }
    }

    /// The prompts from number `first` on, read one after the other.
    ///
    /// # Errors
    /// As [`PromptFile::open`]; [`TrainError::Damaged`] where the file is not the one that was opened any more.
    pub fn starting(&self, first: usize) -> Result<Reading, TrainError> {
        Ok(match &self.0 {
            Kind::Text(lines) => Box::new(lines.starting(first)?),
            Kind::Objects(objects) => Box::new(objects.starting(first)?),
            Kind::Table(table) => Box::new(table.starting(first)?),
            Kind::Parquet(parquet) => Box::new(parquet.starting(first)?),
        })
    }
}

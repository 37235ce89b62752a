//! Files of prompts, of which any prompt can be read without holding the others: text, JSON lines, tables, Parquet.

mod json;
mod pages;
mod parquet;
mod table;

use std::path::Path;

use self::json::Objects;
use self::parquet::Parquet;
use self::table::Table;
use super::lines::Lines;
use super::stamped::LONGEST;
use crate::error::TrainError;

/// The recipe key that names the column.
const COLUMN: &str = "prompts.column";
/// What the column of prompts is called where nobody says it; a file may have one of them.
const USUAL: [&str; 3] = ["prompt", "text", "caption"];

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

/// Which of a file's columns holds the prompts: the one that is asked for, or the one that is called as such a column
/// usually is.
///
/// # Errors
/// [`TrainError::Recipe`] where there is none of that name, or it is not clear.
fn chosen<'a>(path: &Path, columns: &[&'a str], asked: Option<&str>) -> Result<&'a str, TrainError> {
    let refuse = |problem: String| Err(TrainError::recipe(COLUMN, problem));
    let known = || {
        let names: Vec<String> = columns.iter().take(20).map(|name| name.chars().take(60).collect()).collect();
        names.join(", ")
    };
    let usual: Vec<&'a str> = columns.iter().copied().filter(|name| USUAL.contains(name)).collect();
    match (asked, usual.as_slice()) {
        (Some(asked), _) => match columns.iter().copied().find(|name| *name == asked) {
            Some(found) => Ok(found),
            None => refuse(format!("is \"{asked}\", but {} has {}", path.display(), known())),
        },
        (None, [only]) => Ok(only),
        (None, []) => refuse(format!("is missing, and {} has none of {} but {}", path.display(), USUAL.join(", "), known())),
        (None, several) => refuse(format!("is missing, but {} has {}; say which", path.display(), several.join(" and "))),
    }
}

/// A prompt as it may be: there, and not longer than one may be.
fn checked(text: &str) -> Result<&str, String> {
    match text.len() {
        0 => Err("has an empty prompt; leave it out, since nothing can be learnt of it".to_string()),
        length if length > LONGEST => Err(format!("has a prompt longer than {LONGEST} bytes")),
        _ => Ok(text),
    }
}

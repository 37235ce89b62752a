//! A text file of which any line can be read without holding the others.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::TrainError;

/// Lines between two whose places are known.
const EVERY: usize = 1024;
/// Bytes of the longest line.
const LONGEST: usize = 1 << 20;

/// The lines of a file that are not blank, without the space around them.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    path: PathBuf,
    /// Where every [`EVERY`]th line begins.
    places: Vec<u64>,
    count: usize,
    stamp: (u64, Option<SystemTime>),
}

impl Lines {
    /// Counts the lines of `path`, reading it once.
    ///
    /// # Errors
    /// [`TrainError::Read`], where it is no UTF-8 text too; [`TrainError::Damaged`] where a line is longer than 1 MiB.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let file = File::open(path).map_err(TrainError::read(path))?;
        let stamp = stamp(&file).map_err(TrainError::read(path))?;
        let mut lines = Self { path: path.to_path_buf(), places: Vec::new(), count: 0, stamp };
        let mut cursor = Cursor::new(path, file, 0)?;
        while let Some((place, _)) = cursor.advance()? {
            if lines.count.is_multiple_of(EVERY) {
                lines.places.push(place);
            }
            lines.count += 1;
        }
        Ok(lines)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The lines from number `first` on, read one after the other.
    ///
    /// # Errors
    /// As [`Lines::open`]; [`TrainError::Damaged`] where the file is not the one that was opened any more.
    pub fn starting(&self, first: usize) -> Result<impl Iterator<Item = Result<String, TrainError>> + use<>, TrainError> {
        let file = File::open(&self.path).map_err(TrainError::read(&self.path))?;
        if stamp(&file).map_err(TrainError::read(&self.path))? != self.stamp {
            return Err(TrainError::damaged(&self.path, "it has changed since the run began; start a new run"));
        }
        let place = self.places.get(first / EVERY).copied();
        let mut cursor = Cursor::new(&self.path, file, place.unwrap_or(self.stamp.0))?;
        for _ in 0..first % EVERY {
            cursor.advance()?;
        }
        Ok(std::iter::from_fn(move || cursor.advance().map(|line| line.map(|(_, text)| text.to_string())).transpose()))
    }
}

/// Size and time of the last change: enough to tell that somebody has edited the file.
fn stamp(file: &File) -> io::Result<(u64, Option<SystemTime>)> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.modified().ok()))
}

/// A place in a file, at the beginning of a line.
struct Cursor {
    path: PathBuf,
    reader: BufReader<File>,
    place: u64,
    line: Vec<u8>,
}

impl Cursor {
    fn new(path: &Path, mut file: File, place: u64) -> Result<Self, TrainError> {
        file.seek(SeekFrom::Start(place)).map_err(TrainError::read(path))?;
        Ok(Self { path: path.to_path_buf(), reader: BufReader::with_capacity(1 << 16, file), place, line: Vec::new() })
    }

    /// The next line that is not blank, and where it begins.
    fn advance(&mut self) -> Result<Option<(u64, &str)>, TrainError> {
        loop {
            self.line.clear();
            let begin = self.place;
            let read = self.reader.by_ref().take(LONGEST as u64 + 1).read_until(b'\n', &mut self.line);
            match read.map_err(TrainError::read(&self.path))? {
                0 => return Ok(None),
                length if length > LONGEST => {
                    return Err(TrainError::damaged(&self.path, format!("a line in it is longer than {LONGEST} bytes")));
                }
                length => self.place += length as u64,
            }
            if !text(&self.line).map_err(TrainError::read(&self.path))?.is_empty() {
                return Ok(Some((begin, text(&self.line).map_err(TrainError::read(&self.path))?)));
            }
        }
    }
}

fn text(line: &[u8]) -> io::Result<&str> {
    let text = std::str::from_utf8(line);
    text.map(str::trim).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"))
}

//! A text file of which any line can be read without holding the others.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::stamped::{EVERY, LONGEST, Stamped};
use crate::error::TrainError;

/// What some editors begin a UTF-8 text with.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// The lines of a file that are not blank, without the space around them.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    file: Stamped,
    /// Where every [`EVERY`]th line begins, and how many lines are before it, blank ones too.
    places: Vec<(u64, u64)>,
    count: usize,
}

impl Lines {
    /// Counts the lines of `path`, reading it once.
    ///
    /// # Errors
    /// [`TrainError::Read`]; [`TrainError::Damaged`] where it is no UTF-8 text, or a line is longer than 1 MiB.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        Self::checked(path, |_, _| Ok(()))
    }

    /// As [`Lines::open`]; `look` is shown every line that is not blank, with its number from 1, and says what is wrong
    /// with it.
    pub fn checked(path: &Path, mut look: impl FnMut(u64, &str) -> Result<(), TrainError>) -> Result<Self, TrainError> {
        let (stamped, file) = Stamped::open(path)?;
        let mut lines = Self { file: stamped, places: Vec::new(), count: 0 };
        let mut cursor = Cursor::new(path, file, (0, 0))?;
        while let Some((place, text)) = cursor.advance()? {
            if lines.count.is_multiple_of(EVERY) {
                lines.places.push(place);
            }
            look(place.1 + 1, text)?;
            lines.count += 1;
        }
        Ok(lines)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The file.
    pub fn file(&self) -> &Stamped {
        &self.file
    }

    /// The lines from number `first` on, read one after the other.
    ///
    /// # Errors
    /// As [`Lines::open`]; [`TrainError::Damaged`] where the file is not the one that was opened any more.
    pub fn starting(&self, first: usize) -> Result<impl Iterator<Item = Result<String, TrainError>> + use<>, TrainError> {
        Ok(self.numbered(first)?.map(|line| line.map(|(_, text)| text)))
    }

    /// As [`Lines::starting`], each with its number in the file from 1.
    ///
    /// # Errors
    /// As [`Lines::open`]; [`TrainError::Damaged`] where the file is not the one that was opened any more.
    pub fn numbered(&self, first: usize) -> Result<impl Iterator<Item = Result<(u64, String), TrainError>> + use<>, TrainError> {
        let file = self.file.again()?;
        let place = self.places.get(first / EVERY).copied();
        let mut cursor = Cursor::new(&self.file.path, file, place.unwrap_or((self.file.bytes(), 0)))?;
        for _ in 0..first % EVERY {
            cursor.advance()?;
        }
        Ok(std::iter::from_fn(move || {
            let next = cursor.advance().map(|line| line.map(|((_, before), text)| (before + 1, text.to_string())));
            next.transpose()
        }))
    }
}

/// A place in a file, at the beginning of a line.
struct Cursor {
    path: PathBuf,
    reader: BufReader<File>,
    /// In bytes, and in lines.
    place: (u64, u64),
    line: Vec<u8>,
}

/// A line and where it begins, in bytes and in lines.
type Placed<'a> = ((u64, u64), &'a str);

impl Cursor {
    fn new(path: &Path, mut file: File, place: (u64, u64)) -> Result<Self, TrainError> {
        file.seek(SeekFrom::Start(place.0)).map_err(TrainError::read(path))?;
        Ok(Self { path: path.to_path_buf(), reader: BufReader::with_capacity(1 << 16, file), place, line: Vec::new() })
    }

    /// The next line that is not blank, and where it begins.
    fn advance(&mut self) -> Result<Option<Placed<'_>>, TrainError> {
        loop {
            self.line.clear();
            let begin = self.place;
            let read = self.reader.by_ref().take(LONGEST as u64 + 1).read_until(b'\n', &mut self.line);
            let damaged = |what: &str| TrainError::damaged(&self.path, format!("line {} {what}", begin.1 + 1));
            match read.map_err(TrainError::read(&self.path))? {
                0 => return Ok(None),
                length if length > LONGEST => return Err(damaged(&format!("is longer than {LONGEST} bytes"))),
                length => self.place = (begin.0 + length as u64, begin.1 + 1),
            }
            let is_blank = text(&self.line, begin.0).map_err(|_| damaged("is not UTF-8 text"))?.is_empty();
            if !is_blank {
                return Ok(Some((begin, text(&self.line, begin.0).map_err(TrainError::read(&self.path))?)));
            }
        }
    }
}

/// A line without the space around it, and without the mark at the beginning of a file.
fn text(line: &[u8], place: u64) -> io::Result<&str> {
    let line = if place == 0 { line.strip_prefix(MARK).unwrap_or(line) } else { line };
    let text = std::str::from_utf8(line);
    text.map(str::trim).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"))
}

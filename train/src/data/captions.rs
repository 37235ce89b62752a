//! Captions: a text for every picture, in a JSON-lines file or in a file beside each.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::lines::Lines;
use crate::error::{PictureDefect, TrainError};

/// The file of a folder of pictures that lists them all, as Hugging Face's `imagefolder` has it.
const METADATA: &str = "metadata.jsonl";
/// What pictures are called at the end.
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// One line of a list; other fields are left alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Captioned {
    /// The picture's path in its folder; empty for latents.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file_name: String,
    /// What is on it.
    pub text: String,
}

/// The captions of some pictures, in the pictures' order. Of a list none is held in memory, of a folder without one the
/// pictures' names.
#[derive(Clone, Debug)]
pub struct Captions {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Listed { path: PathBuf, lines: Lines, names_pictures: bool },
    Beside { folder: PathBuf, names: Arc<[String]> },
}

impl Captions {
    /// Those of the pictures in `folder`: what `metadata.jsonl` lists, in its order, or else every picture by name with the
    /// text of the file `NAME.txt` beside it.
    ///
    /// # Errors
    /// [`TrainError::Read`]; [`TrainError::Damaged`] where the list has too long a line.
    pub fn of_pictures(folder: &Path) -> Result<Self, TrainError> {
        let list = folder.join(METADATA);
        if list.exists() {
            let lines = Lines::open(&list)?;
            return Ok(Self { source: Source::Listed { path: list, lines, names_pictures: true } });
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(TrainError::read(folder))? {
            let name = entry.map_err(TrainError::read(folder))?.file_name();
            let ending = Path::new(&name).extension().and_then(|ending| ending.to_str()).map(str::to_lowercase);
            if ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) {
                let unnamed = |name| TrainError::damaged(folder.join(name), "its name is not UTF-8; rename it");
                names.push(name.into_string().map_err(unnamed)?);
            }
        }
        names.sort();
        Ok(Self { source: Source::Beside { folder: folder.to_path_buf(), names: names.into() } })
    }

    /// Those that the file `path` lists, of no pictures.
    ///
    /// # Errors
    /// As [`Captions::of_pictures`].
    pub fn listed(path: &Path) -> Result<Self, TrainError> {
        let lines = Lines::open(path)?;
        Ok(Self { source: Source::Listed { path: path.to_path_buf(), lines, names_pictures: false } })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Listed { lines, .. } => lines.len(),
            Source::Beside { names, .. } => names.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The captions from number `first` on, read one after the other.
    ///
    /// # Errors
    /// [`TrainError::Read`]; [`TrainError::Damaged`] about a line of the list; [`TrainError::Picture`] about a picture without
    /// a caption.
    pub(super) fn starting(
        &self,
        first: usize,
    ) -> Result<Box<dyn Iterator<Item = Result<Captioned, TrainError>> + '_>, TrainError> {
        Ok(match &self.source {
            Source::Listed { path, lines, names_pictures } => {
                let numbered = lines.starting(first)?.zip(first + 1..);
                Box::new(numbered.map(move |(line, number)| parsed(path, &line?, number, *names_pictures)))
            }
            Source::Beside { folder, names } => Box::new(names.iter().skip(first).map(move |name| beside(folder, name))),
        })
    }
}

/// A line of a list, from 1.
fn parsed(path: &Path, line: &str, number: usize, names_picture: bool) -> Result<Captioned, TrainError> {
    let found: Captioned = serde_json::from_str(line).map_err(|error| {
        TrainError::damaged(path, format!("line {number} must be JSON with the texts file_name and text ({error})"))
    })?;
    let is_inside = Path::new(&found.file_name).components().all(|part| matches!(part, Component::Normal(_)));
    let problem = match (is_inside, names_picture && found.file_name.is_empty()) {
        (true, false) => return Ok(found),
        (true, true) => "names no picture; it needs a file_name",
        (false, _) => "names a picture outside its folder",
    };
    Err(TrainError::damaged(path, format!("line {number} {problem}")))
}

/// The caption in the file beside a picture, on one line.
fn beside(folder: &Path, name: &str) -> Result<Captioned, TrainError> {
    let path = folder.join(name).with_extension("txt");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            Ok(Captioned { file_name: name.to_string(), text })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(TrainError::Picture {
            path: folder.join(name),
            defect: PictureDefect::NoCaption { beside: path, list: METADATA },
        }),
        Err(source) => Err(TrainError::Read { path, source }),
    }
}

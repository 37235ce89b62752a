//! How good pictures are: numbers that a scorer gives them. A folder with a `config.json` says which kind of scorer it is,
//! and what that kind needs to know; what its numbers are about stands there, not here.

mod classifier;
mod entropy;
pub mod frechet;
pub mod neighbours;
mod reference;
mod spread;

use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};

use crate::error::ScoreError;
use crate::files::read_text;
use crate::{Engine, Error, Tensor};

pub use reference::Reference;
pub use spread::Spread;

/// No configuration is larger.
const MAX_BYTES: usize = 1 << 20;

/// Opens a scorer from its folder, the text of its configuration, and an engine.
type Open = fn(&Path, &str, &dyn Engine) -> Result<Box<dyn Scorer>, Error>;

/// Every kind of scorer by the name that configurations give it.
const SCORERS: &[(&str, Open)] = &[("classifier", classifier::open)];

/// Judges pictures.
pub trait Scorer: Send + Sync {
    /// Every prompt that can be judged; `None` where any can.
    fn prompts(&self) -> Option<&[String]>;

    /// The frames of the videos that it judges; `None` where it judges pictures.
    fn frames(&self) -> Option<usize> {
        None
    }

    /// The files of its folder that its numbers depend on besides `config.json`, by their names there.
    fn files(&self) -> Vec<String>;

    /// The SHA-256 of its `config.json`: what its features are a matter of, since the hashes of its other files stand there.
    fn identity(&self) -> &str;

    /// Threads that it works on.
    fn threads(&self) -> usize;

    /// The features `[N, width]` of pictures `[N, 3, H, W]`, values about -1 to 1: what a [`Reference`] is made of.
    ///
    /// # Errors
    /// As [`Scoring::add`].
    fn features(&self, pictures: &Tensor) -> Result<Tensor, Error>;

    /// Begins to score pictures that come a few at a time, with a reference also beside those. Then every picture's features
    /// stay in memory until the end.
    fn begin<'a>(&'a self, reference: Option<&'a Reference>) -> Box<dyn Scoring + 'a>;

    /// Scores pictures `[N, 3, H, W]` or videos `[N, frames, 3, H, W]` that are there all at once, against one prompt each.
    ///
    /// # Errors
    /// As [`Scoring::add`] and [`Scoring::finish`].
    fn score(&self, pictures: &Tensor, prompts: &[String], reference: Option<&Reference>) -> Result<Score, Error> {
        let mut scoring = self.begin(reference);
        scoring.add(pictures, prompts)?;
        scoring.finish()
    }
}

/// A score in the making. It holds a bounded number of pictures, however many there are, and no bit of it depends on how they
/// were portioned. Of pictures that are compared with a reference it holds the features as well.
pub trait Scoring {
    /// Adds pictures `[N, 3, H, W]` or videos `[N, frames, 3, H, W]`, values about -1 to 1 and not clamped, and one prompt each.
    ///
    /// # Errors
    /// [`Error::Score`] for a prompt that cannot be judged or another number of prompts, [`Error::Shape`] and
    /// [`Error::Model`] if a network cannot read the pictures.
    fn add(&mut self, pictures: &Tensor, prompts: &[String]) -> Result<(), Error>;

    /// The score of all pictures.
    ///
    /// # Errors
    /// [`Error::Score`] for too few pictures, and as [`Scoring::add`].
    fn finish(self: Box<Self>) -> Result<Score, Error>;
}

/// Numbers by name, in the scorer's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Score(Vec<(String, f64)>);

impl Score {
    /// With one more number behind the others.
    #[must_use]
    pub fn with(mut self, name: &str, value: f64) -> Self {
        self.0.push((name.to_string(), value));
        self
    }

    /// The numbers.
    pub fn numbers(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// A number.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.numbers().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.numbers())
    }
}

/// What every scorer's configuration says first.
#[derive(Deserialize)]
struct Kind {
    scorer: String,
}

/// Opens the scorer in a folder.
///
/// # Errors
/// [`Error::Read`] and [`Error::Bundle`] for files that are missing or not what `config.json` says, [`Error::Score`] for a
/// kind that this build does not have, [`Error::Model`] if the engine refuses a network.
pub fn open(folder: &Path, engine: &dyn Engine) -> Result<Box<dyn Scorer>, Error> {
    let root = folder.canonicalize().map_err(Error::read(folder))?;
    let path = root.join("config.json");
    let text = read_text(&path, MAX_BYTES)?;
    let Kind { scorer: kind } =
        serde_json::from_str(&text).map_err(|e| Error::bundle(&path, format!("is no description of a scorer ({e})")))?;
    let found = SCORERS.iter().find(|(name, _)| *name == kind);
    let known = || SCORERS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let (_, open) = found.ok_or_else(|| ScoreError::UnknownKind { kind: kind.chars().take(80).collect(), known: known() })?;
    open(&root, &text, engine)
}

//! Scores pictures of the digits: does a classifier see the digit and the colour of the prompt, and how far are its
//! features from those of real pictures.

pub mod frechet;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::bundle::verify_file;
use crate::engine::take;
use crate::files::read_text;
use crate::manifest::FileRecord;
use crate::parallel::in_parallel;
use crate::tensor::ops::pick;
use crate::{Engine, Error, Session, Tensor};
use frechet::Statistics;

/// Pictures classified at once.
const BATCH: usize = 100;

/// The measured quality of a set of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The share of pictures whose digit the classifier reads as the prompt's.
    pub digit_accuracy: f64,
    /// The share of pictures whose colour the classifier reads as the prompt's.
    pub colour_accuracy: f64,
    /// The Fréchet distance between the features of the pictures and those of the real ones.
    pub frechet: f64,
}

/// What `config.json` of the classifier's folder says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    colours: Vec<String>,
    digits: Vec<String>,
    files: BTreeMap<String, FileRecord>,
}

/// The classifier and the statistics of the real pictures.
pub struct Scorer {
    session: Box<dyn Session>,
    real: Statistics,
    colours: Vec<String>,
    digits: Vec<String>,
    threads: usize,
}

impl Scorer {
    /// Opens a folder with `config.json` (labels and hashes), `model.onnx` (`image` to `features`, `digit`, `colour`) and
    /// `statistics.safetensors` (`mean` and `covariance` of the real features).
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::Bundle`] for files that are missing or not what `config.json` says,
    /// [`Error::Model`] if the engine refuses the classifier.
    pub fn open(folder: &Path, engine: &dyn Engine) -> Result<Self, Error> {
        let root = folder.canonicalize().map_err(Error::read(folder))?;
        let path = root.join("config.json");
        let text = read_text(&path, 1 << 20)?;
        let config: Config =
            serde_json::from_str(&text).map_err(|e| Error::bundle(&path, format!("is no description of a classifier ({e})")))?;
        for name in ["model.onnx", "statistics.safetensors"] {
            let record = config.files.get(name).ok_or_else(|| Error::bundle(&path, format!("lists no hash for {name}")))?;
            verify_file(&root, name, record)?;
        }
        Ok(Self {
            session: engine.load(&root.join("model.onnx"))?,
            real: Statistics::read(&root.join("statistics.safetensors"))?,
            colours: config.colours,
            digits: config.digits,
            threads: engine.concurrent_runs(),
        })
    }

    /// Every prompt that can be judged, `a {colour} {digit}`, all digits of the first colour first.
    #[must_use]
    pub fn prompts(&self) -> Vec<String> {
        let digits = |colour| self.digits.iter().map(move |digit| format!("a {colour} {digit}"));
        self.colours.iter().flat_map(digits).collect()
    }

    /// Scores pictures `[N, 3, H, W]`, values about -1 to 1 and not clamped, against one prompt each. N is at least 2.
    ///
    /// # Errors
    /// [`Error::Request`] for a prompt that is none of [`prompts`](Self::prompts) or too few pictures,
    /// [`Error::Shape`] and [`Error::Model`] if the classifier cannot read the pictures.
    pub fn score(&self, pictures: &Tensor, prompts: &[String]) -> Result<Score, Error> {
        if pictures.shape().first() != Some(&prompts.len()) {
            return Err(Error::Shape(format!(
                "{} prompts do not go with pictures of shape {:?}",
                prompts.len(),
                pictures.shape()
            )));
        }
        let known = self.prompts();
        let kind = |prompt: &String| {
            known.iter().position(|one| one == prompt).ok_or_else(|| {
                Error::Request(format!(
                    "the prompt {prompt:?} cannot be scored; prompts are like {:?}",
                    known.first().map_or("", |p| p)
                ))
            })
        };
        let kinds = prompts.iter().map(kind).collect::<Result<Vec<_>, _>>()?;
        let [features, digits, colours] = self.classify(pictures)?;
        let share = |logits: &Tensor, label: &dyn Fn(usize) -> usize| -> Result<f64, Error> {
            let rows = logits.floats()?.chunks(logits.row_len().max(1)).zip(&kinds);
            Ok(rows.filter(|(row, kind)| largest(row) == label(**kind)).count() as f64 / kinds.len() as f64)
        };
        let per_colour = self.digits.len();
        Ok(Score {
            digit_accuracy: share(&digits, &|kind| kind % per_colour)?,
            colour_accuracy: share(&colours, &|kind| kind / per_colour)?,
            frechet: frechet::distance(&Statistics::of(&features)?, &self.real)?,
        })
    }

    /// Features, digit logits and colour logits of pictures `[N, 3, H, W]`, each `[N, width]`.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Model`].
    pub fn classify(&self, pictures: &Tensor) -> Result<[Tensor; 3], Error> {
        let count = pictures.shape().first().copied().unwrap_or(0);
        if count == 0 {
            return Err(Error::Request("there are no pictures to score".into()));
        }
        let batch = BATCH.min(count);
        let batches = in_parallel(count.div_ceil(batch), self.threads, |index| {
            let rows: Vec<usize> = (index * batch..(index + 1) * batch).map(|row| row.min(count - 1)).collect();
            let real = batch.min(count - index * batch);
            let mut outputs = self.session.run(&[("image", &pick(pictures, &rows)?)])?;
            let keep: Vec<usize> = (0..real).collect();
            let mut part = |name| pick(&take(&mut outputs, name)?, &keep);
            Ok([part("features")?, part("digit")?, part("colour")?])
        })?;
        let join = |which: usize| {
            let width = batches.first().map_or(0, |parts| parts[which].row_len());
            let mut values = Vec::with_capacity(count * width);
            for parts in &batches {
                values.extend_from_slice(parts[which].floats()?);
            }
            Tensor::f32([count, width], values)
        };
        Ok([join(0)?, join(1)?, join(2)?])
    }
}

/// The position of the largest value, the first of equals.
fn largest(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, index| if row[index] > row[best] { index } else { best })
}

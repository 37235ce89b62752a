//! Does a classifier read in pictures what their prompts ask for, and how far are its features from those of real pictures.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::frechet::{Statistics, distance};
use super::{Score, Scorer};
use crate::bundle::verify_file;
use crate::engine::take;
use crate::error::ScoreError;
use crate::manifest::FileRecord;
use crate::parallel::in_parallel;
use crate::tensor::ops::{join, pick};
use crate::{Engine, Error, Session, Tensor};

/// Pictures classified at once.
const BATCH: usize = 100;

/// No classifier knows more prompts.
const MOST_PROMPTS: usize = 1 << 16;

/// What `config.json` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// `classifier`.
    #[serde(rename = "scorer")]
    _scorer: String,
    /// The ONNX file.
    model: String,
    /// Its input of pictures.
    input: String,
    /// What prompts are like: `a {colour} {digit}`, with one placeholder for every attribute.
    prompt: String,
    /// What the classifier reads, in the order of the numbers.
    attributes: Vec<Attribute>,
    /// Where the features are.
    frechet: Frechet,
    /// Size and hash of every file.
    files: BTreeMap<String, FileRecord>,
}

/// Something that a prompt asks for and the classifier reads.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attribute {
    /// The placeholder in the prompt.
    name: String,
    /// What stands there, in the order of the logits.
    labels: Vec<String>,
    /// The output of logits `[N, labels]`.
    output: String,
    /// What the share of right readings is called.
    number: String,
}

/// The distance between features.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Frechet {
    /// The output of features `[N, width]`.
    output: String,
    /// The file with `mean` and `covariance` of real pictures' features.
    statistics: String,
    /// What the distance is called.
    number: String,
}

/// The classifier and the statistics of the real pictures.
struct Classifier {
    session: Box<dyn Session>,
    real: Statistics,
    config: Config,
    prompts: Vec<String>,
    /// The label of every attribute, by prompt.
    labels: Vec<Vec<usize>>,
    threads: usize,
}

/// Opens a classifier.
pub(super) fn open(root: &Path, text: &str, engine: &dyn Engine) -> Result<Box<dyn Scorer>, Error> {
    let path = root.join("config.json");
    let config: Config =
        serde_json::from_str(text).map_err(|e| Error::bundle(&path, format!("is no description of a classifier ({e})")))?;
    for name in [&config.model, &config.frechet.statistics] {
        let record = config.files.get(name).ok_or_else(|| Error::bundle(&path, format!("lists no hash for {name}")))?;
        verify_file(root, name, record)?;
    }
    let (prompts, labels) = prompts(&config).map_err(|problem| Error::bundle(&path, problem))?;
    Ok(Box::new(Classifier {
        session: engine.load(&root.join(&config.model))?,
        real: Statistics::read(&root.join(&config.frechet.statistics))?,
        prompts,
        labels,
        threads: engine.concurrent_runs(),
        config,
    }))
}

/// Every prompt, the last placeholder fastest, and the label of every attribute in it.
fn prompts(config: &Config) -> Result<(Vec<String>, Vec<Vec<usize>>), String> {
    let place = |attribute: &Attribute| {
        let mark = format!("{{{}}}", attribute.name);
        let found = config.prompt.matches(&mark).count() == 1;
        let place = config.prompt.find(&mark).filter(|_| found);
        place.ok_or_else(|| format!("has the prompt {:?}, in which {mark} should stand once", config.prompt))
    };
    let mut order =
        config.attributes.iter().enumerate().map(|(i, one)| Ok((place(one)?, i))).collect::<Result<Vec<_>, String>>()?;
    order.sort_unstable();
    let sizes = config.attributes.iter().map(|attribute| attribute.labels.len());
    let count = sizes.clone().try_fold(1usize, usize::checked_mul).filter(|count| (1..=MOST_PROMPTS).contains(count));
    let count = count.ok_or_else(|| format!("has attributes of no prompt or of more than {MOST_PROMPTS}"))?;
    let labels: Vec<Vec<usize>> = (0..count)
        .map(|mut number| {
            let mut labels = vec![0; config.attributes.len()];
            for &(_, attribute) in order.iter().rev() {
                let size = config.attributes[attribute].labels.len();
                (labels[attribute], number) = (number % size, number / size);
            }
            labels
        })
        .collect();
    let prompt = |labels: &Vec<usize>| {
        let pairs = config.attributes.iter().zip(labels);
        pairs.fold(config.prompt.clone(), |text, (one, &label)| text.replace(&format!("{{{}}}", one.name), &one.labels[label]))
    };
    Ok((labels.iter().map(prompt).collect(), labels))
}

impl Scorer for Classifier {
    fn prompts(&self) -> Option<&[String]> {
        Some(&self.prompts)
    }

    fn score(&self, pictures: &Tensor, prompts: &[String]) -> Result<Score, Error> {
        if pictures.shape().first() != Some(&prompts.len()) {
            return Err(ScoreError::Counts { prompts: prompts.len(), pictures: pictures.shape().to_vec() }.into());
        }
        let kind = |prompt: &String| {
            let example = || self.prompts.first().cloned().unwrap_or_default();
            let found = self.prompts.iter().position(|known| known == prompt);
            found.ok_or_else(|| ScoreError::UnknownPrompt { prompt: prompt.clone(), example: example() })
        };
        let kinds = prompts.iter().map(kind).collect::<Result<Vec<_>, _>>()?;
        let mut results = self.classify(pictures)?.into_iter();
        let features = results.next().ok_or(ScoreError::NoPictures)?;
        let mut numbers = Vec::new();
        for (index, (attribute, logits)) in self.config.attributes.iter().zip(results).enumerate() {
            let rows = logits.floats()?.chunks(logits.row_len().max(1)).zip(&kinds);
            let right = rows.filter(|(row, kind)| largest(row) == self.labels[**kind][index]).count();
            numbers.push((attribute.number.clone(), right as f64 / kinds.len() as f64));
        }
        numbers.push((self.config.frechet.number.clone(), distance(&Statistics::of(&features)?, &self.real)?));
        Ok(Score(numbers))
    }
}

impl Classifier {
    /// Features, and the logits of every attribute, of pictures `[N, 3, H, W]`, each `[N, width]`.
    fn classify(&self, pictures: &Tensor) -> Result<Vec<Tensor>, Error> {
        let count = pictures.shape().first().copied().unwrap_or(0);
        if count == 0 {
            return Err(ScoreError::NoPictures.into());
        }
        let batch = BATCH.min(count);
        let attributes = self.config.attributes.iter().map(|attribute| attribute.output.as_str());
        let names: Vec<&str> = std::iter::once(self.config.frechet.output.as_str()).chain(attributes).collect();
        let batches = in_parallel(count.div_ceil(batch), self.threads, |index| {
            let rows: Vec<usize> = (index * batch..(index + 1) * batch).map(|row| row.min(count - 1)).collect();
            let real = batch.min(count - index * batch);
            let mut outputs = self.session.run(&[(&self.config.input, &pick(pictures, &rows)?)])?;
            let keep: Vec<usize> = (0..real).collect();
            names.iter().map(|name| pick(&take(&mut outputs, name)?, &keep)).collect::<Result<Vec<_>, _>>()
        })?;
        let whole = |which: usize| join(&batches.iter().map(|parts| parts[which].clone()).collect::<Vec<_>>(), 0);
        (0..names.len()).map(whole).collect()
    }
}

/// The position of the largest value, the first of equals.
fn largest(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, index| if row[index] > row[best] { index } else { best })
}

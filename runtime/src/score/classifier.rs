//! Does a classifier read in pictures what their prompts ask for, and how far are its features from those of real pictures.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_graph::store::hash;
use serde::Deserialize;

use super::entropy::Readings;
use super::frechet::{Accumulator, Statistics, distance};
use super::{Reference, Score, Scorer, Scoring};
use crate::bundle::verify_file;
use crate::engine::take;
use crate::error::ScoreError;
use crate::manifest::FileRecord;
use crate::parallel::in_parallel;
use crate::tensor::ops::{join, pick, second_and_third_swapped};
use crate::{Engine, Error, Session, Tensor};

/// Pictures classified at once,
const BATCH: usize = 100;

/// and values, of which large pictures have many: 64 MiB.
const BATCH_VALUES: usize = 1 << 24;

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
    /// Its input of pictures `[N, 3, H, W]`, or of videos `[N, 3, frames, H, W]`.
    input: String,
    /// The frames of videos; left out where it reads pictures.
    frames: Option<usize>,
    /// What prompts are like: `a {colour} {digit}`, with one placeholder for every attribute.
    prompt: String,
    /// What the classifier reads, in the order of the numbers.
    attributes: Vec<Attribute>,
    /// What it reads besides, that no prompt asks for.
    #[serde(default)]
    free: Vec<Free>,
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

/// Something that the classifier reads and no prompt asks for: how different it is between pictures of one prompt shows
/// whether anything was lost.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Free {
    /// The outputs of logits `[N, labels]` that are read together.
    outputs: Vec<String>,
    /// What the entropy is called.
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
    /// SHA-256 of `config.json`.
    identity: String,
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
        identity: hash::bytes(text.as_bytes()),
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

    fn frames(&self) -> Option<usize> {
        self.config.frames
    }

    fn files(&self) -> Vec<String> {
        self.config.files.keys().cloned().collect()
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn features(&self, pictures: &Tensor) -> Result<Tensor, Error> {
        let (count, size) = (pictures.shape().first().copied().unwrap_or(0), pictures.row_len());
        if count == 0 {
            return Err(ScoreError::NoPictures.into());
        }
        let parts = self.classify(pictures, batch(size).min(count))?;
        let features = parts.into_iter().map(|outputs| outputs.into_iter().next().ok_or(ScoreError::NoPictures));
        join(&features.collect::<Result<Vec<_>, _>>()?, 0)
    }

    fn begin<'a>(&'a self, reference: Option<&'a Reference>) -> Box<dyn Scoring + 'a> {
        Box::new(Reading {
            classifier: self,
            reference,
            shape: Vec::new(),
            pictures: Vec::new(),
            kinds: Vec::new(),
            read: 0,
            right: vec![0; self.config.attributes.len()],
            free: self.config.free.iter().map(|_| Readings::default()).collect(),
            features: Accumulator::default(),
            kept: Vec::new(),
        })
    }
}

impl Classifier {
    /// Refuses pictures where it reads videos, and the other way round.
    fn check(&self, shape: &[usize]) -> Result<(), Error> {
        let fits = match (self.config.frames, shape) {
            (None, [3, _, _]) => true,
            (Some(wanted), [frames, 3, _, _]) => wanted == *frames,
            _ => false,
        };
        let wanted = || self.config.frames.map_or("[3, H, W]".into(), |frames| format!("[{frames}, 3, H, W]"));
        if fits { Ok(()) } else { Err(ScoreError::Results { found: shape.to_vec(), wanted: wanted() }.into()) }
    }

    /// The number of a prompt.
    fn kind(&self, prompt: &String) -> Result<usize, Error> {
        let example = || self.prompts.first().cloned().unwrap_or_default();
        let found = self.prompts.iter().position(|known| known == prompt);
        Ok(found.ok_or_else(|| ScoreError::UnknownPrompt { prompt: prompt.clone(), example: example() })?)
    }

    /// Features, and the logits of every attribute and of what is free, of pictures in batches of `batch`: for every batch one
    /// tensor `[batch, width]` each. The last is filled up with its last picture.
    fn classify(&self, pictures: &Tensor, batch: usize) -> Result<Vec<Vec<Tensor>>, Error> {
        let count = pictures.shape().first().copied().unwrap_or(0);
        let attributes = self.config.attributes.iter().map(|attribute| attribute.output.as_str());
        let free = self.config.free.iter().flat_map(|free| free.outputs.iter().map(String::as_str));
        let names: Vec<&str> = std::iter::once(self.config.frechet.output.as_str()).chain(attributes).chain(free).collect();
        in_parallel(count.div_ceil(batch), self.threads, |index| {
            let rows: Vec<usize> = (index * batch..(index + 1) * batch).map(|row| row.min(count - 1)).collect();
            let real = batch.min(count - index * batch);
            let rows = pick(pictures, &rows)?;
            let rows = if self.config.frames.is_some() { second_and_third_swapped(&rows)? } else { rows };
            let mut outputs = self.session.run(&[(&self.config.input, &rows)])?;
            let keep: Vec<usize> = (0..real).collect();
            names.iter().map(|name| pick(&take(&mut outputs, name)?, &keep)).collect()
        })
    }
}

/// A score in the making.
struct Reading<'a> {
    classifier: &'a Classifier,
    reference: Option<&'a Reference>,
    /// `[3, H, W]` of a picture; nothing before the first.
    shape: Vec<usize>,
    /// Those that wait to be read, a batch per thread at most.
    pictures: Vec<f32>,
    /// The numbers of their prompts.
    kinds: Vec<usize>,
    /// How many were read.
    read: usize,
    /// How often every attribute was read right.
    right: Vec<usize>,
    /// What was read of what is free.
    free: Vec<Readings>,
    features: Accumulator,
    /// All of them, where there is a reference.
    kept: Vec<Tensor>,
}

/// How many pictures of so many values make a batch.
fn batch(values: usize) -> usize {
    (BATCH_VALUES / values.max(1)).clamp(1, BATCH)
}

impl Reading<'_> {
    /// Pictures of a batch.
    fn batch(&self) -> usize {
        batch(self.shape.iter().product())
    }

    /// Reads the pictures that wait: full batches, or the last. Where there is no full one, the last is not filled up.
    fn flush(&mut self) -> Result<(), Error> {
        let count = self.kinds.len();
        let batch = if self.read == 0 { self.batch().min(count) } else { self.batch() };
        let pictures = Tensor::f32([&[count], self.shape.as_slice()].concat(), std::mem::take(&mut self.pictures))?;
        let kinds = std::mem::take(&mut self.kinds);
        for (results, kinds) in self.classifier.classify(&pictures, batch)?.into_iter().zip(kinds.chunks(batch)) {
            let mut results = results.into_iter();
            let features = results.next().ok_or(ScoreError::NoPictures)?;
            self.features.add(&features)?;
            if self.reference.is_some() {
                self.kept.push(features);
            }
            for (index, (right, logits)) in self.right.iter_mut().zip(results.by_ref()).enumerate() {
                let rows = labels(&logits)?.into_iter().zip(kinds);
                *right += rows.filter(|(label, kind)| *label == self.classifier.labels[**kind][index]).count();
            }
            for (free, readings) in self.classifier.config.free.iter().zip(&mut self.free) {
                let read = results.by_ref().take(free.outputs.len()).map(|logits| labels(&logits));
                let read = read.collect::<Result<Vec<_>, Error>>()?;
                for (row, &kind) in kinds.iter().enumerate() {
                    readings.add(kind, read.iter().filter_map(|labels| labels.get(row).copied()).collect());
                }
            }
        }
        self.read += count;
        Ok(())
    }
}

impl Scoring for Reading<'_> {
    fn add(&mut self, pictures: &Tensor, prompts: &[String]) -> Result<(), Error> {
        let shape = pictures.shape();
        if shape.first() != Some(&prompts.len()) {
            return Err(ScoreError::Counts { prompts: prompts.len(), pictures: shape.to_vec() }.into());
        }
        if prompts.is_empty() {
            return Ok(());
        }
        if self.shape.is_empty() {
            self.classifier.check(&shape[1..])?;
            self.shape = shape[1..].to_vec();
        } else if self.shape != shape[1..] {
            return Err(Error::Shape(format!(
                "pictures of shape {:?} do not go with others of shape {:?}",
                &shape[1..],
                self.shape
            )));
        }
        let kinds = prompts.iter().map(|prompt| self.classifier.kind(prompt)).collect::<Result<Vec<_>, _>>()?;
        let full = self.batch() * self.classifier.threads.max(1);
        for (picture, kind) in pictures.floats()?.chunks(pictures.row_len().max(1)).zip(kinds) {
            self.pictures.extend_from_slice(picture);
            self.kinds.push(kind);
            if self.kinds.len() == full {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Score, Error> {
        if !self.kinds.is_empty() {
            self.flush()?;
        }
        if self.read == 0 {
            return Err(ScoreError::NoPictures.into());
        }
        let Self { classifier, reference, right, free, read, features, kept, .. } = *self;
        let attributes = classifier.config.attributes.iter().zip(right);
        let mut numbers: Vec<(String, f64)> =
            attributes.map(|(attribute, right)| (attribute.number.clone(), right as f64 / read as f64)).collect();
        let entropies = classifier.config.free.iter().zip(free);
        numbers.extend(entropies.filter_map(|(free, read)| Some((free.number.clone(), read.entropy()?))));
        let (statistics, called) = (features.finish()?, &classifier.config.frechet.number);
        numbers.push((called.clone(), distance(&statistics, &classifier.real)?));
        if let Some(reference) = reference {
            numbers.extend(reference.numbers(called, &join(&kept, 0)?, &statistics)?);
        }
        Ok(Score(numbers))
    }
}

/// What every row of logits says.
fn labels(logits: &Tensor) -> Result<Vec<usize>, Error> {
    Ok(logits.floats()?.chunks(logits.row_len().max(1)).map(largest).collect())
}

/// The position of the largest value, the first of equals.
fn largest(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, index| if row[index] > row[best] { index } else { best })
}

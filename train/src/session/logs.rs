//! The logs of a run: `metrics.jsonl`, the TensorBoard event file and `timing.jsonl`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::folder::RunFolder;
use super::tensorboard;
use crate::error::TrainError;
use crate::store::append::AppendFile;

/// TensorBoard finds event files by a part of their name; its own also name a time and a host, ours are reproducible.
const EVENTS: &str = "events.out.tfevents.0000000000.dmdx";

/// The numbers of one iteration by name, in the order of the names.
///
/// Names with a meaning to the trainer: `loss_*` are drawn in `loss.png`; `latent_mean`, `latent_std`, `brightness`
/// and `discriminator_accuracy` are watched for a run's health. Every value must be finite.
pub type Metrics = BTreeMap<String, f64>;

/// How far the logs reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLengths {
    /// Bytes of `metrics.jsonl`.
    pub metrics: u64,
    /// Bytes of the TensorBoard event file.
    pub events: u64,
    /// Iterations logged, over all phases.
    pub iterations: u64,
}

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricsLine {
    /// The phase.
    pub phase: String,
    /// The iteration in it, from 0.
    pub iteration: u64,
    /// Its numbers; one that is not finite is `null`.
    #[serde(flatten)]
    pub metrics: BTreeMap<String, Option<f64>>,
}

/// The open logs of a run.
#[derive(Debug)]
pub struct Logs {
    metrics: AppendFile,
    events: AppendFile,
    timing: AppendFile,
    iterations: u64,
}

impl Logs {
    /// Opens the logs cut back to `lengths`: zeros for a new run.
    ///
    /// # Errors
    /// [`TrainError::Write`]; [`TrainError::Damaged`] where a log is shorter than that.
    pub fn open(folder: &RunFolder, lengths: LogLengths) -> Result<Self, TrainError> {
        let mut logs = Self {
            metrics: AppendFile::open(&folder.metrics(), lengths.metrics)?,
            events: AppendFile::open(&folder.tensorboard().join(EVENTS), lengths.events)?,
            timing: AppendFile::open_at_end(&folder.timing())?,
            iterations: lengths.iterations,
        };
        if lengths.events == 0 {
            logs.events.append(&tensorboard::file_version())?;
        }
        Ok(logs)
    }

    /// Logs one iteration of `phase`.
    ///
    /// # Errors
    /// [`TrainError::Write`].
    pub fn iteration(&mut self, phase: &str, iteration: u64, metrics: &Metrics, took: Duration) -> Result<(), TrainError> {
        let line = MetricsLine {
            phase: phase.to_string(),
            iteration,
            metrics: metrics.iter().map(|(name, &value)| (name.clone(), value.is_finite().then_some(value))).collect(),
        };
        self.metrics.append(&json_line(&line)?)?;
        let scalars = metrics.iter().map(|(name, value)| (format!("{phase}/{name}"), value));
        self.events.append(&tensorboard::scalars(self.iterations, iteration, scalars))?;
        let seconds = serde_json::json!({"phase": phase, "iteration": iteration, "seconds": took.as_secs_f64()});
        self.timing.append(&json_line(&seconds)?)?;
        self.iterations += 1;
        Ok(())
    }

    /// Logs a picture, encoded as PNG, to TensorBoard.
    ///
    /// # Errors
    /// [`TrainError::Write`].
    pub fn image(&mut self, tag: &str, step: u64, width: u32, height: u32, png: Vec<u8>) -> Result<(), TrainError> {
        self.events.append(&tensorboard::image(self.iterations, step, tag, width, height, png))
    }

    /// Waits until the logs are on the disk, and says how far they reach.
    ///
    /// # Errors
    /// [`TrainError::Write`].
    pub fn sync(&mut self) -> Result<LogLengths, TrainError> {
        Ok(LogLengths { metrics: self.metrics.sync()?, events: self.events.sync()?, iterations: self.iterations })
    }
}

fn json_line(value: &impl Serialize) -> Result<Vec<u8>, TrainError> {
    let mut line = serde_json::to_vec(value).map_err(|error| TrainError::json("a line of a log", &error))?;
    line.push(b'\n');
    Ok(line)
}

/// Reads a `metrics.jsonl`.
///
/// # Errors
/// [`TrainError::Read`]; [`TrainError::Damaged`] naming the first line that is not one of ours.
pub fn read_metrics(path: &Path) -> Result<Vec<MetricsLine>, TrainError> {
    let file = std::fs::File::open(path).map_err(TrainError::read(path))?;
    let mut lines = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(TrainError::read(path))?;
        lines.push(
            serde_json::from_str(&line).map_err(|error| {
                TrainError::damaged(path, format!("line {} is not a record of metrics ({error})", number + 1))
            })?,
        );
    }
    Ok(lines)
}

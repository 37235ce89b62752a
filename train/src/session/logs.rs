//! The logs of a run: `metrics.jsonl`, the TensorBoard event file and `timing.jsonl`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::folder::RunFolder;
use super::tensorboard::{self, Moment};
use super::{memory, tensorboard::now};
use crate::error::TrainError;
use crate::store::append::AppendFile;

/// TensorBoard finds event files by a part of their name; its own also name a time and a host, ours are reproducible.
const EVENTS: &str = "events.out.tfevents.0000000000.dmdx";

/// The numbers of one iteration by name, in the order of the names.
///
/// Names with a meaning: `loss_*`, `score_*` and `spread` are drawn in `loss.png`; `latent_mean`, `latent_std`, `brightness`
/// and `discriminator_accuracy` are watched for a run's health. `part_*` are the terms of a loss before they are weighed,
/// `grad_norm_*` the L2 norms of gradients, `lr_*` learning rates. Every value must be finite.
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
    /// The iteration over all phases, from 0: TensorBoard's step.
    pub step: u64,
    /// Its numbers; one that is not finite is `null`.
    #[serde(flatten)]
    pub metrics: BTreeMap<String, Option<f64>>,
}

/// What the clock and the system say about an iteration: one line of `timing.jsonl`, and TensorBoard's `performance/…`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimingLine {
    /// The phase.
    pub phase: String,
    /// The iteration in it, from 0.
    pub iteration: u64,
    /// The iteration over all phases, from 0.
    pub step: u64,
    /// When it ended, in seconds since 1970.
    pub time: f64,
    /// How long it took.
    pub seconds: f64,
    /// Samples of its batch, over the seconds.
    pub samples_per_second: f64,
    /// Bytes that this process then had in memory, where the system says that; those of a GPU are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<u64>,
}

/// How long an iteration took, and of how many samples it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Its time.
    pub took: Duration,
    /// Samples of its batch.
    pub samples: usize,
}

/// A picture to log.
#[derive(Clone, Debug)]
pub struct LoggedPicture {
    /// Its pixels from left to right.
    pub width: u32,
    /// And from top to bottom.
    pub height: u32,
    /// The picture as the bytes of a PNG file.
    pub png: Vec<u8>,
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
            // Its bytes are the clock's, so a checkpoint does not know its length, but how many lines it had.
            timing: AppendFile::open_lines(&folder.timing(), lengths.iterations)?,
            iterations: lengths.iterations,
        };
        if lengths.events == 0 {
            logs.events.append(&tensorboard::file_version(now()))?;
        }
        Ok(logs)
    }

    /// Logs one iteration of `phase`.
    ///
    /// # Errors
    /// [`TrainError::Write`].
    pub fn iteration(&mut self, phase: &str, iteration: u64, metrics: &Metrics, pace: Pace) -> Result<(), TrainError> {
        let moment = self.moment();
        let (phase_name, seconds) = (phase.to_string(), pace.took.as_secs_f64());
        let timing = TimingLine {
            phase: phase_name,
            iteration,
            step: moment.step,
            time: moment.time,
            seconds,
            samples_per_second: pace.samples as f64 / seconds.max(1e-9),
            resident_bytes: memory::resident(),
        };
        let line = MetricsLine {
            phase: phase.to_string(),
            iteration,
            step: moment.step,
            metrics: metrics.iter().map(|(name, &value)| (name.clone(), value.is_finite().then_some(value))).collect(),
        };
        self.metrics.append(&json_line(&line)?)?;
        let scalars = metrics.iter().map(|(name, &value)| (format!("{phase}/{name}"), value));
        let resident = timing.resident_bytes.map(|bytes| ("resident_gigabytes", bytes as f64 / 1e9));
        let measured = [("seconds_per_iteration", seconds), ("samples_per_second", timing.samples_per_second)];
        let measured = measured.into_iter().chain(resident).map(|(name, value)| (format!("performance/{name}"), value));
        self.events.append(&tensorboard::scalars(moment, scalars.chain(measured)))?;
        self.timing.append(&json_line(&timing)?)?;
        self.iterations += 1;
        Ok(())
    }

    /// Logs a picture to TensorBoard, at the iteration that comes next.
    ///
    /// # Errors
    /// [`TrainError::Write`].
    pub fn image(&mut self, tag: &str, picture: LoggedPicture) -> Result<(), TrainError> {
        let LoggedPicture { width, height, png } = picture;
        self.events.append(&tensorboard::image(self.moment(), tag, width, height, png))
    }

    /// Logs numbers by tag to TensorBoard, at the iteration that comes next.
    ///
    /// # Errors
    /// [`TrainError::Write`].
    pub fn scalars(&mut self, numbers: impl Iterator<Item = (String, f64)>) -> Result<(), TrainError> {
        self.events.append(&tensorboard::scalars(self.moment(), numbers))
    }

    /// Logs a text in Markdown to TensorBoard.
    ///
    /// # Errors
    /// [`TrainError::Write`].
    pub fn text(&mut self, tag: &str, markdown: &str) -> Result<(), TrainError> {
        self.events.append(&tensorboard::text(self.moment(), tag, markdown))
    }

    fn moment(&self) -> Moment {
        Moment { time: now(), step: self.iterations }
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

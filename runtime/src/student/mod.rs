//! What a student checkpoint says about itself, and how other libraries draw with it.

mod layout;
mod stock;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::files::read_text;
use crate::manifest::{GuidanceRange, Unconditional};
use crate::process::{Consistency, NoiseSchedule, Parameterisation, ProcessError, Rollout, StepRule};

pub use layout::Layout;
pub use stock::{Call, Stock, stock};

/// No student file is larger: tables of trained betas have 100,000 entries at most.
const MAX_BYTES: usize = 4 << 20;

/// `dmdx_student.json`: how a student is sampled and where it comes from. The trainer writes it into the root of the student
/// checkpoint, beside its `model_index.json`, and every command reads it; nothing of it is taken from the scheduler there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentInfo {
    /// The times fed to the network, strictly falling: `[999.0]` for a one-step student of the SDXL kind.
    pub steps: Vec<f64>,
    /// What the network's output means.
    pub parameterisation: Parameterisation,
    /// What happens between two steps.
    #[serde(default)]
    pub sampler: StepRule,
    /// How it was distilled, where it is a consistency model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// The noise process of the teacher.
    pub schedule: NoiseSchedule,
    /// The guidance weights that it may be run with; absent where the network runs once per step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<GuidanceRange>,
    /// What the unconditional half of guidance is fed, where there is guidance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconditional: Option<Unconditional>,
    /// How a stock pipeline of diffusers draws with the checkpoint as it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diffusers: Option<Diffusers>,
    /// What the teacher was called, without a path.
    pub teacher: String,
    /// SHA-256 over the teacher's files, 64 lower-case hexadecimal digits.
    pub teacher_sha256: String,
    /// The licence of the teacher's weights, empty if it does not say.
    #[serde(default)]
    pub licence: String,
}

/// How a stock pipeline of diffusers draws: with the scheduler beside the student and these arguments, or not at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Diffusers {
    /// The checkpoint's scheduler makes the student's own steps.
    Scheduler {
        /// Its class.
        scheduler: String,
        /// What the pipeline is called with, besides the prompt.
        call: Call,
        /// How far its steps are from the student's, where they are not the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// No scheduler of diffusers makes them, so that the checkpoint has none.
    None {
        /// Why, as a sentence.
        no_scheduler: String,
    },
}

impl StudentInfo {
    /// The file's name.
    pub const FILE_NAME: &str = "dmdx_student.json";

    /// Reads the file in a checkpoint folder; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Read`] when it cannot be read, [`Error::Bundle`] when it is no student file.
    pub fn read(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(Self::FILE_NAME);
        if path.metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let text = read_text(&path, MAX_BYTES)?;
        serde_json::from_str(&text).map(Some).map_err(|error| Error::bundle(&path, format!("is no student file ({error})")))
    }

    /// The text of the file; the same student gives the same bytes.
    pub fn to_json(&self) -> String {
        // Numbers, texts and lists always have a JSON form.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// How it walks from noise to a clean sample.
    ///
    /// # Errors
    /// [`ProcessError`] for a schedule, a parameterisation and steps that do not go together.
    pub fn rollout(&self) -> Result<Rollout, ProcessError> {
        self.schedule.rollout(self.parameterisation, &self.steps, self.sampler)?.by(self.consistency)
    }
}

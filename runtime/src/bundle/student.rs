//! `dmdx_student.json`: what a student checkpoint says about itself, beside its `model_index.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::files::read_text;
use crate::manifest::GuidanceRange;
use crate::process::{Parameterisation, StepRule};

/// No student file is larger.
const MAX_BYTES: usize = 1 << 20;

/// How a student is sampled and where it comes from. The trainer writes it into the root of the student checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentInfo {
    /// The times fed to the network, strictly falling: `[999.0]` for a one-step student of the SDXL kind.
    pub steps: Vec<f64>,
    /// What the network's output means.
    pub parameterisation: Parameterisation,
    /// What happens between two steps.
    #[serde(default, skip_serializing_if = "StepRule::is_ode")]
    pub sampler: StepRule,
    /// The guidance weights that it may be run with; absent where the network runs once per step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<GuidanceRange>,
    /// What the teacher was called, without a path.
    pub teacher: String,
    /// SHA-256 over the teacher's files, 64 lower-case hexadecimal digits.
    pub teacher_sha256: String,
    /// The licence of the teacher's weights, empty if it does not say.
    #[serde(default)]
    pub licence: String,
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
}

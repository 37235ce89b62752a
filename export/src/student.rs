//! `dmdx_student.json`: what a student checkpoint says about itself, beside its `model_index.json`.

use std::path::Path;

use dmdx_runtime::bundle::manifest::Parameterisation;
use serde::{Deserialize, Serialize};

use crate::error::{ExportError, Result, io};

/// No student file is larger.
const MAX_BYTES: u64 = 1 << 20;

/// How a student is sampled and where it comes from. The trainer writes it into the root of the student checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentInfo {
    /// The times fed to the network, strictly falling: `[999.0]` for a one-step student of the SDXL kind.
    pub steps: Vec<f64>,
    /// What the network's output means.
    pub parameterisation: Parameterisation,
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
    /// [`ExportError::Io`] when it cannot be read, [`ExportError::Source`] when it is no student file.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(Self::FILE_NAME);
        let bad = |problem: String| ExportError::Source { source_name: path.display().to_string(), problem };
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(&path, "read")(error)),
            Ok(metadata) if metadata.len() > MAX_BYTES => return Err(bad("it is larger than a student file can be".into())),
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(&path).map_err(io(&path, "read"))?;
        serde_json::from_str(&text).map(Some).map_err(|error| bad(format!("it is not a student file ({error})")))
    }

    /// The text of the file; the same student gives the same bytes.
    pub fn to_json(&self) -> String {
        // Numbers, texts and lists always have a JSON form.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

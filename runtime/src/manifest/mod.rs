//! `dmdx.json`, the manifest of an exported bundle: how the networks are called, what every file must hash to, and how far
//! each component was measured to be from its source.
//!
//! The exporter writes it and the runtime reads it. The text is deterministic: fields in the order of their declaration,
//! maps in the order of their keys, a newline at the end. Every name in it is checked when it is read, because the file
//! may come from a stranger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::process::{Consistency, MOST_ENTRIES, NoiseSchedule, Parameterisation, ProcessError, Rollout, StepRule};

/// The name of the manifest inside a bundle.
pub const FILE_NAME: &str = "dmdx.json";

/// The one version of the format that this build writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// No manifest is larger than this many bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// No walk is longer.
const MOST_STEPS: usize = 1000;

/// No latent has more axes.
const MOST_AXES: usize = 8;

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The text is not a manifest: bad JSON, a missing, unknown or mistyped field.
    #[error("dmdx.json cannot be read ({0}); export the bundle again with dmdx-export")]
    Syntax(String),
    /// The text is larger than [`MAX_BYTES`].
    #[error("dmdx.json has {0} bytes, more than the limit of {MAX_BYTES}; export the bundle again with dmdx-export")]
    TooLarge(usize),
    /// The manifest was written by another version of the format.
    #[error(
        "dmdx.json has format version {0} but this build reads version {FORMAT_VERSION}; use a matching dmdx-run or export again"
    )]
    Version(String),
    /// A field holds a value that no bundle can have.
    #[error("dmdx.json: {field} {problem}; export the bundle again with dmdx-export")]
    Value {
        /// The dotted path of the field.
        field: String,
        /// What is wrong with its value, as the rest of a sentence.
        problem: String,
    },
}

/// Everything a bundle says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The pipeline class of diffusers whose networks these are, for example `StableDiffusionXLPipeline`.
    pub pipeline: String,
    /// Whether the networks are a few-step student or the teacher itself.
    pub role: Role,
    /// The times fed to the network, in calling order, strictly falling: `[999.0]` for a one-step SDXL student.
    pub steps: Vec<f64>,
    /// What the network's raw output means.
    pub parameterisation: Parameterisation,
    /// What happens between two steps.
    #[serde(default, skip_serializing_if = "StepRule::is_ode")]
    pub sampler: StepRule,
    /// How it was distilled, where it is a consistency model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// The forward process of the teacher.
    pub schedule: NoiseSchedule,
    /// Weight w of classifier-free guidance, o = u + w (c - u), that a teacher was exported with; absent for students.
    pub guidance_scale: Option<f64>,
    /// The weights that a student may be run with; absent where the network runs once per step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<GuidanceRange>,
    /// What the unconditional half of guidance is fed.
    pub unconditional: Unconditional,
    /// The sizes of one latent: channels, height and width, before them the number of frames for videos.
    pub latent_shape: Vec<usize>,
    /// How latents relate to what the decoder reads.
    pub vae: VaeScaling,
    /// The six values of SDXL's `time_ids` (original size, crop corner, target size); absent for other families.
    pub time_ids: Option<Vec<f64>>,
    /// What the ONNX files were written for.
    pub target: TargetRecord,
    /// Size and hash of every file of the bundle but this one, by path relative to the bundle, with `/`.
    pub files: BTreeMap<String, FileRecord>,
    /// The measured errors against the source, by component (`unet`, `vae_decoder`, ...).
    pub verification: BTreeMap<String, Vec<Verification>>,
    /// Where the weights come from.
    pub provenance: Provenance,
}

/// What the networks of a bundle are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A distilled few-step generator.
    Student,
    /// The network that students are distilled from.
    Teacher,
}

/// The guidance weights that a student takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuidanceRange {
    /// The weight where none is asked for.
    pub default: f64,
    /// The smallest and the largest weight that it was trained for.
    pub range: [f64; 2],
}

impl GuidanceRange {
    /// Whether a weight lies in the range.
    #[must_use]
    pub fn holds(&self, scale: f64) -> bool {
        (self.range[0]..=self.range[1]).contains(&scale)
    }
}

/// The unconditional input of classifier-free guidance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unconditional {
    /// Embeddings of zeros (`force_zeros_for_empty_prompt`).
    Zeros,
    /// The embeddings of the empty prompt.
    EmptyPrompt,
}

impl Unconditional {
    /// What it is, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Zeros => "zeros for every embedding",
            Self::EmptyPrompt => "the embedding of the empty prompt",
        }
    }
}

/// The decoder reads `latent / scaling_factor + shift_factor`, or with statistics of the channels
/// `latent · latents_std / scaling_factor + latents_mean`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaeScaling {
    /// `scaling_factor` of the VAE's config.
    pub scaling_factor: f64,
    /// `shift_factor` of the VAE's config, 0 where it has none.
    pub shift_factor: f64,
    /// `latents_mean` of the VAE's config, one number per channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latents_mean: Option<Vec<f64>>,
    /// `latents_std` of the VAE's config, one number per channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latents_std: Option<Vec<f64>>,
}

/// What the ONNX files were written for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetRecord {
    /// The exporter's name of the target, for example `onnxruntime-cpu`.
    pub name: String,
    /// The version of the default operator set.
    pub opset: u32,
    /// The ONNX IR version.
    pub ir_version: u32,
    /// The precision that is computed in, for example `float32`; weights may be stored in a narrower one.
    pub precision: String,
    /// The runtimes that the target is known to run on, for example `["tract", "onnxruntime>=1.24"]`.
    pub runtimes: Vec<String>,
}

/// The size and hash of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// One measurement of a component against its source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// The engine that ran the file and its version, for example `tract 0.23.9`.
    pub engine: String,
    /// The largest absolute difference over all outputs.
    pub max_absolute: f64,
    /// The largest absolute difference divided by the largest absolute value of the source's output.
    pub relative: f64,
    /// The largest `relative` that the exporter accepts of the engine that proves the file.
    pub tolerance: f64,
    /// Why this engine does not prove the file, where another one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Where the weights come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The program and version that wrote the bundle, for example `dmdx-export 0.1.0`.
    pub tool: String,
    /// What the source was called, without any machine's path.
    pub source: String,
    /// SHA-256 over the source checkpoint's files.
    pub source_sha256: String,
    /// The licence of the weights, empty if the source does not say.
    pub licence: String,
    /// What the import of a single file assumed because the file does not say it; absent where everything was stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed: Option<String>,
}

impl VaeScaling {
    /// Latents that are only scaled.
    #[must_use]
    pub fn of(scaling_factor: f64) -> Self {
        Self { scaling_factor, shift_factor: 0.0, latents_mean: None, latents_std: None }
    }
}

impl Manifest {
    /// Reads a manifest and checks every value in it.
    ///
    /// # Errors
    /// [`ManifestError`] for text that is no manifest, another format version, or an impossible value.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() > MAX_BYTES {
            return Err(ManifestError::TooLarge(text.len()));
        }
        let value: serde_json::Value = serde_json::from_str(text).map_err(|e| ManifestError::Syntax(e.to_string()))?;
        // The version comes first: a newer manifest may have any other field.
        match value.get("format_version") {
            Some(version) if version.as_u64() == Some(u64::from(FORMAT_VERSION)) => {}
            Some(version) => return Err(ManifestError::Version(version.to_string())),
            None => return Err(ManifestError::Syntax("format_version is missing".into())),
        }
        let manifest: Manifest = serde_json::from_str(text).map_err(|e| ManifestError::Syntax(e.to_string()))?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// The canonical text of the manifest: the same manifest gives the same bytes.
    ///
    /// # Errors
    /// [`ManifestError::Value`] and [`ManifestError::TooLarge`] if it could not be read back.
    pub fn to_json(&self) -> Result<String, ManifestError> {
        self.validate()?;
        let mut text = serde_json::to_string_pretty(self).map_err(|e| ManifestError::Syntax(e.to_string()))?;
        text.push('\n');
        if text.len() > MAX_BYTES { Err(ManifestError::TooLarge(text.len())) } else { Ok(text) }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`ManifestError::Version`] or [`ManifestError::Value`] with the first defect.
    pub fn validate(&self) -> Result<(), ManifestError> {
        if self.format_version != FORMAT_VERSION {
            return Err(ManifestError::Version(self.format_version.to_string()));
        }
        self.validate_diffusion()?;
        self.validate_numbers()?;
        for (path, record) in &self.files {
            validate_path(path).map_err(|problem| bad(format!("files[{path:?}]"), problem))?;
            if !is_sha256(&record.sha256) {
                return Err(bad(format!("files[{path:?}].sha256"), "is not 64 lower-case hexadecimal digits"));
            }
        }
        Ok(())
    }

    /// How the networks are walked from noise to a clean sample.
    ///
    /// # Errors
    /// [`ProcessError`] for a schedule, a parameterisation and steps that do not go together.
    pub fn rollout(&self) -> Result<Rollout, ProcessError> {
        self.schedule.rollout(self.parameterisation, &self.steps, self.sampler)?.by(self.consistency)
    }

    fn validate_diffusion(&self) -> Result<(), ManifestError> {
        if self.steps.len() > MOST_STEPS {
            return Err(bad("steps", format!("has {} entries, not 1 to {MOST_STEPS}", self.steps.len())));
        }
        if let Some(consistency) = self.consistency {
            if !(1..=MOST_ENTRIES).contains(&consistency.solver_steps) {
                return Err(bad("consistency.solver_steps", format!("is {}, not 1 or more", consistency.solver_steps)));
            }
            // Written so that a NaN fails too.
            if !(consistency.timestep_scaling > 0.0 && consistency.timestep_scaling.is_finite()) {
                let problem = format!("is {}, not a positive number", consistency.timestep_scaling);
                return Err(bad("consistency.timestep_scaling", problem));
            }
        }
        // Whatever the parameterisation, the schedule is one.
        let own = match self.schedule {
            NoiseSchedule::Flow { .. } => Parameterisation::Flow,
            NoiseSchedule::Table(_) => Parameterisation::VPrediction,
        };
        let process = self.schedule.process(own).map_err(|error| bad("schedule", format!("cannot be used ({error})")))?;
        // Times of a student on the line are told as the teacher's are.
        let latest = process.network_time(process.last_time());
        if let Some(step) = self.steps.iter().find(|step| !(0.0..=latest).contains(*step)) {
            return Err(bad("steps", format!("holds {step}, which is no time of the schedule (0 to {latest})")));
        }
        self.rollout().map(|_| ()).map_err(|error| match error {
            ProcessError::Mismatch { .. } => bad("parameterisation", format!("does not go with the schedule ({error})")),
            error => bad("steps", format!("cannot be walked ({error})")),
        })
    }

    fn validate_numbers(&self) -> Result<(), ManifestError> {
        let shape = &self.latent_shape;
        if !(1..=MOST_AXES).contains(&shape.len()) || shape.iter().any(|&size| size == 0 || size > 1 << 16) {
            return Err(bad("latent_shape", format!("is {shape:?}, not 1 to {MOST_AXES} sizes from 1 to 65536")));
        }
        if !(self.vae.scaling_factor.is_finite() && self.vae.scaling_factor != 0.0) {
            return Err(bad("vae.scaling_factor", format!("is {}, not a finite number other than 0", self.vae.scaling_factor)));
        }
        if !self.vae.shift_factor.is_finite() {
            return Err(bad("vae.shift_factor", "is not finite"));
        }
        for (field, values) in [("vae.latents_mean", &self.vae.latents_mean), ("vae.latents_std", &self.vae.latents_std)] {
            if values.as_ref().is_some_and(|values| values.iter().any(|value| !value.is_finite())) {
                return Err(bad(field, "holds a number that is not finite"));
            }
        }
        if self.vae.latents_mean.as_ref().map(Vec::len) != self.vae.latents_std.as_ref().map(Vec::len) {
            return Err(bad("vae.latents_mean", "and vae.latents_std must be there for the same channels"));
        }
        if self.guidance_scale.is_some_and(|scale| !scale.is_finite()) {
            return Err(bad("guidance_scale", "is not finite"));
        }
        if let Some(guidance) = &self.guidance {
            if self.guidance_scale.is_some() {
                return Err(bad("guidance", "is given beside guidance_scale, which is fixed"));
            }
            // Written so that a NaN fails too.
            if !(guidance.range.iter().all(|end| end.is_finite()) && guidance.holds(guidance.default)) {
                return Err(bad("guidance", "does not hold its default between the two ends of its range"));
            }
        }
        if let Some(ids) = &self.time_ids
            && (ids.is_empty() || ids.len() > 64 || ids.iter().any(|id| !id.is_finite()))
        {
            return Err(bad("time_ids", "are not 1 to 64 finite numbers"));
        }
        for (component, measured) in &self.verification {
            for one in measured {
                // JSON has no NaN or infinity, so an error of that kind could not be read back.
                if [one.max_absolute, one.relative, one.tolerance].iter().any(|v| !v.is_finite() || *v < 0.0) {
                    return Err(bad(format!("verification.{component}"), "holds an error that is negative or not finite"));
                }
            }
        }
        Ok(())
    }
}

/// Checks that `path` can name a file inside a bundle and nothing else: relative, `/` between the parts, no `.`, `..` or
/// empty part, no backslash, colon or control character, at most 512 bytes. Returns what is wrong as the rest of a sentence.
///
/// # Errors
/// The problem, for example `leaves the bundle's folder`.
pub fn validate_path(path: &str) -> Result<(), String> {
    if path.is_empty() || path.len() > 512 {
        return Err("is empty or longer than 512 bytes".into());
    }
    if path.chars().any(|c| c == '\\' || c == ':' || c.is_control()) {
        return Err("holds a backslash, a colon or a control character".into());
    }
    if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err("leaves the bundle's folder or is not in its plain form".into());
    }
    Ok(())
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn bad(field: impl Into<String>, problem: impl Into<String>) -> ManifestError {
    ManifestError::Value { field: field.into(), problem: problem.into() }
}

#[cfg(test)]
mod tests;

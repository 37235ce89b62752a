//! The sections that every recipe may have. The training methods' own are theirs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dmdx_importer::LoraFile;
use dmdx_importer::source::{SourceOptions, lora_file};
use dmdx_runtime::process::{Parameterisation, StepRule};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// `[teacher]`: the model to distil.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// Pipeline folder in the diffusers layout, model's folder in the Hugging Face cache, or single-file checkpoint.
    pub path: PathBuf,
    /// Which variant of the weights to read (`fp16` reads `*.fp16.safetensors`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Folder with the configurations, scheduler and tokenizers of a single file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// LoRA files to merge, each with a scale other than 1 behind `=`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lora: Vec<String>,
    /// Read tensors out of pickle files.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_pickle: bool,
    /// Folders into which links may lead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub root: Vec<PathBuf>,
    /// Accept shards that have several hard links.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_hard_links: bool,
    /// How many tokens of T5 a Stable Diffusion 3 pipeline is given, as diffusers' argument of that name; 256 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sequence_length: Option<u16>,
    /// Guidance weight of the teacher, standard form (uncond + w (cond − uncond)), drawn from this range.
    pub guidance: [f64; 2],
    /// What the teacher is given where it is asked for nothing.
    #[serde(default)]
    pub uncond: Unconditional,
}

impl Teacher {
    /// How the checkpoint is read, with paths as `resolve` gives them.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] about a LoRA file's scale.
    pub fn reading(&self, resolve: impl Fn(&Path) -> PathBuf) -> Result<SourceOptions, TrainError> {
        let lora = |text: &String| {
            let file = lora_file(text).map_err(|problem| TrainError::recipe("teacher.lora", format!("is wrong: {problem}")))?;
            Ok(LoraFile { path: resolve(&file.path), ..file })
        };
        Ok(SourceOptions {
            variant: self.variant.clone(),
            config: self.config.as_deref().map(&resolve),
            lora: self.lora.iter().map(lora).collect::<Result<_, TrainError>>()?,
            allow_pickle: self.allow_pickle,
            root: self.root.iter().map(|folder| resolve(folder)).collect(),
            allow_hard_links: self.allow_hard_links,
            max_sequence_length: self.max_sequence_length,
        })
    }

    /// Whether the teacher's networks are other than what the plain files of a folder hold.
    pub fn is_changed(&self) -> bool {
        self.variant.is_some() || self.config.is_some() || !self.lora.is_empty() || self.allow_pickle
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The unconditional embedding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unconditional {
    /// As the pipeline's family has it: the empty prompt, or for SDXL what `force_zeros_for_empty_prompt` says, zeros where it
    /// says nothing.
    #[default]
    Auto,
    /// Zeros for every embedding.
    Zeros,
    /// The embedding of the empty prompt.
    EmptyPrompt,
}

/// `[prompts]`: exactly one of a template with its values, a list, or a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompts {
    /// A prompt with `{name}` placeholders; every combination of the values is a prompt, the last placeholder fastest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The values of each placeholder.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Vec<String>>,
    /// The prompts themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<Vec<String>>,
    /// A file of prompts: text with one a line, of which blank ones are skipped, or by the end of its name JSON lines
    /// (.jsonl, .ndjson, .json), a table with a header (.csv, .tsv) or Parquet (.parquet).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The key or column of the prompts in such a file; where it is left out the one that is called prompt, text or caption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Stored precision of the prompts' conditions.
    #[serde(default = "PairDtype::f32")]
    pub dtype: PairDtype,
}

/// `[pairs]`: noise and what the teacher's deterministic sampler makes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pairs {
    /// How many pairs.
    pub count: u64,
    /// Sampler steps.
    pub steps: u32,
    /// Sampler.
    pub sampler: Sampler,
    /// Stored precision of noise and latents. The noise is rounded before the teacher sees it.
    pub dtype: PairDtype,
    /// Pairs per file.
    pub shard: u64,
    /// Folder of the pairs; the run folder's `pairs` where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

impl Default for Pairs {
    fn default() -> Self {
        Self { count: 10_000, steps: 25, sampler: Sampler::EulerTrailing, dtype: PairDtype::F16, shard: 1000, path: None }
    }
}

/// The teacher's sampler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// First-order steps of the probability-flow ODE (DDIM, Euler) on trailing timesteps.
    #[default]
    EulerTrailing,
}

/// Stored precision of pairs and of the prompts' conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairDtype {
    /// 16-bit floats.
    #[default]
    F16,
    /// 32-bit floats.
    F32,
}

impl PairDtype {
    fn f32() -> Self {
        Self::F32
    }
}

/// `[student]`: what the student begins with, and how it walks from noise to a clean latent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Student {
    /// What the first phase begins with instead of the teacher: a run's folder, a student's folder, a run's checkpoint, a
    /// pipeline or its denoising network in the diffusers layout, one file of weights, or a LoRA on the teacher (with a scale
    /// other than 1 behind `=`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// What the output of that student means: the teacher's own prediction, another one on the teacher's noise table, or the
    /// velocity on the line between noise and latent (ADP, reflow). Students of this program and schedulers beside others say
    /// it themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_parameterisation: Option<InitParameterisation>,
    /// How often its network is called, at times spaced as the teacher's; once where neither this nor `times` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// The times that its network is told, falling; the first stands for pure noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<Vec<f64>>,
    /// What happens between two calls.
    pub sampler: StepRule,
    /// Makes the student a guided one, whose weight is the teacher's less this much (the paper's video variant: 2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance_offset: Option<f64>,
}

impl Student {
    /// Whether it is on the line between noise and latent before any method has trained it.
    pub fn begins_on_line(&self) -> bool {
        self.init_parameterisation == Some(InitParameterisation::LineVelocity)
    }

    /// Refuses a guided student where method `name` runs, which trains none.
    ///
    /// # Errors
    /// [`TrainError::Recipe`].
    pub fn unguided(&self, name: &str, iterations: u64) -> Result<(), TrainError> {
        match self.guidance_offset {
            Some(offset) if iterations > 0 => {
                let problem = format!("is {offset}, but [{name}] trains a student that is asked once, without guidance");
                Err(TrainError::recipe("student.guidance_offset", problem))
            }
            _ => Ok(()),
        }
    }

    /// How often its network is called.
    pub fn calls(&self) -> usize {
        self.times.as_ref().map(Vec::len).or(self.steps).unwrap_or(1)
    }
}

/// What the output of a student means that a run begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitParameterisation {
    /// What the teacher predicts.
    Teacher,
    /// The noise, on the teacher's table.
    Epsilon,
    /// The clean sample, on the teacher's table.
    Sample,
    /// v, on the teacher's table.
    VPrediction,
    /// The velocity of the straight line between noise and latent.
    LineVelocity,
}

impl InitParameterisation {
    /// Every word of a recipe.
    pub const WORDS: &[&str] = &["teacher", "epsilon", "sample", "v_prediction", "line_velocity"];

    /// Beside a teacher that predicts `teacher`.
    pub fn beside(self, teacher: Parameterisation) -> Parameterisation {
        match (self, teacher) {
            (Self::Teacher, own) => own,
            (Self::Epsilon, _) => Parameterisation::Epsilon,
            (Self::Sample, _) => Parameterisation::Sample,
            (Self::VPrediction, _) => Parameterisation::VPrediction,
            (Self::LineVelocity, Parameterisation::Flow) => Parameterisation::Flow,
            (Self::LineVelocity, _) => Parameterisation::LineVelocity,
        }
    }

    /// The word of a recipe.
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// How the heads' losses are put together; over a head's positions it is always the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadReduce {
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

/// `[discriminator]`: heads on frozen backbones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Discriminator {
    /// Module paths of the teacher whose outputs get a head each; empty for the teacher family's own choice (a UNet:
    /// the last ResNet of every block).
    pub latent_taps: Vec<String>,
    /// Channels of every head.
    pub head_width: usize,
    /// Groups of the heads' group norms.
    pub head_groups: usize,
    /// The heads halve the picture until its side is at most this.
    pub head_min_size: usize,
    /// What a head ends in.
    pub head_output: HeadOutput,
    /// Factor on the initial weights of each head's last convolution.
    pub logit_scale: f64,
    /// The discriminator of decoded pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pixel: Option<PixelDiscriminator>,
}

impl Default for Discriminator {
    fn default() -> Self {
        Self {
            latent_taps: Vec::new(),
            head_width: 256,
            head_groups: 32,
            head_min_size: 4,
            head_output: HeadOutput::Scalar,
            logit_scale: 0.1,
            pixel: None,
        }
    }
}

/// What a head ends in, once the picture is small enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadOutput {
    /// A convolution over the whole remaining picture: one logit.
    #[default]
    Scalar,
    /// A 1×1 convolution: a logit for every remaining position.
    Map,
}

/// `[discriminator.pixel]`: a vision encoder as backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelDiscriminator {
    /// Folder of the vision encoder (SAM's layout).
    pub path: PathBuf,
    /// Encoder layers whose outputs get a head each, counted from 0.
    #[serde(default = "PixelDiscriminator::default_layers")]
    pub layers: Vec<usize>,
    /// What the encoder is given.
    #[serde(default)]
    pub input: PixelInput,
}

impl PixelDiscriminator {
    /// The four global-attention layers of the twelve-layer SAM encoder.
    fn default_layers() -> Vec<usize> {
        vec![2, 5, 8, 11]
    }
}

/// How a decoded picture in [-1, 1] is given to the pixel backbone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelInput {
    /// ImageNet's mean and standard deviation, as SAM was trained.
    #[default]
    Imagenet,
    /// As it is.
    MinusOneToOne,
}

/// `[checkpoint]`: when to save.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checkpoint {
    /// Iterations between checkpoints; each phase's end is saved as well.
    pub every: u64,
    /// How many to keep besides the ends of phases.
    pub keep: usize,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self { every: 100, keep: 2 }
    }
}

/// `[export]`: what to write for deployment at the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Export {
    /// Targets by the exporter's names; none for no bundle.
    pub targets: Vec<String>,
}

/// `[score]`: how to judge the student.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Folder of the classifier that reads the pictures, with the real pictures' feature statistics.
    pub classifier: PathBuf,
    /// Pictures drawn of every prompt.
    #[serde(default = "Score::default_count")]
    pub count_per_prompt: usize,
}

impl Score {
    fn default_count() -> usize {
        20
    }
}

/// `[run]`: seed, machine, and how often somebody looks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Run {
    /// Seed of every random draw.
    pub seed: u64,
    /// Where the tensors live.
    pub device: Device,
    /// CPU threads; 0 for one per core.
    pub threads: usize,
    /// Iterations of a phase between two looks at its student: pictures (in `samples/` and TensorBoard), their spread and,
    /// with `[score]`, their score. 0 for none. No trained value depends on it.
    pub sample_every: u64,
    /// Pictures of one look, each of another prompt; those of one prompt that show the spread come on top.
    pub sample_count: usize,
}

impl Default for Run {
    fn default() -> Self {
        Self { seed: 0, device: Device::default(), threads: 0, sample_every: 100, sample_count: 20 }
    }
}

/// Where the tensors live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The first NVIDIA device; needs the `cuda` feature.
    Cuda,
}

/// `[optimizer]`: AdamW without a first moment, for every trained role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optimizer {
    /// Decay of the first moment; only 0, so that none is kept.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self { beta1: 0.0, beta2: 0.99, eps: 1e-8, weight_decay: 0.0 }
    }
}

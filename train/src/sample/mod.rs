//! Pictures and videos of a teacher, made as its own diffusers pipeline makes them: tokenize, encode, guided steps of its
//! own scheduler, decode. What training and bundles are measured against, and the check of a whole pipeline.

mod clip_pair;
mod cogvideox;
mod command;
mod denoise;
pub mod networks;
mod reference;
mod stable_diffusion_3;
mod stable_diffusion_xl;
mod tensors;

use std::path::Path;

use dmdx_importer::Pipeline;
use dmdx_runtime::Tensor;
use dmdx_runtime::pipeline::guidance;
use dmdx_runtime::process::guidance::dynamic_scale;
use dmdx_runtime::scheduler::Scheduler;
use dmdx_runtime::tokenizer::{Class, Padding, Tokenizer};
use indexmap::IndexMap;

pub use command::{SampleArguments, sample};
pub use networks::{Interpreted, Networks, OnBurn};
pub use reference::{check, is_of_pipeline};

use crate::error::TrainError;

/// What is asked of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What is to be seen.
    pub prompt: String,
    /// What is not; empty for nothing in particular.
    pub negative_prompt: Option<String>,
    /// Steps of the scheduler.
    pub steps: usize,
    /// Weight of classifier-free guidance; 1 and less is none.
    pub guidance_scale: f64,
    /// Lets the weight grow as the time falls, CogVideoX' `use_dynamic_cfg`.
    pub dynamic_guidance: bool,
    /// How far the guided output's spread is moved to that of the prompt's alone, diffusers' `guidance_rescale`; 0 is none.
    pub guidance_rescale: f64,
    /// Pixels.
    pub height: usize,
    /// Pixels.
    pub width: usize,
    /// Of what a scheduler draws on the way.
    pub seed: u64,
}

/// Everything on the way from a prompt to a picture.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The prompt's tokens.
    pub ids: Ids,
    /// What the denoising network was told: `prompt_embeds`, `negative_prompt_embeds`, `pooled_prompt_embeds`,
    /// `negative_pooled_prompt_embeds`, as far as the pipeline has them.
    pub embeddings: IndexMap<&'static str, Tensor>,
    /// The times of the steps.
    pub timesteps: Vec<f64>,
    /// The latents before the first step and after each.
    pub latents: Vec<Tensor>,
    /// `[1, 3, H, W]` or `[1, frames, 3, H, W]`, from 0 to 1.
    pub result: Tensor,
}

/// Token ids by tokenizer's folder.
pub type Ids = IndexMap<String, Vec<i64>>;

/// More tokens than any text encoder of these pipelines reads; attention takes their square.
const MOST_TOKENS: usize = 1 << 12;

/// The pipelines that can be sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    StableDiffusionXl,
    StableDiffusion3,
    CogVideoX,
}

impl Kind {
    fn of(pipeline: &Pipeline) -> Result<Self, TrainError> {
        match pipeline.class.as_str() {
            "StableDiffusionXLPipeline" => Ok(Self::StableDiffusionXl),
            "StableDiffusion3Pipeline" => Ok(Self::StableDiffusion3),
            "CogVideoXPipeline" => Ok(Self::CogVideoX),
            other => Err(TrainError::Invalid(format!(
                "the pipeline is a {other}, but StableDiffusionXLPipeline, StableDiffusion3Pipeline and CogVideoXPipeline can be sampled"
            ))),
        }
    }
}

/// Told after each step how many of how many are done.
pub type Progress<'a> = &'a dyn Fn(usize, usize);

/// Makes one picture or video from unit noise: `[1, channels, height, width]`, or `[1, frames, channels, height, width]`
/// for videos, in latent sizes; the frames of a transformer with patches in time are filled up to whole patches.
///
/// # Errors
/// When the pipeline is of another kind, incomplete, or the noise does not fit its networks.
pub fn run(networks: &dyn Networks, request: &Request, noise: &Tensor, progress: Progress<'_>) -> Result<Trace, TrainError> {
    let weight = request.guidance_scale;
    if !weight.is_finite() {
        return Err(TrainError::Invalid(format!("a guidance scale of {weight} was asked for, but a finite number is needed")));
    }
    match Kind::of(networks.pipeline())? {
        Kind::StableDiffusionXl => stable_diffusion_xl::run(networks, request, noise, progress),
        Kind::StableDiffusion3 => stable_diffusion_3::run(networks, request, noise, progress),
        Kind::CogVideoX => cogvideox::run(networks, request, noise, progress),
    }
}

/// A tokenizer of the pipeline, of the class that the pipeline names.
pub(crate) fn tokenizer(pipeline: &Pipeline, folder: &str) -> Result<Tokenizer, TrainError> {
    let path: Option<&Path> = pipeline.tokenizers.iter().find(|(name, _)| name == folder).map(|(_, path)| path.as_path());
    let path = path.ok_or_else(|| TrainError::Invalid(format!("the pipeline has no {folder}")))?;
    let class: Class = pipeline.model_index[folder][1]
        .as_str()
        .unwrap_or_default()
        .parse()
        .map_err(|reason: String| TrainError::Invalid(format!("the pipeline's {folder}: {reason}")))?;
    Tokenizer::open(path, Some(class)).map_err(|error| TrainError::component(format!("opening {folder}"), error))
}

/// Token ids `[1, length]` of a text, which are noted in `ids` under the tokenizer's folder.
fn encode(tokenizer: &Tokenizer, text: &str, length: usize, folder: &str, ids: &mut Ids) -> Result<Tensor, TrainError> {
    if length > MOST_TOKENS {
        return Err(TrainError::Invalid(format!(
            "{folder} is to make {length} tokens of a prompt; at most {MOST_TOKENS} are possible"
        )));
    }
    let wrap = |error| TrainError::component("reading a prompt", error);
    let tokens = tokenizer.encode(text, length, Padding::MaxLength).map_err(wrap)?.ids;
    ids.insert(folder.into(), tokens.clone());
    Tensor::i64([1, tokens.len()], tokens).map_err(wrap)
}

/// T5's states `[1, length, width]`; the pipelines give it no mask.
fn t5_states(networks: &dyn Networks, folder: &str, tokens: &Tensor) -> Result<Tensor, TrainError> {
    networks.one((folder, "text_encoder"), &[("input_ids", tokens)], "last_hidden_state")
}

/// The pipeline's scheduler.
fn scheduler(pipeline: &Pipeline) -> Result<Scheduler, TrainError> {
    let config = pipeline.scheduler.as_ref();
    let config = config.ok_or_else(|| TrainError::Invalid("the pipeline has no scheduler/scheduler_config.json".into()))?;
    Scheduler::from_config(config).map_err(|error| TrainError::component("reading the scheduler", error))
}

/// A number of a component's configuration.
fn number(pipeline: &Pipeline, component: &str, key: &str, default: f64) -> f64 {
    pipeline.components.get(component).and_then(|component| component.config[key].as_f64()).unwrap_or(default)
}

/// A network's output without and with the prompt, joined by classifier-free guidance: `u + w (c - u)`.
fn guided(request: &Request, time: f64, predict: impl Fn(bool) -> Result<Tensor, TrainError>) -> Result<Tensor, TrainError> {
    let conditional = predict(true)?;
    if request.guidance_scale <= 1.0 {
        return Ok(conditional);
    }
    let weight = match request.dynamic_guidance {
        true => dynamic_scale(request.guidance_scale, request.steps, time),
        false => request.guidance_scale,
    };
    let unconditional = predict(false)?;
    let wrap = |error| TrainError::component("guiding the output", error);
    let joined = guidance::guided(&unconditional, &conditional, weight).map_err(wrap)?;
    if request.guidance_rescale <= 0.0 {
        return Ok(joined);
    }
    guidance::rescale(&joined, &conditional, request.guidance_rescale).map_err(wrap)
}

/// Pictures of about -1 to 1 as 0 to 1.
fn to_unit_range(pictures: &Tensor) -> Result<Tensor, TrainError> {
    // The clamp would make a colour of infinity.
    if tensors::values(pictures)?.iter().any(|value| !value.is_finite()) {
        let reason = "the decoder made NaN or infinity; the weights are probably damaged";
        return Err(TrainError::Invalid(reason.into()));
    }
    tensors::map(pictures, |value| (value / 2.0 + 0.5).clamp(0.0, 1.0))
}

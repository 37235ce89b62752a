//! Network classes of diffusers and transformers, built from their `config.json` alone.
//!
//! Every builder mirrors the module structure of its reference class: parameters carry the reference library's names,
//! every operation's origin and every mark is a dotted module path. Weights are attached later.

mod adaptive;
mod autoencoder;
mod clip;
mod cogvideox;
mod config;
mod dinov2;
mod graphs;
mod inception;
mod lpips;
mod mmdit;
mod resnet;
mod sam;
mod scope;
mod t5;
mod unet;
mod vae;
mod vae3d;

use serde_json::Value;

pub use self::graphs::{ArchGraphs, Ignored, Rename};
use crate::error::{ImportError, Result};

/// Builds the graphs of one configuration.
type Builder = fn(&str, &Value) -> Result<ArchGraphs>;

/// Every class that can be built.
const CLASSES: &[(&str, Builder)] = &[
    ("UNet2DConditionModel", unet::build),
    ("SD3Transformer2DModel", mmdit::build),
    ("CogVideoXTransformer3DModel", cogvideox::build),
    ("AutoencoderKL", vae::build),
    (vae3d::CLASS, vae3d::build),
    ("CLIPTextModel", clip::build_text),
    ("CLIPTextModelWithProjection", clip::build_text),
    ("CLIPVisionModel", clip::build_vision),
    ("CLIPVisionModelWithProjection", clip::build_vision),
    ("CLIPModel", clip::build_both),
    ("T5EncoderModel", t5::build),
    ("SamVisionModel", sam::build),
    ("SamModel", sam::build),
    ("Dinov2Model", dinov2::build),
    ("InceptionV3", inception::build),
    ("LPIPS", lpips::build),
];

/// The reference classes that can be built.
pub fn classes() -> impl Iterator<Item = &'static str> {
    CLASSES.iter().map(|(name, _)| *name)
}

/// The class that a configuration names: `_class_name` (diffusers) or the first of `architectures` (transformers).
///
/// # Errors
/// When it names none.
pub(crate) fn class_of(config: &Value) -> Result<&str> {
    let architecture = || config.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str);
    config.get("_class_name").and_then(Value::as_str).or_else(architecture).ok_or(ImportError::NoClass)
}

/// The pixel frames of a video whose pixels or latents, of five dimensions, have this shape: of the inputs `sample` and
/// `latent` of a video autoencoder.
pub(crate) fn frames_of_input(input: &str, shape: &[usize]) -> Option<usize> {
    match (input, shape) {
        ("sample", &[_, _, frames, _, _]) => Some(frames),
        ("latent", &[_, _, frames, _, _]) => Some(vae3d::shortest_video(frames)),
        _ => None,
    }
}

/// The graphs of a `config.json`, with declared parameters and without weights.
///
/// # Errors
/// When the class or a configuration value is not supported; the message names key, value and what is supported.
pub fn build(config: &Value) -> Result<ArchGraphs> {
    build_for_frames(config, None)
}

/// As [`build`], for videos of `frames` pixel frames where the operations depend on their number.
///
/// # Errors
/// As [`build`], and for a number of frames that no video has.
pub(crate) fn build_for_frames(config: &Value, frames: Option<usize>) -> Result<ArchGraphs> {
    let class = class_of(config)?;
    match (CLASSES.iter().find(|(name, _)| *name == class), frames) {
        (Some((name, _)), Some(frames)) if *name == vae3d::CLASS => vae3d::build_for_frames(class, config, frames),
        (Some((_, builder)), _) => builder(class, config),
        (None, _) => {
            let class = class.chars().take(80).collect();
            Err(ImportError::UnknownClass { class, known: classes().map(Into::into).collect() })
        }
    }
}

//! Pictures and videos of a teacher or a student: a teacher's are made as its own diffusers pipeline makes them: tokenize, encode, guided steps of its
//! own scheduler, decode. What training and bundles are measured against, and the check of a whole pipeline.

mod command;
mod denoise;
mod prepare;
mod reference;
mod request;
mod student;

use dmdx_importer::Pipeline;
use dmdx_runtime::Tensor;
use dmdx_runtime::family::{Condition, Networks, denoiser_inputs};
use dmdx_runtime::scheduler::Scheduler;
use dmdx_runtime::tensor::ops::map;

pub use command::{SampleArguments, sample};
pub use reference::{check, is_of_pipeline};
pub use request::{Progress, Request};

use crate::error::{TeacherError, TrainError};
use denoise::{Denoised, Start, denoise};
use prepare::{Prepared, prepare};

/// Everything on the way from a prompt to a picture.
#[derive(Debug, Clone)]
pub struct Trace {
    /// What the denoising network was told of the prompt.
    pub told: Condition,
    /// What it was told of no prompt, or of the negative one.
    pub negative: Condition,
    /// The times of the steps.
    pub timesteps: Vec<f64>,
    /// The latents before the first step and after each.
    pub latents: Vec<Tensor>,
    /// `[1, 3, H, W]` or `[1, frames, 3, H, W]`, from 0 to 1.
    pub result: Tensor,
}

/// Makes one picture or video from unit noise: `[1, channels, height, width]`, or `[1, frames, channels, height, width]`
/// for videos, in latent sizes; the frames of a transformer with patches in time are filled up to whole patches.
///
/// # Errors
/// When the pipeline is of no known family, incomplete, or the noise does not fit its networks.
pub fn run(
    pipeline: &Pipeline,
    networks: &dyn Networks,
    request: &Request,
    noise: &Tensor,
    progress: Progress<'_>,
) -> Result<Trace, TrainError> {
    let Prepared { family, told, negative, mut fixed, tokens } = prepare(pipeline, networks, request, noise, None)?;
    let denoiser = family.denoiser();
    let mut request = request.clone();
    if let Some(weight) = family.told_guidance(networks, request.guidance_scale)? {
        fixed.per_sample.push(weight);
        // The network does what guidance would.
        request.guidance_scale = 1.0;
    }
    let mut scheduler = Scheduler::from_config(pipeline.scheduler.as_ref().ok_or(TeacherError::NoScheduler)?)?;
    let Denoised { timesteps, latents } =
        denoise(&mut scheduler, &request, &Start { noise, tokens }, progress, |sample, time, with_prompt| {
            let told = if with_prompt { &told } else { &negative };
            let inputs = denoiser_inputs(family, sample, time, told, &fixed);
            Ok(networks.one(denoiser.place(), &inputs, denoiser.output)?)
        })?;
    let last = latents.last().ok_or(TeacherError::NoStep)?;
    let pictures = family.decode(networks, &family.vae_scaling(networks)?, last, None)?;
    let result = map(&pictures, |value| (value / 2.0 + 0.5).clamp(0.0, 1.0))?;
    Ok(Trace { told, negative, timesteps, latents, result })
}

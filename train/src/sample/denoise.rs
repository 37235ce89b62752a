//! Guided steps of a teacher's own scheduler.

use dmdx_runtime::pipeline::guidance;
use dmdx_runtime::process::guidance::dynamic_scale;
use dmdx_runtime::scheduler::Scheduler;
use dmdx_runtime::tensor::ops::map;
use dmdx_runtime::{Tensor, noise};

use super::request::{Progress, Request};
use crate::error::TrainError;

/// The times and latents of a run.
pub(super) struct Denoised {
    pub timesteps: Vec<f64>,
    /// Before the first step and after each.
    pub latents: Vec<Tensor>,
}

/// Where a run begins.
pub(super) struct Start<'a> {
    /// Unit noise.
    pub noise: &'a Tensor,
    /// How many tokens the network makes of it, which some schedulers shift by.
    pub tokens: usize,
}

/// Walks from unit noise along the scheduler's times. `predict` gives the network's output for a scaled sample, a time `[1]`
/// and with or without the prompt.
pub(super) fn denoise(
    scheduler: &mut Scheduler,
    request: &Request,
    start: &Start<'_>,
    progress: Progress<'_>,
    predict: impl Fn(&Tensor, &Tensor, bool) -> Result<Tensor, TrainError>,
) -> Result<Denoised, TrainError> {
    let shift = scheduler.shift_for(start.tokens);
    scheduler.set_timesteps(request.steps, shift)?;
    let timesteps = scheduler.timesteps().to_vec();
    let scale = scheduler.init_noise_sigma();
    let mut sample = map(start.noise, |value| value * scale)?;
    let mut latents = vec![start.noise.clone()];
    for (index, &timestep) in timesteps.iter().enumerate() {
        let scaled = scheduler.scale_model_input(&sample, timestep)?;
        let time = Tensor::f32([1], vec![timestep as f32])?;
        let output = guided(request, timestep, |with_prompt| predict(&scaled, &time, with_prompt))?;
        let drawn = scheduler.draws_noise(timestep)?.then(|| {
            let count = sample.shape().iter().product();
            // Stream 0 is the first noise.
            Tensor::f32(sample.shape(), noise::standard_normal(request.seed, index as u64 + 1, count))
        });
        sample = scheduler.step(&output, timestep, &sample, drawn.transpose()?.as_ref())?.previous;
        latents.push(sample.clone());
        progress(index + 1, timesteps.len());
    }
    Ok(Denoised { timesteps, latents })
}

/// A network's output without and with the prompt, joined by classifier-free guidance.
fn guided(request: &Request, time: f64, predict: impl Fn(bool) -> Result<Tensor, TrainError>) -> Result<Tensor, TrainError> {
    let conditional = predict(true)?;
    if request.guidance_scale <= 1.0 {
        return Ok(conditional);
    }
    let weight = match request.dynamic_guidance {
        true => dynamic_scale(request.guidance_scale, request.steps, time),
        false => request.guidance_scale,
    };
    let joined = guidance::guided(&predict(false)?, &conditional, weight)?;
    if request.guidance_rescale <= 0.0 {
        return Ok(joined);
    }
    Ok(guidance::rescale(&joined, &conditional, request.guidance_rescale)?)
}

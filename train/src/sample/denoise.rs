//! Guided steps of a teacher's own scheduler.

use dmdx_runtime::{Error, Tensor, noise};

use super::tensors::{floats, map};
use super::{Networks, Progress, Request, guided};
use crate::error::TrainError;

/// The times and latents of a run.
pub(super) struct Denoised {
    pub timesteps: Vec<f64>,
    /// Before the first step and after each.
    pub latents: Vec<Tensor>,
}

impl Denoised {
    /// The latents after the last step.
    pub(super) fn last(&self) -> Result<&Tensor, TrainError> {
        self.latents.last().ok_or_else(|| TrainError::Invalid("the scheduler took no step".into()))
    }
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
    networks: &dyn Networks,
    request: &Request,
    start: Start<'_>,
    progress: Progress<'_>,
    predict: impl Fn(&Tensor, &Tensor, bool) -> Result<Tensor, TrainError>,
) -> Result<Denoised, TrainError> {
    let mut scheduler = super::scheduler(networks.pipeline())?;
    let wrap = |error: Error| TrainError::component("taking a step of the teacher's scheduler", error);
    let shift = scheduler.shift_for(start.tokens);
    scheduler.set_timesteps(request.steps, shift).map_err(wrap)?;
    let timesteps = scheduler.timesteps().to_vec();
    let scale = scheduler.init_noise_sigma();
    let mut sample = map(start.noise, |value| value * scale)?;
    let mut latents = vec![start.noise.clone()];
    for (index, &timestep) in timesteps.iter().enumerate() {
        let scaled = scheduler.scale_model_input(&sample, timestep).map_err(wrap)?;
        let time = floats(&[1], vec![timestep as f32])?;
        let output = guided(request, timestep, |with_prompt| predict(&scaled, &time, with_prompt))?;
        let drawn = scheduler.draws_noise(timestep).map_err(wrap)?.then(|| {
            let count = sample.shape().iter().product();
            // Stream 0 is the first noise.
            floats(sample.shape(), noise::standard_normal(request.seed, index as u64 + 1, count))
        });
        sample = scheduler.step(&output, timestep, &sample, drawn.transpose()?.as_ref()).map_err(wrap)?.previous;
        latents.push(sample.clone());
        progress(index + 1, timesteps.len());
    }
    Ok(Denoised { timesteps, latents })
}

//! Pictures of a student, along its own list of times: what `dmdx-run generate` makes of its bundle.

use dmdx_importer::Pipeline;
use dmdx_runtime::family::{Networks, denoiser_inputs};
use dmdx_runtime::pipeline::{guidance, walk};
use dmdx_runtime::{StudentInfo, Tensor, noise};

use super::prepare::{Prepared, prepare};
use super::request::{Progress, Request};
use crate::error::{TeacherError, TrainError};

/// Steps and guidance weight of a student. Only a guided one can be asked for a weight, and none for other steps.
pub(super) fn chosen(info: &StudentInfo, steps: Option<usize>, weight: Option<f64>) -> Result<(usize, f64), TrainError> {
    let own = info.steps.len();
    let refuse = |what, states| Err(TeacherError::Student { what, states }.into());
    if steps.is_some_and(|steps| steps != own) {
        return refuse("--steps", format!("{own} at the times {:?}", info.steps));
    }
    match (info.guidance, weight) {
        (None, None | Some(1.0)) => Ok((own, 1.0)),
        (None, Some(_)) => refuse("--guidance-scale", "none: its network runs once a step".into()),
        (Some(known), None) => Ok((own, known.default)),
        (Some(known), Some(weight)) if known.holds(weight) => Ok((own, weight)),
        (Some(known), Some(_)) => refuse("--guidance-scale", format!("weights from {} to {}", known.range[0], known.range[1])),
    }
}

/// One picture, about -1 to 1, from unit noise; fresh noise between the steps is drawn as for picture 0 of the seed.
pub(super) fn draw(
    pipeline: &Pipeline,
    networks: &dyn Networks,
    request: &Request,
    info: &StudentInfo,
    noise: &Tensor,
    progress: Progress<'_>,
) -> Result<Tensor, TrainError> {
    let Prepared { family, told, negative, fixed, .. } = prepare(pipeline, networks, request, noise, info.unconditional)?;
    let rollout = info.rollout().map_err(dmdx_runtime::Error::from)?;
    let denoiser = family.denoiser();
    let mut called = 0;
    let predict = |sample: &Tensor, time: f64| {
        let time = Tensor::f32([1], vec![time as f32])?;
        let ask = |told| networks.one(denoiser.place(), &denoiser_inputs(family, sample, &time, told, &fixed), denoiser.output);
        let output = ask(&told)?;
        called += 1;
        progress(called, info.steps.len());
        match info.guidance {
            None => Ok(output),
            Some(_) => guidance::guided(&ask(&negative)?, &output, request.guidance_scale),
        }
    };
    let fresh = |step| Tensor::f32(noise.shape(), noise::between_steps(request.seed, 0, step, noise.row_len()));
    let latents = walk(&rollout, noise.clone(), predict, fresh)?;
    Ok(family.decode(networks, &family.vae_scaling(networks)?, &latents, None)?)
}

//! From noise to clean latents along a [`Rollout`].

use crate::process::{Affine, Next, Rollout};
use crate::tensor::ops::blend;
use crate::{Error, Tensor};

/// Walks a batch. `predict` gives the network's output for a sample and the time that the network is told, `fresh` the
/// noise of generators that draw between their steps, by the step that it follows.
///
/// # Errors
/// Those of `predict` and `fresh`, [`Error::Shape`] for an output of another shape.
pub fn walk(
    rollout: &Rollout,
    noise: Tensor,
    mut predict: impl FnMut(&Tensor, f64) -> Result<Tensor, Error>,
    mut fresh: impl FnMut(usize) -> Result<Tensor, Error>,
) -> Result<Tensor, Error> {
    let mut sample = noise;
    for (index, step) in rollout.steps().iter().enumerate() {
        let output = predict(&sample, step.network_time)?;
        let through = |map: Affine| blend(&[(map.of_sample, &sample), (map.of_output, &output)]);
        sample = match step.next {
            Next::End => through(step.original)?,
            Next::Ode(map) => through(map)?,
            Next::Renoise(level) => blend(&[(level.alpha, &through(step.original)?), (level.sigma, &fresh(index)?)])?,
        };
    }
    Ok(sample)
}

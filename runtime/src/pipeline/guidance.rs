//! Variants of classifier-free guidance that the teachers' pipelines offer; [`super::steps::guide`] is the common part.

use crate::{Error, Tensor};

/// The weight of CogVideoX' `use_dynamic_cfg` at a time: `1 + g (1 - cos(pi ((steps - time) / steps)^5)) / 2`, with the
/// number of inference steps, as diffusers computes it.
#[must_use]
pub fn dynamic_scale(scale: f64, steps: usize, time: f64) -> f64 {
    let share = (steps as f64 - time) / steps as f64;
    1.0 + scale * ((1.0 - (std::f64::consts::PI * share.powf(5.0)).cos()) / 2.0)
}

/// `guidance_rescale` (arXiv 2305.08891, section 3.4): moves every sample's standard deviation towards that of the
/// conditional output; `share` 0 changes nothing, 1 gives the whole of it.
///
/// # Errors
/// [`Error::Shape`] for tensors of different shapes or of less than two values per sample.
pub fn rescale(guided: &Tensor, conditional: &Tensor, share: f64) -> Result<Tensor, Error> {
    let row = guided.row_len();
    if guided.shape() != conditional.shape() || row < 2 {
        return Err(Error::Shape(format!(
            "guidance cannot be rescaled from {:?} to {:?}; both must be equal and hold two values per sample",
            guided.shape(),
            conditional.shape()
        )));
    }
    let pairs = guided.floats()?.chunks(row).zip(conditional.floats()?.chunks(row));
    let values = pairs.flat_map(|(guided, conditional)| {
        let weight = share * (deviation(conditional) / deviation(guided)) + (1.0 - share);
        guided.iter().map(move |&value| (weight * f64::from(value)) as f32)
    });
    Tensor::f32(guided.shape(), values.collect())
}

/// The standard deviation of a sample, unbiased.
fn deviation(values: &[f32]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    (values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt()
}

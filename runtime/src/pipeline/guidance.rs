//! Classifier-free guidance of host tensors.

use crate::{Error, Tensor};

/// `u + w (c - u)` in the reference's float32 arithmetic, which later steps amplify.
///
/// # Errors
/// [`Error::Shape`] if the two differ in shape.
pub fn guided(unconditional: &Tensor, conditional: &Tensor, scale: f64) -> Result<Tensor, Error> {
    let (without, with) = (unconditional.shape(), conditional.shape());
    if without != with {
        return Err(Error::Shape(format!("outputs of shapes {without:?} and {with:?} cannot be guided; both must be equal")));
    }
    let pairs = unconditional.floats()?.iter().zip(conditional.floats()?);
    Tensor::f32(with, pairs.map(|(u, c)| u + scale as f32 * (c - u)).collect())
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

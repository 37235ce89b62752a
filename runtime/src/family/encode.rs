//! From pictures to latents.

use super::networks::{Network, Networks};
use crate::error::FamilyError;
use crate::manifest::VaeScaling;
use crate::{Error, Tensor};

/// The logarithm of a variance is kept within these bounds, as `DiagonalGaussianDistribution` of diffusers keeps it.
const LOG_VARIANCE: (f64, f64) = (-30.0, 20.0);

/// Latents `[b, c, ..]` of pictures `[b, 3, ..]`, channels in the second place, as the denoiser takes them.
pub(super) fn latents(
    networks: &dyn Networks,
    scaling: &VaeScaling,
    pictures: &Tensor,
    noise: Option<&Tensor>,
) -> Result<Tensor, Error> {
    let place = Network::ENCODER.place;
    let [mean, log_variance]: [Tensor; 2] = networks
        .run(place, &[("sample", pictures)], &["mean", "logvar"])?
        .try_into()
        .map_err(|_| FamilyError::no_result(place, "mean and logvar"))?;
    let plain = match noise {
        None => mean,
        Some(noise) => {
            if noise.shape() != mean.shape() || log_variance.shape() != mean.shape() {
                let shapes = [&mean, &log_variance, noise].map(Tensor::shape);
                return Err(Error::Shape(format!("mean, variance and noise of latents have the shapes {shapes:?}")));
            }
            let (low, high) = LOG_VARIANCE;
            let moments = mean.floats()?.iter().zip(log_variance.floats()?);
            let drawn = |((&mean, &log_variance), &noise): ((&f32, &f32), &f32)| {
                (f64::from(mean) + (0.5 * f64::from(log_variance).clamp(low, high)).exp() * f64::from(noise)) as f32
            };
            Tensor::f32(mean.shape(), moments.zip(noise.floats()?).map(drawn).collect())?
        }
    };
    let latents = scaling.done(&plain, 1)?;
    match latents.floats()?.iter().all(|value| value.is_finite()) {
        true => Ok(latents),
        false => Err(FamilyError::LatentsNotFinite.into()),
    }
}

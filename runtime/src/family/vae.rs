//! How latents relate to what a decoder reads.

use serde_json::Value;

use super::settings::{Config, Settings};
use crate::error::FamilyError;
use crate::manifest::VaeScaling;
use crate::tensor::ops::map_axis;
use crate::{Error, Tensor};

/// The folder of every family's autoencoder.
pub(super) const VAE: &str = "vae";

impl VaeScaling {
    /// The factor of a configuration, or the default of its class.
    pub(super) fn factor(settings: &dyn Settings, default: f64) -> Result<Self, Error> {
        let scaling_factor = Config::of(settings, VAE).number("scaling_factor", default)?;
        if scaling_factor == 0.0 || !scaling_factor.is_finite() {
            return Err(Config::of(settings, VAE).refuse("scaling_factor", "a number other than 0"));
        }
        Ok(Self::of(scaling_factor))
    }

    /// With the offset of a configuration.
    pub(super) fn with_shift(self, settings: &dyn Settings) -> Result<Self, Error> {
        Ok(Self { shift_factor: Config::of(settings, VAE).number("shift_factor", 0.0)?, ..self })
    }

    /// With the statistics of `channels` channels, where a configuration has both.
    pub(super) fn with_statistics(self, settings: &dyn Settings, channels: usize) -> Result<Self, Error> {
        let config = settings.config(VAE);
        if config["latents_mean"].is_null() || config["latents_std"].is_null() {
            return Ok(self);
        }
        let statistics = |key: &str| -> Result<Option<Vec<f64>>, Error> {
            let values: Option<Vec<f64>> = config[key].as_array().and_then(|values| values.iter().map(Value::as_f64).collect());
            match values.filter(|values| values.len() == channels && values.iter().all(|value| value.is_finite())) {
                Some(values) => Ok(Some(values)),
                None => Err(Config::of(settings, VAE).refuse(key, &format!("a list of {channels} numbers, one per channel,"))),
            }
        };
        Ok(Self { latents_mean: statistics("latents_mean")?, latents_std: statistics("latents_std")?, ..self })
    }

    /// `(factor, offset)` of every channel: the decoder reads `latent · factor + offset`. One pair where channels do not
    /// differ.
    #[must_use]
    pub fn maps(&self) -> Vec<(f64, f64)> {
        match (&self.latents_mean, &self.latents_std) {
            (Some(mean), Some(deviation)) => {
                deviation.iter().zip(mean).map(|(deviation, mean)| (deviation / self.scaling_factor, *mean)).collect()
            }
            _ => vec![(1.0 / self.scaling_factor, self.shift_factor)],
        }
    }

    /// Latents as the denoiser takes them, from the autoencoder's own scale: the inverse of [`Self::undone`].
    ///
    /// # Errors
    /// As [`Self::undone`].
    pub(super) fn done(&self, latents: &Tensor, axis: usize) -> Result<Tensor, Error> {
        let maps = self.maps();
        match (maps.as_slice(), latents.shape().get(axis)) {
            (&[(factor, offset)], _) => map_axis(latents, axis, |_, value| (value - offset) / factor),
            (maps, Some(&channels)) if channels == maps.len() => {
                map_axis(latents, axis, |channel, value| (value - maps[channel].1) / maps[channel].0)
            }
            _ => Err(Self::channels_differ(latents, maps.len())),
        }
    }

    /// Latents in the decoder's own scale; `axis` holds the channels.
    ///
    /// # Errors
    /// [`FamilyError::Latents`] for statistics of another number of channels.
    pub(super) fn undone(&self, latents: &Tensor, axis: usize) -> Result<Tensor, Error> {
        let (factor, shift) = (self.scaling_factor, self.shift_factor);
        match (&self.latents_mean, &self.latents_std) {
            (Some(mean), Some(deviation)) => {
                if latents.shape().get(axis) != Some(&mean.len()) || mean.len() != deviation.len() {
                    return Err(Self::channels_differ(latents, mean.len()));
                }
                map_axis(latents, axis, |channel, value| value * deviation[channel] / factor + mean[channel])
            }
            _ => map_axis(latents, axis, |_, value| value / factor + shift),
        }
    }

    fn channels_differ(latents: &Tensor, channels: usize) -> Error {
        let found = latents.shape().get(1..).unwrap_or_default().to_vec();
        FamilyError::Latents { network: VAE.into(), found, wanted: format!("{channels} channels, of which it has statistics") }
            .into()
    }
}

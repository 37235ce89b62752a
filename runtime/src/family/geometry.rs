//! The sizes of latents.

use super::settings::{Config, Settings, as_size};
use super::vae::VAE;
use crate::Error;
use crate::error::FamilyError;

/// A size that is asked for; what is left out is what the network was trained for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Pixels.
    pub height: Option<usize>,
    /// Pixels.
    pub width: Option<usize>,
    /// Frames of a video; pictures have none.
    pub frames: Option<usize>,
}

/// What latents look like and stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geometry {
    /// The sizes of one latent, without the batch: channels, rows, columns, before them frames for videos.
    pub latent_shape: Vec<usize>,
    /// Height and width in pixels.
    pub pixels: [usize; 2],
}

/// Pixels per latent row or column: every level of the autoencoder but the last halves the picture. `usual` is the number of
/// levels of its class.
pub(super) fn scale(settings: &dyn Settings, usual: usize) -> usize {
    let levels = settings.config(VAE)["block_out_channels"].as_array().map_or(usual, Vec::len);
    1 << levels.saturating_sub(1).min(16)
}

/// The channels that a denoiser takes, makes, and the autoencoder has: one number, or it is no plain generator.
pub(super) fn channels(settings: &dyn Settings, denoiser: &str, usual: usize, latent: usize) -> Result<usize, Error> {
    let (network, vae) = (Config::of(settings, denoiser), Config::of(settings, VAE));
    let channels = network.size("in_channels", usual)?;
    if network.size("out_channels", usual)? != channels {
        let needed = format!("the {channels} of in_channels (inpainting and learned-variance models are not supported)");
        return Err(network.refuse("out_channels", &needed));
    }
    if !vae.is_absent() && vae.size("latent_channels", latent)? != channels {
        return Err(vae.refuse("latent_channels", &format!("the {channels} that the {denoiser} takes")));
    }
    Ok(channels)
}

/// Rows and columns that a denoiser was trained for: `sample_size`, a number or a pair.
pub(super) fn sample_size(settings: &dyn Settings, denoiser: &str, usual: Option<usize>) -> Result<[usize; 2], Error> {
    let value = &settings.config(denoiser)["sample_size"];
    let sides = match (value.as_array(), usual) {
        (Some(pair), _) if pair.len() == 2 => as_size(&pair[0]).zip(as_size(&pair[1])),
        (None, Some(usual)) if value.is_null() => Some((usual, usual)),
        _ => as_size(value).map(|side| (side, side)),
    };
    let (rows, columns) =
        sides.ok_or_else(|| Config::of(settings, denoiser).refuse("sample_size", "one or two integers from 1 to 65536"))?;
    Ok([rows, columns])
}

/// Latent rows or columns of a side in pixels: the one asked for, or the `trained` latent one. `step` latent rows belong
/// together.
pub(super) fn side(asked: Option<usize>, trained: usize, scale: usize, step: usize) -> Result<usize, Error> {
    let (pixels, step) = (asked.unwrap_or(trained.saturating_mul(scale)), scale.saturating_mul(step));
    if pixels == 0 || !pixels.is_multiple_of(step) {
        return Err(FamilyError::Side { pixels, step }.into());
    }
    Ok(pixels / scale)
}

/// Refuses latents that do not have the sizes of a network's input, whose first is the batch.
pub(super) fn check(network: &str, input: &[Option<usize>], latent_shape: &[usize]) -> Result<(), Error> {
    let sizes = input.get(1..).unwrap_or_default();
    let fits = sizes.len() == latent_shape.len()
        && sizes.iter().zip(latent_shape).all(|(want, have)| want.is_none_or(|want| want == *have));
    if fits && !latent_shape.contains(&0) {
        return Ok(());
    }
    let show = |size: &Option<usize>| size.map_or_else(|| "any".into(), |size| size.to_string());
    let wanted = format!("[{}]", sizes.iter().map(show).collect::<Vec<_>>().join(", "));
    Err(FamilyError::Latents { network: network.into(), found: latent_shape.to_vec(), wanted }.into())
}

//! From a decoder's results to pictures and videos.

use super::networks::{Network, Networks};
use super::tiling::decoded_in_tiles;
use crate::error::FamilyError;
use crate::manifest::VaeScaling;
use crate::{Error, Tensor};

/// Pictures `[b, 3, H, W]` of latents `[b, c, h, w]`.
pub(super) fn pictures(
    networks: &dyn Networks,
    scaling: &VaeScaling,
    latents: &Tensor,
    tile: Option<usize>,
) -> Result<Tensor, Error> {
    let scaled = scaling.undone(latents, 1)?;
    let run = |latents: &Tensor| decoded(networks, latents);
    let pictures = match tile {
        Some(side) => decoded_in_tiles(&scaled, side, run)?,
        None => run(&scaled)?,
    };
    match pictures.shape() {
        [batch, 3, _, _] if Some(batch) == latents.shape().first() => finite(pictures),
        found => Err(FamilyError::NoPictures { found: found.to_vec(), latents: latents.shape().to_vec() }.into()),
    }
}

/// What the decoder makes of latents in its own scale.
pub(super) fn decoded(networks: &dyn Networks, latents: &Tensor) -> Result<Tensor, Error> {
    networks.one(Network::DECODER.place, &[("latent", latents)], "sample")
}

/// Refuses values that are not finite.
pub(super) fn finite(pictures: Tensor) -> Result<Tensor, Error> {
    match pictures.floats()?.iter().all(|value| value.is_finite()) {
        true => Ok(pictures),
        false => Err(FamilyError::NotFinite.into()),
    }
}

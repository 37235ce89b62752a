//! What the pipelines with a UNet share.

use std::collections::BTreeMap;

use super::definition::Denoiser;
use super::geometry::{self, Geometry, Size, sample_size, scale, side};
use super::networks::Network;
use super::settings::{Config, Settings};
use crate::process::guidance::embedding;
use crate::{Error, Tensor};

/// The folder of the denoiser.
const UNET: &str = "unet";

/// The key of a network that is told the guidance weight: how wide.
const GUIDANCE_WIDTH: &str = "time_cond_proj_dim";

pub(super) const DENOISER: Denoiser =
    Denoiser { folder: UNET, part: "unet", sample: "sample", time: "timestep", output: "sample", buffers: &[] };

pub(super) const NETWORK: Network = Network::new(UNET, "unet");

/// The latents' channels; four is the default of both classes.
pub(super) fn channels(settings: &dyn Settings) -> Result<usize, Error> {
    geometry::channels(settings, UNET, 4, 4)
}

/// The latents of a UNet pipeline, which are halved and doubled again between its levels.
pub(super) fn geometry(settings: &dyn Settings, asked: &Size) -> Result<Geometry, Error> {
    let (channels, scale) = (channels(settings)?, scale(settings, 1));
    let levels = settings.config(UNET)["block_out_channels"].as_array().map_or(1, Vec::len);
    let step = 1 << levels.saturating_sub(1).min(16);
    let sides = match (asked.height, asked.width) {
        (Some(_), Some(_)) => [0, 0],
        _ => sample_size(settings, UNET, None)?,
    };
    let (rows, columns) = (side(asked.height, sides[0], scale, step)?, side(asked.width, sides[1], scale, step)?);
    Ok(Geometry { latent_shape: vec![channels, rows, columns], pixels: [rows * scale, columns * scale] })
}

/// The embedded guidance weight of a UNet with `time_cond_proj_dim`.
pub(super) fn told_guidance(settings: &dyn Settings, scale: f64) -> Result<Option<(&'static str, Tensor)>, Error> {
    let config = Config::of(settings, UNET);
    if config.get(GUIDANCE_WIDTH).is_null() {
        return Ok(None);
    }
    let width = config.required_size(GUIDANCE_WIDTH)?;
    let row = embedding(scale, width).ok_or_else(|| config.refuse(GUIDANCE_WIDTH, "an integer from 4 up"))?;
    Ok(Some(("timestep_cond", Tensor::f32([1, width], row)?)))
}

/// The paper's taps of a UNet: the last ResNet of each down block, of the middle and of each up block, in the order in
/// which the network runs them (distillation.md, 3.8.1). Empty for a network that is no UNet.
pub(super) fn last_resnets(marks: &mut dyn Iterator<Item = &str>) -> Vec<String> {
    let mut last: BTreeMap<(usize, usize), (usize, String)> = BTreeMap::new();
    for path in marks {
        let parts: Vec<&str> = path.split('.').collect();
        let (stage, block, resnet) = match parts.as_slice() {
            ["down_blocks", block, "resnets", resnet] => (0, block.parse().ok(), resnet.parse().ok()),
            ["mid_block", "resnets", resnet] => (1, Some(0), resnet.parse().ok()),
            ["up_blocks", block, "resnets", resnet] => (2, block.parse().ok(), resnet.parse().ok()),
            _ => continue,
        };
        if let (Some(block), Some(resnet)) = (block, resnet) {
            let entry = last.entry((stage, block)).or_insert((resnet, path.to_owned()));
            if resnet >= entry.0 {
                *entry = (resnet, path.to_owned());
            }
        }
    }
    last.into_values().map(|(_, path)| path).collect()
}

/// The block between the way down and the way up.
pub(super) fn middle(marks: &mut dyn Iterator<Item = &str>) -> Option<String> {
    marks.filter(|path| *path == "mid_block").map(str::to_owned).next()
}

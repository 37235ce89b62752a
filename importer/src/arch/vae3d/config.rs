//! The typed configuration of `AutoencoderKLCogVideoX`, with diffusers' defaults.

use serde_json::json;

use crate::arch::config::Config;
use crate::error::Result;

/// Most levels: the picture's side is a multiple of `2^(levels - 1)`.
const MOST_LEVELS: usize = 8;

/// Most residual blocks of a level; every batch of frames repeats them.
const MOST_LAYERS: usize = 32;

/// Levels whose sampling changes the number of frames: `log2` of the temporal compression.
pub(super) const TIME_LEVELS: usize = 2;

/// Everything that shapes the two halves.
pub(super) struct VideoVaeConfig {
    /// Height and width of the videos that the network was trained on.
    pub sample_size: [usize; 2],
    pub in_channels: usize,
    pub out_channels: usize,
    pub latent_channels: usize,
    /// From the highest resolution down.
    pub block_out_channels: Vec<usize>,
    pub layers_per_block: usize,
    pub norm_num_groups: usize,
    /// Of the residual blocks of the encoder; all other norms have a fixed one.
    pub norm_eps: f64,
}

impl VideoVaeConfig {
    /// Reads and checks it.
    pub(super) fn read(config: &Config<'_>) -> Result<Self> {
        config.choice("act_fn", "silu", &["silu", "swish"])?;
        config.fixed(&[
            ("temporal_compression_ratio", json!(1 << TIME_LEVELS)),
            ("use_quant_conv", json!(false)),
            ("use_post_quant_conv", json!(false)),
        ])?;
        // These concern pipelines: they scale latents and choose precision.
        config.unused(&["scaling_factor", "shift_factor", "latents_mean", "latents_std", "force_upcast", "invert_scale_latents"]);
        let block_out_channels = config.sizes("block_out_channels", &[128, 256, 256, 512])?;
        let levels = block_out_channels.len();
        if !(TIME_LEVELS + 1..=MOST_LEVELS).contains(&levels) {
            let supported = format!("{} to {MOST_LEVELS} levels are supported", TIME_LEVELS + 1);
            return Err(config.refused("block_out_channels", &supported));
        }
        for (key, block) in [("down_block_types", "CogVideoXDownBlock3D"), ("up_block_types", "CogVideoXUpBlock3D")] {
            config.choice_per_level(key, &[block; 4], &[block], levels)?;
        }
        Ok(Self {
            sample_size: [config.size("sample_height", 480)?, config.size("sample_width", 720)?],
            in_channels: config.size("in_channels", 3)?,
            out_channels: config.size("out_channels", 3)?,
            latent_channels: config.size("latent_channels", 16)?,
            norm_num_groups: config.groups("norm_num_groups", &block_out_channels)?,
            block_out_channels,
            layers_per_block: config.size_up_to("layers_per_block", 3, MOST_LAYERS)?,
            norm_eps: config.number("norm_eps", 1e-6)?,
        })
    }

    /// The number of levels below the highest resolution.
    pub(super) fn last(&self) -> usize {
        self.block_out_channels.len() - 1
    }
}

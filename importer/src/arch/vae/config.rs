//! The typed configuration of `AutoencoderKL`, with diffusers' defaults.

use crate::arch::config::Config;
use crate::error::Result;

/// Most levels: the picture's side is a multiple of `2^(levels - 1)`.
const MOST_LEVELS: usize = 16;

/// Everything that shapes the two halves.
pub(super) struct VaeConfig {
    /// Side of the pictures that the network was trained on.
    pub sample_size: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    pub latent_channels: usize,
    /// From the highest resolution down.
    pub block_out_channels: Vec<usize>,
    pub layers_per_block: usize,
    pub norm_num_groups: usize,
    pub use_quant_conv: bool,
    pub use_post_quant_conv: bool,
    pub mid_block_add_attention: bool,
}

impl VaeConfig {
    /// Reads and checks it.
    pub(super) fn read(config: &Config<'_>) -> Result<Self> {
        config.choice("act_fn", "silu", &["silu", "swish"])?;
        // These concern pipelines: they scale latents and choose precision.
        config.unused(&["scaling_factor", "shift_factor", "latents_mean", "latents_std", "force_upcast"]);
        let block_out_channels = config.sizes("block_out_channels", &[64])?;
        let levels = block_out_channels.len();
        if levels > MOST_LEVELS {
            return Err(config.refused("block_out_channels", &format!("at most {MOST_LEVELS} levels are supported")));
        }
        for (key, block) in [("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")] {
            config.choice_per_level(key, &[block], &[block], levels)?;
        }
        Ok(Self {
            sample_size: config.square("sample_size")?.unwrap_or(32),
            in_channels: config.size("in_channels", 3)?,
            out_channels: config.size("out_channels", 3)?,
            latent_channels: config.size("latent_channels", 4)?,
            norm_num_groups: config.groups("norm_num_groups", &block_out_channels)?,
            block_out_channels,
            layers_per_block: config.count("layers_per_block", 1)?,
            use_quant_conv: config.flag("use_quant_conv", true)?,
            use_post_quant_conv: config.flag("use_post_quant_conv", true)?,
            mid_block_add_attention: config.flag("mid_block_add_attention", true)?,
        })
    }
}

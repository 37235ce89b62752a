//! The typed configuration of `CogVideoXTransformer3DModel`, with diffusers' defaults.

use serde_json::Value;

use super::block::NormStyle;
use crate::arch::config::{Config, LARGEST_SIZE};
use crate::error::Result;

/// Largest side of a patch, also in time; released networks have 2.
const LARGEST_PATCH: usize = 64;

/// How tokens know their place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Positions {
    /// Sines and cosines are added to the patches (CogVideoX-2b).
    Sincos,
    /// Queries and keys are rotated by tables that the caller gives.
    Rotary,
    /// As [`Positions::Rotary`], and a table of the file is added to all tokens (CogVideoX-5b-I2V).
    RotaryAndTable,
}

/// Everything that shapes the network.
pub(super) struct CogVideoXConfig {
    pub num_attention_heads: usize,
    pub attention_head_dim: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    pub flip_sin_to_cos: bool,
    pub freq_shift: f64,
    pub time_embed_dim: usize,
    /// Width of the sines and cosines of the second condition (CogVideoX1.5-5B-I2V).
    pub ofs_embed_dim: Option<usize>,
    /// Width of the text embeddings.
    pub text_embed_dim: usize,
    pub num_layers: usize,
    pub attention_bias: bool,
    /// Sizes of the latents that the network was trained on.
    pub sample_width: usize,
    pub sample_height: usize,
    pub latent_frames: usize,
    pub patch_size: usize,
    /// Frames per patch; without it every frame has patches of its own, cut by a convolution.
    pub patch_size_t: Option<usize>,
    pub patch_bias: bool,
    pub max_text_seq_length: usize,
    /// The feed-forward layers approximate GELU.
    pub gelu_tanh: bool,
    /// All norms but those of queries and keys.
    pub norm: NormStyle,
    pub spatial_interpolation_scale: f64,
    pub temporal_interpolation_scale: f64,
    pub positions: Positions,
}

impl CogVideoXConfig {
    /// Width of all tokens, for all heads together.
    pub(super) fn width(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Reads and checks it.
    pub(super) fn read(config: &Config<'_>) -> Result<Self> {
        config.choice("timestep_activation_fn", "silu", &["silu", "swish"])?;
        // Nothing is dropped outside training.
        config.unused(&["dropout"]);
        let ratio = config.size("temporal_compression_ratio", 4)?;
        let net = Self {
            num_attention_heads: config.size("num_attention_heads", 30)?,
            attention_head_dim: config.size("attention_head_dim", 64)?,
            in_channels: config.size("in_channels", 16)?,
            out_channels: config.size("out_channels", 16)?,
            flip_sin_to_cos: config.flag("flip_sin_to_cos", true)?,
            freq_shift: config.number("freq_shift", 0.0)?,
            time_embed_dim: config.size("time_embed_dim", 512)?,
            ofs_embed_dim: config.optional_size("ofs_embed_dim")?,
            text_embed_dim: config.size("text_embed_dim", 4096)?,
            num_layers: config.count("num_layers", 30)?,
            attention_bias: config.flag("attention_bias", true)?,
            sample_width: config.size("sample_width", 90)?,
            sample_height: config.size("sample_height", 60)?,
            latent_frames: (config.size("sample_frames", 49)? - 1) / ratio + 1,
            patch_size: config.size_up_to("patch_size", 2, LARGEST_PATCH)?,
            patch_size_t: patch_size_t(config)?,
            patch_bias: config.flag("patch_bias", true)?,
            max_text_seq_length: config.size("max_text_seq_length", 226)?,
            gelu_tanh: config.choice("activation_fn", "gelu-approximate", &["gelu-approximate", "gelu"])? == "gelu-approximate",
            norm: NormStyle { affine: config.flag("norm_elementwise_affine", true)?, eps: config.number("norm_eps", 1e-5)? },
            spatial_interpolation_scale: scale(config, "spatial_interpolation_scale", 1.875)?,
            temporal_interpolation_scale: scale(config, "temporal_interpolation_scale", 1.0)?,
            positions: positions(config)?,
        };
        net.check(config)?;
        Ok(net)
    }

    /// What has to hold between several keys.
    fn check(&self, config: &Config<'_>) -> Result<()> {
        let width = self.width();
        if width > LARGEST_SIZE || !width.is_multiple_of(2) {
            let supported = format!("an even `num_attention_heads` * `attention_head_dim` of at most {LARGEST_SIZE} is needed");
            return Err(config.refused("num_attention_heads", &supported));
        }
        if let Some(ofs) = self.ofs_embed_dim
            && (ofs != self.time_embed_dim || !ofs.is_multiple_of(2))
        {
            let supported = format!("null or an even `time_embed_dim` = {} is needed", self.time_embed_dim);
            return Err(config.refused("ofs_embed_dim", &supported));
        }
        match self.positions {
            Positions::Sincos if !width.is_multiple_of(16) => {
                let supported = "without rotary positions `num_attention_heads` * `attention_head_dim` must be a multiple of 16";
                Err(config.refused("num_attention_heads", supported))
            }
            Positions::Rotary | Positions::RotaryAndTable if !self.attention_head_dim.is_multiple_of(2) => {
                Err(config.refused("attention_head_dim", "rotary positions need an even number"))
            }
            Positions::Sincos | Positions::RotaryAndTable if self.patch_size_t.is_some() => {
                Err(config.refused("patch_size_t", "patches in time are supported with rotary positions only"))
            }
            Positions::RotaryAndTable => self.check_table(config),
            Positions::Sincos | Positions::Rotary => Ok(()),
        }
    }

    /// The table of the file has one size, so the latents have.
    fn check_table(&self, config: &Config<'_>) -> Result<()> {
        let sides = [("sample_height", self.sample_height), ("sample_width", self.sample_width)];
        match sides.iter().find(|(_, side)| !side.is_multiple_of(self.patch_size)) {
            Some((key, _)) => Err(config
                .refused(key, &format!("with a table of positions a multiple of `patch_size` = {} is needed", self.patch_size))),
            None if self.table_rows() > LARGEST_SIZE => {
                Err(config
                    .refused("sample_frames", &format!("a table of positions of at most {LARGEST_SIZE} tokens is supported")))
            }
            None => Ok(()),
        }
    }

    /// Text and patches of the latents that the network was trained on; sizes of at most 2^20 cannot overflow here.
    pub(super) fn table_rows(&self) -> usize {
        let patches = (self.sample_height / self.patch_size) * (self.sample_width / self.patch_size);
        self.max_text_seq_length + patches * self.latent_frames
    }
}

fn patch_size_t(config: &Config<'_>) -> Result<Option<usize>> {
    match config.get("patch_size_t") {
        None | Some(Value::Null) => Ok(None),
        Some(_) => config.size_up_to("patch_size_t", 1, LARGEST_PATCH).map(Some),
    }
}

fn scale(config: &Config<'_>, key: &str, default: f64) -> Result<f64> {
    match config.number(key, default)? {
        0.0 => Err(config.refused(key, "a number above 0 is needed")),
        scale => Ok(scale),
    }
}

fn positions(config: &Config<'_>) -> Result<Positions> {
    let rotary = config.flag("use_rotary_positional_embeddings", false)?;
    let key = "use_learned_positional_embeddings";
    match (rotary, config.flag(key, false)?) {
        (false, false) => Ok(Positions::Sincos),
        (true, false) => Ok(Positions::Rotary),
        (true, true) => Ok(Positions::RotaryAndTable),
        (false, true) => Err(config.refused(key, "it needs `use_rotary_positional_embeddings` = true, as in the reference")),
    }
}

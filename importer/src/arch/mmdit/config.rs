//! The typed configuration of `SD3Transformer2DModel`, with diffusers' defaults.

use serde_json::Value;

use crate::arch::config::{Config, LARGEST_SIZE};
use crate::error::Result;

/// Largest side of a patch; released networks have 2.
const LARGEST_PATCH: usize = 64;

/// Largest side of the table of positions; SD3.5-Medium has 384.
const LARGEST_TABLE: usize = 4096;

/// Fixed in `JointTransformerBlock`, in its attention and in the norm before the end.
pub(super) const NORM_EPS: f64 = 1e-6;

/// Everything that shapes the network.
pub(super) struct MmditConfig {
    /// Side of the latents that the network was trained on.
    pub sample_size: usize,
    pub patch_size: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    pub num_layers: usize,
    pub num_attention_heads: usize,
    /// Width of all tokens, for all heads together.
    pub width: usize,
    /// Width of the text embeddings.
    pub joint_attention_dim: usize,
    /// Width of the pooled text embedding.
    pub pooled_projection_dim: usize,
    /// Side of the table of positions.
    pub pos_embed_max_size: usize,
    /// For every layer whether its picture tokens also attend to themselves alone.
    pub dual_attention: Vec<bool>,
    /// Queries and keys are normalised.
    pub qk_norm: bool,
}

impl MmditConfig {
    /// Reads and checks it.
    pub(super) fn read(config: &Config<'_>) -> Result<Self> {
        let num_attention_heads = config.size("num_attention_heads", 18)?;
        let width = num_attention_heads * config.size("attention_head_dim", 64)?;
        if width > LARGEST_SIZE {
            let supported = format!("`num_attention_heads` * `attention_head_dim` of at most {LARGEST_SIZE} is supported");
            return Err(config.refused("num_attention_heads", &supported));
        }
        if config.size("caption_projection_dim", 1152)? != width {
            let supported = format!("`num_attention_heads` * `attention_head_dim` = {width} is needed");
            return Err(config.refused("caption_projection_dim", &supported));
        }
        let in_channels = config.size("in_channels", 16)?;
        let out_channels = match config.get("out_channels") {
            Some(Value::Null) => in_channels,
            _ => config.size("out_channels", 16)?,
        };
        if matches!(config.get("pos_embed_max_size"), Some(Value::Null)) {
            return Err(
                config.refused("pos_embed_max_size", "only a table of positions in the file, with its side, is supported")
            );
        }
        let num_layers = config.count("num_layers", 18)?;
        Ok(Self {
            sample_size: config.size("sample_size", 128)?,
            patch_size: config.size_up_to("patch_size", 2, LARGEST_PATCH)?,
            in_channels,
            out_channels,
            num_layers,
            num_attention_heads,
            width,
            joint_attention_dim: config.size("joint_attention_dim", 4096)?,
            pooled_projection_dim: config.size("pooled_projection_dim", 2048)?,
            pos_embed_max_size: config.size_up_to("pos_embed_max_size", 96, LARGEST_TABLE)?,
            dual_attention: dual_attention(config, num_layers)?,
            qk_norm: match config.get("qk_norm").unwrap_or(&Value::Null) {
                Value::Null => false,
                norm if norm == "rms_norm" => true,
                _ => return Err(config.refused("qk_norm", "only \"rms_norm\" and null are supported")),
            },
        })
    }
}

/// The configuration lists the layers that have it.
fn dual_attention(config: &Config<'_>, layers: usize) -> Result<Vec<bool>> {
    let key = "dual_attention_layers";
    let mut dual = vec![false; layers];
    let Some(value) = config.get(key) else { return Ok(dual) };
    let fail = || config.refused(key, &format!("a list of layers from 0 to {} is needed", layers - 1));
    for layer in value.as_array().ok_or_else(fail)? {
        let layer = layer.as_u64().and_then(|layer| usize::try_from(layer).ok());
        *layer.and_then(|layer| dual.get_mut(layer)).ok_or_else(fail)? = true;
    }
    Ok(dual)
}

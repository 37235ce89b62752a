//! The typed configuration of SAM's vision encoder, with transformers' defaults.

use dmdx_graph::Op;
use serde_json::Value;

use crate::arch::config::Config;
use crate::error::Result;

/// `SamVisionConfig`.
pub(super) struct SamConfig {
    pub hidden_size: usize,
    pub output_channels: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_channels: usize,
    pub image_size: usize,
    pub patch_size: usize,
    pub activation: Op,
    pub layer_norm_eps: f64,
    pub qkv_bias: bool,
    pub use_abs_pos: bool,
    pub use_rel_pos: bool,
    pub window_size: usize,
    pub global_attn_indexes: Vec<u64>,
    pub mlp_dim: usize,
}

impl SamConfig {
    /// Reads and checks it.
    pub(super) fn read(config: &Config<'_>) -> Result<Self> {
        let hidden_size = config.size("hidden_size", 768)?;
        let num_attention_heads = config.size("num_attention_heads", 12)?;
        if hidden_size % num_attention_heads != 0 {
            let supported = format!("`hidden_size` = {hidden_size} does not divide into so many heads");
            return Err(config.refused("num_attention_heads", &supported));
        }
        let image_size = config.size("image_size", 1024)?;
        let patch_size = config.size("patch_size", 16)?;
        if image_size % patch_size != 0 {
            return Err(config.refused("patch_size", &format!("a divisor of `image_size` = {image_size} is needed")));
        }
        let mlp_ratio = config.number("mlp_ratio", 4.0)?;
        let mlp_dim = match config.optional_size("mlp_dim")? {
            Some(width) => width,
            // As transformers computes it: truncated, and never too large since both factors are limited.
            None if (1.0..=64.0).contains(&mlp_ratio) => (hidden_size as f64 * mlp_ratio) as usize,
            None => return Err(config.refused("mlp_ratio", "a number from 1 to 64 is supported")),
        };
        let global = match config.get("global_attn_indexes") {
            None => Some(vec![2, 5, 8, 11]),
            Some(value) => value.as_array().and_then(|list| list.iter().map(Value::as_u64).collect()),
        };
        config.unused_of_transformers();
        Ok(Self {
            hidden_size,
            output_channels: config.size("output_channels", 256)?,
            num_hidden_layers: config.count("num_hidden_layers", 12)?,
            num_attention_heads,
            num_channels: config.size("num_channels", 3)?,
            image_size,
            patch_size,
            activation: config.hidden_act("gelu")?,
            layer_norm_eps: config.number("layer_norm_eps", 1e-6)?,
            qkv_bias: config.flag("qkv_bias", true)?,
            use_abs_pos: config.flag("use_abs_pos", true)?,
            use_rel_pos: config.flag("use_rel_pos", true)?,
            window_size: window_size(config)?,
            global_attn_indexes: global
                .ok_or_else(|| config.refused("global_attn_indexes", "a list of layer numbers is needed"))?,
            mlp_dim,
        })
    }

    /// Side of the grid of patches.
    pub(super) fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Side of the windows of a layer, 0 when it attends globally.
    pub(super) fn window(&self, layer: usize) -> usize {
        if self.global_attn_indexes.contains(&(layer as u64)) { 0 } else { self.window_size }
    }
}

/// Zero means that every layer attends globally.
fn window_size(config: &Config<'_>) -> Result<usize> {
    match config.get("window_size").and_then(Value::as_u64) {
        Some(0) => Ok(0),
        _ => config.size("window_size", 14),
    }
}

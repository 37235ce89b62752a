//! The typed configuration of DINOv2, with transformers' defaults.

use dmdx_graph::Op;
use serde_json::json;

use crate::arch::config::Config;
use crate::error::Result;

/// Keys that concern training or the class for dense tasks.
const UNUSED: [&str; 10] = [
    "attention_probs_dropout_prob",
    "hidden_dropout_prob",
    "drop_path_rate",
    "layerscale_value",
    "use_mask_token",
    "out_features",
    "out_indices",
    "stage_names",
    "apply_layernorm",
    "reshape_hidden_states",
];

/// `Dinov2Config`.
pub(super) struct Dinov2Config {
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub feed_forward: FeedForward,
    pub layer_norm_eps: f64,
    pub image_size: usize,
    pub patch_size: usize,
    pub num_channels: usize,
    pub qkv_bias: bool,
}

/// What follows attention in every layer.
pub(super) enum FeedForward {
    /// Two linear layers around an activation.
    Mlp {
        /// Width between them.
        width: usize,
        /// The activation.
        activation: Op,
    },
    /// The second half of one linear layer times SiLU of the first, then another linear layer.
    SwiGlu {
        /// Width of a half.
        width: usize,
    },
}

impl Dinov2Config {
    /// Reads and checks it.
    pub(super) fn read(config: &Config<'_>) -> Result<Self> {
        // The kind with registers has the same keys and more tokens.
        config.fixed(&[("model_type", json!("dinov2"))])?;
        let hidden_size = config.size("hidden_size", 768)?;
        let num_attention_heads = config.size("num_attention_heads", 12)?;
        if hidden_size % num_attention_heads != 0 {
            let supported = format!("`hidden_size` = {hidden_size} does not divide into so many heads");
            return Err(config.refused("num_attention_heads", &supported));
        }
        let image_size = config.size("image_size", 224)?;
        let patch_size = config.size("patch_size", 14)?;
        if patch_size > image_size {
            return Err(config.refused("patch_size", &format!("at most `image_size` = {image_size} is possible")));
        }
        config.unused(&UNUSED);
        config.unused_of_transformers();
        Ok(Self {
            hidden_size,
            num_hidden_layers: config.count("num_hidden_layers", 12)?,
            num_attention_heads,
            feed_forward: feed_forward(config, hidden_size)?,
            layer_norm_eps: config.number("layer_norm_eps", 1e-6)?,
            image_size,
            patch_size,
            num_channels: config.size("num_channels", 3)?,
            qkv_bias: config.flag("qkv_bias", true)?,
        })
    }

    /// Side of the grid of patches that the table of positions was trained for.
    pub(super) fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }
}

fn feed_forward(config: &Config<'_>, hidden_size: usize) -> Result<FeedForward> {
    let ratio = config.number("mlp_ratio", 4.0)?;
    if !(1.0..=64.0).contains(&ratio) {
        return Err(config.refused("mlp_ratio", "a number from 1 to 64 is supported"));
    }
    // As transformers computes it: truncated, and never too large since both factors are limited.
    let width = (hidden_size as f64 * ratio) as usize;
    let activation = config.hidden_act("gelu")?;
    Ok(match config.flag("use_swiglu_ffn", false)? {
        // Two thirds, rounded up to a multiple of 8: about as many parameters as without the gate.
        true => FeedForward::SwiGlu { width: (width * 2 / 3).next_multiple_of(8) },
        false => FeedForward::Mlp { width, activation },
    })
}

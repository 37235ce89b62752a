//! The typed configurations of SAM's prompt encoder and mask decoder, with transformers' defaults.

use dmdx_graph::Op;
use serde_json::json;

use super::config::SamConfig;
use crate::arch::config::Config;
use crate::error::Result;

/// What `SamModel` has beside the vision encoder: `SamPromptEncoderConfig` and `SamMaskDecoderConfig`.
pub(super) struct WholeConfig {
    /// Width of all tokens, and channels of the picture's embedding.
    pub hidden_size: usize,
    /// Side of the pictures that points are given in.
    pub image_size: usize,
    pub mlp_dim: usize,
    pub activation: Op,
    pub layer_norm_eps: f64,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub attention_downsample_rate: usize,
    pub num_multimask_outputs: usize,
    pub iou_head_depth: usize,
    pub iou_head_hidden_dim: usize,
}

impl WholeConfig {
    /// Reads and checks both objects; all three have to agree on widths and grids.
    pub(super) fn read(vision: &Config<'_>, prompt: &Config<'_>, decoder: &Config<'_>, sam: &SamConfig) -> Result<Self> {
        let hidden_size = prompt.size("hidden_size", 256)?;
        if hidden_size != sam.output_channels {
            let supported = format!("`vision_config.output_channels` = {} is needed", sam.output_channels);
            return Err(prompt.refused("hidden_size", &supported));
        }
        if vision.size("num_pos_feats", 128)? * 2 != hidden_size {
            let supported = format!("half of `prompt_encoder_config.hidden_size` = {hidden_size} is needed");
            return Err(vision.refused("num_pos_feats", &supported));
        }
        let image_size = prompt.size("image_size", 1024)?;
        if image_size / prompt.size("patch_size", 16)? != sam.grid() {
            let supported = format!("`image_size` = {image_size} has to give the {} patches of the vision encoder", sam.grid());
            return Err(prompt.refused("patch_size", &supported));
        }
        prompt.fixed(&[("num_point_embeddings", json!(4))])?;
        if decoder.size("hidden_size", 256)? != hidden_size || hidden_size < 8 {
            let supported = format!("`prompt_encoder_config.hidden_size` = {hidden_size}, and at least 8, is needed");
            return Err(decoder.refused("hidden_size", &supported));
        }
        let num_attention_heads = decoder.size("num_attention_heads", 8)?;
        let attention_downsample_rate = decoder.size("attention_downsample_rate", 2)?;
        let divides = |width: usize| width > 0 && width.is_multiple_of(num_attention_heads);
        if !divides(hidden_size) || !divides(hidden_size / attention_downsample_rate) {
            let supported = format!(
                "`hidden_size` = {hidden_size} and its share by `attention_downsample_rate` = {attention_downsample_rate} do not \
                 divide into so many heads"
            );
            return Err(decoder.refused("num_attention_heads", &supported));
        }
        for config in [prompt, decoder] {
            // Of the prompts by mask, and computed from the two sizes.
            config.unused(&["mask_input_channels", "image_embedding_size"]);
            config.unused_of_transformers();
        }
        prompt.unused(&["hidden_act", "layer_norm_eps"]);
        Ok(Self {
            hidden_size,
            image_size,
            mlp_dim: decoder.size("mlp_dim", 2048)?,
            activation: decoder.hidden_act("relu")?,
            layer_norm_eps: decoder.number("layer_norm_eps", 1e-6)?,
            num_hidden_layers: decoder.count("num_hidden_layers", 2)?,
            num_attention_heads,
            attention_downsample_rate,
            num_multimask_outputs: decoder.count("num_multimask_outputs", 3)?,
            iou_head_depth: decoder.count("iou_head_depth", 3)?,
            iou_head_hidden_dim: decoder.size("iou_head_hidden_dim", 256)?,
        })
    }
}

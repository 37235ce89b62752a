//! The typed configurations of CLIP's two halves, with transformers' defaults.

use dmdx_graph::Op;
use dmdx_graph::ir::PoolRule;
use serde_json::Value;

use crate::arch::config::Config;
use crate::error::Result;

/// The transformer that both halves have.
pub(super) struct EncoderConfig {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub layer_norm_eps: f64,
    pub activation: Op,
}

impl EncoderConfig {
    fn read(config: &Config<'_>, [hidden, intermediate, heads]: [usize; 3]) -> Result<Self> {
        let hidden_size = config.size("hidden_size", hidden)?;
        let num_attention_heads = config.size("num_attention_heads", heads)?;
        if hidden_size % num_attention_heads != 0 {
            let supported = format!("`hidden_size` = {hidden_size} does not divide into so many heads");
            return Err(config.refused("num_attention_heads", &supported));
        }
        config.unused_of_transformers();
        Ok(Self {
            hidden_size,
            intermediate_size: config.size("intermediate_size", intermediate)?,
            num_hidden_layers: config.count("num_hidden_layers", 12)?,
            num_attention_heads,
            layer_norm_eps: config.number("layer_norm_eps", 1e-5)?,
            activation: config.hidden_act("quick_gelu")?,
        })
    }
}

/// `CLIPTextConfig`.
pub(super) struct TextConfig {
    pub encoder: EncoderConfig,
    pub vocab_size: usize,
    pub max_position_embeddings: usize,
    pub pool: PoolRule,
    pub projection_dim: usize,
}

impl TextConfig {
    /// Reads and checks it.
    pub(super) fn read(config: &Config<'_>) -> Result<Self> {
        let eos = config.get("eos_token_id").map_or(Some(49407), Value::as_i64);
        Ok(Self {
            encoder: EncoderConfig::read(config, [512, 2048, 8])?,
            vocab_size: config.size("vocab_size", 49408)?,
            max_position_embeddings: config.size("max_position_embeddings", 77)?,
            pool: match eos {
                Some(2) => PoolRule::LargestId,
                Some(id) => PoolRule::FirstEqual(id),
                None => {
                    return Err(config.refused("eos_token_id", "an integer is needed to find the token that stands for the text"));
                }
            },
            projection_dim: config.size("projection_dim", 512)?,
        })
    }
}

/// `CLIPVisionConfig`.
pub(super) struct VisionConfig {
    pub encoder: EncoderConfig,
    pub num_channels: usize,
    pub image_size: usize,
    pub patch_size: usize,
    pub projection_dim: usize,
}

impl VisionConfig {
    /// Reads and checks it.
    pub(super) fn read(config: &Config<'_>) -> Result<Self> {
        let image_size = config.size("image_size", 224)?;
        let patch_size = config.size("patch_size", 32)?;
        if patch_size > image_size {
            return Err(config.refused("patch_size", &format!("at most `image_size` = {image_size} is possible")));
        }
        Ok(Self {
            encoder: EncoderConfig::read(config, [768, 3072, 12])?,
            num_channels: config.size("num_channels", 3)?,
            image_size,
            patch_size,
            projection_dim: config.size("projection_dim", 512)?,
        })
    }
}

//! The typed configuration of T5's encoder, with transformers' defaults.

use dmdx_graph::Op;
use serde_json::json;

use crate::arch::config::Config;
use crate::error::Result;

/// Keys that concern the decoder, training or the tokenizer.
const UNUSED: [&str; 7] = [
    "num_decoder_layers",
    "dropout_rate",
    "classifier_dropout",
    "use_cache",
    "output_past",
    "n_positions",
    "gradient_checkpointing",
];

/// `T5Config`, the encoder's half.
pub(super) struct T5Config {
    pub vocab_size: usize,
    pub d_model: usize,
    pub d_kv: usize,
    pub d_ff: usize,
    pub num_layers: usize,
    pub num_heads: usize,
    pub num_buckets: usize,
    pub max_distance: usize,
    pub layer_norm_epsilon: f64,
    pub activation: Op,
    /// A second projection multiplies the activated one.
    pub gated: bool,
}

impl T5Config {
    /// Reads and checks it.
    pub(super) fn read(config: &Config<'_>) -> Result<Self> {
        // UMT5 has the same keys and another layout of position tables.
        config.fixed(&[("model_type", json!("t5"))])?;
        let num_buckets = config.size("relative_attention_num_buckets", 32)?;
        if num_buckets < 4 {
            return Err(config.refused("relative_attention_num_buckets", "at least 4 are needed"));
        }
        let max_distance = config.size("relative_attention_max_distance", 128)?;
        if max_distance <= num_buckets / 4 {
            let supported = format!("more than a quarter of `relative_attention_num_buckets` = {num_buckets} is needed");
            return Err(config.refused("relative_attention_max_distance", &supported));
        }
        let (activation, gated) = feed_forward(config)?;
        config.unused(&UNUSED);
        config.unused_of_transformers();
        Ok(Self {
            vocab_size: config.size("vocab_size", 32128)?,
            d_model: config.size("d_model", 512)?,
            d_kv: config.size("d_kv", 64)?,
            d_ff: config.size("d_ff", 2048)?,
            num_layers: config.count("num_layers", 6)?,
            num_heads: config.size("num_heads", 8)?,
            num_buckets,
            max_distance,
            layer_norm_epsilon: config.number("layer_norm_epsilon", 1e-6)?,
            activation,
            gated,
        })
    }
}

/// What `feed_forward_proj` says, `gated-gelu` being `gated-gelu_new` for the sake of the released files; the two keys that
/// transformers derives from it win where a file holds them.
fn feed_forward(config: &Config<'_>) -> Result<(Op, bool)> {
    let supported = ["relu", "gelu", "gelu_new", "silu", "gated-relu", "gated-gelu", "gated-gelu_new", "gated-silu"];
    let name = config.choice("feed_forward_proj", "relu", &supported)?;
    let (activation, gated) = match name.strip_prefix("gated-") {
        Some("gelu") => ("gelu_new", true),
        Some(activation) => (activation, true),
        None => (name, false),
    };
    let op = match config.choice("dense_act_fn", activation, &["relu", "gelu", "gelu_new", "silu"])? {
        "relu" => Op::Relu,
        "silu" => Op::Silu,
        name => Op::Gelu { tanh: name == "gelu_new" },
    };
    Ok((op, config.flag("is_gated_act", gated)?))
}

//! CLIP in the layout of open_clip: the text tower without a prefix, the picture tower under `visual.`, attention with
//! fused query, key and value, projections as `[from, to]`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::recipe::{Recipe, Transform, count};
use crate::error::OpenClipFault;

/// What a file of this layout may hold beyond the network.
#[derive(Clone, Debug)]
pub(super) struct OpenClipNames {
    /// The first text layer that the network does not have, in a file of Stable Diffusion 2.
    beyond: Option<usize>,
    text: bool,
    vision: bool,
}

impl OpenClipNames {
    /// Looks at the class and the number of text layers.
    pub(super) fn of(class: &str, params: &BTreeSet<&str>, prefix: &str) -> Self {
        let layers = count(params, |layer| format!("text_model.encoder.layers.{layer}.layer_norm1.weight"));
        Self {
            beyond: (prefix == "cond_stage_model.model.").then_some(layers),
            text: !class.starts_with("CLIPVision"),
            vision: !class.starts_with("CLIPText"),
        }
    }

    /// Where the tensor of a parameter is.
    pub(super) fn recipe(&self, param: &str) -> Option<Recipe> {
        match param {
            "text_projection.weight" => return Some(Recipe::with("text_projection", Transform::Transpose)),
            "visual_projection.weight" => return Some(Recipe::with("visual.proj", Transform::Transpose)),
            _ => {}
        }
        let (half, inner) = param.split_once('.')?;
        let visual = if half == "vision_model" { "visual." } else { "" };
        let segments: Vec<&str> = inner.split('.').collect();
        let name = match (half, segments.as_slice()) {
            ("text_model", ["embeddings", "token_embedding", "weight"]) => "token_embedding.weight".into(),
            (_, ["embeddings", "position_embedding", "weight"]) => "positional_embedding".into(),
            ("text_model", ["final_layer_norm", kind]) => format!("ln_final.{kind}"),
            ("vision_model", ["embeddings", "class_embedding"]) => "class_embedding".into(),
            ("vision_model", ["embeddings", "patch_embedding", kind]) => format!("conv1.{kind}"),
            ("vision_model", ["pre_layrnorm", kind]) => format!("ln_pre.{kind}"),
            ("vision_model", ["post_layernorm", kind]) => format!("ln_post.{kind}"),
            (_, ["encoder", "layers", layer, tail @ ..]) => {
                let (module, transform) = block(tail)?;
                return Some(Recipe::with(format!("{visual}transformer.resblocks.{layer}.{module}"), transform));
            }
            _ => return None,
        };
        Some(Recipe::same(format!("{visual}{name}")))
    }

    /// Why a tensor is left out on purpose, if it is.
    pub(super) fn ignored(&self, tensor: &str) -> Option<&'static str> {
        let layer = |tensor: &str| tensor.strip_prefix("transformer.resblocks.")?.split('.').next()?.parse::<usize>().ok();
        match tensor {
            "logit_scale" | "logit_bias" => Some("scales similarities in the training loss only"),
            "attn_mask" => Some("a constant, the causal mask"),
            _ if tensor.starts_with("visual.") && !self.vision => Some("belongs to the tower that this class does not have"),
            _ if is_text(tensor) && !self.text => Some("belongs to the tower that this class does not have"),
            "text_projection" if self.beyond.is_some() => Some("Stable Diffusion 2 does not project its text"),
            _ if self.beyond.is_some() && layer(tensor) >= self.beyond => {
                Some("Stable Diffusion 2 uses the text before the last layer")
            }
            _ => None,
        }
    }
}

fn is_text(tensor: &str) -> bool {
    let modules = ["transformer.", "token_embedding.", "ln_final."];
    matches!(tensor, "positional_embedding" | "text_projection") || modules.iter().any(|module| tensor.starts_with(module))
}

fn block(tail: &[&str]) -> Option<(String, Transform)> {
    let rows = |part| Transform::Rows { part, of: 3 };
    Some(match tail {
        ["layer_norm1", kind] => (format!("ln_1.{kind}"), Transform::Same),
        ["layer_norm2", kind] => (format!("ln_2.{kind}"), Transform::Same),
        ["mlp", "fc1", kind] => (format!("mlp.c_fc.{kind}"), Transform::Same),
        ["mlp", "fc2", kind] => (format!("mlp.c_proj.{kind}"), Transform::Same),
        ["self_attn", "out_proj", kind] => (format!("attn.out_proj.{kind}"), Transform::Same),
        ["self_attn", "q_proj", kind] => (format!("attn.in_proj_{kind}"), rows(0)),
        ["self_attn", "k_proj", kind] => (format!("attn.in_proj_{kind}"), rows(1)),
        ["self_attn", "v_proj", kind] => (format!("attn.in_proj_{kind}"), rows(2)),
        _ => return None,
    })
}

/// The transformers configuration (`CLIPModel`) that an `open_clip_config.json` describes, with open_clip's defaults.
///
/// # Errors
/// With the key whose value is missing or not supported.
pub(crate) fn config(value: &Value) -> Result<Value, OpenClipFault> {
    let model = value.get("model_cfg").unwrap_or(value);
    let number = |object: &Value, key: &'static str, default: Option<u64>| match object.get(key) {
        None => default.ok_or(OpenClipFault::MissingKey { key }),
        Some(value) => {
            let size = value.as_u64().filter(|size| *size > 0);
            size.ok_or_else(|| OpenClipFault::NotASize { key, value: value.to_string() })
        }
    };
    let half = |key: &'static str| {
        let half = model.get(key).filter(|half| half.is_object());
        half.ok_or(OpenClipFault::MissingObject { key })
    };
    let (text, vision) = (half("text_cfg")?, half("vision_cfg")?);
    for (half, keys) in [
        (text, ["hf_model_name", "embed_cls", "proj_bias", "no_causal_mask", "ls_init_value"].as_slice()),
        (vision, ["timm_model_name", "attentional_pool", "no_ln_pre", "final_ln_after_pool", "ls_init_value"].as_slice()),
    ] {
        let set = |key: &&'static str| half.get(*key).is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)));
        if let Some(key) = keys.iter().copied().find(set) {
            return Err(OpenClipFault::Unsupported { key });
        }
    }
    let activation = match model.get("quick_gelu") {
        None | Some(Value::Bool(false)) => "gelu",
        Some(Value::Bool(true)) => "quick_gelu",
        Some(other) => return Err(OpenClipFault::NotAFlag { key: "quick_gelu", value: other.to_string() }),
    };
    let wide = |object: &Value, width: u64| match object.get("mlp_ratio").map(Value::as_f64) {
        None => Ok(4 * width),
        Some(Some(ratio)) if ratio > 0.0 && ratio < 1e3 => Ok((width as f64 * ratio) as u64),
        _ => Err(OpenClipFault::NotANumber { key: "mlp_ratio" }),
    };
    let (text_width, vision_width) = (number(text, "width", Some(512))?, number(vision, "width", Some(768))?);
    let head_width = number(vision, "head_width", Some(64))?;
    Ok(json!({
        "architectures": ["CLIPModel"],
        "projection_dim": number(model, "embed_dim", None)?,
        "text_config": {
            "hidden_size": text_width,
            "intermediate_size": wide(text, text_width)?,
            "num_hidden_layers": number(text, "layers", Some(12))?,
            "num_attention_heads": number(text, "heads", Some(8))?,
            "vocab_size": number(text, "vocab_size", Some(49408))?,
            "max_position_embeddings": number(text, "context_length", Some(77))?,
            "hidden_act": activation,
            // open_clip pools at the largest id, which is what 2 means to transformers.
            "eos_token_id": 2,
        },
        "vision_config": {
            "hidden_size": vision_width,
            "intermediate_size": wide(vision, vision_width)?,
            "num_hidden_layers": number(vision, "layers", Some(12))?,
            "num_attention_heads": vision_width / head_width,
            "patch_size": number(vision, "patch_size", Some(16))?,
            "image_size": number(vision, "image_size", Some(224))?,
            "hidden_act": activation,
        },
    }))
}

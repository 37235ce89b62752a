//! One network without a configuration: recognised where its shapes are those of exactly one that was released, and
//! otherwise described.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_graph::Weight;

use super::known::{ALONE, KNOWN};
use crate::arch;
use crate::component::{Component, bind_component};
use crate::defects::shortened;
use crate::error::{ImportError, Result};
use crate::hf::json::{self as hf_json, JsonFile};
use crate::hf::tensors::Tensors;
use crate::options::{ImportOptions, Nonfinite};

/// How the note about the network begins.
const RECOGNISED: &str = "recognised as";

type Weights = BTreeMap<String, Weight>;

/// Names that only networks of a class have, in the reference library's layout or an original one; those of a list all.
const CLASSES: [(&str, &[&[&str]]); 8] = [
    (
        "UNet2DConditionModel",
        &[
            &["time_embedding.linear_1.weight", "up_blocks.0.resnets.0.conv1.weight"],
            &["input_blocks.0.0.weight", "output_blocks.0.0.in_layers.0.weight"],
        ],
    ),
    ("SD3Transformer2DModel", &[&["transformer_blocks.0.attn.add_q_proj.weight"], &["joint_blocks.0.x_block.attn.qkv.weight"]]),
    ("CogVideoXTransformer3DModel", &[&["transformer_blocks.0.norm1.linear.weight", "patch_embed.text_proj.weight"]]),
    ("AutoencoderKLCogVideoX", &[&["decoder.conv_in.conv.weight"]]),
    ("AutoencoderKL", &[&["decoder.conv_in.weight", "decoder.conv_norm_out.weight"], &["decoder.mid.block_1.norm1.weight"]]),
    (
        "CLIPTextModel",
        &[&["text_model.embeddings.token_embedding.weight"], &["transformer.resblocks.0.ln_1.weight", "token_embedding.weight"]],
    ),
    ("T5EncoderModel", &[&["encoder.block.0.layer.0.SelfAttention.q.weight"]]),
    ("InceptionV3", &[&["Mixed_5b.branch1x1.conv.weight"]]),
];

/// Networks that are known and not supported, by a name that only they have.
const OTHERS: [(&str, &str); 16] = [
    ("controlnet_cond_embedding.conv_in.weight", "a ControlNet, which is not supported"),
    ("input_hint_block.0.weight", "a ControlNet, which is not supported"),
    ("double_blocks.0.img_attn.qkv.weight", "a FLUX transformer, which is not supported"),
    ("single_transformer_blocks.0.attn.to_q.weight", "a FLUX transformer, which is not supported"),
    ("image_proj.proj.weight", "an IP-Adapter, which is not supported"),
    ("image_proj.latents", "an IP-Adapter, which is not supported"),
    ("ip_adapter.1.to_k_ip.weight", "an IP-Adapter, which is not supported"),
    ("emb_params", "a textual inversion embedding, which is not supported"),
    ("string_to_param.*", "a textual inversion embedding, which is not supported"),
    ("clip_l", "a textual inversion embedding, which is not supported"),
    ("caption_projection.linear_1.weight", "a PixArt or Sana transformer, which is not supported"),
    ("down_blocks.0.motion_modules.0.temporal_transformer.norm.weight", "an AnimateDiff motion module, which is not supported"),
    ("body.0.rdb1.conv1.weight", "an ESRGAN upscaler, which is not supported"),
    ("model.layers.0.self_attn.q_proj.weight", "a language model, which is not supported"),
    ("blocks.0.cross_attn.q.weight", "a Wan transformer, which is not supported"),
    ("vision_model.embeddings.class_embedding", "a CLIP vision encoder; give the folder with its config.json with --config"),
];

/// Tensors beside a network that change nothing.
const HARMLESS: [&str; 3] = ["logit_scale", "logit_bias", "spiece_model"];

/// Reads a network whose configuration its shapes tell.
///
/// # Errors
/// When they do not, with what the tensors look like; when a released network is damaged.
pub(crate) fn alone(path: &Path, tensors: Tensors, options: &ImportOptions) -> Result<Component> {
    let class = class_of(&tensors.weights);
    let denoisers = KNOWN.iter().filter_map(|known| Some((known.title, known.configs.first()?.1, None)));
    let known = denoisers.chain(ALONE.iter().map(|known| (known.title, known.config, known.assumed)));
    let mut titles = Vec::new();
    let trial = ImportOptions { nonfinite: Nonfinite::Skip, deny_unused: false, ..options.clone() };
    for (title, text, assumed) in known {
        let value = hf_json::parse_object(text, 32).map_err(|fault| ImportError::Json { path: path.into(), fault })?;
        if class.is_none_or(|class| !arch::class_of(&value).is_ok_and(|own| own.starts_with(class))) {
            continue;
        }
        titles.push(title);
        let json = JsonFile { text: text.into(), value };
        let fits = bind_component(path, json.clone(), tensors.clone(), None, &trial);
        if !fits.is_ok_and(|component| component.report.unused.iter().all(|name| is_harmless(name))) {
            continue;
        }
        let mut component = bind_component(path, json, tensors, None, options)?;
        let notes = [format!("{RECOGNISED} {title} by its shapes")].into_iter().chain(assumed.map(str::to_string));
        component.report.notes.splice(0..0, notes);
        return Ok(component);
    }
    let looks = looks(class, &titles, &tensors.weights);
    Err(ImportError::NoConfiguration { path: path.into(), tensors: tensors.weights.len(), looks })
}

/// The class whose names the tensors have, behind any prefix.
fn class_of(weights: &Weights) -> Option<&'static str> {
    let all = |names: &&[&str]| names.iter().all(|name| has(weights, name));
    CLASSES.iter().find(|(_, lists)| lists.iter().any(all)).map(|(class, _)| *class)
}

/// Whether there is a tensor of a name, or of a name that ends in it.
fn has(weights: &Weights, name: &str) -> bool {
    weights.keys().any(|found| found.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.')))
}

fn is_harmless(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    HARMLESS.contains(&last)
}

/// What the tensors are, as far as their names say, and what to do; completes "its tensors are …".
fn looks(class: Option<&str>, titles: &[&str], weights: &Weights) -> String {
    const CONFIG: &str = "give the folder with its config.json with --config";
    if let Some((_, what)) = OTHERS.iter().find(|(name, _)| has(weights, name)) {
        return format!("those of {what}");
    }
    let recorded = ["in.", "out.", "act.", "grad."];
    if weights.keys().all(|name| recorded.iter().any(|kind| name.starts_with(kind))) {
        return "recorded inputs and outputs of a network, which `dmdx-import check` takes with --io".into();
    }
    match class {
        Some(class) => format!("those of a {class} of other shapes than {}; {CONFIG}", titles.join(", ")),
        None => {
            let names: Vec<String> = weights.keys().take(3).cloned().collect();
            format!("of no network that is known ({}, …); {CONFIG}", shortened(&names))
        }
    }
}

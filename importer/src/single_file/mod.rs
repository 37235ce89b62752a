//! A whole pipeline in one file of an original layout (`sd_xl_base_1.0.safetensors`, `sd3_medium.safetensors`).
//!
//! Where a network lies follows from the names. Its configuration follows from a folder given by the user or, for the
//! released models, from the shapes: every tensor of the denoising network has to have the shape that a known
//! configuration gives it.

mod alone;
mod known;

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_graph::Weight;
use indexmap::IndexMap;
use serde_json::{Value, json};

use self::alone::RECOGNISED;
pub(crate) use self::alone::alone;
use self::known::{KNOWN, Known};
use crate::arch::{self, ArchGraphs};
use crate::component::{Component, bind_component};
use crate::contents::Contents;
use crate::defects::Defects;
use crate::error::{ImportError, Result};
use crate::hf::json::{self as hf_json, JsonFile};
use crate::hf::tensors::Tensors;
use crate::options::ImportOptions;
use crate::original::{Naming, params};
use crate::pipeline::Pipeline;

/// Where a network may lie: its folder in the diffusers layout, its prefix in the file, and a name that shows it.
const PLACES: [(&str, &str, &str); 10] = [
    ("unet", "model.diffusion_model.", "input_blocks.0.0.weight"),
    ("transformer", "model.diffusion_model.", "joint_blocks.0.x_block.attn.qkv.weight"),
    ("vae", "first_stage_model.", "decoder.conv_in.weight"),
    ("text_encoder", "conditioner.embedders.0.transformer.", TOKENS),
    ("text_encoder", "cond_stage_model.transformer.", TOKENS),
    ("text_encoder", "cond_stage_model.model.", "token_embedding.weight"),
    ("text_encoder", "text_encoders.clip_l.transformer.", TOKENS),
    ("text_encoder_2", "conditioner.embedders.1.model.", "token_embedding.weight"),
    ("text_encoder_2", "text_encoders.clip_g.transformer.", TOKENS),
    ("text_encoder_3", "text_encoders.t5xxl.transformer.", "encoder.final_layer_norm.weight"),
];
const TOKENS: &str = "text_model.embeddings.token_embedding.weight";
/// The refiner's only text encoder takes the place that the base model gives to CLIP-L.
const REFINER: (&str, &str, &str) = ("text_encoder_2", "conditioner.embedders.0.model.", "token_embedding.weight");

/// Tensors beside the networks, and why nothing is lost.
const BESIDE: [(&str, &str); 13] = [
    ("model_ema.", "a moving average of the weights; the weights themselves are used"),
    ("alphas_cumprod", SCHEDULE),
    ("alphas_cumprod_prev", SCHEDULE),
    ("betas", SCHEDULE),
    ("sqrt_", SCHEDULE),
    ("log_one_minus_alphas_cumprod", SCHEDULE),
    ("posterior_", SCHEDULE),
    ("denoiser.sigmas", SCHEDULE),
    ("logvar", SCHEDULE),
    ("lvlb_weights", SCHEDULE),
    ("model.model_sampling.", SCHEDULE),
    ("text_encoders.clip_l.logit_scale", "scales similarities in the training loss only"),
    ("text_encoders.clip_g.logit_scale", "scales similarities in the training loss only"),
];
const SCHEDULE: &str = "the noise schedule, which the scheduler computes";

/// The networks of a file: folder and prefix, in the order of [`PLACES`].
fn places(tensors: &BTreeMap<String, Weight>) -> IndexMap<&'static str, &'static str> {
    let has = |(_, prefix, name): &&(&str, &str, &str)| tensors.contains_key(&format!("{prefix}{name}"));
    let mut found = IndexMap::new();
    for (folder, prefix, _) in PLACES.iter().chain([&REFINER]).filter(has) {
        found.entry(*folder).or_insert(*prefix);
    }
    found
}

/// How many networks of an original single-file layout the tensors hold; an autoencoder or text encoder without the
/// denoising network counts only by its prefix.
pub(crate) fn holds_networks(tensors: &BTreeMap<String, Weight>) -> usize {
    places(tensors).len()
}

/// Reads a single-file checkpoint as the pipeline that it holds.
///
/// # Errors
/// When the file holds no network in a layout that is known, is of no released model and no configuration is given, or
/// a network does not fit its configuration.
pub(crate) fn pipeline(path: &Path, tensors: Tensors, options: &ImportOptions) -> Result<Pipeline> {
    let places = places(&tensors.weights);
    let mut contents = match &options.config {
        Some(folder) => Contents::read(folder, options)?,
        None => known_contents(path, &places, &tensors.weights)?,
    };
    let mut components = IndexMap::new();
    let mut notes = tensors.notes.clone();
    for (folder, class) in std::mem::take(&mut contents.networks) {
        let Some(prefix) = places.get(folder.as_str()) else {
            notes.push(format!("{folder} ({class}) is not in the file"));
            continue;
        };
        let config = contents.config(&folder, &class, options)?;
        let own: BTreeMap<String, Weight> =
            tensors.weights.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let own = Tensors { weights: own, files: tensors.files.clone(), ..Tensors::default() };
        components.insert(folder, bind_component(path, config, own, Some(prefix), options)?);
    }
    let known_prefix = |name: &str| places.values().any(|prefix| name.starts_with(prefix));
    let beside = |name: &str| BESIDE.iter().any(|(pattern, _)| name.starts_with(pattern)) || name.ends_with(".logit_scale");
    let others: Vec<String> = tensors.weights.keys().filter(|name| !known_prefix(name) && !beside(name)).cloned().collect();
    if !others.is_empty() {
        if options.deny_unused {
            let defects = Box::new(Defects { unused: others, ..Default::default() });
            return Err(ImportError::Binding { class: contents.class, path: path.into(), defects });
        }
        notes.push(format!("{} tensor(s) belong to no network: {}", others.len(), crate::defects::shortened(&others)));
    }
    if components.is_empty() {
        return Err(ImportError::UnknownModel { path: path.into(), folder: "none".into(), known: titles() });
    }
    contents.notes.extend(notes);
    contents.finish(components, options)
}

/// The contents of a released model's file.
fn known_contents(path: &Path, places: &IndexMap<&str, &str>, weights: &BTreeMap<String, Weight>) -> Result<Contents> {
    let (known, denoiser) = find(path, places, weights)?;
    let mut contents = Contents { class: known.pipeline.into(), ..Contents::default() };
    let mut index = json!({"_class_name": known.pipeline});
    for (folder, text) in known.configs {
        let value = parse(path, text)?;
        let class = arch::class_of(&value)?.to_string();
        let library = if value.get("_class_name").is_some() { "diffusers" } else { "transformers" };
        if places.contains_key(folder) {
            index[*folder] = json!([library, class]);
            contents.configs.insert((*folder).into(), JsonFile { text: (*text).into(), value });
        }
        contents.networks.push(((*folder).into(), class));
    }
    match known.scheduler {
        Some(text) => {
            let value = parse(path, text)?;
            index["scheduler"] = json!(["diffusers", value.get("_class_name")]);
            contents.scheduler = Some(JsonFile { text: text.into(), value });
        }
        None => contents.notes.push(format!(
            "{} models that predict noise and velocity have the same shapes, so the file does not say how to sample; give \
             the scheduler with --config",
            known.title
        )),
    }
    contents.notes.insert(0, format!("{RECOGNISED} {} by the shapes of `{denoiser}`", known.title));
    contents.notes.push("the file holds no tokenizers; a folder that has them can be given with --config".into());
    contents.index = JsonFile { text: format!("{index:#}\n"), value: index };
    Ok(contents)
}

/// The released model whose denoising network has exactly the shapes of the file.
fn find(
    path: &Path,
    places: &IndexMap<&str, &str>,
    weights: &BTreeMap<String, Weight>,
) -> Result<(&'static Known, &'static str)> {
    let denoiser = places.get_key_value("unet").or_else(|| places.get_key_value("transformer"));
    let unknown = |folder: &str| ImportError::UnknownModel { path: path.into(), folder: folder.into(), known: titles() };
    let Some((folder, prefix)) = denoiser else {
        return Err(unknown(&places.keys().copied().collect::<Vec<_>>().join(", ")));
    };
    for known in &KNOWN {
        let Some(config) = known.config(folder) else { continue };
        let network = arch::build(&parse(path, config)?)?;
        if fits(&network, prefix, weights) {
            let folder = if *folder == "unet" { "unet" } else { "transformer" };
            return Ok((known, folder));
        }
    }
    Err(unknown(folder))
}

/// Whether every parameter has a tensor of a fitting shape, and every tensor a parameter.
fn fits(network: &ArchGraphs, prefix: &str, weights: &BTreeMap<String, Weight>) -> bool {
    let naming = Naming::at(prefix, network, weights);
    let mut used = std::collections::BTreeSet::new();
    let all = network.parts.iter().flat_map(|(_, graph)| graph.params()).all(|(name, param)| {
        let Some(recipe) = naming.recipe(name) else { return false };
        let found = weights.get_key_value(&recipe.tensor);
        found.is_some_and(|(tensor, weight)| {
            used.insert(tensor.as_str());
            recipe.transform.source_shapes(&param.shape).iter().any(|shape| shape == weight.shape())
        })
    });
    all && params(network).next().is_some() && weights.keys().filter(|name| name.starts_with(prefix)).count() == used.len()
}

fn titles() -> Vec<String> {
    KNOWN.iter().map(|known| known.title.to_string()).collect()
}

/// A configuration of this program.
fn parse(path: &Path, text: &str) -> Result<Value> {
    hf_json::parse_object(text, 32).map_err(|fault| ImportError::Json { path: path.into(), fault })
}

/// The only network of a single-file checkpoint.
///
/// # Errors
/// As [`pipeline`]; also when there are several.
pub(crate) fn only_network(path: &Path, tensors: Tensors, options: &ImportOptions) -> Result<Component> {
    let mut pipeline = pipeline(path, tensors, options)?;
    match (pipeline.components.len(), pipeline.components.pop()) {
        (1, Some((_, mut component))) => {
            // Beside what this one network is, the notes are about a pipeline.
            let about = pipeline.notes.into_iter().filter(|note| note.starts_with(RECOGNISED));
            component.report.notes.splice(0..0, about);
            Ok(component)
        }
        _ => Err(ImportError::IsPipeline { path: path.into() }),
    }
}

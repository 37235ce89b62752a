//! A whole pipeline in one file of an original layout (`sd_xl_base_1.0.safetensors`, `sd3_medium.safetensors`).
//!
//! Where a network lies follows from the names. Its configuration follows from a folder given by the user or, for the
//! released models, from the shapes: every tensor of the denoising network has to have the shape that a known
//! configuration gives it.

mod alone;
mod known;
mod marks;
mod sampling;

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_graph::Weight;
use indexmap::IndexMap;
use serde_json::{Value, json};

pub(crate) use self::alone::alone;
use self::known::{KNOWN, Known, MORE_CHANNELS};
use self::marks::Marks;
use self::sampling::Sampling;
use crate::arch::{self, ArchGraphs};
use crate::component::{Component, bind_component};
use crate::contents::Contents;
use crate::defects::{Defects, shortened};
use crate::error::{ImportError, Result};
use crate::hf::json::{self as hf_json, JsonFile};
use crate::hf::tensors::Tensors;
use crate::options::ImportOptions;
use crate::original::{Naming, beside, params, places};
use crate::pipeline::{ASSUMED, Pipeline};

/// How many networks of an original single-file layout the tensors hold; an autoencoder or text encoder without the
/// denoising network counts only by its prefix.
pub(crate) fn holds_networks(tensors: &BTreeMap<String, Weight>) -> usize {
    places(tensors).len()
}

/// What a file holds beside its networks, and says about itself.
#[derive(Default)]
struct Rest {
    /// Tensors of no known use, sorted.
    unused: Vec<String>,
    /// Tensors that are left out on purpose, by the reason.
    ignored: BTreeMap<&'static str, Vec<String>>,
    /// What is true of any network in the file.
    notes: Vec<String>,
}

/// Reads a single-file checkpoint as the pipeline that it holds.
///
/// # Errors
/// When the file holds no network in a layout that is known, is of no released model and no configuration is given, or
/// a network does not fit its configuration.
pub(crate) fn pipeline(path: &Path, tensors: Tensors, options: &ImportOptions) -> Result<Pipeline> {
    let (mut pipeline, mut rest) = whole(path, tensors, options)?;
    let left_out = |(reason, names): (&&str, &Vec<String>)| {
        format!("{} tensor(s) are left out on purpose ({reason}): {}", names.len(), shortened(names))
    };
    rest.notes.append(&mut pipeline.notes);
    rest.notes.extend(rest.ignored.iter().map(left_out));
    if !rest.unused.is_empty() {
        rest.notes.push(format!("{} tensor(s) belong to no network: {}", rest.unused.len(), shortened(&rest.unused)));
    }
    pipeline.notes = rest.notes;
    Ok(pipeline)
}

/// The pipeline of a file, with notes about the pipeline alone, and the rest of the file.
fn whole(path: &Path, tensors: Tensors, options: &ImportOptions) -> Result<(Pipeline, Rest)> {
    let places = places(&tensors.weights);
    let marks = Marks::read(&tensors);
    let mut rest = Rest { notes: marks.sentences(), ..Rest::default() };
    let mut contents = match &options.config {
        Some(folder) => {
            let mut contents = Contents::read(folder, options)?;
            rest.notes.extend(sampling::adapt(path, &mut contents, &marks)?);
            contents
        }
        None => known_contents(path, &places, &tensors.weights, &marks, &mut rest.notes)?,
    };
    rest.notes.extend(tensors.notes.iter().cloned());
    let mut components = IndexMap::new();
    for (folder, class) in std::mem::take(&mut contents.networks) {
        let Some(prefix) = places.get(folder.as_str()) else {
            contents.notes.push(format!("{folder} ({class}) is not in the file"));
            continue;
        };
        let config = contents.config(&folder, &class, options)?;
        let own: BTreeMap<String, Weight> =
            tensors.weights.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let own = Tensors { weights: own, files: tensors.files.clone(), ..Tensors::default() };
        components.insert(folder, bind_component(path, config, own, Some(prefix), options)?);
    }
    // A network that the configuration does not name is as little used as a tensor of no network.
    let used: Vec<&str> = places.iter().filter(|(folder, _)| components.contains_key(**folder)).map(|(_, at)| *at).collect();
    for name in tensors.weights.keys().filter(|name| !used.iter().any(|prefix| name.starts_with(prefix))) {
        match beside(name) {
            Some(reason) => rest.ignored.entry(reason).or_default().push(name.clone()),
            None => rest.unused.push(name.clone()),
        }
    }
    if options.deny_unused && !rest.unused.is_empty() {
        let defects = Box::new(Defects { unused: rest.unused, ..Default::default() });
        return Err(ImportError::Binding { class: contents.class, path: path.into(), defects });
    }
    if components.is_empty() {
        return Err(ImportError::UnknownModel { path: path.into(), folder: "none".into(), known: titles() });
    }
    Ok((contents.finish(components, options)?, rest))
}

/// A released model that a file holds.
struct Found {
    known: &'static Known,
    /// The folder of the network that shows it.
    folder: &'static str,
    /// That network's configuration, where it is not the released one.
    config: Option<String>,
    /// The class of the pipeline.
    pipeline: String,
    /// What else is special.
    notes: Vec<String>,
}

/// The contents of a released model's file.
fn known_contents(
    path: &Path,
    places: &IndexMap<&'static str, &'static str>,
    weights: &BTreeMap<String, Weight>,
    marks: &Marks,
    notes: &mut Vec<String>,
) -> Result<Contents> {
    let Found { known, folder: shows, config: changed, pipeline, notes: special } = find(path, places, weights)?;
    let mut contents = Contents { class: pipeline.clone(), ..Contents::default() };
    let mut index = json!({"_class_name": pipeline});
    for (folder, text) in known.configs {
        let text = changed.as_deref().filter(|_| *folder == shows).unwrap_or(text);
        let value = parse(path, text)?;
        let class = arch::class_of(&value)?.to_string();
        let library = if value.get("_class_name").is_some() { "diffusers" } else { "transformers" };
        if places.contains_key(folder) {
            index[*folder] = json!([library, class]);
            contents.configs.insert((*folder).into(), JsonFile { text: text.into(), value });
        }
        contents.networks.push(((*folder).into(), class));
    }
    notes.insert(0, format!("recognised as {} by the shapes of `{shows}`", known.title));
    notes.extend(special);
    let sampling = Sampling::of(path, known, marks)?;
    if let Some(scheduler) = &sampling.scheduler {
        index["scheduler"] = json!(["diffusers", scheduler.value.get("_class_name")]);
    }
    if let Some(assumed) = &sampling.assumed {
        index[ASSUMED] = json!(assumed);
    }
    contents.scheduler = sampling.scheduler;
    contents.notes.extend(sampling.assumed.into_iter().chain(sampling.notes));
    contents.notes.push("the file holds no tokenizers; a folder that has them can be given with --config".into());
    contents.index = JsonFile { text: format!("{index:#}\n"), value: index };
    Ok(contents)
}

/// The released model whose denoising network has exactly the shapes of the file, or more channels of pictures to read.
fn find(path: &Path, places: &IndexMap<&'static str, &'static str>, weights: &BTreeMap<String, Weight>) -> Result<Found> {
    let unknown = |folder: &str| ImportError::UnknownModel { path: path.into(), folder: folder.into(), known: titles() };
    let Some((folder, prefix)) = ["unet", "transformer", "sam"].iter().find_map(|folder| places.get_key_value(folder)) else {
        return Err(unknown(&places.keys().copied().collect::<Vec<_>>().join(", ")));
    };
    let first = weights.get(&format!("{prefix}input_blocks.0.0.weight"));
    let channels = first.and_then(|weight| weight.shape().get(1)).map(|channels| *channels as u64);
    let more = MORE_CHANNELS.iter().find(|(count, ..)| Some(*count) == channels);
    for known in &KNOWN {
        let Some(config) = known.config(folder) else { continue };
        let mut found = Found { known, folder, config: None, pipeline: known.pipeline.into(), notes: Vec::new() };
        let mut value = parse(path, config)?;
        if let (Some((count, purpose, middle)), Some(start)) = (more, known.pipeline.strip_suffix("Pipeline")) {
            value["in_channels"] = (*count).into();
            found.config = Some(format!("{value:#}\n"));
            found.pipeline = format!("{start}{middle}Pipeline");
            found.notes.push(format!(
                "the network reads {count} channels, for {purpose}; it can be inspected, checked and converted, but generating \
                 and training go from texts alone"
            ));
        }
        if fits(&arch::build(&value)?, prefix, weights) {
            return Ok(found);
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
    // What the network leaves out on purpose may be there or not.
    let ignored = |own: &str| network.ignored(&naming.present(own)).is_some() || naming.ignored(own).is_some();
    let rest = || weights.keys().filter(|name| !used.contains(name.as_str())).filter_map(|name| name.strip_prefix(prefix));
    all && params(network).next().is_some() && rest().all(ignored)
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
    let (mut pipeline, rest) = whole(path, tensors, options)?;
    match (pipeline.components.len(), pipeline.components.pop()) {
        (1, Some((_, mut component))) => {
            let report = &mut component.report;
            report.notes.splice(0..0, rest.notes);
            report.unused.extend(rest.unused);
            report.unused.sort_unstable();
            for (reason, names) in rest.ignored {
                report.ignored.entry(reason).or_default().extend(names);
            }
            Ok(component)
        }
        _ => Err(ImportError::IsPipeline { path: path.into() }),
    }
}

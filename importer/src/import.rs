//! What is this path? One network or a whole pipeline, in whichever layout; who reads it follows from that.

use std::path::Path;

use indexmap::IndexMap;

use crate::component::{Component, bind_component};
use crate::contents::{Contents, set_class};
use crate::defects::shortened;
use crate::error::{ImportError, JsonFault, Result};
use crate::graph_file;
use crate::hf::json::JsonFile;
use crate::hf::tensors::{self, Tensors};
use crate::hf::{config, discover, wrappers};
use crate::lora::{self, LoraSummary};
use crate::onnx;
use crate::options::ImportOptions;
use crate::original;
use crate::path::{located, split};
use crate::pipeline::Pipeline;
use crate::provenance::Origin;
use crate::quantised;
use crate::single_file;

/// The file that makes a folder a pipeline.
const INDEX: &str = "model_index.json";
/// The file that makes a folder a component.
const CONFIG: &str = "config.json";

/// What a path holds.
#[derive(Debug, Clone)]
pub enum Imported {
    /// One network.
    Component(Box<Component>),
    /// A folder of the diffusers layout, or a file with several networks in an original layout.
    Pipeline(Box<Pipeline>),
}

/// Imports whatever a path holds.
///
/// # Errors
/// As [`import`] and [`import_pipeline`].
pub fn import_any(path: &Path, options: &ImportOptions) -> Result<Imported> {
    let path = &located(path)?;
    let pipeline = || Ok(Imported::Pipeline(Box::new(import_pipeline(path, options)?)));
    if path.is_dir() && path.join(INDEX).is_file() {
        return pipeline();
    }
    match import(path, options) {
        // A file shows only when it is read that it holds several networks.
        Err(ImportError::IsPipelineFile { .. }) => pipeline(),
        component => Ok(Imported::Component(Box::new(component?))),
    }
}

/// Reads one component: a diffusers or transformers folder, a weights file or index beside its `config.json`, a file in
/// an original layout that holds one network, a file whose shapes are those of one released network, or a file written by
/// `dmdx-import convert`. LoRA files are merged.
///
/// # Errors
/// In one sentence, whatever is wrong with the files; see [`ImportError`].
pub fn import(path: &Path, options: &ImportOptions) -> Result<Component> {
    let (path, options) = (&located(path)?, &located_config(options)?);
    let mut component = import_as(path, None, options)?;
    if options.max_sequence_length.is_some() {
        return Err(ImportError::MaxSequenceLength { class: component.class });
    }
    let name = lora::component_name(path, &component);
    let merged = lora::merge_files([(&name, &mut component)].into_iter(), false, options)?;
    component.report.notes.extend(merged.notes);
    Ok(component)
}

/// The options, with the snapshot of a model in the hub's cache in the place of its folder.
fn located_config(options: &ImportOptions) -> Result<ImportOptions> {
    let config = options.config.as_deref().map(located).transpose()?;
    Ok(ImportOptions { config, ..options.clone() })
}

/// As [`import`] without LoRA files, with the class that a pipeline names in place of the configuration's own.
fn import_as(path: &Path, class: Option<&str>, options: &ImportOptions) -> Result<Component> {
    let metadata = std::fs::metadata(path).map_err(|error| ImportError::reading(path, error))?;
    if !metadata.is_dir() && onnx::is_model(path) {
        return onnx::component(path, options);
    }
    if !metadata.is_dir() {
        return from_tensors(split(path).0, path, tensors::open_path(path, options)?, class, options);
    }
    if path.join(INDEX).is_file() && !path.join(CONFIG).is_file() {
        return Err(ImportError::IsPipeline { path: path.into() });
    }
    match tensors::open(path, options) {
        Ok(tensors) => from_tensors(path, path, tensors, class, options),
        Err(ImportError::NoWeights { files, unread, .. }) if class.is_none() && !has_config(path, options) => {
            Err(no_model(path, files, unread))
        }
        Err(error) => match read_config(path, options) {
            // A folder that is no component at all is better described by the configuration that it lacks.
            Err(missing @ ImportError::NotFound { .. }) => Err(missing),
            // Types that only quantisers write are explained by the configuration.
            Err(refusal @ ImportError::Quantised { .. }) => Err(refusal),
            _ => Err(error),
        },
    }
}

/// Whether a folder is described, by whatever file.
fn has_config(folder: &Path, options: &ImportOptions) -> bool {
    !matches!(read_config(folder, options), Err(ImportError::NotFound { .. }))
}

/// What a folder is that no library has saved a model in.
fn no_model(folder: &Path, mut files: Vec<String>, unread: Vec<String>) -> ImportError {
    if files.iter().any(|name| name == lora::ADAPTER) {
        return match lora::describe(folder, &ImportOptions::default()) {
            Ok(lora) => ImportError::IsLora { path: folder.join(lora::ADAPTER), summary: lora.short() },
            Err(error) => error,
        };
    }
    files.extend(unread);
    let instead = match files.as_slice() {
        [] => "a component folder, a .safetensors file or a pipeline folder".into(),
        files => format!("one of the files in it ({})", shortened(files)),
    };
    ImportError::NoModel { path: folder.into(), instead }
}

fn from_tensors(
    folder: &Path,
    path: &Path,
    mut tensors: Tensors,
    class: Option<&str>,
    options: &ImportOptions,
) -> Result<Component> {
    if graph_file::is_converted(&tensors.metadata) {
        return graph_file::component(path, tensors, options);
    }
    wrappers::unwrap(&mut tensors);
    if class.is_none() && lora::is_lora(&tensors.weights) {
        let summary = LoraSummary::of(&tensors.weights, &tensors.metadata).short();
        return Err(ImportError::IsLora { path: path.into(), summary });
    }
    let single = single_file::holds_networks(&tensors.weights);
    let whole_config = options.config.as_ref().is_some_and(|folder| folder.join(INDEX).is_file());
    let mut json = match read_config(options.config.as_deref().unwrap_or(folder), options) {
        // Without a configuration of its own the file may still say what it is.
        Err(ImportError::NotFound { .. }) if single > 1 => return Err(ImportError::IsPipelineFile { path: path.into() }),
        Err(ImportError::NotFound { .. }) if single == 1 || whole_config => {
            return single_file::only_network(path, tensors, options);
        }
        Err(ImportError::NotFound { .. }) if options.config.is_none() && class.is_none() => {
            return single_file::alone(path, tensors, options);
        }
        json => json?,
    };
    if let Some(class) = class {
        tensors.notes.extend(set_class(&mut json.value, class));
    }
    bind_component(path, json, tensors, None, options)
        .map_err(|error| if error.is_configuration() { error.at(&folder.join(CONFIG)) } else { error })
}

/// The configuration of a folder's network, whose weights are numbers as they are.
fn read_config(folder: &Path, options: &ImportOptions) -> Result<JsonFile> {
    let json = find_config(folder, options)?;
    match quantised::by_config(folder, &json.value) {
        Some(refusal) => Err(refusal),
        None => Ok(json),
    }
}

/// The `config.json` of a folder, or the configuration that an `open_clip_config.json` there describes.
fn find_config(folder: &Path, options: &ImportOptions) -> Result<JsonFile> {
    let missing = match config::read(folder, CONFIG, &options.limits, &options.files) {
        Err(missing @ ImportError::NotFound { .. }) => missing,
        other => return other,
    };
    match config::read(folder, "open_clip_config.json", &options.limits, &options.files) {
        Err(ImportError::NotFound { .. }) => Err(missing),
        other => {
            let fail =
                |fault| ImportError::Json { path: folder.join("open_clip_config.json"), fault: JsonFault::OpenClip(fault) };
            let value = original::open_clip_config(&other?.value).map_err(fail)?;
            Ok(JsonFile { text: format!("{value:#}\n"), value })
        }
    }
}

/// Reads a pipeline and every network in it: a folder of the diffusers layout, or a file in an original layout.
///
/// # Errors
/// As [`crate::import`] for every component; unknown classes of all components are listed in one error.
pub fn import_pipeline(path: &Path, options: &ImportOptions) -> Result<Pipeline> {
    let (path, options) = (&located(path)?, &located_config(options)?);
    let mut pipeline = if path.is_file() { from_file(path, options)? } else { from_folder(path, options)? };
    let merged = lora::merge_files(pipeline.components.iter_mut(), true, options)?;
    pipeline.notes.extend(merged.notes);
    pipeline.origin =
        Origin { path: path.into(), config: options.config.clone(), merged: merged.files, max_sequence_length: None };
    if let Some(tokens) = options.max_sequence_length {
        pipeline.set_max_sequence_length(tokens)?;
    }
    Ok(pipeline)
}

fn from_file(path: &Path, options: &ImportOptions) -> Result<Pipeline> {
    let is_graph = onnx::is_model(path);
    let mut tensors = if is_graph { Tensors::default() } else { tensors::open_path(path, options)? };
    let is_graph = is_graph || graph_file::is_converted(&tensors.metadata);
    wrappers::unwrap(&mut tensors);
    if is_graph || single_file::holds_networks(&tensors.weights) == 0 {
        let class = import_as(path, None, options)?.class;
        return Err(ImportError::NotPipeline { path: path.into(), class });
    }
    single_file::pipeline(path, tensors, options)
}

fn from_folder(folder: &Path, options: &ImportOptions) -> Result<Pipeline> {
    let mut contents = match Contents::read(folder, options) {
        // A folder of another kind is told as what it is, not by what it lacks.
        Err(missing @ ImportError::NotFound { .. }) if folder.is_dir() && !folder.join(INDEX).exists() => {
            return Err(match import_as(folder, None, options) {
                Ok(component) => ImportError::NotPipeline { path: folder.into(), class: component.class },
                Err(told @ (ImportError::NoModel { .. } | ImportError::IsLora { .. })) => told,
                Err(_) => missing,
            });
        }
        contents => contents?,
    };
    let mut options = options.clone();
    // A link from one component into another stays inside what the user gave.
    options.files.roots.push(folder.into());
    let plain = without_variant(folder, &contents, &options)?;
    let mut components = IndexMap::new();
    let mut unknown = Vec::new();
    let configs = options.config.take();
    let place = |name: &str| configs.as_ref().map_or_else(|| folder.join(name), |configs| configs.join(name));
    let names = || contents.networks.iter().map(|(name, _)| place(name));
    options.frames = options.frames.or_else(|| names().find_map(|network| filmed(&network, &options)));
    for (name, class) in std::mem::take(&mut contents.networks) {
        let mut options = options.clone();
        options.config = configs.as_ref().map(|configs| configs.join(&name));
        if plain.contains(&name) {
            let variant = options.variant.take().unwrap_or_default();
            contents.notes.push(format!("{name} has no weights of the variant `{variant}`; its plain ones are used"));
        }
        match import_as(&folder.join(&name), Some(&class), &options) {
            Ok(component) => {
                components.insert(name, component);
            }
            Err(error) if error.is_unknown_class() => unknown.push(format!("{name}: {class}")),
            Err(error) => return Err(error),
        }
    }
    match unknown.is_empty() {
        true => contents.finish(components, &options),
        false => {
            let path = folder.join(INDEX);
            Err(ImportError::UnknownPipelineClasses { path, classes: unknown })
        }
    }
}

/// The frames of the videos that a network was trained for, as its configuration says; what is wrong with that is told when
/// the network is read.
fn filmed(network: &Path, options: &ImportOptions) -> Option<usize> {
    let json = read_config(network, options).ok()?;
    usize::try_from(json.value.get("sample_frames")?.as_u64()?).ok()
}

/// The networks that have plain weights only, where others have the variant that was asked for: as in diffusers, these
/// are read without it.
///
/// # Errors
/// When no network has the variant.
fn without_variant(folder: &Path, contents: &Contents, options: &ImportOptions) -> Result<Vec<String>> {
    let Some(variant) = &options.variant else { return Ok(Vec::new()) };
    let names = contents.networks.iter().map(|(name, _)| name);
    let found: Vec<_> = names.map(|name| (name, discover::has_variant(&folder.join(name), variant, &options.limits))).collect();
    let has_none = found.iter().all(|(_, (has, _))| !has);
    if has_none && found.iter().any(|(_, (_, plain))| *plain) {
        return Err(ImportError::NoVariant { path: folder.into(), variant: variant.chars().take(80).collect() });
    }
    Ok(found.into_iter().filter(|(_, (has, plain))| !has && *plain).map(|(name, _)| name.clone()).collect())
}

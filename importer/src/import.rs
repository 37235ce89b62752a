//! What is this path? One network or a whole pipeline, in whichever layout; who reads it follows from that.

use std::path::Path;

use indexmap::IndexMap;

use crate::component::{Component, bind_component};
use crate::contents::{Contents, set_class};
use crate::error::{ImportError, JsonFault, Result};
use crate::graph_file;
use crate::hf::json::JsonFile;
use crate::hf::tensors::{self, Tensors};
use crate::hf::{config, discover};
use crate::lora;
use crate::onnx;
use crate::options::ImportOptions;
use crate::original;
use crate::path::split;
use crate::pipeline::Pipeline;
use crate::provenance::Origin;
use crate::single_file;

/// What a path holds.
#[derive(Debug, Clone)]
pub(crate) enum Imported {
    /// One network.
    Component(Box<Component>),
    /// A folder of the diffusers layout, or a file with several networks in an original layout.
    Pipeline(Box<Pipeline>),
}

/// Imports whatever a path holds.
///
/// # Errors
/// As [`import`] and [`import_pipeline`].
pub(crate) fn import_any(path: &Path, options: &ImportOptions) -> Result<Imported> {
    let pipeline = || Ok(Imported::Pipeline(Box::new(import_pipeline(path, options)?)));
    if is_pipeline(path) {
        return pipeline();
    }
    match import(path, options) {
        // A pickle file shows only when it is read that it holds several networks.
        Err(ImportError::IsPipeline { .. }) if path.is_file() => pipeline(),
        component => Ok(Imported::Component(Box::new(component?))),
    }
}

/// Reads one component: a diffusers or transformers folder, a weights file or index beside its `config.json`, a file in
/// an original layout that holds one network, or a file written by `dmdx-import convert`. LoRA files are merged.
///
/// # Errors
/// In one sentence, whatever is wrong with the files; see [`ImportError`].
pub fn import(path: &Path, options: &ImportOptions) -> Result<Component> {
    let mut component = import_as(path, None, options)?;
    let name = lora::component_name(path, &component);
    let merged = lora::merge_files([(&name, &mut component)].into_iter(), false, options)?;
    component.report.notes.extend(merged.notes);
    Ok(component)
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
    if path.join("model_index.json").is_file() && !path.join("config.json").is_file() {
        return Err(ImportError::IsPipeline { path: path.into() });
    }
    match tensors::open(path, options) {
        Ok(tensors) => from_tensors(path, path, tensors, class, options),
        Err(error) => match read_config(path, options) {
            // A folder that is no component at all is better described by the configuration that it lacks.
            Err(missing @ ImportError::NotFound { .. }) => Err(missing),
            _ => Err(error),
        },
    }
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
    let single = single_file::holds_networks(&tensors.weights);
    let whole_config = options.config.as_ref().is_some_and(|folder| folder.join("model_index.json").is_file());
    let mut json = match read_config(options.config.as_deref().unwrap_or(folder), options) {
        // Without a configuration of its own the file may still say what it is.
        Err(ImportError::NotFound { .. }) if single > 1 => return Err(ImportError::IsPipeline { path: path.into() }),
        Err(ImportError::NotFound { .. }) if single == 1 || whole_config => {
            return single_file::only_network(path, tensors, options);
        }
        json => json?,
    };
    if let Some(class) = class {
        tensors.notes.extend(set_class(&mut json.value, class));
    }
    bind_component(path, json, tensors, None, options)
        .map_err(|error| if error.is_configuration() { error.at(&folder.join("config.json")) } else { error })
}

/// The `config.json` of a folder, or the configuration that an `open_clip_config.json` there describes.
fn read_config(folder: &Path, options: &ImportOptions) -> Result<JsonFile> {
    let missing = match config::read(folder, "config.json", &options.limits, &options.files) {
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

/// Whether a path is a pipeline: a folder with `model_index.json`, or a safetensors file with several networks in an
/// original layout. A file that cannot be read is none; importing it says why.
pub fn is_pipeline(path: &Path) -> bool {
    if path.is_dir() {
        return path.join("model_index.json").is_file();
    }
    let (_, name) = split(path);
    path.is_file()
        && !discover::is_pickle(name)
        && tensors::open_path(path, &ImportOptions::default())
            .is_ok_and(|tensors| single_file::holds_networks(&tensors.weights) > 1)
}

/// Reads a pipeline and every network in it: a folder of the diffusers layout, or a file in an original layout.
///
/// # Errors
/// As [`crate::import`] for every component; unknown classes of all components are listed in one error.
pub fn import_pipeline(path: &Path, options: &ImportOptions) -> Result<Pipeline> {
    let mut pipeline = if path.is_file() {
        single_file::pipeline(path, tensors::open_path(path, options)?, options)?
    } else {
        from_folder(path, options)?
    };
    let merged = lora::merge_files(pipeline.components.iter_mut(), true, options)?;
    pipeline.notes.extend(merged.notes);
    pipeline.origin = Origin { path: path.into(), config: options.config.clone(), merged: merged.files };
    Ok(pipeline)
}

fn from_folder(folder: &Path, options: &ImportOptions) -> Result<Pipeline> {
    let mut contents = Contents::read(folder, options)?;
    let mut options = options.clone();
    // A link from one component into another stays inside what the user gave.
    options.files.roots.push(folder.into());
    let mut components = IndexMap::new();
    let mut unknown = Vec::new();
    let configs = options.config.take();
    for (name, class) in std::mem::take(&mut contents.networks) {
        options.config = configs.as_ref().map(|configs| configs.join(&name));
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
            let path = folder.join("model_index.json");
            Err(ImportError::UnknownPipelineClasses { path, classes: unknown })
        }
    }
}

//! `dmdx-import convert`: one component to one file, a pipeline to a folder of the same layout.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use dmdx_graph::store::{self, Existing, NewFolder, parts};

use crate::component::Component;
use crate::defects::shortened;
use crate::error::{ImportError, Result};
use crate::graph_file::{self, Model, WriteOptions};
use crate::hf::tokenizer;
use crate::import::{Imported, import_any};
use crate::options::{ImportOptions, Nonfinite};
use crate::pipeline::Pipeline;

/// What a conversion wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The files, sorted.
    pub files: Vec<PathBuf>,
    /// What the user should know: above all what was assumed, and which tensors were not used.
    pub notes: Vec<String>,
}

/// Converts a component to the file `to`, or a pipeline to the folder `to`, and returns what was written.
///
/// A pipeline becomes a folder of the diffusers layout in which every network's weights are one converted file beside
/// its `config.json`; scheduler and tokenizers are copied. The folder appears complete or not at all and must not exist.
///
/// # Errors
/// As [`crate::import`] and [`graph_file::write`].
pub fn convert(from: &Path, to: &Path, options: &ImportOptions, write: WriteOptions<'_>) -> Result<Written> {
    check_place(to, write.force)?;
    // Nothing is told about NaN values here: the weights are read once, while they are written.
    let mut options = options.clone();
    if options.nonfinite == Nonfinite::Count {
        options.nonfinite = Nonfinite::Skip;
    }
    match import_any(from, &options)? {
        Imported::Pipeline(pipeline) => convert_pipeline(&pipeline, to, &options, write.stop),
        Imported::Component(component) => {
            graph_file::write(to, Model::from(&*component), write)?;
            Ok(Written { files: vec![to.into()], notes: notes("", &component).collect() })
        }
    }
}

/// Before the work, and before it is known whether a file or a folder is to be written.
fn check_place(to: &Path, force: bool) -> Result<()> {
    if to.is_dir() {
        return Err(ImportError::FolderExists { path: to.into() });
    }
    match to.symlink_metadata() {
        Ok(_) => Ok(store::check_file(to, if force { Existing::Replace } else { Existing::Keep })?),
        Err(_) => Ok(store::check_folder(to, Existing::Keep)?),
    }
}

fn convert_pipeline(pipeline: &Pipeline, to: &Path, options: &ImportOptions, stop: Option<&AtomicBool>) -> Result<Written> {
    let fail = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => ImportError::FolderExists { path: to.into() },
        _ => ImportError::Write { path: to.into(), error },
    };
    // --force replaces files; a whole folder of the user's is never removed.
    if to.symlink_metadata().is_ok() {
        return Err(ImportError::FolderExists { path: to.into() });
    }
    let new = NewFolder::create(to).map_err(fail)?;
    // The error of a file in the temporary folder would name a place that is gone.
    let names = write_pipeline(pipeline, new.path(), "", options, stop).map_err(|error| relocated(error, to))?;
    new.publish(Existing::Keep).map_err(fail)?;
    let files = names.into_iter().map(|name| to.join(name)).collect();
    let of_networks = pipeline.components.iter().flat_map(|(folder, component)| notes(folder, component));
    Ok(Written { files, notes: pipeline.notes.iter().cloned().chain(of_networks).collect() })
}

/// What the user should know of one network.
fn notes<'a>(folder: &'a str, component: &'a Component) -> impl Iterator<Item = String> + 'a {
    let unused = &component.report.unused;
    let unused =
        (!unused.is_empty()).then(|| format!("{} tensor(s) of the file are not used: {}", unused.len(), shortened(unused)));
    let named = move |note: String| if folder.is_empty() { note } else { format!("{folder}: {note}") };
    component.report.notes.iter().cloned().chain(unused).map(named)
}

/// Writes a pipeline into a folder that nobody sees yet, without the weights of the network `left_out`, and gives the paths
/// of the files in it, sorted.
///
/// # Errors
/// As [`convert`].
pub fn write_pipeline(
    pipeline: &Pipeline,
    folder: &Path,
    left_out: &str,
    options: &ImportOptions,
    stop: Option<&AtomicBool>,
) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (name, bytes) in small_files(pipeline, options)? {
        let path = folder.join(&name);
        parts::put(&path, &bytes).map_err(|error| ImportError::Write { path, error })?;
        names.push(name);
    }
    for (place, component) in pipeline.components.iter().filter(|(place, _)| *place != left_out) {
        if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(ImportError::Interrupted { path: folder.into() });
        }
        let name = format!("{place}/{}", weights_name(component));
        graph_file::write(&folder.join(&name), Model::from(component), WriteOptions { force: false, stop })?;
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}

/// Everything that is not weights: `model_index.json`, configurations, scheduler and tokenizers, by relative path.
fn small_files(pipeline: &Pipeline, options: &ImportOptions) -> Result<Vec<(String, Vec<u8>)>> {
    let texts = pipeline.texts.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes()));
    let mut files: Vec<(String, Vec<u8>)> = texts.collect();
    for (folder, component) in &pipeline.components {
        files.push((format!("{folder}/config.json"), component.config_text.clone().into_bytes()));
    }
    for (folder, path) in &pipeline.tokenizers {
        for (name, bytes) in tokenizer::read(path, &options.limits, &options.files)? {
            files.push((format!("{folder}/{name}"), bytes));
        }
    }
    Ok(files)
}

fn weights_name(component: &Component) -> &'static str {
    match component.config.get("_class_name") {
        Some(_) => "diffusion_pytorch_model.safetensors",
        None => "model.safetensors",
    }
}

fn relocated(error: ImportError, to: &Path) -> ImportError {
    match error {
        ImportError::Write { error, .. } => ImportError::Write { path: to.into(), error },
        ImportError::Interrupted { .. } => ImportError::Interrupted { path: to.into() },
        other => other,
    }
}

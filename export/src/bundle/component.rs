//! One network alone to a folder with its ONNX files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use dmdx_graph::store::parts;
use dmdx_importer::Component;
use dmdx_runtime::manifest::Verification;

use super::destination::Destination;
use super::{Stage, write_verified};
use crate::error::{Result, io};
use crate::model::GraphReport;
use crate::onnx::WriteOptions;
use crate::options::{GraphOptions, Names};
use crate::targets::Target;
use crate::verify::{Sizes, Verifier, WrittenModel, run_sizes};

/// How one network is exported.
pub struct ComponentOptions<'a> {
    /// What the files are written for.
    pub target: &'static Target,
    /// When weights go to files of their own.
    pub write: WriteOptions,
    /// Proves the files equal to their source before anything is kept.
    pub verifier: Option<&'a Verifier>,
    /// Replaces an existing export.
    pub force: bool,
    /// Raised by an interrupt.
    pub cancelled: Option<&'a AtomicBool>,
    /// Called at every step.
    pub progress: &'a mut dyn FnMut(Stage<'_>),
}

/// What was exported.
#[derive(Clone, Debug)]
pub struct ComponentReport {
    /// The folder.
    pub folder: PathBuf,
    /// By part (`unet`, `vae_encoder`, …): files, counts, measured errors.
    pub parts: BTreeMap<String, (GraphReport, Vec<Verification>)>,
}

/// Writes a network that is no whole pipeline: `config.json` and `model.onnx`, in a folder per part if it has several (an
/// autoencoder). Names of inputs and outputs are those of [`Names::separated`].
///
/// # Errors
/// As [`super::export_bundle`].
pub fn export_component(component: &Component, out: &Path, options: ComponentOptions<'_>) -> Result<ComponentReport> {
    let destination = Destination::prepare(out, options.force, "config.json")?;
    // What is unfinished has a name that nobody will ever see.
    let unfinished = destination.path().to_path_buf();
    fill(component, destination, out, options).map_err(|error| error.renamed(&unfinished, out))
}

fn fill(component: &Component, destination: Destination, out: &Path, options: ComponentOptions<'_>) -> Result<ComponentReport> {
    let config = destination.path().join("config.json");
    parts::put(&config, component.config_text.as_bytes()).map_err(io(&config, "written"))?;
    let mut parts = BTreeMap::new();
    for (name, graph) in &component.parts {
        let folder = if component.parts.len() == 1 { destination.path().to_path_buf() } else { destination.path().join(name) };
        std::fs::create_dir_all(&folder).map_err(io(&folder, "written"))?;
        let path = folder.join("model.onnx");
        let graph_options = GraphOptions { target: options.target, names: Names::separated(graph), write: options.write };
        let model = WrittenModel { component: name, graph, options: &graph_options, path: &path };
        let runs = run_sizes(graph, &Sizes::new());
        let (report, measured) = write_verified(&model, options.verifier, &runs, options.cancelled, options.progress)?;
        parts.insert(name.clone(), (report, measured.unwrap_or_default()));
    }
    super::stop_if(options.cancelled)?;
    destination.publish()?;
    Ok(ComponentReport { folder: out.into(), parts })
}

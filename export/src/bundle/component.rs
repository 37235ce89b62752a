//! One network alone to a folder with its ONNX files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use dmdx_graph::store::parts;
use dmdx_graph::{Graph, Weight};
use dmdx_importer::{Component, provenance};
use dmdx_runtime::manifest::Provenance;

use super::destination::Destination;
use super::record::{self, ComponentRecord};
use super::{Stage, about, hash, verify, write_checked};
use crate::error::{Result, io};
use crate::interface::published;
use crate::model::{GraphReport, Sharing, export_sharing};
use crate::onnx::WriteOptions;
use crate::options::GraphOptions;
use crate::targets::Target;
use crate::verify::{Sizes, Verifier, WrittenModel, run_sizes};

/// How one network is exported.
pub struct ComponentOptions<'a> {
    /// The folder or file that the component was imported from.
    pub source: &'a Path,
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
    /// Written files and checker counts by part (`unet`, `vae_encoder`, …).
    pub models: BTreeMap<String, GraphReport>,
    /// What `dmdx_component.json` says: hashes, measured errors, source.
    pub record: ComponentRecord,
}

/// Writes a network that is no whole pipeline: `config.json` and `model.onnx`, in a folder per part if it has several (an
/// autoencoder), or `<part>.onnx` beside one data file if these have weights in common. Inputs and outputs have optimum's names, as in bundles.
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
    (options.progress)(Stage::Hashing);
    let provenance = Provenance {
        tool: super::TOOL.into(),
        source: super::display_name(options.source),
        source_sha256: provenance::sha256(options.source)?,
        licence: String::new(),
        assumed: None,
    };
    let mut record = ComponentRecord::new(&component.class, super::target_record(options.target), provenance);
    let parts = component.parts.iter().map(|(name, graph)| {
        let (graph, names) = published(name, graph)?;
        let about = about::of_source(name, &record.provenance.source, &record.provenance.source_sha256, "");
        let graph_options = GraphOptions { target: options.target, names, about, write: options.write };
        let path = match (component.parts.len(), shares_weights(component)) {
            (1, _) => destination.path().join("model.onnx"),
            // Models may name data of their own folder only.
            (_, true) => destination.path().join(format!("{name}.onnx")),
            (_, false) => destination.path().join(name).join("model.onnx"),
        };
        Ok((name.as_str(), graph, graph_options, path))
    });
    let parts = parts.collect::<Result<Vec<_>>>()?;
    let written = parts.iter().map(|(name, graph, options, path)| WrittenModel { component: name, graph, options, path });
    let written: Vec<WrittenModel<'_>> = written.collect();
    let reports = match shares_weights(component) {
        true => {
            super::stop_if(options.cancelled)?;
            written.iter().for_each(|model| (options.progress)(Stage::Writing(model.component)));
            let all = written.iter().map(|model| Sharing { graph: model.graph, path: model.path, options: model.options });
            export_sharing(&all.collect::<Vec<_>>(), &destination.path().join("model.onnx_data"))?
        }
        false => written.iter().map(|model| write_checked(model, options.cancelled, options.progress)).collect::<Result<_>>()?,
    };
    let mut models = BTreeMap::new();
    for (model, report) in written.iter().zip(reports) {
        let runs = run_sizes(model.graph, &Sizes::new());
        let measured = verify(model, options.verifier, &runs, options.cancelled, options.progress)?;
        models.insert(model.component.to_string(), report);
        record.verification.extend(measured.map(|measured| (model.component.to_string(), measured)));
    }
    super::stop_if(options.cancelled)?;
    (options.progress)(Stage::Hashing);
    record.files = hash::records(destination.path())?;
    let path = destination.path().join(record::FILE_NAME);
    parts::put(&path, record.to_json().as_bytes()).map_err(io(&path, "written"))?;
    destination.publish()?;
    Ok(ComponentReport { folder: out.into(), models, record })
}

/// Whether two parts have a weight in common.
fn shares_weights(component: &Component) -> bool {
    let weights = |graph: &Graph| graph.params().values().filter_map(|param| param.weight.clone()).collect::<Vec<_>>();
    let all: Vec<Vec<Weight>> = component.parts.values().map(weights).collect();
    let in_common = |a: &[Weight], b: &[Weight]| a.iter().any(|one| b.iter().any(|other| one.is_same(other)));
    all.iter().enumerate().any(|(i, a)| all[i + 1..].iter().any(|b| in_common(a, b)))
}

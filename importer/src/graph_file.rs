//! A converted model: one safetensors file with the weights under the reference library's names, and with the class,
//! the configuration and the canonical text of every graph in the header's `__metadata__`. Any safetensors tool reads
//! the weights; `format` is what PyTorch's loaders ask for.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use dmdx_graph::store::{Existing, NewFile, PlaceError};
use dmdx_graph::weights::byte_length;
use dmdx_graph::{Graph, Weight, text};
use indexmap::IndexMap;
use serde_json::json;

use crate::arch::{self, ArchGraphs};
use crate::bind::bind;
use crate::component::Component;
use crate::error::{ConvertedFault, ImportError, Result};
use crate::hf::json::{self, JsonFile};
use crate::hf::safetensors::{SafetensorsWriter, TensorEntry, safetensors_dtype};
use crate::hf::tensors::Tensors;
use crate::limits::within;
use crate::options::ImportOptions;

const VERSION_KEY: &str = "dmdx.version";
const VERSION: &str = "1";
const CLASS_KEY: &str = "dmdx.class";
const CONFIG_KEY: &str = "dmdx.config";
const PARTS_KEY: &str = "dmdx.parts";
const GRAPH_KEY: &str = "dmdx.graph.";
/// Most parts of one network.
const MOST_PARTS: usize = 16;
/// Bytes between two looks at the stop flag.
const CHUNK: usize = 8 << 20;

/// How a file is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions<'a> {
    /// Replace an existing file.
    pub force: bool,
    /// Stop, leaving nothing behind, when this becomes true.
    pub stop: Option<&'a AtomicBool>,
}

/// What a converted file holds.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    /// The reference class.
    pub class: &'a str,
    /// The text of its `config.json`.
    pub config_text: &'a str,
    /// The graphs by part; every parameter has its weight.
    pub parts: &'a IndexMap<String, Graph>,
}

impl<'a> From<&'a Component> for Model<'a> {
    fn from(component: &'a Component) -> Self {
        Self { class: &component.class, config_text: &component.config_text, parts: &component.parts }
    }
}

/// Writes a model into one file, tensor by tensor: a temporary file in the same folder, synced, then renamed. The same
/// model gives the same bytes.
///
/// # Errors
/// When the file exists and is not to be replaced or is no regular file, a parameter has no weight, or the disk refuses;
/// nothing is left.
pub fn write(path: &Path, model: Model<'_>, options: WriteOptions<'_>) -> Result<()> {
    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => PlaceError::Exists(path.into()).into(),
        _ => ImportError::Write { path: path.into(), error },
    };
    let existing = if options.force { Existing::Replace } else { Existing::Keep };
    let mut file = NewFile::create(path, existing).map_err(fail)?;
    write_stream(&mut file, path, model, options.stop)?;
    file.publish().map_err(fail)
}

/// Writes a model to anything; `path` is for messages.
///
/// # Errors
/// As [`write()`].
pub fn write_stream(out: &mut impl Write, path: &Path, model: Model<'_>, stop: Option<&AtomicBool>) -> Result<()> {
    let fail = |error| ImportError::Write { path: path.into(), error };
    let weights = collect(path, model.parts)?;
    let entry = |(name, weight): &(&str, &Weight)| TensorEntry {
        name: (*name).into(),
        dtype: safetensors_dtype(weight.dtype()),
        shape: weight.shape().to_vec(),
    };
    let mut writer = SafetensorsWriter::begin(out, &metadata(model), weights.iter().map(entry).collect()).map_err(fail)?;
    for (_, weight) in weights {
        writer.tensor().map_err(fail)?;
        weight.with_bytes(|bytes| {
            for chunk in bytes.chunks(CHUNK) {
                if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                    return Err(ImportError::Interrupted { path: path.into() });
                }
                writer.piece(chunk).map_err(fail)?;
            }
            Ok(())
        })?;
    }
    writer.finish().and_then(|out| out.flush()).map_err(fail)
}

/// Every weight once, largest element size first (so that all are aligned), then by name.
fn collect<'a>(path: &Path, parts: &'a IndexMap<String, Graph>) -> Result<Vec<(&'a str, &'a Weight)>> {
    let mut weights: BTreeMap<&str, &Weight> = BTreeMap::new();
    for (part, graph) in parts {
        for (name, param) in graph.params() {
            let fail = |fault| ImportError::Converted { path: path.into(), fault };
            let weight = param.weight.as_ref();
            let names = || (name.to_string(), part.clone());
            let weight = weight.ok_or_else(|| {
                let (param, part) = names();
                fail(ConvertedFault::NoWeight { param, part })
            })?;
            let other = *weights.entry(name).or_insert(weight);
            if !other.is_same(weight) && other.hash() != weight.hash() {
                let (param, part) = names();
                return Err(fail(ConvertedFault::OtherWeight { param, part }));
            }
        }
    }
    let mut weights: Vec<(&str, &Weight)> = weights.into_iter().collect();
    if let Some((name, _)) = weights.iter().find(|(_, weight)| byte_length(weight.dtype(), weight.shape()).is_none()) {
        return Err(ImportError::Converted { path: path.into(), fault: ConvertedFault::TooLarge { param: (*name).into() } });
    }
    weights.sort_by_key(|(_, weight)| std::cmp::Reverse(weight.dtype().size()));
    Ok(weights)
}

/// What the header says beside the tensors.
fn metadata(model: Model<'_>) -> BTreeMap<String, String> {
    let names: Vec<&String> = model.parts.keys().collect();
    let mut metadata = BTreeMap::from([
        ("format".to_string(), "pt".to_string()),
        (VERSION_KEY.into(), VERSION.into()),
        (CLASS_KEY.into(), model.class.into()),
        (CONFIG_KEY.into(), model.config_text.into()),
        (PARTS_KEY.into(), json!(names).to_string()),
    ]);
    for (part, graph) in model.parts {
        metadata.insert(format!("{GRAPH_KEY}{part}"), text::print(graph));
    }
    metadata
}

/// Whether the metadata of a safetensors file says that it holds a graph.
pub(crate) fn is_converted(metadata: &BTreeMap<String, String>) -> bool {
    metadata.contains_key(VERSION_KEY)
}

/// The component of a converted file: everything in it is checked as if a stranger had written it.
pub(crate) fn component(path: &Path, tensors: Tensors, options: &ImportOptions) -> Result<Component> {
    let metadata = &tensors.metadata;
    let fail = |fault| ImportError::Converted { path: path.into(), fault };
    let get = |key: &str| metadata.get(key).ok_or_else(|| fail(ConvertedFault::MissingKey { key: key.into() }));
    let version = get(VERSION_KEY)?;
    if version != VERSION {
        return Err(fail(ConvertedFault::Version { found: version.chars().take(20).collect(), known: VERSION }));
    }
    let config = get(CONFIG_KEY)?;
    within(path, "the configuration's size in bytes", config.len(), options.limits.config_bytes, "config_bytes")?;
    let value =
        json::parse_object(config, options.limits.json_depth).map_err(|fault| fail(ConvertedFault::Configuration(fault)))?;
    let names: Vec<String> = serde_json::from_str(get(PARTS_KEY)?).map_err(|error| fail(ConvertedFault::Parts(error)))?;
    if names.is_empty() || names.len() > MOST_PARTS {
        return Err(fail(ConvertedFault::PartCount { found: names.len(), most: MOST_PARTS }));
    }
    let mut parts: Vec<(String, Graph)> = Vec::new();
    for name in names {
        if parts.iter().any(|(other, _)| *other == name) {
            return Err(fail(ConvertedFault::PartTwice { part: name }));
        }
        let source = get(&format!("{GRAPH_KEY}{name}"))?;
        within(path, "the graph's size in bytes", source.len(), options.limits.graph_bytes, "graph_bytes")?;
        let graph = text::parse(source).map_err(|error| ImportError::from(error).at(path))?;
        parts.push((name, graph));
    }
    fits_frames(&parts, options.frames).map_err(fail)?;
    let class = get(CLASS_KEY)?.clone();
    let mut network = ArchGraphs { class, parts, ignored: Vec::new(), renames: Vec::new(), warnings: tensors.notes.clone() };
    let report = bind(path, &mut network, &tensors.weights, options)?;
    if !report.unused.is_empty() {
        return Err(fail(ConvertedFault::Unused { tensors: report.unused }));
    }
    let config = JsonFile { text: config.clone(), value };
    Ok(Component::new(network, config, report))
}

/// A converted graph stays what it is: the number of frames that is asked for has to be that of one of its parts.
fn fits_frames(parts: &[(String, Graph)], wanted: Option<usize>) -> std::result::Result<(), ConvertedFault> {
    let Some(wanted) = wanted else { return Ok(()) };
    let inputs = parts.iter().flat_map(|(_, graph)| graph.inputs().iter().map(|(name, id)| (name, &graph.value(*id).ty.shape)));
    let sizes = inputs.map(|(name, shape)| (name, shape.0.iter().map(|dim| dim.known().unwrap_or(0)).collect::<Vec<_>>()));
    let frames: Vec<usize> = sizes.filter_map(|(name, sizes)| arch::frames_of_input(name, &sizes)).collect();
    match frames.first() {
        Some(&found) if !frames.contains(&wanted) => Err(ConvertedFault::Frames { found, wanted }),
        _ => Ok(()),
    }
}

//! A model file, walked and checked as a whole before anything is built from it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dmdx_graph::Weight;
use dmdx_graph::weights::MappedFile;

use super::check::{self, Defects};
use super::scan::{self, Stop};
use super::shown::shown;
use super::tensor::{self, Files};
use super::view;
use crate::error::{ImportError, Result};
use crate::hf::first_bytes::{head, in_place_of_a_file};
use crate::limits::within;
use crate::options::ImportOptions;
use crate::path::{open_given, split};

/// The class that stands for any ONNX model.
pub(super) const CLASS: &str = "OnnxModel";

/// The metadata that tells sizes in the symbols of a graph.
const SIZES: &str = "dmdx.sizes";

/// No graph has more symbols.
const MOST_SIZES: usize = 64;

/// A model that keeps every rule.
#[derive(Clone, Debug)]
pub struct OnnxModel {
    /// The file.
    pub path: PathBuf,
    /// IR version.
    pub ir_version: i64,
    /// Version of the standard operators.
    pub opset: i64,
    /// Who wrote the file, as it says.
    pub producer: String,
    /// The tensors of the outermost graph, lazy.
    pub initializers: BTreeMap<String, Weight>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// What sizes that the file names are in the symbols of the graph it was written from, as this project's exports say.
    pub(super) sizes: BTreeMap<String, String>,
    pub(super) files: Files,
    /// The outermost graph in the model file.
    graph: Range<usize>,
    pub(super) options: ImportOptions,
}

/// Reads a model file and checks all of it, external data included.
///
/// # Errors
/// [`ImportError::Onnx`] with every defect of the graph; [`ImportError::Limit`] for what is beyond a limit.
pub fn open(path: &Path, options: &ImportOptions) -> Result<OnnxModel> {
    let open = open_given(path)?;
    check_size(path, open.length, options)?;
    if let Some(kind) = in_place_of_a_file(&String::from_utf8_lossy(&head(&open)?)) {
        return Err(ImportError::Foreign { path: path.into(), kind });
    }
    let file = MappedFile::new(path, &open.file).map_err(|error| ImportError::Read { path: path.into(), error })?;
    read(file, Some(split(path).0.into()), options)
}

/// As [`open`] for a model in memory, which has no external data. `path` is for messages.
///
/// # Errors
/// As [`open`].
pub fn from_bytes(path: &Path, bytes: Vec<u8>, options: &ImportOptions) -> Result<OnnxModel> {
    check_size(path, bytes.len() as u64, options)?;
    read(MappedFile::in_memory(path, bytes), None, options)
}

fn check_size(path: &Path, length: u64, options: &ImportOptions) -> Result<()> {
    let limit = options.limits.model_bytes.min(options.limits.mapped_bytes);
    within(path, "the size in bytes", length, limit, "model_bytes")
}

fn read(file: MappedFile, folder: Option<PathBuf>, options: &ImportOptions) -> Result<OnnxModel> {
    let path = file.path().to_path_buf();
    let refuse = |defects: Vec<String>, more| ImportError::Onnx { path: path.clone(), defects, more };
    let found = scan::scan(file.bytes(), &options.limits).map_err(|stop| match stop {
        Stop::Broken(reason) => refuse(vec![reason], 0),
        Stop::Limit { what, value, limit, setting } => {
            ImportError::Limit { path: path.clone(), what: what.into(), value: value.into(), limit: limit.into(), setting }
        }
    })?;
    let mut defects = Defects::default();
    found.refused.iter().for_each(|what| defects.add(format!("it holds {what}, which are not read")));
    let model = Arc::new(file);
    let bytes = model.bytes();
    let mapped = bytes.len() as u64;
    let mut files = Files { model: model.clone(), folder, external: BTreeMap::new(), mapped, checksums: false };
    let opset = check::versions(bytes, &mut defects);
    let graph = view::fields(bytes).find(|(number, _, _)| *number == 7);
    let Some(graph) = graph.map(|(_, start, value)| start..start + view::bytes(value).len()) else {
        defects.add("it holds no graph".into());
        return Err(refuse(defects.list, defects.more));
    };
    check::graph(bytes, &bytes[graph.clone()], &found, &mut files, options, &mut defects);
    if !defects.list.is_empty() {
        return Err(refuse(defects.list, defects.more));
    }
    let mut initializers = BTreeMap::new();
    for tensor in view::repeated(&bytes[graph.clone()], 5).map(view::bytes) {
        let name = tensor::name(tensor);
        let weight = files.weight(tensor, options);
        let weight = weight.map_err(|reason| refuse(vec![format!("the initializer `{}` {reason}", shown(name))], 0))?;
        initializers.insert(name.to_string(), weight);
    }
    let notes = files.checksums.then(|| "the checksums of external data are not compared".to_string());
    Ok(OnnxModel {
        ir_version: view::repeated(bytes, 1).last().map_or(0, view::integer),
        opset,
        producer: view::repeated(bytes, 2).last().map_or("", view::text).to_string(),
        initializers,
        notes: notes.into_iter().collect(),
        sizes: recorded_sizes(bytes),
        path,
        files,
        graph,
        options: options.clone(),
    })
}

/// The entries `name=expression` of the metadata that exports of this project carry; none in any other file.
fn recorded_sizes(model: &[u8]) -> BTreeMap<String, String> {
    let field = |entry, number| view::repeated(entry, number).last().map_or("", view::text);
    let entries = view::repeated(model, 14).map(view::bytes).filter(|entry| field(entry, 1) == SIZES);
    let pairs = entries.flat_map(|entry| field(entry, 2).split(',')).filter_map(|pair| pair.split_once('='));
    pairs.take(MOST_SIZES).map(|(name, size)| (name.to_string(), size.to_string())).collect()
}

impl OnnxModel {
    pub(super) fn graph_bytes(&self) -> &[u8] {
        self.files.model.bytes().get(self.graph.clone()).unwrap_or_default()
    }
}

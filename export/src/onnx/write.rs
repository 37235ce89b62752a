//! Writes a model with its weights, one tensor in memory at a time, and replaces the destination only when all is on disk.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use dmdx_graph::Weight;
use dmdx_graph::store::{Existing, NewFile};
use prost::Message;

use super::model::{Model, element_type, pair};
use super::proto::{DataLocation, TensorProto};
use crate::error::{ExportError, Result, io};

/// Every external tensor starts at a multiple of this many bytes.
pub(crate) const DATA_ALIGNMENT: u64 = 64;

/// External tensors of at least this many bytes start on a page of 4 KiB, so that readers can map them.
const PAGE_ALIGNED_FROM: u64 = 1 << 20;

/// Tensors smaller than this many bytes stay in the model file even when it has external data.
const INLINE_BELOW: usize = 1 << 10;

const PAGE: u64 = 4096;

/// protobuf's limit on one message.
const MESSAGE_LIMIT: usize = (2 << 30) - 1;

/// How a model is written.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions {
    /// Weights of more than this many bytes in total go to `<name>.onnx_data` beside the model. The default is 64 MiB: up
    /// to there one self-contained file is handier and its copies while parsing do not hurt.
    pub external_above: usize,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { external_above: 64 << 20 }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteReport {
    /// The files, the model first.
    pub files: Vec<PathBuf>,
    /// Bytes in the model file.
    pub model_bytes: u64,
    /// Bytes in the data file, 0 without one.
    pub data_bytes: u64,
}

/// Writes `model` to `path` (and `<path>_data`), through temporary files in the same folder that are synced and renamed.
///
/// # Errors
/// When the disk refuses or the model file would pass protobuf's limit; then no new file is left behind.
pub(crate) fn write_model(model: &Model, path: &Path, options: WriteOptions) -> Result<WriteReport> {
    let total: usize = model.weights.values().map(Weight::byte_length).sum();
    let data_path = data_path(path);
    let mut data = match total > options.external_above {
        true => Some(DataFile::create(&data_path)?),
        false => None,
    };
    let (file, model_bytes) = sealed(model, path, data.as_mut())?;
    // Nothing is renamed before everything is synced; the data first, so that a model never lacks its data.
    let mut files = vec![path.to_path_buf()];
    let mut data_bytes = 0;
    if let Some(data) = data {
        data_bytes = data.publish()?;
        files.push(data_path);
    }
    file.publish().map_err(io(path, "written"))?;
    Ok(WriteReport { files, model_bytes, data_bytes })
}

/// As [`write_model`] for models in one folder whose weights lie in the one file `data_path`, each of them once.
///
/// # Errors
/// As [`write_model`].
pub(crate) fn write_sharing(models: &[(&Model, &Path)], data_path: &Path) -> Result<Vec<WriteReport>> {
    let mut data = DataFile::create(data_path)?;
    data.known = Some(BTreeMap::new());
    let sealed = models.iter().map(|(model, path)| sealed(model, path, Some(&mut data))).collect::<Result<Vec<_>>>()?;
    let mut data_bytes = data.publish()?;
    let mut reports = Vec::new();
    for ((file, model_bytes), (_, path)) in sealed.into_iter().zip(models) {
        file.publish().map_err(io(path, "written"))?;
        reports.push(WriteReport { files: vec![path.to_path_buf(), data_path.into()], model_bytes, data_bytes });
        // Whose bytes they are is told once.
        data_bytes = 0;
    }
    Ok(reports)
}

/// The model file, on disk and not yet in place, and its size. Large weights go to `data`.
fn sealed(model: &Model, path: &Path, mut data: Option<&mut DataFile>) -> Result<(NewFile, u64)> {
    let mut initializers = Vec::with_capacity(model.weights.len() + model.constants.len());
    for (name, weight) in &model.constants {
        initializers.push(inline(name, weight));
    }
    for (name, weight) in &model.weights {
        initializers.push(match &mut data {
            Some(data) if weight.byte_length() >= INLINE_BELOW => data.append(name, weight)?,
            _ => inline(name, weight),
        });
    }
    initializers.sort_by(|a, b| a.name.cmp(&b.name));
    let mut graph = model.graph.clone();
    graph.initializer = initializers;
    let message = model.message(graph);
    let model_bytes = message.encoded_len();
    if model_bytes > MESSAGE_LIMIT {
        return Err(ExportError::TooLarge { path: path.into(), bytes: model_bytes });
    }
    let mut file = NewFile::create(path, Existing::Replace).map_err(io(path, "written"))?;
    file.write_all(&message.encode_to_vec()).and_then(|()| file.seal()).map_err(io(path, "written"))?;
    Ok((file, model_bytes as u64))
}

/// `model.onnx` → `model.onnx_data`, the name that optimum uses.
pub(crate) fn data_path(model: &Path) -> PathBuf {
    let mut name = model.as_os_str().to_owned();
    name.push("_data");
    name.into()
}

fn inline(name: &str, weight: &Weight) -> TensorProto {
    TensorProto { raw_data: Some(weight.with_bytes(<[u8]>::to_vec)), ..header(name, weight) }
}

fn header(name: &str, weight: &Weight) -> TensorProto {
    TensorProto {
        dims: weight.shape().iter().map(|&size| size as i64).collect(),
        data_type: element_type(weight.dtype()) as i32,
        name: name.into(),
        ..TensorProto::default()
    }
}

/// The data file while it grows.
struct DataFile {
    file: NewFile,
    length: u64,
    path: PathBuf,
    location: String,
    /// Where weights lie that are there already, by their hash; `None` where every weight is stored for itself.
    known: Option<BTreeMap<[u8; 32], u64>>,
}

impl DataFile {
    fn create(path: &Path) -> Result<Self> {
        let file = NewFile::create(path, Existing::Replace).map_err(io(path, "written"))?;
        let location = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { file, length: 0, path: path.into(), location, known: None })
    }

    fn append(&mut self, name: &str, weight: &Weight) -> Result<TensorProto> {
        let bytes = weight.byte_length() as u64;
        let key = self.known.is_some().then(|| weight.hash());
        let offset = match key.and_then(|key| self.known.as_ref()?.get(&key).copied()) {
            Some(offset) => offset,
            None => self.add(weight, bytes)?,
        };
        if let (Some(known), Some(key)) = (&mut self.known, key) {
            known.insert(key, offset);
        }
        let external_data =
            vec![pair("location", &self.location), pair("offset", &offset.to_string()), pair("length", &bytes.to_string())];
        Ok(TensorProto { external_data, data_location: Some(DataLocation::External as i32), ..header(name, weight) })
    }

    /// Appends a weight and returns where it begins.
    fn add(&mut self, weight: &Weight, bytes: u64) -> Result<u64> {
        let alignment = if bytes >= PAGE_ALIGNED_FROM { PAGE } else { DATA_ALIGNMENT };
        let offset = self.length.next_multiple_of(alignment);
        let padding = vec![0u8; (offset - self.length) as usize];
        self.file
            .write_all(&padding)
            .and_then(|()| weight.with_bytes(|bytes| self.file.write_all(bytes)))
            .map_err(io(&self.path, "written"))?;
        self.length = offset + bytes;
        Ok(offset)
    }

    /// Puts the file in place and returns its size.
    fn publish(self) -> Result<u64> {
        self.file.publish().map_err(io(&self.path, "written"))?;
        Ok(self.length)
    }
}

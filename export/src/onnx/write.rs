//! Writes a model with its weights, one tensor in memory at a time, and replaces the destination only when all is on disk.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use dmdx_graph::Weight;
use prost::Message;
use tempfile::NamedTempFile;

use super::model::{Model, element_type, pair};
use super::proto::{DataLocation, ModelProto, TensorProto};
use crate::error::{ExportError, Result, io};

/// Every external tensor starts at a multiple of this many bytes.
pub const DATA_ALIGNMENT: u64 = 64;

/// External tensors of at least this many bytes start on a page of 4 KiB, so that readers can map them.
pub const PAGE_ALIGNED_FROM: u64 = 1 << 20;

/// Tensors smaller than this many bytes stay in the model file even when it has external data.
pub const INLINE_BELOW: usize = 1 << 10;

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
pub fn write_model(model: &Model, path: &Path, options: WriteOptions) -> Result<WriteReport> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let total: usize = model.weights.values().map(Weight::byte_length).sum();
    let data_path = data_path(path);
    let mut data = match total > options.external_above {
        true => Some(DataFile::create(folder, &data_path)?),
        false => None,
    };
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
    let file = write_message(&message, folder, path)?;
    // Nothing is renamed before everything is synced; the data first, so that a model never lacks its data.
    let mut files = vec![path.to_path_buf()];
    let mut data_bytes = 0;
    if let Some(data) = data {
        data_bytes = data.length;
        data.finish(&data_path)?;
        files.push(data_path);
    }
    file.persist(path).map_err(|e| io(path, "written")(e.error))?;
    sync_folder(folder)?;
    Ok(WriteReport { files, model_bytes: model_bytes as u64, data_bytes })
}

/// `model.onnx` → `model.onnx_data`, the name that optimum uses.
pub(super) fn data_path(model: &Path) -> PathBuf {
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

fn write_message(message: &ModelProto, folder: &Path, path: &Path) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(folder).map_err(io(path, "written"))?;
    file.write_all(&message.encode_to_vec()).map_err(io(path, "written"))?;
    seal(file.as_file()).map_err(io(path, "written"))?;
    Ok(file)
}

/// Gives the file the mode of ordinary files and waits until it is on disk.
fn seal(file: &File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.sync_all()
}

/// Makes the renames in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    // Only Unix can sync a folder; elsewhere the rename itself has to do.
    if cfg!(unix) {
        File::open(folder).and_then(|f| f.sync_all()).map_err(io(folder, "written"))?;
    }
    Ok(())
}

/// The data file while it grows.
struct DataFile {
    file: BufWriter<NamedTempFile>,
    length: u64,
    path: PathBuf,
    location: String,
}

impl DataFile {
    fn create(folder: &Path, path: &Path) -> Result<Self> {
        let file = NamedTempFile::new_in(folder).map_err(io(path, "written"))?;
        let location = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { file: BufWriter::new(file), length: 0, path: path.into(), location })
    }

    fn append(&mut self, name: &str, weight: &Weight) -> Result<TensorProto> {
        let bytes = weight.byte_length() as u64;
        let alignment = if bytes >= PAGE_ALIGNED_FROM { PAGE } else { DATA_ALIGNMENT };
        let offset = self.length.next_multiple_of(alignment);
        let padding = vec![0u8; (offset - self.length) as usize];
        self.file
            .write_all(&padding)
            .and_then(|()| weight.with_bytes(|bytes| self.file.write_all(bytes)))
            .map_err(io(&self.path, "written"))?;
        self.length = offset + bytes;
        let external_data =
            vec![pair("location", &self.location), pair("offset", &offset.to_string()), pair("length", &bytes.to_string())];
        Ok(TensorProto { external_data, data_location: Some(DataLocation::External as i32), ..header(name, weight) })
    }

    fn finish(self, path: &Path) -> Result<()> {
        let file = self.file.into_inner().map_err(|e| io(path, "written")(e.into_error()))?;
        seal(file.as_file()).map_err(io(path, "written"))?;
        file.persist(path).map_err(|e| io(path, "written")(e.error))?;
        Ok(())
    }
}

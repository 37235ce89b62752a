//! PyTorch's pickle files (`.bin`, `.ckpt`, `.pt`), of which nothing but tensors is read, and only on request.
//!
//! A pickle is a program. Before the reader (the crate `pytorch-reader`, which never runs anything either) sees a byte,
//! the container is checked for compressed or overlapping entries and every instruction of the program is walked over:
//! its size, that it names nothing beyond what PyTorch writes for tensors, and what its values take with all copies.
//! Tensors are read into memory, at most twice the file's size together.

mod archive;
mod program;
mod sizes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dmdx_graph::weights::MappedFile;
use dmdx_graph::{DType, Weight};
use pytorch_reader::{PytorchReader, Tensor};

use crate::error::{ImportError, PickleFault, Result};
use crate::limits::{Limits, within};
use crate::path::OpenFile;
use crate::quantised;
use crate::tensor_file::TensorFile;

/// Bytes of a description that are fine in any file; in larger ones an eighth of the file is.
const SMALL_PROGRAM: u64 = 1 << 20;

/// How many times as large as a description its values may be in a file of little else. Those that torch.save writes are
/// 9 to 17 times as large: the reader keeps a copy of nearly everything.
const MOST_GROWTH: u64 = 20;

/// Keys under which training programs keep the weights, beside the optimiser's state and the like.
const WRAPPERS: [&str; 2] = ["state_dict.", "model_state_dict."];

/// Reads the tensors of an open file.
///
/// # Errors
/// When the file is damaged, is no archive or stream of `torch.save`, names anything but tensors, or exceeds a limit.
pub fn read(open: &OpenFile, limits: &Limits) -> Result<TensorFile> {
    let path = open.path.as_path();
    let fail = |fault| ImportError::PickleContents { path: path.into(), fault };
    within(path, "the size in bytes", open.length, limits.mapped_bytes, "mapped_bytes")?;
    let map = MappedFile::new(path, &open.file).map_err(|error| ImportError::Read { path: path.into(), error })?;
    check_program(path, map.bytes(), limits)?;
    // The reader's own sentences are about its inside, and may be several.
    let damaged = |error: &dyn std::fmt::Display| {
        let reason: String = error.to_string().chars().take(200).collect();
        let reason = reason.replace('\n', " ").replace(". ", "; ");
        fail(PickleFault::Reader { reason: reason.trim_end_matches('.').into() })
    };
    let reader = PytorchReader::new(same_file(open)).map_err(|error| damaged(&error))?;
    let (tensors, notes) = unwrapped(reader.into_tensors().into_iter().collect());
    if tensors.is_empty() {
        return Err(fail(PickleFault::NoTensors));
    }
    check_sizes(path, &tensors, open.length, limits)?;
    if let Some(refusal) = quantised::by_names(path, tensors.keys().map(String::as_str)) {
        return Err(refusal);
    }
    let mut weights = BTreeMap::new();
    for (name, tensor) in tensors {
        let unknown = || PickleFault::Dtype { tensor: name.clone(), dtype: format!("{:?}", tensor.dtype()) };
        let dtype = dtype_of(&tensor).ok_or_else(|| fail(unknown()))?;
        let bytes = tensor.read().map_err(|error| damaged(&error))?;
        let weight = Weight::owned(bytes.into(), dtype, tensor.shape().to_vec());
        let weight = weight.map_err(|reason| fail(PickleFault::Tensor { tensor: name.clone(), reason: reason.into() }))?;
        weights.insert(name, weight);
    }
    Ok(TensorFile { path: path.into(), file: Arc::new(map), tensors: weights, metadata: BTreeMap::new(), notes })
}

/// Finds the pickled programs of a file and walks over them.
fn check_program(path: &Path, bytes: &[u8], limits: &Limits) -> Result<()> {
    let fail = |fault| ImportError::PickleContents { path: path.into(), fault };
    let programs = match bytes {
        [b'P', b'K', ..] => vec![archive::program(bytes).map_err(fail)?],
        _ => program::stream(bytes).map_err(fail)?,
    };
    let mut length = 0u64;
    let described = programs.iter().map(|program| program.len() as u64).sum::<u64>();
    let mut room = SMALL_PROGRAM.max(2 * bytes.len() as u64).max(MOST_GROWTH * described);
    for program in programs {
        length = length.saturating_add(program.len() as u64);
        within(path, "the size of the pickled description in bytes", length, limits.pickle_bytes, "pickle_bytes")?;
        // Every byte of it may become a value in memory many times as large.
        if length > SMALL_PROGRAM.max(bytes.len() as u64 / 8) {
            return Err(fail(PickleFault::Description { described: length, length: bytes.len() }));
        }
        room -= program::check(program, room).map_err(fail)?;
    }
    Ok(())
}

/// The weights below a wrapper key, or everything.
fn unwrapped(tensors: BTreeMap<String, Tensor>) -> (BTreeMap<String, Tensor>, Vec<String>) {
    let Some(wrapper) = WRAPPERS.into_iter().find(|wrapper| tensors.keys().any(|name| name.starts_with(wrapper))) else {
        return (tensors, Vec::new());
    };
    let all = tensors.len();
    let inner = tensors.into_iter().filter_map(|(name, tensor)| Some((name.strip_prefix(wrapper)?.to_string(), tensor)));
    let inner: BTreeMap<String, Tensor> = inner.collect();
    let notes = match all - inner.len() {
        0 => Vec::new(),
        others => {
            let key = wrapper.trim_end_matches('.');
            vec![format!("{others} tensor(s) lie outside `{key}` (an optimiser's state, for instance) and are not read")]
        }
    };
    (inner, notes)
}

/// A view can be larger than what is stored: the sum is bounded before anything is read.
fn check_sizes(path: &Path, tensors: &BTreeMap<String, Tensor>, length: u64, limits: &Limits) -> Result<()> {
    within(path, "the number of tensors", tensors.len(), limits.tensors, "tensors")?;
    let mut total = 0u128;
    for (name, tensor) in tensors {
        within(path, "the length of a tensor's name", name.len(), limits.name_bytes, "name_bytes")?;
        within(path, "a tensor's number of dimensions", tensor.shape().len(), limits.rank, "rank")?;
        within(path, "the size of a tensor in bytes", tensor.byte_len(), limits.tensor_bytes, "tensor_bytes")?;
        total += tensor.byte_len() as u128;
    }
    if total > 2 * u128::from(length) {
        return Err(ImportError::PickleContents { path: path.into(), fault: PickleFault::Views { total, length } });
    }
    Ok(())
}

fn dtype_of(tensor: &Tensor) -> Option<DType> {
    use pytorch_reader::DType as Torch;
    Some(match tensor.dtype() {
        Torch::F64 => DType::F64,
        Torch::F32 => DType::F32,
        Torch::F16 => DType::F16,
        Torch::BF16 => DType::BF16,
        Torch::I64 => DType::I64,
        Torch::I32 => DType::I32,
        Torch::U8 => DType::U8,
        Torch::Bool => DType::Bool,
        _ => return None,
    })
}

/// A path to the file that was opened and checked, whatever lies at its path by now.
#[cfg(target_os = "linux")]
fn same_file(open: &OpenFile) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", open.file.as_raw_fd()))
}

#[cfg(not(target_os = "linux"))]
fn same_file(open: &OpenFile) -> PathBuf {
    open.path.clone()
}

//! One safetensors file: header checked in full before any of it is believed, tensors as ranges of the mapped file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dmdx_graph::weights::MappedFile;
use dmdx_graph::{DType, Weight};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::json;
use super::layout::{self, shown};
use crate::error::{ImportError, Result};
use crate::limits::Limits;
use crate::path::OpenFile;
use crate::tensor_file::TensorFile;

/// Bytes in front of the header that hold its length.
const PREFIX: usize = 8;
/// Nesting of a header: the object, a tensor, its shape.
const HEADER_DEPTH: usize = 3;

/// Maps an open file and checks its header: length, JSON, types, shapes, and offsets that cover the file exactly.
///
/// # Errors
/// With the file, the tensor and the rule that is broken.
pub fn read(open: &OpenFile, limits: &Limits) -> Result<TensorFile> {
    let path = open.path.as_path();
    if open.length > limits.mapped_bytes {
        return Err(over(path, "the size in bytes".into(), open.length.into(), limits.mapped_bytes, "mapped_bytes"));
    }
    read_mapped(MappedFile::new(path, &open.file).map_err(|error| ImportError::Read { path: path.into(), error })?, limits)
}

/// As [`read`] for a file that is mapped, or in memory.
///
/// # Errors
/// As [`read`].
pub fn read_mapped(map: MappedFile, limits: &Limits) -> Result<TensorFile> {
    let path = &map.path().to_path_buf();
    let header = header_text(path, map.bytes(), limits)?;
    let data_start = PREFIX + header.len();
    let described = check_header(path, header, limits)?;
    let found = (map.bytes().len() - data_start) as u64;
    if described != found {
        let reason = match described.checked_sub(found) {
            Some(short) => format!("it is {short} bytes too short for the tensors in its header; download it again"),
            None => format!("{} bytes follow its last tensor; nothing may be hidden there", found - described),
        };
        return Err(ImportError::Safetensors { path: path.into(), reason });
    }
    // Only now is anything built from the header.
    let parsed: Metadata = serde_json::from_str(header).map_err(|error| broken(path, format!("in its header, {error}")))?;
    let metadata = parsed.metadata().clone().unwrap_or_default().into_iter().collect();
    let infos: BTreeMap<String, &TensorInfo> = parsed.tensors().into_iter().collect();
    if infos.len() > limits.tensors {
        return Err(over(path, "the number of tensors".into(), infos.len() as u128, limits.tensors as u64, "tensors"));
    }
    let file = Arc::new(map);
    let mut tensors = BTreeMap::new();
    for (name, info) in infos {
        let weight = weight(&file, data_start, path, &name, info, limits)?;
        tensors.insert(name, weight);
    }
    Ok(TensorFile { path: path.into(), file, tensors, metadata, notes: Vec::new() })
}

fn header_text<'a>(path: &Path, bytes: &'a [u8], limits: &Limits) -> Result<&'a str> {
    let fail = |reason: String| ImportError::Safetensors { path: path.into(), reason };
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        let length = bytes.len();
        return Err(fail(format!("it has {length} bytes, fewer than the 8 that hold the header's length; download it again")));
    };
    let length = u64::from_le_bytes(*prefix);
    let header = usize::try_from(length).ok().and_then(|length| rest.get(..length)).ok_or_else(|| {
        let rest = rest.len();
        fail(format!("it claims a header of {length} bytes but only {rest} follow; it is cut short or of another format"))
    })?;
    if length > limits.header_bytes {
        return Err(over(path, "the header's size in bytes".into(), length.into(), limits.header_bytes, "header_bytes"));
    }
    std::str::from_utf8(header).map_err(|error| fail(format!("its header is not UTF-8 ({error})")))
}

/// Checks the whole header and gives the number of bytes that its tensors take.
fn check_header(path: &Path, header: &str, limits: &Limits) -> Result<u64> {
    if !header.starts_with('{') {
        return Err(broken(path, "its header does not begin with `{`; it is of another format".into()));
    }
    // One entry more than tensors: `__metadata__`.
    json::check_entries(header, HEADER_DEPTH, limits.tensors.saturating_add(1))
        .and_then(|()| layout::check(header))
        .map_err(|reason| broken(path, format!("in its header, {reason}")))
}

fn broken(path: &Path, reason: String) -> ImportError {
    ImportError::Safetensors { path: path.into(), reason }
}

fn weight(
    file: &Arc<MappedFile>,
    data_start: usize,
    path: &Path,
    name: &str,
    info: &TensorInfo,
    limits: &Limits,
) -> Result<Weight> {
    let bounded = |what: &str, value: u128, limit: u64, setting: &'static str| {
        if value > u128::from(limit) {
            return Err(over(path, format!("{what} of tensor {}", shown(name)), value, limit, setting));
        }
        Ok(())
    };
    bounded("the length of the name", name.len() as u128, limits.name_bytes as u64, "name_bytes")?;
    bounded("the number of dimensions", info.shape.len() as u128, limits.rank as u64, "rank")?;
    for &size in &info.shape {
        bounded("a dimension", size as u128, limits.dimension, "dimension")?;
    }
    // The header's parser has checked these products.
    let elements: usize = info.shape.iter().product();
    bounded("the number of elements", elements as u128, limits.elements, "elements")?;
    let (start, end) = info.data_offsets;
    bounded("the size in bytes", end.saturating_sub(start) as u128, limits.tensor_bytes, "tensor_bytes")?;
    let fail =
        |reason: String| ImportError::Safetensors { path: path.into(), reason: format!("tensor {} {reason}", shown(name)) };
    let dtype = dtype_of(info.dtype)
        .ok_or_else(|| fail(format!("has type {}; only F64, F32, F16, BF16, I64, I32, U8 and BOOL are read", info.dtype)))?;
    let offset = data_start.checked_add(start).ok_or_else(|| fail("starts beyond every file".into()))?;
    Weight::mapped(file.clone(), offset, dtype, info.shape.clone()).map_err(fail)
}

/// The storage type of a safetensors type, if it is one that graphs know.
pub fn dtype_of(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::U8 => DType::U8,
        Dtype::BOOL => DType::Bool,
        _ => return None,
    })
}

/// The safetensors type of a storage type.
pub fn safetensors_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}

fn over(path: &Path, what: String, value: u128, limit: u64, setting: &'static str) -> ImportError {
    ImportError::Limit { path: path.into(), what, value, limit: limit.into(), setting }
}

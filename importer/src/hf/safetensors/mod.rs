//! One safetensors file: header checked in full before any of it is believed, tensors as ranges of the mapped file. Written
//! as a stream.

mod write;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dmdx_graph::weights::{Float8, MappedFile, WeightExpr};
use dmdx_graph::{DType, Weight};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::json;
use super::layout::{self, shown};
use crate::error::{ImportError, JsonFault, Result, SafetensorsFault};
use crate::limits::{Limits, within};
use crate::path::OpenFile;
use crate::quantised;
use crate::tensor_file::TensorFile;

pub use self::write::{SafetensorsWriter, TensorEntry};

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
    within(path, "the size in bytes", open.length, limits.mapped_bytes, "mapped_bytes")?;
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
        return Err(broken(path)(match described.checked_sub(found) {
            Some(missing) => SafetensorsFault::CutShort { missing },
            None => SafetensorsFault::Trailing { extra: found - described },
        }));
    }
    // Only now is anything built from the header.
    let fail = |error| broken(path)(SafetensorsFault::Header(JsonFault::Syntax(error)));
    let parsed: Metadata = serde_json::from_str(header).map_err(fail)?;
    let metadata = parsed.metadata().clone().unwrap_or_default().into_iter().collect();
    let infos: BTreeMap<String, &TensorInfo> = parsed.tensors().into_iter().collect();
    within(path, "the number of tensors", infos.len(), limits.tensors, "tensors")?;
    // Before a type of packed numbers is refused, which says less.
    if let Some(refusal) = quantised::by_names(path, infos.keys().map(String::as_str)) {
        return Err(refusal);
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
    let fail = broken(path);
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Err(fail(SafetensorsFault::TooShort { length: bytes.len() }));
    };
    let claimed = u64::from_le_bytes(*prefix);
    let header = usize::try_from(claimed).ok().and_then(|length| rest.get(..length));
    let begins = claimed <= limits.header_bytes && rest.starts_with(b"{\"");
    let header = header.ok_or_else(|| fail(SafetensorsFault::HeaderLength { claimed, found: rest.len(), begins }))?;
    within(path, "the header's size in bytes", claimed, limits.header_bytes, "header_bytes")?;
    std::str::from_utf8(header).map_err(|error| fail(SafetensorsFault::HeaderNotUtf8(error)))
}

/// Checks the whole header and gives the number of bytes that its tensors take.
fn check_header(path: &Path, header: &str, limits: &Limits) -> Result<u64> {
    if !header.starts_with('{') {
        return Err(broken(path)(SafetensorsFault::NotAHeader));
    }
    // One entry more than tensors: `__metadata__`.
    json::check_entries(header, HEADER_DEPTH, limits.tensors.saturating_add(1))
        .map_err(SafetensorsFault::Header)
        .and_then(|()| layout::check(header))
        .map_err(broken(path))
}

fn broken(path: &Path) -> impl Fn(SafetensorsFault) -> ImportError {
    move |fault| ImportError::Safetensors { path: path.into(), fault }
}

fn weight(
    file: &Arc<MappedFile>,
    data_start: usize,
    path: &Path,
    name: &str,
    info: &TensorInfo,
    limits: &Limits,
) -> Result<Weight> {
    let bounded = |what: &str, value: usize, limit: u64, setting: &'static str| match value as u64 > limit {
        true => within(path, &format!("{what} of tensor {}", shown(name)), value, limit, setting),
        false => Ok(()),
    };
    bounded("the length of the name", name.len(), limits.name_bytes as u64, "name_bytes")?;
    bounded("the number of dimensions", info.shape.len(), limits.rank as u64, "rank")?;
    for &size in &info.shape {
        bounded("a dimension", size, limits.dimension, "dimension")?;
    }
    // The header's parser has checked these products.
    let elements: usize = info.shape.iter().product();
    bounded("the number of elements", elements, limits.elements, "elements")?;
    let (start, end) = info.data_offsets;
    bounded("the size in bytes", end.saturating_sub(start), limits.tensor_bytes, "tensor_bytes")?;
    let (fail, tensor) = (broken(path), || shown(name));
    let offset = data_start.checked_add(start).ok_or_else(|| fail(SafetensorsFault::BeyondFile { tensor: tensor() }))?;
    let (file, shape) = (file.clone(), info.shape.clone());
    let weight = match (dtype_of(info.dtype), float8_of(info.dtype)) {
        (Some(dtype), _) => Weight::mapped(file, offset, dtype, shape),
        (None, Some(kind)) => WeightExpr::widened(file, offset, kind, shape),
        (None, None) => return Err(fail(SafetensorsFault::Dtype { tensor: tensor(), dtype: info.dtype })),
    };
    weight.map_err(|reason| fail(SafetensorsFault::Tensor { tensor: tensor(), reason: reason.into() }))
}

/// The storage type of a safetensors type, if it is one that graphs know.
fn dtype_of(dtype: Dtype) -> Option<DType> {
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

/// The 8-bit float of a safetensors type, if it is one.
fn float8_of(dtype: Dtype) -> Option<Float8> {
    Some(match dtype {
        Dtype::F8_E4M3 => Float8::E4M3,
        Dtype::F8_E5M2 => Float8::E5M2,
        Dtype::F8_E4M3FNUZ => Float8::E4M3Fnuz,
        Dtype::F8_E5M2FNUZ => Float8::E5M2Fnuz,
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

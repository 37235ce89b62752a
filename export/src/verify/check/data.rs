//! The checker's rules on tensors and the data file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::{Result, io};
use crate::onnx::DATA_ALIGNMENT;
use crate::onnx::proto::{DataLocation, DataType, GraphProto, TensorProto};

/// Padding between tensors never reaches a page.
const LONGEST_GAP: u64 = 4096;

/// Bytes of the data file that a tensor names.
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) end: u64,
    tensor: String,
}

/// Checks every initializer; returns the ranges of the file `data` that they name.
pub(super) fn tensors(graph: &GraphProto, data: &Path, defects: &mut Vec<String>) -> Vec<Range> {
    let mut ranges = Vec::new();
    for tensor in &graph.initializer {
        match check_tensor(tensor, data) {
            Ok(Some(range)) => ranges.push(range),
            Ok(None) => {}
            Err(problem) => defects.push(format!("initializer `{}` {problem}", tensor.name)),
        }
    }
    ranges
}

/// Checks that every byte of the data file belongs to one range.
pub(super) fn covered(mut ranges: Vec<Range>, data: &Path, defects: &mut Vec<String>) -> Result<()> {
    if ranges.is_empty() {
        if data.exists() {
            defects.push("it has a data file that no tensor refers to".into());
        }
        return Ok(());
    }
    ranges.sort_by_key(|range| range.start);
    check_ranges(&ranges, data, defects)
}

/// The byte range of an external tensor, `None` for an inline one.
fn check_tensor(tensor: &TensorProto, data: &Path) -> std::result::Result<Option<Range>, String> {
    let bytes = tensor_bytes(tensor)?;
    if tensor.data_location != Some(DataLocation::External as i32) {
        let have = tensor.raw_data.as_ref().map(|raw| raw.len() as u64);
        return match have == Some(bytes) && tensor.external_data.is_empty() {
            true => Ok(None),
            false => Err(format!("holds {have:?} bytes inline, its sizes {:?} need {bytes}", tensor.dims)),
        };
    }
    if tensor.raw_data.is_some() {
        return Err("has inline and external data at once".into());
    }
    let entries: Vec<(&str, &str)> = tensor
        .external_data
        .iter()
        .map(|e| (e.key.as_deref().unwrap_or_default(), e.value.as_deref().unwrap_or_default()))
        .collect();
    let [("location", location), ("offset", offset), ("length", length)] = entries.as_slice() else {
        return Err("does not give exactly location, offset and length of its data".into());
    };
    if data.file_name().is_none_or(|name| name.to_string_lossy() != *location) {
        return Err(format!("lies in `{location}`, which is not the model's data file"));
    }
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("has `{text}` where a number of bytes belongs"));
    let (start, length) = (number(offset)?, number(length)?);
    if length != bytes {
        return Err(format!("has {length} bytes of data, its sizes {:?} need {bytes}", tensor.dims));
    }
    if start % DATA_ALIGNMENT != 0 {
        return Err(format!("starts at byte {start}, which is no multiple of {DATA_ALIGNMENT}"));
    }
    let end = start.checked_add(length).ok_or_else(|| "ends beyond every file".to_string())?;
    Ok(Some(Range { start, end, tensor: tensor.name.clone() }))
}

/// Bytes that type and sizes stand for.
fn tensor_bytes(tensor: &TensorProto) -> std::result::Result<u64, String> {
    let size = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Double | DataType::Int64) => 8,
        Ok(DataType::Float | DataType::Int32) => 4,
        Ok(DataType::Float16 | DataType::Bfloat16) => 2,
        Ok(DataType::Uint8 | DataType::Bool) => 1,
        Ok(DataType::Undefined) | Err(_) => return Err(format!("has the unknown element type {}", tensor.data_type)),
    };
    let multiply = |product: u64, dim: &i64| u64::try_from(*dim).ok().and_then(|dim| product.checked_mul(dim));
    tensor.dims.iter().try_fold(size, multiply).ok_or_else(|| format!("has impossible sizes {:?}", tensor.dims))
}

fn check_ranges(ranges: &[Range], data: &Path, defects: &mut Vec<String>) -> Result<()> {
    let mut file = File::open(data).map_err(io(data, "read"))?;
    let length = file.metadata().map_err(io(data, "read"))?.len();
    let mut at = 0u64;
    for range in ranges {
        if range.end > length {
            defects.push(format!("initializer `{}` ends at byte {} of a data file of {length}", range.tensor, range.end));
            continue;
        }
        if range.start < at {
            defects.push(format!("initializer `{}` shares bytes with another one", range.tensor));
        } else if range.start - at >= LONGEST_GAP || !is_zero(&mut file, at, range.start - at).map_err(io(data, "read"))? {
            defects.push(format!("the {} bytes before initializer `{}` belong to nothing", range.start - at, range.tensor));
        }
        at = at.max(range.end);
    }
    if at < length {
        defects.push(format!("the last {} bytes of the data file belong to nothing", length - at));
    }
    Ok(())
}

fn is_zero(file: &mut File, start: u64, length: u64) -> std::io::Result<bool> {
    let mut bytes = vec![0u8; length as usize];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes.iter().all(|&byte| byte == 0))
}

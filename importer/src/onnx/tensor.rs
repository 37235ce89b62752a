//! Tensors of a model: the rules on sizes, types and where the data lie, checked in full before any of it is used.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use dmdx_graph::weights::{MappedFile, byte_length};
use dmdx_graph::{DType, Weight};

use super::shown::quoted;
use super::view::{bytes, fields, integer, integers, repeated, text};
use super::wire::{each_fixed, each_varint};
use crate::error::ImportError;
use crate::options::ImportOptions;
use crate::path::open_named;

/// The element types that are read, for messages.
pub(super) const ELEMENT_TYPES: &str =
    "float (1), uint8 (2), int32 (6), int64 (7), bool (9), float16 (10), double (11) and bfloat16 (16) are read";

/// The storage type of an ONNX element type, if it is one that graphs know.
pub(super) fn dtype_of(element: i64) -> Option<DType> {
    Some(match element {
        1 => DType::F32,
        2 => DType::U8,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        16 => DType::BF16,
        _ => return None,
    })
}

/// The files in which the data of tensors lie: the model itself and its external data.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// The model.
    pub model: Arc<MappedFile>,
    /// Its folder; without one there is no external data.
    pub folder: Option<PathBuf>,
    /// External data by location.
    pub external: BTreeMap<String, Arc<MappedFile>>,
    /// Bytes of all files.
    pub mapped: u64,
    /// Whether a tensor has a checksum.
    pub checksums: bool,
}

/// A tensor message.
struct Message<'a> {
    bytes: &'a [u8],
    dtype: DType,
    shape: Vec<usize>,
    length: usize,
}

/// Where the data of a checked tensor are.
enum Place {
    Raw(usize),
    External(String, usize),
    /// In the field of this number, element by element.
    Typed(u32),
}

impl Files {
    /// Checks a tensor and opens its external data.
    ///
    /// # Errors
    /// With the rule that it breaks, as the end of a sentence about the tensor.
    pub(super) fn check(&mut self, message: &[u8], options: &ImportOptions) -> Result<(), String> {
        let tensor = Message::new(message, options)?;
        if let Some((location, _)) = external(message)?.filter(|_| is_external(message)) {
            self.open(location, options)?;
        }
        self.place(&tensor).map(|_| ())
    }

    /// The data of a tensor that has been checked.
    ///
    /// # Errors
    /// As [`Files::check`].
    pub(super) fn weight(&self, message: &[u8], options: &ImportOptions) -> Result<Weight, String> {
        let tensor = Message::new(message, options)?;
        let weight = match self.place(&tensor)? {
            Place::Raw(offset) => Weight::mapped(self.model.clone(), offset, tensor.dtype, tensor.shape),
            Place::External(location, offset) => {
                let file = self.external.get(&location).ok_or("has data in a file that is not open")?;
                Weight::mapped(file.clone(), offset, tensor.dtype, tensor.shape)
            }
            Place::Typed(field) => {
                let data = typed(message, field, tensor.dtype, tensor.length);
                Weight::owned(data.into(), tensor.dtype, tensor.shape)
            }
        };
        weight.map_err(|error| error.to_string())
    }

    fn place(&self, tensor: &Message<'_>) -> Result<Place, String> {
        let raw = repeated(tensor.bytes, 9).last().map(bytes);
        let typed = tensor.typed_field()?;
        let location = external(tensor.bytes)?;
        let sources = usize::from(raw.is_some()) + usize::from(typed.is_some()) + usize::from(is_external(tensor.bytes));
        if sources > 1 {
            return Err("has its data in more than one place".into());
        }
        if location.is_some() && !is_external(tensor.bytes) {
            return Err("has entries of external data but is not marked as external".into());
        }
        if is_external(tensor.bytes) {
            let (location, range) = location.ok_or("is marked as external but names no location")?;
            let file = self.external.get(location).ok_or("has data in a file that is not open")?;
            let offset = range.within(file.bytes().len(), tensor.length)?;
            return Ok(Place::External(location.into(), offset));
        }
        if let Some(raw) = raw {
            if raw.len() != tensor.length {
                return Err(tensor.wrong_length(raw.len()));
            }
            // Both lie in the same map.
            return Ok(Place::Raw(raw.as_ptr().addr().saturating_sub(self.model.bytes().as_ptr().addr())));
        }
        match typed {
            Some((field, count)) if count.checked_mul(tensor.dtype.size()) == Some(tensor.length) => Ok(Place::Typed(field)),
            Some((_, count)) => Err(tensor.wrong_length(count.saturating_mul(tensor.dtype.size()))),
            None if tensor.length == 0 => Ok(Place::Typed(4)),
            None => Err(tensor.wrong_length(0)),
        }
    }

    fn open(&mut self, location: &str, options: &ImportOptions) -> Result<(), String> {
        if self.external.contains_key(location) {
            return Ok(());
        }
        let folder = self.folder.as_deref().ok_or("has external data, but the model is not read from a folder")?;
        if self.external.len() >= options.limits.shards {
            return Err(format!("needs one more data file than the {} of `Limits::shards`", options.limits.shards));
        }
        let named = |reason: &str| format!("names the data file {}, which {reason}", quoted(location));
        let open = open_named(folder, self.model.path(), location, &options.files).map_err(|error| match error {
            ImportError::Path { rule, .. } => named(&rule.to_string()),
            ImportError::NotFound { .. } => named("does not exist; put it beside the model"),
            ImportError::Read { error, .. } => named(&format!("cannot be read: {error}")),
            other => named(&other.to_string()),
        })?;
        self.mapped = self.mapped.saturating_add(open.length);
        if self.mapped > options.limits.mapped_bytes {
            return Err(named(&format!(
                "takes all files above the {} bytes of `Limits::mapped_bytes`",
                options.limits.mapped_bytes
            )));
        }
        let file = MappedFile::new(&open.path, &open.file).map_err(|error| named(&format!("cannot be mapped: {error}")))?;
        self.external.insert(location.into(), Arc::new(file));
        Ok(())
    }
}

impl<'a> Message<'a> {
    /// Reads and checks sizes and type.
    fn new(message: &'a [u8], options: &ImportOptions) -> Result<Self, String> {
        let limits = &options.limits;
        let element = repeated(message, 2).last().map_or(0, integer);
        let dtype = dtype_of(element).ok_or_else(|| format!("has the element type {element}; {ELEMENT_TYPES}"))?;
        let sizes = integers(message, 1);
        let mut elements = 1u64;
        for &size in &sizes {
            let size = u64::try_from(size).map_err(|_| format!("has a size below zero in its shape {sizes:?}"))?;
            if size > limits.dimension {
                return Err(format!("has a size above the {} of `Limits::dimension` in its shape {sizes:?}", limits.dimension));
            }
            let product = elements.checked_mul(size).filter(|elements| *elements <= limits.elements);
            elements = product.ok_or_else(|| {
                format!("of shape {sizes:?} has more elements than the {} of `Limits::elements`", limits.elements)
            })?;
        }
        let shape: Option<Vec<usize>> = sizes.iter().map(|size| usize::try_from(*size).ok()).collect();
        let length = shape.as_ref().and_then(|shape| byte_length(dtype, shape));
        let (Some(shape), Some(length)) = (shape, length) else {
            return Err(format!("of shape {sizes:?} is larger than memory can be"));
        };
        if length as u64 > limits.tensor_bytes {
            return Err(format!("has {length} bytes, more than the {} of `Limits::tensor_bytes`", limits.tensor_bytes));
        }
        Ok(Self { bytes: message, dtype, shape, length })
    }

    fn wrong_length(&self, found: usize) -> String {
        format!("holds {found} bytes of data, {} of shape {:?} need {}", self.dtype.name(), self.shape, self.length)
    }

    /// The field with elements and their number.
    fn typed_field(&self) -> Result<Option<(u32, usize)>, String> {
        let mut found = None;
        for (number, _, value) in fields(self.bytes) {
            let mut count = 0usize;
            match number {
                4 => each_fixed::<4>(value, |_| count += 1)?,
                10 => each_fixed::<8>(value, |_| count += 1)?,
                5 | 7 => each_varint(value, |_| count += 1)?,
                6 | 11 => return Err("has its data as texts or unsigned 64-bit integers, which are not read".into()),
                _ => continue,
            }
            if number != typed_field_of(self.dtype) {
                return Err(format!("of type {} has its data in field {number}, which is not for it", self.dtype.name()));
            }
            found = Some((number, found.map_or(0, |(_, before)| before) + count));
        }
        Ok(found.filter(|(_, count)| *count > 0))
    }
}

fn typed_field_of(dtype: DType) -> u32 {
    match dtype {
        DType::F32 => 4,
        DType::F64 => 10,
        DType::I64 => 7,
        DType::I32 | DType::U8 | DType::Bool | DType::F16 | DType::BF16 => 5,
    }
}

/// The elements of a typed field, little-endian. Halves are stored as their bits.
fn typed(message: &[u8], field: u32, dtype: DType, length: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(length);
    for value in repeated(message, field) {
        // The fields have been walked before; a file that changed since gives a wrong length, which is refused.
        let _ = match field {
            4 => each_fixed::<4>(value, |bytes| data.extend(bytes)),
            10 => each_fixed::<8>(value, |bytes| data.extend(bytes)),
            _ => each_varint(value, |number| data.extend_from_slice(&number.to_le_bytes()[..dtype.size()])),
        };
    }
    data
}

fn is_external(message: &[u8]) -> bool {
    repeated(message, 14).last().map_or(0, integer) == 1
}

/// The byte range that the entries of external data name.
struct Range {
    offset: u64,
    length: Option<u64>,
}

impl Range {
    /// The first byte, if the range is exactly `needed` bytes of a file of `size`.
    fn within(&self, size: usize, needed: usize) -> Result<usize, String> {
        if self.length.is_some_and(|length| length != needed as u64) {
            return Err(format!(
                "gives its data a length of {} bytes, its shape needs {needed}",
                self.length.unwrap_or_default()
            ));
        }
        let offset = usize::try_from(self.offset).ok();
        let end = offset.and_then(|offset| offset.checked_add(needed)).filter(|end| *end <= size);
        match (offset, end) {
            (Some(offset), Some(_)) => Ok(offset),
            _ => Err(format!("needs {needed} bytes from byte {} of a data file of {size} bytes", self.offset)),
        }
    }
}

/// The entries of external data, if there are any.
fn external(message: &[u8]) -> Result<Option<(&str, Range)>, String> {
    let (mut location, mut offset, mut length, mut checksum) = (None, None, None, None);
    for entry in repeated(message, 13).map(bytes) {
        let key = repeated(entry, 1).last().map_or("", text);
        let value = repeated(entry, 2).last().map_or("", text);
        let slot = match key {
            "location" => &mut location,
            "offset" => &mut offset,
            "length" => &mut length,
            "checksum" => &mut checksum,
            _ => {
                let key = quoted(key);
                return Err(format!("has the entry {key} of external data; location, offset, length and checksum are known"));
            }
        };
        if slot.replace(value).is_some() {
            return Err(format!("gives {key} of its external data twice"));
        }
    }
    let number = |what: &str, text: Option<&str>| -> Result<Option<u64>, String> {
        let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.map(|text| {
            let parsed = Some(text).filter(digits).and_then(|text| text.parse().ok());
            parsed.ok_or_else(|| format!("gives {} as the {what} of its data, a number of bytes is needed", quoted(text)))
        })
        .transpose()
    };
    let range = Range { offset: number("offset", offset)?.unwrap_or(0), length: number("length", length)? };
    match location {
        Some(location) => Ok(Some((location, range))),
        None if offset.or(length).or(checksum).is_some() => Err("has external data without a location".into()),
        None => Ok(None),
    }
}

/// Whether a tensor states a checksum of its external data.
pub(super) fn has_checksum(message: &[u8]) -> bool {
    repeated(message, 13).any(|entry| repeated(bytes(entry), 1).last().map(text) == Some("checksum"))
}

/// The name of a tensor.
pub(super) fn name(message: &[u8]) -> &str {
    repeated(message, 8).last().map_or("", text)
}

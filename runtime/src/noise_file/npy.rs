//! NumPy's `.npy`, versions 1 to 3 (numpy/lib/format.py): a magic, a header that is a Python dictionary, the values.

use super::Numbers;
use crate::{Error, Tensor};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Where the values begin is a multiple of this.
const ALIGNMENT: usize = 64;

/// More axes than any array has.
const MOST_AXES: usize = 32;

/// Shape and values, or what is wrong.
pub(super) fn decode(bytes: &[u8]) -> Result<(Vec<usize>, Vec<f32>), String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it does not begin as a NumPy array does")?;
    let (version, rest) = rest.split_at_checked(2).ok_or("it ends in its header")?;
    let (length, rest) = match version[0] {
        1 => rest.split_first_chunk().map(|(length, rest)| (usize::from(u16::from_le_bytes(*length)), rest)),
        2 | 3 => rest.split_first_chunk().map(|(length, rest)| (u32::from_le_bytes(*length) as usize, rest)),
        other => return Err(format!("it is of version {other} of the format, of which 1 to 3 are known")),
    }
    .ok_or("it ends in its header")?;
    let (header, values) = rest.split_at_checked(length).ok_or("it ends in its header")?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is no text")?;
    let numbers = match field(header, "descr")?.trim_matches(['\'', '"']) {
        "<f2" => Numbers::F16,
        "<f4" => Numbers::F32,
        "<f8" => Numbers::F64,
        other => {
            let other: String = other.chars().take(20).collect();
            return Err(format!("it holds numbers of the type {other:?}; save it as float16, float32 or float64"));
        }
    };
    if field(header, "fortran_order")? != "False" {
        return Err("its values are in Fortran's order; save numpy.ascontiguousarray of it".into());
    }
    let shape = shape(field(header, "shape")?)?;
    let count = shape.iter().try_fold(numbers.size(), |bytes, &size| bytes.checked_mul(size));
    if count != Some(values.len()) {
        return Err(format!("it has {} bytes of values, not those of its shape {shape:?}", values.len()));
    }
    Ok((shape, numbers.read(values)))
}

/// The value behind a key of the header's dictionary.
fn field<'h>(header: &'h str, key: &str) -> Result<&'h str, String> {
    let missing = || format!("its header lacks {key}");
    let start = [format!("'{key}'"), format!("\"{key}\"")].iter().find_map(|key| Some(header.find(key)? + key.len()));
    let rest = header.get(start.ok_or_else(missing)?..).unwrap_or_default().trim_start();
    let rest = rest.strip_prefix(':').ok_or_else(missing)?.trim_start();
    let end = if rest.starts_with('(') { rest.find(')').map(|end| end + 1) } else { rest.find([',', '}']) };
    Ok(rest.get(..end.ok_or_else(missing)?).unwrap_or_default().trim())
}

/// A tuple of sizes.
fn shape(text: &str) -> Result<Vec<usize>, String> {
    let unreadable = || "its header has a shape that is no tuple of sizes".to_string();
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).ok_or_else(unreadable)?;
    let parts = inner.split(',').map(str::trim).filter(|part| !part.is_empty());
    let sizes: Vec<usize> = parts.map(|part| part.parse().map_err(|_| unreadable())).collect::<Result<_, _>>()?;
    if sizes.len() > MOST_AXES { Err(unreadable()) } else { Ok(sizes) }
}

pub(super) fn encode(noise: &Tensor) -> Result<Vec<u8>, Error> {
    let sizes: Vec<String> = noise.shape().iter().map(usize::to_string).collect();
    // Python's tuple of one ends in a comma.
    let comma = if sizes.len() == 1 { "," } else { "" };
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}{comma}), }}", sizes.join(", "));
    // The header, with its length before it and a line break behind, is filled up with spaces.
    let begun = MAGIC.len() + 2 + 2;
    header.push_str(&" ".repeat((begun + header.len() + 1).next_multiple_of(ALIGNMENT) - begun - header.len() - 1));
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(|_| Error::Shape("the noise has too many axes for a .npy file".into()))?;
    let mut bytes = [MAGIC.as_slice(), &[1, 0], &length.to_le_bytes(), header.as_bytes()].concat();
    bytes.extend(noise.floats()?.iter().flat_map(|value| value.to_le_bytes()));
    Ok(bytes)
}

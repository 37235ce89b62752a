//! Starting noise from files and to files, so that another program's pictures can be repeated and ours elsewhere: unit
//! normal values `[pictures, ..latent]`, as safetensors (one tensor, or the one called `noise`) or as a NumPy array.

mod npy;
mod safetensors;

use std::path::Path;

use crate::error::NoiseFileError;
use crate::files::read_bytes;
use crate::{Error, Tensor};

/// The widest number that is read.
const WIDEST: usize = 8;

/// Room for a header.
const HEADER: usize = 1 << 20;

/// The kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseFormat {
    /// One tensor, or the one called `noise`.
    Safetensors,
    /// NumPy's format for one array.
    Npy,
}

impl NoiseFormat {
    /// By the ending of a name.
    ///
    /// # Errors
    /// [`NoiseFileError::Ending`].
    pub fn of(path: &Path) -> Result<Self, Error> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("npy") => Ok(Self::Npy),
            _ => Err(NoiseFileError::Ending { path: path.into() }.into()),
        }
    }

    /// The bytes of a file; the same noise gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Shape`] for a tensor that is not of floats.
    pub fn encode(self, noise: &Tensor) -> Result<Vec<u8>, Error> {
        match self {
            Self::Safetensors => safetensors::encode(noise),
            Self::Npy => npy::encode(noise),
        }
    }
}

/// The noise in a file, which must have the shape `wanted`: pictures, then the sizes of one latent.
///
/// # Errors
/// [`Error::Read`], and [`Error::NoiseFile`] for a file of another kind or shape, or with values that are not finite.
pub fn read(path: &Path, wanted: &[usize]) -> Result<Tensor, Error> {
    let format = NoiseFormat::of(path)?;
    let values = wanted.iter().try_fold(WIDEST, |bytes, &size| bytes.checked_mul(size));
    let bytes = read_bytes(path, values.unwrap_or(usize::MAX).saturating_add(HEADER).min(isize::MAX as usize))?;
    let (shape, values) = match format {
        NoiseFormat::Safetensors => safetensors::decode(path, &bytes)?,
        NoiseFormat::Npy => npy::decode(&bytes).map_err(|problem| NoiseFileError::Damaged { path: path.into(), problem })?,
    };
    if shape != wanted {
        return Err(NoiseFileError::Shape { path: path.into(), found: shape, wanted: wanted.to_vec() }.into());
    }
    if values.iter().any(|value| !value.is_finite()) {
        return Err(NoiseFileError::NotFinite { path: path.into() }.into());
    }
    Tensor::f32(shape, values)
}

/// Numbers of one kind, little-endian.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    F16,
    Bf16,
    F32,
    F64,
}

impl Numbers {
    fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// As f32; bytes that are no whole number at the end are left out.
    fn read(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F16 => bytes.as_chunks().0.iter().map(|&word| half::f16::from_le_bytes(word).to_f32()).collect(),
            Self::Bf16 => bytes.as_chunks().0.iter().map(|&word| half::bf16::from_le_bytes(word).to_f32()).collect(),
            Self::F32 => bytes.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)).collect(),
            Self::F64 => bytes.as_chunks().0.iter().map(|&word| f64::from_le_bytes(word) as f32).collect(),
        }
    }
}

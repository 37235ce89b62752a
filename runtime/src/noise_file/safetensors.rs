//! Noise as a safetensors file.

use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::Numbers;
use crate::error::{NoiseFileError, one_line};
use crate::{Error, Tensor};

/// The tensor's name.
const NAME: &str = "noise";

/// Shape and values.
pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<(Vec<usize>, Vec<f32>), Error> {
    let damaged = |problem: String| NoiseFileError::Damaged { path: path.into(), problem };
    let file = SafeTensors::deserialize(bytes).map_err(|error| damaged(one_line(&error.to_string())))?;
    let names = file.names();
    let name = match names.as_slice() {
        [only] => *only,
        names if names.contains(&NAME) => NAME,
        _ => {
            let mut names: Vec<&str> = names.iter().map(|name| name.get(..60).unwrap_or(name)).take(8).collect();
            names.sort_unstable();
            return Err(NoiseFileError::Tensors { path: path.into(), names: names.join(", ") }.into());
        }
    };
    let tensor = file.tensor(name).map_err(|error| damaged(one_line(&error.to_string())))?;
    let numbers = match tensor.dtype() {
        Dtype::F16 => Numbers::F16,
        Dtype::BF16 => Numbers::Bf16,
        Dtype::F32 => Numbers::F32,
        Dtype::F64 => Numbers::F64,
        other => return Err(damaged(format!("it holds numbers of the type {other:?}, not floats of 16, 32 or 64 bits")).into()),
    };
    Ok((tensor.shape().to_vec(), numbers.read(tensor.data())))
}

pub(super) fn encode(noise: &Tensor) -> Result<Vec<u8>, Error> {
    let bytes: Vec<u8> = noise.floats()?.iter().flat_map(|value| value.to_le_bytes()).collect();
    let failed = |error: safetensors::SafeTensorError| Error::Shape(format!("the noise cannot be written ({error})"));
    let view = TensorView::new(Dtype::F32, noise.shape().to_vec(), &bytes).map_err(failed)?;
    safetensors::serialize([(NAME, view)], None).map_err(failed)
}

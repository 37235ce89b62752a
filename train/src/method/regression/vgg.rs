//! The weights of LPIPS on VGG16: where they lie in a file, under whose names.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::error::TrainError;
use crate::module::Weights;

/// The convolutions of each stage by their numbers in torchvision's `features`.
pub(super) const STAGES: [&[usize]; 5] = [&[0, 2], &[5, 7], &[10, 12, 14], &[17, 19, 21], &[24, 26, 28]];

/// The weights in a safetensors file as `conv.STAGE.LAYER.weight`, `conv.STAGE.LAYER.bias` and `lin.STAGE`, stages and layers
/// from 0: under these names with or without `lpips.` before them, or under those of the `lpips` package
/// (`net.slice1.0.weight`, `lin0.model.1.weight`) or torchvision's (`features.0.weight`). All else in it is left alone.
///
/// # Errors
/// [`TrainError::Read`]; [`TrainError::Damaged`] where it is no safetensors file, or holds a weight of another type than F32.
pub(in crate::method) fn read(path: &Path) -> Result<Weights, TrainError> {
    let bytes = std::fs::read(path).map_err(TrainError::read(path))?;
    let damaged = |reason: String| TrainError::damaged(path, reason);
    let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(format!("it is not safetensors ({error})")))?;
    let mut weights = Weights::new();
    for (name, tensor) in file.tensors() {
        let Some(own) = own_name(&name) else { continue };
        if tensor.dtype() != Dtype::F32 {
            return Err(damaged(format!("its tensor {name} is of type {:?}, not F32", tensor.dtype())));
        }
        let values: Vec<f32> = tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        // The package keeps a channel's weight as a 1×1 convolution.
        let shape = if own.starts_with("lin.") { vec![values.len()] } else { tensor.shape().to_vec() };
        weights.insert(own, (shape, values));
    }
    Ok(weights)
}

/// Our name of a tensor; none for one that is not used.
fn own_name(name: &str) -> Option<String> {
    let name = name.strip_prefix("lpips.").unwrap_or(name);
    if name.starts_with("conv.") || name.starts_with("lin.") {
        return Some(name.to_string());
    }
    let parts: Vec<&str> = name.split('.').collect();
    let number = |text: &str| text.parse::<usize>().ok();
    let layer = |number: usize, kind: &str| {
        let stage = STAGES.iter().position(|layers| layers.contains(&number))?;
        let place = STAGES[stage].iter().position(|layer| *layer == number)?;
        Some(format!("conv.{stage}.{place}.{kind}"))
    };
    match parts.as_slice() {
        ["features", at, kind] => layer(number(at)?, kind),
        ["net", slice, at, kind] if slice.starts_with("slice") => layer(number(at)?, kind),
        [lin, "model", "1", "weight"] => Some(format!("lin.{}", number(lin.strip_prefix("lin")?)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::own_name;

    #[test]
    fn names_of_every_origin_are_ours() {
        let renamed = |name: &str, own: Option<&str>| assert_eq!(own_name(name).as_deref(), own, "{name}");
        renamed("lpips.conv.3.2.bias", Some("conv.3.2.bias"));
        renamed("lin.4", Some("lin.4"));
        renamed("features.12.weight", Some("conv.2.1.weight"));
        renamed("net.slice5.28.bias", Some("conv.4.2.bias"));
        renamed("lin3.model.1.weight", Some("lin.3"));
        renamed("lins.3.model.1.weight", None);
        renamed("features.1.weight", None);
        renamed("classifier.0.weight", None);
    }
}

//! Weights of 8-bit floats beside which a file keeps a number that each of them is multiplied by, as ComfyUI's "scaled
//! fp8" files do: `X.weight` in 8 bits, `X.scale_weight` (or `X.weight_scale`), and for arithmetic in 8 bits
//! `X.scale_input`.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_graph::weights::WeightExpr;
use dmdx_graph::{DType, Weight};

use crate::error::{ImportError, Result};

/// Endings of the number that a module's weights are multiplied by.
const SCALES: [&str; 2] = [".scale_weight", ".weight_scale"];
/// Endings of what only arithmetic in 8 bits needs, and of the note that a module is stored so.
const BESIDE: [&str; 3] = [".scale_input", ".input_scale", ".comfy_quant"];
/// The mark of such files: an empty tensor of the 8-bit type.
const MARK: &str = "scaled_fp8";

/// Multiplies the weights by their scales, which leave the list, and says so.
///
/// # Errors
/// [`ImportError::Quantised`] for a scale that is no single finite number, or that stands beside other weights.
pub(super) fn apply(path: &Path, weights: &mut BTreeMap<String, Weight>, notes: &mut Vec<String>) -> Result<()> {
    let weight_of = |name: &str, endings: &[&str]| {
        endings.iter().find_map(|ending| name.strip_suffix(ending)).map(|module| format!("{module}.weight"))
    };
    let scales: Vec<(String, String)> =
        weights.keys().filter_map(|name| Some((name.clone(), weight_of(name, &SCALES)?))).collect();
    let before = weights.len();
    let mut scaled = 0usize;
    for (name, target) in scales {
        let refuse = |method: &str| {
            let (sign, method) = (format!("the tensor `{}`", name.chars().take(200).collect::<String>()), method.into());
            ImportError::Quantised { path: path.into(), method, sign }
        };
        let Some(weight) = weights.get(&target) else { continue };
        let numbers = weights.get(&name).filter(|scale| scale.dtype().is_float() && scale.elements() == 1);
        match numbers.map(|scale| scale.to_f64()).as_deref() {
            _ if !is_float8(weight) => return Err(refuse("a scale beside numbers that are no 8-bit floats")),
            Some([factor]) if factor.is_finite() => {
                // The product has more digits than 16-bit floats.
                let product = WeightExpr::scale(WeightExpr::cast(weight.clone(), DType::F32), *factor);
                weights.insert(target, product);
                weights.remove(&name);
                scaled += 1;
            }
            _ => return Err(refuse("scales other than one number per tensor")),
        }
    }
    let beside: Vec<String> = weights
        .keys()
        .filter(|name| {
            let module = weight_of(name, &BESIDE).is_some_and(|target| weights.get(&target).is_some_and(is_float8));
            module || (scaled > 0 && name.ends_with(MARK))
        })
        .cloned()
        .collect();
    beside.iter().for_each(|name| drop(weights.remove(name)));
    if scaled > 0 {
        let left = before - weights.len() - scaled;
        notes.push(format!(
            "{scaled} weights of 8-bit floats are multiplied by the numbers beside them ({}); {left} tensor(s) that only \
             arithmetic in 8 bits needs are left out",
            SCALES.map(|ending| ending.trim_start_matches('.')).join(", ")
        ));
    }
    Ok(())
}

fn is_float8(weight: &Weight) -> bool {
    weight.stored().0.starts_with("f8_")
}

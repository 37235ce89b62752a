//! Weights that a quantiser has packed: they are recognised by what it writes beside them, and refused by its name.

use std::path::Path;

use serde_json::Value;

use crate::error::ImportError;

/// Quantisers, and parts of tensors' names that only they write: endings, or with a `*` in front any place. The first that
/// is found names the method.
const SIGNS: [(&str, &[&str]); 10] = [
    ("bitsandbytes", &[".absmax", ".quant_map", "*.quant_state.bitsandbytes__", ".SCB"]),
    ("Nunchaku (SVDQuant)", &[".wscales", ".wtscale"]),
    ("GPTQ", &[".g_idx"]),
    ("GPTQ or AWQ", &[".qweight", ".qzeros"]),
    ("optimum-quanto", &[".weight._data", ".weight._scale"]),
    ("torchao", &["._weight_qdata", ".weight:qdata"]),
    ("HQQ", &[".W_q"]),
    ("compressed-tensors", &[".weight_packed"]),
    ("NVFP4 (ModelOpt)", &[".weight_scale_2"]),
    ("8-bit floats with a scale per block", &[".weight_scale_inv"]),
];

/// The refusal of a file whose tensors have names that a quantiser gives.
pub(crate) fn by_names<'a>(path: &Path, names: impl Iterator<Item = &'a str> + Clone) -> Option<ImportError> {
    let fits = |name: &str, sign: &str| match sign.strip_prefix('*') {
        Some(inner) => name.contains(inner),
        None => name.ends_with(sign),
    };
    SIGNS.iter().find_map(|(method, signs)| {
        let name = names.clone().find(|name| signs.iter().any(|sign| fits(name, sign)))?;
        let sign = format!("the tensor `{}`", name.chars().take(200).collect::<String>());
        Some(ImportError::Quantised { path: path.into(), method: (*method).into(), sign })
    })
}

/// The refusal of a network whose configuration says that its weights are quantised.
pub(crate) fn by_config(path: &Path, config: &Value) -> Option<ImportError> {
    let key = ["quantization_config", "quantization"].into_iter().find(|key| config.get(key).is_some_and(Value::is_object))?;
    let settings = config.get(key)?;
    let method = settings.get("quant_method").or_else(|| settings.get("quant_algo")).and_then(Value::as_str);
    let method = method.unwrap_or("a method that it does not name").chars().take(80).collect();
    Some(ImportError::Quantised { path: path.into(), method, sign: format!("the key `{key}` of its configuration") })
}

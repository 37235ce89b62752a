//! The pairs of small matrices in a LoRA file, whatever its program called them.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_graph::Weight;
use dmdx_graph::weights::WeightExpr;
use serde_json::Value;

use crate::error::{ImportError, LoraDefect, LoraFault, Result};
use crate::hf::config;
use crate::hf::json::parse_object;
use crate::hf::tensors::Tensors;
use crate::options::ImportOptions;
use crate::path::split;

/// Endings of the matrix that comes first (`[rank, in]`): PEFT, diffusers, kohya, older diffusers.
const DOWN: [&str; 5] =
    [".lora_A.weight", ".lora.down.weight", ".lora_down.weight", ".lora_linear_layer.down.weight", "_lora.down.weight"];
/// Endings of the matrix that comes second (`[out, rank]`).
const UP: [&str; 5] = [".lora_B.weight", ".lora.up.weight", ".lora_up.weight", ".lora_linear_layer.up.weight", "_lora.up.weight"];
/// Metadata in which diffusers keeps PEFT's settings.
const METADATA: &str = "lora_adapter_metadata";

/// A change of one module.
pub(super) struct Adapter {
    /// The module as the file names it.
    pub module: String,
    /// `[out, rank]`.
    pub up: Weight,
    /// `[rank, in]`, a convolution's kernel flattened behind the channels.
    pub down: Weight,
    /// `alpha / rank`.
    pub factor: f64,
}

#[derive(Default)]
struct Parts {
    up: Option<Weight>,
    down: Option<Weight>,
    alpha: Option<f64>,
}

/// Reads the adapters of a file, sorted by module, and the keys that do not belong to one.
///
/// # Errors
/// When the settings beside the weights cannot be read or change the arithmetic in a way that is not supported.
pub(super) fn read(path: &Path, file: &Tensors, options: &ImportOptions) -> Result<(Vec<Adapter>, Vec<LoraDefect>)> {
    let settings = settings(path, file, options)?;
    let mut modules: BTreeMap<String, Parts> = BTreeMap::new();
    let mut defects = Vec::new();
    for (key, weight) in &file.weights {
        let plain = without_adapter_name(key);
        if let Some(module) = UP.iter().find_map(|ending| plain.strip_suffix(ending)) {
            modules.entry(module.into()).or_default().up = Some(weight.clone());
        } else if let Some(module) = DOWN.iter().find_map(|ending| plain.strip_suffix(ending)) {
            modules.entry(module.into()).or_default().down = Some(weight.clone());
        } else if let Some(module) = plain.strip_suffix(".alpha") {
            let alpha = (weight.elements() == 1).then(|| weight.to_f64().first().copied()).flatten();
            match alpha.filter(|alpha| alpha.is_finite()) {
                Some(alpha) => modules.entry(module.into()).or_default().alpha = Some(alpha),
                None => defects.push(LoraDefect::Alpha { key: key.clone() }),
            }
        } else {
            defects.push(LoraDefect::UnknownKey { key: key.clone() });
        }
    }
    let mut adapters = Vec::new();
    for (module, parts) in modules {
        match adapter(&module, parts, &settings) {
            Ok(adapter) => adapters.push(adapter),
            Err(defect) => defects.push(defect),
        }
    }
    Ok((adapters, defects))
}

fn adapter(module: &str, parts: Parts, settings: &Settings) -> std::result::Result<Adapter, LoraDefect> {
    let name = || module.to_string();
    let (Some(up), Some(down)) = (parts.up, parts.down) else {
        return Err(LoraDefect::OneMatrix { module: name() });
    };
    if !up.dtype().is_float() || !down.dtype().is_float() {
        return Err(LoraDefect::Types { module: name(), up: up.dtype().name(), down: down.dtype().name() });
    }
    let (up_shape, down_shape) = (up.shape().to_vec(), down.shape().to_vec());
    let unfit = || LoraDefect::Shapes { module: name(), up: up_shape.clone(), down: down_shape.clone() };
    let ([out, rank, ones @ ..], [inner, rest @ ..]) = (up_shape.as_slice(), down_shape.as_slice()) else {
        return Err(unfit());
    };
    if rank != inner || *rank == 0 || rest.is_empty() || ones.iter().any(|size| *size != 1) {
        return Err(unfit());
    }
    let matrix = |reason| LoraDefect::Matrix { module: name(), reason };
    let alpha = parts.alpha.or_else(|| settings.alpha(module)).unwrap_or(*rank as f64);
    let divisor = if settings.rooted(module) { (*rank as f64).sqrt() } else { *rank as f64 };
    Ok(Adapter {
        module: module.into(),
        up: WeightExpr::reshape(up, vec![*out, *rank]).map_err(matrix)?,
        down: WeightExpr::reshape(down, vec![*inner, rest.iter().product()]).map_err(matrix)?,
        factor: alpha / divisor,
    })
}

/// PEFT may put the adapter's name in front of the ending: `….lora_A.default.weight`.
fn without_adapter_name(key: &str) -> String {
    let segments: Vec<&str> = key.rsplitn(4, '.').collect();
    match segments.as_slice() {
        ["weight", _, kind @ ("lora_A" | "lora_B"), module] => format!("{module}.{kind}.weight"),
        _ => key.into(),
    }
}

/// PEFT's settings: those of one adapter, or of several networks by `network.setting`.
struct Settings(Value);

impl Settings {
    /// A setting of the network that a module belongs to.
    fn get(&self, module: &str, setting: &str) -> Option<&Value> {
        let network = module.split('.').next().unwrap_or_default();
        self.0.get(format!("{network}.{setting}")).or_else(|| self.0.get(setting))
    }

    fn alpha(&self, module: &str) -> Option<f64> {
        let patterns = self.get(module, "alpha_pattern").and_then(Value::as_object);
        let of_module = |(pattern, alpha): (&String, &Value)| {
            let fits = module == pattern || module.strip_suffix(pattern.as_str()).is_some_and(|rest| rest.ends_with('.'));
            fits.then(|| alpha.as_f64()).flatten()
        };
        let alpha = patterns.into_iter().flatten().find_map(of_module);
        alpha.or_else(|| self.get(module, "lora_alpha")?.as_f64()).filter(|alpha| alpha.is_finite())
    }

    /// Whether the rank's root divides instead of the rank.
    fn rooted(&self, module: &str) -> bool {
        self.get(module, "use_rslora").and_then(Value::as_bool).unwrap_or(false)
    }
}

fn settings(path: &Path, file: &Tensors, options: &ImportOptions) -> Result<Settings> {
    let fail = |fault| ImportError::Lora { path: path.into(), fault };
    let (folder, name) = split(path);
    let settings = match file.metadata.get(METADATA) {
        Some(text) if text.len() as u64 <= options.limits.config_bytes => {
            parse_object(text, options.limits.json_depth).map_err(|fault| fail(LoraFault::Settings(fault)))?
        }
        Some(_) => return Err(fail(LoraFault::SettingsSize)),
        None if name.starts_with("adapter_model.") => {
            config::read(folder, "adapter_config.json", &options.limits, &options.files)?.value
        }
        None => Value::Null,
    };
    let entries = settings.as_object().into_iter().flatten();
    for (key, value) in entries {
        let setting = key.rsplit('.').next().unwrap_or(key);
        let set = !matches!(value, Value::Null | Value::Bool(false));
        let refused = match setting {
            "use_dora" | "fan_in_fan_out" | "lora_bias" | "modules_to_save" => set,
            "peft_type" => value.as_str() != Some("LORA"),
            "bias" => value.as_str().is_some_and(|bias| bias != "none"),
            _ => false,
        };
        if refused {
            let value = value.to_string().chars().take(80).collect();
            return Err(fail(LoraFault::Setting { key: key.clone(), value }));
        }
    }
    Ok(Settings(settings))
}

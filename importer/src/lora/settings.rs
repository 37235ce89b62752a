//! PEFT's settings of a LoRA file: those of one adapter, or of several networks by `network.setting`.

use std::path::Path;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::names::without_wrappers;
use crate::error::{ImportError, LoraFault, Result};
use crate::hf::config;
use crate::hf::json::parse_object;
use crate::hf::tensors::Tensors;
use crate::options::ImportOptions;

/// Metadata in which diffusers keeps PEFT's settings.
const METADATA: &str = "lora_adapter_metadata";
/// Bytes that a compiled pattern may take.
const PATTERN_BYTES: usize = 1 << 20;

/// PEFT's settings.
pub(super) struct Settings {
    value: Value,
    /// Setting (`alpha_pattern`, …), pattern and value, in the file's order.
    patterns: Vec<(String, Regex, f64)>,
}

impl Settings {
    /// Of a file `name` in `folder`: from its metadata, or beside it.
    ///
    /// # Errors
    /// When they cannot be read or change the arithmetic in a way that is not supported.
    pub(super) fn read(folder: &Path, name: &str, file: &Tensors, options: &ImportOptions) -> Result<Self> {
        let path = folder.join(name);
        let fail = |fault| ImportError::Lora { path: path.clone(), fault };
        let of_peft = |key: &String| key.starts_with("base_model.model.");
        let beside = folder.join("adapter_config.json").is_file() && file.weights.keys().all(of_peft);
        let value = match file.metadata.get(METADATA) {
            Some(text) if text.len() as u64 <= options.limits.config_bytes => {
                parse_object(text, options.limits.json_depth).map_err(|fault| fail(LoraFault::Settings(fault)))?
            }
            Some(_) => return Err(fail(LoraFault::SettingsSize)),
            None if name.starts_with("adapter_model.") || beside => {
                config::read(folder, "adapter_config.json", &options.limits, &options.files)?.value
            }
            None => Value::Null,
        };
        let mut patterns = Vec::new();
        for (key, value) in value.as_object().into_iter().flatten() {
            let setting = key.rsplit('.').next().unwrap_or(key);
            if is_refused(setting, value) {
                let value = value.to_string().chars().take(80).collect();
                return Err(fail(LoraFault::Setting { key: key.clone(), value }));
            }
            if matches!(setting, "alpha_pattern" | "rank_pattern") {
                for (pattern, value) in value.as_object().into_iter().flatten() {
                    // As PEFT matches them: the whole end of a module's name.
                    let regex = RegexBuilder::new(&format!(r"^(?:.*\.)?(?:{pattern})$")).size_limit(PATTERN_BYTES).build();
                    let (Ok(regex), Some(number)) = (regex, value.as_f64().filter(|number| number.is_finite())) else {
                        let value = format!("{pattern:?}: {value}").chars().take(80).collect();
                        return Err(fail(LoraFault::Setting { key: key.clone(), value }));
                    };
                    patterns.push((key.clone(), regex, number));
                }
            }
        }
        Ok(Self { value, patterns })
    }

    /// A setting of the network that a module belongs to.
    fn get(&self, module: &str, setting: &str) -> Option<&Value> {
        self.value.get(of_network(module, setting)).or_else(|| self.value.get(setting))
    }

    fn number(&self, module: &str, pattern: &str, settings: &[&str]) -> Option<f64> {
        let of_network = of_network(module, pattern);
        let mut fitting =
            self.patterns.iter().filter(|(key, regex, _)| (*key == of_network || key == pattern) && regex.is_match(module));
        let by_pattern = fitting.next().map(|(_, _, number)| *number);
        let plain = || settings.iter().find_map(|setting| self.get(module, setting)?.as_f64());
        by_pattern.or_else(plain).filter(|number| number.is_finite())
    }

    /// `alpha` of a module.
    pub(super) fn alpha(&self, module: &str) -> Option<f64> {
        self.number(module, "alpha_pattern", &["lora_alpha", "alpha"])
    }

    /// The rank that a module's factor is divided by where its matrices do not show it.
    pub(super) fn rank(&self, module: &str) -> Option<f64> {
        self.number(module, "rank_pattern", &["r"]).filter(|rank| *rank > 0.0)
    }

    /// Whether the rank's root divides instead of the rank.
    pub(super) fn rooted(&self, module: &str) -> bool {
        self.flag(module, "use_rslora")
    }

    /// Whether the rows of a module's weight have lengths of their own.
    pub(super) fn has_magnitude(&self, module: &str) -> bool {
        self.flag(module, "use_dora")
    }

    fn flag(&self, module: &str, setting: &str) -> bool {
        self.get(module, setting).and_then(Value::as_bool).unwrap_or(false)
    }
}

fn of_network(module: &str, setting: &str) -> String {
    format!("{}.{setting}", without_wrappers(module).split('.').next().unwrap_or_default())
}

/// Whether a setting changes the arithmetic in a way that is not supported.
fn is_refused(setting: &str, value: &Value) -> bool {
    let set = !matches!(value, Value::Null | Value::Bool(false));
    match setting {
        "fan_in_fan_out" | "modules_to_save" => set,
        "peft_type" => !matches!(value.as_str(), Some("LORA" | "LOHA" | "LOKR")),
        "bias" => value.as_str().is_some_and(|bias| bias != "none"),
        _ => false,
    }
}

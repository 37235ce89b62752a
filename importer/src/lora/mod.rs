//! LoRA files, merged into the weights on import: `W + scale * alpha / rank * (up · down)`, and what is written in the
//! same way: LoHa, LoKr, Tucker decompositions, differences of weights, norms and biases. With DoRA's `magnitude` the
//! rows of that sum are brought to new lengths, as PEFT does at any scale: `magnitude * sum / |sum|`.
//!
//! Nothing is computed here: every changed weight becomes an expression that is evaluated when somebody streams it, in
//! f64 and rounded once: to f32 for 16-bit weights, in which most of a small change would be lost, otherwise to the
//! weight's own storage type. Every key of a file must find its weight, or is named when it is left out.

mod adapters;
mod changes;
mod describe;
mod keys;
mod kinds;
mod modules;
mod names;
mod settings;

pub use self::describe::LoraSummary;
pub(crate) use self::describe::{ADAPTER, describe, is_lora};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapters::Adapter;
use changes::Change;
use dmdx_graph::weights::MappedFile;
use modules::Modules;

use crate::component::Component;
use crate::defects::shortened;
use crate::error::{ImportError, LoraDefect, LoraFault, Result};
use crate::hf::tensors::{self, Tensors};
use crate::hf::wrappers;
use crate::nonfinite;
use crate::options::{ImportOptions, LoraFile, Nonfinite};
use crate::path::{open_known, split};

/// What PEFT and diffusers call the file in a folder of an adapter.
const FILES: [&str; 4] =
    ["adapter_model.safetensors", "pytorch_lora_weights.safetensors", "adapter_model.bin", "pytorch_lora_weights.bin"];

/// The name under which LoRA files know a component that was imported alone: its folder's, or that of its class.
pub(crate) fn component_name(path: &Path, component: &Component) -> String {
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    let name = folder.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    names::lone_name(&name, component)
}

/// What was merged.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// What was done, for the user.
    pub notes: Vec<String>,
    /// The files, by what was done with them.
    pub files: Vec<(String, PathBuf)>,
}

/// Merges the LoRA files of the options into components by name, and says what was done. If not `whole`, keys of
/// networks that are not here are left out.
///
/// # Errors
/// When a file cannot be read, or keys in it are not known, have no weight to change or do not fit it; all are listed.
pub(crate) fn merge_files<'a>(
    components: impl Iterator<Item = (&'a String, &'a mut Component)>,
    whole: bool,
    options: &ImportOptions,
) -> Result<Merged> {
    let mut components: Vec<(&String, &mut Component)> = components.collect();
    let mut merged = Merged::default();
    for lora in &options.loras {
        merge(&mut components, lora, whole, options, &mut merged)?;
    }
    Ok(merged)
}

/// Opens a LoRA file, or the one in an adapter's folder.
fn open(path: &Path, options: &ImportOptions) -> Result<(PathBuf, Tensors)> {
    if !path.is_dir() {
        return Ok((path.into(), tensors::open_path(path, options)?));
    }
    let Some(name) = FILES.iter().find(|name| path.join(name).is_file()) else {
        return Err(ImportError::Lora { path: path.into(), fault: LoraFault::Folder { files: &FILES[..2] } });
    };
    let tensors = tensors::open_file(name, &open_known(path, name, &options.files)?, options)?;
    Ok((path.join(name), tensors))
}

fn merge(
    components: &mut [(&String, &mut Component)],
    lora: &LoraFile,
    whole: bool,
    options: &ImportOptions,
    merged: &mut Merged,
) -> Result<()> {
    let fail = |fault| ImportError::Lora { path: lora.path.clone(), fault };
    if !lora.scale.is_finite() {
        return Err(fail(LoraFault::Scale { scale: lora.scale }));
    }
    let (path, mut file) = open(&lora.path, options)?;
    let path = path.as_path();
    let fail = |fault| ImportError::Lora { path: path.into(), fault };
    wrappers::unwrap(&mut file);
    let mut warning = String::new();
    if options.nonfinite != Nonfinite::Skip {
        let found = nonfinite::count(file.weights.iter());
        let (count, tensors) = (found.values().sum(), found.into_keys().collect::<Vec<_>>());
        match options.nonfinite {
            _ if count == 0 => {}
            Nonfinite::Deny => return Err(ImportError::Nonfinite { path: path.into(), count, tensors }),
            _ => warning = format!("; it holds {count} NaN or infinite values in {}", shortened(&tensors)),
        }
    }
    let (folder, name) = split(path);
    let adapters::Contents { adapters, embeddings, mut defects } = adapters::read(folder, name, &file, options)?;
    let modules = Modules::of(components.iter().map(|(name, component)| (name.as_str(), &**component)));
    let plan = Plan::of(&adapters, &modules, whole, lora.scale, &mut defects);
    for ((index, param), changes) in &plan.changes {
        let Some((_, component)) = components.get_mut(*index) else { continue };
        if let Err(defect) = apply(component, param, changes) {
            defects.push(defect);
        }
    }
    if !defects.is_empty() {
        return Err(fail(LoraFault::Keys(defects)));
    }
    if plan.changes.is_empty() {
        return Err(fail(LoraFault::NoChange));
    }
    let networks: Vec<&str> = components.iter().map(|(name, _)| name.as_str()).collect();
    let left_out = match embeddings.into_iter().collect::<Vec<_>>() {
        none if none.is_empty() => String::new(),
        names => format!(
            "; the embeddings that it carries ({}) were left out, so prompts with their words are not understood",
            shortened(&names)
        ),
    };
    let shown = path.file_name().unwrap_or_default().to_string_lossy();
    merged.notes.push(format!(
        "the LoRA file {shown}{} was merged with scale {} into {}{left_out}{warning}",
        plan.kinds(),
        lora.scale,
        plan.targets(&networks)
    ));
    let named = |(name, map): &(String, Arc<MappedFile>)| (format!("lora {name} scale {}", lora.scale), map.path().into());
    merged.files.extend(file.files.iter().map(named));
    Ok(())
}

/// What a file changes.
#[derive(Default)]
struct Plan {
    /// By component and parameter.
    changes: BTreeMap<(usize, String), Vec<Change>>,
    /// Modules by what they are changed by.
    kinds: BTreeMap<&'static str, usize>,
    /// Modules of networks that are not here.
    foreign: usize,
}

impl Plan {
    fn of(adapters: &[Adapter], modules: &Modules, whole: bool, scale: f64, defects: &mut Vec<LoraDefect>) -> Self {
        let mut plan = Self::default();
        for adapter in adapters {
            let found = match modules.find(&adapter.module, adapter.size()) {
                Ok(found) => found,
                Err(_) if !whole && modules.is_foreign(&adapter.module) => {
                    plan.foreign += 1;
                    continue;
                }
                Err(defect) => {
                    defects.push(defect);
                    continue;
                }
            };
            for kind in adapter.kinds() {
                *plan.kinds.entry(kind).or_insert(0) += 1;
            }
            for to in found {
                let weight = adapter.weight.as_ref().map(|change| ("weight", Change::of_weight(adapter, change, to, scale)));
                let bias = adapter.bias.as_ref().map(|bias| ("bias", Change::of_bias(adapter, bias, to, scale)));
                for (param, change) in weight.into_iter().chain(bias) {
                    let param = (to.component, format!("{}.{param}", to.module));
                    match change {
                        Ok(change) => plan.changes.entry(param).or_default().push(change),
                        Err(defect) => defects.push(defect),
                    }
                }
            }
        }
        plan
    }

    /// The kinds in parentheses; nothing for plain LoRA.
    fn kinds(&self) -> String {
        if self.kinds.keys().all(|kind| *kind == "LoRA") {
            return String::new();
        }
        let kinds: Vec<String> = self.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        format!(" ({})", kinds.join(", "))
    }

    /// How many weights of which networks.
    fn targets(&self, networks: &[&str]) -> String {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        self.changes.keys().for_each(|(index, _)| *counts.entry(*index).or_insert(0) += 1);
        let target = |(index, count): (usize, usize)| Some(format!("{count} weights of {}", networks.get(index)?));
        let targets: Vec<String> = counts.into_iter().filter_map(target).collect();
        let foreign = match self.foreign {
            0 => String::new(),
            count => format!("; {count} of its modules belong to other networks and were left out"),
        };
        format!("{}{foreign}", targets.join(", "))
    }
}

/// Changes a weight in every part that has it; the parts keep sharing one.
fn apply(component: &mut Component, param: &str, changes: &[Change]) -> std::result::Result<(), LoraDefect> {
    let graph = component.parts.values().find(|graph| graph.params().contains_key(param));
    let graph = graph.ok_or_else(|| LoraDefect::NoParam { param: param.into() })?;
    let weight = graph.params().get(param).and_then(|param| param.weight.clone());
    let mut weight = weight.ok_or_else(|| LoraDefect::NoWeight { param: param.into() })?;
    for change in changes {
        weight = change.apply(param, weight)?;
    }
    for graph in component.parts.values_mut().filter(|graph| graph.params().contains_key(param)) {
        graph.set_weight(param, weight.clone()).map_err(LoraDefect::Graph)?;
    }
    Ok(())
}

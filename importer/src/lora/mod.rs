//! LoRA files, merged into the weights on import: `W + scale * alpha / rank * (up · down)`.
//!
//! Nothing is computed here: every changed weight becomes an expression that is evaluated when somebody streams it, in
//! f64 and rounded once: to f32 for 16-bit weights, in which most of a small change would be lost, otherwise to the
//! weight's own storage type. Every key of a file must find its weight.

mod adapters;
mod describe;
mod modules;

pub use self::describe::LoraSummary;
pub(crate) use self::describe::{ADAPTER, describe, is_lora};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapters::Adapter;
use dmdx_graph::Weight;
use dmdx_graph::weights::{MappedFile, WeightExpr};
use modules::{ModuleWeight, Modules};

use crate::component::Component;
use crate::defects::shortened;
use crate::error::{ImportError, LoraDefect, LoraFault, Result};
use crate::hf::{tensors, wrappers};
use crate::nonfinite;
use crate::options::{ImportOptions, LoraFile, Nonfinite};
use crate::original::Transform;

/// The name under which LoRA files know a component that was imported alone: its folder's, or that of its class.
pub(crate) fn component_name(path: &Path, component: &Component) -> String {
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    let name = folder.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    modules::lone_name(&name, &component.class)
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

fn merge(
    components: &mut [(&String, &mut Component)],
    lora: &LoraFile,
    whole: bool,
    options: &ImportOptions,
    merged: &mut Merged,
) -> Result<()> {
    let path = lora.path.as_path();
    let fail = |fault| ImportError::Lora { path: path.into(), fault };
    if !lora.scale.is_finite() {
        return Err(fail(LoraFault::Scale { scale: lora.scale }));
    }
    let mut file = tensors::open_path(path, options)?;
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
    let (adapters, mut defects) = adapters::read(path, &file, options)?;
    let modules = Modules::of(components.iter().map(|(name, component)| (name.as_str(), &**component)));
    let mut foreign = 0;
    let mut changes: BTreeMap<(usize, String), Vec<Change>> = BTreeMap::new();
    for adapter in &adapters {
        let found = match modules.find(&adapter.module) {
            Ok(found) => found,
            Err(_) if !whole && modules.is_foreign(&adapter.module) => {
                foreign += 1;
                continue;
            }
            Err(defect) => {
                defects.push(defect);
                continue;
            }
        };
        for weight in found {
            match Change::of(adapter, weight, lora.scale) {
                Ok(change) => changes.entry((weight.component, weight.param.clone())).or_default().push(change),
                Err(defect) => defects.push(defect),
            }
        }
    }
    for ((index, param), changes) in &changes {
        let Some((_, component)) = components.get_mut(*index) else { continue };
        if let Err(defect) = apply(component, param, changes) {
            defects.push(defect);
        }
    }
    if !defects.is_empty() {
        return Err(fail(LoraFault::Keys(defects)));
    }
    if changes.is_empty() {
        return Err(fail(LoraFault::NoChange));
    }
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    changes.keys().for_each(|(index, _)| *counts.entry(*index).or_insert(0) += 1);
    let mut changed = Vec::new();
    let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for (index, count) in counts {
        let Some((name, _)) = components.get(index) else { continue };
        changed.push(format!("{count} weights of {name}"));
    }
    let named = |(name, map): &(String, Arc<MappedFile>)| (format!("lora {name} scale {}", lora.scale), map.path().into());
    merged.files.extend(file.files.iter().map(named));
    let left_out = match foreign {
        0 => String::new(),
        count => format!("; {count} of its modules belong to other networks and were left out"),
    };
    merged.notes.push(format!(
        "the LoRA file {shown} was merged with scale {} into {}{left_out}{warning}",
        lora.scale,
        changed.join(", ")
    ));
    Ok(())
}

/// One product to be added to one weight.
struct Change {
    up: Weight,
    down: Weight,
    factor: f64,
}

impl Change {
    /// The part of an adapter's change that falls on a weight.
    fn of(adapter: &Adapter, weight: &ModuleWeight, scale: f64) -> std::result::Result<Self, LoraDefect> {
        let module = || adapter.module.clone();
        let matrix = |reason| LoraDefect::Matrix { module: module(), reason };
        let up = match weight.transform {
            Transform::Same => adapter.up.clone(),
            // What is done with rows of the fused weight is done with rows of `up`.
            Transform::Rows { part, of } => {
                let rows = adapter.up.shape().first().copied().unwrap_or(0);
                if rows % of != 0 {
                    return Err(LoraDefect::Rows { module: module(), rows, parts: of });
                }
                WeightExpr::rows(adapter.up.clone(), part * (rows / of), rows / of).map_err(matrix)?
            }
            Transform::SwapHalves => WeightExpr::swap_halves(adapter.up.clone()).map_err(matrix)?,
            Transform::Transpose | Transform::Pointwise => return Err(LoraDefect::Layout { module: module() }),
        };
        match scale * adapter.factor {
            factor if factor.is_finite() => Ok(Self { up, down: adapter.down.clone(), factor }),
            _ => Err(LoraDefect::Factor { module: module() }),
        }
    }
}

/// Changes a weight in every part that has it; the parts keep sharing one.
fn apply(component: &mut Component, param: &str, changes: &[Change]) -> std::result::Result<(), LoraDefect> {
    let weight = component.parts.values().find_map(|graph| graph.params().get(param)?.weight.clone());
    let mut weight = weight.ok_or_else(|| LoraDefect::NoWeight { param: param.into() })?;
    for change in changes {
        let sum = WeightExpr::low_rank(weight, change.up.clone(), change.down.clone(), change.factor);
        weight = sum.map_err(|reason| LoraDefect::Product { param: param.into(), reason })?;
    }
    for graph in component.parts.values_mut().filter(|graph| graph.params().contains_key(param)) {
        graph.set_weight(param, weight.clone()).map_err(LoraDefect::Graph)?;
    }
    Ok(())
}

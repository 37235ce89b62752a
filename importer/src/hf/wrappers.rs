//! Names of tensors without what programs put around a network before they saved it: compilation, parallel training,
//! moving averages.

use std::collections::{BTreeMap, BTreeSet};

use dmdx_graph::Weight;

use super::tensors::Tensors;

/// Segments that wrappers put anywhere into names: torch.compile, FSDP, activation checkpointing.
const SEGMENTS: [&str; 3] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];
/// What wrappers put before every name of a file: DDP, training programs, DMD2, moving averages.
const PREFIXES: [&str; 8] =
    ["module.", "model.", "feedforward_model.", "state_dict.", "model_state_dict.", "ema.", "ema_model.", "model_ema."];
/// Prefixes of [`PREFIXES`] that say that the weights are moving averages.
const AVERAGES: [&str; 3] = ["ema.", "ema_model.", "model_ema."];
/// What the original of an average may lie behind in a file that has both.
const BESIDE_AVERAGES: [&str; 5] = ["", "model.", "module.", "online_model.", "net."];
/// Networks by whose names LoRA files begin, with the wrapper behind them.
const NETWORKS: [&str; 7] =
    ["base_model.model.", "unet.", "transformer.", "text_encoder.", "text_encoder_2.", "text_encoder_3.", "vae."];
/// `model.` belongs to the names of the original single-file layout.
const OWN: &str = "model.diffusion_model.";

type Weights = BTreeMap<String, Weight>;

/// Removes wrappers from the names of all tensors, and says so.
pub(crate) fn unwrap(tensors: &mut Tensors) {
    let mut removed = Vec::new();
    let mut averages = 0;
    loop {
        if let Some(found) = leave_out_averages(&mut tensors.weights) {
            averages += found;
        } else if let Some(wrapper) = remove_segment(&mut tensors.weights)
            .or_else(|| remove_prefix(&mut tensors.weights))
            .or_else(|| remove_behind_network(&mut tensors.weights))
        {
            removed.push(wrapper);
        } else {
            break;
        }
    }
    if averages > 0 {
        tensors.notes.push(format!(
            "{averages} tensor(s) are moving averages of others in the file and are left out; the weights themselves are used"
        ));
    }
    if !removed.is_empty() {
        let shown: Vec<String> = removed.iter().map(|wrapper| format!("`{wrapper}`")).collect();
        tensors.notes.push(format!("{} in the names of all tensors was left by a wrapper and is removed", shown.join(" and ")));
    }
    if removed.iter().any(|wrapper| AVERAGES.contains(&wrapper.as_str())) {
        tensors.notes.push("the weights are moving averages (EMA); the file holds no others".into());
    }
}

/// Gives every name its new one, unless two would become the same.
fn rename(weights: &mut Weights, new: impl Fn(&str) -> String) -> bool {
    let names: BTreeSet<String> = weights.keys().map(|name| new(name)).collect();
    if names.len() != weights.len() || weights.keys().eq(names.iter()) {
        return false;
    }
    *weights = std::mem::take(weights).into_iter().map(|(name, weight)| (new(&name), weight)).collect();
    true
}

fn remove_segment(weights: &mut Weights) -> Option<String> {
    let removed = |segment: &&str| {
        let (inside, flat) = (format!("{segment}."), format!("_{segment}_"));
        rename(weights, |name| match name.starts_with("lora_") {
            // kohya's programs write the dots of a path as underscores.
            true => name.replace(&flat, "_"),
            false => name.split_inclusive('.').filter(|part| *part != inside).collect(),
        })
    };
    SEGMENTS.into_iter().find(removed).map(|segment| format!("{segment}."))
}

fn remove_prefix(weights: &mut Weights) -> Option<String> {
    if weights.is_empty() || weights.keys().any(|name| name.starts_with(OWN)) {
        return None;
    }
    let prefix = PREFIXES.into_iter().find(|prefix| weights.keys().all(|name| name.starts_with(prefix)))?;
    rename(weights, |name| name.strip_prefix(prefix).unwrap_or(name).into()).then(|| prefix.into())
}

fn remove_behind_network(weights: &mut Weights) -> Option<String> {
    for network in NETWORKS {
        for wrapper in ["module.", "feedforward_model."] {
            let wrapped = format!("{network}{wrapper}");
            let mut own = weights.keys().filter(|name| name.starts_with(network)).peekable();
            if own.peek().is_none() || !own.all(|name| name.starts_with(&wrapped)) {
                continue;
            }
            let new = |name: &str| name.strip_prefix(&wrapped).map_or(name.into(), |rest| format!("{network}{rest}"));
            if rename(weights, new) {
                return Some(wrapper.into());
            }
        }
    }
    None
}

/// Removes the tensors that are moving averages of others, with the counters beside them.
fn leave_out_averages(weights: &mut Weights) -> Option<usize> {
    let mut averages: BTreeSet<String> = weights.keys().filter(|name| is_average(name, weights)).cloned().collect();
    if averages.is_empty() {
        return None;
    }
    let prefixes = AVERAGES.into_iter().filter(|prefix| averages.iter().any(|name| name.starts_with(prefix)));
    let counters: Vec<String> = prefixes
        .flat_map(|prefix| weights.iter().filter(move |(name, weight)| name.starts_with(prefix) && weight.elements() == 1))
        .map(|(name, _)| name.clone())
        .collect();
    averages.extend(counters);
    weights.retain(|name, _| !averages.contains(name));
    Some(averages.len())
}

fn is_average(name: &str, weights: &Weights) -> bool {
    let same = |other: &str| other != name && weights.get(other).map(Weight::shape) == weights.get(name).map(Weight::shape);
    let by_prefix = AVERAGES.iter().filter_map(|prefix| name.strip_prefix(prefix));
    if by_prefix.into_iter().any(|rest| BESIDE_AVERAGES.iter().any(|beside| same(&format!("{beside}{rest}")))) {
        return true;
    }
    let segments: Vec<&str> = name.split('.').collect();
    (0..segments.len()).any(|at| {
        let Some(plain) = segments[at].strip_suffix("_ema").filter(|plain| !plain.is_empty()) else { return false };
        let mut other = segments.clone();
        other[at] = plain;
        same(&other.join("."))
    })
}

//! Gives every parameter of a network its tensor. Every tensor is used or reported, every needed one is there, every
//! shape matches, or one error lists all defects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dmdx_graph::{DType, Graph, Weight};
use serde::Serialize;

use crate::arch::ArchGraphs;
use crate::defects::{Defects, WrongShape};
use crate::error::{ImportError, Result};
use crate::nonfinite;
use crate::options::{ImportOptions, Nonfinite};
use crate::original::{Naming, Recipe, Transform, elsewhere, params};

/// What a binding found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BindReport {
    /// Number of tensors that became weights.
    pub used: usize,
    /// Tensors that the network has no place for, sorted.
    pub unused: Vec<String>,
    /// Tensors that the network leaves out on purpose, sorted, by the reason why nothing is lost.
    pub ignored: BTreeMap<&'static str, Vec<String>>,
    /// `old name -> new name` of tensors taken under another name.
    pub renamed: Vec<String>,
    /// Elements in the storage types of the weights used.
    pub dtypes: BTreeMap<&'static str, u64>,
    /// Bytes of the weights used.
    pub bytes: u64,
    /// NaN or infinite elements by tensor; `None` when nobody counted.
    pub nonfinite: Option<BTreeMap<String, u64>>,
    /// What else the user should know: the variant that was read, configuration keys that nobody asked for.
    pub notes: Vec<String>,
}

/// Binds the parameters of all parts of a network to tensors with the reference library's names.
///
/// # Errors
/// One error with every missing tensor, wrong shape and wrong type; or with unused tensors or NaN values where the
/// options refuse them.
pub(crate) fn bind(
    path: &Path,
    network: &mut ArchGraphs,
    weights: &BTreeMap<String, Weight>,
    options: &ImportOptions,
) -> Result<BindReport> {
    bind_named(path, network, weights, None, options)
}

/// As [`bind`], with tensors in the layout of `naming`.
///
/// # Errors
/// As [`bind`].
pub(crate) fn bind_named(
    path: &Path,
    network: &mut ArchGraphs,
    weights: &BTreeMap<String, Weight>,
    naming: Option<&Naming>,
    options: &ImportOptions,
) -> Result<BindReport> {
    let mut report = BindReport { notes: network.warnings.clone(), ..BindReport::default() };
    report.notes.extend(naming.and_then(Naming::note));
    let mut used = BTreeSet::new();
    let mut defects = Defects::default();
    let sources = sources(network, weights, naming);
    report.notes.extend(leave_out_absent_parts(network, &sources, weights));
    report.notes.extend(identities(&sources, weights));
    let mut bound = BTreeMap::new();
    for (_, graph) in &mut network.parts {
        bind_part(graph, weights, &sources, &mut bound, &mut used, &mut defects)?;
    }
    for (name, weight) in weights.iter().filter(|(name, _)| !used.contains(*name)) {
        let reason = match naming {
            None => network.ignored(name).or_else(|| twin(network, "", name, weight, weights)),
            Some(naming) => match naming.strip(name) {
                Some(own) => {
                    let known = network.ignored(&naming.present(own)).or_else(|| naming.ignored(own));
                    known.or_else(|| twin(network, naming.prefix(), own, weight, weights))
                }
                None => elsewhere(name, weights),
            },
        };
        match reason {
            Some(reason) => report.ignored.entry(reason).or_default().push(name.clone()),
            None => defects.unused.push(name.clone()),
        }
    }
    if defects.is_fatal() || (options.deny_unused && !defects.unused.is_empty()) {
        let (class, defects) = (network.class.clone(), Box::new(defects.sorted()));
        return Err(ImportError::Binding { class, path: path.into(), defects });
    }
    report.unused = defects.unused;
    report.used = used.len();
    if naming.is_none() {
        let renamed = sources.iter().filter(|(new, recipe)| **new != recipe.tensor);
        report.renamed = renamed.map(|(new, recipe)| format!("{} -> {new}", recipe.tensor)).collect();
    }
    let used: Vec<(&String, &Weight)> = used.iter().filter_map(|name| weights.get_key_value(*name)).collect();
    for (_, weight) in &used {
        let (stored, bytes) = weight.stored();
        *report.dtypes.entry(stored).or_insert(0) += weight.elements() as u64;
        report.bytes += bytes as u64;
    }
    if options.nonfinite != Nonfinite::Skip {
        report.nonfinite = Some(nonfinite::count(used.into_iter()));
    }
    refuse_nonfinite(path, &report, options)?;
    Ok(report)
}

/// For every parameter its tensor in the file and what is done with it. With the reference library's names only what is
/// there; with another layout what should be there.
fn sources(network: &ArchGraphs, weights: &BTreeMap<String, Weight>, naming: Option<&Naming>) -> BTreeMap<String, Recipe> {
    let wanted: BTreeSet<&str> = params(network).collect();
    if let Some(naming) = naming {
        let older = weights.keys().filter_map(|tensor| {
            let own = naming.strip(tensor)?;
            let new = network.canonical_name(own);
            (new != own).then(|| (new.into_owned(), tensor))
        });
        let older: BTreeMap<String, &String> = older.collect();
        let recipe = |name: &&str| {
            let mut recipe = naming.recipe(name)?;
            if !weights.contains_key(&recipe.tensor) {
                recipe.tensor = older.get(*name).map_or(recipe.tensor, |tensor| (*tensor).clone());
            }
            Some((name.to_string(), recipe))
        };
        return wanted.iter().filter_map(recipe).collect();
    }
    let recipe = |new: &str, tensor: &str, weight: &Weight| {
        let pointwise = network.class == "AutoencoderKL" && new.contains(".attentions.") && weight.shape().ends_with(&[1, 1]);
        // Early conversions kept the convolutions of the original's attention.
        Recipe::with(tensor, if pointwise { Transform::Pointwise } else { Transform::Same })
    };
    let exact = wanted.iter().filter_map(|name| Some((name.to_string(), recipe(name, name, weights.get(*name)?))));
    let mut sources: BTreeMap<String, Recipe> = exact.collect();
    for (old, weight) in weights.iter().filter(|(name, _)| !wanted.contains(name.as_str())) {
        let new = network.canonical_name(old);
        if wanted.contains(&*new) {
            // The present name wins: the old one is then ignored as a twin, or unused when it holds something else.
            let taken = recipe(&new, old, weight);
            sources.entry(new.into_owned()).or_insert(taken);
        }
    }
    sources
}

/// Removes the parts of which the file holds nothing beyond what it holds for others, such as the mask decoder of a SAM
/// file with the vision encoder alone, and says so. A file with tensors of no known use is not taken for such a file.
fn leave_out_absent_parts(
    network: &mut ArchGraphs,
    sources: &BTreeMap<String, Recipe>,
    weights: &BTreeMap<String, Weight>,
) -> Vec<String> {
    let used: BTreeSet<&str> = sources.values().map(|recipe| recipe.tensor.as_str()).collect();
    let present = |name: &str| sources.get(name).is_some_and(|recipe| weights.contains_key(&recipe.tensor));
    if !sources.keys().any(|name| present(name))
        || weights.keys().any(|name| !used.contains(name.as_str()) && network.ignored(name).is_none())
    {
        return Vec::new();
    }
    let mut readers: BTreeMap<String, usize> = BTreeMap::new();
    for name in params(network) {
        *readers.entry(name.to_string()).or_insert(0) += 1;
    }
    let is_absent = |graph: &Graph| {
        let mut own = graph.params().keys().filter(|name| readers.get(&***name) == Some(&1)).peekable();
        own.peek().is_some() && own.all(|name| !present(name))
    };
    let (absent, present) = std::mem::take(&mut network.parts).into_iter().partition(|(_, graph)| is_absent(graph));
    network.parts = present;
    let absent: Vec<(String, Graph)> = absent;
    absent.into_iter().map(|(part, _)| format!("`{part}` is left out: the file holds none of its tensors")).collect()
}

/// Sentences about tensors that the file leaves out because they are the identity.
fn identities<'a>(
    sources: &'a BTreeMap<String, Recipe>,
    weights: &'a BTreeMap<String, Weight>,
) -> impl Iterator<Item = String> + 'a {
    let absent = sources.values().filter(|recipe| recipe.or_identity && !weights.contains_key(&recipe.tensor));
    absent.map(|recipe| format!("the file has no `{}`, which then is the identity", recipe.tensor))
}

/// Whether a tensor is the copy of another under an older name, which nothing is lost without.
fn twin(
    network: &ArchGraphs,
    prefix: &str,
    name: &str,
    weight: &Weight,
    weights: &BTreeMap<String, Weight>,
) -> Option<&'static str> {
    let new = network.canonical_name(name);
    let other = weights.get(&format!("{prefix}{new}")).filter(|_| new != name)?;
    let same = other.dtype() == weight.dtype()
        && other.shape() == weight.shape()
        && other.with_bytes(|bytes| weight.with_bytes(|copy| bytes == copy));
    same.then_some("the same tensor is there under its present name")
}

/// Gives every parameter of a part its weight; what several parts share is one weight in `bound`.
fn bind_part<'w>(
    graph: &mut Graph,
    weights: &'w BTreeMap<String, Weight>,
    sources: &BTreeMap<String, Recipe>,
    bound: &mut BTreeMap<String, Weight>,
    used: &mut BTreeSet<&'w String>,
    defects: &mut Defects,
) -> Result<()> {
    let needed: Vec<(String, Vec<usize>, DType)> = graph
        .params()
        .iter()
        .map(|(name, param)| (name.to_string(), param.shape.clone(), graph.value(param.value).ty.dtype))
        .collect();
    for (name, shape, dtype) in needed {
        let weight = match bound.get(&name) {
            Some(weight) if weight.shape() == shape => Some(weight.clone()),
            _ => weight_for(&name, &shape, dtype, weights, sources, used, defects),
        };
        if let Some(weight) = weight {
            graph.set_weight(&name, weight.clone())?;
            bound.insert(name, weight);
        }
    }
    Ok(())
}

/// The weight of one parameter; without one, the reason is among the defects.
fn weight_for<'w>(
    name: &str,
    shape: &[usize],
    dtype: DType,
    weights: &'w BTreeMap<String, Weight>,
    sources: &BTreeMap<String, Recipe>,
    used: &mut BTreeSet<&'w String>,
    defects: &mut Defects,
) -> Option<Weight> {
    let Some(recipe) = sources.get(name) else {
        defects.missing.push(name.into());
        return None;
    };
    let Some((key, weight)) = weights.get_key_value(&recipe.tensor) else {
        let identity = recipe.or_identity.then(|| identity(shape)).flatten();
        if identity.is_none() {
            defects.missing.push(recipe.tensor.clone());
        }
        return identity;
    };
    used.insert(key);
    if weight.dtype().is_float() != dtype.is_float() {
        defects.wrong_dtype.push(format!("{key} is {} but {} is needed", weight.dtype().name(), dtype.name()));
        return None;
    }
    let fitting = recipe.transform.source_shapes(shape);
    let wrong = |needed: Vec<usize>| WrongShape { name: key.clone(), found: weight.shape().to_vec(), needed };
    if !fitting.iter().any(|shape| shape == weight.shape()) {
        defects.wrong_shape.push(wrong(fitting.into_iter().next().unwrap_or_default()));
        return None;
    }
    let result = recipe.transform.apply(weight.clone(), shape);
    if result.is_none() {
        // The shape was checked; a transform that still refuses is told as one.
        defects.wrong_shape.push(wrong(shape.to_vec()));
    }
    result
}

/// The identity matrix of a square shape.
fn identity(shape: &[usize]) -> Option<Weight> {
    let [rows, columns] = *shape else { return None };
    let mut values = vec![0.0; rows.checked_mul(columns).filter(|_| rows == columns)?];
    values.iter_mut().step_by(columns + 1).for_each(|value| *value = 1.0);
    Weight::from_f32(&values, shape.to_vec()).ok()
}

fn refuse_nonfinite(path: &Path, report: &BindReport, options: &ImportOptions) -> Result<()> {
    match &report.nonfinite {
        Some(found) if options.nonfinite == Nonfinite::Deny && !found.is_empty() => {
            let names: Vec<String> = found.keys().cloned().collect();
            Err(ImportError::Nonfinite { path: path.into(), count: found.values().sum(), tensors: names })
        }
        _ => Ok(()),
    }
}

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

/// Binds the parameters of all parts of a network.
///
/// # Errors
/// One error with every missing tensor, wrong shape and wrong type; or with unused tensors or NaN values where the
/// options refuse them.
pub fn bind(
    path: &Path,
    network: &mut ArchGraphs,
    weights: &BTreeMap<String, Weight>,
    options: &ImportOptions,
) -> Result<BindReport> {
    let mut report = BindReport { notes: network.warnings.clone(), ..BindReport::default() };
    let mut used = BTreeSet::new();
    let mut defects = Defects::default();
    let sources = sources(network, weights);
    for (_, graph) in &mut network.parts {
        bind_part(graph, weights, &sources, &mut used, &mut defects)?;
    }
    for name in weights.keys().filter(|name| !used.contains(*name)) {
        match network.ignored(name) {
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
    report.renamed = sources.iter().filter(|(new, old)| new != old).map(|(new, old)| format!("{old} -> {new}")).collect();
    let used: Vec<(&String, &Weight)> = used.iter().filter_map(|name| weights.get_key_value(*name)).collect();
    for (_, weight) in &used {
        *report.dtypes.entry(weight.dtype().name()).or_insert(0) += weight.elements() as u64;
        report.bytes += weight.byte_length() as u64;
    }
    if options.nonfinite != Nonfinite::Skip {
        report.nonfinite = Some(nonfinite::count(used.into_iter()));
    }
    refuse_nonfinite(path, &report, options)?;
    Ok(report)
}

/// For every parameter the name of its tensor in the file, where there is one.
fn sources(network: &ArchGraphs, weights: &BTreeMap<String, Weight>) -> BTreeMap<String, String> {
    let params = network.parts.iter().flat_map(|(_, graph)| graph.params().keys());
    let wanted: BTreeSet<&str> = params.map(|name| &**name).collect();
    let exact = wanted.iter().filter(|name| weights.contains_key(**name));
    let mut sources: BTreeMap<String, String> = exact.map(|name| (name.to_string(), name.to_string())).collect();
    for old in weights.keys().filter(|name| !wanted.contains(name.as_str())) {
        let new = network.canonical_name(old);
        if wanted.contains(&*new) {
            // The present name wins: the old one is then reported as unused.
            sources.entry(new.into_owned()).or_insert_with(|| old.clone());
        }
    }
    sources
}

fn bind_part<'w>(
    graph: &mut Graph,
    weights: &'w BTreeMap<String, Weight>,
    sources: &BTreeMap<String, String>,
    used: &mut BTreeSet<&'w String>,
    defects: &mut Defects,
) -> Result<()> {
    let needed: Vec<(String, Vec<usize>, DType)> = graph
        .params()
        .iter()
        .map(|(name, param)| (name.to_string(), param.shape.clone(), graph.value(param.value).ty.dtype))
        .collect();
    for (name, shape, dtype) in needed {
        let Some((key, weight)) = sources.get(&name).and_then(|source| weights.get_key_value(source)) else {
            defects.missing.push(name);
            continue;
        };
        used.insert(key);
        if weight.dtype().is_float() != dtype.is_float() {
            defects.wrong_dtype.push(format!("{key} is {} but {} is needed", weight.dtype().name(), dtype.name()));
        } else if weight.shape() != shape {
            defects.wrong_shape.push(WrongShape { name: key.clone(), found: weight.shape().to_vec(), needed: shape });
        } else {
            graph.set_weight(&name, weight.clone())?;
        }
    }
    Ok(())
}

fn refuse_nonfinite(path: &Path, report: &BindReport, options: &ImportOptions) -> Result<()> {
    match &report.nonfinite {
        Some(found) if options.nonfinite == Nonfinite::Deny && !found.is_empty() => {
            let names: Vec<String> = found.keys().cloned().collect();
            Err(ImportError::Nonfinite {
                path: path.into(),
                count: found.values().sum(),
                tensors: crate::defects::shortened(&names),
            })
        }
        _ => Ok(()),
    }
}

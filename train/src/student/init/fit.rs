//! Whether a student has the teacher's network: its tensors, and what is computed with them.

use std::collections::BTreeMap;

use dmdx_graph::{Graph, text};
use dmdx_importer::Component;
use serde_json::Value;

use super::refused;
use crate::error::TrainError;

/// Refuses tensors that are not the teacher's by name and shape, naming the first.
///
/// # Errors
/// [`TrainError::Recipe`].
pub(super) fn tensors<'a>(teacher: &Graph, own: impl Iterator<Item = (&'a str, &'a [usize])>) -> Result<(), TrainError> {
    let own: BTreeMap<&str, &[usize]> = own.collect();
    let is_float = |name: &str| {
        let weight = teacher.params().get(name).and_then(|param| param.weight.as_ref());
        weight.is_none_or(|weight| weight.dtype().is_float())
    };
    let wanted: BTreeMap<&str, &[usize]> = teacher
        .params()
        .iter()
        .filter(|(name, _)| is_float(name))
        .map(|(name, param)| (&**name, param.shape.as_slice()))
        .collect();
    for (name, shape) in &wanted {
        match own.get(name) {
            None => return Err(refused(format!("has no tensor {name}, which the teacher's network has{}", few(&wanted, &own)))),
            Some(found) if found != shape => {
                let problem = format!("has {name} of shape {found:?}, but the teacher's network has it of shape {shape:?}");
                return Err(refused(problem));
            }
            Some(_) => {}
        }
    }
    match own.keys().find(|name| !teacher.params().contains_key(**name)) {
        Some(extra) => Err(refused(format!("has a tensor {extra}, which the teacher's network has not"))),
        None => Ok(()),
    }
}

/// How many are missing, where it is more than the one that is named.
fn few(wanted: &BTreeMap<&str, &[usize]>, own: &BTreeMap<&str, &[usize]>) -> String {
    match wanted.keys().filter(|name| !own.contains_key(**name)).count() {
        1 => String::new(),
        count => format!(" (nor {} others of its {})", count - 1, wanted.len()),
    }
}

/// Refuses a network of another class.
///
/// # Errors
/// [`TrainError::Recipe`].
pub(super) fn class(teacher: &Component, own: &Component) -> Result<(), TrainError> {
    match own.class == teacher.class {
        true => Ok(()),
        false => Err(refused(format!("is a {}, but the teacher's network is a {}", own.class, teacher.class))),
    }
}

/// Refuses a network that computes something else with the same tensors: other numbers of heads, groups, patches.
///
/// # Errors
/// [`TrainError::Recipe`].
pub(super) fn network(teacher: (&Component, &Graph), own: (&Component, &Graph)) -> Result<(), TrainError> {
    let ((teacher, graph), (component, network)) = (teacher, own);
    tensors(graph, network.params().iter().map(|(name, param)| (&**name, param.shape.as_slice())))?;
    if text::print(network) == text::print(graph) {
        return Ok(());
    }
    let what = difference(&component.config, &teacher.config)
        .map_or_else(|| "its configuration".to_string(), |(key, own, theirs)| format!("{key} = {own} instead of {theirs}"));
    Err(refused(format!("has the teacher's tensors, but another network is made of them by {what}")))
}

/// The first setting that two configurations have differently, with both values; what libraries write of themselves aside.
fn difference(own: &Value, theirs: &Value) -> Option<(String, Value, Value)> {
    let (own, theirs) = (own.as_object()?, theirs.as_object()?);
    let keys = own.keys().chain(theirs.keys()).filter(|key| !key.starts_with('_'));
    let value = |of: &serde_json::Map<String, Value>, key: &str| of.get(key).cloned().unwrap_or_default();
    keys.map(|key| (key.clone(), value(own, key), value(theirs, key))).find(|(_, own, theirs)| own != theirs)
}

//! `If` whose condition is known while a model is imported: the branch that is taken stands in the place of the node.

use super::constant::{Constant, Data};
use super::converter::Converter;
use super::item::Item;
use crate::onnx::shown::shown;
use crate::onnx::tensor;
use crate::onnx::view::{Node, ValueInfo, bytes, repeated};

/// What the results of an `If` are: those of its branch.
///
/// # Errors
/// When the condition is known only when the network runs, or the branch breaks a rule of ONNX.
pub(super) fn convert<'m>(c: &mut Converter<'m>, node: &Node<'m>) -> Result<Vec<Item>, String> {
    let [condition] = node.inputs.as_slice() else { return Err("it needs exactly one condition".into()) };
    let taken = match c.items.get(condition).ok_or("its condition is missing")?.clone() {
        Item::Lost => return Ok(vec![Item::Lost; node.outputs.len()]),
        Item::Constant(constant) => truth(&constant),
        Item::Weight(weight) if weight.elements() == 1 => truth(&Constant::of(&weight, &mut c.budget)?),
        _ => None,
    };
    let taken = taken.ok_or("its condition is known only when the network runs; export the branch that is meant")?;
    let wanted = if taken { "then_branch" } else { "else_branch" };
    let known = |name: &str| matches!(name, "then_branch" | "else_branch");
    if let Some(other) = node.attributes.iter().find(|attribute| !known(attribute.name)) {
        return Err(format!("its attribute `{}` is not known", shown(other.name)));
    }
    let branch = node.attributes.iter().find(|attribute| attribute.name == wanted).and_then(|attribute| attribute.g);
    let branch = branch.ok_or_else(|| format!("its attribute `{wanted}` holds no graph"))?;
    let mut locals = Vec::new();
    let items = inside(c, branch, &mut locals);
    // Another branch may use the same names for other values.
    for name in locals {
        c.items.remove(name);
        c.params.remove(name);
    }
    let items = items?;
    match items.len() == node.outputs.len() {
        true => Ok(items),
        false => Err(format!("its branch has {} results where it has {}", items.len(), node.outputs.len())),
    }
}

/// The only element of a condition.
fn truth(constant: &Constant) -> Option<bool> {
    match &constant.data {
        Data::Ints(values) if values.len() == 1 => Some(values[0] != 0),
        Data::Ints(_) | Data::Floats(_) | Data::Sizes(_) => None,
    }
}

/// The results of a branch, which sees all values around it. `locals` gets the names that it defines.
fn inside<'m>(c: &mut Converter<'m>, branch: &'m [u8], locals: &mut Vec<&'m str>) -> Result<Vec<Item>, String> {
    if repeated(branch, 11).next().is_some() {
        return Err("its branch has inputs, which ONNX does not allow".into());
    }
    for message in repeated(branch, 5).map(bytes) {
        let name = tensor::name(message);
        let weight = c.model.files.weight(message, &c.model.options);
        let weight = weight.map_err(|reason| format!("the tensor `{}` of its branch {reason}", shown(name)))?;
        define(c, name, Item::Weight(weight), locals)?;
    }
    for node in repeated(branch, 1).map(|message| Node::new(bytes(message))) {
        if let Some(input) = node.inputs.iter().find(|input| !input.is_empty() && !c.items.contains_key(*input)) {
            return Err(format!("its branch reads `{}`, which nothing before computes", shown(input)));
        }
        let items = super::items(c, &node);
        for (name, item) in node.outputs.iter().zip(items).filter(|(name, _)| !name.is_empty()) {
            define(c, name, item, locals)?;
        }
    }
    let mut results = Vec::new();
    for output in repeated(branch, 12).map(|value| ValueInfo::new(bytes(value))) {
        let item = c.items.get(output.name).cloned();
        let item = item.ok_or_else(|| format!("the result `{}` of its branch is computed by nothing", shown(output.name)))?;
        // Local names end with the branch, and with them the parameters that stand under them.
        results.push(match item {
            Item::Weight(_) => Item::Value(c.value_of(&item, output.name)?),
            other => other,
        });
    }
    Ok(results)
}

fn define<'m>(c: &mut Converter<'m>, name: &'m str, item: Item, locals: &mut Vec<&'m str>) -> Result<(), String> {
    if c.items.insert(name, item).is_some() {
        return Err(format!("its branch defines `{}` once more", shown(name)));
    }
    locals.push(name);
    Ok(())
}

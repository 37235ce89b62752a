//! One node while it is converted: its inputs and typed attributes.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::item::Item;
use crate::onnx::shown::shown;
use crate::onnx::view::{Attribute, Node};

/// Attributes that need not be looked at in every case: they change nothing in the forms that are supported.
const WITHOUT_EFFECT: [&str; 10] = [
    "allowzero",
    "auto_pad",
    "count_include_pad",
    "cubic_coeff_a",
    "extrapolation_value",
    "fmod",
    "momentum",
    "nearest_mode",
    "noop_with_empty_axes",
    "num_outputs",
];

/// A node, its inputs as they are known, and the version of the standard operators.
pub(super) struct Site<'m> {
    pub node: &'m Node<'m>,
    pub inputs: Vec<Option<Item>>,
    pub opset: i64,
    read: RefCell<BTreeSet<String>>,
}

impl<'m> Site<'m> {
    pub(super) fn new(node: &'m Node<'m>, inputs: Vec<Option<Item>>, opset: i64) -> Self {
        Self { node, inputs, opset, read: RefCell::default() }
    }

    /// Passes on the results of a node of which nothing was overlooked.
    pub(super) fn finish(&self, items: Vec<Item>) -> Result<Vec<Item>, String> {
        let read = self.read.borrow();
        let mut unread = self.node.attributes.iter().map(|attribute| attribute.name);
        if let Some(name) = unread.find(|name| !read.contains(*name) && !WITHOUT_EFFECT.contains(name)) {
            return Err(format!("its attribute `{}` is not known", shown(name)));
        }
        match self.results() > items.len() {
            true => Err(format!("its result {} is not supported", items.len())),
            false => Ok(items),
        }
    }

    /// The attribute of this name and type.
    pub(super) fn attribute(&self, name: &str, kind: i64) -> Result<Option<&Attribute<'m>>, String> {
        self.read.borrow_mut().insert(name.into());
        match self.node.attributes.iter().find(|attribute| attribute.name == name) {
            Some(attribute) if attribute.kind != kind => {
                Err(format!("its attribute `{name}` has the type {}, {kind} is needed", attribute.kind))
            }
            found => Ok(found),
        }
    }

    /// An integer.
    pub(super) fn int(&self, name: &str, default: i64) -> Result<i64, String> {
        Ok(self.attribute(name, 2)?.map_or(default, |attribute| attribute.i.unwrap_or_default()))
    }

    /// A finite number.
    pub(super) fn float(&self, name: &str, default: f64) -> Result<f64, String> {
        let value = self.attribute(name, 1)?.map_or(default, |attribute| f64::from(attribute.f.unwrap_or_default()));
        if value.is_finite() { Ok(value) } else { Err(format!("its attribute `{name}` is {value}")) }
    }

    /// A text.
    pub(super) fn text(&self, name: &str, default: &'m str) -> Result<&'m str, String> {
        let bytes = self.attribute(name, 3)?.map(|attribute| attribute.s.unwrap_or_default());
        let text = bytes.map_or(Ok(default), std::str::from_utf8);
        text.map_err(|_| format!("its attribute `{name}` is not UTF-8"))
    }

    /// A list of integers, `None` if it is not given.
    pub(super) fn ints(&self, name: &str) -> Result<Option<&[i64]>, String> {
        Ok(self.attribute(name, 7)?.map(|attribute| attribute.ints.as_slice()))
    }

    /// A list of sizes of a given length.
    pub(super) fn sizes<const N: usize>(&self, name: &str, default: [usize; N]) -> Result<[usize; N], String> {
        let Some(given) = self.ints(name)? else { return Ok(default) };
        let sizes: Option<Vec<usize>> =
            given.iter().map(|&size| usize::try_from(size).ok().filter(|size| *size <= 1 << 31)).collect();
        let sizes = sizes.and_then(|sizes| sizes.try_into().ok());
        sizes.ok_or_else(|| format!("its attribute `{name}` is {given:?}, {N} sizes are needed"))
    }

    /// An input that is there.
    pub(super) fn input(&self, index: usize) -> Result<&Item, String> {
        self.optional(index).ok_or_else(|| format!("its input {index} is missing"))
    }

    /// An input that may be left out.
    pub(super) fn optional(&self, index: usize) -> Option<&Item> {
        self.inputs.get(index).and_then(Option::as_ref)
    }

    /// The number of results that something reads by name.
    pub(super) fn results(&self) -> usize {
        self.node.outputs.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1)
    }

    /// Refuses attribute values other than the one that is supported.
    pub(super) fn only(&self, name: &str, supported: i64) -> Result<(), String> {
        match self.int(name, supported)? {
            value if value == supported => Ok(()),
            value => Err(format!("its attribute `{name}` is {value}, only {supported} is supported")),
        }
    }
}

//! Everything that does not fit between a network and its weights, in one list.

use std::fmt;

/// How many names of one kind a message lists before it says "and N more".
const LISTED: usize = 20;
/// Characters of one entry that are shown.
const LONGEST: usize = 400;

/// A tensor whose shape is not the network's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongShape {
    /// The tensor.
    pub name: String,
    /// Its shape in the file.
    pub found: Vec<usize>,
    /// The shape that the network needs.
    pub needed: Vec<usize>,
}

/// All defects of one binding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defects {
    /// Parameters without a tensor, sorted.
    pub missing: Vec<String>,
    /// Tensors of another shape, sorted by name.
    pub wrong_shape: Vec<WrongShape>,
    /// `name: dtype` of tensors that cannot serve as weights there.
    pub wrong_dtype: Vec<String>,
    /// Tensors that the network has no place for; an error only together with other defects or when refused.
    pub unused: Vec<String>,
}

impl Defects {
    /// Whether the network cannot be bound.
    pub(crate) fn is_fatal(&self) -> bool {
        !(self.missing.is_empty() && self.wrong_shape.is_empty() && self.wrong_dtype.is_empty())
    }

    /// The same defects in the order that the docstrings promise, each once.
    pub(crate) fn sorted(mut self) -> Self {
        self.missing.sort_unstable();
        self.missing.dedup();
        self.wrong_shape.sort_by(|a, b| a.name.cmp(&b.name));
        self.wrong_shape.dedup();
        self.wrong_dtype.sort_unstable();
        self.wrong_dtype.dedup();
        self
    }
}

impl fmt::Display for Defects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shapes: Vec<String> =
            self.wrong_shape.iter().map(|w| format!("{} is {:?} but {:?} is needed", w.name, w.found, w.needed)).collect();
        let groups = [
            ("missing tensor(s)", &self.missing),
            ("tensor(s) of wrong shape", &shapes),
            ("tensor(s) of wrong type", &self.wrong_dtype),
            ("unused tensor(s)", &self.unused),
        ];
        let parts: Vec<String> = groups
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{} {what}: {}", names.len(), shortened(names)))
            .collect();
        f.write_str(&parts.join("; "))
    }
}

/// The first names of a list, and how many follow. A name that would not be seen as one is quoted, a very long one cut.
pub(crate) fn shortened(names: &[String]) -> String {
    let shown = |name: &String| match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &name[..end]),
        None if name.is_empty() || name.contains(char::is_control) => format!("{name:?}"),
        None => name.clone(),
    };
    let mut text = names.iter().take(LISTED).map(shown).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        text.push_str(&format!(" and {} more", names.len() - LISTED));
    }
    text
}

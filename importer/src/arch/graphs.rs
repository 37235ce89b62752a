//! What a configuration describes: graphs with declared parameters, and what is known of the names in its files.

use std::borrow::Cow;

use dmdx_graph::Graph;

/// Tensors of a checkpoint that the graphs leave out on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// A tensor's full name, a prefix that ends in a dot, or a suffix that begins with one.
    pub pattern: &'static str,
    /// Why nothing is lost.
    pub reason: &'static str,
}

/// A module that older versions of the reference library called otherwise, or that shares its weights with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rename {
    /// The old name: one segment of the dotted path, or a prefix of the whole path that ends in a dot.
    pub old: &'static str,
    /// The name now: one or more segments, or again a prefix that ends in a dot.
    pub new: &'static str,
}

/// What a configuration describes.
#[derive(Clone, Debug)]
pub struct ArchGraphs {
    /// The reference class.
    pub class: String,
    /// Graphs with declared parameters and no weights: `unet` | `transformer` | `vae_encoder`, `vae_decoder` | `text_encoder`,
    /// `text_encoder_masked` | `vision_encoder`, `sam` | `inception` | `lpips`.
    pub parts: Vec<(String, Graph)>,
    /// Tensors that are not an error although no graph uses them.
    pub ignored: Vec<Ignored>,
    /// Names of older files.
    pub renames: Vec<Rename>,
    /// Sentences about configuration keys that were not understood.
    pub warnings: Vec<String>,
}

impl ArchGraphs {
    /// Graphs that leave no tensor out and know no older names.
    pub(crate) fn new(class: &str, parts: Vec<(String, Graph)>, warnings: Vec<String>) -> Self {
        Self { class: class.into(), parts, ignored: Vec::new(), renames: Vec::new(), warnings }
    }

    /// The present name of a tensor in a file.
    pub fn canonical_name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let mut prefixes = self.renames.iter().filter(|rename| rename.old.ends_with('.'));
        if let Some((new, rest)) = prefixes.find_map(|rename| Some((rename.new, name.strip_prefix(rename.old)?))) {
            return Cow::Owned(format!("{new}{rest}"));
        }
        if !name.split('.').any(|segment| self.renames.iter().any(|rename| rename.old == segment)) {
            return Cow::Borrowed(name);
        }
        let present = |segment| self.renames.iter().find(|rename| rename.old == segment).map_or(segment, |rename| rename.new);
        Cow::Owned(name.split('.').map(present).collect::<Vec<_>>().join("."))
    }

    /// Why a tensor is left out on purpose, if it is.
    pub fn ignored(&self, name: &str) -> Option<&'static str> {
        let fits = |pattern: &str| {
            let (prefix, suffix) = (pattern.ends_with('.'), pattern.starts_with('.'));
            name == pattern || (prefix && name.starts_with(pattern)) || (suffix && name.ends_with(pattern))
        };
        self.ignored.iter().find(|ignored| fits(ignored.pattern)).map(|ignored| ignored.reason)
    }
}

//! The sources of all crates, parsed.

use std::path::{Path, PathBuf};

/// One file below a crate's `src`.
pub struct Source {
    /// The crate's folder.
    pub krate: &'static str,
    /// Path from the repository's root, with `/`.
    pub path: String,
    /// Module path within the crate; empty for the root.
    pub module: Vec<String>,
    /// The text.
    pub text: String,
    /// The items.
    pub items: Vec<syn::Item>,
}

/// The crates that are checked.
pub const CRATES: [&str; 5] = ["graph", "importer", "runtime", "export", "train"];

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every source file but those of unit tests.
pub fn all() -> Vec<Source> {
    let mut found = Vec::new();
    for krate in CRATES {
        walk(&root().join(krate).join("src"), krate, &mut Vec::new(), &mut found);
    }
    found
}

fn walk(folder: &Path, krate: &'static str, module: &mut Vec<String>, found: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name == "tests" {
            continue;
        }
        if path.is_dir() {
            module.push(name);
            walk(&path, krate, module, found);
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let relative = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            let items = syn::parse_file(&text).unwrap_or_else(|error| panic!("{relative}: {error}")).items;
            let items = items.into_iter().filter(|item| !is_test(item)).collect();
            let is_folder = name == "mod" || (name == "lib" && module.is_empty());
            let module = module.iter().cloned().chain((!is_folder).then_some(name)).collect();
            found.push(Source { krate, path: relative, module, text, items });
        }
    }
}

/// Whether an item exists in tests only.
fn is_test(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|what| what == "test")
    })
}

impl Source {
    /// The text without comments, so that words in prose do not count.
    pub fn code(&self) -> String {
        let line = |line: &str| line.split("//").next().unwrap_or_default().to_string();
        self.text.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Whether the code names a word: an identifier of its own, not a part of one.
    pub fn names(&self, word: &str) -> bool {
        names(&self.code(), word)
    }
}

/// Whether a text holds a word that is not a part of a longer one.
pub fn names(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(is_part) && !text[at + word.len()..].chars().next().is_some_and(is_part)
    })
}

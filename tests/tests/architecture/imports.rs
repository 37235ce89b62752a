//! Who imports whom: files of a crate, and its rooms (the files and folders directly below `src`).

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use super::sources::{CRATES, Source};

type Path = Vec<String>;

/// Circles of imports between files and between rooms, each named by its members.
pub fn circles(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for krate in CRATES {
        let files: BTreeMap<Path, &Source> =
            sources.iter().filter(|source| source.krate == krate).map(|source| (source.module.clone(), source)).collect();
        let mut between_files: Graph = BTreeMap::new();
        let mut between_rooms: Graph = BTreeMap::new();
        for (module, source) in &files {
            for target in imported(source, &files) {
                if target == *module {
                    continue;
                }
                let rooms = [module.first(), target.first()].map(|room| room.cloned().unwrap_or_default());
                between_files.entry(source.path.clone()).or_default().insert(files[&target].path.clone());
                if rooms[0] != rooms[1] {
                    let [from, to] = rooms;
                    between_rooms.entry(format!("{krate}/{from}")).or_default().insert(format!("{krate}/{to}"));
                }
            }
        }
        found.extend(components(&between_files).into_iter().map(|circle| format!("files: {}", circle.join(", "))));
        found.extend(components(&between_rooms).into_iter().map(|circle| format!("rooms: {}", circle.join(", "))));
    }
    found
}

/// The modules that define what a file names.
fn imported(source: &Source, files: &BTreeMap<Path, &Source>) -> BTreeSet<Path> {
    let mut uses = Uses { module: source.module.clone(), paths: Vec::new() };
    source.items.iter().for_each(|item| uses.visit_item(item));
    let mut aliases: BTreeMap<String, Path> = BTreeMap::new();
    for path in uses.paths.iter().filter(|path| files.contains_key(*path)) {
        aliases.extend(path.last().map(|name| (name.clone(), path.clone())));
    }
    let mut plain = Plain { aliases: &aliases, paths: Vec::new() };
    source.items.iter().for_each(|item| plain.visit_item(item));
    let named = uses.paths.into_iter().chain(plain.paths);
    named.filter_map(|path| definition(&path, files, 0)).collect()
}

/// The module that defines what a path names: through the re-exports of the folders on the way. A module alone defines nothing.
fn definition(path: &[String], files: &BTreeMap<Path, &Source>, depth: usize) -> Option<Path> {
    let module = (0..=path.len()).rev().map(|length| &path[..length]).find(|prefix| files.contains_key(*prefix))?;
    let item = path.get(module.len())?;
    let source = files.get(module)?;
    if depth < 8 {
        for reexport in reexports(source).into_iter().filter(|(name, _)| name == item || name == "*") {
            let mut target = reexport.1;
            if reexport.0 == "*" {
                target.push(item.clone());
            }
            if let Some(found) = definition(&target, files, depth + 1).filter(|found| found != module) {
                return Some(found);
            }
        }
    }
    Some(module.to_vec())
}

/// `pub use` of a file: the name that it offers and where that comes from.
fn reexports(source: &Source) -> Vec<(String, Path)> {
    let mut found = Vec::new();
    for item in &source.items {
        if let syn::Item::Use(item) = item
            && !matches!(item.vis, syn::Visibility::Inherited)
        {
            flatten(&item.tree, &mut Vec::new(), &mut |path, name| {
                found.extend(absolute(&path, &source.module).map(|path| (name, path)));
            });
        }
    }
    found
}

/// Every path of a use tree with the name that it is known by.
fn flatten(tree: &syn::UseTree, prefix: &mut Path, take: &mut dyn FnMut(Path, String)) {
    match tree {
        syn::UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, take);
            prefix.pop();
        }
        syn::UseTree::Name(name) if name.ident == "self" => {
            take(prefix.clone(), prefix.last().cloned().unwrap_or_default());
        }
        syn::UseTree::Name(name) => {
            take(prefix.iter().cloned().chain([name.ident.to_string()]).collect(), name.ident.to_string());
        }
        syn::UseTree::Rename(name) => {
            take(prefix.iter().cloned().chain([name.ident.to_string()]).collect(), name.rename.to_string());
        }
        syn::UseTree::Glob(_) => take(prefix.clone(), "*".into()),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, prefix, take)),
    }
}

/// A path from the crate's root; `None` for other crates' and for names in scope.
fn absolute(path: &[String], module: &[String]) -> Option<Path> {
    let mut base = module.to_vec();
    let mut rest = path.iter();
    match rest.next()?.as_str() {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            base.pop();
            while rest.as_slice().first().is_some_and(|part| part == "super") {
                rest.next();
                base.pop();
            }
        }
        _ => {
            base.extend(path.iter().cloned());
            return Some(base);
        }
    }
    base.extend(rest.cloned());
    Some(base)
}

/// Uses that are no re-exports, and paths that begin with `crate`, `self` or `super`.
struct Uses {
    module: Path,
    paths: Vec<Path>,
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // What a folder only hands on is imported by whoever takes it.
        if matches!(item.vis, syn::Visibility::Inherited) {
            let (module, paths) = (&self.module, &mut self.paths);
            flatten(&item.tree, &mut Vec::new(), &mut |path, _| paths.extend(absolute(&path, module)));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Path = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if parts.len() > 1 && ["crate", "self", "super"].contains(&parts[0].as_str()) {
            self.paths.extend(absolute(&parts, &self.module));
        }
        visit::visit_path(self, path);
    }
}

/// Paths that begin with a module that was imported: `hash::file` after `use crate::store::hash`.
struct Plain<'a> {
    aliases: &'a BTreeMap<String, Path>,
    paths: Vec<Path>,
}

impl<'ast> Visit<'ast> for Plain<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Path = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let Some(module) = parts.first().and_then(|first| self.aliases.get(first)).filter(|_| parts.len() > 1) {
            self.paths.push(module.iter().chain(&parts[1..]).cloned().collect());
        }
        visit::visit_path(self, path);
    }
}

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Sets of more than one node that reach each other.
fn components(graph: &Graph) -> Vec<Vec<String>> {
    let reach = |start: &String| {
        let (mut seen, mut stack) = (BTreeSet::new(), vec![start]);
        while let Some(node) = stack.pop() {
            for next in graph.get(node).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    stack.push(next);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = graph.keys().map(|node| (node, reach(node))).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (node, seen) in &reached {
        let circle: Vec<String> =
            seen.iter().filter(|other| reached.get(other).is_some_and(|back| back.contains(*node))).cloned().collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

#[test]
fn a_circle_is_found_and_a_line_is_none() {
    let graph = |edges: &[(&str, &str)]| {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph.entry((*from).to_string()).or_default().insert((*to).to_string());
        }
        graph
    };
    assert!(components(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    assert_eq!(components(&graph(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")])), [["a", "b", "c"]]);
}

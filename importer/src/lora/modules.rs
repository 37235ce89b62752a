//! Which weights a module's name in a LoRA file means: the reference library's path, dotted or flattened, and both with
//! the names of original layouts.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{self, Name};
use crate::component::Component;
use crate::error::LoraDefect;
use crate::original::{Naming, Recipe, Transform};

/// A weight that a module changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModuleWeight {
    /// Which of the components.
    pub component: usize,
    /// The module as the reference library names it; its parameters are `module.weight` and `module.bias`.
    pub module: String,
    /// Which part of the change falls on it.
    pub transform: Transform,
}

/// Every spelling of every module.
pub(super) struct Modules {
    /// By the component's folder.
    names: Vec<String>,
    /// By component and by the path inside it.
    dotted: BTreeMap<(usize, String), Vec<ModuleWeight>>,
    /// The same with underscores for dots.
    flat: BTreeMap<(usize, String), Vec<ModuleWeight>>,
}

impl Modules {
    /// Of the weights of components by folder name.
    pub(super) fn of<'a>(components: impl Iterator<Item = (&'a str, &'a Component)>) -> Self {
        let mut modules = Modules { names: Vec::new(), dotted: BTreeMap::new(), flat: BTreeMap::new() };
        for (index, (name, component)) in components.enumerate() {
            modules.names.push(name.into());
            let params: BTreeSet<&str> =
                component.parts.values().flat_map(|graph| graph.params().keys()).map(|name| &**name).collect();
            let original = Naming::of_adapters(&component.class, &params);
            for param in params {
                let Some(module) = param.strip_suffix(".weight") else { continue };
                modules.add(index, module, &Recipe::same(param));
                if let Some(recipe) = original.as_ref().and_then(|names| names.recipe(param)) {
                    modules.add(index, module, &recipe);
                }
            }
        }
        modules
    }

    fn add(&mut self, component: usize, module: &str, recipe: &Recipe) {
        let Some(path) = recipe.tensor.strip_suffix(".weight") else { return };
        let weight = ModuleWeight { component, module: module.into(), transform: recipe.transform };
        for (spellings, path) in [(&mut self.dotted, path.to_string()), (&mut self.flat, path.replace('.', "_"))] {
            let list = spellings.entry((component, path)).or_default();
            if !list.contains(&weight) {
                list.push(weight.clone());
            }
        }
    }

    /// The weights that a module of a file means.
    ///
    /// # Errors
    /// When there are none, or several networks could be meant.
    pub(super) fn find(&self, module: &str) -> Result<&[ModuleWeight], LoraDefect> {
        let Name { networks, path, is_flat } = names::read(module, &self.names);
        let spellings = if is_flat { &self.flat } else { &self.dotted };
        let paths = [path.to_string(), names::present_path(path)];
        let of_component = |index: usize| paths.iter().find_map(|path| spellings.get(&(index, path.clone())));
        let meant = self.names.iter().enumerate().filter(|(_, name)| networks.is_empty() || networks.contains(name));
        let found: Vec<(&String, &Vec<ModuleWeight>)> =
            meant.filter_map(|(index, name)| Some((name, of_component(index)?))).collect();
        match found.as_slice() {
            [] => Err(LoraDefect::UnknownModule { module: module.into() }),
            [(_, weights)] => Ok(weights),
            several => {
                let networks = several.iter().map(|(name, _)| name.to_string()).collect();
                Err(LoraDefect::Ambiguous { module: module.into(), networks })
            }
        }
    }

    /// Whether a module's name says that it belongs to a network that is not here.
    pub(super) fn is_foreign(&self, module: &str) -> bool {
        let named = names::read(module, &self.names).networks;
        !named.is_empty() && !named.iter().any(|network| self.names.contains(network))
    }
}

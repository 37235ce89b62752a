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
    /// Rows and columns of the weight that the file's program has, of which this may be a part.
    pub size: [usize; 2],
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
            let all = component.parts.values().flat_map(|graph| graph.params());
            let shapes: BTreeMap<&str, &[usize]> = all.map(|(name, param)| (&**name, param.shape.as_slice())).collect();
            let params: BTreeSet<&str> = shapes.keys().copied().collect();
            let original = Naming::of_adapters(&component.class, &params);
            for (param, shape) in shapes {
                let Some(module) = param.strip_suffix(".weight") else { continue };
                modules.add(index, module, shape, &Recipe::same(param));
                if let Some(recipe) = original.as_ref().and_then(|names| names.recipe(param)) {
                    modules.add(index, module, shape, &recipe);
                }
            }
        }
        modules
    }

    fn add(&mut self, component: usize, module: &str, shape: &[usize], recipe: &Recipe) {
        let Some(path) = recipe.tensor.strip_suffix(".weight") else { return };
        let transform = recipe.transform;
        let parts = if let Transform::Rows { of, .. } = transform { of } else { 1 };
        let (rows, columns) = shape.split_first().map_or((1, 1), |(rows, rest)| (*rows, rest.iter().product()));
        let size = [rows.saturating_mul(parts), columns];
        let weight = ModuleWeight { component, module: module.into(), transform, size };
        for (spellings, path) in [(&mut self.dotted, path.to_string()), (&mut self.flat, path.replace('.', "_"))] {
            let list = spellings.entry((component, path)).or_default();
            if !list.contains(&weight) {
                list.push(weight.clone());
            }
        }
    }

    /// The weights that a module of a file means. If it names no network and several have it, the one that a change of
    /// these rows and columns fits.
    ///
    /// # Errors
    /// When there are none, or several networks could be meant.
    pub(super) fn find(&self, module: &str, size: Option<[usize; 2]>) -> Result<&[ModuleWeight], LoraDefect> {
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
                let fits = |weights: &[ModuleWeight]| weights.iter().all(|weight| Some(weight.size) == size);
                let mut fitting = several.iter().filter(|(_, weights)| fits(weights));
                if let (Some((_, weights)), None) = (fitting.next(), fitting.next()) {
                    return Ok(weights);
                }
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

//! Which weights a module's name in a LoRA file means: the reference library's path behind the network's folder
//! (diffusers, PEFT), the same flattened behind a short prefix (kohya), and both with the names of original layouts.

use std::collections::{BTreeMap, BTreeSet};

use crate::component::Component;
use crate::error::LoraDefect;
use crate::original::{Naming, Recipe, Transform};

/// Folders of the diffusers layout, and kohya's prefixes for the network in them.
const PREFIXES: [(&str, &[&str]); 6] = [
    ("unet", &["lora_unet_"]),
    ("transformer", &["lora_transformer_", "lora_unet_"]),
    ("text_encoder", &["lora_te_", "lora_te1_"]),
    ("text_encoder_2", &["lora_te2_"]),
    ("text_encoder_3", &["lora_te3_"]),
    ("vae", &["lora_vae_"]),
];
/// What names of denoising networks in original layouts begin with.
const ORIGINAL: &str = "diffusion_model.";

/// A weight that a module changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModuleWeight {
    /// Which of the components.
    pub component: usize,
    /// The parameter's name.
    pub param: String,
    /// Which part of the module's change falls on it.
    pub transform: Transform,
}

/// Every spelling of every module.
pub(super) struct Modules {
    spellings: BTreeMap<String, Vec<ModuleWeight>>,
    /// Paths without the network's name, with the components that have them.
    bare: BTreeMap<String, BTreeSet<usize>>,
    names: Vec<String>,
}

impl Modules {
    /// Of the weights of components by folder name.
    pub(super) fn of<'a>(components: impl Iterator<Item = (&'a str, &'a Component)>) -> Self {
        let mut modules = Modules { spellings: BTreeMap::new(), bare: BTreeMap::new(), names: Vec::new() };
        for (index, (name, component)) in components.enumerate() {
            modules.names.push(name.into());
            let params: BTreeSet<&str> =
                component.parts.values().flat_map(|graph| graph.params().keys()).map(|name| &**name).collect();
            let original = Naming::of_adapters(&component.class, &params);
            for param in params {
                let Some(module) = param.strip_suffix(".weight") else { continue };
                let recipe = original.as_ref().and_then(|names| names.recipe(param));
                modules.add(index, name, module, param, recipe);
            }
        }
        modules
    }

    fn add(&mut self, component: usize, name: &str, module: &str, param: &str, original: Option<Recipe>) {
        let weight = |transform| ModuleWeight { component, param: param.into(), transform };
        let flat = PREFIXES.iter().find(|(folder, _)| *folder == name).map_or(&[][..], |(_, prefixes)| prefixes);
        let mut spell = |key: String, weight: ModuleWeight| {
            let list = self.spellings.entry(key).or_default();
            if !list.contains(&weight) {
                list.push(weight);
            }
        };
        spell(format!("{name}.{module}"), weight(Transform::Same));
        for prefix in flat {
            spell(format!("{prefix}{}", module.replace('.', "_")), weight(Transform::Same));
        }
        if let Some((recipe, module)) = original.as_ref().and_then(|r| Some((r, r.tensor.strip_suffix(".weight")?))) {
            spell(format!("{ORIGINAL}{module}"), weight(recipe.transform));
            for prefix in flat {
                spell(format!("{prefix}{}", module.replace('.', "_")), weight(recipe.transform));
            }
        }
        self.bare.entry(module.into()).or_default().insert(component);
    }

    /// The weights that a module of a file means.
    ///
    /// # Errors
    /// When there are none, or several networks could be meant.
    pub(super) fn find(&self, module: &str) -> Result<&[ModuleWeight], LoraDefect> {
        let module = module.strip_prefix("base_model.model.").unwrap_or(module);
        let unknown = || LoraDefect::UnknownModule { module: module.into() };
        let present = present_name(module);
        let spelled = [module, present.as_str()].into_iter().find_map(|name| self.spellings.get(name));
        if let Some(weights) = spelled {
            return Ok(weights);
        }
        let components = self.bare.get(module).or_else(|| self.bare.get(&present));
        let mut components = components.into_iter().flatten();
        match (components.next(), components.next()) {
            (Some(index), None) => {
                let name = self.names.get(*index).map_or("", String::as_str);
                let found = self.spellings.get(&format!("{name}.{present}"));
                found.map(Vec::as_slice).ok_or_else(unknown)
            }
            (Some(_), Some(_)) => {
                let networks: BTreeSet<&String> = self.names.iter().collect();
                Err(LoraDefect::Ambiguous { module: module.into(), networks: networks.into_iter().cloned().collect() })
            }
            _ => Err(unknown()),
        }
    }

    /// Whether a module's name says that it belongs to a network that is not here.
    pub(super) fn is_foreign(&self, module: &str) -> bool {
        let of = |(folder, flat): &(&str, &[&str])| {
            module.strip_prefix(folder).is_some_and(|rest| rest.starts_with('.'))
                || flat.iter().any(|prefix| module.starts_with(prefix))
        };
        let mut named = PREFIXES.iter().filter(|prefix| of(prefix)).peekable();
        named.peek().is_some() && named.all(|(folder, _)| !self.names.iter().any(|name| name == folder))
    }
}

/// The name that older diffusers wrote, as it is now.
fn present_name(module: &str) -> String {
    let mut name = module.replace(".processor.", ".");
    for (old, new) in [("to_q", "q_proj"), ("to_k", "k_proj"), ("to_v", "v_proj"), ("to_out", "out_proj")] {
        if let Some(attention) = name.strip_suffix(&format!("self_attn.{old}")) {
            name = format!("{attention}self_attn.{new}");
        }
    }
    if name.ends_with(".to_out") {
        name.push_str(".0");
    }
    name
}

/// The folder's name where it is one that LoRA files use, else that of the class.
pub(super) fn lone_name(folder: &str, class: &str) -> String {
    if PREFIXES.iter().any(|(name, _)| *name == folder) {
        return folder.into();
    }
    let name = match class {
        "UNet2DConditionModel" => "unet",
        "AutoencoderKL" => "vae",
        "T5EncoderModel" => "text_encoder_3",
        _ if class.contains("Transformer") => "transformer",
        _ => "text_encoder",
    };
    name.into()
}

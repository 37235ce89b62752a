//! `manifest.json`: everything that a run's bytes depend on, and every choice that nobody made aloud.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::TrainError;
use crate::recipe::LoadedRecipe;
use crate::store::atomic::write_atomically;

/// Sections and keys that may change when a run is resumed, since no trained value depends on them.
const FREE: [&str; 7] = ["checkpoint.", "export.", "score.", "input score.", "health.", "run.threads", "run.sample_"];

/// The manifest. It holds no time and no absolute path, so that equal runs have equal manifests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file's layout.
    pub format: u32,
    /// Versions of the programs that the numbers come from, by name.
    pub versions: BTreeMap<String, String>,
    /// The recipe, every default filled in.
    pub recipe: toml::Table,
    /// Keys of the recipe whose value is the default.
    pub defaults: Vec<String>,
    /// The `--set` arguments.
    pub overrides: Vec<String>,
    /// SHA-256 of every input by its path in the recipe.
    pub inputs: BTreeMap<String, String>,
    /// Choices that are not the recipe's, by name, each with what was chosen and why.
    pub choices: BTreeMap<String, String>,
}

impl Manifest {
    /// The manifest of `loaded`, to which the caller adds versions, inputs and choices.
    ///
    /// # Errors
    /// [`TrainError::RecipeSyntax`] where a value of the recipe cannot be written.
    pub fn new(loaded: &LoadedRecipe) -> Result<Self, TrainError> {
        let draws = "ChaCha8 keyed by the SHA-256 of (seed, phase, iteration); this is the whole random state and data cursor";
        Ok(Self {
            format: 1,
            versions: BTreeMap::from([("dmdx-train".to_string(), env!("CARGO_PKG_VERSION").to_string())]),
            recipe: loaded.resolved()?,
            defaults: loaded.defaults.clone(),
            overrides: loaded.overrides.clone(),
            inputs: BTreeMap::new(),
            choices: BTreeMap::from([("draws".to_string(), draws.to_string())]),
        })
    }

    /// Reads a manifest; none where the run was stopped before it wrote one.
    ///
    /// # Errors
    /// [`TrainError::Read`], [`TrainError::Damaged`].
    pub fn read(path: &Path) -> Result<Option<Self>, TrainError> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| TrainError::damaged(path, format!("it is not a manifest of this version ({error})"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(TrainError::Read { path: path.to_path_buf(), source }),
        }
    }

    /// Writes the manifest.
    ///
    /// # Errors
    /// [`TrainError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), TrainError> {
        write_atomically(path, |writer| {
            serde_json::to_writer_pretty(&mut *writer, self)?;
            writer.write_all(b"\n")
        })
    }

    /// Whether a run with this manifest may be continued with `recipe` and `inputs`.
    ///
    /// # Errors
    /// [`TrainError::ResumeMismatch`] naming the first key or input that differs and matters.
    pub fn check_resume(&self, now: &Manifest) -> Result<(), TrainError> {
        let (stored, given) = (self.facts()?, now.facts()?);
        let keys = stored.keys().chain(given.keys().filter(|key| !stored.contains_key(*key)));
        for key in keys.filter(|key| !FREE.iter().any(|free| key.starts_with(free))) {
            if stored.get(key) != given.get(key) {
                let show = |value: Option<&String>| value.map_or_else(|| "nothing".to_string(), Clone::clone);
                return Err(TrainError::ResumeMismatch {
                    key: key.clone(),
                    stored: show(stored.get(key)),
                    given: show(given.get(key)),
                });
            }
        }
        Ok(())
    }

    /// Recipe and inputs as dotted keys.
    fn facts(&self) -> Result<BTreeMap<String, String>, TrainError> {
        let recipe = serde_json::to_value(&self.recipe).map_err(|error| TrainError::json("the recipe", &error))?;
        let mut facts = BTreeMap::new();
        flatten(&recipe, "", &mut facts);
        for (path, hash) in &self.inputs {
            facts.insert(format!("input {path}"), hash.clone());
        }
        Ok(facts)
    }
}

fn flatten(value: &Value, prefix: &str, facts: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(inner, &key, facts);
            }
        }
        other => {
            facts.insert(prefix.to_string(), other.to_string());
        }
    }
}

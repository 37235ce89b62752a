//! The recipe: one TOML file that says everything about a run.
//!
//! Every key has a type and a range ([`keys`]); what a recipe leaves out has the default of the method's ambiguity
//! register, and the manifest names each default that was used. Paths are relative to the recipe's own folder.

mod check;
mod data;
pub mod explain;
mod health;
pub mod keys;
mod kind;
mod load;
mod lora;
mod section;
mod sections;
pub mod texts;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Table;

pub use data::{Data, Posterior};
pub use health::{AtChance, Health};
pub use kind::{Kind, MANY};
pub use load::LoadedRecipe;
pub use lora::{Lora, LoraRole, LoraStart};
pub use section::{Section, SectionEntry};
pub use sections::{
    Checkpoint, Device, Discriminator, Export, HeadOutput, HeadReduce, InitParameterisation, Optimizer, PairDtype, Pairs,
    PixelDiscriminator, PixelInput, Prompts, Run, Sampler, Score, Student, Teacher, Unconditional,
};

/// The sections of the methods by name, every default filled in.
pub type Methods = BTreeMap<&'static str, Table>;

/// A whole recipe, every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The model to distil.
    pub teacher: Teacher,
    /// What it is asked to draw.
    pub prompts: Prompts,
    /// The ODE pairs that methods may learn from.
    #[serde(default)]
    pub pairs: Pairs,
    /// The real latents that methods may learn from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    /// How the student walks.
    #[serde(default)]
    pub student: Student,
    /// Low-rank factors that are trained in place of whole networks; those without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
    /// Taps and heads, latent and pixel.
    #[serde(default)]
    pub discriminator: Discriminator,
    /// The methods' own sections.
    #[serde(skip)]
    pub methods: Methods,
    /// The optimizer of every trained role.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// When to save.
    #[serde(default)]
    pub checkpoint: Checkpoint,
    /// When to stop a run that has gone wrong.
    #[serde(default)]
    pub health: Health,
    /// What to write for deployment.
    #[serde(default)]
    pub export: Export,
    /// How to judge the student; no score without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// Seed and machine.
    #[serde(default)]
    pub run: Run,
}

impl Recipe {
    /// The section of a method; none where the recipe leaves it out.
    ///
    /// # Errors
    /// [`crate::TrainError::Recipe`] where it is not of that type, which would be a defect of the method's keys.
    pub fn section<S: Section>(&self) -> Result<Option<S>, crate::TrainError> {
        let found = self.methods.get(S::NAME).cloned();
        let typed = found.map(|table| toml::Value::Table(table).try_into());
        typed.transpose().map_err(|error: toml::de::Error| crate::TrainError::recipe(S::NAME, error.to_string()))
    }

    /// How many iterations a method has; 0 where the recipe leaves it out.
    pub fn iterations(&self, method: &str) -> u64 {
        let count = self.methods.get(method).and_then(|section| section.get("iterations")?.as_integer());
        count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
    }

    /// The whole recipe as a table, the methods' sections among the others.
    ///
    /// # Errors
    /// When a value has no form in TOML.
    pub fn resolved(&self) -> Result<Table, toml::ser::Error> {
        let mut table = Table::try_from(self)?;
        table.extend(self.methods.iter().map(|(name, section)| ((*name).to_string(), section.clone().into())));
        Ok(table)
    }
}

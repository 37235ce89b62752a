//! The recipe: one TOML file that says everything about a run.
//!
//! Every key has a type and a range ([`keys`]); what a recipe leaves out has the default of the method's ambiguity
//! register, and the manifest names each default that was used. Paths are relative to the recipe's own folder.

mod check;
pub mod keys;
mod load;
mod methods;
mod sections;

use serde::{Deserialize, Serialize};

pub use load::LoadedRecipe;
pub use methods::{Adm, AdmGradient, Adp, FakeTrainSource, GuidanceDraw, HeadReduce, Optimizer, StudentParameterisation};
pub use sections::{
    Checkpoint, Device, Discriminator, Export, HeadOutput, Health, PairDtype, Pairs, PixelDiscriminator, PixelInput, Prompts,
    Run, Sampler, Score, Teacher, Unconditional,
};

/// A whole recipe, every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The model to distil.
    pub teacher: Teacher,
    /// What it is asked to draw.
    pub prompts: Prompts,
    /// The ODE pairs that ADP learns from.
    #[serde(default)]
    pub pairs: Pairs,
    /// Taps and heads, latent and pixel.
    #[serde(default)]
    pub discriminator: Discriminator,
    /// Adversarial distillation pre-training; left out where the section is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adp: Option<Adp>,
    /// Adversarial distribution matching; left out where the section is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adm: Option<Adm>,
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

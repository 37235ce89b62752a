//! The training methods: one list, each entry a folder with its section of the recipe, its algorithm (pure functions of
//! roles, batch and draws) and its phase of the trainer.

pub mod adm;
pub mod adp;
pub mod dmd;
pub mod dmd2;
mod draw;
pub mod heads;
pub mod ladd;
pub mod lcm;
mod look;
pub mod matching;
mod materials;
mod metrics;
mod networks;
pub mod reflow;
pub mod regression;
mod tape;

pub use draw::{Batches, Captioned, OdePairs};
pub(crate) use materials::GENERATOR;
pub use materials::Materials;

use std::path::Path;

use burn::tensor::Device;
use dmdx_runtime::process::Consistency;

use crate::data::{LatentStore, PairStore, StoredConditions};
use crate::error::TrainError;
use crate::recipe::{Recipe, SectionEntry};
use crate::store::StoredState;
use crate::trace::{Results, Trace};
use crate::trainer::Phase;

/// What a method learns from, besides prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Noise and what the teacher's deterministic sampler makes of it.
    Pairs,
    /// Latents of real pictures with their captions (`[data]`).
    Latents,
}

/// What the output of the student means after a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Student {
    /// The same as before; at first the teacher's own, or what it is for the recipe's `student.init`.
    Unchanged,
    /// A velocity on the line between noise and latent, the teacher's own only where that is the straight path.
    OnLine,
    /// Where the solver of the teacher's probability flow would end.
    Consistency,
}

/// The final state of the phase before, and the data that the method needs.
pub struct Given<'a> {
    /// None where this is the first phase, or it is resumed.
    pub previous: Option<&'a StoredState>,
    /// The conditions of the recipe's prompts, and behind them of the captions of real latents.
    pub conditions: &'a StoredConditions,
    /// There where the method needs pairs.
    pub pairs: Option<PairStore>,
    /// There where the method needs real latents.
    pub latents: Option<LatentStore>,
}

impl Given<'_> {
    /// The pairs of a method that needs them.
    ///
    /// # Errors
    /// Where none were collected.
    fn pairs(&mut self, method: &'static str) -> Result<PairStore, TrainError> {
        self.pairs.take().ok_or(TrainError::NoPairs { method })
    }

    /// The real latents of a method that needs them.
    ///
    /// # Errors
    /// Where there are none.
    fn latents(&mut self, method: &'static str) -> Result<LatentStore, TrainError> {
        self.latents.take().ok_or(TrainError::NoLatents { method })
    }
}

/// Makes the phase of a method.
type Build = for<'a> fn(&Materials<'a>, Given<'_>) -> Result<Box<dyn Phase + 'a>, TrainError>;

/// Repeats a recorded iteration of a method on the networks in a folder.
pub(crate) type Replay = fn(&Trace, &Path, &Device) -> Result<Results, TrainError>;

/// One training method.
#[derive(Clone, Copy)]
pub struct Method {
    /// Its section of the recipe, by whose name it goes everywhere.
    pub section: SectionEntry,
    /// What it learns from in a recipe.
    pub needs: fn(&Recipe) -> &'static [Need],
    /// What the student's output means afterwards.
    pub student: Student,
    /// What it does where its sources leave a choice, by name: for the run's manifest.
    pub choices: &'static [(&'static str, &'static str)],
    /// Makes its phase.
    pub build: Build,
    /// Repeats a recorded iteration.
    pub(crate) replay: Replay,
}

/// All methods, in the order in which a recipe's phases run.
pub const METHODS: &[Method] =
    &[reflow::METHOD, adp::METHOD, regression::METHOD, lcm::METHOD, ladd::METHOD, adm::METHOD, dmd::METHOD, dmd2::METHOD];

/// The methods' sections, for reading recipes.
pub fn sections() -> Vec<SectionEntry> {
    METHODS.iter().map(|method| method.section).collect()
}

/// The methods that a recipe runs.
pub fn of(recipe: &Recipe) -> impl Iterator<Item = &'static Method> {
    METHODS.iter().filter(|method| recipe.iterations(method.section.name) > 0)
}

/// Refuses a recipe without what its methods learn from, before anything is loaded.
///
/// # Errors
/// [`TrainError::Recipe`] where a method learns from real latents and there is no `[data]`.
pub fn check_needs(recipe: &Recipe) -> Result<(), TrainError> {
    let lacking = of(recipe).find(|method| (method.needs)(recipe).contains(&Need::Latents) && recipe.data.is_none());
    lacking.map_or(Ok(()), |method| {
        let problem =
            format!("is missing, but {} learns from real latents; name a folder of pictures in it", method.section.name);
        Err(TrainError::recipe("data", problem))
    })
}

/// Whether the student is on the line between noise and latent while method `name` trains it: it began there, or that or an
/// earlier method of the recipe has put it there.
pub fn is_on_line(recipe: &Recipe, name: &str) -> bool {
    recipe.student.begins_on_line() || has_become(recipe, name, Student::OnLine)
}

/// How the student that method `name` trains was distilled into a consistency model, where that or an earlier method of the
/// recipe has done so.
pub(crate) fn consistency(recipe: &Recipe, name: &str) -> Result<Option<Consistency>, TrainError> {
    let section = has_become(recipe, name, Student::Consistency).then(|| recipe.section::<lcm::Lcm>()).transpose()?;
    Ok(section.flatten().map(|section| section.consistency()))
}

fn has_become(recipe: &Recipe, name: &str, student: Student) -> bool {
    let position = |name: &str| METHODS.iter().position(|method| method.section.name == name);
    of(recipe).filter(|method| position(method.section.name) <= position(name)).any(|method| method.student == student)
}

//! A training method's section of a recipe, as the method itself describes it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::Recipe;
use super::kind::Kind;
use super::texts::KeyText;
use crate::error::TrainError;

/// The section of one method. Its struct has the method's defaults; `iterations`, 0 of which leave the method out, is a key
/// of every method.
pub trait Section: Serialize + DeserializeOwned {
    /// Name of the section and of the method.
    const NAME: &'static str;

    /// Every key, with what it may hold.
    const KEYS: &'static [(&'static str, Kind)];

    /// What every key is for.
    const TEXTS: &'static [KeyText];

    /// Lines that a section cannot do without where everything else is the default.
    const NEEDED: &'static str = "";

    /// Conditions between keys of this section and of others.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] about one key.
    fn check(&self, recipe: &Recipe) -> Result<(), TrainError>;
}

/// What the recipe reader knows of a method.
#[derive(Clone, Copy, Debug)]
pub struct SectionEntry {
    /// Name of the section.
    pub name: &'static str,
    /// Every key, with what it may hold.
    pub keys: &'static [(&'static str, Kind)],
    /// What every key is for.
    pub texts: &'static [KeyText],
    /// Lines that the section cannot do without.
    pub needed: &'static str,
    pub(super) resolve: fn(&Table) -> Result<Table, toml::de::Error>,
    pub(super) check: fn(&Recipe) -> Result<(), TrainError>,
}

impl SectionEntry {
    /// The entry of a section.
    pub const fn of<S: Section>() -> Self {
        Self { name: S::NAME, keys: S::KEYS, texts: S::TEXTS, needed: S::NEEDED, resolve: resolve::<S>, check: check::<S> }
    }
}

/// The section with every default filled in.
fn resolve<S: Section>(given: &Table) -> Result<Table, toml::de::Error> {
    let section: S = Value::Table(given.clone()).try_into()?;
    // What was just read can be written again.
    Table::try_from(&section).map_err(serde::de::Error::custom)
}

fn check<S: Section>(recipe: &Recipe) -> Result<(), TrainError> {
    recipe.section::<S>()?.map_or(Ok(()), |section| section.check(recipe))
}

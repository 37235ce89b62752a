//! Every key of a recipe in words: what it may hold, its default, unit, meaning and source.

use std::fmt::{self, Display, Formatter};
use std::path::Path;

use toml::Value;

use super::keys::Keys;
use super::load::{LoadedRecipe, lookup};
use super::section::SectionEntry;
use super::texts::{COMMON, KeyText};
use crate::error::TrainError;

/// A key with all that is to be said of it.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Its dotted name.
    pub key: String,
    /// What it may hold.
    pub allowed: String,
    /// The value of a recipe that leaves it out.
    pub default: DefaultValue,
    /// Unit, source and meaning.
    pub text: KeyText,
}

/// What a recipe has that leaves a key out.
#[derive(Clone, Debug, PartialEq)]
pub enum DefaultValue {
    /// This value.
    Value(Value),
    /// Nothing.
    None,
    /// It cannot be left out of its section.
    Required,
}

impl Display for DefaultValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::None => f.write_str("none"),
            Self::Required => f.write_str("required"),
        }
    }
}

impl Display for Explained {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (default: {})", self.key, self.default)?;
        writeln!(f, "    {}", self.text.meaning)?;
        let unit = if self.text.unit.is_empty() { String::new() } else { format!("; unit: {}", self.text.unit) };
        writeln!(f, "    {}{unit}; source: {}", self.allowed, self.text.source)
    }
}

/// A recipe that has every section and in it only what it must have.
const BARE: &str = "[teacher]\npath = 't'\nguidance = [1, 1]\n[prompts]\nlist = ['p']\n[data]\npath = 'd'\n[discriminator.pixel]\npath = 'p'\n[lora]\n[score]\nclassifier = 'c'\n";

/// Every key of a recipe with these methods, by section.
///
/// # Errors
/// [`TrainError::Recipe`] where the tables of keys and texts do not go together, which a test rules out.
pub fn explained(methods: &[SectionEntry]) -> Result<Vec<Explained>, TrainError> {
    // Each by itself: not every method goes with every other.
    let of = |section: &str| -> Result<(LoadedRecipe, toml::Table), TrainError> {
        let loaded = LoadedRecipe::parse(&format!("{BARE}{section}"), Path::new("recipe.toml"), &[], methods)?;
        let resolved = loaded.resolved()?;
        Ok((loaded, resolved))
    };
    let sections = methods.iter().map(|method| Ok((method.name, of(&format!("[{}]\n{}", method.name, method.needed))?)));
    let sections = sections.collect::<Result<Vec<_>, TrainError>>()?;
    let texts: Vec<(String, KeyText)> = COMMON
        .iter()
        .map(|text| (text.key.to_string(), *text))
        .chain(methods.iter().flat_map(|method| method.texts.iter().map(|text| (format!("{}.{}", method.name, text.key), *text))))
        .collect();
    let explain = |(key, kind): (String, super::Kind)| {
        let found = texts.iter().find(|(name, _)| *name == key);
        let (_, text) = found.ok_or_else(|| TrainError::recipe(key.clone(), "has no text in recipe/texts.rs"))?;
        // The common keys stand in the recipe of any method.
        let own = sections.iter().find(|(name, _)| key.split('.').next() == Some(name)).or(sections.first());
        let default = match own.and_then(|(_, (_, resolved))| lookup(resolved, &key)) {
            Some(value) if own.is_some_and(|(_, (loaded, _))| loaded.defaults.contains(&key)) => {
                DefaultValue::Value(value.clone())
            }
            // The bare recipe has one way to say its prompts and one to say its pictures; the others say as much.
            Some(_) if key != "prompts.list" && key != "data.path" => DefaultValue::Required,
            _ => DefaultValue::None,
        };
        Ok(Explained { allowed: kind.sentence(&key), default, text: *text, key })
    };
    Keys(methods).all().map(explain).collect()
}

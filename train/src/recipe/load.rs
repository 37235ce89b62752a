//! From a file and `--set` arguments to a checked recipe.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::keys::Keys;
use super::section::SectionEntry;
use super::{Methods, Recipe, check};
use crate::error::TrainError;

/// A checked recipe, where it came from and what it left to the defaults.
#[derive(Clone, Debug)]
pub struct LoadedRecipe {
    /// The recipe, every default filled in.
    pub recipe: Recipe,
    /// The recipe's file.
    pub path: PathBuf,
    /// Dotted keys whose value is the default, sorted.
    pub defaults: Vec<String>,
    /// The `--set` arguments, in order.
    pub overrides: Vec<String>,
}

impl LoadedRecipe {
    /// Reads `path` as a recipe with the methods `sections`, applies `overrides` (`section.key=value`, the value in TOML; text
    /// needs no quotes) and checks the result.
    ///
    /// # Errors
    /// [`TrainError::Read`], [`TrainError::RecipeSyntax`], [`TrainError::Override`], and [`TrainError::Recipe`] about
    /// the first key that is unknown, missing or impossible.
    pub fn read(path: &Path, overrides: &[String], sections: &[SectionEntry]) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(TrainError::read(path))?;
        Self::parse(&text, path, overrides, sections)
    }

    /// [`LoadedRecipe::read`] on a text that is already there; `path` places it.
    ///
    /// # Errors
    /// As [`LoadedRecipe::read`].
    pub fn parse(text: &str, path: &Path, overrides: &[String], sections: &[SectionEntry]) -> Result<Self, TrainError> {
        let syntax = |error: toml::de::Error| TrainError::RecipeSyntax {
            path: path.to_path_buf(),
            reason: error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
        };
        let mut table: Table = text.parse().map_err(syntax)?;
        for argument in overrides {
            set(&mut table, argument, Keys(sections))?;
        }
        Keys(sections).check(&table)?;
        for section in ["teacher", "prompts"] {
            if !table.contains_key(section) {
                return Err(TrainError::recipe(section, "is missing, but every recipe needs this section"));
            }
        }
        for (section, key) in
            [("teacher", "path"), ("teacher", "guidance"), ("discriminator.pixel", "path"), ("score", "classifier")]
        {
            if lookup(&table, section).is_some_and(|found| found.get(key).is_none()) {
                return Err(TrainError::recipe(format!("{section}.{key}"), format!("is missing, but [{section}] needs it")));
            }
        }
        let mut common = table.clone();
        let mut methods = Methods::default();
        for section in sections {
            if let Some(Value::Table(given)) = common.remove(section.name) {
                methods.insert(section.name, (section.resolve)(&given).map_err(syntax)?);
            }
        }
        let mut recipe: Recipe = Value::Table(common).try_into().map_err(syntax)?;
        recipe.methods = methods;
        check::check(&recipe, sections)?;
        let resolved = recipe
            .resolved()
            .map_err(|error| TrainError::RecipeSyntax { path: path.to_path_buf(), reason: error.to_string() })?;
        let mut defaults = Vec::new();
        collect_defaults(&resolved, &table, "", &mut defaults);
        defaults.sort();
        Ok(Self { recipe, path: path.to_path_buf(), defaults, overrides: overrides.to_vec() })
    }

    /// The whole recipe as a table, the methods' sections among the others.
    ///
    /// # Errors
    /// [`TrainError::RecipeSyntax`] where a value has no form in TOML.
    pub fn resolved(&self) -> Result<Table, TrainError> {
        let refuse = |error: toml::ser::Error| TrainError::RecipeSyntax { path: self.path.clone(), reason: error.to_string() };
        self.recipe.resolved().map_err(refuse)
    }

    /// A path of the recipe as seen from the process: relative ones start at the recipe's folder.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }
}

pub(super) fn lookup<'a>(table: &'a Table, dotted: &str) -> Option<&'a Value> {
    let mut names = dotted.split('.');
    let first = table.get(names.next()?)?;
    names.try_fold(first, |value, name| value.get(name))
}

/// Applies one `section.key=value`.
fn set(table: &mut Table, argument: &str, keys: Keys<'_>) -> Result<(), TrainError> {
    let malformed = || TrainError::Override { argument: argument.to_string() };
    let (key, text) = argument.split_once('=').ok_or_else(malformed)?;
    let key = key.trim();
    let names: Vec<&str> = key.split('.').collect();
    let (last, sections) = names.split_last().ok_or_else(malformed)?;
    if sections.is_empty() || names.iter().any(|name| name.is_empty()) {
        return Err(malformed());
    }
    let mut place = table;
    for section in sections {
        let entry = place.entry(*section).or_insert_with(|| Value::Table(Table::new()));
        place = entry.as_table_mut().ok_or_else(|| TrainError::recipe(key, format!("is not a key; {section} is a value")))?;
    }
    place.insert((*last).to_string(), value(key, text.trim(), keys));
    Ok(())
}

/// The value of an override: TOML where it is TOML, except that a key that holds text takes anything unquoted as it is.
fn value(key: &str, text: &str, keys: Keys<'_>) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    match parsed {
        Some(parsed) if parsed.is_str() || !keys.is_text(key) => parsed,
        _ => Value::String(text.to_string()),
    }
}

fn collect_defaults(resolved: &Table, given: &Table, prefix: &str, defaults: &mut Vec<String>) {
    for (name, value) in resolved {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match (value, given.get(name)) {
            (Value::Table(inner), Some(Value::Table(given))) => collect_defaults(inner, given, &key, defaults),
            (Value::Table(inner), None) => collect_defaults(inner, &Table::new(), &key, defaults),
            (_, Some(_)) => {}
            (_, None) => defaults.push(key),
        }
    }
}

//! JSON lines: one object a line, of which one value is the prompt.

use std::fmt;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::super::lines::Lines;
use super::super::stamped::Stamped;
use super::column::{checked, chosen};
use crate::error::TrainError;

/// A file of objects.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    lines: Lines,
    column: String,
}

impl Objects {
    /// Reads every object once. Where no column is asked for, the first object decides.
    ///
    /// # Errors
    /// As [`Lines::open`]; [`TrainError::Damaged`] with the line of an object that has no such prompt, and
    /// [`TrainError::Recipe`] about the column.
    pub fn open(path: &Path, asked: Option<&str>) -> Result<Self, TrainError> {
        let mut column: Option<String> = None;
        let lines = Lines::checked(path, |number, line| {
            let column = match &column {
                Some(column) => column,
                None => {
                    let keys = parsed(line, Keys).map_err(|problem| damaged(path, number, &problem))?;
                    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                    &*column.insert(chosen(path, &keys, asked)?.to_string())
                }
            };
            prompt(line, column).map(drop).map_err(|problem| damaged(path, number, &problem))
        })?;
        Ok(Self { lines, column: column.unwrap_or_default() })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// The prompts from number `first` on.
    ///
    /// # Errors
    /// As [`Lines::starting`].
    pub fn starting(&self, first: usize) -> Result<impl Iterator<Item = Result<String, TrainError>> + use<>, TrainError> {
        let (column, Stamped { path, .. }) = (self.column.clone(), self.lines.file().clone());
        let prompts = self.lines.numbered(first)?.map(move |line| {
            let (number, line) = line?;
            prompt(&line, &column).map_err(|problem| damaged(&path, number, &problem))
        });
        Ok(prompts)
    }
}

fn damaged(path: &Path, line: u64, problem: &str) -> TrainError {
    TrainError::damaged(path, format!("line {line} {problem}"))
}

fn prompt(line: &str, column: &str) -> Result<String, String> {
    let text = parsed(line, Value(column))?.ok_or_else(|| format!("has no \"{column}\""))?;
    checked(&text).map(str::to_string)
}

/// What `seed` makes of a line.
fn parsed<'de, S: DeserializeSeed<'de>>(line: &'de str, seed: S) -> Result<S::Value, String> {
    let mut deserializer = serde_json::Deserializer::from_str(line);
    let value = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    // The library counts lines within what it was given, which is one.
    let said = |error: serde_json::Error| {
        let text = error.to_string();
        let cause = text.rsplit_once(" at line ").map_or(text.as_str(), |(cause, _)| cause);
        format!("is no JSON object with texts ({cause})")
    };
    value.map_err(said)
}

/// The text of one key; all others are passed over.
struct Value<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Option<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != self.0 {
                map.next_value::<IgnoredAny>()?;
            } else if found.replace(map.next_value::<String>()?).is_some() {
                return Err(A::Error::custom(format!("{} is there twice", self.0)));
            }
        }
        Ok(found)
    }
}

/// The keys of an object.
struct Keys;

impl<'de> DeserializeSeed<'de> for Keys {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = Vec<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value::<IgnoredAny>()?;
            keys.push(key);
        }
        Ok(keys)
    }
}

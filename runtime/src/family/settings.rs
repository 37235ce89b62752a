//! What the files of a pipeline say.

use serde_json::Value;

use crate::Error;
use crate::error::FamilyError;

/// Folder and part of a network in the diffusers layout.
pub type Place = (&'static str, &'static str);

/// The configurations of a pipeline, and what its networks take.
pub trait Settings {
    /// `model_index.json`.
    fn index(&self) -> &Value;

    /// The `config.json` of a component, by its folder in the diffusers layout; `null` for one that has none.
    fn config(&self, folder: &str) -> &Value;

    /// The sizes of a network's input, `None` where any is taken.
    ///
    /// # Errors
    /// When the pipeline has no such network, or it no such input.
    fn input_sizes(&self, network: Place, input: &str) -> Result<Vec<Option<usize>>, Error>;
}

/// The configuration of one component.
#[derive(Clone, Copy)]
pub(super) struct Config<'a> {
    folder: &'a str,
    value: &'a Value,
}

impl<'a> Config<'a> {
    /// Of the component in a folder.
    pub(super) fn of(settings: &'a dyn Settings, folder: &'a str) -> Self {
        Self::new(folder, settings.config(folder))
    }

    /// From its contents.
    pub(super) fn new(folder: &'a str, value: &'a Value) -> Self {
        Self { folder, value }
    }

    /// Whether there is no such component.
    pub(super) fn is_absent(self) -> bool {
        self.value.is_null()
    }

    /// A value, `null` where it says nothing.
    pub(super) fn get(self, key: &str) -> &'a Value {
        &self.value[key]
    }

    /// A finite number, or the default of its class where it says nothing.
    pub(super) fn number(self, key: &str, default: f64) -> Result<f64, Error> {
        match self.get(key) {
            Value::Null => Ok(default),
            value => value.as_f64().filter(|number| number.is_finite()).ok_or_else(|| self.refuse(key, "a number")),
        }
    }

    /// A size from 1 to 65536, or the default of its class where it says nothing.
    pub(super) fn size(self, key: &str, default: usize) -> Result<usize, Error> {
        if self.get(key).is_null() { Ok(default) } else { self.required_size(key) }
    }

    /// A size from 1 to 65536 that must be there.
    pub(super) fn required_size(self, key: &str) -> Result<usize, Error> {
        as_size(self.get(key)).ok_or_else(|| self.refuse(key, "an integer from 1 to 65536"))
    }

    /// The refusal of a value.
    pub(super) fn refuse(self, key: &str, needed: &str) -> Error {
        let value: String = self.get(key).to_string().chars().take(60).collect();
        FamilyError::Config { folder: self.folder.into(), key: key.into(), value, needed: needed.into() }.into()
    }
}

/// A value that is a size from 1 to 65536.
pub(super) fn as_size(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|size| usize::try_from(size).ok()).filter(|size| (1..=1 << 16).contains(size))
}

//! `config.json`, read within its limits. What it means is the business of [`crate::arch`].

use std::path::Path;

use dmdx_graph::json::quote_non_finite;

use super::json::{JsonFile, read_object, read_object_of_python};
use crate::error::Result;
use crate::limits::Limits;
use crate::path::{FilePolicy, open_known};

/// Reads a configuration file (`config.json`, `model_index.json`, `scheduler_config.json`) of a folder.
///
/// # Errors
/// When it is missing, too large, too deep, has a key twice or is not a JSON object.
pub fn read(folder: &Path, name: &str, limits: &Limits, policy: &FilePolicy) -> Result<JsonFile> {
    let open = open_known(folder, name, policy)?;
    read_object(&open, limits.config_bytes, "config_bytes", limits)
}

/// As [`read`] for a `scheduler_config.json`, in which diffusers writes `-Infinity` as Python does; it becomes a string.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_scheduler(folder: &Path, limits: &Limits, policy: &FilePolicy) -> Result<JsonFile> {
    let open = open_known(folder, "scheduler_config.json", policy)?;
    read_object_of_python(&open, limits.config_bytes, "config_bytes", limits, |text| quote_non_finite(text).into())
}

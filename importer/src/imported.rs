//! A path of any kind: one network or a whole pipeline.

use std::path::Path;

use crate::component::{Component, import};
use crate::error::{ImportError, Result};
use crate::options::ImportOptions;
use crate::pipeline::{Pipeline, import_pipeline, is_pipeline};

/// What a path holds.
#[derive(Debug, Clone)]
pub enum Imported {
    /// One network.
    Component(Box<Component>),
    /// A folder of the diffusers layout, or a file with several networks in an original layout.
    Pipeline(Box<Pipeline>),
}

/// Imports whatever a path holds.
///
/// # Errors
/// As [`import`] and [`import_pipeline`].
pub fn import_any(path: &Path, options: &ImportOptions) -> Result<Imported> {
    let pipeline = || Ok(Imported::Pipeline(Box::new(import_pipeline(path, options)?)));
    if is_pipeline(path) {
        return pipeline();
    }
    match import(path, options) {
        // A pickle file shows only when it is read that it holds several networks.
        Err(ImportError::IsPipeline { .. }) if path.is_file() => pipeline(),
        component => Ok(Imported::Component(Box::new(component?))),
    }
}

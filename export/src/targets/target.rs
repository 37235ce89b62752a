//! What ONNX files are written for: one file per target.

mod compat;

pub use compat::COMPAT;
use dmdx_graph::{Op, Type};

use crate::error::{ExportError, Result};

/// A target: versions, legal ONNX operations, and refusals.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name on the command line and in `dmdx.json`.
    pub name: &'static str,
    /// Version of the default operator set.
    pub opset: i64,
    /// ONNX IR version.
    pub ir_version: i64,
    /// Precision of weights and activations.
    pub precision: &'static str,
    /// Runtimes that the target is known to run on.
    pub runtimes: &'static [&'static str],
    /// Every ONNX operation that may be written, with the operator set version that defined the form in use; sorted.
    pub legal: &'static [(&'static str, i64)],
    /// Why the target cannot express an operation with a result of that type, or `None`.
    pub refusal: fn(&Op, &Type) -> Option<&'static str>,
}

/// All targets.
pub const TARGETS: &[&Target] = &[&COMPAT];

impl Target {
    /// The target of that name.
    ///
    /// # Errors
    /// [`ExportError::UnknownTarget`], which lists the targets.
    pub fn by_name(name: &str) -> Result<&'static Target> {
        TARGETS.iter().copied().find(|target| target.name == name).ok_or_else(|| ExportError::UnknownTarget {
            name: name.into(),
            known: TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", "),
        })
    }
}

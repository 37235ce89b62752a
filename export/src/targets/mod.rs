//! What ONNX files are written for: one file per target.

mod compat;
mod target;

pub use compat::COMPAT;
pub use target::Target;
pub(crate) use target::{EngineKind, Presence};

use crate::error::{ExportError, Result};

/// All targets.
pub(crate) const TARGETS: &[&Target] = &[&COMPAT];

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

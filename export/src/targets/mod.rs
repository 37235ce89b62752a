//! What ONNX files are written for: one file per target.

mod compat;
mod target;

pub use compat::COMPAT;
pub use target::Target;
pub(crate) use target::{EngineKind, Presence};

use crate::error::{ExportError, Result};

/// All targets. The tests export every operation for each.
pub const TARGETS: &[&Target] = &[&COMPAT];

impl Target {
    /// The target of that name.
    ///
    /// # Errors
    /// [`ExportError::UnknownTarget`], which lists the targets.
    pub fn by_name(name: &str) -> Result<&'static Target> {
        TARGETS
            .iter()
            .copied()
            .find(|target| target.name == name)
            .ok_or_else(|| ExportError::UnknownTarget { name: name.into(), known: Self::names().join(", ") })
    }

    /// The names of all targets.
    pub fn names() -> Vec<&'static str> {
        TARGETS.iter().map(|target| target.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Presence, TARGETS};

    #[test]
    fn targets_state_what_they_own() {
        let names: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
        assert_eq!(names.len(), TARGETS.len(), "two targets have one name");
        for target in TARGETS {
            let name = target.name;
            assert!(target.legal.is_sorted_by(|a, b| a.0 < b.0), "{name}: the legal operations are not sorted");
            for (op, since) in target.legal {
                assert!(*since <= target.opset, "{name}: {op} is of version {since}, opset {}", target.opset);
            }
            assert!(!target.precisions.is_empty() && target.precisions.iter().all(|dtype| dtype.is_float()), "{name}");
            assert!(target.tolerance > 0.0 && target.tolerance < 1.0, "{name}");
            let proven = target.engines.iter().any(|(_, presence)| *presence == Presence::Required);
            assert!(proven, "{name}: nothing need verify it");
        }
    }
}

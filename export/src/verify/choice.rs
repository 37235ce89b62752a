//! Which engines prove a file.

use crate::targets::EngineKind;

/// The engines that take part in a verification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engines {
    /// All of the target's that are found.
    #[default]
    All,
    /// tract alone.
    Tract,
    /// ONNX Runtime alone.
    OnnxRuntime,
}

impl Engines {
    /// Whether one takes part.
    pub(super) fn has(self, kind: EngineKind) -> bool {
        match self {
            Engines::All => true,
            Engines::Tract => kind == EngineKind::Tract,
            Engines::OnnxRuntime => kind == EngineKind::OnnxRuntime,
        }
    }
}

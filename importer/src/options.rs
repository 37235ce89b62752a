//! What the caller of an import may choose.

use crate::limits::Limits;
use crate::path::FilePolicy;

/// What happens with NaN and infinite weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nonfinite {
    /// They are not looked for: nothing but the header of a file is read.
    Skip,
    /// They are counted per tensor and reported.
    #[default]
    Count,
    /// They are an error; what training uses.
    Deny,
}

/// Choices of an import; the default reads every released checkpoint.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Sizes, depths and counts above which a file is refused.
    pub limits: Limits,
    /// Where links may lead.
    pub files: FilePolicy,
    /// Which variant of the weights to read (`fp16` reads `*.fp16.safetensors`); the plain files if `None`.
    pub variant: Option<String>,
    /// NaN and infinite weights.
    pub nonfinite: Nonfinite,
    /// Refuse checkpoints with tensors that the network has no place for.
    pub deny_unused: bool,
}

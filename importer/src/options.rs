//! What the caller of an import may choose.

use std::path::PathBuf;

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

/// A LoRA file that is merged into the weights on import.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraFile {
    /// The file, or the folder of an adapter (`adapter_model.safetensors` with `adapter_config.json`).
    pub path: PathBuf,
    /// What its change of the weights is multiplied with, beside the file's own `alpha / rank`.
    pub scale: f64,
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
    /// The folder with the configuration of a file that has none beside it: `config.json` of one network, or
    /// `model_index.json` with the folders of a whole pipeline (scheduler and tokenizers are taken from there too).
    pub config: Option<PathBuf>,
    /// LoRA files to merge, in this order.
    pub loras: Vec<LoraFile>,
    /// Pixel frames that a network is built for whose operations depend on their number (`AutoencoderKLCogVideoX`), which
    /// otherwise is built for those that the pipeline's transformer was trained for (`sample_frames`), or alone for the 49 that
    /// it was released with. Other networks take any number or have no frames.
    pub frames: Option<usize>,
    /// Read tensors out of pickle files (`.bin`, `.ckpt`, `.pt`) without running anything in them.
    pub allow_pickle: bool,
    /// How many tokens of T5 a Stable Diffusion 3 pipeline is given; what it states, or 256, if `None`.
    pub max_sequence_length: Option<u16>,
}

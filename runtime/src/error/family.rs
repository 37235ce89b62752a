//! What can be wrong with a pipeline.

/// A pipeline, or a request to it, that its family does not allow.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FamilyError {
    /// A class of which there is no family.
    #[error("the pipeline is a {class}; the supported ones are {known}")]
    UnknownClass {
        /// As the pipeline names it.
        class: String,
        /// All classes, comma separated.
        known: String,
    },
    /// A network that the pipeline lacks.
    #[error("the pipeline has no {part} in {folder}; it has {known}")]
    NoNetwork {
        /// Folder of the component.
        folder: String,
        /// Part of the component.
        part: String,
        /// The folders that there are, comma separated.
        known: String,
    },
    /// A tokenizer that the pipeline lacks.
    #[error("the pipeline has no {0}; name a whole pipeline folder")]
    NoTokenizer(String),
    /// A network without a result that its family needs.
    #[error("the {part} of {folder} gives no {result}, which this pipeline needs")]
    NoResult {
        /// Folder of the component.
        folder: String,
        /// Part of the component.
        part: String,
        /// The name of the result.
        result: String,
    },
    /// A network without an input that its family gives it.
    #[error("the {part} of {folder} takes no {input}")]
    NoInput {
        /// Folder of the component.
        folder: String,
        /// Part of the component.
        part: String,
        /// The name of the input.
        input: String,
    },
    /// A value of a configuration that is missing or cannot be used.
    #[error("the {folder}'s config.json has {key} = {value}, but {needed} is needed")]
    Config {
        /// Folder of the component.
        folder: String,
        /// The key.
        key: String,
        /// Its value, shortened.
        value: String,
        /// What is needed.
        needed: String,
    },
    /// A text encoder that is to read more than it could.
    #[error("{tokenizer} is to make {length} tokens of a prompt; at most {most} are possible")]
    Tokens {
        /// The tokenizer's folder.
        tokenizer: String,
        /// As the configuration says.
        length: usize,
        /// The limit.
        most: usize,
    },
    /// Pixels that latents cannot stand for.
    #[error("a side of {pixels} pixels was asked for; multiples of {step} are possible")]
    Side {
        /// As asked for.
        pixels: usize,
        /// What it must be a multiple of.
        step: usize,
    },
    /// Latents that the networks do not take.
    #[error("latents of shape {found:?} do not fit the {network}, which takes {wanted}")]
    Latents {
        /// The network.
        network: String,
        /// The sizes without the batch.
        found: Vec<usize>,
        /// What it takes, in words.
        wanted: String,
    },
    /// A video of another number of frames than the networks are for.
    #[error(
        "the noise has {found} latent frames, but a video of {decoded} in patches of {patch} needs {needed}; networks are imported for one number of frames (--frames)"
    )]
    Frames {
        /// Latent frames of the noise.
        found: usize,
        /// Latent frames that the decoder takes.
        decoded: usize,
        /// Frames of a patch.
        patch: usize,
        /// Whole patches of the frames that the decoder takes.
        needed: usize,
    },
    /// Latents that cannot have rotary positions.
    #[error("latents of {frames} frames and {height}x{width} cannot have position tables; choose another size")]
    NoPositions {
        /// Of patches.
        frames: usize,
        /// Latent rows.
        height: usize,
        /// Latent columns.
        width: usize,
    },
    /// Latents that are larger than a network's table of positions.
    #[error(
        "{}x{} patches are more than the {}x{} that the transformer has positions for; choose a smaller size",
        grid[0], grid[1], base[0], base[1]
    )]
    FewPositions {
        /// Rows and columns of patches.
        grid: [usize; 2],
        /// As many as there are.
        base: [usize; 2],
    },
    /// A decoder that makes no pictures.
    #[error("the decoder made {found:?} from latents {latents:?}, not one picture of three channels each")]
    NoPictures {
        /// The shape that it made.
        found: Vec<usize>,
        /// The shape that it was given.
        latents: Vec<usize>,
    },
    /// Pictures with values that are not finite.
    #[error("the networks made a picture with NaN or infinity; the weights are probably damaged")]
    NotFinite,
    /// Latents of pictures with values that are not finite.
    #[error("the encoder made a latent with NaN or infinity; its weights are probably damaged")]
    LatentsNotFinite,
    /// A video that was to be decoded in tiles.
    #[error("videos cannot be decoded in tiles yet; leave the tiling out")]
    TiledVideo,
}

impl FamilyError {
    /// A network without a result.
    #[must_use]
    pub fn no_result((folder, part): (&str, &str), result: &str) -> Self {
        Self::NoResult { folder: folder.into(), part: part.into(), result: result.into() }
    }

    /// A network without an input.
    #[must_use]
    pub fn no_input((folder, part): (&str, &str), input: &str) -> Self {
        Self::NoInput { folder: folder.into(), part: part.into(), input: input.into() }
    }
}

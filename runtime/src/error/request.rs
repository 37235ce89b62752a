//! Requests that make no sense.

/// Something that was asked for and cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No prompt.
    #[error("there is no prompt; give at least one")]
    NoPrompt,
    /// A negative prompt for networks that run without guidance.
    #[error("this bundle runs without guidance, so a negative prompt changes nothing; leave it out")]
    NoNegativePrompt,
    /// A seed for a generator that is given its noise and draws none itself.
    #[error("the noise is given and this bundle draws none between its steps, so a seed changes nothing; leave it out")]
    NoSeed,
    /// A number of columns for videos, whose frames lie in a row.
    #[error(
        "the frames of a video lie in a row, one video below the other; leave the columns out, or write an animation (.apng)"
    )]
    NoColumns,
    /// Pixels of pictures from a bundle that does not say how its latents relate to them.
    #[error("the size of this bundle's pictures cannot be chosen, because it has no {folder}/config.json; export it again")]
    NoSize {
        /// The folder of the component.
        folder: &'static str,
    },
    /// A file name that names no format of pictures.
    #[error("{path} cannot be written as a picture: {ending}; end the name in .png, .jpg, .webp or, for videos, .apng")]
    Format {
        /// As asked for.
        path: String,
        /// How the name ends, as a sentence.
        ending: String,
    },
    /// Something that only videos have, asked of pictures.
    #[error("this bundle makes pictures, which have no frames; {0}")]
    NoFrames(&'static str),
    /// A picture that its format cannot hold.
    #[error("a picture of {width}x{height} pixels is more than the {most} a side that {format} can hold; choose .png")]
    LargePicture {
        /// In pixels.
        width: usize,
        /// In pixels.
        height: usize,
        /// Its name.
        format: &'static str,
        /// The limit.
        most: usize,
    },
    /// No scorer was named.
    #[error(
        "no scorer was named, and {usual} is not here; give --scorer DIR, a folder with the config.json of a classifier and its model"
    )]
    NoScorer {
        /// Where one is looked for.
        usual: &'static str,
    },
    /// A guidance weight for networks that run without.
    #[error("this bundle runs without guidance; leave the weight out")]
    NoGuidance,
    /// A guidance weight that a student was not trained for.
    #[error("the guidance {scale} was asked for, but this student takes {low} to {high}")]
    Guidance {
        /// As asked for.
        scale: f64,
        /// The smallest.
        low: f64,
        /// The largest.
        high: f64,
    },
    /// A guidance weight that is no number.
    #[error("the guidance {0} is no finite number")]
    GuidanceNotFinite(f64),
    /// A sheet of pictures that cannot be drawn.
    #[error(
        "a sheet of {width}x{height} pixels cannot be drawn; choose at least one picture and a scale that keeps it under {most} pixels"
    )]
    Sheet {
        /// In pixels.
        width: usize,
        /// In pixels.
        height: usize,
        /// The limit.
        most: usize,
    },
    /// Tiles that do not fit together.
    #[error(
        "tiles of {input} {what} that become {output} cannot overlap by {overlap:.3}; take a size of which this share is a whole number"
    )]
    Tiles {
        /// Rows or columns.
        what: &'static str,
        /// Of a tile that goes into the network.
        input: usize,
        /// Of what the network makes of it.
        output: usize,
        /// The share that also belongs to the next tile.
        overlap: f64,
    },
    /// A text that is too long to be read.
    #[error("a prompt has {bytes} bytes; at most {most} are read")]
    LongPrompt {
        /// Its length.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// A number of tokens that no prompt is cut to.
    #[error("prompts cannot be cut to {length} tokens; choose from 2 to {most}")]
    Length {
        /// As asked for.
        length: usize,
        /// The limit.
        most: usize,
    },
    /// A text that the tokenizer cannot read.
    #[error("a prompt of {bytes} bytes cannot be tokenized ({problem})")]
    Prompt {
        /// Its length.
        bytes: usize,
        /// What the tokenizer said.
        problem: String,
    },
    /// Numbers that cannot be printed.
    #[error("the score cannot be printed ({0})")]
    Unprintable(String),
}

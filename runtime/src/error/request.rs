//! Requests that make no sense.

/// Something that was asked for and cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No prompt.
    #[error("there is no prompt; give at least one")]
    NoPrompt,
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

//! What is wrong with a converted file.

use super::JsonFault;
use crate::defects::shortened;

/// Why the parts of a converted file do not belong together, or a model cannot be written as one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertedFault {
    /// An entry of the header is not there.
    #[error("its header has no `{key}`; convert it again")]
    MissingKey {
        /// The entry's key.
        key: String,
    },
    /// A file of another version of this program.
    #[error("it has version {found:?}, this program reads {known:?}; convert it again")]
    Version {
        /// What the file says, shortened.
        found: String,
        /// What is read.
        known: &'static str,
    },
    /// A configuration that is no JSON object.
    #[error("its configuration is broken: {0}")]
    Configuration(JsonFault),
    /// A list of parts that is none.
    #[error("its list of parts is broken: {0}")]
    Parts(serde_json::Error),
    /// No part, or more than any network has.
    #[error("it lists {found} parts, 1 to {most} are possible")]
    PartCount {
        /// How many there are.
        found: usize,
        /// The largest number.
        most: usize,
    },
    /// A part that is listed twice.
    #[error("it lists the part {part:?} twice")]
    PartTwice {
        /// Its name.
        part: String,
    },
    /// Tensors that no graph of the file reads.
    #[error("its graphs do not use the tensors {}; it was changed after it was written", shortened(.tensors))]
    Unused {
        /// All of them, sorted.
        tensors: Vec<String>,
    },
    /// Another number of frames than the one that is asked for.
    #[error("it was converted for {found} frames, not for {wanted}; convert the checkpoint again with --frames {wanted}")]
    Frames {
        /// Pixel frames of its first part.
        found: usize,
        /// What is asked for.
        wanted: usize,
    },
    /// A parameter of a model to write that has no weight.
    #[error("parameter `{param}` of `{part}` has no weight to write")]
    NoWeight {
        /// The parameter.
        param: String,
        /// The part with it.
        part: String,
    },
    /// A parameter of a model to write with two weights.
    #[error("`{param}` has another weight in `{part}` than in the part before")]
    OtherWeight {
        /// The parameter.
        param: String,
        /// The later part.
        part: String,
    },
    /// More bytes than a file can have.
    #[error("`{param}` is too large")]
    TooLarge {
        /// The parameter that does not fit any more.
        param: String,
    },
}

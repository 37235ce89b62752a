//! Why real pictures cannot be used.

use std::path::PathBuf;

/// Why a real picture cannot be used, as the rest of a sentence about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureDefect {
    /// It is no picture, or a damaged one.
    #[error("cannot be decoded: {0}")]
    Undecodable(String),
    /// Its sides are so unequal that it cannot be scaled to cover the teacher's pictures.
    #[error(
        "is {width} pixels wide and {height} high, too unequal to be cut to the size of the teacher's pictures; leave it out"
    )]
    Unequal {
        /// Its height.
        height: u32,
        /// Its width.
        width: u32,
    },
    /// Nothing says what is on it.
    #[error("has no caption; write it into {} beside it, or list all pictures in {list}", .beside.display())]
    NoCaption {
        /// The file of its caption.
        beside: PathBuf,
        /// The file of all captions.
        list: &'static str,
    },
}

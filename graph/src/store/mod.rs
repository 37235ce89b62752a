//! Files and folders that are there whole or not at all, and SHA-256 of what lies on the disk: every crate writes and
//! hashes through these.

mod file;
mod folder;
pub mod hash;
mod temporary;

pub use file::NewFile;
pub use folder::NewFolder;
pub use temporary::remove_unfinished;

/// What becomes of something that already has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the new one is refused as [`std::io::ErrorKind::AlreadyExists`].
    Keep,
    /// The new one takes its place. A file only ever takes the place of a regular file.
    Replace,
}

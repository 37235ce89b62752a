//! Files and folders that are there whole or not at all, and SHA-256 of what lies on the disk: every crate writes and
//! hashes through these.

mod existing;
mod file;
mod folder;
pub mod hash;
pub mod parts;
mod temporary;

pub use existing::Existing;
pub use file::{NewFile, write_file};
pub use folder::NewFolder;
pub use temporary::remove_unfinished;

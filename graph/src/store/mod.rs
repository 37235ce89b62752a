//! Files and folders that are there whole or not at all, SHA-256 of what lies on the disk, and which links of the hub's
//! cache are followed: every crate writes, hashes and follows links through these.

mod existing;
mod file;
mod folder;
pub mod hash;
pub mod hub;
pub mod parts;
mod place;
mod temporary;

pub use existing::Existing;
pub use file::{NewFile, write_file};
pub use folder::NewFolder;
pub use place::{PlaceError, check_file, check_folder, check_new_folder, renamed};
pub use temporary::remove_unfinished;

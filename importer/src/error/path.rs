//! Rules on the files that a model names.

/// The rule that a name, or the file of that name, breaks; completes "names the file …, which".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathRule {
    /// No name at all.
    #[error("is empty")]
    Empty,
    /// A backslash or NUL, which mean other things on other systems.
    #[error("contains a backslash or NUL character; only plain names separated by / are read")]
    Character,
    /// An absolute path, or a drive.
    #[error("is not relative to the folder; only files inside it are read")]
    NotRelative,
    /// `.` or `..` as a part of the name.
    #[error("contains `.` or `..`; only plain names inside the folder are read")]
    Dots,
    /// A pipeline's component that is more than one folder deep.
    #[error("is not the name of a folder beside it")]
    NotBeside,
    /// A shard of another kind than its index.
    #[error("is not a {wanted} file; convert the checkpoint to safetensors")]
    Extension {
        /// The extension that shards of the index have.
        wanted: &'static str,
    },
    /// A link that leads elsewhere.
    #[error("leads out of the folder through a link; give the folder that it may lead to with --root")]
    LeadsOut,
    /// A file that may be another's under a second name.
    #[error("has several hard links, so it may be a file from elsewhere; copy it, or give --allow-hard-links")]
    HardLinks,
    /// A folder where a file belongs.
    #[error("is a folder; only regular files are read")]
    Folder,
    /// A device, a socket or the like.
    #[error("is not a regular file; only regular files are read")]
    NotRegular,
    /// Another file than the one that was looked at.
    #[error("was replaced while it was being opened; try again when nothing writes there")]
    Replaced,
}

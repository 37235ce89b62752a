//! Read-only memory maps: the one file of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::path::{Path, PathBuf};

/// A file mapped read-only.
pub struct MappedFile {
    path: PathBuf,
    contents: Contents,
}

enum Contents {
    Mapped(memmap2::Mmap),
    Owned(Vec<u8>),
}

impl MappedFile {
    /// Maps an open regular file; `path` is kept for messages.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn new(path: &Path, file: &File) -> std::io::Result<Self> {
        let length = file.metadata()?.len();
        // An empty file cannot be mapped.
        let contents = if length == 0 {
            Contents::Owned(Vec::new())
        } else {
            // SAFETY: the map is read-only. Another process that truncates the file while we read makes the kernel
            // stop us with SIGBUS, it cannot make us read other memory; writers of this project replace files by
            // rename and never shorten them in place.
            Contents::Mapped(unsafe { memmap2::Mmap::map(file)? })
        };
        Ok(Self { path: path.into(), contents })
    }

    /// Bytes in memory that stand for a file; `path` is kept for messages.
    pub fn in_memory(path: &Path, bytes: Vec<u8>) -> Self {
        Self { path: path.into(), contents: Contents::Owned(bytes) }
    }

    /// The contents.
    pub fn bytes(&self) -> &[u8] {
        match &self.contents {
            Contents::Mapped(map) => map,
            Contents::Owned(bytes) => bytes,
        }
    }

    /// Where the file was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl std::fmt::Debug for MappedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MappedFile({}, {} bytes)", self.path.display(), self.bytes().len())
    }
}

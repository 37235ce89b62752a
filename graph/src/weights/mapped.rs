//! Read-only memory maps: the one file of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::path::{Path, PathBuf};

/// A file mapped read-only.
pub struct MappedFile {
    path: PathBuf,
    map: Option<memmap2::Mmap>,
}

impl MappedFile {
    /// Maps an open regular file; `path` is kept for messages.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn new(path: &Path, file: &File) -> std::io::Result<Self> {
        let length = file.metadata()?.len();
        // An empty file cannot be mapped.
        let map = if length == 0 {
            None
        } else {
            // SAFETY: the map is read-only. Another process that truncates the file while we read makes the kernel
            // stop us with SIGBUS, it cannot make us read other memory; writers of this project replace files by
            // rename and never shorten them in place.
            Some(unsafe { memmap2::Mmap::map(file)? })
        };
        Ok(Self { path: path.into(), map })
    }

    /// The contents.
    pub fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
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

//! SHA-256, in lower-case hexadecimal, of bytes, files and lists.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// A hash that grows.
#[derive(Clone, Debug, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// The hash of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes);
    }

    /// Adds a text behind its length (64 bits, little-endian), so that no two lists of texts hash alike.
    pub fn text(&mut self, text: &str) {
        self.update((text.len() as u64).to_le_bytes());
        self.update(text);
    }

    /// The 32 bytes.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    /// The 64 hexadecimal digits.
    pub fn hex(self) -> String {
        hex(&self.finish())
    }
}

/// Size and hash of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHash {
    /// How many bytes it has.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: String,
}

/// The hash of bytes.
pub fn bytes(bytes: &[u8]) -> String {
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    hasher.hex()
}

/// Size and hash of a file, read in pieces.
///
/// # Errors
/// When it cannot be read.
pub fn file(path: &Path) -> io::Result<FileHash> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(FileHash { bytes, sha256: hasher.hex() }),
            count => {
                hasher.update(&buffer[..count]);
                bytes += count as u64;
            }
        }
    }
}

/// One hash of several named ones: of the lines `hash  name` in the order of the names, as `sha256sum` prints them.
pub fn named(hashes: &BTreeMap<String, String>) -> String {
    let mut hasher = Hasher::new();
    for (name, hash) in hashes {
        hasher.update(format!("{hash}  {name}\n"));
    }
    hasher.hex()
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).map(char::from).collect()
}

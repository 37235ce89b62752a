//! Safetensors files, written and read one tensor at a time.
//!
//! Any safetensors reader opens them. Ours also refuses a file whose metadata or values are not what was written: the
//! metadata key `content_sha256` is a hash over everything else. Bytes are a function of the contents alone.

mod read;
mod write;

use std::collections::BTreeMap;

use dmdx_graph::store::hash::Hasher;
pub use dmdx_importer::hf::safetensors::TensorEntry as Entry;
pub use read::TensorFile;
pub use write::{TensorWriter, Tensors, Values, write};

const HASH_KEY: &str = "content_sha256";
/// Digits of a SHA-256 in hexadecimal.
const HASH_DIGITS: usize = 64;

/// The running hash of a file's contents: metadata first, then each tensor in the order of the names.
struct Content(Hasher);

impl Content {
    fn new(metadata: &BTreeMap<String, String>) -> Self {
        let mut content = Self(Hasher::new());
        for (key, value) in metadata.iter().filter(|(key, _)| *key != HASH_KEY) {
            content.0.text(key);
            content.0.text(value);
        }
        content
    }

    /// What comes before a tensor's bytes.
    fn tensor(&mut self, name: &str, dtype: &str, shape: &[usize]) {
        self.0.text(name);
        self.0.text(dtype);
        self.0.text(&format!("{shape:?}"));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn hex(self) -> String {
        self.0.hex()
    }
}

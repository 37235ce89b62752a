//! What one file of weights holds, whatever its format.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use dmdx_graph::Weight;
use dmdx_graph::weights::MappedFile;

/// The contents of one file of weights.
#[derive(Debug)]
pub struct TensorFile {
    /// The path, for messages.
    pub path: PathBuf,
    /// The mapped bytes.
    pub file: Arc<MappedFile>,
    /// Every tensor.
    pub tensors: BTreeMap<String, Weight>,
    /// The `__metadata__` of a safetensors header.
    pub metadata: BTreeMap<String, String>,
    /// What the user should know.
    pub notes: Vec<String>,
}

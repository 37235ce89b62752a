//! `dmdx_component.json`: what the export of one network says about itself.

use std::collections::BTreeMap;

use dmdx_runtime::manifest::{FileRecord, Provenance, TargetRecord, Verification};
use serde::Serialize;

/// The name of the record beside the files.
pub(super) const FILE_NAME: &str = "dmdx_component.json";

/// The one version of the format.
const FORMAT_VERSION: u32 = 1;

/// The files of a network alone, with their hashes, their measured errors and their source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComponentRecord {
    /// Version of this format.
    pub format_version: u32,
    /// The reference class, such as `UNet2DConditionModel`.
    pub class: String,
    /// What the ONNX files were written for.
    pub target: TargetRecord,
    /// Size and hash of every other file, by path relative to the folder, with `/`.
    pub files: BTreeMap<String, FileRecord>,
    /// The measured errors against the source, by part; empty for parts that were not verified.
    pub verification: BTreeMap<String, Vec<Verification>>,
    /// Where the weights come from.
    pub provenance: Provenance,
}

impl ComponentRecord {
    /// Before anything is measured or hashed.
    pub(super) fn new(class: &str, target: TargetRecord, provenance: Provenance) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            class: class.into(),
            target,
            files: BTreeMap::new(),
            verification: BTreeMap::new(),
            provenance,
        }
    }

    /// The text of the file; the same record gives the same bytes.
    pub(super) fn to_json(&self) -> String {
        // Numbers, texts and lists always have a JSON form.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

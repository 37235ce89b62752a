//! The section of real pictures.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::sections::PairDtype;

/// `[data]`: latents of real pictures with their captions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// Folder of pictures, with their captions in metadata.jsonl (file_name, text) or a .txt beside each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Folder of their latents; the run folder's `latents` where left out. Without data.path they must all be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latents: Option<PathBuf>,
    /// What is taken of the distribution that the encoder gives: where it is densest, or one draw.
    pub posterior: Posterior,
    /// Stored precision of the latents.
    pub dtype: PairDtype,
    /// Latents per file.
    pub shard: u64,
}

impl Default for Data {
    fn default() -> Self {
        Self { path: None, latents: None, posterior: Posterior::Mode, dtype: PairDtype::F16, shard: 1000 }
    }
}

/// What is taken of an autoencoder's distribution of latents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Posterior {
    /// Its mode. Pictures are encoded once, and one draw kept for ever would be learnt as if it were theirs.
    #[default]
    Mode,
    /// One draw.
    Sample,
}

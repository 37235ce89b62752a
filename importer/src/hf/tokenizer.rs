//! Tokenizers' files: which ones a folder holds, each bounded and, where it is JSON, well-formed.

use std::path::{Path, PathBuf};

use super::json;
use crate::error::{ImportError, JsonFault, Result};
use crate::limits::Limits;
use crate::path::{FilePolicy, open_known};

/// Every file that a CLIP or T5 tokenizer folder may hold and whether it is JSON.
const FILES: [(&str, bool); 7] = [
    ("merges.txt", false),
    ("special_tokens_map.json", true),
    ("added_tokens.json", true),
    ("spiece.model", false),
    ("tokenizer.json", true),
    ("tokenizer_config.json", true),
    ("vocab.json", true),
];

/// The names of the files that a tokenizer folder may hold; nothing else in one is of use to a tokenizer.
pub fn file_names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// The files of a tokenizer folder with their bytes, sorted by name.
///
/// # Errors
/// When a file is too large or broken, or the folder holds no vocabulary.
pub fn read(folder: &Path, limits: &Limits, policy: &FilePolicy) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for (name, is_json) in FILES {
        let open = match open_known(folder, name, policy) {
            Err(ImportError::NotFound { .. }) => continue,
            other => other?,
        };
        let bytes = json::read_bounded(&open, limits.tokenizer_bytes, "tokenizer_bytes")?;
        if is_json {
            let fail = |fault| ImportError::Json { path: open.path.clone(), fault };
            let text = std::str::from_utf8(&bytes).map_err(|error| fail(JsonFault::NotUtf8(error)))?;
            json::check(text, limits.json_depth).map_err(fail)?;
        }
        files.push((name.to_string(), bytes));
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    let has = |wanted: &str| files.iter().any(|(name, _)| name == wanted);
    if has("tokenizer.json") || has("spiece.model") || (has("vocab.json") && has("merges.txt")) {
        return Ok(files);
    }
    Err(ImportError::Tokenizer { path: PathBuf::from(folder) })
}

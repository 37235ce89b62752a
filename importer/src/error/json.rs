//! What is wrong with a JSON file.

use std::str::Utf8Error;

/// Why a text is not the JSON that is needed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonFault {
    /// Bytes that are no text.
    #[error("it is not UTF-8 ({0})")]
    NotUtf8(Utf8Error),
    /// No JSON, nested too deep, too many entries, or a key twice; with line and column.
    #[error("{0}")]
    Syntax(serde_json::Error),
    /// JSON, but no object.
    #[error("it should be an object {{ … }}")]
    NotAnObject,
    /// An index without a map of tensors.
    #[error("it has no object `weight_map` of tensor names to shard files")]
    NoWeightMap,
    /// An index of nothing.
    #[error("its `weight_map` names no tensor")]
    EmptyWeightMap,
    /// An index that places a tensor in something other than a file.
    #[error("a value of `weight_map` is not a file name")]
    ShardName,
    /// An entry of `model_index.json` of another form.
    #[error("`{name}` should be [library, class]")]
    ComponentEntry {
        /// The entry's key.
        name: String,
    },
    /// A `model_index.json` without entries.
    #[error("it names no component")]
    NoComponents,
    /// An `open_clip_config.json` that describes no network of transformers.
    #[error("{0}")]
    OpenClip(OpenClipFault),
}

/// Why an `open_clip_config.json` cannot be read as a configuration of transformers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenClipFault {
    /// A key that has no default.
    #[error("it has no key `{key}`")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// The description of one half is not there.
    #[error("it has no object `{key}`")]
    MissingObject {
        /// `text_cfg` or `vision_cfg`.
        key: &'static str,
    },
    /// A value that is no integer from 1 up.
    #[error("`{key}` = {value} is not a size")]
    NotASize {
        /// The key.
        key: &'static str,
        /// The value as JSON.
        value: String,
    },
    /// A value that is no number, or none that makes sense.
    #[error("`{key}` is not a number")]
    NotANumber {
        /// The key.
        key: &'static str,
    },
    /// A value that is no truth value.
    #[error("`{key}` = {value} is not true or false")]
    NotAFlag {
        /// The key.
        key: &'static str,
        /// The value as JSON.
        value: String,
    },
    /// An option that changes the network in a way that is not built.
    #[error("`{key}` is set, which is not supported; give a transformers configuration with --config")]
    Unsupported {
        /// The key.
        key: &'static str,
    },
}

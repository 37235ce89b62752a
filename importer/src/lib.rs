//! Checkpoints to graphs: every byte is hostile until checked.
//!
//! [`import`] reads one component (a diffusers or transformers folder, a `.safetensors` file beside its `config.json`,
//! or a file written by `dmdx-import convert`); [`import_pipeline`] reads a whole pipeline folder.

#![warn(unreachable_pub)]

pub mod arch;
mod bind;
pub mod check;
mod component;
mod contents;
mod convert;
mod defects;
mod error;
pub mod graph_file;
pub mod hf;
mod import;
mod inspect;
mod limits;
mod lora;
mod nonfinite;
pub mod onnx;
mod options;
mod original;
pub mod path;
pub mod pickle;
mod pipeline;
pub mod provenance;
mod quantised;
pub mod reference;
mod single_file;
pub mod source;
mod tensor_file;

pub use bind::BindReport;
pub use component::Component;
pub use convert::{Written, convert, write_pipeline};
pub use defects::{Defects, WrongShape};
pub use error::{
    ConvertedFault, ForeignFile, ImportError, JsonFault, LoraDefect, LoraFault, OpenClipFault, PathRule, PickleFault,
    ReferenceFault, Result, SafetensorsFault,
};
pub use import::{Imported, import, import_any, import_pipeline};
pub use inspect::{Description, NetworkSummary, Part, inspect};
pub use limits::Limits;
pub use lora::LoraSummary;
pub use options::{ImportOptions, LoraFile, Nonfinite};
pub use path::FilePolicy;
pub use pipeline::Pipeline;

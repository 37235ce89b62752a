//! ONNX files: the messages, and a deterministic writer with streamed external data.

pub mod attribute;
mod model;
pub mod proto;
mod sizes;
mod write;

pub(crate) use model::{Model, dtype_of, element_type, value_info};
pub(crate) use sizes::SizeNames;
pub(crate) use write::{DATA_ALIGNMENT, data_path, write_model, write_sharing};
pub use write::{WriteOptions, WriteReport};

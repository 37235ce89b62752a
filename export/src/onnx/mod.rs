//! ONNX files: the messages, a deterministic writer with streamed external data, and a checker of our own.

pub mod check;
mod model;
pub mod proto;
mod types;
mod write;

pub use check::{CheckReport, check_file};
pub(crate) use model::value_info;
pub use model::{Model, attribute, element_type};
pub use write::{DATA_ALIGNMENT, INLINE_BELOW, PAGE_ALIGNED_FROM, WriteOptions, WriteReport, write_model};

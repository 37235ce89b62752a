//! Graphs to ONNX bundles, verified against their source.
//!
//! [`lower::lower`] turns a graph into ONNX nodes for a [`target::Target`], [`onnx::write_model`] streams it to disk,
//! [`onnx::check_file`] reads it back with our own checker, and [`verify`] runs it on every engine at hand. [`export_graph`]
//! does the first three for one network, [`export_bundle`] all of it for a pipeline.

pub mod bundle;
pub mod error;
pub mod lower;
pub mod model;
pub mod onnx;
mod source;
pub mod student;
pub mod target;
pub mod verify;

pub use bundle::{
    BundleOptions, BundleReport, ComponentOptions, ComponentReport, Role, Stage, export_bundle, export_component, trailing_steps,
};
pub use error::{ExportError, Result};
pub use model::{GraphOptions, GraphReport, Names, export_graph};
pub use student::StudentInfo;
pub use verify::Verifier;

//! Graphs to ONNX bundles, verified against their source.
//!
//! A [`Target`] owns everything that depends on what a file is written for: rewrites, recipes, versions, tolerance, engines.
//! [`export_graph`] lowers one network for a target, streams it to disk and reads it back with our own checker; a
//! [`Verifier`] runs it on the target's engines; [`export_bundle`] does all of it for a pipeline.

pub mod bundle;
pub mod error;
mod imported;
mod interface;
mod lower;
mod model;
pub mod onnx;
mod options;
mod recipes;
mod source;
mod targets;
mod typing;
mod uses;
pub mod verify;

pub use bundle::{
    BundleOptions, BundleReport, ComponentOptions, ComponentRecord, ComponentReport, Role, Stage, check_bundle,
    check_destination, export_bundle, export_component,
};
pub use error::{ExportError, Result};
pub use imported::Imported;
pub use model::{GraphReport, export_graph};
pub use options::{About, GraphOptions, Names};
pub use source::licence;
pub use targets::{COMPAT, TARGETS, Target};
pub use verify::Verifier;

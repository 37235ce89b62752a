//! Runs dmdx bundles: finds and checks an engine, generates pictures, scores them.
//!
//! A [`Bundle`] is opened and every file's hash compared before an [`engine`] sees a byte of it. A [`family`] says what a
//! pipeline is, a [`process`] how it walks from noise to a sample; the [`pipeline`] goes from prompts to pictures, and
//! [`score`] measures pictures. ONNX Runtime is named in `engine/ort.rs` only, tract in `engine/tract.rs` only, and nothing
//! here trains or exports.

pub mod bundle;
pub mod card;
pub mod engine;
pub mod error;
pub mod family;
mod files;
pub mod manifest;
pub mod noise;
pub mod noise_file;
mod parallel;
pub mod pipeline;
pub mod process;
pub mod scheduler;
pub mod score;
pub mod student;
pub mod tensor;
pub mod tokenizer;

pub use bundle::Bundle;
pub use engine::{Engine, Session, run_model};
pub use error::{Error, FamilyError, RequestError, SchedulerError, ScoreError};
pub use pipeline::Pipeline;
pub use student::StudentInfo;
pub use tensor::{Data, Tensor};
pub use tokenizer::Tokenizer;

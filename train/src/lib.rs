//! Distils teachers into few-step students on Burn

pub mod check;
pub mod cli;
pub mod data;
pub mod device;
pub mod diffusion;
pub mod discriminator;
pub mod error;
pub mod job;
pub mod kernels;
pub mod method;
pub mod module;
pub mod recipe;
pub mod replay;
pub mod report;
pub mod sample;
pub mod session;
pub mod store;
pub mod student;
pub mod teacher;
pub mod trace;
pub mod trainer;

pub use error::TrainError;

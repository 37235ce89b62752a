//! The training methods, each as pure functions of roles, batch and draws, and as a phase of the trainer.

pub mod adm;
mod adm_phase;
pub mod adp;
mod adp_phase;
mod metrics;
mod roles;

pub use adm_phase::AdmPhase;
pub use adp_phase::AdpPhase;
pub use roles::{OneStep, Student};

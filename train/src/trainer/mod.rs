//! The loop around the training phases: checkpoints, health checks, resuming.

pub mod checkpoint;
pub mod health;
pub mod phase;
pub mod run;

pub use checkpoint::{Checkpoint, Checkpoints};
pub use phase::Phase;
pub use run::{Finished, Glance, Look, PhaseSlot, Seen, run};

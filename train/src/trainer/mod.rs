//! The loop around the training phases: checkpoints, logs, health checks, resuming.

pub mod append;
pub mod atomic;
pub mod checkpoint;
pub mod draws;
pub mod folder;
pub mod health;
pub mod interrupt;
pub mod job;
pub mod logs;
pub mod phase;
pub mod progress;
pub mod run;
pub mod tensorboard;

pub use checkpoint::{Checkpoint, Checkpoints};
pub use draws::Draws;
pub use folder::RunFolder;
pub use interrupt::Interrupt;
pub use phase::{Metrics, Phase, State, StateTensor};
pub use run::{Finished, PhaseSlot, run};

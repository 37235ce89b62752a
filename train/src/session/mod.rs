//! One run of this program: its folder, random draws, logs, progress and interruption.

pub mod draws;
pub mod folder;
pub mod interrupt;
pub mod logs;
pub mod memory;
pub mod progress;
pub mod tensorboard;

pub use draws::Draws;
pub use folder::RunFolder;
pub use interrupt::Interrupt;
pub use logs::Metrics;

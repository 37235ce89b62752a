//! Proof that a written file is what it should be: its form by our own checker, its results by the target's engines.

mod check;
mod choice;
mod cost;
mod rounding;
mod sample;
mod verifier;
mod worst;

pub(crate) use check::check_sharing;
pub use check::{CheckReport, check_file};
pub use choice::Engines;
pub use sample::{Sizes, run_sizes};
pub use verifier::{ROUNDING, Verifier, WrittenModel};

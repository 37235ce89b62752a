//! The networks of a training job: what [`crate::trainer::job`] asks of them.

mod networks;
mod student;

pub use networks::Networks;

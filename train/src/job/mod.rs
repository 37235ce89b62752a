//! The networks of a training job: what [`work`] asks of them.

mod networks;
mod student;
pub mod work;

pub use networks::Networks;

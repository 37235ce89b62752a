//! A training job: its sequence, and the networks that it runs.

mod deliver;
mod evaluate;
pub mod models;
mod networks;
mod record;
mod student;
pub mod work;

pub use deliver::SavedStudent;
pub use models::{Drawer, Models, Pictures};
pub use networks::Networks;

//! A training job: its sequence, and the networks that it runs.

mod deliver;
mod distillation;
mod early;
mod evaluate;
mod judge;
pub mod models;
mod open;
mod pictures;
mod real;
mod record;
mod reference;
mod steps;
mod student;
mod weights;
pub mod work;

pub use deliver::SavedStudent;
pub use distillation::Distillation;
pub use models::{Drawer, Models};
pub use pictures::{PictureSet, Pictures};

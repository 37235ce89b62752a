//! What a run leaves for people: pictures, curves, scores and the manifest.

mod canvas;
mod film;
pub mod loss;
pub mod manifest;
pub mod samples;
pub mod score;
mod signs;
mod text;

pub use film::Film;
pub use manifest::Manifest;
pub use samples::{Sheet, SheetRow};
pub use score::{Score, Scores};
pub use signs::signs;

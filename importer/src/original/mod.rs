//! Checkpoints in the layouts of the networks' first publications: other names, fused and transposed tensors.
//!
//! The maps go from a parameter's name in the reference library to the tensor of the file and what has to be done with
//! it, so that a parameter of the network is never forgotten; a tensor that no parameter asks for is reported as unused.

mod joint;
mod naming;
mod open_clip;
mod places;
mod recipe;
mod sam;
mod unet;
mod vae;

pub(crate) use naming::{Naming, params};
pub(crate) use open_clip::config as open_clip_config;
pub(crate) use places::{beside, elsewhere, marks, places};
pub(crate) use recipe::{Recipe, Transform};

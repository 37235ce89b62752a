//! What a pipeline is: which network takes which inputs, how prompts become conditions, what latents look like and how they
//! become pictures. One family of pipelines per file, one list of them; written over [`Networks`], so that training, sampling,
//! exporting and generating say the same.

mod clip;
mod cogvideox;
mod condition;
mod decode;
mod definition;
mod encode;
mod geometry;
mod networks;
pub mod rotary;
mod settings;
mod stable_diffusion;
mod stable_diffusion_3;
mod stable_diffusion_xl;
mod text;
pub mod tiling;
mod transformer;
mod unet;
mod unread;
mod vae;

use crate::Error;
use crate::error::FamilyError;

pub use condition::{Condition, Fixed};
pub use definition::{Denoiser, Family, denoiser_inputs};
pub use geometry::{Geometry, Size};
pub use networks::{FileNames, Network, Networks};
pub use settings::{Place, Settings};
pub use text::Reader;
pub use unread::Unread;

/// Every family.
static FAMILIES: &[&dyn Family] = &[
    &stable_diffusion_xl::StableDiffusionXl,
    &stable_diffusion::StableDiffusion { class: "StableDiffusionPipeline" },
    &stable_diffusion::StableDiffusion { class: "LatentConsistencyModelPipeline" },
    &stable_diffusion_3::StableDiffusion3,
    &cogvideox::CogVideoX,
];

/// The family of a pipeline class of diffusers.
///
/// # Errors
/// [`FamilyError::UnknownClass`] for a class that is none of them.
pub fn of_class(class: &str) -> Result<&'static dyn Family, Error> {
    let found = FAMILIES.iter().find(|family| family.class() == class).copied();
    let known = || FAMILIES.iter().map(|family| family.class()).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| FamilyError::UnknownClass { class: class.chars().take(80).collect(), known: known() }.into())
}

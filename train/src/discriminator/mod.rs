//! Discriminators: trained heads on the features of frozen backbones, or of a network that is trained with them.

mod classifier;
mod feature;
mod head_graph;
mod head_layer;
mod heads;
mod latent;
mod loss;
mod map_head;
mod pixel;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod volume_head;

pub use classifier::Classifier;
pub use feature::{FeatureLayout, FeatureShape, Features, Tap, find_taps};
pub use head_graph::HeadBias;
pub use head_layer::HeadLayout;
pub use heads::Heads;
pub use latent::LatentDiscriminator;
pub use loss::{accuracy, generator_loss, hinge_loss, unsaturated_generator_loss, unsaturated_loss};
pub use pixel::{Decoder, PixelDiscriminator, PixelScaling};

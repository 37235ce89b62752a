//! Discriminators: trained heads on the features of frozen backbones.

mod head_graph;
mod heads;
mod latent;
mod loss;
mod pixel;

pub use head_graph::{FeatureShape, HeadBias, HeadLayout};
pub use heads::{Features, Heads};
pub use latent::{LatentDiscriminator, feature_shapes, last_resnets};
pub use loss::{accuracy, generator_loss, hinge_loss};
pub use pixel::{Decoder, PixelDiscriminator, PixelScaling};

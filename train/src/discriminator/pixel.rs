//! The discriminator of decoded pictures: heads on a vision encoder's features (3.8.4).

use std::sync::Arc;

use dmdx_graph::Graph;
use dmdx_runtime::manifest::VaeScaling;

use super::feature::{FeatureLayout, Features, Tap};
use super::heads::Heads;
use crate::error::TrainError;
use crate::module::{GraphModule, Profile, Value};
use crate::recipe::PixelInput;

/// Latents to pictures or videos in [-1, 1], differentiable.
#[derive(Clone, Debug)]
pub struct Decoder {
    module: GraphModule,
    /// Factor and offset of latents: one pair, or one per channel.
    maps: Vec<(f64, f64)>,
    /// Latent frames at the beginning of a video that are not decoded.
    left_out: usize,
}

impl Decoder {
    /// A decoder network, how latents relate to what it reads, and how many of a video's first latent frames it does not read.
    pub fn new(module: GraphModule, scaling: &VaeScaling, left_out: usize) -> Self {
        Self { module: module.labelled("decoder"), maps: scaling.maps(), left_out }
    }

    /// Records the time of every operation from now on.
    pub fn set_profile(&mut self, profile: Option<Arc<Profile>>) {
        self.module.set_profile(profile);
    }

    /// The network.
    pub fn network(&self) -> &GraphModule {
        &self.module
    }

    /// Pictures `[b, 3, h, w]` of latents `[b, c, h, w]`, or videos `[b, f, 3, h, w]` of latents `[b, f, c, h, w]`.
    ///
    /// # Errors
    /// When shapes do not fit the network.
    pub fn decode(&self, latents: &Value) -> Result<Value, TrainError> {
        let &[_, frames, _, _, _] = latents.shape().as_slice() else { return self.run(latents) };
        // Denoisers of videos have the frames first, autoencoders the channels.
        let swapped = |value: &Value| value.permuted(&[0, 2, 1, 3, 4]);
        let read = latents.slice(1, self.left_out, frames.saturating_sub(self.left_out));
        Ok(swapped(&self.run(&swapped(&read))?))
    }

    /// What the network makes of latents `[b, c, ..]`.
    fn run(&self, latents: &Value) -> Result<Value, TrainError> {
        let plain = match self.maps[..] {
            [(factor, 0.0)] => latents.scale(factor),
            [(factor, offset)] => latents.scale(factor).shift(offset),
            _ => {
                let channels = |value: &dyn Fn(&(f64, f64)) -> f64| {
                    let values = self.maps.iter().map(|map| value(map) as f32).collect();
                    let mut shape = vec![1; latents.shape().len()];
                    shape[1] = self.maps.len();
                    Value::float(values, &shape, &latents.device())
                };
                latents.times(&channels(&|map| map.0)?).plus(&channels(&|map| map.1)?)
            }
        };
        let name = |names: Option<String>| names.unwrap_or_default();
        let input = name(self.module.plan().inputs().next().map(str::to_string));
        let output = name(self.module.plan().outputs().first().cloned());
        self.module.output(&[(&input, plain)], &output)
    }
}

/// How a picture in [-1, 1] is given to the encoder: `picture * factor + offset` per channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelScaling {
    /// Per channel.
    pub factor: [f64; 3],
    /// Per channel.
    pub offset: [f64; 3],
}

impl PixelScaling {
    /// What the recipe asks for: `((x + 1) 127.5 - mean) / std` of ImageNet, or nothing.
    pub fn of(input: PixelInput) -> Self {
        const MEAN: [f64; 3] = [123.675, 116.28, 103.53];
        const DEVIATION: [f64; 3] = [58.395, 57.12, 57.375];
        match input {
            PixelInput::MinusOneToOne => Self { factor: [1.0; 3], offset: [0.0; 3] },
            PixelInput::Imagenet => Self {
                factor: DEVIATION.map(|deviation| 127.5 / deviation),
                offset: std::array::from_fn(|channel| (127.5 - MEAN[channel]) / DEVIATION[channel]),
            },
        }
    }

    /// The picture as the encoder is given it.
    pub(crate) fn apply(&self, picture: &Value) -> Result<Value, TrainError> {
        if self.factor == [1.0; 3] && self.offset == [0.0; 3] {
            return Ok(picture.clone());
        }
        let channels = |values: [f64; 3]| Value::float(values.map(|v| v as f32).to_vec(), &[1, 3, 1, 1], &picture.device());
        Ok(picture.times(&channels(self.factor)?).plus(&channels(self.offset)?))
    }
}

/// Frozen vision features with a trained head per tap. Pictures are neither clamped nor resized.
#[derive(Clone, Debug)]
pub struct PixelDiscriminator {
    backbone: GraphModule,
    taps: Vec<Tap>,
    scaling: PixelScaling,
    /// The trained part.
    pub heads: Heads,
}

impl PixelDiscriminator {
    /// Taps a vision encoder whose layers give `[b, h, w, c]`.
    ///
    /// # Errors
    /// When a tap is not a module of the encoder, or a weight is missing.
    pub fn new(encoder: &Graph, taps: &[Tap], scaling: PixelScaling, heads: Heads) -> Result<Self, TrainError> {
        let marks: Vec<String> = taps.iter().map(|tap| tap.mark.clone()).collect();
        let tapped = encoder.tapped(&marks).map_err(|error| TrainError::component("tapping the pixel backbone", error))?;
        let backbone = GraphModule::new(&tapped, heads.trained.module.device(), false)?.labelled("pixel backbone");
        Ok(Self { backbone, taps: taps.to_vec(), scaling, heads })
    }

    /// Records the time of every operation of the backbone from now on.
    pub fn set_profile(&mut self, profile: Option<Arc<Profile>>) {
        self.backbone.set_profile(profile);
    }

    /// The tapped features of pictures in [-1, 1], as `[b, c, h, w]`.
    ///
    /// # Errors
    /// When shapes do not fit the encoder.
    pub fn features(&self, pictures: &Value) -> Result<Features, TrainError> {
        let input = self.backbone.plan().inputs().next().map(str::to_string).unwrap_or_default();
        let wanted: Vec<&str> = self.taps.iter().map(|tap| tap.mark.as_str()).collect();
        let layers = self.backbone.forward(&[(&input, self.scaling.apply(pictures)?)], &wanted)?.into_values().zip(&self.taps);
        layers.map(|(layer, tap)| Ok((tap.name.clone(), FeatureLayout::ChannelsLast.channels_first(layer)?))).collect()
    }
}

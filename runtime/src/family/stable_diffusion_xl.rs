//! `StableDiffusionXLPipeline`.

use serde_json::Value;

use super::condition::{Condition, Fixed};
use super::definition::{Denoiser, Family};
use super::geometry::{Geometry, Size};
use super::networks::{Network, Networks};
use super::settings::Settings;
use super::text::Reader;
use super::{clip, decode, unet};
use crate::manifest::{Unconditional, VaeScaling};
use crate::{Error, Tensor};

/// Only the second encoder has a projection.
const PROJECTED: [bool; 2] = [false, true];

const NETWORKS: [Network; 4] = [unet::NETWORK, Network::DECODER, Network::clip("text_encoder"), Network::clip("text_encoder_2")];

#[derive(Debug)]
pub(super) struct StableDiffusionXl;

impl Family for StableDiffusionXl {
    fn class(&self) -> &'static str {
        "StableDiffusionXLPipeline"
    }

    fn denoiser(&self) -> &'static Denoiser {
        &unet::DENOISER
    }

    fn networks(&self) -> &'static [Network] {
        &NETWORKS
    }

    fn readers(&self, _networks: &dyn Networks) -> Result<Vec<Reader>, Error> {
        Ok(clip::readers())
    }

    fn companions(&self) -> &'static [Network] {
        &[Network::ENCODER]
    }

    fn encode(&self, networks: &dyn Networks, texts: &[&str], batch: usize) -> Result<Condition, Error> {
        let (states, pooled) = clip::pair(networks, texts, batch, PROJECTED)?;
        Ok(Condition::new(vec![("encoder_hidden_states", states), ("text_embeds", pooled)]))
    }

    /// Zeros, unless the pipeline forbids them: the class's default where the file says nothing.
    fn unconditional(&self, settings: &dyn Settings) -> Unconditional {
        match settings.index()["force_zeros_for_empty_prompt"] == Value::Bool(false) {
            true => Unconditional::EmptyPrompt,
            false => Unconditional::Zeros,
        }
    }

    /// Original size, crop corner, target size, each height first.
    fn fixed(&self, _settings: &dyn Settings, geometry: &Geometry) -> Result<Fixed, Error> {
        let [height, width] = geometry.pixels;
        let ids = [height, width, 0, 0, height, width].map(|size| size as f32);
        Ok(Fixed { per_sample: vec![("time_ids", Tensor::f32([1, ids.len()], ids.to_vec())?)], shared: Vec::new() })
    }

    fn told_guidance(&self, settings: &dyn Settings, scale: f64) -> Result<Option<(&'static str, Tensor)>, Error> {
        unet::told_guidance(settings, scale)
    }

    fn geometry(&self, settings: &dyn Settings, asked: &Size) -> Result<Geometry, Error> {
        unet::geometry(settings, asked)
    }

    /// The pipeline uses the statistics of channels where there are any, and no offset.
    fn vae_scaling(&self, settings: &dyn Settings) -> Result<VaeScaling, Error> {
        let channels = unet::channels(settings)?;
        VaeScaling::factor(settings, 0.18215)?.with_statistics(settings, channels)
    }

    fn decode(
        &self,
        networks: &dyn Networks,
        scaling: &VaeScaling,
        latents: &Tensor,
        tile: Option<usize>,
    ) -> Result<Tensor, Error> {
        decode::pictures(networks, scaling, latents, tile)
    }

    fn python(&self) -> Option<&'static str> {
        Some(include_str!("python/stable_diffusion_xl.py"))
    }

    fn javascript(&self) -> Option<&'static str> {
        Some(include_str!("javascript/stable_diffusion_xl.js"))
    }

    fn default_taps(&self, marks: &mut dyn Iterator<Item = &str>) -> Vec<String> {
        unet::last_resnets(marks)
    }

    fn bottleneck(&self, marks: &mut dyn Iterator<Item = &str>) -> Option<String> {
        unet::middle(marks)
    }
}

//! `StableDiffusionPipeline`: Stable Diffusion 1.5 and 2.1; and `LatentConsistencyModelPipeline`, the same networks with a UNet
//! that was distilled with its guidance.

use super::condition::Condition;
use super::definition::{Denoiser, Family};
use super::geometry::{Geometry, Size};
use super::networks::{Network, Networks};
use super::settings::Settings;
use super::text::{Reader, encoded};
use super::{decode, unet};
use crate::manifest::VaeScaling;
use crate::{Error, Tensor};

const ENCODER: Network = Network::clip("text_encoder");

const READER: Reader = Reader::whole("tokenizer");

const NETWORKS: [Network; 3] = [unet::NETWORK, Network::DECODER, ENCODER];

#[derive(Debug)]
pub(super) struct StableDiffusion {
    /// The pipeline class.
    pub(super) class: &'static str,
}

impl Family for StableDiffusion {
    fn class(&self) -> &'static str {
        self.class
    }

    fn denoiser(&self) -> &'static Denoiser {
        &unet::DENOISER
    }

    fn networks(&self) -> &'static [Network] {
        &NETWORKS
    }

    fn readers(&self, _networks: &dyn Networks) -> Result<Vec<Reader>, Error> {
        Ok(vec![READER])
    }

    fn companions(&self) -> &'static [Network] {
        &[Network::ENCODER]
    }

    fn encode(&self, networks: &dyn Networks, texts: &[&str], batch: usize) -> Result<Condition, Error> {
        let states = encoded(networks, ENCODER.place, READER, texts, batch, &["last_hidden_state"])?;
        Ok(Condition::new(std::iter::once("encoder_hidden_states").zip(states).collect()))
    }

    fn told_guidance(&self, settings: &dyn Settings, scale: f64) -> Result<Option<(&'static str, Tensor)>, Error> {
        unet::told_guidance(settings, scale)
    }

    fn geometry(&self, settings: &dyn Settings, asked: &Size) -> Result<Geometry, Error> {
        unet::geometry(settings, asked)
    }

    /// The pipeline knows neither an offset nor statistics of channels.
    fn vae_scaling(&self, settings: &dyn Settings) -> Result<VaeScaling, Error> {
        unet::channels(settings)?;
        VaeScaling::factor(settings, 0.18215)
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
        Some(include_str!("python/stable_diffusion.py"))
    }

    fn javascript(&self) -> Option<&'static str> {
        Some(include_str!("javascript/stable_diffusion.js"))
    }

    fn default_taps(&self, marks: &mut dyn Iterator<Item = &str>) -> Vec<String> {
        unet::last_resnets(marks)
    }

    fn bottleneck(&self, marks: &mut dyn Iterator<Item = &str>) -> Option<String> {
        unet::middle(marks)
    }
}

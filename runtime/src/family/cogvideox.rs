//! `CogVideoXPipeline`: CogVideoX 2b, 5b and 1.5.

use serde_json::Value;

use super::condition::{Condition, Fixed};
use super::decode::{decoded, finite};
use super::definition::{Denoiser, Family};
use super::geometry::{Geometry, Size, channels, check, scale, side};
use super::networks::{Network, Networks};
use super::rotary::Rotary;
use super::settings::{Config, Settings, as_size};
use super::text::{Reader, encoded};
use super::transformer::{self, PATCH};
use super::vae::VAE;
use crate::error::FamilyError;
use crate::manifest::VaeScaling;
use crate::tensor::ops::{second_and_third_swapped, without_first};
use crate::{Error, Tensor};

/// The folder of the denoiser.
const TRANSFORMER: &str = "transformer";

const DENOISER: Denoiser = Denoiser {
    folder: TRANSFORMER,
    part: "transformer",
    sample: "hidden_states",
    time: "timestep",
    output: "sample",
    buffers: &["patch_embed.pos_embedding"],
};

const ENCODER: Network = Network::text_encoder("text_encoder");

const NETWORKS: [Network; 3] = [Network::new(TRANSFORMER, "transformer"), Network::DECODER, ENCODER];

/// Every so many blocks a discriminator reads (distillation.md, 3.8.1).
const TAPPED: usize = 3;

/// The tokens of a text that diffusers' pipeline gives the transformer where nobody says otherwise.
const TOKENS: usize = 226;

/// The transformer says how much it reads of a text.
fn reader(settings: &dyn Settings) -> Result<Reader, Error> {
    Ok(Reader::of("tokenizer", tokens(settings)?))
}

fn tokens(settings: &dyn Settings) -> Result<usize, Error> {
    Config::of(settings, TRANSFORMER).size("max_text_seq_length", TOKENS)
}

#[derive(Debug)]
pub(super) struct CogVideoX;

impl CogVideoX {
    /// Latent frames of a patch.
    fn patch_frames(settings: &dyn Settings) -> Result<usize, Error> {
        Config::of(settings, TRANSFORMER).size("patch_size_t", 1)
    }

    /// Transformers with patches in time (1.5) take whole patches of frames, more than the video has, and the pipeline then
    /// leaves out the first ones.
    fn left_out(settings: &dyn Settings, frames: usize) -> Result<usize, Error> {
        let sizes = settings.input_sizes(Network::DECODER.place, "latent")?;
        // A decoder of any number of frames takes all.
        let Some(decoded) = sizes.get(2).copied().flatten() else { return Ok(0) };
        let patch = Self::patch_frames(settings)?;
        let needed = decoded.next_multiple_of(patch);
        if frames != needed {
            return Err(FamilyError::Frames { found: frames, decoded, patch, needed }.into());
        }
        Ok(needed - decoded)
    }
}

impl Family for CogVideoX {
    fn class(&self) -> &'static str {
        "CogVideoXPipeline"
    }

    fn denoiser(&self) -> &'static Denoiser {
        &DENOISER
    }

    fn networks(&self) -> &'static [Network] {
        &NETWORKS
    }

    fn readers(&self, networks: &dyn Networks) -> Result<Vec<Reader>, Error> {
        Ok(vec![reader(networks)?])
    }

    fn encode(&self, networks: &dyn Networks, texts: &[&str], batch: usize) -> Result<Condition, Error> {
        let states = encoded(networks, ENCODER.place, reader(networks)?, texts, batch, &["last_hidden_state"])?;
        Ok(Condition::new(std::iter::once("encoder_hidden_states").zip(states).collect()))
    }

    /// The tables of rotary positions, for the transformers that are given them.
    fn fixed(&self, settings: &dyn Settings, geometry: &Geometry) -> Result<Fixed, Error> {
        let (&[frames, _, height, width], Some(rotary)) =
            (geometry.latent_shape.as_slice(), Rotary::from_config(settings.config(TRANSFORMER))?)
        else {
            return Ok(Fixed::default());
        };
        let (cos, sin) = rotary.tables(frames, height, width)?;
        Ok(Fixed { per_sample: Vec::new(), shared: vec![("rope_cos", cos), ("rope_sin", sin)] })
    }

    fn geometry(&self, settings: &dyn Settings, asked: &Size) -> Result<Geometry, Error> {
        // Defaults of the transformer's class and of the autoencoder's.
        let (channels, scale) = (channels(settings, TRANSFORMER, 16, 16)?, scale(settings, 4));
        let patch = Config::of(settings, TRANSFORMER).size("patch_size", PATCH)?;
        let side = |asked, key, usual| side(asked, Config::of(settings, TRANSFORMER).size(key, usual)?, scale, patch);
        let (rows, columns) = (side(asked.height, "sample_height", 60)?, side(asked.width, "sample_width", 90)?);
        let frames = match asked.frames {
            Some(frames) => frames,
            None => Config::of(settings, TRANSFORMER).size("sample_frames", 49)?,
        };
        let ratio = Config::of(settings, VAE).size("temporal_compression_ratio", 4)?;
        let frames = (frames.saturating_sub(1) / ratio + 1).next_multiple_of(Self::patch_frames(settings)?);
        Ok(Geometry { latent_shape: vec![frames, channels, rows, columns], pixels: [rows * scale, columns * scale] })
    }

    fn makes_videos(&self) -> bool {
        true
    }

    fn frames_left_out(&self, settings: &dyn Settings, latent_shape: &[usize]) -> Result<usize, Error> {
        latent_shape.first().map_or(Ok(0), |&frames| Self::left_out(settings, frames))
    }

    fn max_sequence_length(&self, settings: &dyn Settings) -> Result<Option<usize>, Error> {
        Ok(Some(tokens(settings)?).filter(|tokens| *tokens != TOKENS))
    }

    fn vae_scaling(&self, settings: &dyn Settings) -> Result<VaeScaling, Error> {
        VaeScaling::factor(settings, 1.15258426)
    }

    fn check_latents(&self, settings: &dyn Settings, latent_shape: &[usize]) -> Result<(), Error> {
        self.frames_left_out(settings, latent_shape)?;
        check(TRANSFORMER, &settings.input_sizes(DENOISER.place(), DENOISER.sample)?, latent_shape)
    }

    fn decode(
        &self,
        networks: &dyn Networks,
        scaling: &VaeScaling,
        latents: &Tensor,
        tile: Option<usize>,
    ) -> Result<Tensor, Error> {
        if tile.is_some() {
            return Err(FamilyError::TiledVideo.into());
        }
        let left_out = self.frames_left_out(networks, latents.shape().get(1..).unwrap_or_default())?;
        let channels_first = second_and_third_swapped(&without_first(latents, left_out)?)?;
        let video = second_and_third_swapped(&decoded(networks, &scaling.undone(&channels_first, 1)?)?)?;
        match video.shape() {
            [batch, _, 3, _, _] if Some(batch) == latents.shape().first() => finite(video),
            found => Err(FamilyError::NoPictures { found: found.to_vec(), latents: latents.shape().to_vec() }.into()),
        }
    }

    /// Every third block, counted from one.
    fn default_taps(&self, marks: &mut dyn Iterator<Item = &str>) -> Vec<String> {
        let blocks = transformer::blocks(marks).into_iter();
        blocks.filter(|block| (block + 1).is_multiple_of(TAPPED)).map(transformer::block).collect()
    }

    fn bottleneck(&self, marks: &mut dyn Iterator<Item = &str>) -> Option<String> {
        transformer::middle(marks)
    }

    fn token_grid(&self, denoiser_config: &Value, latent_shape: &[usize]) -> Option<Vec<usize>> {
        let patch = as_size(&denoiser_config["patch_size"]).unwrap_or(PATCH);
        let patch_frames = as_size(&denoiser_config["patch_size_t"]).unwrap_or(1);
        let &[frames, _, rows, columns] = latent_shape else { return None };
        Some(vec![frames / patch_frames, rows / patch, columns / patch])
    }
}

//! `StableDiffusion3Pipeline`: Stable Diffusion 3 and 3.5.

use serde_json::Value;

use super::condition::Condition;
use super::definition::{Denoiser, Family};
use super::geometry::{Geometry, Size, channels, sample_size, scale, side};
use super::networks::{Network, Networks};
use super::settings::{Config, Settings, as_size};
use super::text::{Reader, encoded};
use super::transformer::{self, PATCH};
use super::{clip, decode};
use crate::error::FamilyError;
use crate::manifest::VaeScaling;
use crate::tensor::ops::{join, padded};
use crate::{Error, Tensor};

/// The folder of the denoiser.
const TRANSFORMER: &str = "transformer";

/// The pipeline's default `max_sequence_length` of T5.
const T5_TOKENS: usize = 256;

/// Where `model_index.json` states another. diffusers has no place for it in its files, and skips keys that begin so.
const MAX_SEQUENCE_LENGTH: &str = "_dmdx_max_sequence_length";

const DENOISER: Denoiser = Denoiser {
    folder: TRANSFORMER,
    part: "transformer",
    sample: "hidden_states",
    time: "timestep",
    output: "sample",
    buffers: &["pos_embed.pos_embed"],
};

const T5: Network = Network { is_optional: true, ..Network::text_encoder("text_encoder_3") };

const NETWORKS: [Network; 5] = [
    Network::new(TRANSFORMER, "transformer"),
    Network::DECODER,
    Network::clip("text_encoder"),
    Network::clip("text_encoder_2"),
    T5,
];

#[derive(Debug)]
pub(super) struct StableDiffusion3;

/// How many tokens of T5 the pipeline is given.
fn t5_tokens(settings: &dyn Settings) -> Result<usize, Error> {
    Config::new("model_index.json", settings.index()).size(MAX_SEQUENCE_LENGTH, T5_TOKENS)
}

impl Family for StableDiffusion3 {
    fn class(&self) -> &'static str {
        "StableDiffusion3Pipeline"
    }

    fn denoiser(&self) -> &'static Denoiser {
        &DENOISER
    }

    fn networks(&self) -> &'static [Network] {
        &NETWORKS
    }

    fn readers(&self, networks: &dyn Networks) -> Result<Vec<Reader>, Error> {
        let t5 = Reader::of("tokenizer_3", t5_tokens(networks)?);
        Ok(clip::readers().into_iter().chain(networks.has(T5.place).then_some(t5)).collect())
    }

    fn companions(&self) -> &'static [Network] {
        &[Network::ENCODER]
    }

    /// CLIP's states, padded to T5's width, before T5's states; and both projections of CLIP.
    fn encode(&self, networks: &dyn Networks, texts: &[&str], batch: usize) -> Result<Condition, Error> {
        let (states, pooled) = clip::pair(networks, texts, batch, [true, true])?;
        let width = Config::of(networks, TRANSFORMER).size("joint_attention_dim", 4096)?;
        let tokens = t5_tokens(networks)?;
        let t5 = if networks.has(T5.place) {
            encoded(networks, T5.place, Reader::of("tokenizer_3", tokens), texts, batch, &["last_hidden_state"])?
        } else {
            // The pipeline runs without its largest encoder, in whose place stand zeros.
            vec![Tensor::f32([texts.len(), tokens, width], vec![0.0; texts.len() * tokens * width])?]
        };
        let states = [vec![padded(states, width)?], t5].concat();
        Ok(Condition::new(vec![("encoder_hidden_states", join(&states, 1)?), ("pooled_projections", pooled)]))
    }

    fn geometry(&self, settings: &dyn Settings, asked: &Size) -> Result<Geometry, Error> {
        // Defaults of the transformer's class and of the autoencoder's.
        let (channels, scale) = (channels(settings, TRANSFORMER, 16, 4)?, scale(settings, 1));
        let ([rows, columns], patch) =
            (sample_size(settings, TRANSFORMER, Some(128))?, Config::of(settings, TRANSFORMER).size("patch_size", PATCH)?);
        let (rows, columns) = (side(asked.height, rows, scale, patch)?, side(asked.width, columns, scale, patch)?);
        // The default of the transformer's class.
        let positions = Config::of(settings, TRANSFORMER).size("pos_embed_max_size", 96)?;
        let grid = [rows / patch, columns / patch];
        if grid.iter().any(|&patches| patches > positions) {
            return Err(FamilyError::FewPositions { grid, base: [positions, positions] }.into());
        }
        Ok(Geometry { latent_shape: vec![channels, rows, columns], pixels: [rows * scale, columns * scale] })
    }

    fn vae_scaling(&self, settings: &dyn Settings) -> Result<VaeScaling, Error> {
        VaeScaling::factor(settings, 0.18215)?.with_shift(settings)
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

    /// diffusers pads the zeros in T5's place to its default whatever it is told, so only an encoder is told.
    fn max_sequence_length(&self, settings: &dyn Settings) -> Result<Option<usize>, Error> {
        Ok(Some(t5_tokens(settings)?).filter(|&tokens| tokens != T5_TOKENS))
    }

    fn python(&self) -> Option<&'static str> {
        Some(include_str!("python/stable_diffusion_3.py"))
    }

    /// Every block.
    fn default_taps(&self, marks: &mut dyn Iterator<Item = &str>) -> Vec<String> {
        transformer::blocks(marks).into_iter().map(transformer::block).collect()
    }

    fn bottleneck(&self, marks: &mut dyn Iterator<Item = &str>) -> Option<String> {
        transformer::middle(marks)
    }

    fn token_grid(&self, denoiser_config: &Value, latent_shape: &[usize]) -> Option<Vec<usize>> {
        let patch = as_size(&denoiser_config["patch_size"]).unwrap_or(PATCH);
        let &[_, rows, columns] = latent_shape else { return None };
        Some(vec![rows / patch, columns / patch])
    }
}

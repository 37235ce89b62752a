//! What every family says.

use std::fmt::Debug;

use serde_json::Value;

use super::condition::{Condition, Fixed};
use super::encode::latents;
use super::geometry::{Geometry, Size, check};
use super::networks::{Network, Networks};
use super::settings::{Place, Settings};
use super::text::Reader;
use super::vae::VAE;
use crate::manifest::{Unconditional, VaeScaling};
use crate::{Error, Tensor};

/// The network that is asked at every step, and the names of what it is always given and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denoiser {
    /// Folder of the component.
    pub folder: &'static str,
    /// Part of the component.
    pub part: &'static str,
    /// The input of noisy samples.
    pub sample: &'static str,
    /// The input of times, one per sample.
    pub time: &'static str,
    /// The output.
    pub output: &'static str,
    /// Parameters that are stored with the weights and never trained: tables of positions.
    pub buffers: &'static [&'static str],
}

impl Denoiser {
    /// Folder and part.
    #[must_use]
    pub fn place(&self) -> Place {
        (self.folder, self.part)
    }
}

/// A kind of pipelines.
pub trait Family: Debug + Sync {
    /// The pipeline class of diffusers.
    fn class(&self) -> &'static str;

    /// The network that is asked at every step.
    fn denoiser(&self) -> &'static Denoiser;

    /// Every network that the way from a prompt to a picture needs, the denoiser and the decoder first, with the names that
    /// bundles give to files, inputs and outputs.
    fn networks(&self) -> &'static [Network];

    /// What texts are read through, for whoever has to know how much of them.
    ///
    /// # Errors
    /// For a configuration that cannot be used.
    fn readers(&self, networks: &dyn Networks) -> Result<Vec<Reader>, Error>;

    /// Networks that bundles hold for other programs, which begin at pictures; drawing from a prompt needs none of them.
    fn companions(&self) -> &'static [Network] {
        &[]
    }

    /// What the denoiser is told about texts, one row each. Each encoder reads `batch` texts at once.
    ///
    /// # Errors
    /// When a network or tokenizer is missing, a text cannot be read, or results do not fit together.
    fn encode(&self, networks: &dyn Networks, texts: &[&str], batch: usize) -> Result<Condition, Error>;

    /// What stands for no prompt where nobody says otherwise.
    fn unconditional(&self, _settings: &dyn Settings) -> Unconditional {
        Unconditional::EmptyPrompt
    }

    /// Inputs of the denoiser that no prompt changes.
    ///
    /// # Errors
    /// For a configuration that cannot be used, or a size that the network has no positions for.
    fn fixed(&self, _settings: &dyn Settings, _geometry: &Geometry) -> Result<Fixed, Error> {
        Ok(Fixed::default())
    }

    /// The denoiser's input that tells it the weight of guidance, and one row for it: of networks that were distilled with
    /// their guidance and are asked once per step, with the prompt. Nothing for all others.
    ///
    /// # Errors
    /// For a configuration that cannot be used.
    fn told_guidance(&self, _settings: &dyn Settings, _scale: f64) -> Result<Option<(&'static str, Tensor)>, Error> {
        Ok(None)
    }

    /// What latents look like, of the size that is asked for or that the network was trained for.
    ///
    /// # Errors
    /// For a size that cannot be, or a configuration that does not say enough.
    fn geometry(&self, settings: &dyn Settings, asked: &Size) -> Result<Geometry, Error>;

    /// Whether it draws videos, whose latents have frames before their channels.
    fn makes_videos(&self) -> bool {
        false
    }

    /// How many latent frames at the beginning of a video are not decoded.
    ///
    /// # Errors
    /// For latents of another number of frames than the decoder takes.
    fn frames_left_out(&self, _settings: &dyn Settings, _latent_shape: &[usize]) -> Result<usize, Error> {
        Ok(0)
    }

    /// The network that makes pictures or videos of latents.
    fn decoder(&self) -> Place {
        Network::DECODER.place
    }

    /// How latents relate to what the decoder reads.
    ///
    /// # Errors
    /// For values of the VAE's configuration that cannot be used.
    fn vae_scaling(&self, settings: &dyn Settings) -> Result<VaeScaling, Error>;

    /// Refuses latents `[..latent_shape]` that the denoiser or, where there is one, the decoder does not take, before any
    /// work.
    ///
    /// # Errors
    /// [`FamilyError::Latents`](crate::error::FamilyError::Latents).
    fn check_latents(&self, settings: &dyn Settings, latent_shape: &[usize]) -> Result<(), Error> {
        let denoiser = self.denoiser();
        check(denoiser.folder, &settings.input_sizes(denoiser.place(), denoiser.sample)?, latent_shape)?;
        match settings.input_sizes(self.decoder(), "latent") {
            Ok(sizes) => check(VAE, &sizes, latent_shape),
            Err(_) => Ok(()),
        }
    }

    /// Pictures `[b, 3, H, W]`, about -1 to 1, of latents `[b, c, h, w]`, or videos `[b, f, 3, H, W]` of latents
    /// `[b, f, c, h, w]`. With `tile` pictures of more than so many latent rows or columns are decoded in tiles.
    ///
    /// # Errors
    /// When the decoder does not take the latents or makes something else of them.
    fn decode(
        &self,
        networks: &dyn Networks,
        scaling: &VaeScaling,
        latents: &Tensor,
        tile: Option<usize>,
    ) -> Result<Tensor, Error>;

    /// Latents of pictures `[b, 3, H, W]` from -1 to 1, or of videos `[b, f, 3, H, W]`, as the denoiser takes them: where the
    /// encoder's distribution is densest, or with `noise`, standard normal and of the latents' shape, so far from there.
    ///
    /// # Errors
    /// When the pipeline has no encoder, or it does not take the pictures.
    fn latents(
        &self,
        networks: &dyn Networks,
        scaling: &VaeScaling,
        pictures: &Tensor,
        noise: Option<&Tensor>,
    ) -> Result<Tensor, Error> {
        latents(networks, scaling, pictures, noise)
    }

    /// The modules of the denoiser whose outputs a discriminator of latents reads, among all that are marked, in the order
    /// in which the network runs them.
    fn default_taps(&self, marks: &mut dyn Iterator<Item = &str>) -> Vec<String>;

    /// The module in the middle of the denoiser, whose output a classifier on it reads, among all that are marked. `None`
    /// where nothing is in the middle.
    fn bottleneck(&self, marks: &mut dyn Iterator<Item = &str>) -> Option<String>;

    /// diffusers' argument `max_sequence_length` with which its pipeline reads prompts as this one does; `None` where that is
    /// its default, or it has none.
    ///
    /// # Errors
    /// When it is stated and no size.
    fn max_sequence_length(&self, _settings: &dyn Settings) -> Result<Option<usize>, Error> {
        Ok(None)
    }

    /// `encode(text)` in Python for the example of a bundle's card: what the denoiser is told, by the names of its inputs.
    /// `run`, `ids` and `last_but_one` of `card/onnxruntime.py` are at hand. `None` where no example is tested.
    fn python(&self) -> Option<&'static str> {
        None
    }

    /// `encode()` in JavaScript, in the same way, for `card/onnxruntime_web.js`: of the token ids that the example holds, with
    /// `run`, `tokens`, `lastButOne` and `sideBySide`.
    fn javascript(&self) -> Option<&'static str> {
        None
    }

    /// How the tokens of tapped features `[b, tokens, c]` lie: rows and columns, before them frames for videos. `None` for
    /// networks whose features are maps. `latent_shape` is without the batch.
    fn token_grid(&self, _denoiser_config: &Value, _latent_shape: &[usize]) -> Option<Vec<usize>> {
        None
    }
}

/// Inputs of one call of a family's denoiser, by name.
#[must_use]
pub fn denoiser_inputs<'t>(
    family: &dyn Family,
    sample: &'t Tensor,
    time: &'t Tensor,
    condition: &'t Condition,
    fixed: &'t Fixed,
) -> Vec<(&'t str, &'t Tensor)> {
    let denoiser = family.denoiser();
    let own = [(denoiser.sample, sample), (denoiser.time, time)];
    own.into_iter().chain(condition.inputs()).chain(fixed.inputs()).collect()
}

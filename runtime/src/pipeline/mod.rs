//! From prompts and noise to pictures: tokenize, encode, a few steps, decode.

pub mod format;
pub mod guidance;
mod networks;
pub mod picture;
mod walk;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{FamilyError, RequestError};
use crate::family::{self, Condition, Family, Fixed, Geometry, Networks, Settings, Size, Unread, denoiser_inputs};
use crate::manifest::{Manifest, Unconditional};
use crate::parallel::in_parallel;
use crate::process::{Next, Rollout};
use crate::tensor::ops::pick;
use crate::{Bundle, Engine, Error, Tensor, noise};
use networks::Loaded;

pub use walk::walk;

/// Prompts encoded at once.
const PROMPTS: usize = 32;

/// Latent values of one batch: small latents are batched up to [`MAX_BATCH`], large ones go one by one. The batch never
/// depends on the number of threads, so neither do the pictures.
const BATCH_VALUES: usize = 8192;

/// Pictures of one batch at most.
const MAX_BATCH: usize = 32;

/// A bundle whose networks are loaded.
pub struct Pipeline {
    manifest: Manifest,
    family: &'static dyn Family,
    networks: Loaded,
    /// Without the batch.
    latent_shape: Vec<usize>,
    /// Height and width in pixels, where the bundle's configurations say how latents relate to them.
    pixels: Option<[usize; 2]>,
    fixed: Fixed,
    rollout: Rollout,
    threads: usize,
    tile: Option<usize>,
    guidance: Option<f64>,
    negative: Option<String>,
    seed: u64,
}

/// What the pictures of one call are made of: conditions of the distinct prompts, and which row each picture has.
struct Told {
    condition: Condition,
    rows: Vec<usize>,
    /// One row for all pictures.
    unconditional: Option<Condition>,
}

impl Pipeline {
    /// Loads the networks of a bundle.
    ///
    /// # Errors
    /// [`Error::Family`] for a pipeline that this build does not know, [`Error::Bundle`] for a file that is missing from
    /// it, [`Error::Model`] and [`Error::Timeout`] for networks that the engine refuses.
    pub fn open(bundle: &Bundle, engine: &dyn Engine) -> Result<Self, Error> {
        let manifest = bundle.manifest().clone();
        let (path, index) = (bundle.file("model_index.json")?, bundle.json("model_index.json")?);
        let class = index.get("_class_name").and_then(|name| name.as_str()).unwrap_or_default();
        if class != manifest.pipeline {
            let problem = format!("names the pipeline {class:?} but dmdx.json says {:?}", manifest.pipeline);
            return Err(Error::bundle(path, format!("{problem}; export the bundle again")));
        }
        let family = family::of_class(class)?;
        let networks = Loaded::open(bundle, family, index, engine)?;
        family.check_latents(&networks, &manifest.latent_shape)?;
        let geometry = family.geometry(&networks, &Size::default()).ok();
        let is_stated = |geometry: &Geometry| geometry.latent_shape.ends_with(sides(&manifest.latent_shape));
        Ok(Self {
            fixed: fixed(&manifest, family, &networks)?,
            latent_shape: manifest.latent_shape.clone(),
            pixels: geometry.filter(is_stated).map(|geometry| geometry.pixels),
            family,
            networks,
            rollout: manifest.rollout()?,
            threads: engine.concurrent_runs(),
            tile: None,
            guidance: manifest.guidance_scale.or(manifest.guidance.map(|guidance| guidance.default)),
            negative: None,
            seed: 0,
            manifest,
        })
    }

    /// Decodes pictures that are larger than `side` latent rows or columns in tiles of that side, a multiple of 4 (see
    /// [`crate::family::tiling`]), which takes less memory and changes pictures a little. Diffusers uses the VAE's `sample_size` divided by
    /// its enlargement.
    ///
    /// # Errors
    /// [`FamilyError::TiledVideo`].
    pub fn with_vae_tiling(mut self, side: usize) -> Result<Self, Error> {
        if self.makes_videos() {
            return Err(FamilyError::TiledVideo.into());
        }
        self.tile = Some(side);
        Ok(self)
    }

    /// Makes pictures of another size in pixels than the bundle's own; a side that is left out is the one that the network was
    /// trained for. Inputs that depend on the size (SDXL's `time_ids`, rotary tables) follow.
    ///
    /// # Errors
    /// [`Error::Family`] for a size that the networks do not take, [`RequestError::NoSize`] for a bundle without the
    /// configurations that say how latents relate to pixels.
    pub fn with_size(mut self, height: Option<usize>, width: Option<usize>) -> Result<Self, Error> {
        for folder in [self.family.denoiser().folder, self.family.decoder().0] {
            if self.networks.config(folder).is_null() {
                return Err(RequestError::NoSize { folder }.into());
            }
        }
        let geometry = self.family.geometry(&self.networks, &Size { height, width, frames: None })?;
        // What comes before rows and columns (channels, frames) is the bundle's.
        let own = self.latent_shape.len() - sides(&self.latent_shape).len();
        let latent_shape = [&self.latent_shape[..own], sides(&geometry.latent_shape)].concat();
        self.family.check_latents(&self.networks, &latent_shape)?;
        let geometry = Geometry { latent_shape, pixels: geometry.pixels };
        self.fixed = self.family.fixed(&self.networks, &geometry)?;
        (self.latent_shape, self.pixels) = (geometry.latent_shape, Some(geometry.pixels));
        Ok(self)
    }

    /// Seeds the fresh noise of students that draw between their steps.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Guides away from this text.
    ///
    /// # Errors
    /// [`RequestError::NoNegativePrompt`] where the networks run without guidance.
    pub fn with_negative_prompt(mut self, text: String) -> Result<Self, Error> {
        if self.guidance.is_none() {
            return Err(RequestError::NoNegativePrompt.into());
        }
        self.negative = Some(text);
        Ok(self)
    }

    /// Guides by this weight.
    ///
    /// # Errors
    /// [`Error::Request`] where the networks run without guidance, or a student was not trained for the weight.
    pub fn with_guidance(mut self, scale: f64) -> Result<Self, Error> {
        match (self.guidance, self.manifest.guidance) {
            (None, _) => Err(RequestError::NoGuidance.into()),
            (Some(_), Some(known)) if !known.holds(scale) => {
                let [low, high] = known.range;
                Err(RequestError::Guidance { scale, low, high }.into())
            }
            (Some(_), None) if !scale.is_finite() => Err(RequestError::GuidanceNotFinite(scale).into()),
            (Some(_), _) => {
                self.guidance = Some(scale);
                Ok(self)
            }
        }
    }

    /// The manifest of the bundle.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The sizes of one latent, without the batch.
    #[must_use]
    pub fn latent_shape(&self) -> &[usize] {
        &self.latent_shape
    }

    /// Height and width of a picture in pixels, where the bundle says so before one is made.
    #[must_use]
    pub fn pixels(&self) -> Option<[usize; 2]> {
        self.pixels
    }

    /// Whether the results have frames.
    #[must_use]
    pub fn makes_videos(&self) -> bool {
        self.latent_shape.len() > 3
    }

    /// Whether the walk draws noise between its steps.
    #[must_use]
    pub fn draws_noise(&self) -> bool {
        self.rollout.steps().iter().any(|step| matches!(step.next, Next::Renoise(_)))
    }

    /// The weight of guidance, where the networks run with one.
    #[must_use]
    pub fn guidance(&self) -> Option<f64> {
        self.guidance
    }

    /// What of these prompts, and of the negative one, does not reach the networks: a sentence for every kind of loss.
    ///
    /// # Errors
    /// When a prompt cannot be tokenized.
    pub fn unread(&self, prompts: &[String]) -> Result<Vec<String>, Error> {
        let mut unread = Unread::open(self.family, &self.networks)?;
        prompts.iter().chain(&self.negative).try_for_each(|prompt| unread.look(prompt))?;
        Ok(unread.sentences())
    }

    /// Makes one picture or video per prompt from `noise` `[prompts, ..latent_shape]`: RGB `[prompts, 3, H, W]` or
    /// `[prompts, frames, 3, H, W]`, about -1 to 1, not clamped. `progress` is told the number of finished ones after each
    /// batch.
    ///
    /// # Errors
    /// [`Error::Request`] without prompts, [`Error::Shape`] if the noise or a network does not fit, [`Error::Model`] if an
    /// engine fails, [`Error::Family`] if a picture holds a value that is not finite.
    pub fn generate(&self, prompts: &[String], noise: &Tensor, progress: &(dyn Fn(usize) + Sync)) -> Result<Tensor, Error> {
        if prompts.is_empty() {
            return Err(RequestError::NoPrompt.into());
        }
        let wanted = [&[prompts.len()], self.latent_shape.as_slice()].concat();
        if noise.shape() != wanted {
            return Err(Error::Shape(format!(
                "the noise has shape {:?} but {} prompts of this bundle need {wanted:?}",
                noise.shape(),
                prompts.len()
            )));
        }
        let told = self.told(prompts)?;
        let one = noise.row_len();
        let batch = (BATCH_VALUES / one.max(1)).clamp(1, MAX_BATCH).min(prompts.len());
        let mut fixed = self.fixed.clone();
        fixed.per_sample.extend(self.told_guidance()?);
        let (batches, fixed) = (prompts.len().div_ceil(batch), fixed.for_batch(batch)?);
        let done = AtomicUsize::new(0);
        let pieces = in_parallel(batches, self.threads, |index| {
            let first = index * batch;
            let count = batch.min(prompts.len() - first);
            // The last batch is filled with its last row: engines plan per shape, one shape is one plan.
            let rows: Vec<usize> = (first..first + batch).map(|row| row.min(first + count - 1)).collect();
            let latents = self.denoise(&rows, noise, &told, &fixed)?;
            let pictures = self.family.decode(&self.networks, &self.manifest.vae, &latents, self.tile)?;
            let row = pictures.row_len();
            progress(done.fetch_add(count, Ordering::Relaxed) + count);
            Ok((pictures.shape()[1..].to_vec(), pictures.floats()?[..count * row].to_vec()))
        })?;
        let mut shape = vec![prompts.len()];
        shape.extend(pieces.first().map(|(shape, _)| shape.as_slice()).unwrap_or_default());
        Tensor::f32(shape, pieces.into_iter().flat_map(|(_, values)| values).collect())
    }

    /// The guidance weight, where it is an input of the network; 1 is none.
    fn told_guidance(&self) -> Result<Option<(&'static str, Tensor)>, Error> {
        self.family.told_guidance(&self.networks, self.guidance.unwrap_or(1.0))
    }

    /// The conditions of prompts; equal prompts share a row.
    fn told(&self, prompts: &[String]) -> Result<Told, Error> {
        let mut distinct: Vec<&str> = Vec::new();
        let mut rows = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            rows.push(distinct.iter().position(|known| known == prompt).unwrap_or_else(|| {
                distinct.push(prompt);
                distinct.len() - 1
            }));
        }
        let condition = self.family.encode(&self.networks, &distinct, PROMPTS)?;
        let encoded = |text: &str| self.family.encode(&self.networks, &[text], PROMPTS);
        let unconditional = match (self.guidance, &self.negative, self.manifest.unconditional) {
            (None, ..) => None,
            _ if self.told_guidance()?.is_some() => None,
            (Some(_), Some(text), _) => Some(encoded(text)?),
            (Some(_), None, Unconditional::Zeros) => Some(condition.zeros()?),
            (Some(_), None, Unconditional::EmptyPrompt) => Some(encoded("")?),
        };
        Ok(Told { condition, rows, unconditional })
    }

    /// Clean latents of the pictures `pictures`.
    fn denoise(&self, pictures: &[usize], noise: &Tensor, told: &Told, fixed: &Fixed) -> Result<Tensor, Error> {
        let rows: Vec<usize> = pictures.iter().map(|&picture| told.rows[picture]).collect();
        let condition = told.condition.pick(&rows)?;
        let unconditional = told.unconditional.as_ref().map(|one| one.pick(&vec![0; rows.len()])).transpose()?;
        let denoiser = self.family.denoiser();
        let ask = |sample: &Tensor, time: &Tensor, condition: &Condition| {
            let inputs = denoiser_inputs(self.family, sample, time, condition, fixed);
            self.networks.one(denoiser.place(), &inputs, denoiser.output)
        };
        let predict = |sample: &Tensor, time: f64| {
            let time = Tensor::f32([rows.len()], vec![time as f32; rows.len()])?;
            let output = ask(sample, &time, &condition)?;
            match (self.guidance, &unconditional) {
                (Some(scale), Some(unconditional)) => guidance::guided(&ask(sample, &time, unconditional)?, &output, scale),
                (None, _) | (_, None) => Ok(output),
            }
        };
        let fresh = |step: usize| {
            let draw = |&picture: &usize| noise::between_steps(self.seed, picture as u64, step, noise.row_len());
            Tensor::f32([&[rows.len()], &noise.shape()[1..]].concat(), pictures.iter().flat_map(draw).collect())
        };
        walk(&self.rollout, pick(noise, pictures)?, predict, fresh)
    }
}

/// Rows and columns of latents.
fn sides(latent_shape: &[usize]) -> &[usize] {
    &latent_shape[latent_shape.len().saturating_sub(2)..]
}

/// Inputs that no prompt changes: those that the manifest states, or those that follow from the sizes.
fn fixed(manifest: &Manifest, family: &dyn Family, networks: &Loaded) -> Result<Fixed, Error> {
    if let Some(ids) = &manifest.time_ids {
        let row = Tensor::f32([1, ids.len()], ids.iter().map(|&id| id as f32).collect())?;
        return Ok(Fixed { per_sample: vec![("time_ids", row)], shared: Vec::new() });
    }
    let latent_shape = manifest.latent_shape.clone();
    family.fixed(networks, &Geometry { latent_shape, ..family.geometry(networks, &Size::default())? })
}

//! From prompts and noise to pictures: tokenize, encode, a few steps, decode.

pub mod guidance;
pub mod picture;
pub mod rotary;
pub mod text;
pub mod tiling;
mod walk;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::bundle::manifest::{Manifest, Unconditional};

use crate::engine::take;
use crate::process::Rollout;
use crate::tensor::ops::pick;
use crate::{Bundle, Engine, Error, Session, Tensor, noise};
use text::{Condition, TextEncoder};

/// Latent values of one batch: small latents are batched up to [`MAX_BATCH`], large ones go one by one. The batch never
/// depends on the number of threads, so neither do the pictures.
const BATCH_VALUES: usize = 8192;

/// Pictures of one batch at most.
const MAX_BATCH: usize = 32;

/// A bundle whose networks are loaded.
pub struct Pipeline {
    manifest: Manifest,
    text: TextEncoder,
    unet: Box<dyn Session>,
    decoder: Box<dyn Session>,
    rollout: Rollout,
    threads: usize,
    tile: Option<usize>,
    guidance: Option<f64>,
    seed: u64,
}

impl Pipeline {
    /// Loads the networks of a bundle.
    ///
    /// # Errors
    /// [`Error::Bundle`] for a pipeline that this build does not know or a file that is missing from it, [`Error::Model`]
    /// and [`Error::Timeout`] for networks that the engine refuses.
    pub fn open(bundle: &Bundle, engine: &dyn Engine) -> Result<Self, Error> {
        let manifest = bundle.manifest().clone();
        Ok(Self {
            text: TextEncoder::open(bundle, engine)?,
            unet: engine.load(&bundle.file("unet/model.onnx")?)?,
            decoder: engine.load(&bundle.file("vae_decoder/model.onnx")?)?,
            rollout: manifest.rollout()?,
            threads: engine.concurrent_runs(),
            tile: None,
            guidance: manifest.guidance_scale.or(manifest.guidance.map(|guidance| guidance.default)),
            seed: 0,
            manifest,
        })
    }

    /// Decodes pictures that are larger than `side` latent rows or columns in tiles of that side, a multiple of 4 (see
    /// [`tiling`]), which takes less memory and changes pictures a little. Diffusers uses the VAE's `sample_size` divided by
    /// its enlargement.
    #[must_use]
    pub fn with_vae_tiling(mut self, side: usize) -> Self {
        self.tile = Some(side);
        self
    }

    /// Seeds the fresh noise of students that draw between their steps.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Guides by this weight.
    ///
    /// # Errors
    /// [`Error::Request`] where the networks run without guidance, or a student was not trained for the weight.
    pub fn with_guidance(mut self, scale: f64) -> Result<Self, Error> {
        match (self.guidance, self.manifest.guidance) {
            (None, _) => Err(Error::Request("this bundle runs without guidance; leave the weight out".into())),
            (Some(_), Some(known)) if !known.holds(scale) => {
                let [low, high] = known.range;
                Err(Error::Request(format!("the guidance {scale} was asked for, but this student takes {low} to {high}")))
            }
            (Some(_), None) if !scale.is_finite() => Err(Error::Request(format!("the guidance {scale} is no finite number"))),
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

    /// Makes one picture per prompt from `noise` `[prompts, ..latent_shape]`: RGB `[prompts, 3, H, W]`, about -1 to 1,
    /// not clamped. `progress` is told the number of finished pictures after each batch.
    ///
    /// # Errors
    /// [`Error::Request`] without prompts, [`Error::Shape`] if the noise or a network does not fit, [`Error::Model`] if an
    /// engine fails or a picture holds a value that is not finite.
    pub fn generate(&self, prompts: &[String], noise: &Tensor, progress: &(dyn Fn(usize) + Sync)) -> Result<Tensor, Error> {
        if prompts.is_empty() {
            return Err(Error::Request("there is no prompt; give at least one".into()));
        }
        let wanted = [&[prompts.len()], self.manifest.latent_shape.as_slice()].concat();
        if noise.shape() != wanted {
            return Err(Error::Shape(format!(
                "the noise has shape {:?} but {} prompts of this bundle need {wanted:?}",
                noise.shape(),
                prompts.len()
            )));
        }
        let condition = self.text.encode(prompts)?;
        let unconditional = match (self.guidance, self.manifest.unconditional) {
            (None, _) => None,
            (Some(_), Unconditional::Zeros) => Some(condition.zeros()?),
            (Some(_), Unconditional::EmptyPrompt) => Some(self.text.encode(&[String::new()])?.with_rows(vec![0; prompts.len()])),
        };
        let one = noise.row_len();
        let batch = (BATCH_VALUES / one.max(1)).clamp(1, MAX_BATCH).min(prompts.len());
        let batches = prompts.len().div_ceil(batch);
        let done = AtomicUsize::new(0);
        let pieces = in_parallel(batches, self.threads, |index| {
            let first = index * batch;
            let count = batch.min(prompts.len() - first);
            // The last batch is filled with its last row: engines plan per shape, one shape is one plan.
            let rows: Vec<usize> = (first..first + batch).map(|row| row.min(first + count - 1)).collect();
            let latents = self.denoise(&rows, noise, &condition, unconditional.as_ref())?;
            let pictures = self.decode(latents)?;
            let row = pictures.row_len();
            progress(done.fetch_add(count, Ordering::Relaxed) + count);
            Ok((pictures.shape()[1..].to_vec(), pictures.floats()?[..count * row].to_vec()))
        })?;
        let mut shape = vec![prompts.len()];
        shape.extend(pieces.first().map(|(shape, _)| shape.as_slice()).unwrap_or_default());
        Tensor::f32(shape, pieces.into_iter().flat_map(|(_, values)| values).collect())
    }

    fn denoise(
        &self,
        rows: &[usize],
        noise: &Tensor,
        condition: &Condition,
        unconditional: Option<&Condition>,
    ) -> Result<Tensor, Error> {
        let condition = condition.pick(rows)?;
        let unconditional = unconditional.map(|all| all.pick(rows)).transpose()?;
        let predict = |sample: &Tensor, time: f64| {
            let output = self.predict(sample, time, &condition)?;
            match (self.guidance, &unconditional) {
                (Some(scale), Some(unconditional)) => {
                    guidance::guided(&self.predict(sample, time, unconditional)?, &output, scale)
                }
                (None, _) | (_, None) => Ok(output),
            }
        };
        let fresh = |step: usize| {
            let values = rows.iter().flat_map(|&row| noise::between_steps(self.seed, row as u64, step, noise.row_len()));
            Tensor::f32([&[rows.len()], &noise.shape()[1..]].concat(), values.collect())
        };
        walk::walk(&self.rollout, pick(noise, rows)?, predict, fresh)
    }

    /// The network's raw output at one time.
    fn predict(&self, latents: &Tensor, time: f64, condition: &Condition) -> Result<Tensor, Error> {
        let batch = latents.shape()[0];
        let timestep = Tensor::f32([batch], vec![time as f32; batch])?;
        let mut inputs = vec![("sample", latents), ("timestep", &timestep), ("encoder_hidden_states", &condition.context)];
        if let Some(pooled) = &condition.pooled {
            inputs.push(("text_embeds", pooled));
        }
        let ids = self.manifest.time_ids.as_ref().map(|ids| {
            let row: Vec<f32> = ids.iter().map(|&id| id as f32).collect();
            Tensor::f32([batch, row.len()], row.repeat(batch))
        });
        let ids = ids.transpose()?;
        if let Some(ids) = &ids {
            inputs.push(("time_ids", ids));
        }
        take(&mut self.unet.run(&inputs)?, "out_sample")
    }

    fn decode(&self, latents: Tensor) -> Result<Tensor, Error> {
        let vae = &self.manifest.vae;
        let scaled = latents.floats()?.iter().map(|&z| (f64::from(z) / vae.scaling_factor + vae.shift_factor) as f32).collect();
        let scaled = Tensor::f32(latents.shape(), scaled)?;
        let run = |latents: &Tensor| take(&mut self.decoder.run(&[("latent_sample", latents)])?, "sample");
        let pictures = match self.tile {
            Some(side) => tiling::decoded_in_tiles(&scaled, side, run)?,
            None => run(&scaled)?,
        };
        if pictures.shape().len() != 4 || pictures.shape()[..2] != [latents.shape()[0], 3] {
            return Err(Error::Shape(format!(
                "the decoder made {:?} from latents {:?}, not one RGB picture each",
                pictures.shape(),
                latents.shape()
            )));
        }
        if pictures.floats()?.iter().any(|value| !value.is_finite()) {
            return Err(Error::Shape(
                "the networks made a picture with NaN or infinity; the weights are probably damaged".into(),
            ));
        }
        Ok(pictures)
    }
}

/// `work(0..count)` on `threads` threads, results in order; the error of the lowest index wins.
pub(crate) fn in_parallel<T: Send>(
    count: usize,
    threads: usize,
    work: impl Fn(usize) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, count.max(1)) {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        break;
                    }
                    let result = work(index);
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

//! The teacher: networks of a pipeline, the conditions of prompts, and its sampler.

mod encoder;
mod header;
mod networks;
mod prompts;

use std::path::Path;

use burn::tensor::Device;
use dmdx_export::Imported;
use dmdx_graph::Graph;
use dmdx_importer::source::SourceOptions;
use dmdx_importer::{ImportOptions, Nonfinite, Pipeline, import_pipeline};
use dmdx_runtime::Tensor;
use dmdx_runtime::family::{self, Family, Geometry, Size, Unread};
use dmdx_runtime::manifest;
use dmdx_runtime::process::{Rollout, StepRule};
use dmdx_runtime::scheduler;

use crate::data::conditions;
use crate::data::{ConditionPlan, Prompts, StoredConditions};
use crate::diffusion::{Denoiser, Generator, Ports};
use crate::discriminator::{Decoder, FeatureLayout};
use crate::error::{TeacherError, TrainError};
use crate::module::{GraphModule, Value};
use crate::recipe::Unconditional;
use crate::session::{Draws, Interrupt};

pub use encoder::Encoder;
pub use header::Header;
pub use networks::{Interpreted, OnBurn};

/// How many samples of this latent shape go through a network together: a function of the shape alone, so that no sample
/// depends on how many are asked for, and small enough for the decoder's maps of large pictures. Every latent frame of a video
/// counts as a picture.
pub(crate) fn chunk(latent_shape: &[usize]) -> usize {
    let frames = latent_shape.len().checked_sub(4).map_or(1, |axis| latent_shape[axis]);
    (50 * 4096 / latent_shape.iter().product::<usize>().max(1)).min(50 / frames.max(1)).clamp(1, 50)
}

/// Some of the latents that are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Portion<'a> {
    /// The number of the first, a multiple of what goes through the network together.
    pub first: usize,
    /// The shape of one.
    pub latent_shape: &'a [usize],
    /// Their noises, `[count, ..latent_shape]`.
    pub noise: &'a [f32],
    /// Their prompts by id.
    pub prompts: &'a [u32],
}

impl Portion<'_> {
    /// Noise, prompts and weights in batches of a fixed size.
    fn chunks(&self, weights: &[f64], device: &Device) -> Result<Vec<Chunk>, TrainError> {
        let Self { noise, prompts, latent_shape, .. } = *self;
        let elements: usize = latent_shape.iter().product();
        if noise.len() != prompts.len() * elements || weights.len() != prompts.len() {
            let counts = TeacherError::Counts { prompts: prompts.len(), values: noise.len(), weights: weights.len() };
            return Err(counts.into());
        }
        let size = chunk(latent_shape);
        let parts = noise.chunks((size * elements).max(1)).zip(prompts.chunks(size)).zip(weights.chunks(size));
        let part = |((noise, prompts), weights): ((&[f32], &[u32]), &[f64])| {
            let shape: Vec<usize> = std::iter::once(prompts.len()).chain(latent_shape.iter().copied()).collect();
            let prompts = prompts.iter().map(|&prompt| prompt as usize).collect();
            Ok((Value::float(noise.to_vec(), &shape, device)?, prompts, weights.to_vec()))
        };
        parts.map(part).collect()
    }
}

/// Noise, prompts and guidance weights of one batch.
type Chunk = (Value, Vec<usize>, Vec<f64>);

/// An imported teacher on a device.
#[derive(Debug)]
pub struct Teacher {
    /// The checkpoint.
    pub pipeline: Pipeline,
    /// What kind of pipeline it is.
    pub family: &'static dyn Family,
    /// The denoising network with its schedule, frozen.
    pub denoiser: Denoiser,
    /// Latents to pictures.
    pub decoder: Decoder,
    /// What the unconditional embedding is.
    pub unconditional: manifest::Unconditional,
    /// `[channels, height, width]` of one latent, before them the frames of a video's.
    pub latent_shape: Vec<usize>,
    /// The frames of a video; `None` where the results are pictures.
    pub frames: Option<usize>,
    /// Height and width of a picture, or of a frame.
    pub picture_size: [usize; 2],
    /// The autoencoder's factor that is in the latents.
    pub latent_scaling: f64,
}

impl Teacher {
    /// Imports a pipeline and puts its networks on a device, but for those that only prompts go through.
    ///
    /// # Errors
    /// When the pipeline cannot be imported, or is of an unsupported kind.
    pub fn open(path: &Path, reading: &SourceOptions, unconditional: Unconditional, device: &Device) -> Result<Self, TrainError> {
        header::no_student(path)?;
        let pipeline = import_pipeline(path, &ImportOptions { nonfinite: Nonfinite::Deny, ..reading.import() })
            .and_then(|pipeline| pipeline.require_complete().map(|()| pipeline))
            .map_err(|error| TrainError::TeacherImport(error.into()))?;
        let family = family::of_class(&pipeline.class)?;
        let imported = Imported(&pipeline);
        let geometry = family.geometry(&imported, &Size::default())?;
        family.check_latents(&imported, &geometry.latent_shape)?;
        if family.told_guidance(&imported, 1.0)?.is_some() {
            return Err(TeacherError::Distilled.into());
        }
        // What only prompts go through is looked at now and put on the device later.
        for network in family.networks().iter().filter(|network| !network.is_optional) {
            imported.graph(network.place)?;
        }
        let scheduler = pipeline.scheduler.as_ref().ok_or(TeacherError::NoScheduler)?;
        let names = family.denoiser();
        let denoiser = Denoiser {
            module: GraphModule::new(imported.graph(names.place())?, device, false)?,
            process: scheduler::process(scheduler)?.into(),
            ports: Ports::of(names),
        };
        let scaling = family.vae_scaling(&imported)?;
        let left_out = family.frames_left_out(&imported, &geometry.latent_shape)?;
        let network = imported.graph(family.decoder())?;
        let frames = header::frames(family, &imported, &geometry.latent_shape)?;
        let decoder = Decoder::new(GraphModule::new(network, device, false)?, &scaling, left_out);
        let unconditional = prompts::unconditional(family, &imported, unconditional);
        let Geometry { latent_shape, pixels } = geometry;
        let latent_scaling = scaling.scaling_factor;
        Ok(Self {
            family,
            denoiser,
            decoder,
            unconditional,
            latent_shape,
            frames,
            picture_size: pixels,
            latent_scaling,
            pipeline,
        })
    }

    /// The shape of one result, `[3, height, width]`, before them the frames of a video.
    pub fn result_shape(&self) -> Vec<usize> {
        let [height, width] = self.picture_size;
        self.frames.into_iter().chain([3, height, width]).collect()
    }

    /// Its walk in so many steps, each of equal length, from noise to a clean sample.
    ///
    /// # Errors
    /// [`TrainError::Process`] for more steps than its noise process has times, or one that its output does not define: that
    /// from pure noise of a network that predicts noise.
    pub fn sampler(&self, steps: usize) -> Result<Generator, TrainError> {
        let process = self.denoiser.process.coefficients();
        let times: Vec<f64> = process.spaced(steps)?.into_iter().map(|time| process.network_time(time)).collect();
        Ok(Generator::new(&self.denoiser, &Rollout::new(process.clone(), &times, StepRule::Ode)?))
    }

    /// The conditions of `plan` and `prompts`, embedded into `folder` as far as they are not there. The text encoders leave
    /// the device afterwards, and never come onto it where nothing has to be embedded.
    ///
    /// # Errors
    /// As [`conditions::collect`].
    pub fn conditions(
        &self,
        folder: &Path,
        plan: &ConditionPlan,
        prompts: &Prompts,
        interrupt: &Interrupt,
    ) -> Result<StoredConditions, TrainError> {
        let device = self.denoiser.module.device();
        let networks = OnBurn::new(&self.pipeline, device.clone());
        let mut unread = None;
        let store = conditions::collect(folder, plan, prompts, interrupt, |texts| {
            prompts::look(&mut unread, self.family, &networks, texts)?;
            prompts::encode(self.family, &networks, texts)
        })?;
        unread.iter().flat_map(Unread::sentences).for_each(|sentence| eprintln!("note: {sentence}"));
        let geometry = Geometry { latent_shape: self.latent_shape.clone(), pixels: self.picture_size };
        let fixed = self.family.fixed(&networks, &geometry)?;
        let rows = fixed.per_sample.iter().map(|(name, row)| prompts::rows(name, row)).collect::<Result<_, _>>()?;
        let table = |(name, table): &(&str, Tensor)| {
            Ok((name.to_string(), Value::float(table.floats()?.to_vec(), table.shape(), device)?))
        };
        let shared = fixed.shared.iter().map(table).collect::<Result<_, TrainError>>()?;
        Ok(StoredConditions::new(store, rows, shared, device))
    }

    /// The denoising network's graph, with marks for taps.
    ///
    /// # Errors
    /// When the pipeline has none.
    pub fn graph(&self) -> Result<&Graph, TrainError> {
        Ok(Imported(&self.pipeline).graph(self.family.denoiser().place())?)
    }

    /// The modules that a discriminator of latents taps where nobody says otherwise.
    ///
    /// # Errors
    /// As [`Teacher::graph`].
    pub fn default_taps(&self) -> Result<Vec<String>, TrainError> {
        Ok(self.family.default_taps(&mut self.graph()?.marks().keys().map(String::as_str)))
    }

    /// The module in the middle of the denoising network, if one is.
    ///
    /// # Errors
    /// As [`Teacher::graph`].
    pub fn bottleneck(&self) -> Result<Option<String>, TrainError> {
        Ok(self.family.bottleneck(&mut self.graph()?.marks().keys().map(String::as_str)))
    }

    /// How the denoising network lays out the features of its modules.
    pub fn feature_layout(&self) -> FeatureLayout {
        let config = self.pipeline.components.get(self.family.denoiser().folder).map(|component| &component.config);
        let grid = config.and_then(|config| self.family.token_grid(config, &self.latent_shape));
        grid.map_or(FeatureLayout::ChannelsFirst, FeatureLayout::Tokens)
    }

    /// The teacher's latents for noise `[count, ..latent_shape]`, prompts by id and a guidance weight each.
    ///
    /// # Errors
    /// When a prompt is not there, or counts differ.
    pub fn latents(
        &self,
        conditions: &StoredConditions,
        noise: &[f32],
        prompts: &[u32],
        weights: &[f64],
        steps: usize,
    ) -> Result<Vec<f32>, TrainError> {
        let sampler = self.sampler(steps)?;
        let mut latents = Vec::with_capacity(noise.len());
        let portion = Portion { first: 0, latent_shape: &self.latent_shape, noise, prompts };
        for (noise, prompts, weights) in portion.chunks(weights, self.denoiser.module.device())? {
            latents.extend(sampler.sample(&noise, &conditions.pick(&prompts)?, Some(&weights), &[])?.to_f32()?);
        }
        Ok(latents)
    }

    /// Pictures `[count, 3, height, width]` of latents, or videos `[count, frames, 3, height, width]`.
    ///
    /// # Errors
    /// When the latents are not whole.
    pub fn pictures(&self, latents: &[f32]) -> Result<Vec<f32>, TrainError> {
        let elements: usize = self.latent_shape.iter().product();
        let mut pictures = Vec::new();
        for part in latents.chunks((chunk(&self.latent_shape) * elements).max(1)) {
            let shape: Vec<usize> =
                std::iter::once(part.len() / elements.max(1)).chain(self.latent_shape.iter().copied()).collect();
            let latents = Value::float(part.to_vec(), &shape, self.denoiser.module.device())?;
            pictures.extend(self.decoder.decode(&latents)?.to_f32()?);
        }
        Ok(pictures)
    }
}

/// Latents that a student draws, in the same batches as the teacher's: guided by `weight` where it is a guided student.
/// The noises of a student that noises its samples anew are drawn under `seed`.
///
/// # Errors
/// As [`Teacher::latents`].
pub fn student_latents(
    student: &Generator,
    conditions: &StoredConditions,
    weight: Option<f64>,
    seed: u64,
    portion: &Portion<'_>,
) -> Result<Vec<f32>, TrainError> {
    let mut latents = Vec::with_capacity(portion.noise.len());
    let chunks = portion.chunks(&vec![1.0; portion.prompts.len()], student.device())?;
    for (index, (noise, prompts, ones)) in (portion.first / chunk(portion.latent_shape)..).zip(chunks) {
        let mut draws = Draws::new(seed, "evaluation of a student", index as u64);
        let shape = noise.shape();
        let fresh = (0..student.fresh_noises()).map(|_| Value::float(draws.normal(&shape), &shape, &noise.device()));
        let fresh = fresh.collect::<Result<Vec<_>, _>>()?;
        let weights = weight.map(|weight| vec![weight; ones.len()]);
        let conditions = conditions.pick(&prompts)?;
        latents.extend(student.sample(&noise, &conditions, weights.as_deref(), &fresh)?.to_f32()?);
    }
    Ok(latents)
}

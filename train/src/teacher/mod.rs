//! The teacher: networks of a pipeline, the conditions of prompts, and its sampler.

mod prompts;

use std::path::Path;

use burn::tensor::Device;
use dmdx_graph::Graph;
use dmdx_importer::{Component, ImportOptions, Nonfinite, Pipeline, import_pipeline};
use dmdx_runtime::process::{Rollout, StepRule};
use dmdx_runtime::scheduler;
use serde_json::Value as Json;

use crate::data::conditions::{self, UnconditionalRow};
use crate::data::{ConditionPlan, Prompts, StoredConditions};
use crate::diffusion::{Denoiser, Generator, Ports};
use crate::discriminator::Decoder;
use crate::error::TrainError;
use crate::module::{GraphModule, Value};
use crate::recipe::Unconditional;
use crate::session::{Draws, Interrupt};
use prompts::PromptEncoder;

/// How many samples of this latent shape go through a network together: a function of the shape alone, so that no sample
/// depends on how many are asked for, and small enough for the decoder's maps of large pictures.
pub(crate) fn chunk(latent_shape: &[usize]) -> usize {
    (50 * 4096 / latent_shape.iter().product::<usize>().max(1)).clamp(1, 50)
}

/// Noise, prompts and guidance weights of one batch.
type Chunk = (Value, Vec<usize>, Vec<f64>);

/// An imported teacher on a device.
#[derive(Debug)]
pub struct Teacher {
    /// The checkpoint.
    pub pipeline: Pipeline,
    /// The denoising network with its schedule, frozen.
    pub denoiser: Denoiser,
    /// Latents to pictures.
    pub decoder: Decoder,
    /// What the unconditional embedding is.
    pub unconditional: UnconditionalRow,
    /// `[channels, height, width]` of one latent.
    pub latent_shape: Vec<usize>,
    /// Pixels per latent position.
    pub scale: usize,
    /// The autoencoder's factor that is in the latents.
    pub latent_scaling: f64,
}

impl Teacher {
    /// Imports a pipeline and puts its networks on a device, but for those that only prompts go through.
    ///
    /// # Errors
    /// When the pipeline cannot be imported, or is of an unsupported kind.
    pub fn open(path: &Path, unconditional: Unconditional, device: &Device) -> Result<Self, TrainError> {
        let pipeline = import_pipeline(path, &ImportOptions { nonfinite: Nonfinite::Deny, ..ImportOptions::default() })
            .map_err(|error| TrainError::component("importing the teacher", error))?;
        let unet = component(&pipeline, "unet")?;
        let vae = component(&pipeline, "vae")?;
        let scheduler = pipeline.scheduler.as_ref().ok_or_else(|| {
            TrainError::Invalid("the teacher has no scheduler/scheduler_config.json; its noise levels are unknown".into())
        })?;
        let denoiser = Denoiser {
            module: GraphModule::new(graph(unet, "unet")?, device, false)?,
            process: scheduler::process(scheduler)
                .map_err(|error| TrainError::component("reading the teacher's scheduler", error))?
                .into(),
            ports: Ports { sample: "sample", time: "timestep", output: "sample", buffers: &[] },
        };
        let (latent_scaling, shift) = latent_statistics(&vae.config)?;
        let decoder = Decoder::new(GraphModule::new(graph(vae, "vae_decoder")?, device, false)?, latent_scaling, shift);
        let levels = vae.config["block_out_channels"].as_array().map_or(4, Vec::len);
        let scale = 1usize << (levels.max(1) - 1).min(16);
        let latent_shape = latent_shape(&unet.config)?;
        check_channels(graph(unet, "unet")?, latent_shape[0], latent_shape[0])?;
        check_channels(graph(vae, "vae_decoder")?, latent_shape[0], 3)?;
        prompts::parts(&pipeline, graph(unet, "unet")?)?;
        let unconditional = prompts::unconditional(&pipeline, unconditional);
        Ok(Self { denoiser, decoder, unconditional, latent_shape, scale, latent_scaling, pipeline })
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
        let (unet, device) = (self.graph()?, self.denoiser.module.device());
        let mut encoder = None;
        let store = conditions::collect(folder, plan, prompts, interrupt, |texts| {
            let opened = match encoder.take() {
                Some(opened) => opened,
                None => PromptEncoder::open(&self.pipeline, unet, device)?,
            };
            encoder.insert(opened).encode(texts)
        })?;
        Ok(StoredConditions::new(store, prompts::fixed_inputs(unet, self.picture_size()), device))
    }

    /// The denoising network's graph, with marks for taps.
    ///
    /// # Errors
    /// When the pipeline has none.
    pub fn graph(&self) -> Result<&Graph, TrainError> {
        graph(component(&self.pipeline, "unet")?, "unet")
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
        let process = self.denoiser.process.coefficients();
        let times: Vec<f64> = process.spaced(steps)?.into_iter().map(|time| process.network_time(time)).collect();
        let sampler = Generator::new(&self.denoiser, &Rollout::new(process.clone(), &times, StepRule::Ode)?);
        let mut latents = Vec::with_capacity(noise.len());
        for (noise, prompts, weights) in self.chunks(noise, prompts, weights)? {
            latents.extend(sampler.sample(&noise, &conditions.pick(&prompts)?, Some(&weights), &[])?.to_f32()?);
        }
        Ok(latents)
    }

    /// Noise, prompts and weights in batches of a fixed size.
    fn chunks(&self, noise: &[f32], prompts: &[u32], weights: &[f64]) -> Result<Vec<Chunk>, TrainError> {
        let elements: usize = self.latent_shape.iter().product();
        if noise.len() != prompts.len() * elements || weights.len() != prompts.len() {
            return Err(TrainError::Invalid(format!(
                "{} prompts do not go with {} values of noise and {} weights",
                prompts.len(),
                noise.len(),
                weights.len()
            )));
        }
        let device = self.denoiser.module.device();
        let size = chunk(&self.latent_shape);
        let parts = noise.chunks((size * elements).max(1)).zip(prompts.chunks(size)).zip(weights.chunks(size));
        let part = |((noise, prompts), weights): ((&[f32], &[u32]), &[f64])| {
            let shape: Vec<usize> = std::iter::once(prompts.len()).chain(self.latent_shape.iter().copied()).collect();
            let prompts = prompts.iter().map(|&prompt| prompt as usize).collect();
            Ok((Value::float(noise.to_vec(), &shape, device)?, prompts, weights.to_vec()))
        };
        parts.map(part).collect()
    }

    /// Pictures `[count, 3, height, width]` of latents.
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

    /// Latents that a student draws, in the same batches as the teacher's: guided by `weight` where it is a guided student.
    /// The noises of a student that noises its samples anew are drawn under `seed`.
    ///
    /// # Errors
    /// As [`Teacher::latents`].
    pub fn student_latents(
        &self,
        student: &Generator,
        conditions: &StoredConditions,
        weight: Option<f64>,
        seed: u64,
        noise: &[f32],
        prompts: &[u32],
    ) -> Result<Vec<f32>, TrainError> {
        let mut latents = Vec::with_capacity(noise.len());
        for (index, (noise, prompts, ones)) in self.chunks(noise, prompts, &vec![1.0; prompts.len()])?.into_iter().enumerate() {
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

    /// Height and width of a picture.
    pub fn picture_size(&self) -> [usize; 2] {
        [self.latent_shape[1] * self.scale, self.latent_shape[2] * self.scale]
    }
}

/// A component of the pipeline.
fn component<'p>(pipeline: &'p Pipeline, name: &str) -> Result<&'p Component, TrainError> {
    pipeline.components.get(name).ok_or_else(|| {
        let known: Vec<&str> = pipeline.components.keys().map(String::as_str).collect();
        TrainError::Invalid(format!("the teacher has no {name}, only {}; a UNet pipeline is needed", known.join(", ")))
    })
}

/// A part of a component.
fn graph<'p>(component: &'p Component, part: &str) -> Result<&'p Graph, TrainError> {
    component.parts.get(part).ok_or_else(|| TrainError::Invalid(format!("the teacher's {} has no {part}", component.class)))
}

/// Refuses a network that does not make maps of `to` channels from maps of `from`.
fn check_channels(graph: &Graph, from: usize, to: usize) -> Result<(), TrainError> {
    let channels = |id| graph.value(id).ty.shape.0.get(1).and_then(dmdx_graph::Dim::known);
    let input = graph.inputs().first().and_then(|(_, id)| channels(*id));
    let output = graph.outputs().first().and_then(|output| channels(output.value));
    if (input, output) == (Some(from), Some(to)) {
        return Ok(());
    }
    let show = |size: Option<usize>| size.map_or_else(|| "unknown".to_string(), |size| size.to_string());
    Err(TrainError::Invalid(format!(
        "the teacher's {} makes {} channels from {}, but {to} from {from} are needed; inpainting and learned-variance models cannot be distilled",
        graph.name(),
        show(output),
        show(input)
    )))
}

/// The autoencoder's factor and offset of latents.
fn latent_statistics(config: &Json) -> Result<(f64, f64), TrainError> {
    let number = |key: &str, default: f64| match &config[key] {
        Json::Null => Ok(default),
        value => value
            .as_f64()
            .ok_or_else(|| TrainError::Invalid(format!("the teacher's vae has {key} = {value}, but a number is needed"))),
    };
    let (scaling, shift) = (number("scaling_factor", 0.18215)?, number("shift_factor", 0.0)?);
    if scaling == 0.0 {
        return Err(TrainError::Invalid("the teacher's vae has scaling_factor = 0, so its latents hold nothing".into()));
    }
    if !config["latents_mean"].is_null() || !config["latents_std"].is_null() {
        return Err(TrainError::Invalid("the teacher's vae has latents_mean or latents_std, which are not supported yet".into()));
    }
    Ok((scaling, shift))
}

/// `[channels, height, width]` from `in_channels` and `sample_size`, a number or a pair.
fn latent_shape(config: &Json) -> Result<Vec<usize>, TrainError> {
    let number =
        |value: &Json| value.as_u64().and_then(|size| usize::try_from(size).ok()).filter(|size| (1..=1 << 16).contains(size));
    let size = &config["sample_size"];
    let sides = match size.as_array() {
        Some(pair) => pair.iter().map(number).collect::<Option<Vec<_>>>().filter(|pair| pair.len() == 2),
        None => number(size).map(|side| vec![side, side]),
    };
    match (number(&config["in_channels"]), sides) {
        (Some(channels), Some(sides)) => Ok(vec![channels, sides[0], sides[1]]),
        _ => Err(TrainError::Invalid(
            "the teacher's unet says no in_channels and sample_size; its latents' shape is unknown".into(),
        )),
    }
}

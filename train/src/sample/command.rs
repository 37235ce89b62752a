//! `dmdx-train sample`: one picture or video of a teacher, as a PNG file.

use std::path::PathBuf;

use burn::tensor::Device;
use clap::Args;
use dmdx_graph::Dim;
use dmdx_importer::{ImportOptions, import_pipeline};
use dmdx_runtime::pipeline::picture;
use dmdx_runtime::{Tensor, noise};
use indicatif::{ProgressBar, ProgressStyle};

use super::tensors::{floats, map, values};
use super::{Networks, OnBurn, Request, number, run};
use crate::error::TrainError;

/// Frames of a video side by side at most.
const COLUMNS: usize = 8;

/// `dmdx-train sample`.
#[derive(Clone, Debug, Args)]
pub struct SampleArguments {
    /// Pipeline folder of an SDXL, Stable Diffusion 3 or CogVideoX teacher.
    pub pipeline: PathBuf,
    /// What is to be seen.
    #[arg(long)]
    pub prompt: String,
    /// What is not.
    #[arg(long)]
    pub negative_prompt: Option<String>,
    /// Steps of the teacher's own scheduler.
    #[arg(long, default_value_t = 28)]
    pub steps: usize,
    /// Weight of classifier-free guidance; 1 is none.
    #[arg(long, default_value_t = 6.0)]
    pub guidance_scale: f64,
    /// Let the weight grow as the time falls, as CogVideoX' `use_dynamic_cfg` does.
    #[arg(long)]
    pub dynamic_guidance: bool,
    /// Move the guided output's spread this far to that of the prompt's alone.
    #[arg(long, default_value_t = 0.0)]
    pub guidance_rescale: f64,
    /// Pixels; the size that the network was trained for where left out.
    #[arg(long)]
    pub height: Option<usize>,
    /// Pixels; the size that the network was trained for where left out.
    #[arg(long)]
    pub width: Option<usize>,
    /// Frames of a video.
    #[arg(long, default_value_t = 49)]
    pub frames: usize,
    /// Of the noise.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// PNG file to write; the frames of a video stand in rows.
    #[arg(short, long)]
    pub output: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    pub force: bool,
}

/// Imports the pipeline, samples it by Burn on `device`, and writes the file.
///
/// # Errors
/// When the pipeline cannot be imported or sampled, or the file not written.
pub fn sample(arguments: &SampleArguments, device: &Device) -> Result<(), TrainError> {
    let options = ImportOptions { frames: Some(arguments.frames), ..ImportOptions::default() };
    let pipeline = import_pipeline(&arguments.pipeline, &options);
    let pipeline = pipeline.map_err(|error| TrainError::component("importing the pipeline", error))?;
    let networks = OnBurn::new(&pipeline, device.clone());
    let (noise, [height, width]) = unit_noise(&networks, arguments)?;
    let request = Request {
        prompt: arguments.prompt.clone(),
        negative_prompt: arguments.negative_prompt.clone(),
        steps: arguments.steps,
        guidance_scale: arguments.guidance_scale,
        dynamic_guidance: arguments.dynamic_guidance,
        guidance_rescale: arguments.guidance_rescale,
        height,
        width,
        seed: arguments.seed,
    };
    let style =
        ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} {elapsed_precise}").unwrap_or(ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style).with_message("sampling");
    let trace = run(&networks, &request, &noise, &|step, steps| {
        bar.set_length(steps as u64);
        bar.set_position(step as u64);
    })?;
    bar.finish_and_clear();
    let wrap = |error| TrainError::component("writing the picture", error);
    let [pictures @ .., channels, height, width] = trace.result.shape() else {
        return Err(TrainError::Invalid(format!("the decoder made {:?}, no pictures", trace.result.shape())));
    };
    let count: usize = pictures.iter().product();
    let shape = [count, *channels, *height, *width];
    let pictures = map(&trace.result, |value| 2.0 * value - 1.0)?;
    let pictures = floats(&shape, values(&pictures)?.to_vec())?;
    let sheet = picture::sheet(&pictures, count.min(COLUMNS), 1).map_err(wrap)?;
    picture::write_file(&arguments.output, &picture::png(&sheet).map_err(wrap)?, arguments.force).map_err(wrap)
}

/// Noise in the sizes of the latents, and the pixels that they stand for.
fn unit_noise(networks: &OnBurn<'_>, arguments: &SampleArguments) -> Result<(Tensor, [usize; 2]), TrainError> {
    let pipeline = networks.pipeline();
    let denoiser = if pipeline.components.contains_key("unet") { "unet" } else { "transformer" };
    let graph = networks.graph((denoiser, denoiser))?;
    let sample = graph.inputs().first().map(|(_, id)| graph.value(*id).ty.shape.0.clone()).unwrap_or_default();
    let is_video = sample.len() == 5;
    let channels = sample.get(if is_video { 2 } else { 1 }).and_then(Dim::known);
    let channels = channels.ok_or_else(|| TrainError::Invalid(format!("the {denoiser} does not say its latents' channels")))?;
    let levels = pipeline.components.get("vae").and_then(|vae| vae.config["block_out_channels"].as_array()).map_or(4, Vec::len);
    let scale = 1usize << (levels.max(1) - 1).min(16);
    let side = |asked: Option<usize>, key: &str, usual: f64, dim: &Dim| {
        let trained = number(pipeline, denoiser, if is_video { key } else { "sample_size" }, usual) as usize;
        let (pixels, step) = (asked.unwrap_or(trained.saturating_mul(scale)), scale.saturating_mul(multiple(dim)));
        if pixels == 0 || !pixels.is_multiple_of(step) {
            return Err(TrainError::Invalid(format!(
                "a side of {pixels} pixels was asked for; multiples of {step} are possible"
            )));
        }
        Ok(pixels)
    };
    // What diffusers' classes take where a file says nothing.
    let usual = if is_video { [60.0, 90.0] } else { [128.0, 128.0] };
    let [.., rows, columns] = &sample[..] else { return Err(TrainError::Invalid(format!("the {denoiser} takes no latents"))) };
    let height = side(arguments.height, "sample_height", usual[0], rows)?;
    let width = side(arguments.width, "sample_width", usual[1], columns)?;
    let mut shape = vec![1, channels, height / scale, width / scale];
    if is_video {
        let ratio = number(pipeline, "vae", "temporal_compression_ratio", 4.0).max(1.0) as usize;
        let frames = arguments.frames.saturating_sub(1) / ratio + 1;
        shape.insert(1, frames.next_multiple_of(multiple(&sample[1])));
    }
    let count = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size)).filter(|count| *count <= 1 << 30);
    let count = count.ok_or_else(|| TrainError::Invalid(format!("latents of shape {shape:?} are too large")))?;
    Ok((floats(&shape, noise::standard_normal(arguments.seed, 0, count))?, [height, width]))
}

/// What a size of an input has to be a multiple of.
fn multiple(dim: &Dim) -> usize {
    dim.as_scaled_symbol().map_or(1, |(_, factor)| factor)
}

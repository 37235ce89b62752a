//! `dmdx-train sample`: one picture or video of a teacher, or of a student, as a PNG file.

use std::path::PathBuf;

use burn::tensor::Device;
use clap::Args;
use dmdx_importer::source::SourceOptions;
use dmdx_importer::{ImportOptions, import_pipeline};
use dmdx_runtime::family::{self, Size, Unread};
use dmdx_runtime::pipeline::format::{self, Format};
use dmdx_runtime::pipeline::picture;
use dmdx_runtime::scheduler::Scheduler;
use dmdx_runtime::tensor::ops::map;
use dmdx_runtime::{StudentInfo, noise};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Request, run, student};
use crate::error::{TeacherError, TrainError};
use crate::teacher::OnBurn;

/// Steps of a teacher and the weight that guides it, where nothing is said.
const TEACHER_STEPS: usize = 28;
const TEACHER_GUIDANCE: f64 = 6.0;

/// Frames of a video side by side at most.
const COLUMNS: usize = 8;

/// `dmdx-train sample`.
#[derive(Clone, Debug, Args)]
pub struct SampleArguments {
    /// Pipeline folder, or single file with the tokenizers of --config, of a Stable Diffusion 1.5, 2.1, XL, 3 or CogVideoX
    /// teacher, or folder of a student.
    pub pipeline: PathBuf,
    /// What is to be seen.
    #[arg(long)]
    pub prompt: String,
    /// What is not.
    #[arg(long)]
    pub negative_prompt: Option<String>,
    /// Steps of the teacher's own scheduler, otherwise 28; a student has its own.
    #[arg(long)]
    pub steps: Option<usize>,
    /// Weight of classifier-free guidance, otherwise 6, and a student's own; 1 is none.
    #[arg(long)]
    pub guidance_scale: Option<f64>,
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
    /// Frames of a video; those that the network was trained for where left out.
    #[arg(long)]
    pub frames: Option<usize>,
    /// Of the noise.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The picture to write, .png, .jpg or .webp; the frames of a video stand in rows, or move in .apng.
    #[arg(short, long)]
    pub output: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    pub force: bool,
    /// How the pipeline is read.
    #[command(flatten)]
    pub reading: SourceOptions,
}

/// Imports the pipeline, samples it by Burn on `device`, and writes the file.
///
/// # Errors
/// When the pipeline cannot be imported or sampled, or the file not written.
pub fn sample(arguments: &SampleArguments, device: &Device) -> Result<(), TrainError> {
    // Before the work, not after it.
    picture::check_file(&arguments.output, arguments.force)?;
    let format = Format::of(&arguments.output)?;
    let options = ImportOptions { frames: arguments.frames, ..arguments.reading.import() };
    let pipeline = import_pipeline(&arguments.pipeline, &options)
        .and_then(|pipeline| pipeline.require_complete().map(|()| pipeline))
        .map_err(|error| TrainError::component("importing the pipeline", error))?;
    if let Some(config) = &pipeline.scheduler {
        for key in Scheduler::from_config(config)?.unknown() {
            eprintln!("note: the scheduler's key {key} is unknown and changes nothing");
        }
    }
    let networks = OnBurn::new(&pipeline, device.clone());
    let mut unread = Unread::open(family::of_class(&pipeline.class)?, &networks)?;
    [Some(&arguments.prompt), arguments.negative_prompt.as_ref()].into_iter().flatten().try_for_each(|text| unread.look(text))?;
    unread.sentences().iter().for_each(|sentence| eprintln!("note: {sentence}"));
    let asked = Size { height: arguments.height, width: arguments.width, frames: arguments.frames };
    let geometry = family::of_class(&pipeline.class)?.geometry(&networks, &asked)?;
    let noise = noise::latents(arguments.seed, 0, 1, &geometry.latent_shape)?;
    let [height, width] = geometry.pixels;
    let student = StudentInfo::read(&arguments.pipeline)?;
    let (steps, guidance_scale) = match &student {
        Some(_) if arguments.dynamic_guidance || arguments.guidance_rescale != 0.0 => {
            let what = "--dynamic-guidance and --guidance-rescale";
            return Err(TeacherError::Student { what, states: "neither".into() }.into());
        }
        Some(info) => student::chosen(info, arguments.steps, arguments.guidance_scale)?,
        None => (arguments.steps.unwrap_or(TEACHER_STEPS), arguments.guidance_scale.unwrap_or(TEACHER_GUIDANCE)),
    };
    let request = Request {
        prompt: arguments.prompt.clone(),
        negative_prompt: arguments.negative_prompt.clone(),
        steps,
        guidance_scale,
        dynamic_guidance: arguments.dynamic_guidance,
        guidance_rescale: arguments.guidance_rescale,
        height,
        width,
        seed: arguments.seed,
    };
    let style =
        ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} {elapsed_precise}").unwrap_or(ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style).with_message("sampling");
    let progress = |step: usize, steps: usize| {
        bar.set_length(steps as u64);
        bar.set_position(step as u64);
    };
    let pictures = match &student {
        Some(info) => student::draw(&pipeline, &networks, &request, info, &noise, &progress)?,
        None => map(&run(&pipeline, &networks, &request, &noise, &progress)?.result, |value| 2.0 * value - 1.0)?,
    };
    bar.finish_and_clear();
    let texts = texts(arguments, &request);
    let bytes = match format {
        Format::Animation if pictures.shape().len() == 5 => {
            format::animation(&picture::moving(&pictures, 1, 1)?, format::FRAMES_PER_SECOND, &texts)?
        }
        Format::Animation | Format::Png | Format::Jpeg | Format::WebP => {
            let pictures = picture::frames_in_a_row(&pictures)?;
            let count = pictures.shape().first().copied().unwrap_or(1);
            format.encode(&picture::sheet(&pictures, count.min(COLUMNS), 1)?, &texts)?
        }
    };
    Ok(picture::write_file(&arguments.output, &bytes, arguments.force)?)
}

/// What the file says of itself.
fn texts(arguments: &SampleArguments, request: &Request) -> Vec<(&'static str, String)> {
    let mut texts = vec![("prompt", arguments.prompt.clone())];
    texts.extend(arguments.negative_prompt.clone().map(|text| ("negative_prompt", text)));
    texts.push(("guidance", request.guidance_scale.to_string()));
    texts.push(("steps", request.steps.to_string()));
    texts.push(("seed", arguments.seed.to_string()));
    texts.push(("model", arguments.pipeline.file_name().unwrap_or_default().to_string_lossy().into_owned()));
    texts.push(("Software", concat!("dmdx-train ", env!("CARGO_PKG_VERSION")).to_string()));
    texts
}

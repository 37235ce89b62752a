//! `dmdx-run generate`.

use std::path::PathBuf;

use clap::Args;
use dmdx_runtime::noise_file::{self, NoiseFormat};
use dmdx_runtime::pipeline::picture::{check_file, write_file};
use dmdx_runtime::{Bundle, Error, Pipeline, RequestError, Tensor, noise};

use crate::output::{Layout, Output};
use crate::{EngineOptions, progress_bar};

/// The options of `generate`.
#[derive(Args)]
pub struct Generate {
    /// The bundle's folder, or the folder of a training run.
    bundle: PathBuf,
    /// A prompt; may be given several times.
    #[arg(long, required = true)]
    prompt: Vec<String>,
    /// Pictures of each prompt.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// The seed of the noise: the same seed gives the same pictures; 0 if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Start from the noise in this .safetensors or .npy file, [pictures, ..latent], instead of drawing it from the seed.
    #[arg(long, value_name = "FILE")]
    noise: Option<PathBuf>,
    /// Also write the noise that the pictures start from to this .safetensors or .npy file.
    #[arg(long, value_name = "FILE")]
    save_noise: Option<PathBuf>,
    /// Height in pixels, where the networks allow it; otherwise what they were trained for.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    height: Option<u32>,
    /// Width in pixels, where the networks allow it; otherwise what they were trained for.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    width: Option<u32>,
    /// Weight of classifier-free guidance, for bundles that run with one; otherwise the bundle's own.
    #[arg(long, value_name = "G")]
    guidance: Option<f64>,
    /// What is not to be seen, for bundles that run with guidance.
    #[arg(long, value_name = "TEXT")]
    negative_prompt: Option<String>,
    /// The picture to write: .png (with prompt, seed and model as texts in it), .jpg or .webp, of videos the frames in rows; or
    /// .apng, videos that move.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Write a file for every picture instead of one sheet: out.png becomes out-0.png, out-1.png and so on.
    #[arg(long)]
    separate: bool,
    /// Also write a PNG file for every frame of every video: out-0-0.png, out-0-1.png and so on beside out.apng.
    #[arg(long)]
    frames: bool,
    /// Replace files that exist.
    #[arg(long)]
    force: bool,
    /// Enlarge every pixel to K x K.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    scale: u32,
    /// Pictures in a row of the sheet; all pictures of a prompt if not given, or a square for one prompt.
    #[arg(long, value_name = "N", conflicts_with = "separate", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    columns: Option<u32>,
    /// Decode pictures larger than N latent rows or columns in overlapping tiles of that side, a multiple of 4, to save memory
    /// (diffusers: 64 for Stable Diffusion 1.5, 128 for SDXL).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=65_536))]
    vae_tiling: Option<u32>,
    #[command(flatten)]
    engine: EngineOptions,
}

impl Generate {
    pub fn run(&self) -> Result<(), Error> {
        // Before the work, not after it.
        let count = self.count as usize;
        let prompts: Vec<String> = self.prompt.iter().flat_map(|prompt| vec![prompt.clone(); count]).collect();
        let output = Output::plan(&self.output, prompts.len(), self.separate, self.frames, self.force)?;
        let saved = self.save_noise.as_ref().map(|path| Ok::<_, Error>((path, NoiseFormat::of(path)?))).transpose()?;
        if let Some((path, _)) = saved {
            check_file(path, self.force)?;
        }
        let bundle = Bundle::open(&self.bundle)?;
        let engine = self.engine.start()?;
        let pipeline = self.adjusted(Pipeline::open(&bundle, engine.as_ref())?)?;
        output.check_kind(pipeline.makes_videos())?;
        let layout = self.layout(&pipeline, output.is_animation())?;
        if let Some(pixels) = pipeline.pixels().filter(|_| !pipeline.makes_videos()) {
            output.check_size(prompts.len(), pixels, layout)?;
        }
        let noise = self.starting_noise(&pipeline, prompts.len())?;
        for sentence in pipeline.unread(&self.prompt)? {
            eprintln!("note: {sentence}");
        }
        if let Some((path, format)) = saved {
            write_file(path, &format.encode(&noise)?, self.force)?;
        }
        let bar = progress_bar(prompts.len());
        let results = pipeline.generate(&prompts, &noise, &|done| bar.set_position(done as u64))?;
        bar.finish_and_clear();
        let layout = match results.shape() {
            // The frames of a video stand in a row where they do not move.
            [_, frames, _, _, _] if !output.is_animation() => Layout { columns: *frames, ..layout },
            _ => layout,
        };
        let (written, [width, height]) = output.write(&results, layout, &|file| self.texts(&pipeline, file))?;
        let what = match (pipeline.makes_videos(), prompts.len()) {
            (false, 1) => "1 picture".to_string(),
            (false, many) => format!("{many} pictures"),
            (true, 1) => "1 video".to_string(),
            (true, many) => format!("{many} videos"),
        };
        println!("{written}: {what}, {width}x{height}, {} {}", engine.name(), engine.version());
        Ok(())
    }

    /// With all that was asked for, or the sentence that says why that is impossible.
    fn adjusted(&self, mut pipeline: Pipeline) -> Result<Pipeline, Error> {
        if self.height.is_some() || self.width.is_some() {
            let side = |side: Option<u32>| side.map(|side| side as usize);
            pipeline = pipeline.with_size(side(self.height), side(self.width))?;
        }
        if let Some(side) = self.vae_tiling {
            pipeline = pipeline.with_vae_tiling(side as usize)?;
        }
        if let Some(text) = &self.negative_prompt {
            pipeline = pipeline.with_negative_prompt(text.clone())?;
        }
        if let Some(scale) = self.guidance {
            pipeline = pipeline.with_guidance(scale)?;
        }
        if self.noise.is_some() && self.seed.is_some() && !pipeline.draws_noise() {
            return Err(RequestError::NoSeed.into());
        }
        Ok(pipeline.with_seed(self.seed()))
    }

    fn seed(&self) -> u64 {
        self.seed.unwrap_or_default()
    }

    fn layout(&self, pipeline: &Pipeline, is_animation: bool) -> Result<Layout, Error> {
        let (count, scale) = (self.count as usize, self.scale as usize);
        let columns = match self.columns {
            Some(_) if pipeline.makes_videos() && !is_animation => return Err(RequestError::NoColumns.into()),
            Some(columns) => columns as usize,
            None if self.prompt.len() > 1 => count,
            None => (count as f64).sqrt().ceil() as usize,
        };
        Ok(Layout { columns, scale })
    }

    /// The noise of all pictures.
    fn starting_noise(&self, pipeline: &Pipeline, pictures: usize) -> Result<Tensor, Error> {
        match &self.noise {
            Some(path) => noise_file::read(path, &[&[pictures], pipeline.latent_shape()].concat()),
            None => noise::latents(self.seed(), 0, pictures, pipeline.latent_shape()),
        }
    }

    /// What a file says of itself: of one picture by its number, or of the sheet.
    fn texts(&self, pipeline: &Pipeline, file: Option<usize>) -> Vec<(&'static str, String)> {
        let count = self.count as usize;
        let prompt = match file {
            Some(picture) => self.prompt.get(picture / count).cloned().unwrap_or_default(),
            None => self.prompt.join("\n"),
        };
        let provenance = &pipeline.manifest().provenance;
        let mut texts = vec![("prompt", prompt)];
        texts.extend(self.negative_prompt.clone().map(|text| ("negative_prompt", text)));
        texts.extend(pipeline.guidance().map(|weight| ("guidance", weight.to_string())));
        match (&self.noise, self.seed) {
            (None, _) => texts.push(("seed", self.seed().to_string())),
            (Some(path), seed) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                texts.push(("noise", name));
                texts.extend(seed.map(|seed| ("seed", seed.to_string())));
            }
        }
        texts.extend(file.map(|picture| ("picture", picture.to_string())));
        texts.push(("model", provenance.source.clone()));
        texts.push(("model_sha256", provenance.source_sha256.clone()));
        texts.push(("Software", concat!("dmdx-run ", env!("CARGO_PKG_VERSION")).to_string()));
        texts
    }
}

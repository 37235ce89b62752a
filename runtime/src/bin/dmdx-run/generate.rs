//! `dmdx-run generate`.

use std::path::PathBuf;

use clap::Args;
use dmdx_runtime::pipeline::picture::{frames_in_a_row, png, sheet, write_file};
use dmdx_runtime::{Bundle, Error, Pipeline, noise};

use crate::{EngineOptions, progress_bar};

/// The options of `generate`.
#[derive(Args)]
pub struct Generate {
    /// The bundle's folder.
    bundle: PathBuf,
    /// A prompt; may be given several times.
    #[arg(long, required = true)]
    prompt: Vec<String>,
    /// Pictures of each prompt.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// The seed of the noise: the same seed gives the same pictures.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Weight of classifier-free guidance, for bundles that run with one; otherwise the bundle's own.
    #[arg(long, value_name = "G")]
    guidance: Option<f64>,
    /// What is not to be seen, for bundles that run with guidance.
    #[arg(long, value_name = "TEXT")]
    negative_prompt: Option<String>,
    /// The PNG file to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
    /// Enlarge every pixel to K x K.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    scale: u32,
    /// Pictures in a row of the sheet; all pictures of a prompt if not given, or a square for one prompt.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
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
        if !self.force && self.output.symlink_metadata().is_ok() {
            return Err(Error::Exists(self.output.clone()));
        }
        let bundle = Bundle::open(&self.bundle)?;
        let engine = self.engine.start()?;
        let mut pipeline = Pipeline::open(&bundle, engine.as_ref())?;
        if let Some(side) = self.vae_tiling {
            pipeline = pipeline.with_vae_tiling(side as usize);
        }
        pipeline = pipeline.with_seed(self.seed);
        if let Some(text) = &self.negative_prompt {
            pipeline = pipeline.with_negative_prompt(text.clone());
        }
        if let Some(scale) = self.guidance {
            pipeline = pipeline.with_guidance(scale)?;
        }
        let count = self.count as usize;
        let prompts: Vec<String> = self.prompt.iter().flat_map(|prompt| vec![prompt.clone(); count]).collect();
        let noise = noise::latents(self.seed, 0, prompts.len(), &pipeline.manifest().latent_shape)?;
        let bar = progress_bar(prompts.len());
        let pictures = pipeline.generate(&prompts, &noise, &|done| bar.set_position(done as u64))?;
        bar.finish_and_clear();
        let columns = match self.columns {
            Some(columns) => columns as usize,
            None if self.prompt.len() > 1 => count,
            None => (count as f64).sqrt().ceil() as usize,
        };
        // The frames of a video stand in a row.
        let columns = match pictures.shape() {
            [_, frames, _, _, _] => *frames,
            _ => columns,
        };
        let picture = sheet(&frames_in_a_row(&pictures)?, columns, self.scale as usize)?;
        write_file(&self.output, &png(&picture)?, self.force)?;
        println!(
            "{}: {} pictures, {}x{}, {} {}",
            self.output.display(),
            prompts.len(),
            picture.width,
            picture.height,
            engine.name(),
            engine.version()
        );
        Ok(())
    }
}

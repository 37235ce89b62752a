//! `dmdx-run score`.

use std::path::{Path, PathBuf};

use clap::Args;
use dmdx_runtime::pipeline::picture::{check_file, write_file};
use dmdx_runtime::score::{self, Reference, Scorer, Spread};
use dmdx_runtime::{Bundle, Error, Pipeline, RequestError, ScoreError, noise};

use crate::{EngineOptions, progress_bar};

/// Where a clone of the repository has a scorer, seen from its root.
const USUAL_SCORER: &str = "fixtures/digits-classifier";

/// What a training run calls the features of its teacher's pictures.
const USUAL_REFERENCE: &str = "reference.safetensors";

/// The options of `score`.
#[derive(Args)]
pub struct Score {
    /// The bundle's folder, or the folder of a training run.
    bundle: PathBuf,
    /// The scorer's folder; fixtures/digits-classifier where that is here.
    #[arg(long, alias = "classifier", value_name = "DIR")]
    scorer: Option<PathBuf>,
    /// A prompt to score pictures of; may be given several times. Otherwise every prompt that the scorer knows.
    #[arg(long)]
    prompt: Vec<String>,
    /// Pictures of each prompt.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count_per_prompt: u32,
    /// Features of pictures to compare with, as a training run leaves them; those in the run's folder where it is given.
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// The seed of the noise.
    #[arg(long, default_value_t = 123)]
    seed: u64,
    /// Also write the score to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    engine: EngineOptions,
}

impl Score {
    pub fn run(&self) -> Result<(), Error> {
        if let Some(path) = &self.json {
            check_file(path, self.force)?;
        }
        let usual = Path::new(USUAL_SCORER);
        let place = match &self.scorer {
            Some(place) => place,
            None if usual.is_dir() => usual,
            None => return Err(RequestError::NoScorer { usual: USUAL_SCORER }.into()),
        };
        let bundle = Bundle::open(&self.bundle)?;
        let engine = self.engine.start()?;
        let scorer = score::open(place, engine.as_ref())?;
        let reference = self.reference(scorer.as_ref())?;
        let pipeline = Pipeline::open(&bundle, engine.as_ref())?.with_seed(self.seed);
        // Picture i has prompt i modulo the number of prompts, as in the reference's evaluation.
        let known = match self.prompt.as_slice() {
            [] => scorer.prompts().ok_or(ScoreError::NoPrompts)?,
            asked => asked,
        };
        let prompts: Vec<String> = (0..self.count_per_prompt).flat_map(|_| known.iter().cloned()).collect();
        let noise = noise::latents(self.seed, 0, prompts.len(), pipeline.latent_shape())?;
        for sentence in pipeline.unread(known)? {
            eprintln!("note: {sentence}");
        }
        let bar = progress_bar(prompts.len());
        let pictures = pipeline.generate(&prompts, &noise, &|done| bar.set_position(done as u64))?;
        bar.finish_and_clear();
        let spread = Spread::of(pictures.floats()?, pictures.row_len(), &prompts);
        let score = scorer.score(&pictures, &prompts, reference.as_ref())?;
        let score = spread.into_iter().fold(score, |score, spread| score.with("spread", spread));
        let mut text = serde_json::to_string_pretty(&score).map_err(|e| RequestError::Unprintable(e.to_string()))?;
        text.push('\n');
        print!("{text}");
        match &self.json {
            Some(path) => write_file(path, text.as_bytes(), self.force),
            None => Ok(()),
        }
    }

    /// The pictures to compare with: those of a file, or those that the training run in the given folder has left.
    fn reference(&self, scorer: &dyn Scorer) -> Result<Option<Reference>, Error> {
        let read = |file: &Path| Reference::read(file, scorer.identity(), scorer.threads());
        let usual = self.bundle.join(USUAL_REFERENCE);
        match &self.reference {
            Some(file) => read(file).map(Some),
            None if !usual.is_file() => Ok(None),
            None => match read(&usual) {
                Err(Error::Score(ScoreError::OtherScorer { .. })) => {
                    eprintln!("note: {} was made with another scorer, so nothing is compared with it", usual.display());
                    Ok(None)
                }
                found => found.map(Some),
            },
        }
    }
}

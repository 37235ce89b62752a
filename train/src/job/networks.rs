//! Teacher, discriminators and student of one recipe.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dmdx_export::target::Target;
use dmdx_export::{BundleOptions, Role, StudentInfo, Verifier, export_bundle};
use dmdx_importer::{ImportOptions, Nonfinite, import, import_pipeline};
use dmdx_runtime::Tensor;
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::score::Scorer;

use super::student::{self, GENERATOR};
use crate::data::{PairPlan, PairStore, ShardInputs, prompts};
use crate::device;
use crate::discriminator::{
    FeatureShape, HeadBias, HeadLayout, Heads, LatentDiscriminator, PixelDiscriminator, PixelScaling, feature_shapes,
    last_resnets,
};
use crate::error::TrainError;
use crate::job::work::{Drawer, Models};
use crate::method::{AdmPhase, AdpPhase, Student};
use crate::module::{AdamSettings, Trained};
use crate::recipe::{LoadedRecipe, Sampler};
use crate::report::score::Score;
use crate::session::Draws;
use crate::store::StoredState;
use crate::store::hash;
use crate::teacher::Teacher;
use crate::trainer::{Phase, PhaseSlot};

/// Features of the real pictures are kept when they fit into this many bytes.
const KEPT_FEATURES: usize = 256 << 20;

/// Everything that a recipe's job runs.
pub struct Networks {
    loaded: LoadedRecipe,
    path: PathBuf,
    texts: Vec<String>,
    device: Device,
    teacher: Teacher,
    taps: Vec<String>,
    teacher_hash: String,
}

impl Networks {
    /// Imports the recipe's teacher onto its device and encodes its prompts.
    ///
    /// # Errors
    /// When something named by the recipe is missing or unusable.
    pub fn open(loaded: &LoadedRecipe) -> Result<Self, TrainError> {
        let recipe = &loaded.recipe;
        let device = device::open(recipe.run.device)?;
        if recipe.run.threads > 0 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(recipe.run.threads).build_global();
            pool.map_err(|error| TrainError::Environment { what: "a pool of threads".into(), reason: error.to_string() })?;
        }
        let texts = prompts::load(loaded)?;
        let path = loaded.resolve(&recipe.teacher.path);
        let teacher = Teacher::open(&path, &texts, recipe.teacher.uncond, &device)?;
        let mut taps = recipe.discriminator.latent_taps.clone();
        if taps.is_empty() {
            taps = last_resnets(teacher.graph()?);
        }
        let with_schedule = recipe.adm.as_ref().zip(teacher.denoiser.schedule.steps());
        if let Some((adm, steps)) = with_schedule.filter(|(adm, steps)| adm.t_max as usize >= *steps) {
            let reason = format!("is {}, but the teacher's schedule ends at {}", adm.t_max, steps - 1);
            return Err(TrainError::recipe("adm.t_max", reason));
        }
        // What is needed only at the end must not be missing after hours of training.
        for target in &recipe.export.targets {
            Target::by_name(target).map_err(|error| TrainError::component("reading export.targets", error))?;
        }
        if let Some(score) = &recipe.score {
            Scorer::open(&loaded.resolve(&score.classifier), &TractEngine::new(1))
                .map_err(|error| TrainError::component("opening the classifier of score.classifier", error))?;
        }
        let betas = teacher.pipeline.scheduler.as_ref().and_then(|config| config["beta_schedule"].as_str());
        if !recipe.export.targets.is_empty() && betas != Some("scaled_linear") {
            let reason = "asks for a bundle, but only students of teachers with beta_schedule scaled_linear can be exported yet";
            return Err(TrainError::recipe("export.targets", reason));
        }
        let teacher_hash = hash::combined(&hash::model(&path)?);
        let networks = Self { loaded: loaded.clone(), path, texts, device, teacher, taps, teacher_hash };
        networks.latent_shapes()?;
        if recipe.adp.as_ref().is_some_and(|adp| adp.iterations > 0 && adp.lambda_pixel > 0.0) {
            networks.pixel_discriminator(1.0)?;
        }
        Ok(networks)
    }

    /// The feature maps that the latent discriminator taps.
    fn latent_shapes(&self) -> Result<Vec<(String, FeatureShape)>, TrainError> {
        let latent: Vec<usize> = std::iter::once(1).chain(self.teacher.latent_shape.iter().copied()).collect();
        feature_shapes(self.teacher.graph()?, &self.taps, &[("sample", latent)], false)
    }

    fn settings(&self, rate: f64) -> AdamSettings {
        let optimizer = &self.loaded.recipe.optimizer;
        AdamSettings { rate, beta2: optimizer.beta2, epsilon: optimizer.eps, weight_decay: optimizer.weight_decay }
    }

    fn layout(&self) -> HeadLayout {
        let discriminator = &self.loaded.recipe.discriminator;
        HeadLayout {
            width: discriminator.head_width,
            groups: discriminator.head_groups,
            min_size: discriminator.head_min_size,
            output: discriminator.head_output,
        }
    }

    /// New heads whose weights are drawn for `phase`.
    fn heads(&self, taps: &[(String, FeatureShape)], phase: &str, rate: f64) -> Result<Heads, TrainError> {
        let recipe = &self.loaded.recipe;
        let mut draws = Draws::new(recipe.run.seed, phase, 0);
        let scale = recipe.discriminator.logit_scale;
        Heads::new(taps, self.layout(), &mut draws, scale, HeadBias::Zero, self.settings(rate), &self.device)
    }

    fn latent_discriminator(&self, phase: &str, rate: f64) -> Result<LatentDiscriminator, TrainError> {
        let graph = self.teacher.graph()?;
        let heads = self.heads(&self.latent_shapes()?, &format!("{phase} latent heads"), rate)?;
        LatentDiscriminator::new(&self.teacher.denoiser, graph, &self.taps, heads)
    }

    fn pixel_discriminator(&self, rate: f64) -> Result<Option<PixelDiscriminator>, TrainError> {
        let Some(pixel) = &self.loaded.recipe.discriminator.pixel else { return Ok(None) };
        let component =
            import(&self.loaded.resolve(&pixel.path), &ImportOptions { nonfinite: Nonfinite::Deny, ..ImportOptions::default() })
                .map_err(|error| TrainError::component("importing the pixel backbone", error))?;
        let graph = component.parts.get("vision_encoder").ok_or_else(|| {
            TrainError::recipe("discriminator.pixel.path", format!("is a {}, but a vision encoder is needed", component.class))
        })?;
        let path = |layer: &usize| {
            let ends = [format!("vision_encoder.layers.{layer}"), format!("layers.{layer}")];
            ends.into_iter().find(|path| graph.marks().contains_key(path)).ok_or_else(|| {
                TrainError::recipe("discriminator.pixel.layers", format!("has {layer}, which the encoder has not"))
            })
        };
        let taps = pixel.layers.iter().map(path).collect::<Result<Vec<_>, _>>()?;
        let (height, width) = self.picture_size();
        let input = graph.inputs().first().map(|(name, _)| name.to_string()).unwrap_or_default();
        let picture = vec![1, 3, height as usize, width as usize];
        let shapes = feature_shapes(graph, &taps, &[(&input, picture)], true)?;
        let heads = self.heads(&shapes, "adp pixel heads", rate)?;
        PixelDiscriminator::new(graph, &taps, PixelScaling::of(pixel.input), heads).map(Some)
    }

    /// A trained copy of the teacher, or of the generator of a phase that ran before.
    fn generator(&self, rate: f64, previous: Option<&StoredState>) -> Result<Trained, TrainError> {
        let mut module = self.teacher.denoiser.module.trainable_copy();
        if let Some(state) = previous {
            state.load_weights(GENERATOR, &mut module)?;
        }
        Ok(Trained::new(module, self.settings(rate)))
    }

    /// The phase of adversarial distillation pre-training.
    ///
    /// # Errors
    /// When the recipe has none, or a network that it names cannot be used.
    pub fn adp(&self, pairs: PairStore) -> Result<AdpPhase, TrainError> {
        let recipe = &self.loaded.recipe;
        let adp = recipe.adp.as_ref().ok_or_else(|| TrainError::recipe("adp", "is left out"))?;
        let pixel = self.pixel_discriminator(adp.lr_discriminator)?.filter(|_| adp.lambda_pixel > 0.0);
        let mut phase = AdpPhase {
            recipe: adp.clone(),
            seed: recipe.run.seed,
            schedule: self.teacher.denoiser.schedule.clone(),
            pairs,
            conditions: self.teacher.conditions.clone(),
            generator: self.generator(adp.lr_generator, None)?,
            latent: self.latent_discriminator("adp", adp.lr_discriminator)?,
            pixel: pixel.map(|pixel| (self.teacher.decoder.clone(), pixel)),
            real_pixels: None,
            clock: None,
        };
        phase.keep_real_pixels(KEPT_FEATURES)?;
        Ok(phase)
    }

    /// The phase of adversarial distribution matching, from the final state of the phase before if there is one.
    ///
    /// # Errors
    /// When the recipe has none, or the state does not fit.
    pub fn adm(&self, previous: Option<&StoredState>) -> Result<AdmPhase, TrainError> {
        let recipe = &self.loaded.recipe;
        let adm = recipe.adm.as_ref().ok_or_else(|| TrainError::recipe("adm", "is left out"))?;
        Ok(AdmPhase {
            recipe: adm.clone(),
            guidance: recipe.teacher.guidance,
            seed: recipe.run.seed,
            student: self.student(),
            latent_shape: self.teacher.latent_shape.clone(),
            conditions: self.teacher.conditions.clone(),
            prompts: self.texts.len(),
            teacher: self.teacher.denoiser.clone(),
            generator: self.generator(adm.lr_generator, previous)?,
            fake_score: Trained::new(self.teacher.denoiser.module.trainable_copy(), self.settings(adm.lr_fake)),
            discriminator: self.latent_discriminator("adm", adm.lr_discriminator)?,
            clock: None,
        })
    }

    /// How the student samples once all phases have run.
    fn student(&self) -> Student {
        let recipe = &self.loaded.recipe;
        let after_adp = recipe.adp.as_ref().filter(|adp| adp.iterations > 0);
        let after_adm = recipe.adm.as_ref().filter(|adm| adm.iterations > 0);
        match (after_adp, after_adm) {
            (Some(adp), None) => Student::LineVelocity { time: adp.time_clamp.min(1000.0) },
            (Some(_), Some(adm)) => Student::LineVelocity { time: adm.cond_t },
            (None, Some(adm)) => Student::Teacher { time: adm.cond_t },
            (None, None) => Student::Teacher { time: 999.0 },
        }
    }

    fn info(&self) -> StudentInfo {
        student::info(self.student(), self.teacher.denoiser.schedule.prediction(), &self.path, &self.teacher_hash)
    }
}

impl Models for Networks {
    fn inputs(&self) -> Result<BTreeMap<String, String>, TrainError> {
        let recipe = &self.loaded.recipe;
        let mut inputs = BTreeMap::from([("teacher.path".to_string(), self.teacher_hash.clone())]);
        if let Some(pixel) = &recipe.discriminator.pixel {
            let hashes = hash::model(&self.loaded.resolve(&pixel.path))?;
            inputs.insert("discriminator.pixel.path".into(), hash::combined(&hashes));
        }
        if let Some(score) = &recipe.score {
            let config = self.loaded.resolve(&score.classifier).join("config.json");
            inputs.insert("score.classifier".into(), hash::file(&config)?);
        }
        if let Some(file) = &recipe.prompts.file {
            inputs.insert("prompts.file".into(), hash::file(&self.loaded.resolve(file))?);
        }
        Ok(inputs)
    }

    fn versions(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("burn".to_string(), "0.22.1".to_string())])
    }

    fn choices(&self) -> BTreeMap<String, String> {
        let texts = [
            ("device", format!("{:?}", self.loaded.recipe.run.device).to_lowercase()),
            ("adm_times", "t_f uniform on the whole schedule, t uniform in [t_min + dt_steps, t_max]".to_string()),
            ("adm_head_reduce", "mean over heads and positions".to_string()),
            ("evaluation", "the noise of the run's seed, guidance in the middle of teacher.guidance".to_string()),
            ("head_weights", "uniform in +-1/sqrt(fan_in), the last layer times logit_scale".to_string()),
            ("parameter_write", "32-bit, rounded to nearest without compensation".to_string()),
            ("eq9_sign", "both terms negative: the generator raises both discriminators".to_string()),
            ("fake_score_start", "the teacher's weights".to_string()),
            ("heads_of_adm", "new ones, not those of ADP".to_string()),
            ("head_bias", "zero".to_string()),
            ("latent_taps", self.taps.join(" ")),
            ("student", format!("{:?}", self.student())),
            ("teacher_time_ids", "(height, width, 0, 0, height, width)".to_string()),
            ("unconditional", self.teacher.unconditional.to_string()),
            ("update_order_adm", "fake score, generator, heads".to_string()),
        ];
        texts.into_iter().map(|(name, text)| (name.to_string(), text)).collect()
    }

    fn pair_plan(&self) -> Result<PairPlan, TrainError> {
        let recipe = &self.loaded.recipe;
        Ok(PairPlan {
            teacher_sha256: self.teacher_hash.clone(),
            prompts_sha256: hash::texts(&self.texts),
            prompt_count: self.texts.len(),
            sampler: match recipe.pairs.sampler {
                Sampler::EulerTrailing => "euler_trailing".into(),
            },
            steps: recipe.pairs.steps,
            guidance: recipe.teacher.guidance,
            unconditional: self.teacher.unconditional.to_string(),
            seed: recipe.run.seed,
            dtype: recipe.pairs.dtype,
            latent_shape: self.teacher.latent_shape.clone(),
            latent_scaling: self.teacher.latent_scaling,
            count: recipe.pairs.count,
            shard: recipe.pairs.shard,
        })
    }

    fn teacher_latents(&self, inputs: &ShardInputs) -> Result<Vec<f32>, TrainError> {
        let weights: Vec<f64> = inputs.guidance.iter().map(|&weight| f64::from(weight)).collect();
        self.teacher.latents(&inputs.noise, &inputs.prompts, &weights, self.loaded.recipe.pairs.steps as usize)
    }

    fn phases<'a>(&'a self, pairs: Option<PairStore>) -> Result<Vec<PhaseSlot<'a>>, TrainError> {
        let recipe = &self.loaded.recipe;
        let mut slots = Vec::new();
        if let Some(pairs) = pairs.filter(|_| recipe.adp.as_ref().is_some_and(|adp| adp.iterations > 0)) {
            let build = move |_: Option<&StoredState>| Ok(Box::new(self.adp(pairs)?) as Box<dyn Phase + 'a>);
            slots.push(PhaseSlot { name: "adp", build: Box::new(build) });
        }
        if recipe.adm.as_ref().is_some_and(|adm| adm.iterations > 0) {
            let build = move |previous: Option<&StoredState>| Ok(Box::new(self.adm(previous)?) as Box<dyn Phase + 'a>);
            slots.push(PhaseSlot { name: "adm", build: Box::new(build) });
        }
        Ok(slots)
    }

    fn save_student(&self, state: &StoredState, folder: &Path) -> Result<(), TrainError> {
        student::save(&self.path, &self.info(), state, folder)
    }

    fn export(&self, state: &StoredState, target: &str, folder: &Path) -> Result<(), TrainError> {
        let wrap = |error| TrainError::component("exporting the student", error);
        // Everything is made inside the caller's unfinished folder, which is removed whole if this process is killed.
        let (source, bundle) = (folder.join("student"), folder.join("bundle"));
        self.save_student(state, &source)?;
        let pipeline = import_pipeline(&source, &ImportOptions::default())
            .map_err(|error| TrainError::component("reading the student back", error))?;
        let verifier = Verifier::new(None, rayon::current_num_threads()).map_err(wrap)?;
        let info = self.info();
        let mut silent = |_: dmdx_export::Stage<'_>| {};
        let options = BundleOptions {
            target: Target::by_name(target).map_err(wrap)?,
            parameterisation: Some(info.parameterisation),
            verifier: Some(&verifier),
            ..BundleOptions::new(Role::Student, info.steps, &mut silent)
        };
        export_bundle(&pipeline, &source, &bundle, options).map_err(wrap)?;
        drop(pipeline);
        std::fs::remove_dir_all(&source).map_err(TrainError::write(&source))?;
        for entry in std::fs::read_dir(&bundle).map_err(TrainError::read(&bundle))? {
            let entry = entry.map_err(TrainError::read(&bundle))?;
            std::fs::rename(entry.path(), folder.join(entry.file_name())).map_err(TrainError::write(folder))?;
        }
        std::fs::remove_dir(&bundle).map_err(TrainError::write(&bundle))
    }

    fn picture_size(&self) -> (u32, u32) {
        let side = |latent: usize| u32::try_from(latent * self.teacher.scale).unwrap_or(u32::MAX);
        (side(self.teacher.latent_shape[1]), side(self.teacher.latent_shape[2]))
    }

    fn evaluate(
        &self,
        who: Drawer<'_>,
        prompts: &[u32],
        noise: &[f32],
        keep: usize,
    ) -> Result<(Vec<f32>, Option<Score>), TrainError> {
        let recipe = &self.loaded.recipe;
        let latents = match who {
            Drawer::Teacher { steps } => {
                let [low, high] = recipe.teacher.guidance;
                self.teacher.latents(noise, prompts, &vec![(low + high) / 2.0; prompts.len()], steps as usize)?
            }
            Drawer::Student(state) => {
                let mut module = self.teacher.denoiser.module.clone();
                state.load_weights(GENERATOR, &mut module)?;
                self.teacher.student_latents(self.student(), &module, noise, prompts)?
            }
        };
        let mut pictures = self.teacher.pictures(&latents)?;
        let (height, width) = self.picture_size();
        let size = 3 * height as usize * width as usize;
        let score = match &recipe.score {
            None => None,
            Some(section) => {
                let wrap = |error| TrainError::component("scoring the pictures", error);
                let engine = TractEngine::new(rayon::current_num_threads());
                let scorer = Scorer::open(&self.loaded.resolve(&section.classifier), &engine).map_err(wrap)?;
                let shape = vec![prompts.len(), 3, height as usize, width as usize];
                let tensor = Tensor::f32(shape, pictures.clone()).map_err(wrap)?;
                let text = |&prompt: &u32| self.texts.get(prompt as usize).cloned().unwrap_or_default();
                let texts: Vec<String> = prompts.iter().map(text).collect();
                let score = scorer.score(&tensor, &texts).map_err(wrap)?;
                Some(Score {
                    digit_accuracy: score.digit_accuracy,
                    colour_accuracy: score.colour_accuracy,
                    frechet: score.frechet,
                })
            }
        };
        pictures.truncate(keep * size);
        Ok((pictures, score))
    }
}

//! Teacher, discriminators and student of one recipe.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dmdx_export::target::Target;
use dmdx_export::{BundleOptions, Role, StudentInfo, Verifier, export_bundle};
use dmdx_importer::{ImportOptions, import_pipeline};
use dmdx_runtime::Tensor;
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::score::Scorer;

use super::student;
use crate::data::{PairPlan, PairStore, ShardInputs, prompts};
use crate::device;
use crate::diffusion::Generator;
use crate::discriminator::{FeatureLayout, last_resnets};
use crate::error::TrainError;
use crate::job::work::{Drawer, Models};
use crate::method::{self, Given, Materials, Method, Need, load_generator};
use crate::recipe::{LoadedRecipe, Sampler};
use crate::report::score::Score;
use crate::store::State;
use crate::store::hash;
use crate::teacher::Teacher;
use crate::trainer::PhaseSlot;

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
        networks.student()?;
        networks.materials().latent_taps()?;
        networks.materials().pixel_discriminator(1.0)?;
        Ok(networks)
    }

    /// What the methods make their roles from.
    pub fn materials(&self) -> Materials<'_> {
        Materials {
            loaded: &self.loaded,
            recipe: &self.loaded.recipe,
            teacher: &self.teacher,
            prompts: self.texts.len(),
            taps: &self.taps,
            layout: &FeatureLayout::ChannelsFirst,
        }
    }

    /// The student once all phases have run.
    fn student(&self) -> Result<Generator, TrainError> {
        let last = method::of(&self.loaded.recipe).last();
        self.materials().student(last.map_or("", |method| method.section.name))
    }

    fn info(&self) -> Result<StudentInfo, TrainError> {
        Ok(student::info(self.student()?.rollout(), &self.path, &self.teacher_hash))
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
        let slot = |method: &'static Method| {
            let pairs = pairs.clone().filter(|_| method.needs.contains(&Need::Pairs));
            let build = move |previous: Option<&State>| (method.build)(&self.materials(), Given { previous, pairs });
            PhaseSlot { name: method.section.name, build: Box::new(build) }
        };
        Ok(method::of(recipe).map(slot).collect())
    }

    fn save_student(&self, state: &State, folder: &Path) -> Result<(), TrainError> {
        student::save(&self.path, &self.info()?, state, folder)
    }

    fn export(&self, state: &State, target: &str, folder: &Path) -> Result<(), TrainError> {
        let wrap = |error| TrainError::component("exporting the student", error);
        // Everything is made inside the caller's unfinished folder, which is removed whole if this process is killed.
        let (source, bundle) = (folder.join("student"), folder.join("bundle"));
        self.save_student(state, &source)?;
        let pipeline = import_pipeline(&source, &ImportOptions::default())
            .map_err(|error| TrainError::component("reading the student back", error))?;
        let verifier = Verifier::new(None, rayon::current_num_threads()).map_err(wrap)?;
        let info = self.info()?;
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
        let [height, width] = self.teacher.picture_size().map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        (height, width)
    }

    fn evaluate(
        &self,
        who: Drawer<'_>,
        prompts: &[u32],
        noise: &[f32],
        keep: usize,
    ) -> Result<(Vec<f32>, Option<Score>), TrainError> {
        let recipe = &self.loaded.recipe;
        let [low, high] = recipe.teacher.guidance;
        let latents = match who {
            Drawer::Teacher { steps } => {
                self.teacher.latents(noise, prompts, &vec![(low + high) / 2.0; prompts.len()], steps as usize)?
            }
            Drawer::Student(state) => {
                let mut module = self.teacher.denoiser.module.clone();
                load_generator(&mut module, state)?;
                let weight = recipe.student.guidance_offset.map(|offset| (low + high) / 2.0 - offset);
                let student = self.student()?.with_module(module.frozen());
                self.teacher.student_latents(&student, weight, recipe.run.seed, noise, prompts)?
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

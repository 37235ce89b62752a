//! What methods make their roles from.

use dmdx_importer::source::advised;
use dmdx_importer::{ImportError, ImportOptions, Nonfinite, import};

use super::draw::Batches;
use super::look::Look;
use super::regression::{Perceptual, Regression, RegressionLoss, vgg};
use crate::data::StoredConditions;
use crate::diffusion::Generator;
use crate::discriminator::{
    Classifier, FeatureLayout, HeadBias, HeadLayout, Heads, LatentDiscriminator, PixelDiscriminator, PixelScaling, Tap, find_taps,
};
use crate::error::TrainError;
use crate::module::{AdamSettings, Trained};
use crate::recipe::{LoadedRecipe, LoraRole, Recipe};
use crate::session::Draws;
use crate::store::StoredState;
use crate::student::{self, Init};
use crate::teacher::Teacher;

pub(crate) use crate::store::GENERATOR;

/// The recipe key of the latent discriminator's taps.
const LATENT_TAPS: &str = "discriminator.latent_taps";

/// The recipe key of the pixel discriminator's taps.
const PIXEL_TAPS: &str = "discriminator.pixel.layers";

/// The teacher and the recipe of a run.
#[derive(Clone, Copy)]
pub struct Materials<'a> {
    /// The recipe with its place, for the paths in it.
    pub loaded: &'a LoadedRecipe,
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The teacher on its device.
    pub teacher: &'a Teacher,
    /// How many prompts there are.
    pub prompts: usize,
    /// Modules of the teacher that get a head each.
    pub taps: &'a [String],
    /// How the teacher lays their features out.
    pub layout: &'a FeatureLayout,
    /// What the first phase begins with where it is not the teacher.
    pub init: Option<&'a Init>,
}

impl Materials<'_> {
    /// Batches of so many samples.
    pub fn batches(&self, samples: usize) -> Batches {
        Batches {
            samples,
            latent_shape: self.teacher.latent_shape.clone(),
            prompts: self.prompts,
            device: self.teacher.denoiser.module.device().clone(),
        }
    }

    /// The student as method `name` trains it; see [`super::is_on_line`] and `super::consistency`.
    ///
    /// # Errors
    /// When the recipe's times are not the student's.
    pub fn student(&self, name: &str) -> Result<Generator, TrainError> {
        let teacher = self.teacher.denoiser.process.coefficients();
        let (on_line, consistency) = (super::is_on_line(self.recipe, name), super::consistency(self.recipe, name)?);
        Ok(Generator::new(&self.teacher.denoiser, &student::rollout(&self.recipe.student, teacher, on_line, consistency)?))
    }

    /// The guidance weight of a guided student that draws to be looked at: the teacher's middle one, less the offset.
    pub fn student_weight(&self) -> Option<f64> {
        let [low, high] = self.recipe.teacher.guidance;
        self.recipe.student.guidance_offset.map(|offset| (low + high) / 2.0 - offset)
    }

    /// How the student is looked at while method `name` trains it.
    ///
    /// # Errors
    /// As [`Materials::student`].
    pub(super) fn look(&self, name: &str, conditions: &StoredConditions) -> Result<Look, TrainError> {
        Ok(Look {
            student: self.student(name)?,
            weight: self.student_weight(),
            conditions: conditions.clone(),
            seed: self.recipe.run.seed,
            latent_shape: self.teacher.latent_shape.clone(),
        })
    }

    /// The time of a recipe's key, in thousandths, on the teacher's process.
    ///
    /// # Errors
    /// When the process ends before it.
    pub(super) fn time(&self, key: String, thousandths: f64) -> Result<f64, TrainError> {
        let process = self.teacher.denoiser.process.coefficients();
        let (time, latest) = (process.thousandths(thousandths), process.last_time());
        match time > latest {
            true => Err(TrainError::recipe(key, format!("is {thousandths}, but the teacher's noise process ends at {latest}"))),
            false => Ok(time),
        }
    }

    fn settings(&self, rate: f64) -> AdamSettings {
        let optimizer = &self.recipe.optimizer;
        AdamSettings { rate, beta2: optimizer.beta2, epsilon: optimizer.eps, weight_decay: optimizer.weight_decay }
    }

    /// The student as it is trained: it goes on from the generator of the phase before; in the first phase from the recipe's
    /// `student.init`, and from the teacher where there is none.
    ///
    /// # Errors
    /// When the state does not fit; [`TrainError::Lora`].
    pub fn generator(&self, rate: f64, previous: Option<&StoredState>) -> Result<Trained, TrainError> {
        let mut module = self.network(LoraRole::Generator)?;
        match (previous, self.init) {
            (Some(state), _) => state.load_weights(GENERATOR, &mut module)?,
            // Factors stand beside its weights already.
            (None, Some(init)) if self.lora(LoraRole::Generator).is_none() => init.load(&mut module)?,
            (None, _) => {}
        }
        Ok(Trained::new(module, self.settings(rate)))
    }

    /// A network that starts as the teacher and learns the student's samples.
    ///
    /// # Errors
    /// [`TrainError::Lora`].
    pub fn fake_score(&self, rate: f64) -> Result<Trained, TrainError> {
        Ok(Trained::new(self.network(LoraRole::FakeScore)?, self.settings(rate)))
    }

    fn head_layout(&self) -> HeadLayout {
        let discriminator = &self.recipe.discriminator;
        HeadLayout {
            width: discriminator.head_width,
            groups: discriminator.head_groups,
            min_size: discriminator.head_min_size,
            output: discriminator.head_output,
        }
    }

    /// New heads whose weights are drawn for `label`.
    fn heads(&self, taps: &[Tap], label: &str, rate: f64) -> Result<Heads, TrainError> {
        let mut draws = Draws::new(self.recipe.run.seed, label, 0);
        let (scale, device) = (self.recipe.discriminator.logit_scale, self.teacher.denoiser.module.device());
        Heads::new(taps, self.head_layout(), &mut draws, scale, HeadBias::Zero, self.settings(rate), device)
    }

    /// The modules that the latent discriminator taps.
    ///
    /// # Errors
    /// When a tap is no module of the teacher, or has no features.
    pub fn latent_taps(&self) -> Result<Vec<Tap>, TrainError> {
        let latent: Vec<usize> = std::iter::once(1).chain(self.teacher.latent_shape.iter().copied()).collect();
        let inputs = [(self.teacher.denoiser.ports.sample, latent)];
        find_taps(self.teacher.graph()?, self.taps, &inputs, self.layout, LATENT_TAPS)
    }

    /// The classifier of a method on these modules of the fake score, or on the one in the middle.
    ///
    /// # Errors
    /// When a tap is no module of the teacher, or has no features, or there is none in the middle.
    pub fn classifier(&self, method: &str, taps: &[String], rate: f64) -> Result<Classifier, TrainError> {
        let key = format!("{method}.taps");
        let names = match taps {
            [] => vec![self.teacher.bottleneck()?.ok_or_else(|| {
                TrainError::recipe(&key, "is left out, but nothing is in the middle of the teacher's network; name a module")
            })?],
            taps => taps.to_vec(),
        };
        let latent: Vec<usize> = std::iter::once(1).chain(self.teacher.latent_shape.iter().copied()).collect();
        let inputs = [(self.teacher.denoiser.ports.sample, latent)];
        let taps = find_taps(self.teacher.graph()?, &names, &inputs, self.layout, &key)?;
        let heads = self.heads(&taps, &format!("{method} classifier heads"), rate)?;
        Ok(Classifier::new(&taps, self.layout.clone(), heads))
    }

    /// The latent discriminator of a method.
    ///
    /// # Errors
    /// As [`Materials::latent_taps`].
    pub fn latent_discriminator(&self, method: &str, rate: f64) -> Result<LatentDiscriminator, TrainError> {
        let taps = self.latent_taps()?;
        let heads = self.heads(&taps, &format!("{method} latent heads"), rate)?;
        let (teacher, graph) = (&self.teacher.denoiser, self.teacher.graph()?);
        LatentDiscriminator::new(teacher, graph, &taps, self.layout.clone(), heads)
    }

    /// The perceptual network of the regression; none where latents are compared.
    ///
    /// # Errors
    /// When its file cannot be read, or lacks a weight, or the teacher's pictures are too small for it.
    pub fn perceptual(&self, section: &Regression) -> Result<Option<Perceptual>, TrainError> {
        let Some(path) = section.perceptual.as_ref().filter(|_| section.loss == RegressionLoss::Lpips) else { return Ok(None) };
        if self.teacher.frames.is_some() {
            let problem = "reads pictures, but the teacher makes videos; set regression.loss = \"mse\"";
            return Err(TrainError::recipe("regression.perceptual", problem));
        }
        let weights = vgg::read(&self.loaded.resolve(path))?;
        let device = self.teacher.denoiser.module.device();
        let network = Perceptual::new(&weights, self.teacher.picture_size, section.pooling, device);
        let refuse = |error: TrainError| TrainError::recipe("regression.perceptual", format!("cannot be used: {error}"));
        network.map(Some).map_err(refuse)
    }

    /// The pixel discriminator, where the recipe has one.
    ///
    /// # Errors
    /// When its backbone cannot be imported, or lacks a layer.
    pub fn pixel_discriminator(&self, method: &str, rate: f64) -> Result<Option<PixelDiscriminator>, TrainError> {
        let Some(pixel) = &self.recipe.discriminator.pixel else { return Ok(None) };
        if self.teacher.frames.is_some() {
            let problem = "reads pictures, but the teacher makes videos; leave the section out and set adp.lambda_pixel = 0";
            return Err(TrainError::recipe("discriminator.pixel", problem));
        }
        let options = ImportOptions { nonfinite: Nonfinite::Deny, ..ImportOptions::default() };
        // A recipe has no options for this path, but the command that writes a file which needs none has them.
        let convert = |option: &str| format!("`dmdx-import convert` --{option}, and name the file that it writes,");
        let refuse = |error: ImportError| {
            let problem = format!("cannot be imported: {}", advised(&error.to_string(), convert));
            TrainError::recipe("discriminator.pixel.path", problem)
        };
        let component = import(&self.loaded.resolve(&pixel.path), &options).map_err(refuse)?;
        let graph = component.parts.get("vision_encoder").ok_or_else(|| {
            TrainError::recipe("discriminator.pixel.path", format!("is a {}, but a vision encoder is needed", component.class))
        })?;
        let path = |layer: &usize| {
            let ends = [format!("vision_encoder.layers.{layer}"), format!("layers.{layer}")];
            let found = ends.into_iter().find(|path| graph.marks().contains_key(path));
            found.ok_or_else(|| TrainError::recipe(PIXEL_TAPS, format!("has {layer}, which the encoder has not")))
        };
        let layers = pixel.layers.iter().map(path).collect::<Result<Vec<_>, _>>()?;
        let [height, width] = self.teacher.picture_size;
        let input = graph.inputs().first().map(|(name, _)| name.to_string()).unwrap_or_default();
        let inputs = [(input.as_str(), vec![1, 3, height, width])];
        let taps = find_taps(graph, &layers, &inputs, &FeatureLayout::ChannelsLast, PIXEL_TAPS)?;
        let heads = self.heads(&taps, &format!("{method} pixel heads"), rate)?;
        PixelDiscriminator::new(graph, &taps, PixelScaling::of(pixel.input), heads).map(Some)
    }
}

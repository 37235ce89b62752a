//! Making roles: generator, discriminators, and the phases that train them.

use dmdx_importer::{ImportOptions, Nonfinite, import};

use super::networks::Networks;
use super::student::GENERATOR;
use crate::data::PairStore;
use crate::discriminator::{
    FeatureShape, HeadBias, HeadLayout, Heads, LatentDiscriminator, PixelDiscriminator, PixelScaling, feature_shapes,
};
use crate::error::TrainError;
use crate::method::{AdmPhase, AdpPhase};
use crate::module::{AdamSettings, Trained};
use crate::session::Draws;
use crate::store::StoredState;
use crate::trainer::{Phase, PhaseSlot};

/// Features of the real pictures are kept when they fit into this many bytes.
const KEPT_FEATURES: usize = 256 << 20;

impl Networks {
    /// The feature maps that the latent discriminator taps.
    pub(super) fn latent_shapes(&self) -> Result<Vec<(String, FeatureShape)>, TrainError> {
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

    pub(super) fn pixel_discriminator(&self, rate: f64) -> Result<Option<PixelDiscriminator>, TrainError> {
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
        let (height, width) = self.size_of_pictures();
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

    /// The phases of the recipe in order; each makes its roles when its turn comes.
    pub(super) fn slots(&self, pairs: Option<PairStore>) -> Vec<PhaseSlot<'_>> {
        let recipe = &self.loaded.recipe;
        let mut slots = Vec::new();
        if let Some(pairs) = pairs.filter(|_| recipe.adp.as_ref().is_some_and(|adp| adp.iterations > 0)) {
            let build = move |_: Option<&StoredState>| Ok(Box::new(self.adp(pairs)?) as Box<dyn Phase + '_>);
            slots.push(PhaseSlot { name: "adp", build: Box::new(build) });
        }
        if recipe.adm.as_ref().is_some_and(|adm| adm.iterations > 0) {
            let build = move |previous: Option<&StoredState>| Ok(Box::new(self.adm(previous)?) as Box<dyn Phase + '_>);
            slots.push(PhaseSlot { name: "adm", build: Box::new(build) });
        }
        slots
    }
}

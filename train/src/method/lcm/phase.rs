//! LCM as a phase of the trainer: draws, updates, metrics, roles.

use super::section::Lcm;
use super::step::{self, Options, Roles};
use crate::data::{LatentStore, PairStore, StoredConditions};
use crate::diffusion::Denoiser;
use crate::error::TrainError;
use crate::method::draw::{Batches, Captioned, guidance_weights};
use crate::method::look::Look;
use crate::method::materials::{GENERATOR, Materials};
use crate::method::metrics;
use crate::module::{Averaged, Trained};
use crate::recipe::Section;
use crate::session::Draws;
use crate::session::logs::Metrics;
use crate::store::{NamedRoles, StoredState};
use crate::trainer::Phase;

/// Everything that LCM trains and reads.
pub struct LcmPhase {
    section: Lcm,
    batches: Batches,
    clean: Clean,
    /// Start and end of the solver's steps, from the clean end up.
    intervals: Vec<[f64; 2]>,
    /// Range of the teacher's guidance weight.
    guidance: [f64; 2],
    teacher: Denoiser,
    /// What student and target network are called.
    student: Denoiser,
    look: Look,
    generator: Trained,
    target: Averaged,
}

/// Where clean latents come from.
pub enum Clean {
    /// What the teacher's sampler made of the prompts.
    Pairs(PairStore),
    /// Real ones with their captions.
    Real(LatentStore),
}

const TARGET: &str = "target";

impl LcmPhase {
    /// The phase of a recipe, from the generator of the phase before if there is one.
    ///
    /// # Errors
    /// When the recipe's times are not the solver's, or the state does not fit.
    pub fn new(
        section: Lcm,
        materials: &Materials<'_>,
        conditions: &StoredConditions,
        (previous, clean): (Option<&StoredState>, Clean),
    ) -> Result<Self, TrainError> {
        let teacher = materials.teacher.denoiser.clone();
        let generator = materials.generator(section.lr_generator, previous)?;
        let refuse = |error| TrainError::recipe("lcm.solver_steps", format!("is {}, but {error}", section.solver_steps));
        let look = materials.look(Lcm::NAME, conditions)?;
        Ok(Self {
            batches: materials.batches(section.batch),
            clean,
            intervals: section.consistency().intervals(teacher.process.coefficients()).map_err(refuse)?,
            guidance: materials.recipe.teacher.guidance,
            student: teacher.with_process(look.student.rollout().process().clone().into()),
            teacher,
            look,
            target: Averaged::new(&generator.module),
            generator,
            section,
        })
    }

    fn drawn(&self, draws: &mut Draws) -> Result<step::Draws, TrainError> {
        let samples = self.batches.samples;
        let places = draws.integers(samples, 0, self.intervals.len() as i64);
        let intervals = places.into_iter().filter_map(|place| self.intervals.get(place as usize));
        let (start, end) = intervals.map(|[start, end]| (start, end)).unzip();
        let noise = self.batches.noise(draws)?;
        let weights = guidance_weights(draws, self.guidance, samples);
        Ok(step::Draws { start, end, noise, weights })
    }
}

impl Phase for LcmPhase {
    fn name(&self) -> &'static str {
        Lcm::NAME
    }

    fn iterations(&self) -> u64 {
        self.section.iterations
    }

    fn samples(&self) -> usize {
        self.batches.samples
    }

    fn draw(&self, first: usize, noise: &[f32], prompts: &[u32]) -> Result<Vec<f32>, TrainError> {
        self.look.draw(&self.generator, first, noise, prompts)
    }

    fn iteration(&mut self, index: u64) -> Result<Metrics, TrainError> {
        let mut draws = Draws::new(self.look.seed, Lcm::NAME, index);
        let Captioned { x_0, captions } = match &self.clean {
            Clean::Pairs(pairs) => self.batches.latents(pairs, &mut draws)?,
            Clean::Real(latents) => self.batches.reals(latents, &mut draws)?,
        };
        let conditions = self.look.conditions.pick(&captions)?;
        let draws = self.drawn(&mut draws)?;
        let options = Options { boundary: self.section.consistency().boundary(), huber: self.section.huber_c };
        let (student, teacher) = (&self.student, &self.teacher);
        let roles = Roles { generator: &self.generator.module, target: &self.target.module, student, teacher };
        let goal = step::goal(&roles, &x_0, &conditions, &draws, &options)?;
        let made = step::student_step(&roles, &goal, &conditions.conditional, &draws, &options)?;
        let mut metrics = Metrics::new();
        metrics.insert("loss_generator".into(), made.loss.scalar()?);
        // What the loss closes: the student before the solver's step and the target network after it.
        metrics.insert("consistency_gap".into(), metrics::distance(&made.prediction, &goal.target)?);
        metrics::guidance(&mut metrics, &draws.weights);
        metrics::latents(&mut metrics, &made.prediction)?;
        metrics::update(&mut metrics, "generator", &self.generator, &made.gradients)?;
        self.generator.update(made.gradients);
        self.target.follow(&self.generator.module, self.section.ema_decay);
        Ok(metrics)
    }

    fn trained_roles(&mut self) -> NamedRoles<'_> {
        vec![(GENERATOR, &mut self.generator), (TARGET, &mut self.target)]
    }
}

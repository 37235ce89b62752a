//! `[lcm]`. Iterations and batch are those of the methods beside which it stands; the constants are those of diffusers'
//! training script.

use dmdx_runtime::process::{Consistency, StepRule};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::recipe::texts::{KeyText, LCM, READING};
use crate::recipe::{Kind, MANY, Recipe, Section};

/// `[lcm]`: latent consistency distillation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lcm {
    /// Iterations; 0 leaves the phase out.
    pub iterations: u64,
    /// Latents per iteration.
    pub batch: usize,
    /// Learning rate of the student.
    pub lr_generator: f64,
    /// Whether the latents that it starts from are those that the teacher made of prompts (`[pairs]`) or real ones
    /// (`[data]`).
    pub data: LcmData,
    /// Steps of the teacher's solver from noise to a sample, each of which the student learns to skip; equal parts of a noise
    /// table.
    pub solver_steps: usize,
    /// What the boundary condition multiplies times by.
    pub timestep_scaling: f64,
    /// Distance up to which the pseudo-Huber loss is nearly a square.
    pub huber_c: f64,
    /// Share of the target network that stays at every update; the rest is the student's.
    pub ema_decay: f64,
}

impl Default for Lcm {
    fn default() -> Self {
        Self {
            iterations: 8000,
            batch: 128,
            lr_generator: 1e-6,
            data: LcmData::Pairs,
            solver_steps: 50,
            timestep_scaling: 10.0,
            huber_c: 0.001,
            ema_decay: 0.95,
        }
    }
}

/// Clean latents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LcmData {
    /// What the teacher's sampler made of the prompts.
    #[default]
    Pairs,
    /// Real ones with their captions.
    Latents,
}

impl Lcm {
    /// What the student becomes.
    pub fn consistency(&self) -> Consistency {
        Consistency { solver_steps: self.solver_steps, timestep_scaling: self.timestep_scaling }
    }
}

impl Section for Lcm {
    const NAME: &'static str = "lcm";

    const KEYS: &'static [(&'static str, Kind)] = &[
        ("iterations", Kind::Integer(0, MANY)),
        ("batch", Kind::Integer(1, 65_536)),
        ("lr_generator", Kind::Positive(1.0)),
        ("data", Kind::Word(&["pairs", "latents"])),
        ("solver_steps", Kind::Integer(1, 1000)),
        ("timestep_scaling", Kind::Positive(1e6)),
        ("huber_c", Kind::Positive(1000.0)),
        ("ema_decay", Kind::Number(0.0, 0.999_999)),
    ];

    const TEXTS: &'static [KeyText] = &[
        KeyText::new("iterations", "iterations", READING, "Iterations; 0 leaves the phase out."),
        KeyText::new("batch", "latents", READING, "Latents per iteration."),
        KeyText::new("lr_generator", "", LCM, "Learning rate of the student."),
        KeyText::new(
            "data",
            "",
            READING,
            "Whether the latents that it starts from are those that the teacher made of prompts ([pairs]) or real ones ([data]).",
        ),
        KeyText::new(
            "solver_steps",
            "steps",
            LCM,
            "Steps of the teacher's solver from noise to a sample, each of which the student learns to skip; equal parts of a noise table.",
        ),
        KeyText::new("timestep_scaling", "factor", LCM, "What the boundary condition multiplies times by."),
        KeyText::new("huber_c", "scaled latents", LCM, "Distance up to which the pseudo-Huber loss is nearly a square."),
        KeyText::new(
            "ema_decay",
            "share",
            LCM,
            "Share of the target network that stays at every update; the rest is the student's.",
        ),
    ];

    fn check(&self, recipe: &Recipe) -> Result<(), TrainError> {
        let student = &recipe.student;
        if self.iterations == 0 {
            return Ok(());
        }
        if student.calls() > 1 && student.sampler != StepRule::Renoise {
            return Err(TrainError::recipe(
                "student.sampler",
                "is \"ode\", but a consistency student of several calls noises its clean samples anew; set student.sampler = \"renoise\"",
            ));
        }
        if student.guidance_offset.is_some() {
            return Err(TrainError::recipe(
                "student.guidance_offset",
                "is given, but [lcm] trains a student that has its teacher's guidance in itself; leave it out",
            ));
        }
        Ok(())
    }
}

//! `[adp]`. Defaults are the paper's (appendix B.5) and, where it is silent, the reading that the ambiguity register
//! recommends.

use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::recipe::texts::{KeyText, PAPER, READING};
use crate::recipe::{HeadReduce, Kind, MANY, Recipe, Section};

/// `[adp]`: adversarial distillation pre-training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adp {
    /// Iterations, each one generator and one discriminator step; 0 leaves the phase out.
    pub iterations: u64,
    /// Pairs per iteration.
    pub batch: usize,
    /// Learning rate of the student.
    pub lr_generator: f64,
    /// Learning rate of the discriminator heads.
    pub lr_discriminator: f64,
    /// Weight λ₁ of the latent discriminator.
    pub lambda_latent: f64,
    /// Weight λ₂ of the pixel discriminator; 0 needs no `[discriminator.pixel]`.
    pub lambda_pixel: f64,
    /// Weight of a mean squared error against the pair's latent in the generator's loss.
    pub mse_weight: f64,
    /// First iterations that train the student by the mean squared error alone.
    pub mse_warmup_steps: u64,
    /// What the student's output means.
    pub student_param: StudentParameterisation,
    /// Whether real and fake are noised to the same time before the latent discriminator.
    pub gan_share_t: bool,
    /// Whether real and fake are noised by the same noise.
    pub gan_share_noise: bool,
    /// How the heads' losses are put together.
    pub head_reduce: HeadReduce,
}

impl Default for Adp {
    fn default() -> Self {
        Self {
            iterations: 8000,
            batch: 128,
            lr_generator: 1e-6,
            lr_discriminator: 5e-6,
            lambda_latent: 0.85,
            lambda_pixel: 0.15,
            mse_weight: 0.0,
            mse_warmup_steps: 0,
            student_param: StudentParameterisation::RawVelocity,
            gan_share_t: true,
            gan_share_noise: false,
            head_reduce: HeadReduce::Mean,
        }
    }
}

/// What the output of a student that began as an eps-predicting teacher means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StudentParameterisation {
    /// The velocity of the straight line between noise and latent.
    #[default]
    RawVelocity,
}

impl Section for Adp {
    const NAME: &'static str = "adp";

    const KEYS: &'static [(&'static str, Kind)] = &[
        ("iterations", Kind::Integer(0, MANY)),
        ("batch", Kind::Integer(1, 65_536)),
        ("lr_generator", Kind::Positive(1.0)),
        ("lr_discriminator", Kind::Positive(1.0)),
        ("lambda_latent", Kind::Number(0.0, 1000.0)),
        ("lambda_pixel", Kind::Number(0.0, 1000.0)),
        ("mse_weight", Kind::Number(0.0, 1000.0)),
        ("mse_warmup_steps", Kind::Integer(0, MANY)),
        ("student_param", Kind::Word(&["raw_velocity"])),
        ("gan_share_t", Kind::Flag),
        ("gan_share_noise", Kind::Flag),
        ("head_reduce", Kind::Word(&["mean", "sum"])),
    ];

    const TEXTS: &'static [KeyText] = &[
        KeyText::new(
            "iterations",
            "iterations",
            PAPER,
            "Iterations, each one generator and one discriminator step; 0 leaves the phase out.",
        ),
        KeyText::new("batch", "pairs", PAPER, "Pairs per iteration."),
        KeyText::new("lr_generator", "", PAPER, "Learning rate of the student."),
        KeyText::new("lr_discriminator", "", PAPER, "Learning rate of the discriminator heads."),
        KeyText::new("lambda_latent", "weight", PAPER, "Weight λ₁ of the latent discriminator."),
        KeyText::new("lambda_pixel", "weight", PAPER, "Weight λ₂ of the pixel discriminator; 0 needs no [discriminator.pixel]."),
        KeyText::new(
            "mse_weight",
            "weight",
            READING,
            "Weight of a mean squared error against the pair's latent in the generator's loss.",
        ),
        KeyText::new(
            "mse_warmup_steps",
            "iterations",
            READING,
            "First iterations that train the student by the mean squared error alone.",
        ),
        KeyText::new("student_param", "", READING, "What the student's output means."),
        KeyText::new(
            "gan_share_t",
            "",
            PAPER,
            "Whether real and fake are noised to the same time before the latent discriminator.",
        ),
        KeyText::new("gan_share_noise", "", READING, "Whether real and fake are noised by the same noise."),
        KeyText::new("head_reduce", "", READING, "How the heads' losses are put together."),
    ];

    fn check(&self, recipe: &Recipe) -> Result<(), TrainError> {
        recipe.student.unguided(Self::NAME, self.iterations)?;
        if self.lambda_latent == 0.0 && self.lambda_pixel == 0.0 {
            return Err(TrainError::recipe(
                "adp.lambda_latent",
                "is 0 and so is adp.lambda_pixel, but one of them must be above 0",
            ));
        }
        if self.iterations > 0 && self.lambda_pixel > 0.0 && recipe.discriminator.pixel.is_none() {
            return Err(TrainError::recipe(
                "adp.lambda_pixel",
                format!("is {}, but there is no [discriminator.pixel]; add it, or set lambda_pixel = 0", self.lambda_pixel),
            ));
        }
        Ok(())
    }
}

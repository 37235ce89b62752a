//! `[ladd]`. Iterations, batch and rates are those of adversarial pre-training, beside which it stands.

use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::recipe::texts::{KeyText, LADD, READING};
use crate::recipe::{Kind, MANY, Recipe, Section};

/// The share of the student's first time where the recipe does not say; the others have the rest in equal parts.
const FIRST: f64 = 0.7;

/// What probabilities may be apart from a sum of 1.
const ROUNDING: f64 = 1e-6;

/// `[ladd]`: latent adversarial diffusion distillation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ladd {
    /// Iterations, each one generator and one discriminator step; 0 leaves the phase out.
    pub iterations: u64,
    /// Latents per iteration.
    pub batch: usize,
    /// Learning rate of the student.
    pub lr_generator: f64,
    /// Learning rate of the discriminator heads.
    pub lr_discriminator: f64,
    /// How probable each of the student's times is, in their order; 0.7 for the first and the rest for the others in equal parts
    /// where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<Vec<f64>>,
    /// Mean of the logits of the times at which the heads judge; above 0 leans to noise.
    pub logit_mean: f64,
    /// Standard deviation of those logits.
    pub logit_std: f64,
    /// Weight of a mean squared error against the teacher's latent in the generator's loss.
    pub distill_weight: f64,
}

impl Default for Ladd {
    fn default() -> Self {
        Self {
            iterations: 8000,
            batch: 128,
            lr_generator: 1e-6,
            lr_discriminator: 5e-6,
            probabilities: None,
            logit_mean: 1.0,
            logit_std: 1.0,
            distill_weight: 0.0,
        }
    }
}

impl Ladd {
    /// How probable each of so many times is.
    pub fn shares(&self, calls: usize) -> Vec<f64> {
        match (&self.probabilities, calls) {
            (Some(given), _) => given.clone(),
            (None, 0 | 1) => vec![1.0; calls],
            (None, calls) => {
                let rest = (1.0 - FIRST) / (calls - 1) as f64;
                (0..calls).map(|call| if call == 0 { FIRST } else { rest }).collect()
            }
        }
    }
}

impl Section for Ladd {
    const NAME: &'static str = "ladd";

    const KEYS: &'static [(&'static str, Kind)] = &[
        ("iterations", Kind::Integer(0, MANY)),
        ("batch", Kind::Integer(1, 65_536)),
        ("lr_generator", Kind::Positive(1.0)),
        ("lr_discriminator", Kind::Positive(1.0)),
        ("probabilities", Kind::Numbers(0.0, 1.0)),
        ("logit_mean", Kind::Number(-100.0, 100.0)),
        ("logit_std", Kind::Number(0.0, 100.0)),
        ("distill_weight", Kind::Number(0.0, 1000.0)),
    ];

    const TEXTS: &'static [KeyText] = &[
        KeyText::new(
            "iterations",
            "iterations",
            READING,
            "Iterations, each one generator and one discriminator step; 0 leaves the phase out.",
        ),
        KeyText::new("batch", "latents", READING, "Latents per iteration."),
        KeyText::new("lr_generator", "", READING, "Learning rate of the student."),
        KeyText::new("lr_discriminator", "", READING, "Learning rate of the discriminator heads."),
        KeyText::new(
            "probabilities",
            "probability",
            LADD,
            "How probable each of the student's times is, in their order; 0.7 for the first and the rest for the others in equal parts where left out.",
        ),
        KeyText::new("logit_mean", "", LADD, "Mean of the logits of the times at which the heads judge; above 0 leans to noise."),
        KeyText::new("logit_std", "", LADD, "Standard deviation of those logits."),
        KeyText::new(
            "distill_weight",
            "weight",
            LADD,
            "Weight of a mean squared error against the teacher's latent in the generator's loss.",
        ),
    ];

    fn check(&self, recipe: &Recipe) -> Result<(), TrainError> {
        let calls = recipe.student.calls();
        if let Some(given) = &self.probabilities {
            if given.len() != calls {
                let problem =
                    format!("has {} numbers, but the student is called {calls} times; give one for each call", given.len());
                return Err(TrainError::recipe("ladd.probabilities", problem));
            }
            let sum: f64 = given.iter().sum();
            if (sum - 1.0).abs() > ROUNDING {
                return Err(TrainError::recipe(
                    "ladd.probabilities",
                    format!("is {given:?}, which adds up to {sum} instead of 1"),
                ));
            }
        }
        if self.iterations > 0 && recipe.student.guidance_offset.is_some() {
            return Err(TrainError::recipe(
                "student.guidance_offset",
                "is given, but [ladd] trains a student that has its teacher's guidance in itself; leave it out",
            ));
        }
        Ok(())
    }
}

//! `[reflow]`. Defaults are those of adversarial distillation pre-training, whose baseline it is (row A1 of the paper's table 4).

use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::recipe::texts::{KeyText, PAPER};
use crate::recipe::{Kind, MANY, Recipe, Section};

/// `[reflow]`: the rectified-flow baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reflow {
    /// Iterations; 0 leaves the phase out.
    pub iterations: u64,
    /// Pairs per iteration.
    pub batch: usize,
    /// Learning rate of the student.
    pub lr_generator: f64,
}

impl Default for Reflow {
    fn default() -> Self {
        Self { iterations: 8000, batch: 128, lr_generator: 1e-6 }
    }
}

impl Section for Reflow {
    const NAME: &'static str = "reflow";

    const KEYS: &'static [(&'static str, Kind)] =
        &[("iterations", Kind::Integer(0, MANY)), ("batch", Kind::Integer(1, 65_536)), ("lr_generator", Kind::Positive(1.0))];

    const TEXTS: &'static [KeyText] = &[
        KeyText::new("iterations", "iterations", PAPER, "Iterations; 0 leaves the phase out."),
        KeyText::new("batch", "pairs", PAPER, "Pairs per iteration."),
        KeyText::new("lr_generator", "", PAPER, "Learning rate of the student."),
    ];

    fn check(&self, recipe: &Recipe) -> Result<(), TrainError> {
        recipe.student.unguided(Self::NAME, self.iterations)?;
        if self.iterations > 0 && recipe.iterations("adp") > 0 {
            return Err(TrainError::recipe(
                "reflow.iterations",
                "is above 0 and so is adp.iterations, but both begin with the teacher; leave one out (adp.mse_warmup_steps is a \
                 start by squared errors)",
            ));
        }
        Ok(())
    }
}

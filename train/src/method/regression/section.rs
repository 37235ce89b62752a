//! `[regression]`. Defaults are those of DMD2's published one-step model.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::perceptual::Pooling;
use crate::error::TrainError;
use crate::recipe::texts::{DMD2, KeyText};
use crate::recipe::{Kind, MANY, Recipe, Section};

/// `[regression]`: the start of a one-step student.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Regression {
    /// Iterations; 0 leaves the phase out.
    pub iterations: u64,
    /// Pairs per iteration.
    pub batch: usize,
    /// Learning rate of the student.
    pub lr_generator: f64,
    /// Whether decoded pictures are compared by a perceptual network (LPIPS), or latents by their mean squared error.
    pub loss: RegressionLoss,
    /// File of the perceptual network's weights: the VGG16 of LPIPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perceptual: Option<PathBuf>,
    /// How its maps are halved.
    pub pooling: Pooling,
}

impl Default for Regression {
    fn default() -> Self {
        Self {
            iterations: 2000,
            batch: 256,
            lr_generator: 1e-5,
            loss: RegressionLoss::Lpips,
            perceptual: None,
            pooling: Pooling::Average,
        }
    }
}

/// What the student's sample is compared with the teacher's by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegressionLoss {
    /// The perceptual distance of the decoded pictures.
    #[default]
    Lpips,
    /// The mean squared error of the latents.
    Mse,
}

impl Section for Regression {
    const NAME: &'static str = "regression";

    const KEYS: &'static [(&'static str, Kind)] = &[
        ("iterations", Kind::Integer(0, MANY)),
        ("batch", Kind::Integer(1, 65_536)),
        ("lr_generator", Kind::Positive(1.0)),
        ("loss", Kind::Word(&["lpips", "mse"])),
        ("perceptual", Kind::Text),
        ("pooling", Kind::Word(&["average", "max"])),
    ];

    const TEXTS: &'static [KeyText] = &[
        KeyText::new("iterations", "iterations", DMD2, "Iterations; 0 leaves the phase out."),
        KeyText::new("batch", "pairs", DMD2, "Pairs per iteration."),
        KeyText::new("lr_generator", "", DMD2, "Learning rate of the student."),
        KeyText::new(
            "loss",
            "",
            DMD2,
            "Whether decoded pictures are compared by a perceptual network (LPIPS), or latents by their mean squared error.",
        ),
        KeyText::new("perceptual", "file", DMD2, "File of the perceptual network's weights: the VGG16 of LPIPS."),
        KeyText::new("pooling", "", DMD2, "How its maps are halved."),
    ];

    const NEEDED: &'static str = "perceptual = 'p'\n";

    fn check(&self, recipe: &Recipe) -> Result<(), TrainError> {
        if self.iterations == 0 {
            return Ok(());
        }
        if self.loss == RegressionLoss::Lpips && self.perceptual.is_none() {
            return Err(TrainError::recipe(
                "regression.perceptual",
                "is missing, but regression.loss = \"lpips\" compares pictures by that network; name the file of its weights, or \
                 set regression.loss = \"mse\", which compares latents",
            ));
        }
        let calls = recipe.student.calls();
        if calls != 1 {
            let problem = format!("is above 0, but the student has {calls} steps and this trains the first alone; leave it out");
            return Err(TrainError::recipe("regression.iterations", problem));
        }
        if recipe.student.guidance_offset.is_some() {
            return Err(TrainError::recipe("student.guidance_offset", "is given, but the regression has no guided student"));
        }
        Ok(())
    }
}

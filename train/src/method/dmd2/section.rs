//! `[dmd2]`. Defaults are those of its paper for SDXL and, where it is silent, of its published code.

use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::method::matching::{GuidanceDraw, check_times};
use crate::recipe::texts::{DMD2, KeyText, READING};
use crate::recipe::{Kind, MANY, Recipe, Section};

/// `[dmd2]`: distribution matching distillation with a classifier on real latents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dmd2 {
    /// Iterations, each one update of fake score and classifier; 0 leaves the phase out.
    pub iterations: u64,
    /// Samples per iteration, as many of the student as real ones.
    pub batch: usize,
    /// Every so many iterations, from the first on, the student is updated too.
    pub ttur: u32,
    /// Learning rate of the student.
    pub lr_generator: f64,
    /// Learning rate of the fake score.
    pub lr_fake: f64,
    /// Learning rate of the classifier's heads.
    pub lr_classifier: f64,
    /// Smallest t, in thousandths.
    pub t_min: f64,
    /// Largest t, in thousandths.
    pub t_max: f64,
    /// Whether every sample or every batch draws its guidance weight from the teacher's range.
    pub guidance_draw: GuidanceDraw,
    /// Weight of the classifier's verdict in the student's loss.
    pub gan_weight_generator: f64,
    /// Weight of the classifier's loss beside the fake score's.
    pub gan_weight_classifier: f64,
    /// Module paths of the fake score whose outputs get a head each; empty for the module in the middle of the network.
    pub taps: Vec<String>,
}

impl Default for Dmd2 {
    fn default() -> Self {
        Self {
            iterations: 20_000,
            batch: 128,
            ttur: 5,
            lr_generator: 5e-7,
            lr_fake: 5e-7,
            lr_classifier: 5e-7,
            t_min: 20.0,
            t_max: 980.0,
            guidance_draw: GuidanceDraw::PerSample,
            gan_weight_generator: 5e-3,
            gan_weight_classifier: 1e-2,
            taps: Vec::new(),
        }
    }
}

impl Section for Dmd2 {
    const NAME: &'static str = "dmd2";

    const KEYS: &'static [(&'static str, Kind)] = &[
        ("iterations", Kind::Integer(0, MANY)),
        ("batch", Kind::Integer(1, 65_536)),
        ("ttur", Kind::Integer(1, 1000)),
        ("lr_generator", Kind::Positive(1.0)),
        ("lr_fake", Kind::Positive(1.0)),
        ("lr_classifier", Kind::Positive(1.0)),
        ("t_min", Kind::Number(0.0, 1000.0)),
        ("t_max", Kind::Number(0.0, 1000.0)),
        ("guidance_draw", Kind::Word(&["per_sample", "per_batch"])),
        ("gan_weight_generator", Kind::Number(0.0, 1000.0)),
        ("gan_weight_classifier", Kind::Number(0.0, 1000.0)),
        ("taps", Kind::Texts),
    ];

    const TEXTS: &'static [KeyText] = &[
        KeyText::new(
            "iterations",
            "iterations",
            DMD2,
            "Iterations, each one update of fake score and classifier; 0 leaves the phase out.",
        ),
        KeyText::new("batch", "samples", DMD2, "Samples per iteration, as many of the student as real ones."),
        KeyText::new("ttur", "iterations", DMD2, "Every so many iterations, from the first on, the student is updated too."),
        KeyText::new("lr_generator", "", DMD2, "Learning rate of the student."),
        KeyText::new("lr_fake", "", DMD2, "Learning rate of the fake score."),
        KeyText::new("lr_classifier", "", DMD2, "Learning rate of the classifier's heads."),
        KeyText::new("t_min", "thousandths of the teacher's time", DMD2, "Smallest t, in thousandths."),
        KeyText::new("t_max", "thousandths of the teacher's time", DMD2, "Largest t, in thousandths."),
        KeyText::new(
            "guidance_draw",
            "",
            READING,
            "Whether every sample or every batch draws its guidance weight from the teacher's range.",
        ),
        KeyText::new("gan_weight_generator", "weight", DMD2, "Weight of the classifier's verdict in the student's loss."),
        KeyText::new("gan_weight_classifier", "weight", DMD2, "Weight of the classifier's loss beside the fake score's."),
        KeyText::new(
            "taps",
            "modules",
            DMD2,
            "Module paths of the fake score whose outputs get a head each; empty for the module in the middle of the network.",
        ),
    ];

    fn check(&self, _: &Recipe) -> Result<(), TrainError> {
        check_times(Self::NAME, self.t_min, self.t_max)
    }
}

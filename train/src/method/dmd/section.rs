//! `[dmd]`. Defaults are those of adversarial distribution matching, beside which the paper trains it (rows B2 and B3 of
//! its table 4).

use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::method::matching::{FakeTrainSource, GuidanceDraw, check_times};
use crate::recipe::texts::{DMD2, KeyText, PAPER, READING};
use crate::recipe::{Kind, MANY, Recipe, Section};

/// `[dmd]`: distribution matching distillation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dmd {
    /// Generator iterations; 0 leaves the phase out.
    pub iterations: u64,
    /// Samples per iteration.
    pub batch: usize,
    /// Learning rate of the student.
    pub lr_generator: f64,
    /// Learning rate of the fake score.
    pub lr_fake: f64,
    /// Smallest t, in thousandths.
    pub t_min: f64,
    /// Largest t, in thousandths.
    pub t_max: f64,
    /// Whether every sample or every batch draws its guidance weight from the teacher's range.
    pub guidance_draw: GuidanceDraw,
    /// Fake-score updates per generator update.
    pub ttur: u32,
    /// What the fake score is trained on.
    pub fake_train_source: FakeTrainSource,
}

impl Default for Dmd {
    fn default() -> Self {
        Self {
            iterations: 8000,
            batch: 128,
            lr_generator: 1e-7,
            lr_fake: 1e-6,
            t_min: 20.0,
            t_max: 980.0,
            guidance_draw: GuidanceDraw::PerSample,
            ttur: 1,
            fake_train_source: FakeTrainSource::FullRollout,
        }
    }
}

impl Section for Dmd {
    const NAME: &'static str = "dmd";

    const KEYS: &'static [(&'static str, Kind)] = &[
        ("iterations", Kind::Integer(0, MANY)),
        ("batch", Kind::Integer(1, 65_536)),
        ("lr_generator", Kind::Positive(1.0)),
        ("lr_fake", Kind::Positive(1.0)),
        ("t_min", Kind::Number(0.0, 1000.0)),
        ("t_max", Kind::Number(0.0, 1000.0)),
        ("guidance_draw", Kind::Word(&["per_sample", "per_batch"])),
        ("ttur", Kind::Integer(1, 1000)),
        ("fake_train_source", Kind::Word(&["full_rollout", "same_as_generator"])),
    ];

    const TEXTS: &'static [KeyText] = &[
        KeyText::new("iterations", "iterations", PAPER, "Generator iterations; 0 leaves the phase out."),
        KeyText::new("batch", "samples", PAPER, "Samples per iteration."),
        KeyText::new("lr_generator", "", PAPER, "Learning rate of the student."),
        KeyText::new("lr_fake", "", PAPER, "Learning rate of the fake score."),
        KeyText::new("t_min", "thousandths of the teacher's time", DMD2, "Smallest t, in thousandths."),
        KeyText::new("t_max", "thousandths of the teacher's time", DMD2, "Largest t, in thousandths."),
        KeyText::new(
            "guidance_draw",
            "",
            READING,
            "Whether every sample or every batch draws its guidance weight from the teacher's range.",
        ),
        KeyText::new("ttur", "updates", PAPER, "Fake-score updates per generator update."),
        KeyText::new("fake_train_source", "", READING, "What the fake score is trained on."),
    ];

    fn check(&self, _: &Recipe) -> Result<(), TrainError> {
        check_times(Self::NAME, self.t_min, self.t_max)
    }
}

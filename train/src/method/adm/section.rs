//! `[adm]`. Defaults are the paper's (appendix B.5) and, where it is silent, the reading that the ambiguity register
//! recommends.

use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::method::matching::{FakeTrainSource, GuidanceDraw, check_times};
use crate::recipe::texts::{DMD2, KeyText, OURS, PAPER, READING};
use crate::recipe::{Kind, MANY, Recipe, Section};

/// `[adm]`: adversarial distribution matching (Algorithm 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adm {
    /// Generator iterations; 0 leaves the phase out.
    pub iterations: u64,
    /// Samples per iteration.
    pub batch: usize,
    /// Learning rate of the student.
    pub lr_generator: f64,
    /// Learning rate of the fake score.
    pub lr_fake: f64,
    /// Learning rate of the discriminator heads.
    pub lr_discriminator: f64,
    /// Δt, the length of the probability-flow step, in thousandths of the teacher's time; whole steps of a table.
    pub dt_steps: f64,
    /// Smallest t − Δt, in thousandths.
    pub t_min: f64,
    /// Largest t, in thousandths.
    pub t_max: f64,
    /// Whether the generator's gradient passes through the fake score.
    pub adm_grad: AdmGradient,
    /// Range of the teacher's guidance weight in this phase; that of `[teacher]` where left out. The phase ends beyond the samples
    /// of the weight that it is given, since a guided score is no score of them; a lower range makes up for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance: Option<[f64; 2]>,
    /// Whether every sample or every batch draws its guidance weight from the teacher's range.
    pub guidance_draw: GuidanceDraw,
    /// Fake-score updates per generator and discriminator update.
    pub ttur: u32,
    /// First iterations that train the fake score alone: it begins as the teacher, so it takes a student that has left the teacher
    /// for more various than it is, until it knows it.
    pub fake_warmup_steps: u64,
    /// What the fake score is trained on.
    pub fake_train_source: FakeTrainSource,
}

impl Default for Adm {
    fn default() -> Self {
        Self {
            iterations: 8000,
            batch: 128,
            lr_generator: 1e-7,
            lr_fake: 1e-6,
            lr_discriminator: 5e-6,
            dt_steps: 15.625,
            t_min: 20.0,
            t_max: 980.0,
            adm_grad: AdmGradient::Full,
            guidance: None,
            guidance_draw: GuidanceDraw::PerSample,
            ttur: 1,
            fake_warmup_steps: 0,
            fake_train_source: FakeTrainSource::FullRollout,
        }
    }
}

/// How the generator's gradient reaches the student.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdmGradient {
    /// Through the fake score's network.
    #[default]
    Full,
    /// Past it: the fake score's raw output counts as a constant.
    DetachFake,
}

impl Section for Adm {
    const NAME: &'static str = "adm";

    const KEYS: &'static [(&'static str, Kind)] = &[
        ("iterations", Kind::Integer(0, MANY)),
        ("batch", Kind::Integer(1, 65_536)),
        ("lr_generator", Kind::Positive(1.0)),
        ("lr_fake", Kind::Positive(1.0)),
        ("lr_discriminator", Kind::Positive(1.0)),
        ("dt_steps", Kind::Positive(999.0)),
        ("t_min", Kind::Number(0.0, 1000.0)),
        ("t_max", Kind::Number(0.0, 1000.0)),
        ("adm_grad", Kind::Word(&["full", "detach_fake"])),
        ("guidance", Kind::Range(0.0, 1000.0)),
        ("guidance_draw", Kind::Word(&["per_sample", "per_batch"])),
        ("ttur", Kind::Integer(1, 1000)),
        ("fake_warmup_steps", Kind::Integer(0, MANY)),
        ("fake_train_source", Kind::Word(&["full_rollout", "same_as_generator"])),
    ];

    const TEXTS: &'static [KeyText] = &[
        KeyText::new("iterations", "iterations", PAPER, "Generator iterations; 0 leaves the phase out."),
        KeyText::new("batch", "samples", PAPER, "Samples per iteration."),
        KeyText::new("lr_generator", "", PAPER, "Learning rate of the student."),
        KeyText::new("lr_fake", "", PAPER, "Learning rate of the fake score."),
        KeyText::new("lr_discriminator", "", PAPER, "Learning rate of the discriminator heads."),
        KeyText::new(
            "dt_steps",
            "thousandths of the teacher's time",
            PAPER,
            "Δt, the length of the probability-flow step, in thousandths of the teacher's time; whole steps of a table.",
        ),
        KeyText::new("t_min", "thousandths of the teacher's time", DMD2, "Smallest t − Δt, in thousandths."),
        KeyText::new("t_max", "thousandths of the teacher's time", DMD2, "Largest t, in thousandths."),
        KeyText::new("adm_grad", "", PAPER, "Whether the generator's gradient passes through the fake score."),
        KeyText::new(
            "guidance",
            "",
            OURS,
            "Range of the teacher's guidance weight in this phase; that of [teacher] where left out. The phase ends beyond the samples \
             of the weight that it is given, since a guided score is no score of them; a lower range makes up for that.",
        ),
        KeyText::new(
            "guidance_draw",
            "",
            READING,
            "Whether every sample or every batch draws its guidance weight from the teacher's range.",
        ),
        KeyText::new("ttur", "updates", PAPER, "Fake-score updates per generator and discriminator update."),
        KeyText::new(
            "fake_warmup_steps",
            "iterations",
            OURS,
            "First iterations that train the fake score alone: it begins as the teacher, so it takes a student that has left the teacher \
             for more various than it is, until it knows it.",
        ),
        KeyText::new("fake_train_source", "", PAPER, "What the fake score is trained on."),
    ];

    fn check(&self, recipe: &Recipe) -> Result<(), TrainError> {
        if self.guidance.is_some() && recipe.student.guidance_offset.is_some() {
            let reason =
                "is given and so is student.guidance_offset, but a guided student's weight is that of [teacher] less the offset";
            return Err(TrainError::recipe("adm.guidance", reason));
        }
        check_times(Self::NAME, self.t_min, self.t_max)?;
        if self.t_min + self.dt_steps > self.t_max {
            return Err(TrainError::recipe(
                "adm.dt_steps",
                format!("is {}, but must be at most t_max − t_min = {}", self.dt_steps, self.t_max - self.t_min),
            ));
        }
        Ok(())
    }
}

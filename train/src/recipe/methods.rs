//! The sections of the training methods. Defaults are the paper's (appendix B.5) and, where it is silent, the reading
//! that the method's ambiguity register recommends.

use serde::{Deserialize, Serialize};

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
    /// Largest time value fed to the student (1000 s is clamped to it).
    pub time_clamp: f64,
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
            time_clamp: 999.0,
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

/// How the heads' losses are put together; over a head's positions it is always the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadReduce {
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

/// `[adm]`: adversarial distribution matching (Algorithm 1), one-step student.
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
    /// Δt, the length of the probability-flow step, in timesteps of the teacher's 1000.
    pub dt_steps: u32,
    /// Smallest t − Δt.
    pub t_min: u32,
    /// Largest t.
    pub t_max: u32,
    /// Whether the generator's gradient passes through the fake score.
    pub adm_grad: AdmGradient,
    /// Whether every sample or every batch draws its guidance weight.
    pub guidance: GuidanceDraw,
    /// Fake-score updates per generator and discriminator update.
    pub ttur: u32,
    /// What the fake score is trained on.
    pub fake_train_source: FakeTrainSource,
    /// Time value fed to the one-step student.
    pub cond_t: f64,
}

impl Default for Adm {
    fn default() -> Self {
        Self {
            iterations: 8000,
            batch: 128,
            lr_generator: 1e-7,
            lr_fake: 1e-6,
            lr_discriminator: 5e-6,
            dt_steps: 16,
            t_min: 20,
            t_max: 980,
            adm_grad: AdmGradient::Full,
            guidance: GuidanceDraw::PerSample,
            ttur: 1,
            fake_train_source: FakeTrainSource::FullRollout,
            cond_t: 999.0,
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

/// Which samples share a guidance weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuidanceDraw {
    /// None: every sample draws its own.
    #[default]
    PerSample,
    /// All of a batch.
    PerBatch,
}

/// What the fake score is trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FakeTrainSource {
    /// Fresh samples of the whole sampler (Algorithm 1).
    #[default]
    FullRollout,
    /// The samples of the generator's update (DMD2).
    SameAsGenerator,
}

/// `[optimizer]`: AdamW without a first moment, for every trained role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optimizer {
    /// Decay of the first moment; only 0, so that none is kept.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self { beta1: 0.0, beta2: 0.99, eps: 1e-8, weight_decay: 0.0 }
    }
}

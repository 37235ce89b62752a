//! What can be wrong with a teacher, or with what is asked of it.

/// Why a teacher cannot be used so.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TeacherError {
    /// A pipeline without a scheduler.
    #[error("the pipeline has no scheduler/scheduler_config.json; its noise levels are unknown")]
    NoScheduler,
    /// Latents or results of a pipeline of videos that have no frames.
    #[error("the pipeline makes videos, but works on tensors of shape {0:?}, which have no frames")]
    NoVideo(Vec<usize>),
    /// A teacher that has no output without guidance.
    #[error(
        "the teacher was distilled with its guidance (`time_cond_proj_dim` in its configuration), so there is nothing left to \
         distil its guidance from; take the model that it was distilled from"
    )]
    Distilled,
    /// Noise, prompts and guidance weights that do not belong together.
    #[error("{prompts} prompts do not go with {values} values of noise and {weights} weights")]
    Counts {
        /// Prompts.
        prompts: usize,
        /// Values of noise.
        values: usize,
        /// Guidance weights.
        weights: usize,
    },
    /// A guidance weight that is no number.
    #[error("a guidance scale of {0} was asked for, but a finite number is needed")]
    Guidance(f64),
    /// What a student is not sampled with.
    #[error("{what} cannot be chosen: the pipeline is a student, whose dmdx_student.json states {states}; leave it out")]
    Student {
        /// What was asked for.
        what: &'static str,
        /// What the student has instead.
        states: String,
    },
    /// A student in the place of a teacher.
    #[error("{0} is a student, distilled from {1}; name its teacher, whose noise levels and weights are those of a whole walk")]
    IsStudent(String, String),
    /// Latents that would not fit into memory.
    #[error("latents of shape {0:?} are too large")]
    TooLarge(Vec<usize>),
    /// A scheduler that took no step.
    #[error("the scheduler took no step")]
    NoStep,
}

//! What a teacher is asked for.

/// What is asked of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What is to be seen.
    pub prompt: String,
    /// What is not; empty for nothing in particular.
    pub negative_prompt: Option<String>,
    /// Steps of the scheduler.
    pub steps: usize,
    /// Weight of classifier-free guidance; 1 and less is none.
    pub guidance_scale: f64,
    /// Lets the weight grow as the time falls, CogVideoX' `use_dynamic_cfg`.
    pub dynamic_guidance: bool,
    /// How far the guided output's spread is moved to that of the prompt's alone, diffusers' `guidance_rescale`; 0 is none.
    pub guidance_rescale: f64,
    /// Pixels.
    pub height: usize,
    /// Pixels.
    pub width: usize,
    /// Of what a scheduler draws on the way.
    pub seed: u64,
}

/// Told after each step how many of how many are done.
pub type Progress<'a> = &'a dyn Fn(usize, usize);

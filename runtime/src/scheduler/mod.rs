//! diffusers' schedulers: which times a teacher is asked at, and what its answers do to the sample.
//!
//! Everything is built from a `scheduler_config.json` and reproduces diffusers 0.36.0 step by step. Random draws are the
//! caller's. Students walk along explicit lists instead (see [`crate::process::Rollout`]).

mod classes;
mod cogvideox_ddim;
mod cogvideox_dpm;
mod config;
mod ddim;
mod ddpm;
mod dpm_solver;
mod euler;
mod euler_ancestral;
mod flow_match;
mod json;
mod ladder;
mod lcm;
mod method;
mod noise;
mod pndm;
mod sigma;
mod spacing;
mod table;
mod tcd;
mod uni_pc;
mod values;

use serde_json::Value;

use crate::error::SchedulerError;
use crate::process::Level;
use crate::tensor::ops::blend;
use crate::{Error, Tensor};
use config::{Config, Ignored};
use method::{Given, Method, Run};

pub use classes::classes;
pub use noise::{noise_schedule, parameterisation, process};
pub use values::Stepped;

/// A scheduler and the state of its run.
#[derive(Debug)]
pub struct Scheduler {
    class: &'static str,
    method: Box<dyn Method>,
    run: Run,
    next: Option<usize>,
    ignored: Ignored,
}

impl Scheduler {
    /// The scheduler of a `scheduler_config.json`.
    ///
    /// # Errors
    /// [`Error::Scheduler`] for a class, a key or a value that is not supported, by name.
    pub fn from_config(config: &Value) -> Result<Self, Error> {
        let config = Config::new(config)?;
        let class = classes::find(&config)?;
        let ignored = config.ignored(class.keys);
        Ok(Self { class: class.name, method: (class.new)(&config)?, run: Run::default(), next: None, ignored })
    }

    /// The scheduler of a `scheduler_config.json`'s text, which may hold `-Infinity` as diffusers writes it.
    ///
    /// # Errors
    /// As [`Scheduler::from_config`]; also for text that is not JSON.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        Self::from_config(&json::parse(text)?)
    }

    /// The class's name.
    #[must_use]
    pub fn class(&self) -> &'static str {
        self.class
    }

    /// Keys of the configuration that belong to other classes, or have no value, and change nothing.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored.foreign
    }

    /// Keys of the configuration that no class of diffusers 0.36.0 has. It ignores them, and so does this crate; a user
    /// should be told.
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        &self.ignored.unknown
    }

    /// Begins a run of `steps` steps; `mu` is the shift of schedulers with `use_dynamic_shifting` and of no others.
    ///
    /// # Errors
    /// [`Error::Scheduler`] for a number of steps that the configuration does not allow, or a shift too many or too few.
    pub fn set_timesteps(&mut self, steps: usize, mu: Option<f64>) -> Result<(), Error> {
        self.run = self.method.begin(steps, mu)?;
        self.next = None;
        Ok(())
    }

    /// The times of the run, in order, as the network is told them: float32 values.
    #[must_use]
    pub fn timesteps(&self) -> &[f64] {
        &self.run.timesteps
    }

    /// The sigmas of the run and the one that it ends at, float32 values; `None` for classes without.
    #[must_use]
    pub fn sigmas(&self) -> Option<&[f64]> {
        (!self.run.sigmas.is_empty()).then_some(self.run.sigmas.as_slice())
    }

    /// The noise table by training time, `alpha²`; `None` for flow matching.
    #[must_use]
    pub fn alphas_cumprod(&self) -> Option<&[f64]> {
        self.method.alphas_cumprod()
    }

    /// What unit noise is multiplied by to begin a run.
    #[must_use]
    pub fn init_noise_sigma(&self) -> f64 {
        self.method.init_noise_sigma(&self.run)
    }

    /// `mu` for latents of so many tokens (after patching), for schedulers with `use_dynamic_shifting`.
    #[must_use]
    pub fn shift_for(&self, tokens: usize) -> Option<f64> {
        self.method.shift_for(tokens)
    }

    /// Whether the step at `time` needs noise.
    ///
    /// # Errors
    /// [`Error::Scheduler`] for a time that is not the run's next.
    pub fn draws_noise(&self, time: f64) -> Result<bool, Error> {
        Ok(self.method.draws(&self.run, self.index(time)?))
    }

    /// The network's input from the sample at `time`.
    ///
    /// # Errors
    /// [`Error::Scheduler`] for a time that is not the run's next.
    pub fn scale_model_input(&self, sample: &Tensor, time: f64) -> Result<Tensor, Error> {
        blend(&[(1.0 / self.method.input_divisor(&self.run, self.index(time)?), sample)])
    }

    /// The sample at the next time from the network's output at `time`; the first call may begin anywhere in the list.
    ///
    /// # Errors
    /// [`Error::Scheduler`] for a time that is not the run's next, absent noise, or a step that divides by zero;
    /// [`Error::Shape`] for tensors of different shapes.
    pub fn step(&mut self, output: &Tensor, time: f64, sample: &Tensor, noise: Option<&Tensor>) -> Result<Stepped, Error> {
        let index = self.index(time)?;
        for tensor in [Some(output), noise].into_iter().flatten() {
            values::same(sample.shape(), tensor)?;
        }
        let noise = if self.method.draws(&self.run, index) {
            Some(noise.ok_or(SchedulerError::NoNoise { class: self.class, time })?)
        } else {
            None
        };
        let stepped = self.method.step(&self.run, index, Given { output, sample, noise })?;
        self.next = Some(index + 1);
        Ok(stepped)
    }

    /// Clean samples and noise mixed as they are at `times`, one per row of the first axis. Schedulers with sigmas know the
    /// times of the run in hand only.
    ///
    /// # Errors
    /// [`Error::Scheduler`] for a time that is unknown; [`Error::Shape`] if the shapes or the number of times do not fit.
    pub fn add_noise(&self, original: &Tensor, noise: &Tensor, times: &[f64]) -> Result<Tensor, Error> {
        values::same(original.shape(), noise)?;
        if original.shape().first() != Some(&times.len()) {
            return Err(Error::Shape(format!(
                "{} times were given for samples of shape {:?}; one per row is needed",
                times.len(),
                original.shape()
            )));
        }
        let levels = times.iter().map(|&time| self.method.level(&self.run, time)).collect::<Result<Vec<_>, _>>()?;
        let row = original.row_len().max(1);
        let pairs = original.floats()?.iter().zip(noise.floats()?).enumerate();
        let mixed = pairs.map(|(index, (&x, &noise))| {
            let Level { alpha, sigma } = levels[index / row];
            (alpha * f64::from(x) + sigma * f64::from(noise)) as f32
        });
        Tensor::f32(original.shape(), mixed.collect())
    }

    /// The place of `time` in the run.
    fn index(&self, time: f64) -> Result<usize, Error> {
        match self.next {
            None if self.run.timesteps.is_empty() => Err(SchedulerError::NotBegun.into()),
            None => method::listed(&self.run, time),
            Some(next) if self.run.time(next) == Some(time) => Ok(next),
            Some(next) => Err(match self.run.time(next) {
                Some(next) => SchedulerError::NotNext { time, next }.into(),
                None => SchedulerError::Ended { time }.into(),
            }),
        }
    }
}

//! Health checks: a run that has gone wrong stops with a reason before it wastes a night.
//!
//! Values that are not finite stop it at once. The rest is judged by means over a window, so that one odd batch does
//! not: generated latents or pictures that drift out of any plausible range, and a discriminator that is always right,
//! which has nothing left to teach, or never better than chance, which teaches nothing but noise. Metrics that a phase does not
//! report are not watched.
//!
//! The pictures that a student draws when somebody looks, and before each checkpoint, show a collapse by its sign: one colour,
//! noise, saturation, videos that stand still or flash, pictures of one prompt that are all alike. A sign stops the run where
//! it was not there before, or is still there after the window, so that it is never saved in the place of what was good.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::error::TrainError;
use crate::recipe::{self, AtChance};
use crate::session::logs::{Metrics, MetricsLine};

/// The checks of one phase.
#[derive(Clone, Debug)]
pub struct Health {
    phase: String,
    limits: recipe::Health,
    windows: BTreeMap<&'static str, VecDeque<f64>>,
    /// Whether a discriminator at chance was spoken of.
    warned: bool,
    /// Signs that pictures of this run have been without.
    clear: BTreeSet<&'static str>,
    /// The most that pictures of one prompt have differed in this run.
    spread: f64,
}

/// What pictures show of a collapse.
struct Sign {
    metric: &'static str,
    /// Whether a value is one that collapsed students have.
    shows: fn(f64, &recipe::Health) -> bool,
    /// What the student does, and the key that sets the limit.
    words: (&'static str, &'static str),
}

const SIGNS: [Sign; 5] = [
    Sign {
        metric: "picture_contrast",
        shows: |value, limits| value < limits.contrast,
        words: ("the student draws pictures of one colour", "health.contrast"),
    },
    Sign {
        metric: "picture_noise",
        shows: |value, limits| value > limits.noise,
        words: ("the student draws noise", "health.noise"),
    },
    Sign {
        metric: "picture_saturation",
        shows: |value, limits| value > limits.saturation,
        words: ("the student's pictures are saturated", "health.saturation"),
    },
    Sign {
        metric: "video_motion",
        shows: |value, limits| value < limits.motion,
        words: ("the student's videos stand still", "health.motion"),
    },
    Sign {
        metric: "video_flicker",
        shows: |value, limits| value > limits.flicker,
        words: ("the student's videos flash", "health.flicker"),
    },
];

/// The metric of how often the discriminator is right.
pub const ACCURACY: &str = "discriminator_accuracy";

/// The metric of how much pictures of one prompt differ.
const SPREAD: &str = "spread";

impl Health {
    /// Checks of `phase` with the recipe's limits; `earlier` are the lines logged before, of which those of this phase
    /// fill the windows as if there had been no interruption.
    pub fn new(phase: &str, limits: &recipe::Health, earlier: &[MetricsLine]) -> Self {
        let mut health = Self {
            phase: phase.to_string(),
            limits: limits.clone(),
            windows: BTreeMap::new(),
            warned: false,
            clear: BTreeSet::new(),
            spread: 0.0,
        };
        for line in earlier {
            health.remember_pictures(|name| line.metrics.get(name).copied().flatten());
        }
        for line in earlier.iter().filter(|line| line.phase == phase) {
            health.remember(|name| line.metrics.get(name).copied().flatten());
        }
        health
    }

    /// Judges the numbers of iteration `iteration`, the phase's last where `is_last`, and returns what is to be said of them
    /// where the run goes on.
    ///
    /// # Errors
    /// [`TrainError::Health`].
    pub fn observe(&mut self, iteration: u64, is_last: bool, metrics: &Metrics) -> Result<Option<String>, TrainError> {
        if let Some((name, value)) = metrics.iter().find(|(_, value)| !value.is_finite()) {
            return Err(self.stop(iteration, format!("{name} is {value}; lower the learning rates")));
        }
        self.remember(|name| metrics.get(name).copied());
        for (name, range, key, signs) in self.checks() {
            let Some(mean) = self.mean(name) else { continue };
            if !(range[0]..=range[1]).contains(&mean) {
                let sign = signs[usize::from(mean > range[1])];
                let reason = format!(
                    "{sign}: {name} was {mean:.4} on average over {} iterations, outside {} to {} ({key})",
                    self.limits.window, range[0], range[1]
                );
                return Err(self.stop(iteration, reason));
            }
        }
        if let Some(reason) = self.collapse(iteration, metrics) {
            return Err(self.stop(iteration, reason));
        }
        self.remember_pictures(|name| metrics.get(name).copied());
        let limit = self.limits.discriminator_accuracy;
        if let Some(mean) = self.mean(ACCURACY).filter(|mean| *mean >= limit) {
            let reason = format!(
                "the discriminator was right in {mean:.4} of cases over {} iterations, {limit} or more \
                 (health.discriminator_accuracy), so the student learns nothing from it; lower lr_discriminator",
                self.limits.window
            );
            return Err(self.stop(iteration, reason));
        }
        let Some(reason) = self.chance(is_last).filter(|_| !self.warned) else { return Ok(None) };
        self.warned = true;
        match self.limits.at_chance {
            AtChance::Stop => Err(self.stop(iteration, reason)),
            AtChance::Warn => Ok(Some(format!("phase {} at iteration {iteration}: {reason}", self.phase))),
        }
    }

    /// What pictures show that the student has lost, where they were drawn.
    fn collapse(&self, iteration: u64, metrics: &Metrics) -> Option<String> {
        let is_over = iteration + 1 >= self.limits.window;
        let sign = SIGNS.iter().find_map(|sign| {
            let value = *metrics.get(sign.metric)?;
            let counts = (sign.shows)(value, &self.limits) && (is_over || self.clear.contains(sign.metric));
            counts.then(|| format!("{} ({} is {value:.4}, beyond {})", sign.words.0, sign.metric, sign.words.1))
        });
        let alike = || {
            let value = *metrics.get(SPREAD)?;
            (value < self.limits.spread * self.spread).then(|| {
                format!(
                    "the student draws the same picture whatever the noise ({SPREAD} is {value:.4}, less than {} of the {:.4} that \
                     it was, health.spread)",
                    self.limits.spread, self.spread
                )
            })
        };
        sign.or_else(alike).map(|what| format!("{what}; lower the learning rates"))
    }

    fn remember_pictures(&mut self, value: impl Fn(&str) -> Option<f64>) {
        for sign in &SIGNS {
            if value(sign.metric).is_some_and(|value| !(sign.shows)(value, &self.limits)) {
                self.clear.insert(sign.metric);
            }
        }
        self.spread = value(SPREAD).unwrap_or_default().max(self.spread);
    }

    /// What there is to say of a discriminator that stays at chance.
    fn chance(&self, is_last: bool) -> Option<String> {
        let values = self.windows.get(ACCURACY)?;
        let judged = is_last || values.len() as u64 == self.limits.window;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (judged && (mean - 0.5).abs() < self.limits.discriminator_chance).then(|| {
            format!(
                "the discriminator was right in {mean:.4} of cases over {} iterations, which is chance (less than {} from one half, \
                 health.discriminator_chance), so what it tells the student is noise; raise lr_discriminator, or in ADM dt_steps, \
                 or lower lr_generator",
                values.len(),
                self.limits.discriminator_chance
            )
        })
    }

    /// Judges one tensor before it is saved after iteration `iteration`.
    ///
    /// # Errors
    /// [`TrainError::Health`] where a value is not finite.
    pub fn weights(&self, iteration: u64, name: &str, values: &[f32]) -> Result<(), TrainError> {
        if values.iter().all(|value| value.is_finite()) {
            return Ok(());
        }
        Err(self.stop(iteration, format!("{name} holds values that are not finite, so it was not saved")))
    }

    /// Metrics with their ranges, keys, and what it means to be below and above.
    fn checks(&self) -> [(&'static str, [f64; 2], &'static str, [&'static str; 2]); 3] {
        let limits = &self.limits;
        let (drift, spread) = ("the student's latents drift", ["the student's latents are empty", "the student's latents grow"]);
        let light = ["the student's pictures turn black", "the student's pictures turn white"];
        [
            ("latent_mean", [-limits.latent_mean, limits.latent_mean], "health.latent_mean", [drift; 2]),
            ("latent_std", limits.latent_std, "health.latent_std", spread),
            ("brightness", limits.brightness, "health.brightness", light),
        ]
    }

    fn remember(&mut self, value: impl Fn(&str) -> Option<f64>) {
        let window = usize::try_from(self.limits.window).unwrap_or(usize::MAX);
        for name in ["latent_mean", "latent_std", "brightness", ACCURACY] {
            if let Some(value) = value(name) {
                let values = self.windows.entry(name).or_default();
                values.push_back(value);
                if values.len() > window {
                    values.pop_front();
                }
            }
        }
    }

    /// The mean over a full window.
    fn mean(&self, name: &str) -> Option<f64> {
        let values = self.windows.get(name)?;
        let full = values.len() as u64 == self.limits.window;
        full.then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    fn stop(&self, iteration: u64, reason: String) -> TrainError {
        TrainError::Health { phase: self.phase.clone(), iteration, reason }
    }
}

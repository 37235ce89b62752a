//! CogVideoXDPMScheduler: a stochastic second-order solver (SDE-DPM-Solver++) on CogVideoX' table. The x0 of the last step,
//! which diffusers' callers pass back as `old_pred_original_sample`, is kept here.

use super::cogvideox_ddim::Settings;
use super::config::Config;
use super::method::{Given, Method, Run, entry, table_level};
use super::values::{Stepped, each};
use crate::process::Level;
use crate::tensor::ops::blend;
use crate::{Error, Tensor};

pub(super) use super::cogvideox_ddim::KEYS;

#[derive(Debug)]
struct CogVideoXDpm {
    settings: Settings,
    /// x0 of the last step.
    old: Option<Tensor>,
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    Ok(Box::new(CogVideoXDpm { settings: Settings::new(config)?, old: None }))
}

/// Half the logarithm of the signal-to-noise ratio; infinite at both ends of the table.
fn lambda(bar: f64) -> f64 {
    (bar / (1.0 - bar)).sqrt().ln()
}

impl Method for CogVideoXDpm {
    fn begin(&mut self, steps: usize, mu: Option<f64>) -> Result<Run, Error> {
        self.old = None;
        self.settings.run(steps, mu)
    }

    fn step(&mut self, run: &Run, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let (bar, ahead) = self.settings.bars_at(run, index)?;
        let next = ahead.unwrap_or(self.settings.last);
        let original = self.settings.original(run, index, bar)?;
        let h = lambda(next) - lambda(bar);
        let of_sample = ((1.0 - next) / (1.0 - bar)).sqrt() * (-h).exp();
        let of_original = -(-2.0 * h).exp_m1() * next.sqrt();
        // The reference draws twice in second-order steps and uses the second draw; one is asked for here.
        let of_noise = (1.0 - next).sqrt() * (1.0 - (-2.0 * h).exp()).max(0.0).sqrt();
        let stepped = each(given.sample, given.output, None, |x, output, _| {
            let original = original.of(x, output);
            (original, original)
        })?;
        let mut weights = (1.0, 0.0);
        if let (Some(_), Some(_), Some(back)) = (&self.old, ahead, index.checked_sub(1).and_then(|back| run.time(back))) {
            let r = (lambda(bar) - lambda(entry(&self.settings.bars, back)?)) / h;
            weights = (1.0 + 0.5 / r, -0.5 / r);
        }
        let original = stepped.previous;
        let mut terms = vec![(of_sample, given.sample), (of_original * weights.0, &original)];
        terms.extend(self.old.as_ref().map(|old| (of_original * weights.1, old)));
        terms.extend(given.noise.map(|noise| (of_noise, noise)));
        let previous = blend(&terms)?;
        self.old = Some(original.clone());
        Ok(Stepped { previous, original: Some(original) })
    }

    fn level(&self, _run: &Run, time: f64) -> Result<Level, Error> {
        table_level(&self.settings.bars, time)
    }

    fn alphas_cumprod(&self) -> Option<&[f64]> {
        Some(&self.settings.bars)
    }

    fn draws(&self, run: &Run, index: usize) -> bool {
        !matches!(self.settings.bars_at(run, index), Ok((_, None)) if self.settings.last == 1.0)
    }
}

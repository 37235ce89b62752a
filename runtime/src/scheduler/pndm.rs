//! PNDMScheduler without its Runge-Kutta start (`skip_prk_steps`, as every released pipeline sets it): linear multistep
//! with up to four outputs, of which the second comes from asking twice at the second time (arXiv 2202.09778).

use super::config::Config;
use super::ddim::{earlier, final_bar};
use super::method::{Given, Method, Run, entry, no_shift, table_level};
use super::spacing::{self, Times};
use super::table::{self, Correction};
use super::values::{Stepped, each};
use crate::error::SchedulerError;
use crate::process::{Level, Parameterisation};
use crate::tensor::ops::blend;
use crate::{Error, Tensor};

pub(super) const KEYS: &[&[&str]] = &[table::KEYS, spacing::KEYS, &["prediction_type", "skip_prk_steps", "set_alpha_to_one"]];

#[derive(Debug)]
struct Pndm {
    prediction: Parameterisation,
    times: Times,
    bars: Vec<f64>,
    last: f64,
    /// The last outputs, newest at the end.
    outputs: Vec<Tensor>,
    /// The sample that the second call starts from again.
    start: Option<Tensor>,
    calls: usize,
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    if !config.flag("skip_prk_steps", false)? {
        return Err(config.refuse("skip_prk_steps", "but only true is supported"));
    }
    let bars = table::alphas_cumprod(config, Correction::None)?;
    Ok(Box::new(Pndm {
        prediction: table::prediction_without_sample(config)?,
        times: Times::new(config, "leading", bars.len())?,
        last: final_bar(config, &bars, false)?,
        bars,
        outputs: Vec::new(),
        start: None,
        calls: 0,
    }))
}

impl Pndm {
    /// The combination of outputs that a call steps with, and the sample that it steps from.
    fn combined(&mut self, given: Given<'_>) -> Result<(Tensor, Tensor), Error> {
        let Given { output, sample, .. } = given;
        if self.calls == 1 {
            let first = self.outputs.last().ok_or_else(out_of_order)?;
            let start = self.start.take().ok_or_else(out_of_order)?;
            return Ok((blend(&[(0.5, output), (0.5, first)])?, start));
        }
        if self.calls == 0 {
            self.start = Some(sample.clone());
        }
        if self.outputs.len() == 4 {
            self.outputs.remove(0);
        }
        self.outputs.push(output.clone());
        let weights: &[f64] = match self.outputs.len() {
            1 => &[1.0],
            2 => &[3.0 / 2.0, -1.0 / 2.0],
            3 => &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
            _ => &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
        };
        let terms: Vec<(f64, &Tensor)> = weights.iter().copied().zip(self.outputs.iter().rev()).collect();
        Ok((blend(&terms)?, sample.clone()))
    }
}

impl Method for Pndm {
    fn begin(&mut self, steps: usize, mu: Option<f64>) -> Result<Run, Error> {
        no_shift(mu)?;
        (self.outputs, self.start, self.calls) = (Vec::new(), None, 0);
        let mut timesteps = self.times.whole(steps)?;
        if let Some(&second) = timesteps.get(1) {
            timesteps.insert(1, second);
        }
        Ok(Run { steps, timesteps, sigmas: Vec::new() })
    }

    fn step(&mut self, run: &Run, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let time = run.time(index).unwrap_or_default();
        let ratio = (self.times.count / run.steps) as f64;
        // The second call repeats the first step, now with the mean of both outputs.
        let (from, to) = if self.calls == 1 { (time + ratio, time) } else { (time, time - ratio) };
        let (bar, next) = (entry(&self.bars, from)?, earlier(&self.bars, to, self.last)?);
        let (output, sample) = self.combined(given)?;
        self.calls += 1;
        let noise = self.prediction.noise(Level::of_alpha_squared(bar))?;
        let of_sample = (next / bar).sqrt();
        let of_noise = (next - bar) / (bar * (1.0 - next).sqrt() + (bar * (1.0 - bar) * next).sqrt());
        let mut stepped = each(&sample, &output, None, |x, output, _| (of_sample * x - of_noise * noise.apply(x, output), 0.0))?;
        stepped.original = None;
        Ok(stepped)
    }

    fn level(&self, _run: &Run, time: f64) -> Result<Level, Error> {
        table_level(&self.bars, time)
    }

    fn alphas_cumprod(&self) -> Option<&[f64]> {
        Some(&self.bars)
    }
}

fn out_of_order() -> Error {
    SchedulerError::OutOfOrder { class: "PNDMScheduler" }.into()
}

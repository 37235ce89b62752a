//! Random times of a process.

use dmdx_runtime::process::Grid;

use super::NoiseProcess;
use crate::session::Draws;

impl NoiseProcess {
    /// Uniform over all times but 0 noise: table indices, or (0, 1].
    pub fn any_times(&self, draws: &mut Draws, samples: usize) -> Vec<f64> {
        match self.coefficients().grid() {
            Grid::Whole(count) => whole(draws, samples, 0, count as i64),
            Grid::Continuous => draws.uniform(samples).into_iter().map(|u| 1.0 - f64::from(u)).collect(),
        }
    }

    /// Logit-normal times, one for every standard normal number: the shares `1 / (1 + exp(-(mean + deviation n)))` of the
    /// whole from its clean end on, on the straight path rounded to f32, on a table whole times that uniform shares make
    /// equally likely. None is without signal, of which nothing could be learnt.
    pub fn logit_normal_times(&self, normal: &[f32], mean: f64, deviation: f64) -> Vec<f64> {
        let process = self.coefficients();
        let time = |n: &f32| {
            let share = 1.0 / (1.0 + (-(mean + deviation * f64::from(*n))).exp());
            let time = match process.grid() {
                Grid::Whole(count) => (share * count as f64).floor(),
                Grid::Continuous => f64::from(share as f32),
            };
            time.min(process.last_time_with_signal())
        };
        normal.iter().map(time).collect()
    }

    /// Uniform between two times, both included on a table.
    pub fn times_between(&self, draws: &mut Draws, samples: usize, low: f64, high: f64) -> Vec<f64> {
        match self.coefficients().grid() {
            Grid::Whole(_) => whole(draws, samples, low as i64, high as i64 + 1),
            Grid::Continuous => draws.uniform(samples).into_iter().map(|u| low + (high - low) * f64::from(u)).collect(),
        }
    }
}

fn whole(draws: &mut Draws, samples: usize, low: i64, high: i64) -> Vec<f64> {
    draws.integers(samples, low, high).into_iter().map(|time| time as f64).collect()
}

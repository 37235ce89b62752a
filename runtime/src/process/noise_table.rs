//! Noise tables: the running product of `1 - beta`, from the betas that configurations state.

use super::spacing::torch_linspace;
use super::{ProcessError, Rounding};

/// Most entries of a table: a file may be a stranger's.
pub(crate) const MOST_ENTRIES: usize = 100_000;

/// How the betas run.
#[derive(Debug, Clone, PartialEq)]
pub enum Betas {
    /// Evenly (`linear`).
    Linear {
        /// The first beta.
        start: f64,
        /// The last beta.
        end: f64,
        /// How many there are.
        count: usize,
    },
    /// Evenly in the square root (`scaled_linear`).
    ScaledLinear {
        /// The first beta.
        start: f64,
        /// The last beta.
        end: f64,
        /// How many there are.
        count: usize,
    },
    /// So that the products are a squared cosine (`squaredcos_cap_v2`), each at most 0.999.
    SquaredCosine {
        /// How many there are.
        count: usize,
    },
    /// As listed (`trained_betas`).
    Trained(Vec<f64>),
}

/// What a noise table is made of, in the words of the reference library's configurations.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseTable {
    /// The betas.
    pub betas: Betas,
    /// What CogVideoX divides the signal-to-noise ratio by.
    pub snr_shift_scale: Option<f64>,
    /// Moves and stretches the table so that its last entry is zero (arXiv 2305.08891, algorithm 1).
    pub rescale_betas_zero_snr: bool,
    /// What takes the place of the last entry, where it would be zero.
    pub last_alphas_cumprod: Option<f64>,
}

impl NoiseTable {
    /// The plain table of some betas.
    #[must_use]
    pub fn of(betas: Betas) -> Self {
        Self { betas, snr_shift_scale: None, rescale_betas_zero_snr: false, last_alphas_cumprod: None }
    }

    /// The same noise levels without a shift of the signal-to-noise ratio: of the betas that they come to.
    ///
    /// # Errors
    /// [`ProcessError::Table`] for values that make no table.
    pub(crate) fn unshifted(&self) -> Result<Self, ProcessError> {
        if self.snr_shift_scale.is_none() {
            return Ok(self.clone());
        }
        let shifted = Self { rescale_betas_zero_snr: false, last_alphas_cumprod: None, ..self.clone() };
        let bars = shifted.alphas_cumprod(Rounding::Double)?;
        Ok(Self { betas: Betas::Trained(betas_of(&bars, Rounding::Double)), snr_shift_scale: None, ..self.clone() })
    }

    /// How many entries there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.betas {
            Betas::Linear { count, .. } | Betas::ScaledLinear { count, .. } | Betas::SquaredCosine { count } => *count,
            Betas::Trained(betas) => betas.len(),
        }
    }

    /// Refuses values that make no table.
    ///
    /// # Errors
    /// [`ProcessError::Table`] with the first that does not.
    pub(crate) fn check(&self) -> Result<(), ProcessError> {
        let refuse = |key, problem: String| Err(ProcessError::Table { key, problem });
        if !(1..=MOST_ENTRIES).contains(&self.count()) {
            return refuse("num_train_timesteps", format!("but an integer from 1 to {MOST_ENTRIES} is needed"));
        }
        match &self.betas {
            // Written so that a NaN fails too.
            &Betas::Linear { start, end, .. } | &Betas::ScaledLinear { start, end, .. }
                if !(start > 0.0 && start <= end && end < 1.0) =>
            {
                return refuse("beta_start", format!("but 0 < beta_start <= beta_end < 1 is needed, and beta_end is {end:?}"));
            }
            Betas::Trained(betas) if !betas.iter().all(|beta| (0.0..1.0).contains(beta)) => {
                return refuse("trained_betas", format!("but {} numbers from 0 to 1 are needed", betas.len()));
            }
            Betas::Linear { .. } | Betas::ScaledLinear { .. } | Betas::SquaredCosine { .. } | Betas::Trained(_) => {}
        }
        if self.snr_shift_scale.is_some_and(|shift| !(shift > 0.0 && shift.is_finite())) {
            return refuse("snr_shift_scale", "but a positive number is needed".into());
        }
        if self.last_alphas_cumprod.is_some_and(|last| !(0.0..=1.0).contains(&last)) {
            return refuse("last_alphas_cumprod", "but a number from 0 to 1 is needed".into());
        }
        Ok(())
    }

    /// `alpha²` by time: the running product of `1 - beta`, corrected. The last entry may be zero.
    ///
    /// # Errors
    /// As [`NoiseTable::check`]; also for betas that are too small to be rescaled.
    pub(crate) fn alphas_cumprod(&self, rounding: Rounding) -> Result<Vec<f64>, ProcessError> {
        self.check()?;
        let keep = |value| rounding.keep(value);
        let mut bars = products(&self.betas.values(rounding), rounding);
        if let Some(shift) = self.snr_shift_scale {
            bars.iter_mut().for_each(|bar| *bar = keep(*bar / keep(keep((1.0 - shift) * *bar) + shift)));
        }
        if self.rescale_betas_zero_snr {
            let ends = rescaled(&bars, rounding);
            // CogVideoX rescales the products, all others the betas, whose products are taken anew.
            bars = if self.snr_shift_scale.is_some() { ends } else { products(&betas_of(&ends, rounding), rounding) };
        }
        if let (Some(lifted), Some(last)) = (self.last_alphas_cumprod, bars.last_mut()) {
            *last = lifted;
        }
        if bars.iter().all(|bar| bar.is_finite()) {
            return Ok(bars);
        }
        let problem = "but the betas are too small for a table that ends at zero".into();
        Err(ProcessError::Table { key: "rescale_betas_zero_snr", problem })
    }
}

impl Betas {
    fn values(&self, rounding: Rounding) -> Vec<f64> {
        match *self {
            Self::Linear { start, end, count } => torch_linspace(start, end, count, rounding),
            Self::ScaledLinear { start, end, count } => {
                let roots = torch_linspace(start.sqrt(), end.sqrt(), count, rounding);
                roots.into_iter().map(|root| rounding.keep(root * root)).collect()
            }
            Self::SquaredCosine { count } => {
                let bar = |t: f64| ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
                let time = |i: usize| i as f64 / count as f64;
                (0..count).map(|i| rounding.keep((1.0 - bar(time(i + 1)) / bar(time(i))).min(0.999))).collect()
            }
            Self::Trained(ref betas) => betas.iter().map(|&beta| rounding.keep(beta)).collect(),
        }
    }
}

/// torch's `cumprod` of 1 - beta: entries are rounded, the running product is not.
fn products(betas: &[f64], rounding: Rounding) -> Vec<f64> {
    let mut product = 1.0;
    let next = |beta: &f64| {
        product *= rounding.keep(1.0 - beta);
        rounding.keep(product)
    };
    betas.iter().map(next).collect()
}

/// The betas of which these are the products.
fn betas_of(bars: &[f64], rounding: Rounding) -> Vec<f64> {
    let ratios = bars.windows(2).map(|pair| rounding.keep(pair[1] / pair[0]));
    bars.first().copied().into_iter().chain(ratios).map(|alpha| rounding.keep(1.0 - alpha)).collect()
}

/// A table moved and stretched in the square root so that its last entry is zero and its first stays.
fn rescaled(bars: &[f64], rounding: Rounding) -> Vec<f64> {
    let keep = |value| rounding.keep(value);
    let roots: Vec<f64> = bars.iter().map(|bar| keep(bar.sqrt())).collect();
    let (first, last) = (roots.first().copied().unwrap_or(1.0), roots.last().copied().unwrap_or(0.0));
    let stretch = keep(first / keep(first - last));
    let square = |root: f64| keep(root * root);
    roots.iter().map(|root| square(keep(keep(root - last) * stretch))).collect()
}

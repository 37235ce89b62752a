//! One mixture of signal and noise.

/// The weights of signal and noise at one time: `x = alpha x0 + sigma eps`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Of the clean sample.
    pub alpha: f64,
    /// Of the noise.
    pub sigma: f64,
}

impl Level {
    /// The end of every path: all signal.
    pub const CLEAN: Self = Self { alpha: 1.0, sigma: 0.0 };

    /// The level of a table's entry, `alpha²`.
    #[must_use]
    pub fn of_alpha_squared(squared: f64) -> Self {
        Self { alpha: squared.sqrt(), sigma: (1.0 - squared).sqrt() }
    }

    /// The level at which `sigma` is the ratio of noise to signal.
    #[must_use]
    pub fn of_ratio(sigma: f64) -> Self {
        let alpha = 1.0 / sigma.hypot(1.0);
        Self { alpha, sigma: sigma * alpha }
    }
}

//! SD3's shift of flow-matching times towards noise.

/// `shift s / (1 + (shift - 1) s)`: 0 and 1 stay, a shift above 1 moves everything between towards 1.
#[must_use]
pub fn shifted(shift: f64, sigma: f64) -> f64 {
    shift * sigma / (1.0 + (shift - 1.0) * sigma)
}

//! How results of arithmetic are kept.

/// The reference library computes some tables in float32, and where nearly equal numbers are subtracted the roundings show in
/// every later digit: so they are part of what a network was trained with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// In f64.
    Double,
    /// Every result is rounded to float32.
    Single,
}

impl Rounding {
    /// A result as it is kept.
    pub(crate) fn keep(self, value: f64) -> f64 {
        match self {
            Self::Double => value,
            Self::Single => single(value),
        }
    }
}

/// Rounds to float32.
pub(crate) fn single(value: f64) -> f64 {
    f64::from(value as f32)
}

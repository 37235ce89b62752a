//! Taking results off the tape.

use crate::discriminator::Features;

/// Every tap off the tape.
pub(super) fn detached(features: Features) -> Features {
    features.into_iter().map(|(tap, value)| (tap, value.detached())).collect()
}

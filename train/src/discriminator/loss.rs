//! The losses of adversarial training over several heads: hinges (distillation.md 3.3, item 6, and register A7), and those that
//! do not saturate (distillation.md 3.7.2).

use super::feature::Features;
use crate::error::TrainError;
use crate::module::Value;
use crate::recipe::HeadReduce;

/// `-D(fake)`: minus each head's mean logit, reduced over the heads. Not clamped.
///
/// # Errors
/// When there are no heads.
pub fn generator_loss(fake: &Features, reduce: HeadReduce) -> Result<Value, TrainError> {
    reduced(fake.values().map(|logits| logits.mean().scale(-1.0)), fake.len(), reduce)
}

/// `max(0, 1 + D(fake)) + max(0, 1 - D(real))`: the hinge per logit, its mean per head, reduced over the heads.
///
/// # Errors
/// When there are no heads, or the two differ in theirs.
pub fn hinge_loss(fake: &Features, real: &Features, reduce: HeadReduce) -> Result<Value, TrainError> {
    judged(fake, real, reduce, |logits| logits.shift(1.0).relu())
}

/// `softplus(-D(fake))`: per logit, its mean per head, reduced over the heads.
///
/// # Errors
/// When there are no heads.
pub fn unsaturated_generator_loss(fake: &Features, reduce: HeadReduce) -> Result<Value, TrainError> {
    reduced(fake.values().map(|logits| logits.scale(-1.0).softplus().mean()), fake.len(), reduce)
}

/// `softplus(D(fake)) + softplus(-D(real))`: per logit, its mean per head, reduced over the heads.
///
/// # Errors
/// As [`hinge_loss`].
pub fn unsaturated_loss(fake: &Features, real: &Features, reduce: HeadReduce) -> Result<Value, TrainError> {
    judged(fake, real, reduce, Value::softplus)
}

/// `penalty(D(fake)) + penalty(-D(real))`.
fn judged(fake: &Features, real: &Features, reduce: HeadReduce, penalty: impl Fn(&Value) -> Value) -> Result<Value, TrainError> {
    let mut losses = Vec::new();
    for (tap, fake) in fake {
        let real = real.get(tap).ok_or_else(|| TrainError::NoLogits { tap: tap.clone() })?;
        losses.push(penalty(fake).mean().plus(&penalty(&real.scale(-1.0)).mean()));
    }
    reduced(losses.into_iter(), fake.len(), reduce)
}

/// The share of logits on the right side of zero.
///
/// # Errors
/// When the device does not deliver them.
pub fn accuracy(fake: &Features, real: &Features) -> Result<f64, TrainError> {
    let (mut right, mut all) = (0usize, 0usize);
    for (features, sign) in [(fake, -1.0), (real, 1.0)] {
        for logits in features.values() {
            let logits = logits.to_f32()?;
            right += logits.iter().filter(|logit| **logit * sign > 0.0).count();
            all += logits.len();
        }
    }
    Ok(right as f64 / all.max(1) as f64)
}

fn reduced(losses: impl Iterator<Item = Value>, heads: usize, reduce: HeadReduce) -> Result<Value, TrainError> {
    let sum = losses.reduce(|sum, loss| sum.plus(&loss));
    let sum = sum.ok_or(TrainError::NoHeads)?;
    Ok(match reduce {
        HeadReduce::Mean => sum.scale(1.0 / heads as f64),
        HeadReduce::Sum => sum,
    })
}

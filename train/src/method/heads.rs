//! The update of a latent discriminator's heads, which methods share whose samples it judges.

use super::tape::detached;
use crate::discriminator::{Features, LatentDiscriminator, hinge_loss};
use crate::error::TrainError;
use crate::module::{ParameterGradients, Value, parameter_gradients};
use crate::recipe::HeadReduce;
use crate::trace::Results;

/// What the heads' update computed; everything but the gradients is off the tape.
pub struct HeadsStep {
    /// Backbone features of the real samples.
    pub features_real: Features,
    /// Logits on the fakes.
    pub logits_fake: Features,
    /// Logits on the real samples.
    pub logits_real: Features,
    /// L_D.
    pub loss: Value,
    /// Of the heads.
    pub gradients: ParameterGradients,
}

/// Records the heads' update of a repeated iteration, makes it, and then six more on the same batch, whose losses show whether
/// later steps correct the second moment.
///
/// # Errors
/// As [`heads_step`]; those of the trace.
pub(super) fn record(
    results: &mut Results,
    discriminator: &mut LatentDiscriminator,
    judged: HeadsStep,
    fake: &Features,
    (reduce, rate): (HeadReduce, f64),
) -> Result<(), TrainError> {
    let mut curve = vec![judged.loss.scalar()?];
    results.gradients("heads", &[&judged.gradients])?;
    discriminator.heads.trained.update(judged.gradients);
    results.updated("heads", &[&discriminator.heads.trained], rate)?;
    for _ in 0..6 {
        let next = heads_step(discriminator, fake, &judged.features_real, reduce)?;
        curve.push(next.loss.scalar()?);
        discriminator.heads.trained.update(next.gradients);
    }
    results.numbers("check.heads.loss_curve", curve);
    Ok(())
}

/// The heads' loss and gradients on given features: one update of the heads, repeatable on the same batch.
///
/// # Errors
/// When the features do not fit the heads.
pub fn heads_step(
    discriminator: &LatentDiscriminator,
    fake: &Features,
    real: &Features,
    reduce: HeadReduce,
) -> Result<HeadsStep, TrainError> {
    // Fakes and reals pass apart: where their hinges cancel, the gradients do so exactly.
    let (logits_fake, logits_real) = (discriminator.heads.logits(fake)?, discriminator.heads.logits(real)?);
    let loss = hinge_loss(&logits_fake, &logits_real, reduce)?;
    let value = loss.detached();
    let (logits_fake, logits_real) = (detached(logits_fake), detached(logits_real));
    let gradients = parameter_gradients(loss, &discriminator.heads.trained.module);
    Ok(HeadsStep { features_real: real.clone(), logits_fake, logits_real, loss: value, gradients })
}

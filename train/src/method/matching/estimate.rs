//! Where the guided teacher thinks that the student's samples belong: equations 4 to 6 of DMDX, after Yin et al.,
//! arXiv 2311.18828.

use super::{GeneratorDraws, Scored};
use crate::diffusion::{ConditionPair, Denoiser, Guided, Prediction};
use crate::error::TrainError;
use crate::module::Value;

/// The student's samples, and what fake score and teacher say of them. Only `predicted` is on a tape, the student's.
pub struct Estimated {
    /// The student's samples on the way to the trained call.
    pub walked: Vec<Value>,
    /// The trained call.
    pub predicted: Prediction,
    /// x̂₀, off the tape.
    pub x0_hat: Value,
    /// x_t.
    pub x_t: Value,
    /// f's raw output at x_t.
    pub o_fake: Value,
    /// F's raw outputs at x_t.
    pub o_real: Guided,
    /// The direction in which x̂₀ should not go.
    pub direction: Direction,
}

/// Both estimates of the clean sample, and what they make of it.
pub struct Direction {
    /// μ_fake.
    pub fake: Value,
    /// μ_real, guided.
    pub real: Value,
    /// The mean over a sample's elements of |x̂₀ - μ_real|.
    pub normaliser: Vec<f64>,
    /// (μ_fake - μ_real) / normaliser.
    pub gradient: Value,
    /// The mean of its squares.
    pub square: f64,
}

impl Direction {
    /// L_DM = ½ mean (x̂₀ - sg[x̂₀ - gradient])².
    pub fn loss(&self) -> f64 {
        0.5 * self.square
    }

    /// dL_DM/dx̂₀: the gradient over the number of elements.
    pub fn derivative(&self) -> Value {
        self.gradient.scale(1.0 / self.gradient.elements() as f64)
    }
}

/// Draws with the student and has both scores estimate the clean sample. Nothing is differentiated through them.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn estimate(roles: &Scored<'_>, conditions: &ConditionPair, draws: &GeneratorDraws) -> Result<Estimated, TrainError> {
    let (q, t) = (&roles.teacher.process, &draws.times);
    let weights = draws.student_weights.as_deref();

    // From ẑ to the trained call without gradient, and x̂₀ from there with gradient.
    let walker = roles.student.with_module(roles.generator.frozen());
    let walked = walker.walk(&draws.z, draws.call, conditions, weights, &draws.fresh)?;
    let student = roles.student.with_module(roles.generator.clone());
    let predicted = student.predict(walked.last().unwrap_or(&draws.z), draws.call, conditions, weights)?;
    drop(student);

    // x_t ~ q(x_t | x̂₀), and what both scores say of it.
    let x0_hat = predicted.x0.detached();
    let x_t = q.noised(&x0_hat, t, &draws.noise)?;
    let fake_score = roles.teacher.with_module(roles.fake_score.frozen());
    let o_fake = fake_score.predict(&x_t, t, &conditions.conditional)?;
    let o_real = roles.teacher.guided(&x_t, t, conditions, &draws.weights)?;
    let direction = direction(roles.teacher, &x0_hat, &x_t, t, [&o_fake, &o_real.guided])?;
    Ok(Estimated { walked, predicted, x0_hat, x_t, o_fake, o_real, direction })
}

/// The estimates of the clean sample from the outputs of fake score and guided teacher, and the direction between them. In
/// f64 (register B2): the outputs nearly agree, and near the noisy end their difference is divided by a small alpha. On the
/// host, because not every device has f64.
fn direction(teacher: &Denoiser, x0: &Value, x_t: &Value, times: &[f64], outputs: [&Value; 2]) -> Result<Direction, TrainError> {
    let (shape, device) = (x0.shape(), x0.device());
    let [x0, x_t] = [x0.to_f32()?, x_t.to_f32()?];
    let [o_fake, o_real] = [outputs[0].to_f32()?, outputs[1].to_f32()?];
    let size = x0.len() / times.len().max(1);
    let process = teacher.process.coefficients();
    let (mut fake, mut real, mut gradient) =
        (Vec::with_capacity(x0.len()), Vec::with_capacity(x0.len()), Vec::with_capacity(x0.len()));
    let (mut normaliser, mut square) = (Vec::with_capacity(times.len()), 0.0);
    for (sample, &time) in times.iter().enumerate() {
        let map = process.original(time)?;
        let range = sample * size..(sample + 1) * size;
        let clean = |output: &[f32]| -> Vec<f64> {
            let pairs = x_t[range.clone()].iter().zip(&output[range.clone()]);
            pairs.map(|(&x, &o)| map.of_sample * f64::from(x) + map.of_output * f64::from(o)).collect()
        };
        let (of_fake, of_real) = (clean(&o_fake), clean(&o_real));
        let distances = x0[range.clone()].iter().zip(&of_real).map(|(&x, &mu)| (f64::from(x) - mu).abs());
        let distance = distances.sum::<f64>() / size.max(1) as f64;
        for (mu_fake, mu_real) in of_fake.iter().zip(&of_real) {
            // As torch.nan_to_num: a sample that already is where the teacher wants it has no direction.
            let towards = (mu_fake - mu_real) / distance;
            let towards = if towards.is_nan() { 0.0 } else { towards.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) };
            gradient.push(towards as f32);
            square += f64::from(towards as f32).powi(2);
        }
        fake.extend(of_fake.into_iter().map(|value| value as f32));
        real.extend(of_real.into_iter().map(|value| value as f32));
        normaliser.push(distance);
    }
    Ok(Direction {
        fake: Value::float(fake, &shape, &device)?,
        real: Value::float(real, &shape, &device)?,
        gradient: Value::float(gradient, &shape, &device)?,
        square: square / x0.len().max(1) as f64,
        normaliser,
    })
}

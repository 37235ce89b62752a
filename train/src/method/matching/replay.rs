//! What recorded iterations of the matching methods share.

use burn::tensor::Device;
use dmdx_runtime::process::{Rollout, StepRule};

use super::{FakeDraws, GeneratorDraws, Scored, fake_step};
use crate::diffusion::{ConditionPair, Generator};
use crate::error::{TraceDefect, TrainError};
use crate::module::{GraphModule, Trained};
use crate::trace::{Results, Teacher, Trace};

/// The student's walk, in the teacher's parameterisation or as a velocity on the line.
pub(in crate::method) fn student(trace: &Trace, teacher: &Teacher, rule: StepRule) -> Result<Generator, TrainError> {
    let process = teacher.denoiser.process.coefficients();
    let steps = trace.numbers("steps")?;
    // The trace's steps are times of the process.
    let times: Vec<f64> = steps.iter().map(|&time| process.network_time(time)).collect();
    let process = match trace.option("student").as_str() {
        None | Some("teacher") => process.clone(),
        Some("line_velocity") => process.of_line_student(times.first().copied().unwrap_or_default()),
        _ => return Err(trace.defect(TraceDefect::Student)),
    };
    Ok(Generator::new(&teacher.denoiser, &Rollout::new(process, &times, rule)?))
}

/// A guided student's weights, in f32 as the trace draws them.
fn student_weights(trace: &Trace, key: &str) -> Result<Option<Vec<f64>>, TrainError> {
    let offset = trace.option("student_cfg_offset").as_f64();
    offset.map(|offset| Ok(trace.values(key)?.iter().map(|w| f64::from((w - offset) as f32)).collect())).transpose()
}

/// Repeats the fake score's update, and makes it.
pub(in crate::method) fn fake_score(
    trace: &Trace,
    (teacher, student, generator): (&Teacher, &Generator, &GraphModule),
    fake_score: &mut Trained,
    conditions: &ConditionPair,
    results: &mut Results,
    device: &Device,
) -> Result<(), TrainError> {
    let draws = FakeDraws {
        z: trace.value("draws.f.z", device)?,
        call: None,
        fresh: Vec::new(),
        student_weights: student_weights(trace, "draws.f.w")?,
        times: trace.values("draws.f.t")?.to_vec(),
        noise: trace.value("draws.f.noise", device)?,
    };
    let roles = Scored { generator, student, fake_score: &fake_score.module, teacher: &teacher.denoiser };
    let trained = fake_step(&roles, conditions, &draws)?;
    let values = [("f.x0", &trained.x0), ("f.x_t", &trained.x_t), ("f.pred", &trained.prediction), ("f.loss", &trained.loss)];
    values.into_iter().try_for_each(|(key, value)| results.value(key, value))?;
    if let Some(weights) = draws.student_weights {
        results.numbers("value.f.w_student", weights);
    }
    results.gradients("fake_score", &[&trained.gradients])?;
    fake_score.update(trained.gradients);
    results.updated("fake_score", &[fake_score], trace.number("lr_fake")?)
}

/// The draws of the generator's update.
pub(in crate::method) fn generator_draws(
    trace: &Trace,
    student: &Generator,
    device: &Device,
) -> Result<GeneratorDraws, TrainError> {
    // n counts from the clean end, from 1.
    let n = trace.number("n")? as usize;
    let call = student.len().checked_sub(n);
    Ok(GeneratorDraws {
        z: trace.value("draws.g.z", device)?,
        fresh: Vec::new(),
        call: call.ok_or_else(|| trace.defect(TraceDefect::Step(n)))?,
        times: trace.values("draws.g.t")?.to_vec(),
        noise: trace.value("draws.g.noise", device)?,
        weights: trace.values("draws.g.w")?.to_vec(),
        student_weights: student_weights(trace, "draws.g.w")?,
    })
}

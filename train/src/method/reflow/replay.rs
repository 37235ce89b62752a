//! A recorded iteration of reflow.

use std::path::Path;

use burn::tensor::Device;

use super::step::{self, Roles};
use crate::error::TrainError;
use crate::method::OdePairs;
use crate::trace::{Results, Teacher, Trace};

pub(super) fn run(trace: &Trace, zoo: &Path, device: &Device) -> Result<Results, TrainError> {
    let teacher = Teacher::open(trace, zoo, device)?;
    let mut generator = teacher.role(1.0, trace.optimizer("lr_gen")?)?;
    let batch = OdePairs {
        x_0: trace.value("in.x_0", device)?,
        x_t: trace.value("in.x_T", device)?,
        condition: teacher.conditions(trace, device)?.conditional,
    };
    let s: Vec<f32> = trace.values("draws.g.s")?.iter().map(|&s| s as f32).collect();
    let coefficients = teacher.denoiser.process.coefficients();
    let latest = coefficients.network_time(coefficients.last_time());
    let line = teacher.denoiser.with_process(coefficients.of_line_student(latest).into());

    let made = step::step(&Roles { generator: &generator.module, line: &line }, &batch, &s)?;
    let mut results = Results::default();
    results.numbers("value.g.s", s.iter().map(|&s| f64::from(s)).collect());
    results.numbers("value.g.net_t", made.network_times.iter().map(|&time| f64::from(time)).collect());
    for (key, value) in
        [("g.x_s", &made.x_s), ("g.v", &made.v), ("g.x0_hat", &made.x0_hat), ("g.loss", &made.loss), ("g.grad_v", &made.grad_v)]
    {
        results.value(key, value)?;
    }
    results.gradients("generator", &[&made.gradients])?;
    let mut curve = vec![made.loss.scalar()?];
    generator.update(made.gradients);
    results.updated("generator", &[&generator], trace.number("lr_gen")?)?;
    // The next losses on the same batch: whether later steps correct the second moment.
    for _ in 0..6 {
        let next = step::step(&Roles { generator: &generator.module, line: &line }, &batch, &s)?;
        curve.push(next.loss.scalar()?);
        generator.update(next.gradients);
    }
    results.numbers("check.generator.loss_curve", curve);
    Ok(results)
}

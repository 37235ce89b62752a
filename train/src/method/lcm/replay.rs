//! A recorded iteration of LCM.

use std::path::Path;

use burn::tensor::Device;
use dmdx_runtime::process::{Boundary, Consistency};

use super::step::{self, Draws, Options, Roles};
use crate::error::{TraceDefect, TrainError};
use crate::module::Averaged;
use crate::trace::{Results, Teacher, Trace};

pub(super) fn run(trace: &Trace, zoo: &Path, device: &Device) -> Result<Results, TrainError> {
    let teacher = Teacher::open(trace, zoo, device)?;
    let mut generator = teacher.role(1.0, trace.optimizer("lr_gen")?)?;
    let mut target = Averaged::new(&teacher.role(3.0, trace.optimizer("lr_gen")?)?.module);
    let conditions = teacher.conditions(trace, device)?;
    let (timestep_scaling, sigma_data) = (trace.number("timestep_scaling")?, trace.number("sigma_data")?);
    let options = Options { boundary: Boundary { timestep_scaling, sigma_data }, huber: trace.number("huber_c")? };
    let solver = Consistency { solver_steps: trace.number("ddim_steps")? as usize, timestep_scaling };
    let intervals = solver.intervals(teacher.denoiser.process.coefficients()).map_err(dmdx_runtime::Error::from)?;
    // The recorded index counts from the clean end, from 0.
    let places = trace.values("draws.g.index")?.iter().map(|&index| {
        let interval = intervals.get(index as usize).copied();
        interval.ok_or_else(|| trace.defect(TraceDefect::Step(index as usize)))
    });
    let (start, end) = places.collect::<Result<Vec<_>, _>>()?.into_iter().map(|[start, end]| (start, end)).unzip();
    let draws = Draws { start, end, noise: trace.value("draws.g.noise", device)?, weights: trace.values("draws.g.w")?.to_vec() };
    let mut results = Results::default();

    let denoiser = &teacher.denoiser;
    let roles = Roles { generator: &generator.module, target: &target.module, student: denoiser, teacher: denoiser };
    let goal = step::goal(&roles, &trace.value("in.data_latents", device)?, &conditions, &draws, &options)?;
    let made = step::student_step(&roles, &goal, &conditions.conditional, &draws, &options)?;
    for (times, key) in [(&draws.start, "student"), (&draws.end, "target")] {
        let (skip, out) = times.iter().map(|&time| options.boundary.scalings(time)).unzip();
        results.numbers(&format!("value.g.c_skip_{key}"), skip);
        results.numbers(&format!("value.g.c_out_{key}"), out);
    }
    results.numbers("value.g.t_start", draws.start.clone());
    results.numbers("value.g.t_end", draws.end.clone());
    for (key, value) in [
        ("g.x_t", &goal.x_t),
        ("g.o_real_uncond", &goal.o_real.unconditional),
        ("g.o_real_cond", &goal.o_real.conditional),
        ("g.x_prev", &goal.x_prev),
        ("g.o_target", &goal.o_target),
        ("g.target", &goal.target),
        ("g.o_student", &made.o_student),
        ("g.pred", &made.prediction),
        ("g.loss", &made.loss),
        ("g.grad_pred", &made.grad_prediction),
    ] {
        results.value(key, value)?;
    }
    results.gradients("generator", &[&made.gradients])?;
    let mut curve = vec![made.loss.scalar()?];
    generator.update(made.gradients);
    results.updated("generator", &[&generator], trace.number("lr_gen")?)?;
    target.follow(&generator.module, trace.number("ema_decay")?);
    results.moved("target", &target.module, trace.number("lr_gen")?)?;
    // The student's next losses towards the same goal: whether later steps correct the second moment.
    for _ in 0..6 {
        let roles = Roles { generator: &generator.module, target: &target.module, student: denoiser, teacher: denoiser };
        let next = step::student_step(&roles, &goal, &conditions.conditional, &draws, &options)?;
        curve.push(next.loss.scalar()?);
        generator.update(next.gradients);
    }
    results.numbers("check.generator.loss_curve", curve);
    Ok(results)
}

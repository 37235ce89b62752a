//! A recorded iteration of DMD.

use std::path::Path;

use burn::tensor::Device;
use dmdx_runtime::process::StepRule;

use super::step;
use crate::error::TrainError;
use crate::method::matching::{Scored, replay};
use crate::trace::{Results, Teacher, Trace};

pub(super) fn run(trace: &Trace, zoo: &Path, device: &Device) -> Result<Results, TrainError> {
    let teacher = Teacher::open(trace, zoo, device)?;
    let student = replay::student(trace, &teacher, StepRule::Ode)?;
    let mut generator = teacher.role(1.0, trace.optimizer("lr_gen")?)?;
    let mut fake_score = teacher.role(2.0, trace.optimizer("lr_fake")?)?;
    let conditions = teacher.conditions(trace, device)?;
    let mut results = Results::default();
    let others = (&teacher, &student, &generator.module);
    replay::fake_score(trace, others, &mut fake_score, &conditions, &mut results, device)?;

    let draws = replay::generator_draws(trace, &student, device)?;
    let roles =
        Scored { generator: &generator.module, student: &student, fake_score: &fake_score.module, teacher: &teacher.denoiser };
    let made = step::generator_step(&roles, &conditions, &draws)?;
    let told = teacher.denoiser.process.network_times(&draws.times);
    results.numbers("value.g.net_t", told.into_iter().map(f64::from).collect());
    let calls = student.len();
    for (index, x) in made.walked.iter().enumerate() {
        results.value(&format!("g.rollout.x_k{}", calls - 1 - index), x)?;
    }
    for (key, value) in [
        ("g.o_student", &made.o_student),
        ("g.x0_hat", &made.x0_hat),
        ("g.x_t", &made.x_t),
        ("g.o_fake", &made.o_fake),
        ("g.o_real_uncond", &made.o_real.unconditional),
        ("g.o_real_cond", &made.o_real.conditional),
        ("g.mu_fake", &made.direction.fake),
        ("g.mu_real", &made.direction.real),
        ("g.dm_grad", &made.direction.gradient),
        ("g.grad_x0_hat", &made.grad_x0_hat),
    ] {
        results.value(key, value)?;
    }
    results.numbers("value.g.normaliser", made.direction.normaliser.clone());
    results.numbers("value.g.loss", vec![made.loss]);
    results.gradients("generator", &[&made.gradients])?;
    generator.update(made.gradients);
    results.updated("generator", &[&generator], trace.number("lr_gen")?)?;
    Ok(results)
}

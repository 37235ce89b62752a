//! A recorded iteration of ADM.

use std::path::Path;

use burn::tensor::Device;
use dmdx_runtime::process::StepRule;

use super::section::AdmGradient;
use super::step::{self, GeneratorStep, Options, Roles, earlier};
use crate::error::TrainError;
use crate::method::heads::{self, HeadsStep};
use crate::method::matching::{GeneratorDraws, replay};
use crate::module::Value;
use crate::recipe::HeadReduce;
use crate::trace::{Results, Teacher, Trace};

pub(super) fn run(trace: &Trace, zoo: &Path, device: &Device) -> Result<Results, TrainError> {
    let teacher = Teacher::open(trace, zoo, device)?;
    let student = replay::student(trace, &teacher, StepRule::Ode)?;
    let mut generator = teacher.role(1.0, trace.optimizer("lr_gen")?)?;
    let mut fake_score = teacher.role(2.0, trace.optimizer("lr_fake")?)?;
    let mut discriminator = teacher.discriminator(trace, trace.optimizer("lr_disc")?, device)?;
    let conditions = teacher.conditions(trace, device)?;
    let options = Options {
        dt: trace.number("dt")?,
        gradient: if trace.option("adm_grad") == "detach_fake" { AdmGradient::DetachFake } else { AdmGradient::Full },
        reduce: HeadReduce::Mean,
    };
    let mut results = Results::default();

    let others = (&teacher, &student, &generator.module);
    replay::fake_score(trace, others, &mut fake_score, &conditions, &mut results, device)?;

    let draws = replay::generator_draws(trace, &student, device)?;
    let roles = Roles {
        generator: &generator.module,
        student: &student,
        fake_score: &fake_score.module,
        teacher: &teacher.denoiser,
        discriminator: &discriminator,
    };
    let mut made = step::generator_step(&roles, &conditions, &draws, &options)?;
    let judged = step::discriminator_step(&roles, &conditions, &draws, &made, &options)?;
    record(&mut results, &roles, &made, &judged, &draws, &options)?;
    let gradients = std::mem::take(&mut made.gradients);
    results.gradients("generator", &[&gradients])?;
    generator.update(gradients);
    results.updated("generator", &[&generator], trace.number("lr_gen")?)?;
    heads::record(&mut results, &mut discriminator, judged, &made.features, (options.reduce, trace.number("lr_disc")?))?;
    Ok(results)
}

fn record(
    results: &mut Results,
    roles: &Roles<'_>,
    made: &GeneratorStep,
    judged: &HeadsStep,
    draws: &GeneratorDraws,
    options: &Options,
) -> Result<(), TrainError> {
    let told = |times: &[f64]| roles.teacher.process.network_times(times).into_iter().map(f64::from).collect();
    results.numbers("value.g.net_t", told(&draws.times));
    results.numbers("value.g.net_t_minus_dt", told(&earlier(&draws.times, options.dt)));
    if let Some(weights) = &draws.student_weights {
        results.numbers("value.g.w_student", weights.clone());
    }
    let calls = roles.student.len();
    for (index, x) in made.walked.iter().enumerate() {
        results.value(&format!("g.rollout.x_k{}", calls - 1 - index), x)?;
    }
    let values: [(&str, &Value); 12] = [
        ("g.o_student", &made.o_student),
        ("g.x0_hat", &made.x0_hat),
        ("g.x_t", &made.x_t),
        ("g.o_fake", &made.o_fake),
        ("g.x_fake", &made.x_fake),
        ("g.o_real_uncond", &made.o_real.unconditional),
        ("g.o_real_cond", &made.o_real.conditional),
        ("g.x_real", &made.x_real),
        ("g.loss", &made.loss),
        ("g.grad_x_fake", &made.grad_x_fake),
        ("g.grad_x0_hat", &made.grad_x0_hat),
        ("d.loss", &judged.loss),
    ];
    values.into_iter().try_for_each(|(key, value)| results.value(key, value))?;
    results.features("g.logit", &made.logits)?;
    results.root_mean_squares("g.tap_rms", &made.features)?;
    results.features("d.logit_fake", &judged.logits_fake)?;
    results.features("d.logit_real", &judged.logits_real)
}

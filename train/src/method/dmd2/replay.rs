//! A recorded iteration of DMD2.

use std::path::Path;

use burn::tensor::Device;
use dmdx_runtime::process::StepRule;

use super::step::{self, FakeDraws, FakeStep, GeneratorStep, Noising, Options, Roles, Samples};
use crate::diffusion::ConditionPair;
use crate::error::{TraceDefect, TrainError};
use crate::method::matching::{GeneratorDraws, Scored, replay};
use crate::recipe::HeadReduce;
use crate::trace::{Results, Teacher, Trace};

pub(super) fn run(trace: &Trace, zoo: &Path, device: &Device) -> Result<Results, TrainError> {
    let teacher = Teacher::open(trace, zoo, device)?;
    let student = replay::student(trace, &teacher, StepRule::Renoise)?;
    let mut generator = teacher.role(1.0, trace.optimizer("lr_gen")?)?;
    let mut fake_score = teacher.role(2.0, trace.optimizer("lr_fake")?)?;
    let mut classifier = teacher.classifier(trace, trace.optimizer("lr_disc")?, device)?;
    let conditions = teacher.conditions(trace, device)?;
    let options =
        Options { generator: trace.number("w_gan_gen")?, classifier: trace.number("w_gan_disc")?, reduce: HeadReduce::Mean };
    let mut results = Results::default();

    let draws = draws(trace, student.len(), device)?;
    let gan = noising(trace, "g.gan_t", "g.gan_noise", device)?;
    let scored =
        Scored { generator: &generator.module, student: &student, fake_score: &fake_score.module, teacher: &teacher.denoiser };
    let roles = Roles { scored, classifier: &classifier };
    let made = step::generator_step(&roles, &conditions, &draws, &gan, &options)?;
    record(&mut results, &roles, &conditions, &draws, &made)?;
    results.gradients("generator", &[&made.gradients])?;
    generator.update(made.gradients);
    results.updated("generator", &[&generator], trace.number("lr_gen")?)?;

    let (real, real_condition) = (trace.value("in.real_latents", device)?, teacher.condition(trace, "in.real.", device)?);
    let samples =
        Samples { fake: &made.x0_hat, fake_condition: &conditions.conditional, real: &real, real_condition: &real_condition };
    let draws = FakeDraws {
        denoised: noising(trace, "f.t", "f.noise", device)?,
        fake: noising(trace, "d.t_fake", "d.noise_fake", device)?,
        real: noising(trace, "d.t_real", "d.noise_real", device)?,
    };
    // The update itself, and the next losses on the same batch: whether later steps correct the second moment.
    let mut curve = Vec::new();
    for update in 0..7 {
        let scored = Scored {
            generator: &generator.module,
            student: &student,
            fake_score: &fake_score.module,
            teacher: &teacher.denoiser,
        };
        let learnt = step::fake_step(&Roles { scored, classifier: &classifier }, &samples, &draws, &options)?;
        curve.push(learnt.loss.scalar()?);
        if update == 0 {
            record_fake(&mut results, &learnt)?;
        }
        fake_score.update(learnt.gradients);
        classifier.heads.trained.update(learnt.gradients_heads);
        if update == 0 {
            results.updated("fake_score", &[&fake_score], trace.number("lr_fake")?)?;
            results.updated("heads", &[&classifier.heads.trained], trace.number("lr_disc")?)?;
        }
    }
    results.numbers("check.fake_score+heads.loss_curve", curve);
    Ok(results)
}

fn noising(trace: &Trace, times: &str, noise: &str, device: &Device) -> Result<Noising, TrainError> {
    let times = trace.values(&format!("draws.{times}"))?.to_vec();
    Ok(Noising { times, noise: trace.value(&format!("draws.{noise}"), device)? })
}

fn draws(trace: &Trace, calls: usize, device: &Device) -> Result<GeneratorDraws, TrainError> {
    let call = trace.number("index")? as usize;
    if call >= calls {
        return Err(trace.defect(TraceDefect::Step(call)));
    }
    let times = trace.values("draws.g.t")?.to_vec();
    let fresh = (1..=call).map(|index| trace.value(&format!("draws.g.renoise_{index}"), device));
    Ok(GeneratorDraws {
        z: trace.value("draws.g.z", device)?,
        fresh: fresh.collect::<Result<_, _>>()?,
        call,
        noise: trace.value("draws.g.noise", device)?,
        weights: vec![trace.number("cfg")?; times.len()],
        student_weights: None,
        times,
    })
}

fn record(
    results: &mut Results,
    roles: &Roles<'_>,
    conditions: &ConditionPair,
    draws: &GeneratorDraws,
    made: &GeneratorStep,
) -> Result<(), TrainError> {
    // The trace holds the clean samples between the calls, the step only what they were noised to.
    let student = roles.scored.student.with_module(roles.scored.generator.frozen());
    let inputs: Vec<_> = std::iter::once(&draws.z).chain(&made.walked).collect();
    for (index, x) in inputs.iter().take(draws.call).enumerate() {
        results.value(&format!("g.rollout.x0_step{index}"), &student.predict(x, index, conditions, None)?.x0)?;
    }
    let told = roles.scored.teacher.process.network_times(&draws.times);
    results.numbers("value.g.net_t", told.into_iter().map(f64::from).collect());
    for (key, value) in [
        ("g.x_in", inputs[draws.call]),
        ("g.o_student", &made.o_student),
        ("g.x0_hat", &made.x0_hat),
        ("g.x_t", &made.x_t),
        ("g.o_fake", &made.o_fake),
        ("g.o_real_uncond", &made.o_real.unconditional),
        ("g.o_real_cond", &made.o_real.conditional),
        ("g.mu_fake", &made.direction.fake),
        ("g.mu_real", &made.direction.real),
        ("g.dm_grad", &made.direction.gradient),
        ("g.gan_x_t", &made.x_t_gan),
        ("g.loss_gan", &made.loss_gan),
        ("g.grad_x0_hat", &made.grad_x0_hat),
    ] {
        results.value(key, value)?;
    }
    results.numbers("value.g.normaliser", made.direction.normaliser.clone());
    results.numbers("value.g.loss_dm", vec![made.direction.loss()]);
    results.numbers("value.g.loss", vec![made.loss]);
    results.features("g.logit", &made.logits)
}

fn record_fake(results: &mut Results, learnt: &FakeStep) -> Result<(), TrainError> {
    for (key, value) in [
        ("f.x_t", &learnt.x_t),
        ("f.pred", &learnt.prediction),
        ("f.loss_denoise", &learnt.loss_denoising),
        ("f.loss", &learnt.loss),
        ("d.x_t_fake", &learnt.x_t_fake),
        ("d.x_t_real", &learnt.x_t_real),
        ("d.loss_gan", &learnt.loss_gan),
    ] {
        results.value(key, value)?;
    }
    results.features("d.logit_fake", &learnt.logits_fake)?;
    results.features("d.logit_real", &learnt.logits_real)?;
    results.gradients("fake_score", &[&learnt.gradients])?;
    results.gradients("heads", &[&learnt.gradients_heads])
}

//! A recorded iteration of ADM.

use std::path::Path;

use burn::tensor::Device;

use super::compare::Results;
use super::networks::{Teacher, conditions};
use super::trace::Trace;
use crate::error::TrainError;
use crate::method::{Student, adm};
use crate::recipe::{AdmGradient, HeadReduce};

pub(super) fn run(trace: &Trace, zoo: &Path, device: &Device) -> Result<Results, TrainError> {
    if trace.option("student") != "line_velocity" || trace.option("steps") != &serde_json::json!([999]) {
        return Err(TrainError::Invalid(format!(
            "the trace {} is not of a one-step student after ADP; others are not available yet",
            trace.name()
        )));
    }
    let teacher = Teacher::open(zoo, device)?;
    let mut generator = teacher.role(1.0, trace.optimizer("lr_gen")?)?;
    let mut fake_score = teacher.role(2.0, trace.optimizer("lr_fake")?)?;
    let mut discriminator = teacher.discriminator(trace, trace.optimizer("lr_disc")?, device)?;
    let conditions = conditions(trace, device)?;
    let options = adm::Options {
        student: Student::LineVelocity { time: 999.0 },
        dt: trace.number("dt")?,
        gradient: if trace.option("adm_grad") == "detach_fake" { AdmGradient::DetachFake } else { AdmGradient::Full },
        reduce: HeadReduce::Mean,
    };
    let mut results = Results::default();

    let draws = adm::FakeDraws {
        z: trace.value("draws.f.z", device)?,
        times: trace.values("draws.f.t")?.to_vec(),
        noise: trace.value("draws.f.noise", device)?,
    };
    let networks = adm::Networks {
        generator: &generator.module,
        fake_score: &fake_score.module,
        teacher: &teacher.denoiser,
        discriminator: &discriminator,
        clock: None,
    };
    let trained = adm::fake_step(&networks, &conditions.conditional, &draws, &options)?;
    let values = [("f.x0", &trained.x0), ("f.x_t", &trained.x_t), ("f.pred", &trained.prediction), ("f.loss", &trained.loss)];
    values.into_iter().try_for_each(|(key, value)| results.value(key, value))?;
    results.gradients("fake_score", &[&trained.gradients])?;
    fake_score.update(trained.gradients);
    results.updated("fake_score", &[&fake_score], trace.number("lr_fake")?)?;

    let draws = adm::GeneratorDraws {
        z: trace.value("draws.g.z", device)?,
        times: trace.values("draws.g.t")?.to_vec(),
        noise: trace.value("draws.g.noise", device)?,
        weights: trace.values("draws.g.w")?.to_vec(),
    };
    let networks = adm::Networks {
        generator: &generator.module,
        fake_score: &fake_score.module,
        teacher: &teacher.denoiser,
        discriminator: &discriminator,
        clock: None,
    };
    let mut made = adm::generator_step(&networks, &conditions, &draws, &options)?;
    let judged = adm::discriminator_step(&networks, &conditions.conditional, &draws, &made, &options)?;
    record(&mut results, &made, &judged, &draws, &options)?;
    let gradients = std::mem::take(&mut made.gradients);
    results.gradients("generator", &[&gradients])?;
    generator.update(gradients);
    results.updated("generator", &[&generator], trace.number("lr_gen")?)?;
    let mut curve = vec![judged.loss.scalar()?];
    results.gradients("heads", &[&judged.gradients])?;
    discriminator.heads.trained.update(judged.gradients);
    results.updated("heads", &[&discriminator.heads.trained], trace.number("lr_disc")?)?;

    // The heads' next losses on the same batch: whether later steps correct the second moment.
    for _ in 0..6 {
        let next = adm::heads_step(&discriminator, &made.features, &judged.features_real, options.reduce)?;
        curve.push(next.loss.scalar()?);
        discriminator.heads.trained.update(next.gradients);
    }
    results.numbers("check.heads.loss_curve", curve);
    Ok(results)
}

fn record(
    results: &mut Results,
    made: &adm::GeneratorStep,
    judged: &adm::DiscriminatorStep,
    draws: &adm::GeneratorDraws,
    options: &adm::Options,
) -> Result<(), TrainError> {
    results.numbers("value.g.net_t", draws.times.clone());
    results.numbers("value.g.net_t_minus_dt", draws.times.iter().map(|time| time - options.dt).collect());
    let values = [
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

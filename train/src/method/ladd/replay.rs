//! A recorded iteration of LADD.

use std::path::Path;

use burn::tensor::Device;
use dmdx_runtime::process::{Rollout, StepRule};

use super::step::{self, Batch, Draws, Options, Roles};
use crate::diffusion::Generator;
use crate::error::TrainError;
use crate::method::heads;
use crate::recipe::HeadReduce;
use crate::trace::{Results, Teacher, Trace};

pub(super) fn run(trace: &Trace, zoo: &Path, device: &Device) -> Result<Results, TrainError> {
    let teacher = Teacher::open(trace, zoo, device)?;
    let q = &teacher.denoiser.process;
    let process = q.coefficients();
    let steps = trace.numbers("student_times")?;
    // The trace's times are those of the process.
    let times: Vec<f64> = steps.iter().map(|&time| process.network_time(time)).collect();
    let student = Generator::new(&teacher.denoiser, &Rollout::new(process.clone(), &times, StepRule::Renoise)?);
    let mut generator = teacher.role(1.0, trace.optimizer("lr_gen")?)?;
    let mut discriminator = teacher.discriminator(trace, trace.optimizer("lr_disc")?, device)?;
    let batch = Batch { x_0: trace.value("in.data_latents", device)?, condition: teacher.conditions(trace, device)?.conditional };
    let normal: Vec<f32> = trace.values("draws.g.normal_disc")?.iter().map(|&n| n as f32).collect();
    let logit_normal = trace.numbers("logit_normal")?;
    let [mean, deviation] = [0, 1].map(|place| logit_normal.get(place).copied().unwrap_or(f64::NAN));
    let draws = Draws {
        calls: trace.values("draws.g.index")?.iter().map(|&index| index as usize).collect(),
        noise: trace.value("draws.g.noise", device)?,
        times: q.logit_normal_times(&normal, mean, deviation),
        noise_fake: trace.value("draws.g.noise_fake", device)?,
        noise_real: trace.value("draws.d.noise_real", device)?,
    };
    let options = Options { distill_weight: trace.number("w_distill")?, reduce: HeadReduce::Mean };
    let mut results = Results::default();

    let roles = Roles { generator: &generator.module, student: &student, q, discriminator: &discriminator };
    let mut made = step::generator_step(&roles, &batch, &draws, &options)?;
    let judged = step::discriminator_step(&roles, &batch, &draws, &made, &options)?;
    let student_times = draws.calls.iter().filter_map(|&call| steps.get(call).copied());
    results.numbers("value.g.t", student_times.collect());
    results.numbers("value.g.net_t", student.network_times(&draws.calls)?);
    results.numbers("value.g.net_t_disc", q.network_times(&draws.times).into_iter().map(f64::from).collect());
    for (key, value) in [
        ("g.x_t", &made.x_t),
        ("g.o_student", &made.o_student),
        ("g.x0_hat", &made.x0_hat),
        ("g.x_fake", &made.x_fake),
        ("g.loss", &made.loss),
        ("g.grad_x_fake", &made.grad_x_fake),
        ("g.grad_x0_hat", &made.grad_x0_hat),
        ("d.x_real", &judged.x_real),
        ("d.loss", &judged.heads.loss),
    ] {
        results.value(key, value)?;
    }
    results.features("g.logit", &made.logits)?;
    results.root_mean_squares("g.tap_rms", &made.features)?;
    results.features("d.logit_fake", &judged.heads.logits_fake)?;
    results.features("d.logit_real", &judged.heads.logits_real)?;
    let gradients = std::mem::take(&mut made.gradients);
    results.gradients("generator", &[&gradients])?;
    generator.update(gradients);
    results.updated("generator", &[&generator], trace.number("lr_gen")?)?;
    heads::record(&mut results, &mut discriminator, judged.heads, &made.features, (options.reduce, trace.number("lr_disc")?))?;
    Ok(results)
}

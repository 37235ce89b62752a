//! A recorded iteration of the regression.

use std::path::Path;

use burn::tensor::Device;
use dmdx_runtime::manifest::VaeScaling;
use dmdx_runtime::process::StepRule;

use super::perceptual::{Perceptual, Pooling};
use super::step::{self, Batch, Roles, Step};
use crate::discriminator::Decoder;
use crate::error::{TraceDefect, TrainError};
use crate::method::matching::replay;
use crate::module::GraphModule;
use crate::trace::{Results, Teacher, Trace, component, part};

pub(super) fn run(trace: &Trace, zoo: &Path, device: &Device) -> Result<Results, TrainError> {
    let teacher = Teacher::open(trace, zoo, device)?;
    let student = replay::student(trace, &teacher, StepRule::Ode)?;
    let mut generator = teacher.role(1.0, trace.optimizer("lr_gen")?)?;
    let vae = component(zoo, "vae_sdxl")?;
    let scale = vae.config["scaling_factor"].as_f64().unwrap_or(0.13025);
    let decoder = Decoder::new(GraphModule::new(part(trace, &vae, "vae_decoder")?, device, false)?, &VaeScaling::of(scale), 0);
    let pooling = if trace.option("lpips_pooling") == "max" { Pooling::Max } else { Pooling::Average };
    let latents = trace.value("in.x_0", device)?;
    let size = match decoder.decode(&latents)?.shape()[..] {
        [_, _, height, width] => [height, width],
        _ => return Err(trace.defect(TraceDefect::Lacks("latents of pictures".to_string()))),
    };
    let perceptual = Perceptual::new(&trace.weights("lpips."), size, pooling, device)?;
    let batch = Batch { x_0: latents, x_t: trace.value("in.x_T", device)?, conditions: teacher.conditions(trace, device)? };
    let mut results = Results::default();
    // The update itself, and the next losses on the same batch: whether later steps correct the second moment.
    let mut curve = Vec::new();
    for update in 0..7 {
        let pixel = Some((&decoder, &perceptual));
        let made = step::step(&Roles { generator: &generator.module, student: &student, pixel }, &batch)?;
        curve.push(made.loss.scalar()?);
        if update == 0 {
            let told = student.rollout().network_times().first().copied().unwrap_or_default();
            results.numbers("value.g.net_t", vec![told; batch.x_0.shape()[0]]);
            record(&mut results, &made)?;
        }
        generator.update(made.gradients);
        if update == 0 {
            results.updated("generator", &[&generator], trace.number("lr_gen")?)?;
        }
    }
    results.numbers("check.generator.loss_curve", curve);
    Ok(results)
}

fn record(results: &mut Results, made: &Step) -> Result<(), TrainError> {
    for (key, value) in [
        ("g.o_student", &made.o_student),
        ("g.x0_hat", &made.x0_hat),
        ("g.loss", &made.loss),
        ("g.grad_x0_hat", &made.grad_x0_hat),
    ] {
        results.value(key, value)?;
    }
    if let Some(pixels) = &made.pixels {
        results.value("g.image_fake", &pixels.fake)?;
        results.value("g.image_target", &pixels.target)?;
        results.value("g.lpips", &pixels.distances)?;
        results.value("g.grad_image_fake", &pixels.gradient)?;
    }
    results.gradients("generator", &[&made.gradients])
}

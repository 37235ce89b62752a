//! A recorded iteration of ADP.

use std::path::Path;

use burn::tensor::Device;
use dmdx_runtime::manifest::VaeScaling;

use super::step::{self, Batch, DiscriminatorStep, Draws, GeneratorStep, Options, Roles};
use crate::discriminator::{Decoder, FeatureLayout, Heads, PixelDiscriminator, PixelScaling, find_taps};
use crate::error::TrainError;
use crate::module::{GraphModule, Value};
use crate::recipe::{HeadReduce, PixelInput};
use crate::trace::{LAYOUT, Results, Teacher, Trace, component, part};

pub(super) fn run(trace: &Trace, zoo: &Path, device: &Device) -> Result<Results, TrainError> {
    let teacher = Teacher::open(trace, zoo, device)?;
    let mut generator = teacher.role(1.0, trace.optimizer("lr_gen")?)?;
    let settings = trace.optimizer("lr_disc")?;
    let mut latent = teacher.discriminator(trace, settings, device)?;
    let options = Options {
        lambda_latent: trace.number("lambda1")?,
        lambda_pixel: trace.number("lambda2")?,
        mse_weight: 0.0,
        reduce: HeadReduce::Mean,
    };
    let mut pixel = if options.lambda_pixel > 0.0 { Some(pixel_branch(trace, zoo, device)?) } else { None };
    let batch = Batch {
        x_0: trace.value("in.x_0", device)?,
        x_t: trace.value("in.x_T", device)?,
        condition: teacher.conditions(trace, device)?.conditional,
        real_pixels: None,
    };
    let times = trace.values("draws.g.t_disc")?.to_vec();
    let draws = Draws {
        u: trace.values("draws.g.u")?.iter().map(|&u| u as f32).collect(),
        time_fake: times.clone(),
        time_real: times,
        noise_fake: trace.value("draws.g.noise_fake", device)?,
        noise_real: trace.value("draws.d.noise_real", device)?,
    };
    let q = &teacher.denoiser.process;
    let latest = q.coefficients().network_time(q.coefficients().last_time());
    let line = teacher.denoiser.with_process(q.coefficients().of_line_student(latest).into());
    let mut results = Results::default();

    let roles = Roles {
        generator: &generator.module,
        line: &line,
        q,
        latent: &latent,
        pixel: pixel.as_ref().map(|(decoder, pixel)| (decoder, pixel)),
    };
    let mut made = step::generator_step(&roles, &batch, &draws, &options)?;
    let judged = step::discriminator_step(&roles, &batch, &draws, &made, &options)?;
    record(&mut results, &roles, &made, &judged, &draws, &options)?;
    let gradients = std::mem::take(&mut made.gradients);
    results.gradients("generator", &[&gradients])?;
    results.gradients("heads", &[&judged.gradients_latent, &judged.gradients_pixel])?;
    generator.update(gradients);
    let mut curve = vec![judged.loss.scalar()?];
    latent.heads.trained.update(judged.gradients_latent);
    let mut heads = vec![&latent.heads.trained];
    if let Some((_, pixel)) = &mut pixel {
        pixel.heads.trained.update(judged.gradients_pixel);
        heads.push(&pixel.heads.trained);
    }
    results.updated("generator", &[&generator], trace.number("lr_gen")?)?;
    results.updated("heads", &heads, trace.number("lr_disc")?)?;

    // The heads' next losses on the same batch: whether later steps correct the second moment.
    for _ in 0..6 {
        let roles = Roles {
            generator: &generator.module,
            line: &line,
            q,
            latent: &latent,
            pixel: pixel.as_ref().map(|(decoder, pixel)| (decoder, pixel)),
        };
        let next = step::discriminator_step(&roles, &batch, &draws, &made, &options)?;
        curve.push(next.loss.scalar()?);
        latent.heads.trained.update(next.gradients_latent);
        if let Some((_, pixel)) = &mut pixel {
            pixel.heads.trained.update(next.gradients_pixel);
        }
    }
    results.numbers("check.heads.loss_curve", curve);
    Ok(results)
}

fn pixel_branch(trace: &Trace, zoo: &Path, device: &Device) -> Result<(Decoder, PixelDiscriminator), TrainError> {
    let vae = component(zoo, "vae_sdxl")?;
    let scale = vae.config["scaling_factor"].as_f64().unwrap_or(0.13025);
    let decoder = Decoder::new(GraphModule::new(part(trace, &vae, "vae_decoder")?, device, false)?, &VaeScaling::of(scale), 0);
    let sam = component(zoo, "sam")?;
    let encoder = part(trace, &sam, "vision_encoder")?;
    let layers = trace.option("sam_layers").as_array().cloned().unwrap_or_default();
    // The trace counts layers from 1.
    let names: Vec<String> =
        layers.iter().filter_map(|layer| Some(format!("vision_encoder.layers.{}", layer.as_u64()?.checked_sub(1)?))).collect();
    let side = sam.config["vision_config"]["image_size"].as_u64().unwrap_or(128) as usize;
    let taps =
        find_taps(encoder, &names, &[("pixel_values", vec![1, 3, side, side])], &FeatureLayout::ChannelsLast, "sam_layers")?;
    let weights = trace.heads(|name| name.starts_with("vision_encoder."));
    let heads = Heads::with_weights(&taps, LAYOUT, &weights, trace.optimizer("lr_disc")?, device)?;
    let pixel = PixelDiscriminator::new(encoder, &taps, PixelScaling::of(PixelInput::Imagenet), heads)?;
    Ok((decoder, pixel))
}

fn record(
    results: &mut Results,
    roles: &Roles<'_>,
    made: &GeneratorStep,
    judged: &DiscriminatorStep,
    draws: &Draws,
    options: &Options,
) -> Result<(), TrainError> {
    // The trace's parts of the losses have their weights in them.
    let latent = |loss: &Value| loss.scale(options.lambda_latent);
    let pixel = |loss: &Option<Value>| loss.as_ref().map(|loss| loss.scale(options.lambda_pixel));
    let (generator_latent, generator_pixel) = (latent(&made.loss_latent), pixel(&made.loss_pixel));
    let (heads_latent, heads_pixel) = (latent(&judged.loss_latent), pixel(&judged.loss_pixel));
    let doubles = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
    results.numbers("value.g.s", doubles(&made.s));
    results.numbers("value.g.net_t", doubles(&made.network_times));
    results.numbers("value.g.net_t_disc", doubles(&roles.q.network_times(&draws.time_fake)));
    let values = [
        ("g.x_s", Some(&made.x_s)),
        ("g.v", Some(&made.v)),
        ("g.x0_hat", Some(&made.x0_hat)),
        ("g.x_t_fake", Some(&made.x_t_fake)),
        ("g.image_fake", made.image_fake.as_ref()),
        ("g.loss_latent", Some(&generator_latent)),
        ("g.loss_pixel", generator_pixel.as_ref()),
        ("g.loss", Some(&made.loss)),
        ("g.grad_x0_hat", Some(&made.grad_x0_hat)),
        ("d.x_t_real", Some(&judged.x_t_real)),
        ("d.image_real", judged.image_real.as_ref()),
        ("d.loss_latent", Some(&heads_latent)),
        ("d.loss_pixel", heads_pixel.as_ref()),
        ("d.loss", Some(&judged.loss)),
    ];
    for (key, value) in values {
        if let Some(value) = value {
            results.value(key, value)?;
        }
    }
    results.features("g.logit", &made.logits)?;
    results.root_mean_squares("g.tap_rms", &made.latent_features)?;
    results.root_mean_squares("g.tap_rms", &made.pixel_features)?;
    results.features("d.logit_fake", &judged.logits_fake)?;
    results.features("d.logit_real", &judged.logits_real)
}

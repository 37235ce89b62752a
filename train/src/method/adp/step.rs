//! Adversarial distillation pre-training (ADP): section 3.3 of the paper, equations 8 to 10.
//!
//! Pure functions of roles, batch and draws. Each returns every value that it computed, so that a trace can be compared
//! number by number, and the gradients, which the caller applies.

use crate::diffusion::{ConditionBatch, Denoiser, NoiseProcess};
use crate::discriminator::{Decoder, Features, LatentDiscriminator, PixelDiscriminator, generator_loss, hinge_loss};
use crate::error::TrainError;
use crate::method::tape::detached;
use crate::module::{
    GraphModule, ParameterGradients, Value, input_gradient, parameter_gradients, parameter_gradients_of_both, pulled_back,
};
use crate::recipe::HeadReduce;

/// What the losses weigh and how heads are put together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// λ₁, of the latent discriminator.
    pub lambda_latent: f64,
    /// λ₂, of the pixel discriminator; it is not run at 0.
    pub lambda_pixel: f64,
    /// Weight of the mean squared error against the pair's latent (register A2; not in the paper).
    pub mse_weight: f64,
    /// How heads are put together.
    pub reduce: HeadReduce,
}

/// The networks. Only the generator's and the heads' weights are trained.
#[derive(Clone, Copy, Debug)]
pub struct Roles<'a> {
    /// G_θ.
    pub generator: &'a GraphModule,
    /// The teacher on the line between noise and sample: what the student's network is called, and how it is told the time.
    pub line: &'a Denoiser,
    /// q, the teacher's forward process, which noises the latent discriminator's inputs.
    pub q: &'a NoiseProcess,
    /// D_τ₁.
    pub latent: &'a LatentDiscriminator,
    /// Decoder and D_τ₂.
    pub pixel: Option<(&'a Decoder, &'a PixelDiscriminator)>,
}

/// One batch of ODE pairs.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The teacher's latents.
    pub x_0: Value,
    /// The noise that they came from.
    pub x_t: Value,
    /// The prompts' conditions.
    pub condition: ConditionBatch,
    /// The pixel discriminator's features of the decoded `x_0`, where somebody keeps them.
    pub real_pixels: Option<Features>,
}

/// Every random number of one iteration.
#[derive(Clone, Debug)]
pub struct Draws {
    /// Uniform in [0, 1), one per sample.
    pub u: Vec<f32>,
    /// t′ of the fake latents, one per sample.
    pub time_fake: Vec<f64>,
    /// t′ of the real latents; the same unless the recipe says otherwise (register A6).
    pub time_real: Vec<f64>,
    /// ε of the fake latents.
    pub noise_fake: Value,
    /// ε′ of the real latents.
    pub noise_real: Value,
}

/// What the generator's update computed; everything but `gradients` is off the tape.
pub struct GeneratorStep {
    /// Line times `1 - u³`.
    pub s: Vec<f32>,
    /// The student's network times.
    pub network_times: Vec<f32>,
    /// The point on the line.
    pub x_s: Value,
    /// The student's velocity.
    pub v: Value,
    /// x̃₀.
    pub x0_hat: Value,
    /// x̃_t′.
    pub x_t_fake: Value,
    /// The decoded x̃₀.
    pub image_fake: Option<Value>,
    /// Features of x̃_t′.
    pub latent_features: Features,
    /// Features of the decoded x̃₀.
    pub pixel_features: Features,
    /// Logits of all heads on the fakes.
    pub logits: Features,
    /// -D₁ without its weight.
    pub loss_latent: Value,
    /// -D₂ without its weight.
    pub loss_pixel: Option<Value>,
    /// The mean squared error against the pair's latent without its weight, where it has one.
    pub loss_mse: Option<Value>,
    /// L_G.
    pub loss: Value,
    /// dL_G/dx̃₀.
    pub grad_x0_hat: Value,
    /// dL_G/dθ.
    pub gradients: ParameterGradients,
}

/// A student's prediction on the line.
struct OnLine {
    x_s: Value,
    v: Value,
    x0_hat: Value,
}

/// Cubic times, t/T = 1 - u³ (equation 8).
fn cubic_times(u: &[f32]) -> Vec<f32> {
    u.iter().map(|&u| (1.0 - f64::from(u).powi(3)) as f32).collect()
}

/// The straight line between the pair's ends, the student's velocity there, and where it leads.
fn predicted(roles: &Roles<'_>, batch: &Batch, times: &[f64]) -> Result<OnLine, TrainError> {
    let x_s = roles.line.process.noised(&batch.x_0, times, &batch.x_t)?;
    let generator = roles.line.with_module(roles.generator.clone());
    let v = generator.predict(&x_s, times, &batch.condition)?;
    let x0_hat = roles.line.process.x0(&v, &x_s, times)?;
    Ok(OnLine { x_s, v, x0_hat })
}

/// The generator's update: L_G = -[λ₁ D₁(x̃_t′, t′, c) + λ₂ D₂(decode x̃₀)] (equation 9, both terms negative).
///
/// # Errors
/// When shapes do not fit the networks.
pub fn generator_step(roles: &Roles<'_>, batch: &Batch, draws: &Draws, options: &Options) -> Result<GeneratorStep, TrainError> {
    let s = cubic_times(&draws.u);
    let times: Vec<f64> = s.iter().map(|&s| f64::from(s)).collect();
    let OnLine { x_s, v, x0_hat } = predicted(roles, batch, &times)?;

    // The losses as functions of x̃₀: a tape of its own, whose gradient is handed on to the student's.
    let x0 = x0_hat.leaf();
    let x_t_fake = roles.q.noised(&x0, &draws.time_fake, &draws.noise_fake)?;
    let latent_features = roles.latent.features(&x_t_fake, &draws.time_fake, &batch.condition)?;
    let mut logits = roles.latent.heads.logits_of_frozen(&latent_features)?;
    let loss_latent = generator_loss(&logits, options.reduce)?;
    let mut loss = loss_latent.scale(options.lambda_latent);
    let (mut image_fake, mut loss_pixel, mut pixel_features) = (None, None, Features::new());
    if let Some((decoder, pixel)) = roles.pixel {
        let image = decoder.decode(&x0)?;
        pixel_features = pixel.features(&image)?;
        let on_pixels = pixel.heads.logits_of_frozen(&pixel_features)?;
        let term = generator_loss(&on_pixels, options.reduce)?;
        loss = loss.plus(&term.scale(options.lambda_pixel));
        (image_fake, loss_pixel) = (Some(image.detached()), Some(term.detached()));
        logits.extend(on_pixels);
    }
    let mut loss_mse = None;
    if options.mse_weight > 0.0 {
        let term = x0.minus(&batch.x_0).square().mean();
        loss = loss.plus(&term.scale(options.mse_weight));
        loss_mse = Some(term.detached());
    }
    let (latent_features, pixel_features, logits) = (detached(latent_features), detached(pixel_features), detached(logits));
    let (x_t_fake, loss_latent, value) = (x_t_fake.detached(), loss_latent.detached(), loss.detached());
    let grad_x0_hat = input_gradient(loss, &x0, roles.latent.backbone())?;
    let gradients = pulled_back(&x0_hat, &grad_x0_hat, roles.generator);
    let (v, x0_hat) = (v.detached(), x0_hat.detached());
    Ok(GeneratorStep {
        network_times: roles.line.process.network_times(&times),
        s,
        x_s,
        v,
        x0_hat,
        x_t_fake,
        image_fake,
        latent_features,
        pixel_features,
        logits,
        loss_latent,
        loss_pixel,
        loss_mse,
        loss: value,
        grad_x0_hat,
        gradients,
    })
}

/// What the warm-up computed.
pub struct WarmupStep {
    /// The mean squared error.
    pub loss: Value,
    /// x̃₀.
    pub x0_hat: Value,
    /// Of the student.
    pub gradients: ParameterGradients,
}

/// The warm-up of register A2: the student alone, by the mean squared error.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn warmup_step(roles: &Roles<'_>, batch: &Batch, u: &[f32]) -> Result<WarmupStep, TrainError> {
    let times: Vec<f64> = cubic_times(u).into_iter().map(f64::from).collect();
    let OnLine { x0_hat, .. } = predicted(roles, batch, &times)?;
    let loss = x0_hat.minus(&batch.x_0).square().mean();
    let (value, x0_hat) = (loss.detached(), x0_hat.detached());
    Ok(WarmupStep { loss: value, x0_hat, gradients: parameter_gradients(loss, roles.generator) })
}

/// What the heads' update computed; everything but the gradients is off the tape.
pub struct DiscriminatorStep {
    /// x_t′.
    pub x_t_real: Value,
    /// The decoded x_0, unless its features were given.
    pub image_real: Option<Value>,
    /// Logits of all heads on the fakes.
    pub logits_fake: Features,
    /// Logits of all heads on the real samples.
    pub logits_real: Features,
    /// The latent hinge without its weight.
    pub loss_latent: Value,
    /// The pixel hinge without its weight.
    pub loss_pixel: Option<Value>,
    /// L_D.
    pub loss: Value,
    /// Of the latent heads.
    pub gradients_latent: ParameterGradients,
    /// Of the pixel heads.
    pub gradients_pixel: ParameterGradients,
}

/// The heads' update (equation 10) on the features that the generator's update made of its fakes.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn discriminator_step(
    roles: &Roles<'_>,
    batch: &Batch,
    draws: &Draws,
    fakes: &GeneratorStep,
    options: &Options,
) -> Result<DiscriminatorStep, TrainError> {
    let x_t_real = roles.q.noised(&batch.x_0, &draws.time_real, &draws.noise_real)?;
    let real = roles.latent.features(&x_t_real, &draws.time_real, &batch.condition)?;
    // Fakes and reals pass apart: where their hinges cancel, the gradients do so exactly.
    let (mut logits_fake, mut logits_real) =
        (roles.latent.heads.logits(&fakes.latent_features)?, roles.latent.heads.logits(&real)?);
    let loss_latent = hinge_loss(&logits_fake, &logits_real, options.reduce)?;
    let mut loss = loss_latent.scale(options.lambda_latent);
    let (mut image_real, mut loss_pixel) = (None, None);
    if let Some((decoder, pixel)) = roles.pixel {
        let real = match &batch.real_pixels {
            Some(features) => features.clone(),
            None => {
                let image = decoder.decode(&batch.x_0)?;
                image_real = Some(image.clone());
                pixel.features(&image)?
            }
        };
        let (on_fake, on_real) = (pixel.heads.logits(&fakes.pixel_features)?, pixel.heads.logits(&real)?);
        let term = hinge_loss(&on_fake, &on_real, options.reduce)?;
        loss = loss.plus(&term.scale(options.lambda_pixel));
        loss_pixel = Some(term.detached());
        logits_fake.extend(on_fake);
        logits_real.extend(on_real);
    }
    let (logits_fake, logits_real) = (detached(logits_fake), detached(logits_real));
    let (loss_latent, value) = (loss_latent.detached(), loss.detached());
    let latent = &roles.latent.heads.trained.module;
    let [gradients_latent, gradients_pixel] = match roles.pixel {
        Some((_, pixel)) => parameter_gradients_of_both(loss, latent, &pixel.heads.trained.module),
        None => [parameter_gradients(loss, latent), ParameterGradients::default()],
    };
    Ok(DiscriminatorStep {
        x_t_real,
        image_real,
        logits_fake,
        logits_real,
        loss_latent,
        loss_pixel,
        loss: value,
        gradients_latent,
        gradients_pixel,
    })
}

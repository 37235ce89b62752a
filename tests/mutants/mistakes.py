"""The mistakes: where each is made, and the recorded iterations that have to catch it."""
from typing import NamedTuple


class Mistake(NamedTuple):
    name: str
    traces: list
    edits: list  # (file, text that is there once with the expression that goes wrong in « », what stands there then)
    setup: list = []  # (file, text that is there once, what stands there whether the mistake is made or not)


ADM = ["adm_sdxl", "adm_sd3_4step", "adm_cogvideox_8step"]
DMD = ["dmd_sdxl", "dmd_sd3"]
DMD2, ONE_STEP, REGRESSION = ["dmd2_sdxl"], ["dmd2_sdxl_1step_399"], ["dmd2_regression_sdxl"]
ADM_STEP, ADP_STEP = "train/src/method/adm/step.rs", "train/src/method/adp/step.rs"
REFLOW_STEP, DMD2_STEP = "train/src/method/reflow/step.rs", "train/src/method/dmd2/step.rs"
MATCHING, ESTIMATE = "train/src/method/matching/mod.rs", "train/src/method/matching/estimate.rs"
PERCEPTUAL = "train/src/method/regression/perceptual.rs"
DENOISER, GENERATOR = "train/src/diffusion/denoiser.rs", "train/src/diffusion/generator.rs"
LEVELS, ROLLOUT = "runtime/src/process/levels.rs", "runtime/src/process/rollout.rs"
LORA, BESIDE = "train/src/module/lora.rs", "train/src/module/beside.rs"
LOSS, OPTIMIZER = "train/src/discriminator/loss.rs", "train/src/kernels/optimizer.rs"


def stale(method):
    """The fake score as it was before its update, in the replay, which repeats the order of the phase."""
    file, first = f"train/src/method/{method}/replay.rs", "    let others = (&teacher, &student, &generator.module);"
    return dict(edits=[(file, "fake_score: «&fake_score.module»", "&before")],
                setup=[(file, first, "    let before = fake_score.module.clone();\n" + first)])


MISTAKES = [
    Mistake("ADM: generator scored by the fake score before its update", ADM, **stale("adm")),
    Mistake("DMD: generator scored by the fake score before its update", DMD, **stale("dmd")),
    Mistake("ADM: discriminator told t instead of t - dt", ADM, [
        (ADM_STEP, "roles.discriminator.features(&judged, «&later», condition)?", "t"),
        (ADM_STEP, "roles.discriminator.features(&made.x_real, «&later»,", "&draws.times"),
    ]),
    Mistake("ADM: dt of 15 instead of 16", ["adm_sdxl", "adm_cogvideox_8step"], [
        (ADM_STEP, "times.iter().map(|time| «time - dt»).collect()", "time - dt * 15.0 / 16.0"),
    ]),
    Mistake("ADM: gradient past the fake score", ADM, [(ADM_STEP, "AdmGradient::Full => «x_t.clone()»,", "x_t.detached()")]),
    Mistake("guidance: one weight for a batch", ADM + DMD, [
        (DENOISER, "minus(&unconditional).per_sample(«weights»)?);", "&*vec![weights.iter().sum::<f64>() / samples as f64; samples].leak()"),
    ]),
    Mistake("guidance: w + 1", ADM + DMD, [
        (DENOISER, "let guided = «unconditional.clone()».plus(", "conditional.clone()"),
    ], [(DENOISER, "let guided = unconditional.plus(", "let guided = unconditional.clone().plus(")]),
    Mistake("student on the line told 1000", ["adm_sdxl", "dmd_sdxl_after_adp", "reflow_sdxl", "adp_sdxl_pixel"], [
        (LEVELS, "Levels::Straight { told, latest, .. } => «(told * time).min(latest)»,", "told * time"),
    ]),
    Mistake("ADM: n counted from the noisy end", ["adm_sd3_4step", "adm_cogvideox_8step", "adm_sdxl_4step"], [
        (ADM_STEP, "walker.walk(&draws.z, «draws.call»,", "roles.student.len() - 1 - draws.call"),
        (ADM_STEP, "student.predict(start, «draws.call»,", "roles.student.len() - 1 - draws.call"),
    ]),
    Mistake("hinge after the mean over heads", ["adm_sdxl", "adp_sdxl_pixel", "adp_sd3_latent"], [
        (LOSS, "«reduced(losses.into_iter(), fake.len(), reduce)»\n}\n\n/// The share",
         "let mean = |logits: &Features| reduced(logits.values().map(Value::mean), logits.len(), reduce); "
         "Ok(penalty(&mean(fake)?).plus(&penalty(&mean(real)?.scale(-1.0))))"),
    ]),
    Mistake("hinge after the mean over positions", ["adp_sdxl_pixel", "adm_cogvideox_8step"], [
        (LOSS, "«penalty(fake).mean().plus(&penalty(&real.scale(-1.0)).mean())»",
         "penalty(&fake.mean()).plus(&penalty(&real.scale(-1.0).mean()))"),
    ]),
    Mistake("generator loss with a limit, relu(1 - D)", ["adm_sdxl", "adp_sdxl_pixel"], [
        (LOSS, "«logits.mean().scale(-1.0)»", "logits.scale(-1.0).shift(1.0).relu().mean()"),
    ]),
    Mistake("ADP: same noise for real and fake", ["adp_sdxl_pixel", "adp_sd3_latent"], [
        (ADP_STEP, "noised(&batch.x_0, &draws.time_real, «&draws.noise_real»)", "&draws.noise_fake"),
    ]),
    Mistake("ADP: equation 9 as printed", ["adp_sdxl_pixel"], [
        (ADP_STEP, "generator_loss(&on_pixels, options.reduce)?;\n        loss = loss.plus(&term.scale(«options.lambda_pixel»));",
         "-options.lambda_pixel"),
    ]),
    Mistake("ADP: uniform times", ["adp_sdxl_pixel", "adp_sd3_latent"], [
        (ADP_STEP, "«(1.0 - f64::from(u).powi(3)) as f32»", "(1.0 - f64::from(u)) as f32"),
    ]),
    Mistake("ADP: discriminator's latents on the line", ["adp_sdxl_pixel"], [
        (ADP_STEP, "«roles.q.noised(&x0, &draws.time_fake, &draws.noise_fake)?»",
         "roles.line.process.noised(&x0, &draws.time_fake.iter().map(|t| t / 1000.0).collect::<Vec<_>>(), &draws.noise_fake)?"),
    ]),
    Mistake("DMD: normaliser is a sum", DMD, [(ESTIMATE, "«distances.sum::<f64>() / size.max(1) as f64»", "distances.sum::<f64>()")]),
    Mistake("DMD: normaliser from the fake score", DMD, [(ESTIMATE, "range.clone()].iter().zip(«&of_real»).map(|(&x, &mu)|", "&of_fake")]),
    Mistake("DMD: no half in the loss", DMD, [(ESTIMATE, "«0.5 * self.square»", "self.square")]),
    Mistake("DMD: pulls the wrong way", DMD, [(ESTIMATE, "«(mu_fake - mu_real) / distance»", "(mu_real - mu_fake) / distance")]),
    Mistake("fake score learns noise whatever it predicts", ["adm_sd3_4step", "adm_cogvideox_8step", "dmd_sd3"], [
        (MATCHING, "let target = «q.target(x0, times, noise)?»;", "noise.clone()"),
    ]),
    Mistake("fake score learns the first call of the student", ["adm_sd3_4step", "adm_cogvideox_8step"], [
        (MATCHING, "None => «student.sample(&draws.z, conditions, weights, &draws.fresh)?»,",
         "student.predict(&draws.z, 0, conditions, weights)?.x0"),
    ]),
    Mistake("reflow: velocity towards the data", ["reflow_sdxl"], [
        (REFLOW_STEP, "«batch.x_t.minus(&batch.x_0)»", "batch.x_0.minus(&batch.x_t)"),
    ]),
    Mistake("rollout: endpoint at table index 0", ["adm_sdxl_4step", "adm_cogvideox_8step"], [
        (ROLLOUT, "original: «process.original(time)?», next", "process.step(time, 0.0)?"),
    ]),
    Mistake("rollout: noised anew instead of a step of the ODE", ["adm_sdxl_4step", "adm_sd3_4step", "adm_cogvideox_8step"], [
        (ROLLOUT, "(Some(&next), StepRule::Ode) => «Next::Ode(process.step(time, next)?)»,", "Next::Renoise(process.level(next)?)"),
        (GENERATOR, "«fresh.get(index).ok_or(TrainError::NoFreshNoise { step: index })?»", "fresh.get(index).unwrap_or(noise)"),
    ]),
    Mistake("DMD2: the generator flees from the classifier", DMD2 + ONE_STEP, [
        (LOSS, "fake.values().map(|logits| logits.scale(«-1.0»).softplus().mean())", "1.0"),
    ]),
    Mistake("DMD2: captions of the student for real samples", DMD2 + ONE_STEP, [
        (DMD2_STEP, "&draws.real.times, «samples.real_condition»)", "samples.fake_condition"),
    ]),
    Mistake("DMD2: same noise for real and fake", DMD2 + ONE_STEP, [
        (DMD2_STEP, "noised(samples.real, &draws.real.times, «&draws.real.noise»)", "&draws.fake.noise"),
    ]),
    Mistake("DMD2: the classifier's loss without its weight", DMD2 + ONE_STEP, [
        (DMD2_STEP, "loss_gan.scale(«options.classifier»)", "1.0"),
    ]),
    Mistake("one step: alpha and sigma of 999", ONE_STEP + REGRESSION, [
        (GENERATOR, "Ok(Prediction { x0: «applied(step.original, x, &output)?», output })",
         "applied(self.rollout.process().original(999.0)?, x, &output)?"),
    ]),
    Mistake("one step: network told 999", ONE_STEP + REGRESSION, [(GENERATOR, "vec![«step.time»;", "999.0")]),
    Mistake("one step: noise scaled to the level of 399", ONE_STEP, [
        (ESTIMATE, "student.predict(«walked.last().unwrap_or(&draws.z)»,", "&*Box::leak(Box::new(draws.z.scale(0.757573)))"),
    ]),
    Mistake("LPIPS: largest instead of mean", REGRESSION, [(PERCEPTUAL, "graph.push(halving(«pooling»),", "Pooling::Max")]),
    Mistake("LPIPS: features of any length", REGRESSION, [(PERCEPTUAL, "let own = «unit_length(&mut graph, x, &place)?»;", "x")]),
    Mistake("LPIPS: pictures not normalised", REGRESSION, [
        (PERCEPTUAL, "«PixelScaling::of(PixelInput::Imagenet)»", "PixelScaling::of(PixelInput::MinusOneToOne)"),
    ]),
    Mistake("LoRA: factor alpha / rank forgotten", ["adm_sd3_4step_lora"], [(LORA, "«self.alpha / self.rank as f64»", "1.0")]),
    Mistake("LoRA: alpha over the root of the rank", ["adm_sd3_4step_lora"], [
        (BESIDE, "Factors { scale: «low_rank.scale()», layers", "low_rank.alpha / (low_rank.rank as f64).sqrt()"),
    ]),
    Mistake("LoRA: projections of the text left out", ["adm_sd3_4step_lora"], [
        (BESIDE, "«beside.get(&weight)»\n", "beside.get(&weight).filter(|_| !step.origin.contains(\"add_\"))"),
    ]),
    Mistake("AdamW: no correction of the second moment", ["adm_sdxl", "adp_sd3_latent", "reflow_sdxl"], [
        (OPTIMIZER, "«step.bias_correction.sqrt() as f32»", "(1.0f64 - step.beta2).sqrt() as f32"),
    ]),
]

"""The mistakes: where each is made, and the recorded iterations that have to catch it."""
from typing import NamedTuple


class Mistake(NamedTuple):
    name: str
    traces: list
    edits: list  # (file, text that is there once with the expression that goes wrong in « », what stands there then)
    setup: list = []  # (file, text that is there once, what stands there whether the mistake is made or not)


ADM = ["adm_sdxl", "adm_sd3_4step", "adm_cogvideox_8step"]
DMD = ["dmd_sdxl", "dmd_sd3"]
ADM_STEP, ADP_STEP, DMD_STEP = (f"train/src/method/{name}/step.rs" for name in ("adm", "adp", "dmd"))
REFLOW_STEP, MATCHING = "train/src/method/reflow/step.rs", "train/src/method/matching/mod.rs"
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
         "Ok(mean(fake)?.shift(1.0).relu().plus(&mean(real)?.scale(-1.0).shift(1.0).relu()))"),
    ]),
    Mistake("hinge after the mean over positions", ["adp_sdxl_pixel", "adm_cogvideox_8step"], [
        (LOSS, "«fake.shift(1.0).relu().mean()»", "fake.mean().shift(1.0).relu()"),
        (LOSS, "«real.scale(-1.0).shift(1.0).relu().mean()»", "real.mean().scale(-1.0).shift(1.0).relu()"),
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
    Mistake("DMD: normaliser is a sum", DMD, [(DMD_STEP, "«distances.sum::<f64>() / size.max(1) as f64»", "distances.sum::<f64>()")]),
    Mistake("DMD: normaliser from the fake score", DMD, [(DMD_STEP, "range.clone()].iter().zip(«&of_real»).map(|(&x, &mu)|", "&of_fake")]),
    Mistake("DMD: no half in the loss", DMD, [(DMD_STEP, "loss: «0.5 * matching.square»", "matching.square")]),
    Mistake("DMD: pulls the wrong way", DMD, [(DMD_STEP, "«(mu_fake - mu_real) / distance»", "(mu_real - mu_fake) / distance")]),
    Mistake("fake score learns noise whatever it predicts", ["adm_sd3_4step", "adm_cogvideox_8step", "dmd_sd3"], [
        (MATCHING, "let target = «q.target(&x0, &draws.times, &draws.noise)?»;", "draws.noise.clone()"),
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

//! What a network's output means, and the walk, in formulas.

use std::fmt::Write;

use crate::process::{Affine, Boundary, Consistency, Level, Next, NoiseSchedule, Parameterisation, Rollout};

/// Longer walks are stated by their times alone.
const MOST_FORMULAS: usize = 8;

/// Whether fresh noise is drawn between the steps.
pub(super) fn draws(rollout: &Rollout) -> bool {
    rollout.steps().iter().any(|step| matches!(step.next, Next::Renoise(_)))
}

/// One step in numbers: the sample `a x + b o`, and what it becomes with fresh noise.
pub(super) struct Row {
    /// What the network is told the time is.
    pub time: f64,
    /// Of the sample.
    pub a: f64,
    /// Of the network's output.
    pub b: f64,
    /// How that is noised anew.
    pub next: Level,
}

/// Every step in numbers.
pub(super) fn rows(rollout: &Rollout) -> impl Iterator<Item = Row> {
    rollout.steps().iter().map(|step| {
        let (map, next) = match step.next {
            Next::End => (step.original, Level::CLEAN),
            Next::Ode(map) => (map, Level::CLEAN),
            Next::Renoise(level) => (step.original, level),
        };
        Row { time: step.network_time, a: map.of_sample, b: map.of_output, next }
    })
}

/// What `G` predicts, and the steps from the noise `z` to the clean sample.
pub(super) fn definition(rollout: &Rollout, schedule: &NoiseSchedule) -> String {
    let mut text =
        String::from("`G(x, t)` is the denoising network's raw output for the sample `x`, told the time `t`, and the prompt. ");
    let prediction = rollout.process().parameterisation();
    text += match prediction {
        Parameterisation::Epsilon => "It predicts the noise `eps` of `x = alpha x0 + sigma eps` on the teacher's noise table",
        Parameterisation::Sample => {
            "It predicts the clean sample `x0` of `x = alpha x0 + sigma eps` on the teacher's noise table"
        }
        Parameterisation::VPrediction => {
            "It predicts `v = alpha eps - sigma x0` of `x = alpha x0 + sigma eps` on the teacher's noise table"
        }
        Parameterisation::Flow => {
            "It predicts the velocity `eps - x0` of `x = (1 - s) x0 + s eps`, and is told `s` times the number of the process below"
        }
        Parameterisation::LineVelocity => {
            "It predicts the velocity `eps - x0` of `x = (1 - s) x0 + s eps`, the straight line between noise and sample, whatever \
             the teacher's own process is; it is told `1000 s`, and at pure noise the first time below"
        }
    };
    let table = serde_json::to_string(schedule).unwrap_or_default();
    let _ = write!(text, ". The teacher's noise process: `{table}`.\n\n");
    if let Some(Consistency { timestep_scaling, .. }) = rollout.consistency().filter(|_| !prediction.is_straight()) {
        let Boundary { sigma_data, .. } = Boundary::new(timestep_scaling);
        let _ = write!(
            text,
            "It is a consistency model: its clean sample is `c_skip x + c_out x0`, `c_skip = d² / (y² + d²)`, \
             `c_out = y / sqrt(y² + d²)`, `y = {timestep_scaling} t`, `d = {sigma_data}`, which the formulas below have worked in.\n\n"
        );
    }
    let steps = rollout.steps();
    if steps.len() > MOST_FORMULAS {
        let times: Vec<f64> = rollout.network_times();
        let _ = write!(text, "It is asked at the times {times:?}; the first stands for pure noise, `z`.\n\n");
        return text;
    }
    text += "With unit noise `z`:\n\n```text\n";
    for (index, step) in steps.iter().enumerate() {
        let x = if index == 0 { "z".to_owned() } else { format!("x{index}") };
        let output = format!("G({x}, {})", step.network_time);
        let _ = match step.next {
            Next::End => writeln!(text, "x0 = {}", affine(step.original, &x, &output)),
            Next::Ode(map) => writeln!(text, "x{} = {}", index + 1, affine(map, &x, &output)),
            Next::Renoise(Level { alpha, sigma }) => {
                let original = affine(step.original, &x, &output);
                let (alpha, sigma) = (number(alpha), number(sigma));
                writeln!(text, "x{} = {alpha} ({original}) + {sigma} n{}", index + 1, index + 1)
            }
        };
    }
    text += "```\n\n";
    if draws(rollout) {
        text += "Every `n` is fresh unit noise. ";
    }
    text += "The decoder is given `x0 / scaling_factor`, with the shift or the statistics that the VAE's configuration has.\n\n";
    text
}

/// `a x + b o`.
fn affine(Affine { of_sample, of_output }: Affine, x: &str, output: &str) -> String {
    let term = |weight: f64, name: &str| if weight == 1.0 { name.to_owned() } else { format!("{} {name}", number(weight)) };
    let sign = if of_output < 0.0 { "-" } else { "+" };
    match of_sample {
        0.0 => term(of_output, output),
        _ => format!("{} {sign} {}", term(of_sample, x), term(of_output.abs(), output)),
    }
}

/// To nine digits, which float32 cannot tell from all of them.
fn number(value: f64) -> String {
    format!("{value:.9}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

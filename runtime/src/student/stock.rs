//! The scheduler of diffusers whose steps are a student's, for a checkpoint that stock pipelines draw with.
//!
//! diffusers computes its times from their number, and starts from unit noise. Which class comes to the student's own list
//! of times and makes its steps, measured with diffusers 0.36 (`tests/clients`):
//!
//! | student | class |
//! |---|---|
//! | noise table, ode | `DPMSolverMultistepScheduler` of order 1 on trailing times: the same map as a DDIM step |
//! | CogVideoX's noise table, ode on evenly spaced times | `CogVideoXDDIMScheduler`; on others as above, of the betas that the shifted table comes to |
//! | noise table, renoise | `LCMScheduler` over all training times, its boundary condition scaled away |
//! | consistency model | `LCMScheduler` as it was distilled |
//! | line velocity, one step | `DPMSolverMultistepScheduler` with flow sigmas, the shift so large that the first is 1 |
//! | line velocity, ode | the same without a shift; its first sigma is 1 - 1/1000 instead of 1 |
//! | flow | `FlowMatchEulerDiscreteScheduler`; shift and last sigma are solved for the list; stochastic where it renoises |

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::process::shift::shifted;
use crate::process::spacing::{consistent, linspace, trailing};
use crate::process::{Betas, Consistency, NoiseSchedule, NoiseTable, Parameterisation, Rollout, StepRule};

/// The version that writes such configurations, and with which they were measured.
const DIFFUSERS_VERSION: &str = "0.36.0";

/// A shift that moves the first flow sigma to 1 in float32.
const TO_THE_NOISY_END: f64 = 1e6;

/// So large that nothing of the noisy sample is left in LCM's boundary condition, at any time but 0.
const NO_BOUNDARY: f64 = 1e6;

/// Sigmas that differ by less are equal in float32 arithmetic.
const SAME_SIGMA: f64 = 1e-6;

/// A scheduler of diffusers, and how a pipeline with it is called.
#[derive(Clone, Debug, PartialEq)]
pub struct Stock {
    /// `scheduler_config.json`.
    pub config: Value,
    /// What the pipeline is called with.
    pub call: Call,
    /// How far its steps are from the student's, where they are not the same.
    pub note: Option<String>,
}

impl Stock {
    /// The scheduler's class.
    #[must_use]
    pub fn class(&self) -> &str {
        self.config["_class_name"].as_str().unwrap_or_default()
    }
}

/// Arguments of a pipeline of diffusers besides the prompt: one of the first three, the guidance weight, and what the pipeline
/// needs besides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Where the scheduler finds the times by their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_inference_steps: Option<usize>,
    /// Where it has to be told the times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timesteps: Option<Vec<u32>>,
    /// Where it has to be told the noise levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigmas: Option<Vec<f64>>,
    /// 1 is none.
    pub guidance_scale: f64,
    /// How many tokens of T5 the denoiser is given, where that is not the pipeline's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sequence_length: Option<usize>,
}

impl Call {
    fn steps(count: usize) -> Self {
        Self { num_inference_steps: Some(count), timesteps: None, sigmas: None, guidance_scale: 1.0, max_sequence_length: None }
    }

    /// As Python writes the arguments.
    #[must_use]
    pub fn python(&self) -> String {
        let steps = self.num_inference_steps.map(|count| format!("num_inference_steps={count}"));
        let timesteps = self.timesteps.as_ref().map(|times| format!("timesteps={times:?}"));
        let sigmas = self.sigmas.as_ref().map(|sigmas| format!("sigmas={sigmas:?}"));
        let times = steps.or(timesteps).or(sigmas).unwrap_or_default();
        let length = self.max_sequence_length.map(|length| format!(", max_sequence_length={length}")).unwrap_or_default();
        format!("{times}, guidance_scale={}{length}", self.guidance_scale)
    }
}

/// The scheduler that makes the steps of `rollout` on this noise process, guided by `guidance` where the student is a guided
/// one; otherwise why no scheduler of diffusers does.
///
/// # Errors
/// The reason, as a sentence without its full stop.
pub fn stock(rollout: &Rollout, schedule: &NoiseSchedule, guidance: Option<f64>) -> Result<Stock, String> {
    let times = rollout.network_times();
    let mut stock = match (rollout.process().parameterisation(), schedule) {
        (Parameterisation::LineVelocity, NoiseSchedule::Table(table)) => line(&times, rollout.rule(), table),
        (prediction, NoiseSchedule::Table(table)) => on_table(&times, walk(rollout), table, prediction),
        (_, &NoiseSchedule::Flow { num_train_timesteps, shift }) => Ok(flow(&times, rollout.rule(), num_train_timesteps, shift)),
    }?;
    if let Some(weight) = guidance {
        // At weights up to 1 diffusers leaves the unconditional half out, which at 1 alone changes nothing.
        if weight < 1.0 {
            return Err(format!("diffusers ignores guidance weights below 1, and this student has {weight}"));
        }
        stock.call.guidance_scale = weight;
    }
    Ok(stock)
}

/// What happens between two calls, and how a consistency model was distilled.
type Walk = (StepRule, Option<Consistency>);

/// A consistency model is one in a single step too.
fn walk(rollout: &Rollout) -> Walk {
    let consistency = rollout.consistency();
    (if consistency.is_some() && rollout.steps().len() == 1 { StepRule::Renoise } else { rollout.rule() }, consistency)
}

/// Times as diffusers keeps them in lists of integers.
fn whole(times: &[f64]) -> Result<Vec<u32>, String> {
    let whole = |&time: &f64| (time.fract() == 0.0 && (0.0..=1e9).contains(&time)).then_some(time as u32);
    let refuse = || format!("diffusers keeps the times of such schedulers as integers, and this student has {times:?}");
    times.iter().map(whole).collect::<Option<_>>().ok_or_else(refuse)
}

/// What both classes with a noise table are told of it, and what the network predicts.
fn table_config(table: &NoiseTable, class: &str, prediction: &str) -> Result<Value, String> {
    // Only CogVideoX's schedulers have a shift of the signal-to-noise ratio.
    let table = &table.unshifted().map_err(|error| error.to_string())?;
    if table.last_alphas_cumprod.is_some() && !table.rescale_betas_zero_snr {
        return Err(format!("diffusers' {class} cannot set the last entry of its noise table alone"));
    }
    let mut config = json!({
        "_class_name": class,
        "_diffusers_version": DIFFUSERS_VERSION,
        "num_train_timesteps": table.count(),
        "prediction_type": prediction,
        "rescale_betas_zero_snr": table.rescale_betas_zero_snr,
    });
    let mut set = |key: &str, value: Value| config[key] = value;
    match &table.betas {
        &Betas::Linear { start, end, .. } => {
            set("beta_schedule", "linear".into());
            set("beta_start", start.into());
            set("beta_end", end.into());
        }
        &Betas::ScaledLinear { start, end, .. } => {
            set("beta_schedule", "scaled_linear".into());
            set("beta_start", start.into());
            set("beta_end", end.into());
        }
        Betas::SquaredCosine { .. } => set("beta_schedule", "squaredcos_cap_v2".into()),
        Betas::Trained(betas) => set("trained_betas", json!(betas)),
    }
    Ok(config)
}

fn with(mut config: Value, more: Value) -> Value {
    if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
        config.extend(more);
    }
    config
}

/// A first-order step of DPM-Solver++ is a DDIM step; unlike diffusers' DDIM it goes to the next time of the list.
fn first_order_solver(table: &NoiseTable, prediction: &str) -> Result<Value, String> {
    let config = table_config(table, "DPMSolverMultistepScheduler", prediction)?;
    let solver = json!({
        "algorithm_type": "dpmsolver++",
        "solver_order": 1,
        "lower_order_final": true,
        "final_sigmas_type": "zero",
    });
    Ok(with(config, solver))
}

fn on_table(times: &[f64], (rule, consistency): Walk, table: &NoiseTable, prediction: Parameterisation) -> Result<Stock, String> {
    let (steps, count, told) = (times.len(), table.count(), whole(times)?);
    let prediction = match prediction {
        Parameterisation::Epsilon => "epsilon",
        Parameterisation::Sample => "sample",
        Parameterisation::VPrediction => "v_prediction",
        Parameterisation::Flow | Parameterisation::LineVelocity => {
            return Err("a network that predicts a velocity is on no noise table".into());
        }
    };
    let trailing = numpy_trailing(count, steps);
    let (config, found) = match rule {
        StepRule::Ode if consistency.is_some() => {
            return Err("no scheduler of diffusers walks along the ODE of a consistency model".into());
        }
        // CogVideoX's step ends a whole `count / steps` before it began, wherever the next one begins.
        StepRule::Ode if table.snr_shift_scale.is_some() && count.is_multiple_of(steps) && trailing == times => {
            (cogvideox_ddim(table, prediction)?, trailing)
        }
        StepRule::Ode => {
            let config = first_order_solver(table, prediction)?;
            (with(config, json!({ "timestep_spacing": "trailing" })), trailing)
        }
        StepRule::Renoise if told.last() == Some(&0) => {
            return Err("diffusers' LCMScheduler returns the noisy sample itself at time 0".into());
        }
        StepRule::Renoise => {
            let config = table_config(table, "LCMScheduler", prediction)?;
            let all = Consistency { solver_steps: count, timestep_scaling: NO_BOUNDARY };
            let Consistency { solver_steps, timestep_scaling } = consistency.unwrap_or(all);
            let own = json!({ "original_inference_steps": solver_steps, "timestep_scaling": timestep_scaling });
            (with(config, own), lcm_times(count, solver_steps, steps))
        }
    };
    let mut call = Call::steps(steps);
    if found != times {
        call = Call { num_inference_steps: None, timesteps: Some(told), ..call };
    }
    Ok(Stock { config, call, note: None })
}

/// The scheduler of CogVideoX, whose table is the shifted one as it is stated.
fn cogvideox_ddim(table: &NoiseTable, prediction: &str) -> Result<Value, String> {
    let plain = NoiseTable { snr_shift_scale: None, ..table.clone() };
    let config = table_config(&plain, "CogVideoXDDIMScheduler", prediction)?;
    let own = json!({
        "snr_shift_scale": table.snr_shift_scale,
        "timestep_spacing": "trailing",
        "set_alpha_to_one": true,
        "clip_sample": false,
        "steps_offset": 0,
    });
    Ok(with(config, own))
}

/// numpy's trailing times, with the one too many that rounding sometimes gives them.
fn numpy_trailing(count: usize, steps: usize) -> Vec<f64> {
    let ratio = count as f64 / steps as f64;
    let mut times = trailing(count, count, steps);
    if (count as f64 / ratio).ceil() as usize > steps {
        times.push(-1.0);
    }
    times
}

/// The times that LCM finds by their number: none where they are more than the solver's.
fn lcm_times(count: usize, solver_steps: usize, steps: usize) -> Vec<f64> {
    match count.checked_div(solver_steps) {
        Some(ratio) if steps <= solver_steps => {
            consistent(solver_steps, steps).map(|place| ((solver_steps - place) * ratio) as f64 - 1.0).collect()
        }
        _ => Vec::new(),
    }
}

fn line(times: &[f64], rule: StepRule, table: &NoiseTable) -> Result<Stock, String> {
    let (told, steps) = (whole(times)?, times.len());
    if rule == StepRule::Renoise && steps > 1 {
        return Err("diffusers' schedulers for UNets cannot noise a sample anew on the straight line".into());
    }
    let count = told.first().map_or(0, |first| first + 1);
    if count < 2 {
        return Err("diffusers' flow sigmas never tell a network the time 0".into());
    }
    // Nothing of the noise table is used on the line.
    let plain = NoiseTable { snr_shift_scale: None, ..table.clone() };
    let config = first_order_solver(&plain, "flow_prediction")?;
    let flow = |shift: f64| json!({ "num_train_timesteps": count, "use_flow_sigmas": true, "flow_shift": shift });
    if steps == 1 {
        return Ok(Stock { config: with(config, flow(TO_THE_NOISY_END)), call: Call::steps(1), note: None });
    }
    let (end, count) = (1.0 / f64::from(count), f64::from(count));
    let levels: Vec<f64> = linspace(1.0, end, steps + 1).into_iter().skip(1).rev().map(|alpha| 1.0 - alpha).collect();
    if levels.iter().map(|sigma| (sigma * count).trunc()).ne(times.iter().copied()) {
        return Err(format!("diffusers' flow sigmas in {steps} steps never tell a network the times {times:?}"));
    }
    let note = format!("its noise levels are up to {end:.3} lower than the student's, and so are its steps");
    Ok(Stock { config: with(config, flow(1.0)), call: Call::steps(steps), note: Some(note) })
}

fn flow(times: &[f64], rule: StepRule, count: usize, shift: f64) -> Stock {
    let wanted: Vec<f64> = times.iter().map(|time| time / count as f64).collect();
    let config = |shift: f64, last: Option<f64>| {
        json!({
            "_class_name": "FlowMatchEulerDiscreteScheduler",
            "_diffusers_version": DIFFUSERS_VERSION,
            "num_train_timesteps": count,
            "shift": shift,
            "shift_terminal": last,
            "stochastic_sampling": rule == StepRule::Renoise,
        })
    };
    let steps = wanted.len();
    let last = wanted.last().copied().filter(|_| steps > 1);
    let found = solved_shift(shift, steps, count).filter(|&shift| {
        let made = flow_sigmas(shift, last, steps, count);
        made.iter().zip(&wanted).all(|(made, wanted)| (made - wanted).abs() < SAME_SIGMA)
    });
    match found {
        Some(shift) => Stock { config: config(shift, last), call: Call::steps(steps), note: None },
        None => {
            let call = Call { num_inference_steps: None, sigmas: Some(wanted), ..Call::steps(steps) };
            Stock { config: config(1.0, None), call, note: None }
        }
    }
}

/// The sigmas of FlowMatchEulerDiscreteScheduler: evenly from 1 to the shifted `1 / count`, shifted, and stretched so that
/// the last one is `last`.
fn flow_sigmas(shift: f64, last: Option<f64>, steps: usize, count: usize) -> Vec<f64> {
    let low = shifted(shift, 1.0 / count as f64);
    let mut sigmas: Vec<f64> = linspace(1.0, low, steps).into_iter().map(|sigma| shifted(shift, sigma)).collect();
    if let (Some(last), Some(&made)) = (last, sigmas.last()) {
        let scale = (1.0 - made) / (1.0 - last);
        sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - (1.0 - *sigma) / scale);
    }
    sigmas
}

/// The shift `r` with which diffusers' evenly spaced sigmas, shifted by `r` and stretched, are those of `steps` trailing
/// steps shifted by `s`: with `c = (1 - low) / (steps - 1)` the i-th distances to 1 are proportional to
/// `c i / (r - (r - 1) c i)` and `i / (s n - (s - 1) i)`, so `(r - 1) c s n = (s - 1) r`, which is quadratic in `r`.
fn solved_shift(shift: f64, steps: usize, count: usize) -> Option<f64> {
    let (n, last) = (steps as f64, count as f64 - 1.0);
    let constant = shift * n * last;
    let square = (shift - 1.0) * (n - 1.0);
    let linear = square * last - constant;
    let root = (linear * linear - 4.0 * square * constant).sqrt();
    let solved = 2.0 * constant / (root - linear);
    (solved.is_finite() && solved > 0.0).then_some(solved)
}

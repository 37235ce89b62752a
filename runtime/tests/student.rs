//! The schedulers of diffusers that students are written with. Times and maps are checked by our own reading of the class
//! where it reads the configuration, and by the class's arithmetic where it does not; `tests/clients/student.py` draws with
//! diffusers itself.
#![allow(clippy::unwrap_used)]

use dmdx_runtime::family;
use dmdx_runtime::manifest::{GuidanceRange, Unconditional};
use dmdx_runtime::process::{Betas, Boundary, Consistency, NoiseSchedule, NoiseTable, Parameterisation, Rollout, StepRule};
use dmdx_runtime::scheduler::Scheduler;
use dmdx_runtime::student::{Call, Diffusers, Layout, Stock, stock};
use dmdx_runtime::tensor::Tensor;
use serde_json::{Value, json};

fn sdxl() -> NoiseSchedule {
    NoiseSchedule::scaled_linear(0.00085, 0.012, 1000)
}

fn flow(shift: f64) -> NoiseSchedule {
    NoiseSchedule::Flow { num_train_timesteps: 1000, shift }
}

fn found(schedule: &NoiseSchedule, prediction: Parameterisation, times: &[f64], rule: StepRule) -> Result<Stock, String> {
    stock(&schedule.rollout(prediction, times, rule).unwrap(), schedule, None)
}

fn steps(count: usize) -> Call {
    Call { num_inference_steps: Some(count), timesteps: None, sigmas: None, guidance_scale: 1.0, max_sequence_length: None }
}

#[test]
fn a_one_step_line_student_gets_the_measured_configuration() {
    let stock = found(&sdxl(), Parameterisation::LineVelocity, &[999.0], StepRule::Ode).unwrap();
    let expected = json!({
        "_class_name": "DPMSolverMultistepScheduler",
        "_diffusers_version": "0.36.0",
        "num_train_timesteps": 1000,
        "prediction_type": "flow_prediction",
        "rescale_betas_zero_snr": false,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "algorithm_type": "dpmsolver++",
        "solver_order": 1,
        "lower_order_final": true,
        "final_sigmas_type": "zero",
        "use_flow_sigmas": true,
        "flow_shift": 1e6,
    });
    assert_eq!(stock.config, expected);
    assert_eq!((stock.call.python().as_str(), &stock.note), ("num_inference_steps=1, guidance_scale=1", &None));
    // The class's arithmetic: sigma = shift s / (1 + (shift - 1) s) at s = 1 - 1/N, told int(N sigma), x0 = x - sigma o.
    let at = |stock: &Stock| {
        let number = |key: &str| stock.config[key].as_f64().unwrap();
        let (count, shift) = (number("num_train_timesteps"), number("flow_shift"));
        let s = 1.0 - 1.0 / count;
        let sigma = shift * s / (1.0 + (shift - 1.0) * s);
        ((count * sigma).trunc(), sigma)
    };
    let (told, sigma) = at(&stock);
    assert!(told == 999.0 && (sigma - 1.0).abs() < 2e-6, "{told} {sigma}");
    // One that is told another time for pure noise.
    let early = found(&sdxl(), Parameterisation::LineVelocity, &[399.0], StepRule::Ode).unwrap();
    assert_eq!(at(&early).0, 399.0);
}

/// Walks a fake network by our reading of the scheduler that was written, and by the student's own list.
fn equal_walks(schedule: &NoiseSchedule, prediction: Parameterisation, times: &[f64], rule: StepRule, tolerance: f32) {
    let rollout = schedule.rollout(prediction, times, rule).unwrap();
    equal_walks_of(&rollout, schedule, tolerance);
}

fn equal_walks_of(rollout: &Rollout, schedule: &NoiseSchedule, tolerance: f32) {
    let (times, stock) = (&rollout.network_times()[..], stock(rollout, schedule, None).unwrap());
    assert_eq!(stock.call, steps(times.len()), "{times:?}");
    let mut scheduler = Scheduler::from_config(&stock.config).unwrap();
    scheduler.set_timesteps(times.len(), None).unwrap();
    assert_eq!(scheduler.timesteps(), times);
    assert_eq!(scheduler.init_noise_sigma(), 1.0);
    let tensor = |values: Vec<f32>| Tensor::f32([1, values.len()], values).unwrap();
    let network = |x: &Tensor, time: f64| {
        let answer = |&x: &f32| (0.7 * x + (time as f32 / 300.0).sin()).tanh() + 0.1 * x;
        tensor(x.floats().unwrap().iter().map(answer).collect())
    };
    let noise = tensor((0..16).map(|i| (i as f32 * 1.7).sin() * 2.0).collect());
    let fresh = |step: usize| tensor((0..16).map(|i| ((i * (step + 3)) as f32).cos()).collect());
    let mut sample = noise.clone();
    for (index, &time) in times.iter().enumerate() {
        let output = network(&sample, time);
        let drawn = scheduler.draws_noise(time).unwrap().then(|| fresh(index));
        sample = scheduler.step(&output, time, &sample, drawn.as_ref()).unwrap().previous;
    }
    let own = dmdx_runtime::pipeline::walk(rollout, noise, |x, time| Ok(network(x, time)), |step| Ok(fresh(step))).unwrap();
    let error = |(a, b): (&f32, &f32)| (a - b).abs() / b.abs().max(1.0);
    let worst = sample.floats().unwrap().iter().zip(own.floats().unwrap()).map(error).fold(0.0, f32::max);
    assert!(worst < tolerance, "{rollout:?}: {worst}");
}

/// The boundary condition is the scheduler's: so far from the noisy end, and scaled so little, that it shows.
#[test]
fn consistency_students_are_walked_by_the_scheduler_that_they_were_distilled_for() {
    let lcm = Consistency { solver_steps: 50, timestep_scaling: 10.0 };
    let weak = Consistency { timestep_scaling: 0.01, ..lcm };
    let process = sdxl().process(Parameterisation::Epsilon).unwrap();
    assert_eq!(lcm.times(&process, 4).unwrap(), [999.0, 759.0, 499.0, 259.0]);
    assert_eq!(lcm.starts(&process).unwrap()[47..], [59.0, 39.0, 19.0]);
    assert!(lcm.times(&process, 51).is_err() && Consistency { solver_steps: 30, ..lcm }.starts(&process).is_err());
    for consistency in [lcm, weak] {
        for calls in [1, 2, 4, 8] {
            for prediction in [Parameterisation::Epsilon, Parameterisation::VPrediction] {
                let times = consistency.times(&process, calls).unwrap();
                let rollout = sdxl().rollout(prediction, &times, StepRule::Renoise).unwrap().by(Some(consistency)).unwrap();
                equal_walks_of(&rollout, &sdxl(), 1e-4);
            }
        }
    }
    let (skip, out) = Boundary::new(0.01).scalings(99.0);
    assert!((skip - 0.203).abs() < 1e-3 && (out - 0.893).abs() < 1e-3, "{skip} {out}");
    let of = |times: &[f64], rule| sdxl().rollout(Parameterisation::Epsilon, times, rule).unwrap().by(Some(lcm)).unwrap();
    let told = stock(&of(&[999.0, 19.0], StepRule::Renoise), &sdxl(), None).unwrap();
    assert_eq!((told.call.timesteps, told.config["original_inference_steps"].as_u64()), (Some(vec![999, 19]), Some(50)));
    assert!(stock(&of(&[999.0, 19.0], StepRule::Ode), &sdxl(), None).unwrap_err().contains("consistency"));
    // The straight path needs no condition.
    let straight = flow(3.0).process(Parameterisation::Flow).unwrap();
    assert_eq!(straight.consistent(0.02, Boundary::new(0.01)).unwrap(), straight.original(0.02).unwrap());
}

#[test]
fn students_on_a_noise_table_are_walked_by_the_schedulers_that_they_are_written_with() {
    let zero = |last| {
        let mut table = NoiseTable::of(Betas::ScaledLinear { start: 0.00085, end: 0.012, count: 1000 });
        table.rescale_betas_zero_snr = true;
        table.last_alphas_cumprod = last;
        NoiseSchedule::Table(table)
    };
    for times in [&[999.0][..], &[999.0, 499.0], &[999.0, 749.0, 499.0, 249.0]] {
        for rule in [StepRule::Ode, StepRule::Renoise] {
            for prediction in [Parameterisation::Epsilon, Parameterisation::VPrediction, Parameterisation::Sample] {
                // float32 tables against f64, enlarged by 1 / alpha = 14.6 where noise is predicted.
                equal_walks(&sdxl(), prediction, times, rule, 1e-4);
            }
            // diffusers' solver lifts the last entry of the table to 2^-24, so alpha to 2.4e-4.
            equal_walks(&zero(None), Parameterisation::VPrediction, times, rule, 1e-3);
            equal_walks(&zero(Some(1.0 / 16_777_216.0)), Parameterisation::VPrediction, times, rule, 1e-3);
        }
    }
    // Trailing times that the number of steps does not divide: the solver goes to the next time of its list, as we do.
    equal_walks(&sdxl(), Parameterisation::Epsilon, &[999.0, 666.0, 332.0], StepRule::Ode, 1e-4);
    equal_walks(&sdxl(), Parameterisation::Epsilon, &[999.0, 666.0, 333.0], StepRule::Renoise, 1e-4);
}

fn cogvideox(shift: f64) -> NoiseSchedule {
    let mut table = NoiseTable::of(Betas::ScaledLinear { start: 0.00085, end: 0.012, count: 1000 });
    (table.snr_shift_scale, table.rescale_betas_zero_snr) = (Some(shift), true);
    NoiseSchedule::Table(table)
}

/// CogVideoX's own scheduler where its steps end where the next ones begin, otherwise the solver on the betas of the shifted
/// table, whose last entry it lifts to 2^-24.
#[test]
fn students_of_videos_are_walked_by_the_schedulers_that_they_are_written_with() {
    let v = Parameterisation::VPrediction;
    for shift in [1.0, 3.0] {
        let walk = |times: &[f64], rule, tolerance| equal_walks(&cogvideox(shift), v, times, rule, tolerance);
        for times in [&[999.0][..], &[999.0, 499.0], &[999.0, 874.0, 749.0, 624.0, 499.0, 374.0, 249.0, 124.0]] {
            let stock = found(&cogvideox(shift), v, times, StepRule::Ode).unwrap();
            assert_eq!((stock.class(), &stock.call), ("CogVideoXDDIMScheduler", &steps(times.len())));
            walk(times, StepRule::Ode, 1e-4);
            walk(times, StepRule::Renoise, 1e-3);
        }
        // CogVideoX's second step would go from 666 to 333.
        walk(&[999.0, 666.0, 332.0], StepRule::Ode, 1e-3);
        let stock = found(&cogvideox(shift), v, &[999.0, 399.0], StepRule::Ode).unwrap();
        assert_eq!((stock.class(), stock.call.timesteps.as_deref()), ("DPMSolverMultistepScheduler", Some(&[999, 399][..])));
        // On the line nothing of the table is used.
        let stock = found(&cogvideox(shift), Parameterisation::LineVelocity, &[999.0], StepRule::Ode).unwrap();
        assert_eq!((stock.class(), &stock.config["flow_shift"]), ("DPMSolverMultistepScheduler", &json!(1e6)));
    }
}

#[test]
fn pipelines_are_told_the_length_of_texts_where_they_think_of_another() {
    let cogvideox_5b = family::of_class("CogVideoXPipeline").unwrap();
    let schedule = cogvideox(3.0);
    let rollout = schedule.rollout(Parameterisation::VPrediction, &[999.0, 499.0], StepRule::Ode).unwrap();
    let call = |config: Value| match Layout::new(cogvideox_5b, [&json!({}), &config], &rollout, &schedule, None).diffusers {
        Diffusers::Scheduler { call, .. } => call.python(),
        Diffusers::None { no_scheduler } => no_scheduler,
    };
    let short = "num_inference_steps=2, guidance_scale=1, max_sequence_length=16";
    assert_eq!(call(json!({"max_text_seq_length": 16})), short);
    assert_eq!(call(json!({"max_text_seq_length": 226})), "num_inference_steps=2, guidance_scale=1");
    assert_eq!(call(json!({})), "num_inference_steps=2, guidance_scale=1");
}

#[test]
fn times_that_no_number_of_steps_gives_are_told() {
    for rule in [StepRule::Ode, StepRule::Renoise] {
        let stock = found(&sdxl(), Parameterisation::Epsilon, &[999.0, 399.0], rule).unwrap();
        assert_eq!(stock.call.python(), "timesteps=[999, 399], guidance_scale=1", "{}", stock.class());
    }
    let stock = found(&flow(3.0), Parameterisation::Flow, &[1000.0, 900.0, 500.0], StepRule::Ode).unwrap();
    assert_eq!(stock.call.python(), "sigmas=[1.0, 0.9, 0.5], guidance_scale=1");
    assert_eq!((&stock.config["shift"], &stock.config["shift_terminal"]), (&json!(1.0), &Value::Null));
    // numpy's arange gives 62 trailing times where 61 are asked for, the last of them -1.
    let times: Vec<f64> = (0..61).map(|i| (1000.0 - f64::from(i) * (1000.0 / 61.0)).round_ties_even() - 1.0).collect();
    let stock = found(&sdxl(), Parameterisation::Epsilon, &times, StepRule::Ode).unwrap();
    assert_eq!(stock.call.timesteps.map(|times| times.len()), Some(61));
}

/// `FlowMatchEulerDiscreteScheduler.set_timesteps` of diffusers 0.36 with its defaults.
fn flow_match(config: &Value, steps: usize) -> Vec<f64> {
    let (count, shift) = (config["num_train_timesteps"].as_f64().unwrap(), config["shift"].as_f64().unwrap());
    let shifted = |sigma: f64| shift * sigma / (1.0 + (shift - 1.0) * sigma);
    let low = shifted(1.0 / count);
    let even = |i: usize| if steps == 1 { 1.0 } else { 1.0 - i as f64 * (1.0 - low) / (steps as f64 - 1.0) };
    let mut sigmas: Vec<f64> = (0..steps).map(|i| shifted(even(i))).collect();
    if let Some(last) = config["shift_terminal"].as_f64() {
        let scale = (1.0 - sigmas[steps - 1]) / (1.0 - last);
        sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - (1.0 - *sigma) / scale);
    }
    sigmas.iter().map(|sigma| sigma * count).collect()
}

#[test]
fn flow_students_are_told_their_own_times_in_any_number_of_steps() {
    for shift in [0.5, 1.0, 3.0, 6.0] {
        for count in [1, 2, 3, 4, 8, 20] {
            let times: Vec<f64> = (0..count)
                .map(|i| 1.0 - f64::from(i) / f64::from(count))
                .map(|s| 1000.0 * shift * s / (1.0 + (shift - 1.0) * s))
                .collect();
            for rule in [StepRule::Ode, StepRule::Renoise] {
                let stock = found(&flow(shift), Parameterisation::Flow, &times, rule).unwrap();
                assert_eq!(stock.class(), "FlowMatchEulerDiscreteScheduler");
                assert_eq!(stock.call, steps(times.len()));
                assert_eq!(stock.config["stochastic_sampling"], rule == StepRule::Renoise);
                let told = flow_match(&stock.config, times.len());
                let worst = told.iter().zip(&times).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(worst < 1e-3, "shift {shift}, {count} steps: {worst} of 1000");
            }
        }
    }
    // Two steps to any time.
    let stock = found(&flow(3.0), Parameterisation::Flow, &[1000.0, 400.0], StepRule::Ode).unwrap();
    assert_eq!((stock.call.clone(), flow_match(&stock.config, 2)[1].round()), (steps(2), 400.0));
}

#[test]
fn line_students_of_several_steps_say_how_near_they_are_drawn() {
    let stock = found(&sdxl(), Parameterisation::LineVelocity, &[999.0, 749.0, 499.0, 249.0], StepRule::Ode).unwrap();
    assert_eq!((stock.call, &stock.config["flow_shift"]), (steps(4), &json!(1.0)));
    assert!(stock.note.unwrap().contains("0.001 lower"));
}

fn family() -> &'static dyn family::Family {
    family::of_class("StableDiffusionXLPipeline").unwrap()
}

#[test]
fn what_no_scheduler_draws_is_said_and_left_without_one() {
    let line = Parameterisation::LineVelocity;
    for (times, rule, reason) in [
        (&[999.0, 499.0][..], StepRule::Renoise, "noise a sample anew on the straight line"),
        (&[999.0, 399.0], StepRule::Ode, "never tell a network the times [999.0, 399.0]"),
        (&[999.5], StepRule::Ode, "integers"),
    ] {
        let refused = found(&sdxl(), line, times, rule).unwrap_err();
        assert!(refused.contains(reason), "{refused}");
    }
    let rollout = sdxl().rollout(line, &[999.0, 499.0], StepRule::Renoise).unwrap();
    let index = json!({"_class_name": "StableDiffusionXLPipeline", "scheduler": ["diffusers", "EulerDiscreteScheduler"]});
    let layout = Layout::new(family(), [&index, &json!(null)], &rollout, &sdxl(), None);
    assert_eq!(layout.scheduler, None);
    assert_eq!(serde_json::from_str::<Value>(&layout.model_index).unwrap()["scheduler"], json!([null, null]));
    assert!(matches!(layout.diffusers, Diffusers::None { .. }));
}

#[test]
fn guidance_is_part_of_the_call_and_the_index() {
    let schedule = sdxl();
    let rollout = schedule.rollout(Parameterisation::Epsilon, &[999.0, 499.0], StepRule::Ode).unwrap();
    let index = json!({"_class_name": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": true});
    let range = |default| GuidanceRange { default, range: [0.0, 4.0] };
    let guided = |default, unconditional| {
        Layout::new(family(), [&index, &json!(null)], &rollout, &schedule, Some((range(default), unconditional)))
    };
    let layout = guided(2.5, Unconditional::EmptyPrompt);
    assert!(matches!(&layout.diffusers, Diffusers::Scheduler { call, .. } if call.guidance_scale == 2.5));
    assert!(layout.model_index.contains("\"force_zeros_for_empty_prompt\": false"), "{}", layout.model_index);
    // Without its unconditional half a student guided by 1 draws the same.
    let layout = guided(1.0, Unconditional::Zeros);
    assert!(matches!(&layout.diffusers, Diffusers::Scheduler { call, .. } if call.guidance_scale == 1.0));
    let layout = guided(0.5, Unconditional::Zeros);
    assert!(matches!(&layout.diffusers, Diffusers::None { no_scheduler } if no_scheduler.contains("below 1")));
    // Where the class has no zeros, nothing in the index gives it some.
    let plain = family::of_class("StableDiffusionPipeline").unwrap();
    let layout = Layout::new(plain, [&index, &json!(null)], &rollout, &schedule, Some((range(2.5), Unconditional::Zeros)));
    assert!(matches!(&layout.diffusers, Diffusers::None { no_scheduler } if no_scheduler.contains("zeros for every embedding")));
}

/// What diffusers has no place for in its files stands in the call: how many tokens of T5 the teacher was given.
#[test]
fn a_student_is_called_with_its_teachers_length_of_t5() {
    let sd3 = family::of_class("StableDiffusion3Pipeline").unwrap();
    let rollout = flow(3.0).rollout(Parameterisation::Flow, &[1000.0, 900.0, 750.0, 500.0], StepRule::Ode).unwrap();
    for (index, expected) in [
        (json!({}), "num_inference_steps=4, guidance_scale=1"),
        (json!({ "_dmdx_max_sequence_length": 256 }), "num_inference_steps=4, guidance_scale=1"),
        (json!({ "_dmdx_max_sequence_length": 16 }), "num_inference_steps=4, guidance_scale=1, max_sequence_length=16"),
    ] {
        let layout = Layout::new(sd3, [&index, &json!(null)], &rollout, &flow(3.0), None);
        let Diffusers::Scheduler { call, .. } = layout.diffusers else { panic!("{:?}", layout.diffusers) };
        assert_eq!(call.python(), expected);
        let kept: Value = serde_json::from_str(&layout.model_index).unwrap();
        assert_eq!(kept.get("_dmdx_max_sequence_length"), index.get("_dmdx_max_sequence_length"));
    }
}

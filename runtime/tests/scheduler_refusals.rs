//! What the schedulers refuse, and what they ignore.
#![allow(clippy::unwrap_used)]

use dmdx_runtime::Tensor;
use dmdx_runtime::process::Grid;
use dmdx_runtime::scheduler::{Scheduler, process};
use serde_json::{Value, json};

fn config(class: &str, more: &Value) -> Value {
    let mut config = json!({"_class_name": format!("{class}Scheduler"), "_diffusers_version": "0.36.0"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

fn refused(class: &str, more: Value) -> String {
    Scheduler::from_config(&config(class, &more)).unwrap_err().to_string()
}

#[test]
fn keys_and_values_are_refused_by_name() {
    let cases = [
        ("DDIM", json!({"thresholding": true}), "thresholding = true, which is not supported"),
        ("DDIM", json!({"prediction_type": "learned"}), "prediction_type = \"learned\", but epsilon or sample or v_prediction"),
        (
            "DDIM",
            json!({"num_train_timesteps": 1e12 as u64}),
            "num_train_timesteps = 1000000000000, but an integer from 2 to 100000",
        ),
        ("DDIM", json!({"num_train_timesteps": -1}), "num_train_timesteps = -1"),
        (
            "DDIM",
            json!({"beta_schedule": "sigmoid"}),
            "beta_schedule = \"sigmoid\", but scaled_linear or linear or squaredcos_cap_v2",
        ),
        ("DDIM", json!({"beta_start": 0.5, "beta_end": 0.1}), "beta_start = 0.5, but 0 < beta_start <= beta_end < 1"),
        (
            "DDIM",
            json!({"beta_start": 1e-30, "beta_end": 1e-30, "rescale_betas_zero_snr": true}),
            "rescale_betas_zero_snr = true, but the betas are too small",
        ),
        ("DDIM", json!({"trained_betas": [0.1, 0.2]}), "but 1000 numbers from 0 to 1 are needed"),
        ("DDIM", json!({"clip_sample": "yes"}), "clip_sample = \"yes\", but true or false is needed"),
        ("DDPM", json!({"variance_type": "learned_range"}), "variance_type = \"learned_range\", but fixed_small"),
        ("EulerDiscrete", json!({"use_beta_sigmas": true}), "use_beta_sigmas = true"),
        ("EulerDiscrete", json!({"use_exponential_sigmas": true}), "use_exponential_sigmas = true"),
        (
            "EulerDiscrete",
            json!({"interpolation_type": "log_linear"}),
            "interpolation_type = \"log_linear\", but linear is supported",
        ),
        ("EulerDiscrete", json!({"timestep_type": "continuous"}), "timestep_type = \"continuous\""),
        ("EulerDiscrete", json!({"sigma_min": 0}), "sigma_min = 0, but a positive number"),
        ("EulerAncestralDiscrete", json!({"prediction_type": "sample"}), "but epsilon or v_prediction is supported"),
        ("PNDM", json!({"skip_prk_steps": false}), "skip_prk_steps = false, but only true"),
        ("PNDM", json!({}), "skip_prk_steps = null, but only true"),
        ("DPMSolverMultistep", json!({"algorithm_type": "dpmsolver"}), "but dpmsolver++ or sde-dpmsolver++"),
        ("DPMSolverMultistep", json!({"prediction_type": "flow_prediction"}), "which needs use_flow_sigmas = true"),
        ("DPMSolverMultistep", json!({"use_flow_sigmas": true, "flow_shift": 0}), "flow_shift = 0, but a positive number"),
        ("DPMSolverMultistep", json!({"use_flow_sigmas": true, "use_karras_sigmas": true}), "does not go with use_karras_sigmas"),
        ("UniPCMultistep", json!({"solver_p": {}}), "solver_p = {}, but another predictor"),
        ("UniPCMultistep", json!({"predict_x0": false}), "predict_x0 = false, which needs final_sigmas_type = sigma_min"),
        ("UniPCMultistep", json!({"lower_order_final": false}), "lower_order_final = false, which needs final_sigmas_type"),
        ("UniPCMultistep", json!({"disable_corrector": [-1]}), "but a list of steps is needed"),
        ("TCD", json!({"eta": 1.5}), "eta = 1.5, but a number from 0 to 1 is needed"),
        ("DPMSolverMultistep", json!({"use_lu_lambdas": true}), "use_lu_lambdas = true"),
        ("DPMSolverMultistep", json!({"variance_type": "learned"}), "variance_type = \"learned\""),
        ("DPMSolverMultistep", json!({"solver_order": 4}), "an integer from 1 to 3"),
        ("DPMSolverMultistep", json!({"lambda_min_clipped": 100.0}), "which leaves no training time"),
        ("FlowMatchEulerDiscrete", json!({"invert_sigmas": true}), "invert_sigmas = true"),
        ("FlowMatchEulerDiscrete", json!({"shift_terminal": 0.1}), "shift_terminal = 0.1"),
        ("FlowMatchEulerDiscrete", json!({"shift": 0.0}), "shift = 0.0, but a positive number"),
        ("CogVideoXDDIM", json!({"snr_shift_scale": -1.0}), "snr_shift_scale = -1.0"),
        ("LCM", json!({"original_inference_steps": 2000}), "an integer from 1 to 1000"),
        (
            "Consistency",
            json!({}),
            "the scheduler class ConsistencyScheduler is not supported; the supported ones are EulerDiscrete",
        ),
        (
            "DEISMultistep",
            json!({}),
            "the scheduler class DEISMultistepScheduler is not supported; UniPCMultistepScheduler reads the same keys for the same \
             noise levels: name it as _class_name instead",
        ),
        ("SASolver", json!({}), "SASolverScheduler is not supported; UniPCMultistepScheduler reads the same keys"),
        ("EDMEuler", json!({}), "networks with EDM preconditioning are not supported"),
    ];
    for (class, more, sentence) in cases {
        let found = refused(class, more);
        assert!(found.contains(sentence), "{found:?} lacks {sentence:?}");
        assert!(!found.contains('\n') && found.len() < 500, "{found}");
    }
    // No class without a known process is taken for a noise table.
    for class in ["DEISMultistep", "SASolver", "EDMEuler", "FlowMatchHeunDiscrete", "Consistency"] {
        let found = process(&config(class, &json!({}))).unwrap_err().to_string();
        assert!(found.contains("Scheduler is not supported; "), "{found}");
    }
    for value in [json!(3), json!({}), json!({"_class_name": 4})] {
        assert!(Scheduler::from_config(&value).is_err());
    }
}

#[test]
fn keys_of_other_classes_are_ignored_and_named() {
    // The released SDXL file.
    let more = json!({"clip_sample": false, "sample_max_value": 1.0, "set_alpha_to_one": false, "skip_prk_steps": true, "trained_betas": null, "other": null, "new_key": 3});
    let scheduler = Scheduler::from_config(&config("EulerDiscrete", &more)).unwrap();
    assert_eq!(scheduler.class(), "EulerDiscreteScheduler");
    assert_eq!(scheduler.ignored(), ["clip_sample", "sample_max_value", "set_alpha_to_one", "skip_prk_steps", "other"]);
    assert_eq!(scheduler.unknown(), ["new_key"]);
}

#[test]
fn python_json_is_read_and_anything_else_refused() {
    let text = r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "_note": "NaN \" -Infinity"}"#;
    assert!(Scheduler::from_json(text).is_ok());
    for text in [
        "",
        "{",
        r#"{"_class_name": "DDIMScheduler", "beta_end": Infinity}"#,
        r#"{"_class_name": "DDIMScheduler", "beta_end": NaN}"#,
    ] {
        assert!(Scheduler::from_json(text).is_err(), "{text}");
    }
    assert!(Scheduler::from_json(&" ".repeat(5 << 20)).unwrap_err().to_string().contains("bytes"));
    assert!(Scheduler::from_json(&"[".repeat(100_000)).is_err());
}

#[test]
fn use_in_the_wrong_way_is_refused() {
    let one = Tensor::f32([1, 2], vec![0.5, -0.25]).unwrap();
    let mut ddim = Scheduler::from_config(&config("DDIM", &json!({"steps_offset": 1}))).unwrap();
    assert!(ddim.step(&one, 1.0, &one, None).unwrap_err().to_string().contains("set_timesteps"));
    for steps in [0, 1001, usize::MAX] {
        assert!(ddim.set_timesteps(steps, None).unwrap_err().to_string().contains("1 to 1000"));
    }
    assert!(ddim.set_timesteps(1000, None).unwrap_err().to_string().contains("steps_offset = 1 moves a step to time 1000"));
    assert!(ddim.set_timesteps(4, Some(1.0)).unwrap_err().to_string().contains("use_dynamic_shifting"));
    ddim.set_timesteps(4, None).unwrap();
    assert!(ddim.step(&one, 17.0, &one, None).unwrap_err().to_string().contains("timesteps()"));
    assert!(ddim.step(&Tensor::f32([2], vec![0.0; 2]).unwrap(), 751.0, &one, None).is_err());
    ddim.step(&one, 501.0, &one, None).unwrap();
    assert!(ddim.step(&one, 751.0, &one, None).unwrap_err().to_string().contains("the next of this run is 251"));
    for time in [-1.0, 0.5, 1000.0, f64::NAN, f64::INFINITY] {
        assert!(ddim.add_noise(&one, &one, &[time]).is_err());
    }
    assert!(ddim.add_noise(&one, &one, &[]).is_err());

    let mut ddpm = Scheduler::from_config(&config("DDPM", &json!({}))).unwrap();
    ddpm.set_timesteps(4, None).unwrap();
    assert!(ddpm.draws_noise(750.0).unwrap() && !ddpm.draws_noise(0.0).unwrap());
    assert!(ddpm.step(&one, 750.0, &one, None).unwrap_err().to_string().contains("adds noise, but none was given"));

    let zero = json!({"rescale_betas_zero_snr": true, "timestep_spacing": "trailing", "clip_sample": false});
    let mut ddim = Scheduler::from_config(&config("DDIM", &zero)).unwrap();
    ddim.set_timesteps(4, None).unwrap();
    assert!(ddim.step(&one, 999.0, &one, None).unwrap_err().to_string().contains("v_prediction"));

    let mut flow = Scheduler::from_config(&config("FlowMatchEulerDiscrete", &json!({"use_dynamic_shifting": true}))).unwrap();
    assert!(flow.set_timesteps(4, None).unwrap_err().to_string().contains("shift_for"));
    assert!(flow.set_timesteps(4, Some(f64::NAN)).is_err());
    // base_shift at base_image_seq_len, max_shift at max_image_seq_len.
    assert!((flow.shift_for(256).unwrap() - 0.5).abs() < 1e-12 && (flow.shift_for(4096).unwrap() - 1.15).abs() < 1e-12);
}

/// distillation.md 2.1: diffusers' list for SD3 in four steps; the clean one of students is the process' own.
#[test]
fn the_double_shift() {
    let mut flow = Scheduler::from_config(&config("FlowMatchEulerDiscrete", &json!({"shift": 3.0}))).unwrap();
    flow.set_timesteps(4, None).unwrap();
    let near = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 5e-5);
    assert!(near(flow.sigmas().unwrap(), &[1.0, 0.8577, 0.6022, 0.0089, 0.0]), "{:?}", flow.sigmas());
}

/// distillation.md 2.2.
#[test]
fn the_noise_tables_of_the_teachers() {
    let sd = json!({"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"});
    let cog = |scale: f64| config("CogVideoXDDIM", &json!({"snr_shift_scale": scale, "rescale_betas_zero_snr": true}));
    let cases: [(Value, &[(f64, f64)]); 3] = [
        (
            config("EulerDiscrete", &sd),
            &[(0.0, 0.999150), (20.0, 0.981314), (399.0, 0.426086), (749.0, 0.056623), (999.0, 0.004660)],
        ),
        (
            cog(3.0),
            &[
                (124.0, 0.666324),
                (249.0, 0.390890),
                (499.0, 0.095970),
                (749.0, 0.010966),
                (874.0, 0.001683),
                (998.0, 6.2e-8),
                (999.0, 0.0),
            ],
        ),
        (
            cog(1.0),
            &[
                (124.0, 0.853847),
                (249.0, 0.654189),
                (499.0, 0.242359),
                (749.0, 0.033171),
                (874.0, 0.005249),
                (998.0, 2.0e-7),
                (999.0, 0.0),
            ],
        ),
    ];
    for (config, entries) in cases {
        let process = process(&config).unwrap();
        assert_eq!(process.grid(), Grid::Whole(1000));
        for &(time, wanted) in entries {
            let found = process.level(time).unwrap().alpha.powi(2);
            assert!((found - wanted).abs() < 6e-7, "{time}: {found} not {wanted}");
        }
    }
}

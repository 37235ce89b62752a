#![allow(clippy::unwrap_used)]

use super::*;
use crate::process::{Betas, NoiseTable};

fn manifest() -> Manifest {
    let record = FileRecord { bytes: 3, sha256: "0".repeat(64) };
    Manifest {
        format_version: FORMAT_VERSION,
        pipeline: "StableDiffusionXLPipeline".into(),
        role: Role::Student,
        steps: vec![999.0],
        parameterisation: Parameterisation::LineVelocity,
        sampler: StepRule::Ode,
        consistency: None,
        schedule: NoiseSchedule::scaled_linear(0.00085, 0.012, 1000),
        guidance_scale: None,
        guidance: None,
        unconditional: Unconditional::Zeros,
        latent_shape: vec![4, 8, 8],
        vae: VaeScaling::of(1.43906),
        time_ids: Some(vec![32.0, 32.0, 0.0, 0.0, 32.0, 32.0]),
        target: TargetRecord {
            name: "onnxruntime-cpu".into(),
            opset: 18,
            ir_version: 8,
            precision: "float32".into(),
            runtimes: vec!["tract".into()],
        },
        files: BTreeMap::from([("unet/model.onnx".to_owned(), record)]),
        verification: BTreeMap::new(),
        provenance: Provenance {
            tool: "test".into(),
            source: "test".into(),
            source_sha256: String::new(),
            licence: String::new(),
            assumed: None,
        },
    }
}

#[test]
fn text_reads_back_and_is_canonical() {
    let text = manifest().to_json().unwrap();
    let again = Manifest::parse(&text).unwrap();
    assert_eq!(again, manifest());
    assert_eq!(again.to_json().unwrap(), text);
    assert!(text.contains("\"steps\": [\n    999.0\n  ]") && text.ends_with("}\n"));
}

#[test]
fn another_version_is_refused_by_name() {
    let text = manifest().to_json().unwrap().replace("\"format_version\": 1", "\"format_version\": 2");
    assert_eq!(Manifest::parse(&text), Err(ManifestError::Version("2".into())));
    let text = text.replace("\"role\": \"student\"", "\"kind\": 5");
    assert_eq!(Manifest::parse(&text), Err(ManifestError::Version("2".into())), "the version is judged first");
}

#[test]
fn what_is_no_manifest_is_a_sentence() {
    for text in ["", "[]", "{}", "{\"format_version\": 1}", "\u{0}", "{\"format_version\": {}}"] {
        let message = Manifest::parse(text).unwrap_err().to_string();
        assert!(message.starts_with("dmdx.json ") && message.lines().count() == 1, "{message}");
    }
    let unknown = manifest().to_json().unwrap().replace("\"role\"", "\"rolle\": 1, \"role\"");
    assert!(matches!(Manifest::parse(&unknown), Err(ManifestError::Syntax(_))));
    assert_eq!(Manifest::parse(&" ".repeat(MAX_BYTES + 1)), Err(ManifestError::TooLarge(MAX_BYTES + 1)));
}

#[test]
fn paths_stay_inside() {
    for path in ["unet/model.onnx", "unet/model.onnx_data", "dmdx", ".hidden/a..b"] {
        assert_eq!(validate_path(path), Ok(()), "{path}");
    }
    for path in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/", "a\\b", "c:x", "a\0b", "a/\n"] {
        assert!(validate_path(path).is_err(), "{path:?}");
    }
}

#[test]
fn impossible_values_are_refused() {
    type Defect = (&'static str, fn(&mut Manifest));
    let defects: [Defect; 21] = [
        ("steps", |m| m.steps = vec![]),
        ("steps", |m| m.steps = vec![1000.0]),
        ("steps", |m| m.steps = vec![f64::NAN]),
        ("steps", |m| m.steps = vec![-0.5]),
        ("steps", |m| m.steps = (0..1001).rev().map(f64::from).collect()),
        ("steps", |m| {
            m.parameterisation = Parameterisation::Epsilon;
            m.steps = vec![0.5];
        }),
        ("steps", |m| {
            m.parameterisation = Parameterisation::Epsilon;
            m.steps = vec![499.0, 999.0];
        }),
        ("parameterisation", |m| m.parameterisation = Parameterisation::Flow),
        ("parameterisation", |m| {
            m.parameterisation = Parameterisation::VPrediction;
            m.schedule = NoiseSchedule::flow();
        }),
        ("schedule", |m| m.schedule = NoiseSchedule::scaled_linear(0.0, 0.5, 10)),
        ("schedule", |m| m.schedule = NoiseSchedule::Flow { num_train_timesteps: 0, shift: 1.0 }),
        ("guidance", |m| {
            m.guidance_scale = Some(2.0);
            m.guidance = Some(GuidanceRange { default: 2.0, range: [1.0, 3.0] });
        }),
        ("guidance", |m| m.guidance = Some(GuidanceRange { default: f64::NAN, range: [1.0, 3.0] })),
        ("vae.latents_mean", |m| m.vae.latents_mean = Some(vec![0.0; 4])),
        ("latent_shape", |m| m.latent_shape = vec![4, 0, 8]),
        ("vae.scaling_factor", |m| m.vae.scaling_factor = 0.0),
        ("vae.shift_factor", |m| m.vae.shift_factor = f64::INFINITY),
        ("guidance_scale", |m| m.guidance_scale = Some(f64::NAN)),
        ("time_ids", |m| m.time_ids = Some(vec![])),
        ("verification.unet", |m| {
            let (engine, problem) = ("e".into(), None);
            let measured = Verification { engine, max_absolute: f64::NAN, relative: 0.0, tolerance: 1.0, problem };
            m.verification.insert("unet".into(), vec![measured]);
        }),
        ("files[\"../x\"]", |m| {
            m.files.insert("../x".into(), FileRecord { bytes: 0, sha256: "0".repeat(64) });
        }),
    ];
    for (name, spoil) in defects {
        let mut spoilt = manifest();
        spoil(&mut spoilt);
        match spoilt.to_json() {
            Err(ManifestError::Value { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    let mut upper = manifest();
    upper.files.insert("a".into(), FileRecord { bytes: 0, sha256: "A".repeat(64) });
    assert!(upper.validate().is_err());
}

/// What older bundles do not say is left out, so that they keep their bytes.
#[test]
fn what_a_plain_bundle_does_not_need_is_left_out() {
    let text = manifest().to_json().unwrap();
    for word in ["sampler", "\"guidance\"", "latents_mean", "shift\"", "rescale"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    let schedule = "\"schedule\": {\n    \"type\": \"scaled_linear\",\n    \"beta_start\": 0.00085,\n    \"beta_end\": 0.012,\n    \"num_train_timesteps\": 1000\n  }";
    assert!(text.contains(schedule), "{text}");
}

#[test]
fn every_kind_of_schedule_and_student_reads_back() {
    let table = |betas| NoiseTable::of(betas);
    let cogvideox = NoiseTable {
        snr_shift_scale: Some(3.0),
        rescale_betas_zero_snr: true,
        last_alphas_cumprod: Some(1e-7),
        ..table(Betas::ScaledLinear { start: 0.00085, end: 0.012, count: 1000 })
    };
    let tables = [
        table(Betas::Linear { start: 0.1, end: 0.2, count: 1000 }),
        table(Betas::SquaredCosine { count: 1000 }),
        table(Betas::Trained((0..1000).map(|i| 0.25 + f64::from(i) / 1e4).collect())),
        cogvideox,
    ];
    for table in tables {
        let mut wide = manifest();
        wide.schedule = NoiseSchedule::Table(table);
        wide.parameterisation = Parameterisation::Sample;
        wide.steps = vec![999.0, 499.0];
        wide.sampler = StepRule::Renoise;
        wide.guidance = Some(GuidanceRange { default: 2.0, range: [1.0, 3.0] });
        wide.latent_shape = vec![3, 16, 4, 6];
        (wide.vae.latents_mean, wide.vae.latents_std) = (Some(vec![0.5; 16]), Some(vec![2.0; 16]));
        let text = wide.to_json().unwrap();
        assert_eq!(Manifest::parse(&text).unwrap(), wide, "{text}");
        let process = wide.rollout().unwrap().process().clone();
        assert_eq!(process, wide.schedule.process(Parameterisation::Sample).unwrap());
    }
    let flow = NoiseSchedule::Flow { num_train_timesteps: 500, shift: 3.0 };
    let text = serde_json::to_string(&flow).unwrap();
    assert_eq!(text, "{\"type\":\"flow\",\"num_train_timesteps\":500,\"shift\":3.0}");
    assert_eq!(serde_json::from_str::<NoiseSchedule>(&text).unwrap(), flow);
    for damaged in [
        "{\"type\":\"flow\",\"num_train_timesteps\":500,\"beta_start\":0.1}",
        "{\"type\":\"linear\",\"num_train_timesteps\":500,\"beta_start\":0.1}",
        "{\"type\":\"trained_betas\",\"num_train_timesteps\":3,\"trained_betas\":[0.1]}",
        "{\"type\":\"linear\",\"num_train_timesteps\":5,\"beta_start\":0.1,\"beta_end\":0.2,\"shift\":2.0}",
    ] {
        assert!(serde_json::from_str::<NoiseSchedule>(damaged).is_err(), "{damaged}");
    }
}

/// On the line the first time is pure noise whatever it is called: `x0 = z - o`.
#[test]
fn a_student_on_the_line_begins_with_noise() {
    for first in [999.0, 998.0, 399.0] {
        let student = Manifest { steps: vec![first], ..manifest() };
        let steps = student.rollout().unwrap().steps().to_vec();
        assert_eq!((steps[0].original.of_sample, steps[0].original.of_output), (1.0, -1.0));
        assert_eq!((steps.len(), steps[0].network_time), (1, first));
    }
    let several = Manifest { steps: vec![999.0, 500.0], ..manifest() };
    let steps = several.rollout().unwrap().steps().to_vec();
    assert_eq!((steps[1].time, steps[1].original.of_output), (0.5, -0.5));
}

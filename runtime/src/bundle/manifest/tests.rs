#![allow(clippy::unwrap_used)]

use super::*;

fn manifest() -> Manifest {
    let record = FileRecord { bytes: 3, sha256: "0".repeat(64) };
    Manifest {
        format_version: FORMAT_VERSION,
        pipeline: "StableDiffusionXLPipeline".into(),
        role: Role::Student,
        steps: vec![999.0],
        parameterisation: Parameterisation::LineVelocity,
        schedule: Schedule::ScaledLinear { beta_start: 0.00085, beta_end: 0.012, num_train_timesteps: 1000 },
        guidance_scale: None,
        unconditional: Unconditional::Zeros,
        latent_shape: [4, 8, 8],
        vae: VaeScaling { scaling_factor: 1.43906, shift_factor: 0.0 },
        time_ids: Some(vec![32.0, 32.0, 0.0, 0.0, 32.0, 32.0]),
        target: Target {
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
    let defects: [Defect; 16] = [
        ("steps", |m| m.steps = vec![]),
        ("steps", |m| m.steps = vec![1000.0]),
        ("steps", |m| m.steps = vec![f64::NAN]),
        ("steps", |m| m.steps = vec![0.5]),
        ("steps", |m| m.steps = vec![999.0, 499.0]),
        ("steps", |m| {
            m.parameterisation = Parameterisation::Epsilon;
            m.steps = vec![499.0, 999.0];
        }),
        ("parameterisation", |m| m.parameterisation = Parameterisation::Flow),
        ("schedule", |m| m.schedule = Schedule::ScaledLinear { beta_start: 0.0, beta_end: 0.5, num_train_timesteps: 10 }),
        ("schedule.num_train_timesteps", |m| m.schedule = Schedule::Flow { num_train_timesteps: 0 }),
        ("latent_shape", |m| m.latent_shape = [4, 0, 8]),
        ("vae.scaling_factor", |m| m.vae.scaling_factor = 0.0),
        ("vae.shift_factor", |m| m.vae.shift_factor = f64::INFINITY),
        ("guidance_scale", |m| m.guidance_scale = Some(f64::NAN)),
        ("time_ids", |m| m.time_ids = Some(vec![])),
        ("verification.unet", |m| {
            let measured = Verification { engine: "e".into(), max_absolute: f64::NAN, relative: 0.0, tolerance: 1.0 };
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

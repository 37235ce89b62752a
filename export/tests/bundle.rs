//! Whole bundles: what they hold, that they are written whole or not at all, and the command line.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use dmdx_export::{BundleOptions, ExportError, Role, Stage, check_bundle, export_bundle};
use dmdx_graph::store::PlaceError;
use dmdx_importer::{ImportOptions, Pipeline, import_pipeline};
use dmdx_runtime::StudentInfo;
use dmdx_runtime::manifest::{GuidanceRange, Manifest, Unconditional};
use dmdx_runtime::process::spacing::trailing;
use dmdx_runtime::process::{NoiseSchedule, Parameterisation, StepRule};
use support::{fixtures, verifier};

fn teacher() -> PathBuf {
    fixtures("digits-sdxl")
}

fn pipeline() -> Pipeline {
    import_pipeline(&teacher(), &ImportOptions::default()).unwrap()
}

/// Every file below a folder with its bytes.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut stack = vec![folder.to_path_buf()];
    while let Some(next) = stack.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                stack.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().to_path_buf(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

/// What the import of a single file assumed stands in the manifest, and nothing where nothing was assumed.
#[test]
fn the_manifest_states_what_was_assumed() {
    let folder = tempfile::tempdir().unwrap();
    for (name, assumed) in [("plain", None), ("assumed", Some("assumed: a round table"))] {
        let mut pipeline = pipeline();
        if let Some(text) = assumed {
            pipeline.model_index["_dmdx_assumed"] = text.into();
        }
        let out = folder.path().join(name);
        let mut progress = |_: Stage<'_>| ();
        let options = BundleOptions::new(Role::Teacher, trailing(1000, 1000, 25), &mut progress);
        export_bundle(&pipeline, &teacher(), &out, options).unwrap();
        let text = std::fs::read_to_string(out.join("dmdx.json")).unwrap();
        assert_eq!(Manifest::parse(&text).unwrap().provenance.assumed.as_deref(), assumed);
        assert_eq!(text.contains("\"assumed\""), assumed.is_some());
    }
}

#[test]
fn a_verified_teacher_bundle_states_its_errors() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("teacher");
    let verifier = verifier();
    let mut stages = Vec::new();
    let mut progress = |stage: Stage<'_>| stages.push(format!("{stage:?}"));
    let options = BundleOptions {
        guidance_scale: Some(3.0),
        verifier: Some(&verifier),
        ..BundleOptions::new(Role::Teacher, trailing(1000, 1000, 25), &mut progress)
    };
    let report = export_bundle(&pipeline(), &teacher(), &out, options).unwrap();
    let manifest = Manifest::parse(&std::fs::read_to_string(out.join("dmdx.json")).unwrap()).unwrap();
    assert_eq!(manifest, report.manifest);
    assert_eq!((manifest.role, manifest.parameterisation), (Role::Teacher, Parameterisation::Epsilon));
    assert_eq!((manifest.latent_shape.as_slice(), manifest.guidance_scale), ([4, 8, 8].as_slice(), Some(3.0)));
    assert_eq!(manifest.time_ids.as_deref(), Some([32.0, 32.0, 0.0, 0.0, 32.0, 32.0].as_slice()));
    assert_eq!(manifest.provenance.source, "digits-sdxl");
    for component in ["unet", "vae_decoder", "vae_encoder", "text_encoder", "text_encoder_2"] {
        let measured = &manifest.verification[component];
        assert!(measured.len() == verifier.engines().len() && measured.iter().all(|one| one.problem.is_none()));
        for one in measured {
            println!("{component}: {} {:.1e} relative, {:.1e} absolute", one.engine, one.relative, one.max_absolute);
            assert!(one.relative > 0.0 && one.relative <= 1e-5);
        }
        assert!(manifest.files.contains_key(&format!("{component}/model.onnx")));
    }
    // Copied byte for byte.
    for file in [
        "tokenizer/vocab.json",
        "tokenizer_2/merges.txt",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "model_index.json",
    ] {
        assert_eq!(std::fs::read(out.join(file)).unwrap(), std::fs::read(teacher().join(file)).unwrap(), "{file}");
    }
    assert_eq!(
        std::fs::read(out.join("vae_decoder/config.json")).unwrap(),
        std::fs::read(teacher().join("vae/config.json")).unwrap()
    );
    assert_eq!(count(folder.path()), 1);
    // The runtime accepts it.
    dmdx_runtime::Bundle::open(&out).unwrap();
    // The files say what they were made from.
    assert_eq!(stages[..2], ["Hashing", "Writing(\"unet\")"]);
}

fn plain(out: &Path, force: bool) -> Result<(), ExportError> {
    let mut quiet = |_: Stage<'_>| {};
    let options = BundleOptions { force, ..BundleOptions::new(Role::Teacher, trailing(1000, 1000, 4), &mut quiet) };
    export_bundle(&pipeline(), &teacher(), out, options).map(|_| ())
}

#[test]
fn the_same_source_gives_the_same_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    plain(&one, false).unwrap();
    plain(&two, false).unwrap();
    assert_eq!(tree(&one), tree(&two));
}

#[test]
fn only_bundles_are_replaced_and_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bundle");
    plain(&out, false).unwrap();
    std::fs::write(out.join("unet/stale"), "x").unwrap();
    let before = tree(&out);
    assert!(matches!(plain(&out, false), Err(ExportError::Place(PlaceError::Exists(_)))));
    assert_eq!(tree(&out), before);
    plain(&out, true).unwrap();
    assert!(!out.join("unet/stale").exists());
    assert_eq!(count(folder.path()), 1);

    let precious = folder.path().join("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("letter"), "x").unwrap();
    assert!(matches!(plain(&precious, true), Err(ExportError::NotABundle(_))));
    assert!(precious.join("letter").exists());
    assert_eq!(count(folder.path()), 2);
}

#[test]
fn an_interrupt_or_a_failed_verification_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bundle");
    let stop = AtomicBool::new(false);
    let mut verifier = verifier();
    let mut progress = |stage: Stage<'_>| {
        if stage == Stage::Verifying("unet") {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let options = BundleOptions {
        verifier: Some(&verifier),
        cancelled: Some(&stop),
        ..BundleOptions::new(Role::Teacher, vec![999.0], &mut progress)
    };
    let error = export_bundle(&pipeline(), &teacher(), &out, options).unwrap_err();
    assert!(matches!(error, ExportError::Cancelled), "{error}");
    assert_eq!(count(folder.path()), 0);

    verifier.tolerance = Some(1e-12);
    let mut quiet = |_: Stage<'_>| {};
    let options = BundleOptions { verifier: Some(&verifier), ..BundleOptions::new(Role::Teacher, vec![999.0], &mut quiet) };
    let error = export_bundle(&pipeline(), &teacher(), &out, options).unwrap_err();
    assert!(matches!(&error, ExportError::Verification { component, .. } if component == "unet"), "{error}");
    assert_eq!(count(folder.path()), 0);
}

#[test]
fn impossible_steps_are_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let mut quiet = |_: Stage<'_>| {};
    let options = BundleOptions::new(Role::Student, vec![1000.0], &mut quiet);
    let asked = check_bundle(&pipeline(), &teacher(), &options).unwrap_err();
    assert!(asked.to_string().contains("no time of the schedule"), "{asked}");
    let error = export_bundle(&pipeline(), &teacher(), &folder.path().join("b"), options).unwrap_err();
    assert!(error.to_string().contains("no time of the schedule"), "{error}");
    assert_eq!(count(folder.path()), 0);
}

fn command(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dmdx-export")).args(args).output().unwrap()
}

fn copy_tree(from: &Path, to: &Path) {
    for (file, bytes) in tree(from) {
        let path = to.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_student_folder_knows_its_steps() {
    let folder = tempfile::tempdir().unwrap();
    let student = folder.path().join("student");
    copy_tree(&teacher(), &student);
    let info = StudentInfo {
        steps: vec![999.0],
        parameterisation: Parameterisation::LineVelocity,
        sampler: StepRule::Ode,
        consistency: None,
        schedule: NoiseSchedule::scaled_linear(0.00085, 0.012, 1000),
        guidance: None,
        unconditional: None,
        diffusers: None,
        teacher: "digits-sdxl".into(),
        teacher_sha256: "0".repeat(64),
        licence: "mit".into(),
    };
    // Its scheduler is no longer the teacher's, and of no use to us.
    std::fs::remove_file(student.join("scheduler/scheduler_config.json")).unwrap();
    let index = std::fs::read_to_string(teacher().join("model_index.json")).unwrap();
    let without = index.replace("\"diffusers\",\n    \"EulerDiscreteScheduler\"", "null,\n    null");
    assert_ne!(index, without);
    std::fs::write(student.join("model_index.json"), without).unwrap();
    std::fs::write(student.join(StudentInfo::FILE_NAME), info.to_json()).unwrap();
    let (source, out) = (student.to_str().unwrap(), folder.path().join("bundle"));
    let done = command(&[source, "-o", out.to_str().unwrap(), "--no-verify"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let manifest = Manifest::parse(&std::fs::read_to_string(out.join("dmdx.json")).unwrap()).unwrap();
    assert_eq!((manifest.role, manifest.steps), (Role::Student, vec![999.0]));
    assert_eq!((manifest.parameterisation, manifest.provenance.licence.as_str()), (Parameterisation::LineVelocity, "mit"));
    assert!(manifest.verification.is_empty());
    let read = |file: &str| std::fs::read_to_string(out.join(file)).unwrap();
    let scheduler: serde_json::Value = serde_json::from_str(&read("scheduler/scheduler_config.json")).unwrap();
    assert_eq!((&scheduler["_class_name"], &scheduler["flow_shift"]), (&"DPMSolverMultistepScheduler".into(), &1e6.into()));
    assert!(read("model_index.json").contains("DPMSolverMultistepScheduler"), "{}", read("model_index.json"));

    let card = read("README.md");
    assert!(card.contains("base_model: \"digits-sdxl\"\nlicense: mit\n") && card.contains("x0 = z - G(z, 999)"), "{card}");
    assert!(card.contains("The files were not run") && !manifest.files.contains_key("README.md"), "{card}");
    // People may write more into a card.
    std::fs::write(out.join("README.md"), card + "\nMore.\n").unwrap();
    dmdx_runtime::Bundle::open(&out).unwrap();

    // Several steps, fresh noise between them, and a guidance weight that callers choose.
    let guidance = Some(GuidanceRange { default: 2.0, range: [1.0, 4.0] });
    let several = StudentInfo {
        steps: vec![999.0, 499.0],
        parameterisation: Parameterisation::Epsilon,
        sampler: StepRule::Renoise,
        guidance,
        unconditional: Some(Unconditional::EmptyPrompt),
        ..info.clone()
    };
    std::fs::write(student.join(StudentInfo::FILE_NAME), several.to_json()).unwrap();
    let done = command(&[source, "-o", out.to_str().unwrap(), "--no-verify", "--force"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let manifest = Manifest::parse(&std::fs::read_to_string(out.join("dmdx.json")).unwrap()).unwrap();
    assert_eq!((manifest.sampler, manifest.guidance, manifest.steps), (StepRule::Renoise, guidance, vec![999.0, 499.0]));
    assert_eq!(manifest.unconditional, Unconditional::EmptyPrompt, "what the student says, not what its pipeline would");
    assert!(read("scheduler/scheduler_config.json").contains("LCMScheduler"));
    let index: serde_json::Value = serde_json::from_str(&read("model_index.json")).unwrap();
    assert_eq!(index["force_zeros_for_empty_prompt"], false);

    let refused = command(&[source, "-o", "unused", "--guidance", "3", "--no-verify"]);
    assert_eq!(refused.status.code(), Some(2));
    std::fs::write(student.join(StudentInfo::FILE_NAME), "{\"steps\": 1}").unwrap();
    let refused = command(&[source, "-o", "unused", "--no-verify"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is no student file"));
}

/// A published student comes without our file: its times and the noise between them are given (DMD2's four steps).
#[test]
fn a_published_student_is_described_by_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let (teacher, out) = (teacher(), folder.path().join("bundle"));
    let line = [teacher.to_str().unwrap(), "-o", out.to_str().unwrap(), "--no-verify", "--sampler", "renoise"];
    assert!(String::from_utf8_lossy(&command(&line).stderr).contains("--steps"));
    let done = command(&[&line[..], &["--student", "--steps", "999,749,499,249"]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let manifest = Manifest::parse(&std::fs::read_to_string(out.join("dmdx.json")).unwrap()).unwrap();
    assert_eq!((manifest.role, manifest.sampler), (Role::Student, StepRule::Renoise));
    assert_eq!(manifest.steps, [999.0, 749.0, 499.0, 249.0]);
    let scheduler = std::fs::read_to_string(out.join("scheduler/scheduler_config.json")).unwrap();
    assert!(scheduler.contains("LCMScheduler"), "{scheduler}");
}

fn refusal(args: &[&str]) -> String {
    let output = command(args);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

/// A single file becomes a bundle with the tokenizers of a folder, and without them is told to be incomplete.
#[test]
fn single_files() {
    let folder = tempfile::tempdir().unwrap();
    let (config, out) = (folder.path().join("config"), folder.path().join("bundle"));
    copy_tree(&fixtures("original/sdxl/config"), &config);
    let file = fixtures("original/sdxl/sdxl.safetensors");
    let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    let whole = [file, "-o", out, "--no-verify", "--config", config.to_str().unwrap()];
    assert_eq!(
        refusal(&whole),
        format!(
            "error: `{file}` holds no tokenizers, which no single file does; give the folder of the same model that has \
             model_index.json and these (its weights may be missing) with --config\n"
        )
    );
    let index = config.join("model_index.json");
    let mut value: serde_json::Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
    for name in ["tokenizer", "tokenizer_2"] {
        copy_tree(&fixtures("pipelines/sdxl").join(name), &config.join(name));
        value[name] = serde_json::json!(["transformers", "CLIPTokenizer"]);
    }
    std::fs::write(&index, value.to_string()).unwrap();
    let done = command(&whole);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let manifest = Manifest::parse(&std::fs::read_to_string(Path::new(out).join("dmdx.json")).unwrap()).unwrap();
    for name in ["unet/model.onnx", "text_encoder_2/model.onnx", "vae_decoder/model.onnx", "tokenizer_2/vocab.json"] {
        assert!(manifest.files.contains_key(name), "{name}");
    }
    assert_eq!(std::fs::read_to_string(Path::new(out).join("model_index.json")).unwrap(), value.to_string());
    // A change of a model is none.
    let lora = fixtures("lora/peft.safetensors");
    let said = refusal(&[lora.to_str().unwrap(), "-o", "unused", "--no-verify"]);
    assert!(said.contains("is a file of changes to a model (LoRA, rank 2, "), "{said}");
    assert!(said.ends_with("not a network; give the model that it changes, and this file with --lora\n"), "{said}");
}

/// The hub's cache as it stands, by the model's folder; the manifest has the model's name and not the snapshot's.
#[test]
#[cfg(unix)]
fn a_model_of_the_hubs_cache() {
    let hub = tempfile::tempdir().unwrap();
    let model = hub.path().join("models--me--digits");
    let snapshot = model.join("snapshots/0123abcd");
    for (number, (file, bytes)) in tree(&teacher()).into_iter().enumerate() {
        let (blob, link) = (model.join("blobs").join(number.to_string()), snapshot.join(&file));
        for path in [&blob, &link] {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        std::fs::write(&blob, bytes).unwrap();
        let up = "../".repeat(1 + file.components().count());
        std::os::unix::fs::symlink(format!("{up}blobs/{number}"), link).unwrap();
    }
    let out = hub.path().join("bundle");
    let done = command(&[model.to_str().unwrap(), "-o", out.to_str().unwrap(), "--no-verify"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let manifest = Manifest::parse(&std::fs::read_to_string(out.join("dmdx.json")).unwrap()).unwrap();
    assert_eq!(manifest.provenance.source, "me/digits");
    assert_eq!(manifest.provenance.source_sha256, pipeline().hash().unwrap());
}

#[test]
fn the_command_has_every_option_for_its_source() {
    let help = String::from_utf8(command(&["--help"]).stdout).unwrap();
    for option in dmdx_importer::source::SourceOptions::names() {
        assert!(help.contains(&format!("--{option}")), "--{option} is missing");
    }
}

#[test]
fn completions_and_version_are_printed() {
    let said = |arguments: &[&str]| String::from_utf8(command(arguments).stdout).unwrap();
    assert!(said(&["completions", "bash"]).contains("--teacher-steps"));
    assert!(said(&["completions", "fish"]).contains("complete -c dmdx-export"));
    let version = said(&["--version"]);
    assert!(version.starts_with("dmdx-export ") && version.contains("targets: compat"), "{version}");
    assert!(version.contains("tract 0.23.9") && version.contains("onnxruntime 1.24"), "{version}");
}

#[test]
fn exit_codes_tell_usage_input_and_environment_apart() {
    let folder = tempfile::tempdir().unwrap();
    let source = teacher();
    let source = source.to_str().unwrap();
    let out = folder.path().join("bundle");
    let out = out.to_str().unwrap();
    let code = |args: &[&str]| {
        let output = command(args);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!message.contains("panicked"), "{message}");
        (output.status.code(), message)
    };
    assert_eq!(code(&[]).0, Some(2));
    let (status, message) = code(&[source, "-o", out, "--target", "toaster"]);
    assert!(status == Some(2) && message.contains("the targets are compat"), "{message}");
    assert_eq!(code(&["nowhere", "-o", out, "--no-verify"]).0, Some(1));
    assert_eq!(code(&[source, "-o", out, "--steps", "5,9", "--no-verify"]).0, Some(1));
    assert_eq!(code(&[source, "-o", out, "--verify", "toaster"]).0, Some(2));
    assert_eq!(code(&[source, "-o", out, "--verify", "tract", "--no-verify"]).0, Some(2));
    assert_eq!(code(&[source, "-o", out, "--tolerance", "2"]).0, Some(2));
    let unet = format!("{source}/unet");
    assert_eq!(code(&[&unet, "-o", out, "--guidance", "2", "--no-verify"]).0, Some(2));
    // The place comes before the source, which is not even there; the folders on the way are made by the work.
    let (status, message) = code(&["nowhere", "-o", folder.path().to_str().unwrap(), "--no-verify"]);
    assert!(status == Some(1) && message.contains("exists already"), "{message}");
    let deep = format!("{out}/a/b");
    let (status, message) = code(&["nowhere", "-o", &deep, "--no-verify"]);
    assert!(status == Some(1) && message.contains("nowhere"), "{message}");
    let (status, message) = code(&["nowhere", "-o", "/dev/null/a/b", "--no-verify"]);
    assert!(status == Some(3) && message.contains("/dev/null is not a folder"), "{message}");
    // A file where a folder must be made.
    let (status, message) = code(&[source, "-o", "/dev/null/bundle", "--no-verify"]);
    assert!(status == Some(3) && message.lines().count() == 1, "{message}");
    let (status, message) = code(&[source, "-o", out, "--onnxruntime", "/dev/null"]);
    assert!(status == Some(3), "{message}");
    assert_eq!(count(folder.path()), 0);
}

/// One network alone, and what a full disk leaves: `ulimit -f` makes every write beyond 32 KiB fail.
#[test]
#[cfg(unix)]
fn a_full_disk_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_dmdx-export");
    let (unet, out) = (teacher().join("unet"), folder.path().join("unet"));
    let run = |limit: &str| {
        let script = format!("trap '' XFSZ; {limit} exec \"$0\" \"$@\"");
        let arguments = [unet.to_str().unwrap(), "-o", out.to_str().unwrap(), "--no-verify"];
        Command::new("bash").args(["-c", &script, program]).args(arguments).output().unwrap()
    };
    let full = run("ulimit -f 32;");
    let message = String::from_utf8_lossy(&full.stderr);
    assert_eq!(full.status.code(), Some(3), "{message}");
    assert!(message.lines().count() == 1 && message.contains("unet/model.onnx cannot be written"), "{message}");
    assert!(!message.contains(".part"), "an error names no file that nobody can have: {message}");
    assert_eq!(count(folder.path()), 0);
    let done = run("");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(String::from_utf8_lossy(&done.stdout).contains("nothing was verified"));
    assert!(out.join("model.onnx").is_file() && out.join("config.json").is_file());
}

/// One engine and a tolerance of one's own.
#[test]
fn engine_and_tolerance_can_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let (unet, out) = (teacher().join("text_encoder"), folder.path().join("encoder"));
    let run = |tolerance: &str| {
        let arguments = [unet.to_str().unwrap(), "-o", out.to_str().unwrap(), "--verify", "tract", "--tolerance", tolerance];
        command(&arguments)
    };
    let refused = run("1e-12");
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(
        refused.status.code() == Some(1) && message.contains("run by tract") && message.contains("more than 1e-12"),
        "{message}"
    );
    assert_eq!(count(folder.path()), 0);
    let done = run("1e-3");
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && told.contains("limit 1e-3") && !told.contains("onnxruntime"), "{told}");
}

/// Ctrl-C while the program works.
#[test]
#[cfg(unix)]
fn an_interrupted_program_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bundle");
    let mut child = Command::new(env!("CARGO_BIN_EXE_dmdx-export"))
        .args([teacher().to_str().unwrap(), "-o", out.to_str().unwrap()])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The temporary folder shows that the work has begun.
    while count(folder.path()) == 0 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert_eq!(count(folder.path()), 0);
}

#[test]
fn the_licence_is_what_a_card_says() {
    let folder = tempfile::tempdir().unwrap();
    let says = |readme: &str| {
        std::fs::write(folder.path().join("README.md"), readme).unwrap();
        dmdx_export::licence(folder.path())
    };
    assert_eq!(says("---\nlicense: openrail++\ntags:\n- x\n---\nlicense: mit\n"), "openrail++");
    assert_eq!(says("---\ntags: []\nlicense: \"apache-2.0\"\n---\n"), "apache-2.0");
    let other = "---\nlicense: other\nlicense_name: stabilityai-ai-community\nlicense_link: LICENSE.md\n---\n";
    assert_eq!(says(other), "stabilityai-ai-community (LICENSE.md)");
    assert_eq!(says("---\nlicense: other\n---\n"), "other");
    assert_eq!(says("# No front matter\nlicense: mit\n"), "");
    std::fs::write(folder.path().join("card.json"), r#"{"license": "mit"}"#).unwrap();
    assert_eq!(says(other), "mit", "the card of a teacher made here comes first");
}

//! The command: exit codes, one line per error, nothing half-written when the disk is full or the user stops it.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Command, Output};

use common::{copy, fixture};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dmdx-import")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn path(name: &str) -> String {
    fixture(name).display().to_string()
}

#[test]
fn inspect_a_component() {
    let output = run(&["inspect", &path("zoo/clip_l")]);
    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output.stdout);
    let expected = "CLIPTextModel\n  \
           parameters: 40368 in 52 tensors, 161472 bytes (40368 f32)\n  \
           NaN or infinite: none\n  \
           unused tensors: none\n  \
           text_encoder\n    \
             input input_ids: i64[b, s]\n    \
             output last_hidden_state: f32[b, s, 24]\n    \
             output pooler_output: f32[b, 24]\n";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(shown.contains("\n    where b = batch (usually 2)\n") && shown.contains(" layer_norm 7, linear 18, "), "{shown}");
    let marks = text(&run(&["inspect", "--marks", &path("zoo/clip_l")]).stdout);
    assert!(marks.contains("    mark text_model.encoder.layers.1: f32[b, s, 24]\n"), "{marks}");
}

#[test]
fn inspect_prints_json() {
    let json =
        |name: &str| -> serde_json::Value { serde_json::from_slice(&run(&["inspect", "--json", &path(name)]).stdout).unwrap() };
    let component = json("zoo/clip_l");
    assert_eq!(component["parameters"], 40368);
    assert_eq!(component["parts"][0]["ops"]["sdpa"], 3);
    assert_eq!(component["weights"]["nonfinite"], serde_json::json!({}));
    let pipeline = json("digits-sdxl");
    assert_eq!(pipeline["class"], "StableDiffusionXLPipeline");
    assert_eq!(pipeline["components"].as_array().unwrap().len(), 4);
}

#[test]
fn check_passes_and_fails() {
    let (folder, io) = (path("zoo/clip_l"), path("zoo/clip_l/io.safetensors"));
    let output = run(&["check", &folder, "--io", &io]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = run(&["check", &folder, "--io", &io, "--tolerance", "1e-12"]);
    assert_eq!(output.status.code(), Some(1));
    let output = run(&["check", &folder, "--io", &path("zoo/clip_l/model.safetensors")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: the reference file `"));
}

#[test]
fn completions_and_version_are_printed() {
    let said = |arguments: &[&str]| text(&run(arguments).stdout).to_string();
    assert!(said(&["completions", "bash"]).contains("--allow-pickle"));
    assert!(said(&["completions", "zsh"]).starts_with("#compdef dmdx-import"));
    let version = said(&["--version"]);
    assert!(version.starts_with("dmdx-import ") && version.contains("safetensors") && version.lines().count() == 3, "{version}");
}

/// The place comes before the source, which is not even there.
#[test]
fn convert_looks_at_the_place_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    std::fs::write(place("file"), "x").unwrap();
    std::fs::create_dir(place("folder")).unwrap();
    for (target, force, code, sentence) in [
        (place("no/model.safetensors"), false, 3, "no does not exist; make it first"),
        (place("file/model.safetensors"), false, 3, "file is not a folder"),
        (place("file"), false, 1, "exists already; choose another name or pass --force"),
        (place("folder"), true, 1, "name a new folder, dmdx never replaces a whole one"),
        ("/dev/null".to_string(), true, 1, "is a device or pipe"),
    ] {
        let force = if force { &["--force"][..] } else { &[] };
        let output = run(&[&["convert", "/nowhere/at/all", "-o", &target], force].concat());
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(sentence) && said.lines().count() == 1, "{said}");
    }
    assert_eq!(std::fs::read(place("file")).unwrap(), b"x");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn errors_are_one_line() {
    let output = run(&["inspect", "/nowhere/at/all"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "error: `/nowhere/at/all` does not exist; give a component folder, a .safetensors file or a pipeline folder\n"
    );
    let folder = copy("zoo/clip_l");
    std::fs::write(folder.path().join("config.json"), "{\"_class_name\": \"a\\nb\"}").unwrap();
    let output = run(&["inspect", &folder.path().display().to_string()]);
    assert_eq!(text(&output.stderr).lines().count(), 1);
    assert!(text(&output.stderr).contains("`a b`"));
}

#[test]
fn wrong_usage() {
    for arguments in [&["inspect"][..], &["explode"], &["check", "x"], &["convert", "x"], &["inspect", "x", "--what"]] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn convert_writes_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.safetensors").display().to_string();
    let output = run(&["convert", &path("zoo/clip_l"), "-o", &file]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), format!("wrote {file}\n")));
    let output = run(&["convert", &path("zoo/clip_l"), "-o", &file]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(run(&["convert", &path("zoo/clip_l"), "-o", &file, "--force"]).status.code(), Some(0));
    let output = run(&["check", &file, "--io", &path("zoo/clip_l/io.safetensors")]);
    assert_eq!(output.status.code(), Some(0));
    let output = run(&["convert", &path("zoo/clip_l"), "-o", &format!("{file}/x")]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
}

/// A folder, a FIFO or a device stays what it is, also behind a link and with --force.
#[cfg(unix)]
#[test]
fn only_files_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let [fifo, link] = ["fifo", "link"].map(|name| folder.path().join(name));
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    std::os::unix::fs::symlink(&fifo, &link).unwrap();
    let own = "exists already; name a new folder, dmdx never replaces a whole one";
    let special = "is a device or pipe and no regular file, so it is not written to; name a file";
    for (place, sentence) in [(folder.path(), own), (&fifo, special), (&link, special)] {
        let output = run(&["convert", &path("zoo/clip_l"), "--force", "-o", &place.display().to_string()]);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(sentence) && said.lines().count() == 1, "{said}");
        assert!(said.contains(&place.display().to_string()), "{said}");
    }
    assert!(link.is_symlink() && !fifo.is_file());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// Names of tensors are shown, but neither act on the terminal nor look like lines of their own.
#[test]
fn names_do_not_reach_the_terminal_raw() {
    let name = "\u{1b}[2J\u{9b}31m\u{202e}x\nerror: none";
    let folder = copy("zoo/clip_l");
    let tensor = common::Raw { dtype: safetensors::Dtype::F32, shape: vec![1], bytes: vec![0; 4] };
    common::edit(&folder.path().join("model.safetensors"), |tensors| {
        tensors.insert(name.into(), tensor.clone());
        tensors.insert("n".repeat(5000), tensor);
    });
    let given = folder.path().display().to_string();
    for arguments in [&["inspect", &given][..], &["inspect", "--json", &given], &["inspect", "--deny-unused", &given]] {
        let output = run(arguments);
        let shown = text(&output.stdout) + &text(&output.stderr);
        assert!(shown.contains("error: none"), "{shown}");
        let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!shown.contains(acts) && !shown.contains("\nerror: none"), "{shown}");
        assert!(arguments.contains(&"--json") || shown.len() < 4000, "{shown}");
    }
    let json: serde_json::Value = serde_json::from_slice(&run(&["inspect", "--json", &given]).stdout).unwrap();
    assert_eq!(json["weights"]["unused"][0], name);
}

/// Files that a write may not exceed stand for a full disk: the kernel refuses in the middle of the weights.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("unet.safetensors");
    let script = "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_dmdx-import"), "convert", &path("zoo/unet_sdxl"), "-o"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).starts_with("error: cannot write `"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Whenever Ctrl-C comes, the pipeline is there in full or not at all.
#[cfg(unix)]
#[test]
fn stopping_leaves_all_or_nothing() {
    let mut stopped = 0;
    for delay in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_dmdx-import"))
            .args(["convert", &path("digits-sdxl"), "-o"])
            .arg(folder.path().join("out"))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay * 5));
        Command::new("kill").args(["-INT", &child.id().to_string()]).output().unwrap();
        if child.wait().unwrap().success() {
            let out = folder.path().join("out").display().to_string();
            assert_eq!(run(&["inspect", &out]).status.code(), Some(0));
        } else {
            stopped += 1;
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "after {delay} × 5 ms");
        }
    }
    assert!(stopped > 0, "every run was over before it could be stopped");
}

/// The whole description of a pipeline and of a single file, as a user sees it.
#[test]
fn inspect_pipelines() {
    let pipeline = text(&run(&["inspect", &path("digits-sdxl")]).stdout);
    insta::assert_snapshot!("inspect_digits_sdxl", pipeline);
    let config = path("original/sd3/config");
    let single = text(&run(&["inspect", &path("original/sd3/sd3.safetensors"), "--config", &config]).stdout);
    insta::assert_snapshot!("inspect_sd3_single_file", single);
}

#[test]
fn lora_scales() {
    let output = run(&["inspect", &path("zoo/clip_l"), "--lora", "file.safetensors=much"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("the scale \"much\" behind `=` is not a finite number"));
}

#[test]
fn every_command_has_the_same_options_for_its_source() {
    for command in ["inspect", "check", "convert"] {
        let help = text(&run(&[command, "--help"]).stdout);
        for option in dmdx_importer::source::SourceOptions::names() {
            assert!(help.contains(&format!("--{option}")), "{command} lacks --{option}");
        }
    }
}
